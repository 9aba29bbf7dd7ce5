"""What scorers that build a network have in common: seeds, known scores, times, workers."""

from __future__ import annotations

import abc
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from optuna_zerocost.proxies._random import SeededRandomState
from optuna_zerocost.scoring._candidate import ArchitectureKey, Candidate, architecture_key
from optuna_zerocost.scoring._scorer import DrawingTrial, RepeatedArchitecture, qualified_name

__all__ = ["BuildingScorer", "ScorerStatistics"]


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


class BuildingScorer(abc.ABC):
    """Builds the network that a trial describes, under a seed, and scores it once.

    Args:
        build_model: Makes a network from a trial.
        device: Where networks are scored; ``None`` leaves them where they were built.
        seed: Seeds the weights.
        n_jobs: Number of processes that score a warmup.
    """

    score_names: tuple[str, ...]
    score_directions: dict[str, str]

    def __init__(
        self,
        build_model: Callable[..., nn.Module],
        *,
        device: torch.device | str | None,
        seed: int,
        n_jobs: int | None,
    ) -> None:
        if not callable(build_model):
            raise TypeError(
                f"build_model is {build_model!r}, but it must be a function that makes a network "
                "from a trial. Pass the function itself, not what it returns."
            )
        self._build_model = build_model
        self._device = device
        self._seed = seed
        self.n_jobs = n_jobs
        self._pid = os.getpid()
        self._cache: dict[ArchitectureKey, dict[str, float]] = {}
        self._statistics = ScorerStatistics()
        self._fingerprint: str | None = None

    @abc.abstractmethod
    def _score(self, network: nn.Module) -> dict[str, float]:
        """Score a network that was just built, on its device."""

    @abc.abstractmethod
    def _determinants(self) -> Iterable[Any]:
        """Return what the scores depend on, besides builder and seed: names, tensors, numbers."""

    def _build(self, trial: Any) -> nn.Module:
        return self._build_model(trial)

    def __call__(self, trial: Any, /) -> dict[str, float]:
        """Build and score one architecture.

        Args:
            trial: An Optuna trial, or anything with its ``suggest_*``, ``params`` and
                ``distributions``, e.g. ``optuna.trial.FixedTrial(params)``.

        Returns:
            Name → score.

        Raises:
            TypeError: If ``build_model`` returns something other than a network.
            optuna_zerocost.proxies.ProxyError: If a score is undefined for the network.
        """
        started = time.perf_counter()
        with SeededRandomState(self._seed) as seeded:
            if isinstance(trial, DrawingTrial):
                trial.around_draw = seeded.paused
            network = self._build(trial)
        built = time.perf_counter()
        key = architecture_key(trial.params, trial.distributions)
        is_known = key in self._cache
        if not is_known:
            if isinstance(trial, DrawingTrial) and trial.is_repeated():
                raise RepeatedArchitecture
            self._cache[key] = self._score(self._checked(network))
        scored = time.perf_counter()
        was = self._statistics
        self._statistics = ScorerStatistics(
            was.scored + (not is_known),
            was.cache_hits + is_known,
            was.build_seconds + built - started,
            was.score_seconds + (0.0 if is_known else scored - built),
        )
        return dict(self._cache[key])

    def _checked(self, network: Any) -> nn.Module:
        if not isinstance(network, nn.Module):
            raise TypeError(
                f"build_model returned {type(network).__name__}, but it must return the untrained "
                "network, a torch.nn.Module."
            )
        return network if self._device is None else network.to(self._device)

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
        """Changes when the scores would: builder's name, seed, data, settings."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for item in (type(self), self._build_model, self._seed, *self._determinants()):
                _feed(digest, item)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


def _feed(digest: Any, value: Any) -> None:
    """Feed ``value`` to ``digest``: tensors by content, functions by name."""
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().contiguous()
        digest.update(f"{array.dtype}{tuple(array.shape)}".encode())
        digest.update(array.flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Mapping):
        for name in value:
            digest.update(f"{name}:".encode())
            _feed(digest, value[name])
    elif isinstance(value, (tuple, list)):
        digest.update(f"[{len(value)}]".encode())
        for item in value:
            _feed(digest, item)
    elif callable(value):
        digest.update(f"{qualified_name(value)};".encode())
    else:
        digest.update(f"{value!r};".encode())
