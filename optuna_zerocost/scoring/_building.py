"""What scorers that build networks have in common: seeds, limits, known scores, times."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import hashlib
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from optuna.trial import FixedTrial
from torch import nn
from torch.nn.parameter import is_lazy

from optuna_zerocost.proxies import SeededRandomState
from optuna_zerocost.records import (
    ArchitectureKey,
    Candidate,
    architecture_key,
    described,
    qualified_name,
)
from optuna_zerocost.scoring._limits import SHAPE_LIMITS, Limits, OutsideLimits
from optuna_zerocost.scoring._measuring import NetworkMeter
from optuna_zerocost.scoring._meta import MetaDevice, has_meta_tensors
from optuna_zerocost.scoring._scorer import DrawingTrial, RepeatedArchitecture

__all__ = ["BuildingScorer", "ScorerStatistics"]


@dataclass(frozen=True)
class ScorerStatistics:
    """What a scorer has done so far in this process.

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


@dataclass(frozen=True)
class _Sketch:
    """A network without weights, and the seconds that it took to build."""

    network: nn.Module
    seconds: float


class BuildingScorer(abc.ABC):
    """Builds the network that a trial describes, under a seed, and scores it once.

    Args:
        build_model: Makes a network from a trial.
        device: Where networks are scored; ``None`` leaves them where they were built.
        seed: Seeds the weights.
        n_jobs: Number of processes that score a warmup.
        limits: What a network may cost; ``None`` for no limits.
        meter: Measures what is limited; ``None`` where nothing is.
        meta: Whether networks are first built on the meta device: ``False`` for never, ``True``
            for always, ``None`` for where it works and saves time or memory.
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
        limits: Limits | None = None,
        meter: NetworkMeter | None = None,
        meta: bool | None = None,
    ) -> None:
        if meta not in (None, True, False):
            raise TypeError(f"meta is {meta!r}, but it must be True, False or None.")
        if not callable(build_model):
            raise TypeError(
                f"build_model is {build_model!r}, but it must be a function that makes a network "
                "from a trial. Pass the function itself, not what it returns."
            )
        self._build_model = build_model
        self._device = device
        self._seed = seed
        self.n_jobs = n_jobs
        self.limits = limits
        self._meter = meter
        self._meta = MetaDevice(
            meta, reads_shapes=not SHAPE_LIMITS.isdisjoint(limits.names if limits else ())
        )
        self._pid = os.getpid()
        self._sketch_limits = tuple(name for name in self._limited if name in SHAPE_LIMITS)
        self._outside: dict[ArchitectureKey, dict[str, float]] = {}
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
        """Build one architecture, check the limits, and score it.

        Args:
            trial: An Optuna trial, or anything with its ``suggest_*``, ``params`` and
                ``distributions``, e.g. ``optuna.trial.FixedTrial(params)``.

        Returns:
            Name → score, and what was measured for the limits.

        Raises:
            TypeError: If ``build_model`` returns something other than a network.
            OutsideLimits: If the network is outside of the limits.
            optuna_zerocost.proxies.ProxyError: If a score is undefined for the network.
        """
        sketch, network = self._drawn(trial)
        key = architecture_key(trial.params, trial.distributions)
        if key in self._cache:
            self._meta.drawn(needs_weights=False)
            self._statistics += ScorerStatistics(cache_hits=1)
            return dict(self._cache[key])
        measured: dict[str, float] = {}
        try:
            self._check_known(key)
            if isinstance(trial, DrawingTrial) and trial.is_repeated():
                self._meta.drawn(needs_weights=False)
                raise RepeatedArchitecture
            if network is None:
                assert sketch is not None
                self._measure(sketch.network, measured, is_sketch=True)
                network = self._built_after(sketch, trial)
                if self._meta.is_refused:
                    # What the sketch was like says nothing.
                    measured.clear()
                    key = architecture_key(trial.params, trial.distributions)
            self._measure(network, measured, is_sketch=False)
        except OutsideLimits as error:
            self._outside[key] = error.measured
            self._meta.drawn(needs_weights=not SHAPE_LIMITS.issuperset(error.measured))
            self._statistics += ScorerStatistics(outside=1)
            raise
        self._meta.drawn(needs_weights=True)
        started = time.perf_counter()
        scores = {**measured, **self._score(self._placed(network))}
        seconds = time.perf_counter() - started
        self._statistics += ScorerStatistics(scored=1, score_seconds=seconds)
        # A score that is limited as well was measured, not scored; it keeps its place.
        ordered = {name: scores[name] for name in self.score_names if name in scores}
        self._cache[key] = ordered | scores
        return dict(self._cache[key])

    @property
    def _limited(self) -> tuple[str, ...]:
        return self.limits.names if self.limits is not None else ()

    def _drawn(self, trial: Any) -> tuple[_Sketch | None, nn.Module | None]:
        """Run the builder: without weights, or with them, or both ways for a comparison."""
        # Only these trials answer a question a second time without asking a sampler again.
        is_repeatable = isinstance(trial, (DrawingTrial, FixedTrial))
        if not is_repeatable or not self._meta.pays():
            return None, self._built(trial)
        sketch = self._sketched(trial)
        if sketch is None:
            network = self._built(trial)
            # That went well, so it was the device that the builder did not bear.
            self._meta.refuse()
            return None, network
        if self._meta.may_compare(sketch.network):
            return sketch, self._built_after(sketch, trial)
        return sketch, None

    def _sketched(self, trial: Any) -> _Sketch | None:
        """Build on the meta device; ``None`` if that cannot be done."""
        usual_device = torch.get_default_device()
        drawing = 0.0
        started = time.perf_counter()
        try:
            with SeededRandomState(self._seed) as seeded, _quiet_about_loading():

                @contextlib.contextmanager
                def around_draw() -> Iterator[None]:
                    nonlocal drawing
                    begun = time.perf_counter()
                    # Samplers may compute with torch themselves.
                    with seeded.paused(), torch.device(usual_device):
                        yield
                    drawing += time.perf_counter() - begun

                if isinstance(trial, DrawingTrial):
                    trial.around_draw = around_draw
                with torch.device("meta"):
                    network = self._build(trial)
        except Exception:
            # Building with weights will tell whose fault it is.
            return None
        finally:
            seconds = time.perf_counter() - started
            self._statistics += ScorerStatistics(sketched=1, build_seconds=seconds)
        if not isinstance(network, nn.Module) or any(map(is_lazy, network.parameters())):
            return None
        self._meta.saw(network)
        # Building with weights afterwards draws nothing, and is compared with this.
        return _Sketch(network, seconds - drawing)

    def _built(self, trial: Any) -> nn.Module:
        """Build with weights."""
        started = time.perf_counter()
        with SeededRandomState(self._seed) as seeded:
            if isinstance(trial, DrawingTrial):
                trial.around_draw = seeded.paused
            network = self._build(trial)
        seconds = time.perf_counter() - started
        self._statistics += ScorerStatistics(built=1, build_seconds=seconds)
        if not isinstance(network, nn.Module):
            raise TypeError(
                f"build_model returned {type(network).__name__}, but it must return the untrained "
                "network, a torch.nn.Module."
            )
        if self._statistics.sketched and has_meta_tensors(network):
            raise TypeError(
                "build_model returned a network on the meta device, although it was called "
                "outside of it: it seems to keep layers from an earlier call. Make new layers in "
                f"each call, or pass meta=False to {type(self).__name__}."
            )
        if self._meta.reads_shapes and not any(map(is_lazy, network.parameters())):
            self._meta.saw(network)
        return network

    def _built_after(self, sketch: _Sketch, trial: Any) -> nn.Module:
        """Build with weights what was built without; compare until the two are known."""
        params = dict(trial.params)
        started = time.perf_counter()
        network = self._built(trial)
        seconds = time.perf_counter() - started
        if trial.params != params:
            self._meta.refuse()
        elif not self._meta.is_settled:
            self._meta.compare(
                sketch.network, network, sketch_seconds=sketch.seconds, seconds=seconds
            )
        return network

    def _placed(self, network: nn.Module) -> nn.Module:
        return network if self._device is None else network.to(self._device)

    def _check_known(self, key: ArchitectureKey) -> None:
        if self.limits is not None and key in self._outside:
            raise OutsideLimits(self.limits, self._outside[key])

    def _measure(self, network: nn.Module, measured: dict[str, float], *, is_sketch: bool) -> None:
        """Add to ``measured`` what it lacks, in the limits' order, until one is broken."""
        if self.limits is None:
            return
        assert self._meter is not None
        network = network if is_sketch else self._placed(network)
        names = self._sketch_limits if is_sketch else self.limits.names
        started = time.perf_counter()
        try:
            for name in names:
                if name in measured:
                    continue
                try:
                    measured[name] = self._meter.measure(name, network)
                except Exception:
                    if not is_sketch:
                        raise
                    # Its forward does not run without values: it will be measured with them.
                    self._sketch_limits = tuple(n for n in names if n != name)
                    continue
                self.limits.check(measured)
        finally:
            seconds = time.perf_counter() - started
            self._statistics += ScorerStatistics(limit_seconds=seconds)

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
        """Changes when the scores would: builder's name, seed, data, settings, limits."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            items = [type(self), self._build_model, self._seed, *self._determinants()]
            if self.limits is not None:
                functions = {name: function for name, (function, _) in self.limits.custom.items()}
                items += [self.limits.ranges, functions, self.limits.samples, self.limits.backward]
            for item in items:
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
        digest.update(f"{described(value)};".encode())


@contextlib.contextmanager
def _quiet_about_loading() -> Iterator[None]:
    """Silence torch's warning that weights which are loaded on the meta device go nowhere."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter.*")
        yield
