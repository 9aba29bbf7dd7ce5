"""The scorer for PyTorch: build the network that a trial describes, score it untrained."""

from __future__ import annotations

import contextlib
import gc
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import nn

from optuna_zerocost import proxies as _proxies
from optuna_zerocost.scoring._building import BuildingScorer
from optuna_zerocost.scoring._lazy import give_shapes
from optuna_zerocost.scoring._limits import Limits
from optuna_zerocost.scoring._measuring import NetworkMeter
from optuna_zerocost.scoring._network_builder import Draft
from optuna_zerocost.scoring._signature import signature_of

__all__ = ["ModelScorer"]


class ModelScorer(BuildingScorer):
    """Scores the network that ``build_model`` makes of a trial's parameters, without training it.

    The weights are a function of the architecture: ``build_model`` runs with the global random
    states (Python, NumPy, torch) seeded, and they are put back afterwards, so that an
    architecture has one score in every worker, on every day. Lazy layers get their shapes from a
    run on two samples of the batch. Scores are kept in memory by architecture; asking for one
    again costs no pass over the network.

    Args:
        build_model: Makes an untrained network from a trial, define-by-run. It is run with a
            trial-like object; the parameters that it asks for make up the architecture.
        batch: ``(inputs, targets)``, one minibatch: inputs a tensor with the batch first, a tuple
            of tensors (positional arguments of the network) or a mapping (keyword arguments);
            targets a tensor, or ``None`` if no proxy needs them. It is read, never changed. Or
            several, as :class:`optuna_zerocost.proxies.Minibatches`, for proxies such as zico; or
            a :class:`optuna_zerocost.proxies.Batch`, which says what each input is.
            It may be ``None`` if nothing but parameters is asked for.
        proxies: Names of proxies, see :func:`optuna_zerocost.proxies.names`, or ``Proxy`` objects;
            none of them if there are limits, for a search that is only limited.
        limits: What a network may cost. One outside is not scored, and the sampler draws again.
            What was measured is returned with the scores, and a ranking may read it.
        loss_fn: ``(outputs, targets) → scalar``, the mean over the batch. Default: cross-entropy.
        forward_fn: ``(network, inputs) → outputs``, for a network that returns something else than
            the tensor that the loss needs. Default: the network is called with the inputs.
        on_undefined: What becomes of a network for which a proxy is undefined or cannot be
            computed. ``"omit"``: that score is left out, and the network is ranked by its other
            scores; without any it comes last. ``"reject"``: the network is never used. A network
            for which no proxy can be computed, for another reason than that they are undefined
            (it does not run, say), is rejected in either case.
        device: Where networks and batch are scored. Default: where ``build_model`` puts them.
        seed: Seeds the weights and whatever is random in a pass.
        meta: Whether the builder first runs on the meta device, where networks have no weights, so
            that those which need not be scored never get any. ``None``: where the builder bears it
            (found out once) and it saves time or memory (measured). ``False``: never, for a
            builder that must not be called twice for one architecture. ``True``: wherever the
            builder bears it, so that no network outside of the limits on parameters and flops
            ever takes up memory. The results are the same.
        n_jobs: Number of processes that score a warmup's candidates, one torch thread each; ``-1``
            for one a core, ``None`` for what ``joblib.parallel_config`` says. They import the
            script that they are started from, so it needs ``if __name__ == "__main__":``.

    Raises:
        ValueError: If no proxy and no limit is given or a proxy is unknown, or ``batch`` is not a
            pair, or ``None`` although something runs on it.
    """

    def __init__(
        self,
        build_model: Callable[[Any], nn.Module],
        batch: tuple[Any, torch.Tensor | None]
        | _proxies.Batch
        | _proxies.Minibatches
        | None = None,
        proxies: Sequence[str | _proxies.Proxy] = ("synflow",),
        *,
        limits: Limits | None = None,
        loss_fn: Callable[[Any, torch.Tensor], torch.Tensor] | None = None,
        forward_fn: Callable[[nn.Module, Any], torch.Tensor] | None = None,
        on_undefined: Literal["reject", "omit"] = "omit",
        device: torch.device | str | None = None,
        seed: int = 0,
        n_jobs: int | None = 1,
        meta: bool | None = None,
    ) -> None:
        if isinstance(proxies, (str, _proxies.Proxy)):
            proxies = (proxies,)
        described = [_proxies.describe(p) if isinstance(p, str) else p for p in proxies]
        asked = {proxy.name: proxy for proxy in described}
        if not (described or limits) or len(asked) < len(described):
            raise ValueError(
                f"proxies is {proxies!r}, but it must name at least one proxy, each once, unless "
                f"there are limits. Known are {', '.join(_proxies.names())}."
            )
        is_pair = isinstance(batch, _proxies.Batch) or (
            isinstance(batch, (tuple, list)) and len(batch) == 2
        )
        if limits is not None and not isinstance(limits, Limits):
            raise TypeError(f"limits is {limits!r}, but it must be Limits(params=…, …) or None.")
        limited = limits.names if limits is not None else ()
        custom = limits.custom if limits is not None else {}
        if taken := sorted(set(custom) & {*asked, *_proxies.names()}):
            raise ValueError(
                f"custom limits are called {taken}, as proxies are. Choose other names."
            )
        # What is limited as well is measured for the limit.
        self._scored = tuple(name for name in asked if name not in limited)
        runs = [*self._scored, *(n for n in limited if n != "params" and n not in custom)]
        if batch is None and runs:
            raise ValueError(
                f"batch is None, but {', '.join(runs)} cannot be computed without a minibatch. "
                "Pass batch=(inputs, targets), or (inputs, None) without targets."
            )
        if batch is not None and not (is_pair or isinstance(batch, _proxies.Minibatches)):
            raise ValueError(
                f"batch is a {type(batch).__name__}, but it must be a pair (inputs, targets). "
                "Pass for example next(iter(data_loader)), or (inputs, None) if no proxy needs "
                "targets."
            )
        if on_undefined not in ("reject", "omit"):
            raise ValueError(
                f"on_undefined is {on_undefined!r}, but it must be 'reject' or 'omit'."
            )
        loss_fn = loss_fn or nn.functional.cross_entropy
        meter = None
        if limits is not None:
            first = batch.batches[0] if isinstance(batch, _proxies.Minibatches) else batch
            meter = NetworkMeter(limits, first, loss_fn=loss_fn, forward_fn=forward_fn, seed=seed)
        super().__init__(
            build_model, device=device, seed=seed, n_jobs=n_jobs, meter=meter, meta=meta
        )
        self._proxies = asked
        self.score_names = tuple(proxy.name for proxy in described)
        self.score_directions = {
            **{name: "minimize" for name in limited if name in ("memory_mb", "latency_ms")},
            **{proxy.name: proxy.direction for proxy in described},
        }
        self._batch = batch
        self._loss_fn = loss_fn
        self._forward_fn = forward_fn
        self._on_undefined = on_undefined

    def __call__(self, trial: Any, /) -> dict[str, float]:
        """Build one architecture, check the limits, and score it; see `BuildingScorer`."""
        # The network is gone when this returns, so what follows has little to collect.
        with _collector_paused():
            return super().__call__(trial)

    def _build(self, trial: Any) -> nn.Module:
        network = super()._build(trial)
        if self._batch is not None:
            batches = getattr(self._batch, "batches", (self._batch,))
            give_shapes(network, batches[0], self._forward_fn)
        return network

    def _network(self, made: Draft) -> str | None:
        if made.network is None and made.sketch is not None:
            made.sketched_as = made.sketched_as or signature_of(made.sketch)
            return made.sketched_as
        if made.network is not None and made.built_as is None:
            # A sketch that the comparison found right has the same signature.
            is_right = made.sketched_as is not None and not self._builder.meta.is_refused
            made.built_as = made.sketched_as if is_right else signature_of(made.network)
        return made.built_as

    def _scores_of(self, network: nn.Module) -> dict[str, float]:
        if not self._scored:
            return {}
        if self._on_undefined == "reject":
            return self._score_by(network, self._scored)
        scores, broken = self._scores_there_are(network, self._scored)
        if broken is not None and not scores:
            raise broken
        return {name: scores[name] for name in self._scored if name in scores}

    def _scores_there_are(
        self, network: nn.Module, names: Sequence[str]
    ) -> tuple[dict[str, float], _proxies.ProxyError | None]:
        """Return the scores that can be computed; and why others cannot, unless undefined."""
        try:
            return self._score_by(network, names), None
        except _proxies.ProxyError as error:
            for failed in (error, error.__cause__):
                if failed is not None:
                    # Its frames hold what that pass computed, which the next ones may lack.
                    traceback.clear_frames(failed.__traceback__)
            is_undefined = isinstance(error, _proxies.UndefinedScoreError)
            broken = None if is_undefined else error.with_traceback(None)
        # Pass by pass, then one by one, to find out which of them there are.
        sources = [self._proxies[name].source for name in names]
        if len(set(sources)) > 1:
            parts = [
                [name for name, own in zip(names, sources, strict=True) if own == source]
                for source in dict.fromkeys(sources)
            ]
        else:
            parts = [[name] for name in names] if len(names) > 1 else []
        scores: dict[str, float] = {}
        for part in parts:
            found, reason = self._scores_there_are(network, part)
            scores |= found
            broken = broken or reason
        return scores, broken

    def _score_by(self, network: nn.Module, names: Sequence[str]) -> dict[str, float]:
        return _proxies.score_network(
            network,
            self._batch,
            [self._proxies[name] for name in names],
            loss_fn=self._loss_fn,
            forward_fn=self._forward_fn,
            seed=self._seed,
        )

    def _determinants(self) -> Iterable[Any]:
        batch = self._batch
        return (
            # A proxy may have parameters of its own, such as those of reg_swap.
            [
                (p.name, p.function, getattr(p.function, "__dict__", {}))
                for p in self._proxies.values()
            ],
            self._loss_fn,
            self._forward_fn,
            self._on_undefined,
            batch.batches if isinstance(batch, _proxies.Minibatches) else batch,
        )


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python's cyclic garbage collector from running by itself.

    Making a network of some hundred modules starts it half a dozen times, in vain, since all of
    them are alive, and now and then it goes through everything that was ever imported. Most
    networks are freed without it, by their reference counts; one that refers to itself is
    collected afterwards. The collector belongs to the process, so other threads' garbage waits
    too.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
