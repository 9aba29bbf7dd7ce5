"""The scorer for PyTorch: build the network that a trial describes, score it untrained."""

from __future__ import annotations

import contextlib
import gc
import inspect
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn

from optuna_zerocost import proxies as _proxies
from optuna_zerocost.records import digest_of
from optuna_zerocost.scoring._building import BuildingScorer
from optuna_zerocost.scoring._lazy import give_shapes
from optuna_zerocost.scoring._limits import Limits
from optuna_zerocost.scoring._measuring import NetworkMeter
from optuna_zerocost.scoring._network_builder import Draft
from optuna_zerocost.scoring._objective import Objective
from optuna_zerocost.scoring._scorer import DrawingTrial
from optuna_zerocost.scoring._signature import signature_of

__all__ = ["ModelScorer"]

_Batch = tuple[Any, torch.Tensor | None] | _proxies.Batch | _proxies.Minibatches


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
            It may be ``None`` if nothing but parameters is asked for. Where shapes depend on the
            trial (a resolution, a sequence's length), a function of the trial that returns one of
            these: it may read ``trial.params``, or ask for parameters as the builder does, and
            what it asks for is part of the architecture. It runs under the same seed as the
            builder, once for each candidate.
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
        timeout: Seconds that the scoring of one network may take in a sampler or a pruner. With
            it, all of that is done in a process apart, one for each that scores, also with
            ``n_jobs=1`` and after the warmup, since a process that hangs can only be ended from
            outside: an architecture by which it dies or hangs twice is rejected. Builder, losses
            and batch are sent there as to joblib's processes.

    Raises:
        ValueError: If no proxy and no limit is given or a proxy is unknown, ``batch`` is not a
            pair, or ``None`` although something runs on it, or ``timeout`` is not above 0.
    """

    def __init__(
        self,
        build_model: Callable[[Any], nn.Module],
        batch: _Batch | Callable[[Any], _Batch] | None = None,
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
        timeout: float | None = None,
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
        if callable(batch):
            _check_function(batch)
        elif batch is not None:
            _check_batch(batch)
        if on_undefined not in ("reject", "omit"):
            raise ValueError(
                f"on_undefined is {on_undefined!r}, but it must be 'reject' or 'omit'."
            )
        loss_fn = loss_fn or nn.functional.cross_entropy
        meter = None
        if limits is not None:
            meter = NetworkMeter(limits, loss_fn=loss_fn, forward_fn=forward_fn, seed=seed)
        super().__init__(
            build_model,
            device=device,
            seed=seed,
            n_jobs=n_jobs,
            meter=meter,
            meta=meta,
            timeout=timeout,
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
        self._told: set[str] = set()

    @classmethod
    def from_objective(
        cls,
        objective: Callable[[Any], Any],
        batch: _Batch | Callable[[Any], _Batch] | None = None,
        proxies: Sequence[str | _proxies.Proxy] = ("synflow",),
        *,
        limits: Limits | None = None,
        loss_fn: Callable[[Any, torch.Tensor], torch.Tensor] | None = None,
        forward_fn: Callable[[nn.Module, Any], torch.Tensor] | None = None,
        on_undefined: Literal["reject", "omit"] = "omit",
        device: torch.device | str | None = None,
        seed: int = 0,
        n_jobs: int | None = 1,
        meta: bool | None = False,
        timeout: float | None = None,
    ) -> ModelScorer:
        """Return a scorer of the networks that an objective makes, without a builder.

        The objective has the line :func:`report_network(trial, network)
        <optuna_zerocost.report_network>` right after the network is made. For each candidate it is
        run up to that line, with the random states seeded, and ends there. What it asks for before
        is the architecture. What is printed meanwhile is not shown; what is reported, or set as an
        attribute of trial or study, is forgotten; runs of W&B and MLflow are ended. All else that
        is done before the line is done for each candidate: a warning says if that is slow.

        Args:
            objective: What ``study.optimize`` is given.
            batch: As for :class:`ModelScorer`, like the other arguments.
            proxies: Names of proxies, or ``Proxy`` objects.
            limits: What a network may cost.
            loss_fn: ``(outputs, targets) → scalar``.
            forward_fn: ``(network, inputs) → outputs``.
            on_undefined: What becomes of a network for which a proxy is undefined.
            device: Where networks are scored.
            seed: Seeds the weights and whatever is random in a pass.
            n_jobs: Number of processes that score a warmup's candidates.
            meta: Whether the objective may be run on the meta device first. Not by default: data
                that it loads once would stay there.
            timeout: Seconds that one candidate may take, in a process apart.

        Raises:
            ValueError: As for :class:`ModelScorer`.
            TypeError: If ``objective`` is no function.
        """
        source = Objective(objective)
        scorer = cls(
            objective,
            batch,
            proxies,
            limits=limits,
            loss_fn=loss_fn,
            forward_fn=forward_fn,
            on_undefined=on_undefined,
            device=device,
            seed=seed,
            n_jobs=n_jobs,
            meta=meta,
            timeout=timeout,
        )
        scorer._objective = source
        return scorer

    def __call__(self, trial: Any, /) -> dict[str, float]:
        """Build one architecture, check the limits, and score it; see `BuildingScorer`."""
        # The network is gone when this returns, so what follows has little to collect.
        with _collector_paused():
            return super().__call__(trial)

    def _make(self, trial: Any) -> Draft:
        draft = super()._make(trial)
        draft.batch = self._batch_for(trial)
        if callable(self._batch):
            # One network has as many scores as there are batches.
            draft.batch_as = f" {digest_of(_minibatches(draft.batch))[:8]}"
        return draft

    def _build(self, trial: Any, *args: Any) -> Any:
        network = super()._build(trial)
        if self._batch is not None:
            give_shapes(network, lambda: self._first_batch_for(trial), self._forward_fn)
        return network

    def _first_batch_for(self, trial: Any) -> Any:
        batch = self._batch_for(trial)
        return batch.batches[0] if isinstance(batch, _proxies.Minibatches) else batch

    def _batch_for(self, trial: Any) -> Any:
        if not callable(self._batch):
            return self._batch
        with _proxies.SeededRandomState(self._seed) as seeded:
            if isinstance(trial, DrawingTrial):
                trial.around_draw = seeded.paused
            batch = self._batch(trial)
        _check_batch(batch)
        return batch

    def _network(self, made: Draft) -> str | None:
        network = self._signature(made)
        return None if network is None else network + made.batch_as

    def _signature(self, made: Draft) -> str | None:
        if made.network is None and made.sketch is not None:
            made.sketched_as = made.sketched_as or signature_of(made.sketch)
            return made.sketched_as
        if made.network is not None and made.built_as is None:
            # A sketch that the comparison found right has the same signature.
            is_right = made.sketched_as is not None and not self._builder.meta.is_refused
            made.built_as = made.sketched_as if is_right else signature_of(made.network)
        return made.built_as

    def _scores_of(self, network: nn.Module, batch: Any) -> dict[str, float]:
        if not self._scored:
            return {}
        if self._on_undefined == "reject":
            return self._score_by(network, batch, self._scored)
        scores, broken = self._scores_there_are(network, batch, self._scored)
        for name, error in broken.items():
            if not scores:
                raise error
            self._tell_that_it_is_left_out(name, error)
        return {name: scores[name] for name in self._scored if name in scores}

    def _tell_that_it_is_left_out(self, name: str, error: _proxies.ProxyError) -> None:
        if name not in self._told:
            self._told.add(name)
            warnings.warn(
                f"The score {name} is left out for an architecture, and without a word for "
                f"further ones of which it cannot be computed: {error}.",
                stacklevel=2,
            )

    def _scores_there_are(
        self, network: nn.Module, batch: Any, names: Sequence[str]
    ) -> tuple[dict[str, float], dict[str, _proxies.ProxyError]]:
        """Return the scores that can be computed; and why others cannot, unless undefined."""
        try:
            return self._score_by(network, batch, names), {}
        except _proxies.ProxyError as error:
            for failed in (error, error.__cause__):
                if failed is not None:
                    # Its frames hold what that pass computed, which the next ones may lack.
                    traceback.clear_frames(failed.__traceback__)
            is_undefined = isinstance(error, _proxies.UndefinedScoreError)
            why = error.with_traceback(None)
        if len(names) == 1:
            return {}, {} if is_undefined else {names[0]: why}
        # Pass by pass, then one by one, to find out which of them there are.
        sources = [self._proxies[name].source for name in names]
        if len(set(sources)) > 1:
            parts = [
                [name for name, own in zip(names, sources, strict=True) if own == source]
                for source in dict.fromkeys(sources)
            ]
        else:
            parts = [[name] for name in names]
        scores: dict[str, float] = {}
        broken: dict[str, _proxies.ProxyError] = {}
        for part in parts:
            found, reasons = self._scores_there_are(network, batch, part)
            scores |= found
            broken |= reasons
        return scores, broken

    def _score_by(self, network: nn.Module, batch: Any, names: Sequence[str]) -> dict[str, float]:
        return _proxies.score_network(
            network,
            batch,
            [self._proxies[name] for name in names],
            loss_fn=self._loss_fn,
            forward_fn=self._forward_fn,
            seed=self._seed,
        )

    def _determinants(self) -> Mapping[str, Any]:
        return {
            # A proxy may have parameters of its own, such as those of reg_swap.
            "proxies": [
                (p.name, p.function, getattr(p.function, "__dict__", {}))
                for p in self._proxies.values()
            ],
            "loss": self._loss_fn,
            "forward": self._forward_fn,
            "on_undefined": self._on_undefined,
            "minibatch": _minibatches(self._batch),
        }


def _minibatches(batch: Any) -> Any:
    return batch.batches if isinstance(batch, _proxies.Minibatches) else batch


def _check_batch(batch: Any) -> None:
    is_pair = isinstance(batch, (tuple, list)) and len(batch) == 2
    if not (is_pair or isinstance(batch, (_proxies.Batch, _proxies.Minibatches))):
        raise ValueError(
            f"batch is a {type(batch).__name__}, but it must be a pair (inputs, targets). "
            "Pass for example next(iter(data_loader)), or (inputs, None) if no proxy needs "
            "targets."
        )


def _check_function(batch: Callable[..., Any]) -> None:
    try:
        inspect.signature(batch).bind(None)
    except TypeError as error:
        raise TypeError(
            f"batch is a function that cannot be called with the trial alone ({error}). Pass "
            "batch=lambda trial: …, or what the function returns."
        ) from None
    except ValueError:
        pass  # some functions written in C do not tell


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
