"""The scorer for PyTorch: build the network that a trial describes, score it untrained."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from optuna_zerocost import proxies as _proxies
from optuna_zerocost.proxies._random import SeededRandomState
from optuna_zerocost.scoring._candidate import ArchitectureKey, Candidate, architecture_key
from optuna_zerocost.scoring._scorer import DrawingTrial, RepeatedArchitecture, qualified_name

__all__ = ["ModelScorer", "ScorerStatistics"]


@dataclass(frozen=True)
class ScorerStatistics:
    """What a scorer has done so far in this process.

    Attributes:
        scored: Networks that were built and scored.
        cache_hits: Calls that were answered from what was known; the network was only built, since
            running the builder is what draws its parameters.
        build_seconds: Time for building, all calls together.
        score_seconds: Time for scoring, all calls together.
    """

    scored: int = 0
    cache_hits: int = 0
    build_seconds: float = 0.0
    score_seconds: float = 0.0

    @property
    def seconds_per_candidate(self) -> float:
        """Mean time for building a network, plus mean time for scoring one that is not known."""
        calls = max(self.scored + self.cache_hits, 1)
        return self.build_seconds / calls + self.score_seconds / max(self.scored, 1)


class ModelScorer:
    """Scores the network that ``build_model`` makes of a trial's parameters, without training it.

    The weights are a function of the architecture: ``build_model`` runs with the global random
    states (Python, NumPy, torch) seeded, and they are put back afterwards, so that an
    architecture has one score in every worker, on every day. Scores are kept in memory by
    architecture; asking for one again costs no pass over the network.

    Args:
        build_model: Makes an untrained network from a trial, define-by-run. It is run with a
            trial-like object; the parameters that it asks for make up the architecture.
        batch: ``(inputs, targets)``, one minibatch: inputs a tensor with the batch first, a tuple
            of tensors (positional arguments of the network) or a mapping (keyword arguments);
            targets a tensor, or ``None`` if no proxy needs them. It is read, never changed.
        proxies: Names of proxies, see :func:`optuna_zerocost.proxies.names`.
        loss_fn: ``(outputs, targets) → scalar``, the mean over the batch. Default: cross-entropy.
        forward_fn: ``(network, inputs) → outputs``, for a network that returns something else than
            the tensor that the loss needs. Default: the network is called with the inputs.
        device: Where networks and batch are scored. Default: where ``build_model`` puts them.
        seed: Seeds the weights and whatever is random in a pass.
        n_jobs: Number of processes that score a warmup's candidates, one torch thread each; ``-1``
            for one a core, ``None`` for what ``joblib.parallel_config`` says. They import the
            script that they are started from, so it needs ``if __name__ == "__main__":``.

    Raises:
        ValueError: If no proxy is named or one is unknown, or ``batch`` is not a pair.
    """

    def __init__(
        self,
        build_model: Callable[[Any], nn.Module],
        batch: tuple[Any, torch.Tensor | None],
        proxies: Sequence[str] = ("synflow",),
        *,
        loss_fn: Callable[[Any, torch.Tensor], torch.Tensor] | None = None,
        forward_fn: Callable[[nn.Module, Any], torch.Tensor] | None = None,
        device: torch.device | str | None = None,
        seed: int = 0,
        n_jobs: int | None = 1,
    ) -> None:
        if not callable(build_model):
            raise TypeError(
                f"build_model is {build_model!r}, but it must be a function that makes a network "
                "from a trial. Pass the function itself, not what it returns."
            )
        if isinstance(proxies, str):
            proxies = (proxies,)
        if not proxies or len(set(proxies)) < len(proxies):
            raise ValueError(
                f"proxies is {proxies!r}, but it must name at least one proxy, each once. "
                f"Known are {', '.join(_proxies.names())}."
            )
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ValueError(
                f"batch is a {type(batch).__name__}, but it must be a pair (inputs, targets). "
                "Pass for example next(iter(data_loader)), or (inputs, None) if no proxy needs "
                "targets."
            )
        described = [_proxies.describe(name) for name in proxies]
        self.score_names: tuple[str, ...] = tuple(proxy.name for proxy in described)
        self.score_directions: dict[str, str] = {p.name: p.direction for p in described}
        self._build_model = build_model
        self._batch = (batch[0], batch[1])
        self._loss_fn = loss_fn or nn.functional.cross_entropy
        self._forward_fn = forward_fn
        self._device = device
        self._seed = seed
        self.n_jobs = n_jobs
        self._pid = os.getpid()
        self._cache: dict[ArchitectureKey, dict[str, float]] = {}
        self._statistics = ScorerStatistics()
        self._fingerprint: str | None = None

    def __call__(self, trial: Any, /) -> dict[str, float]:
        """Build and score one architecture.

        Args:
            trial: An Optuna trial, or anything with its ``suggest_*``, ``params`` and
                ``distributions``, e.g. ``optuna.trial.FixedTrial(params)``.

        Returns:
            Name → score, in the order of ``proxies``.

        Raises:
            TypeError: If ``build_model`` returns something other than a network.
            optuna_zerocost.proxies.ProxyError: If a proxy is undefined for the network.
        """
        started = time.perf_counter()
        with SeededRandomState(self._seed) as seeded:
            if isinstance(trial, DrawingTrial):
                trial.around_draw = seeded.paused
            network = self._build_model(trial)
        built = time.perf_counter()
        key = architecture_key(trial.params, trial.distributions)
        is_known = key in self._cache
        if not is_known:
            if isinstance(trial, DrawingTrial) and trial.is_repeated():
                raise RepeatedArchitecture
            self._cache[key] = self._score(network)
        scored = time.perf_counter()
        was = self._statistics
        self._statistics = ScorerStatistics(
            was.scored + (not is_known),
            was.cache_hits + is_known,
            was.build_seconds + built - started,
            was.score_seconds + (0.0 if is_known else scored - built),
        )
        return dict(self._cache[key])

    def _score(self, network: Any) -> dict[str, float]:
        if not isinstance(network, nn.Module):
            raise TypeError(
                f"build_model returned {type(network).__name__}, but it must return the untrained "
                "network, a torch.nn.Module."
            )
        if self._device is not None:
            network = network.to(self._device)
        return _proxies.score_network(
            network,
            self._batch,
            self.score_names,
            loss_fn=self._loss_fn,
            forward_fn=self._forward_fn,
            seed=self._seed,
        )

    def remember(self, candidates: Iterable[Candidate]) -> None:
        """Keep scores that were computed elsewhere, by another process or in an earlier run.

        Args:
            candidates: Scored by a scorer with the same fingerprint.
        """
        for candidate in candidates:
            self._cache.setdefault(candidate.key, dict(candidate.scores))

    @property
    def statistics(self) -> ScorerStatistics:
        """Networks scored, cache hits and times, in this process."""
        return self._statistics

    def prepare_worker(self) -> None:
        """Use one torch thread, if this is another process than the one the scorer was made in.

        Several processes share the cores; the threads of one process share its torch threads.
        """
        if os.getpid() != self._pid:
            torch.set_num_threads(1)

    @property
    def fingerprint(self) -> str:
        """Changes when the scores would: builder's name, proxies, loss, seed, batch."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for function in (self._build_model, self._loss_fn, self._forward_fn):
                digest.update(f"{qualified_name(function)};".encode())
            digest.update(f"{self.score_names};{self._seed};".encode())
            _digest_tensors(digest, self._batch)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


def _digest_tensors(digest: Any, value: Any) -> None:
    """Feed the names, shapes, types and contents of all tensors in ``value`` to ``digest``."""
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().contiguous()
        digest.update(f"{array.dtype}{tuple(array.shape)}".encode())
        digest.update(array.flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Mapping):
        for name in value:
            digest.update(f"{name}:".encode())
            _digest_tensors(digest, value[name])
    elif isinstance(value, (tuple, list)):
        for item in value:
            _digest_tensors(digest, item)
    else:
        digest.update(repr(value).encode())
