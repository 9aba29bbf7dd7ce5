"""Scorers that build networks: seeds, limits, times, fingerprints."""

from __future__ import annotations

import abc
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from optuna_zerocost.records import digest_of, first_digest_of
from optuna_zerocost.scoring._limits import SHAPE_LIMITS
from optuna_zerocost.scoring._measuring import NetworkMeter
from optuna_zerocost.scoring._meta import MetaDevice
from optuna_zerocost.scoring._network_builder import Draft, NetworkBuilder
from optuna_zerocost.scoring._network_run import NetworkRun
from optuna_zerocost.scoring._objective import Objective
from optuna_zerocost.scoring._once import OnceScorer
from optuna_zerocost.scoring._signature import outline_of

__all__ = ["BuildingScorer", "ScorerStatistics"]


@dataclass(frozen=True)
class ScorerStatistics:
    """Counts and times of what a scorer has done so far in this process.

    Attributes:
        scored: Networks that were built and scored.
        cache_hits: Calls that were answered from what was known; the network was only built, since
            running the builder is what draws its parameters.
        build_seconds: Time for building, all calls together, on the meta device too.
        score_seconds: Time for scoring, all calls together.
        outside: Calls for an architecture outside of the limits, known ones included.
        limit_seconds: Time for measuring what is limited, all calls together.
        built: Networks that were built with weights.
        sketched: Networks that were built on the meta device, without weights.
    """

    scored: int = 0
    cache_hits: int = 0
    build_seconds: float = 0.0
    score_seconds: float = 0.0
    outside: int = 0
    limit_seconds: float = 0.0
    built: int = 0
    sketched: int = 0

    @property
    def seconds_per_candidate(self) -> float:
        """Mean time for building a network, plus mean time for scoring one that is not known."""
        calls = max(self.scored + self.cache_hits + self.outside, 1)
        seconds = self.build_seconds + self.limit_seconds
        return seconds / calls + self.score_seconds / max(self.scored, 1)

    def __add__(self, other: ScorerStatistics) -> ScorerStatistics:
        """Return the sums."""
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return ScorerStatistics(*(one + another for one, another in pairs))


class BuildingScorer(OnceScorer[Draft]):
    """Builds the network that a trial describes, under a seed, and scores it once.

    The arguments are those of a ``ModelScorer``; what is limited is what the ``meter`` measures.
    """

    score_names: Sequence[str]

    def __init__(
        self,
        build_model: Callable[..., nn.Module],
        *,
        device: torch.device | str | None,
        seed: int,
        n_jobs: int | None,
        meter: NetworkMeter | None = None,
        meta: bool | None = None,
        timeout: float | None = None,
    ) -> None:
        if timeout is not None and not timeout > 0:
            raise ValueError(
                f"timeout is {timeout!r}, but it must be a number of seconds above 0, or None."
            )
        if meta not in (None, True, False):
            raise TypeError(f"meta is {meta!r}, but it must be True, False or None.")
        if not callable(build_model):
            raise TypeError(
                f"build_model is {build_model!r}, but it must be a function that makes a network "
                "from a trial. Pass the function itself, not what it returns."
            )
        super().__init__(None if meter is None else meter.limits)
        self._build_model: Callable[..., Any] = build_model
        self._objective: Objective | None = None
        self._device = device
        self._seed = seed
        self.n_jobs = n_jobs
        self.timeout = timeout
        self._meter = meter
        limited = () if meter is None else meter.limits.names
        self._builder = NetworkBuilder(
            self._build,
            seed=seed,
            meta=MetaDevice(meta, reads_shapes=not SHAPE_LIMITS.isdisjoint(limited)),
        )
        self._sketch_limits = tuple(name for name in limited if name in SHAPE_LIMITS)
        self._pid = os.getpid()
        self._counted = ScorerStatistics()

    @abc.abstractmethod
    def _scores_of(self, network: nn.Module, batch: Any) -> dict[str, float]:
        """Score a network that was just built, on its device, on the batch of its draft."""

    @abc.abstractmethod
    def _determinants(self) -> Mapping[str, Any]:
        """Return what the scores depend on, besides builder and seed, by name."""

    def _build(self, trial: Any, *args: Any) -> Any:
        """Return the network that the builder makes, or reports."""
        if self._objective is not None:
            return self._objective(trial)
        return NetworkRun(trial)(self._build_model, *args)

    def _make(self, trial: Any) -> Draft:
        return self._builder.draft(trial)

    def _measure(self, made: Draft) -> dict[str, float]:
        measured: dict[str, float] = {}
        if made.network is None and made.sketch is not None:
            self._measure_into(measured, made.sketch, made.batch, is_sketch=True)
            self._builder.finish(made)
            if self._builder.meta.is_refused:
                # What the sketch was like says nothing.
                measured.clear()
        self._measure_into(measured, self._placed(made), made.batch, is_sketch=False)
        return measured

    def _score(self, made: Draft, measured: Mapping[str, float]) -> dict[str, float]:
        self._builder.meta.drawn(needs_weights=True)
        started = time.perf_counter()
        scores = {**measured, **self._scores_of(self._placed(made), made.batch)}
        seconds = time.perf_counter() - started
        self._counted += ScorerStatistics(scored=1, score_seconds=seconds)
        if self._objective is not None:
            self._objective.scored(self._counted.score_seconds / self._counted.scored)
        # A score that is limited as well was measured, not scored; it keeps its place.
        ordered = {name: scores[name] for name in self.score_names if name in scores}
        return ordered | scores

    def _spared(self, *, was_scored: bool) -> None:
        self._builder.meta.drawn(needs_weights=False)
        self._counted += ScorerStatistics(cache_hits=int(was_scored))

    def _found_outside(self, measured: Mapping[str, float]) -> None:
        self._builder.meta.drawn(needs_weights=not SHAPE_LIMITS.issuperset(measured))
        self._counted += ScorerStatistics(outside=1)

    def _placed(self, made: Draft) -> nn.Module:
        network = self._builder.finish(made)
        return network if self._device is None else network.to(self._device)

    def _measure_into(
        self, measured: dict[str, float], network: nn.Module, batch: Any, *, is_sketch: bool
    ) -> None:
        """Add to ``measured`` what it lacks, in the limits' order, until one is broken."""
        if self._meter is None:
            return
        limits = self._meter.limits
        names = self._sketch_limits if is_sketch else limits.names
        started = time.perf_counter()
        try:
            for name in names:
                if name in measured:
                    continue
                try:
                    measured[name] = self._meter.measure(name, network, batch)
                except Exception:
                    if not is_sketch:
                        raise
                    # Its forward does not run without values: it will be measured with them.
                    self._sketch_limits = tuple(n for n in names if n != name)
                    continue
                limits.check(measured)
        finally:
            seconds = time.perf_counter() - started
            self._counted += ScorerStatistics(limit_seconds=seconds)

    @property
    def statistics(self) -> ScorerStatistics:
        """Networks scored, cache hits and times, in this process."""
        builder = self._builder
        return self._counted + ScorerStatistics(
            build_seconds=builder.seconds, built=builder.built, sketched=builder.sketched
        )

    def outline_of(self, trial: Any, /) -> Mapping[str, Any] | None:
        """Return what the network of ``trial`` is like, as ``report_network`` notes it."""
        return outline_of(self._builder.built_for(trial))

    def prepare_worker(self) -> None:
        """Use one torch thread, if this is another process than the one the scorer was made in.

        Several processes share the cores; the threads of one process share its torch threads.
        """
        if os.getpid() != self._pid:
            torch.set_num_threads(1)

    @functools.cached_property
    def determinants(self) -> Mapping[str, str]:
        """Digests of builder, seed, data, proxies, functions and limits, by name."""
        parts = {"scorer": type(self), "seed": self._seed, **self._determinants()}
        if self.limits is not None:
            functions = {name: function for name, (function, _) in self.limits.custom.items()}
            limits = self.limits
            parts["limits"] = limits.ranges, functions, limits.samples, limits.backward
        digests = {name: digest_of(part) for name, part in parts.items()}
        return {"builder": first_digest_of(self._build_model), **digests}
