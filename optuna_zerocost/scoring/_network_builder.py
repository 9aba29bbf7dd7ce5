"""Networks built under a seed, with weights or first without."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from optuna.trial import FixedTrial
from torch import nn
from torch.nn.parameter import is_lazy

from optuna_zerocost.proxies import SeededRandomState
from optuna_zerocost.scoring._meta import MetaDevice, is_small
from optuna_zerocost.scoring._scorer import DrawingTrial

__all__ = ["Draft", "NetworkBuilder"]


@dataclass
class Draft:
    """A trial's network, as far as it was built: a sketch without weights, the one with weights.

    The time for the sketch does not count the drawing of parameters. The batch is what the network
    is run on; where each trial has its own, ``batch_as`` tells it from others.
    """

    trial: Any
    sketch: nn.Module | None = None
    sketch_seconds: float = 0.0
    network: nn.Module | None = None
    # Signatures of these two.
    sketched_as: str | None = None
    built_as: str | None = None
    batch: Any = None
    batch_as: str = ""


class NetworkBuilder:
    """Runs a builder with the global random states seeded, which are put back afterwards.

    It counts the networks that it built with weights and those that it sketched without, and the
    seconds for both.
    """

    def __init__(self, build: Callable[[Any], nn.Module], *, seed: int, meta: MetaDevice) -> None:
        self._build = build
        self._seed = seed
        self.meta = meta
        self.built = self.sketched = 0
        self.seconds = 0.0

    def draft(self, trial: Any) -> Draft:
        """Run the builder: without weights, or with them, or both ways for a comparison."""
        # Only these trials answer a question a second time without asking a sampler again.
        is_repeatable = isinstance(trial, (DrawingTrial, FixedTrial))
        if not is_repeatable or not self.meta.pays():
            return Draft(trial, network=self.built_for(trial))
        draft = self._sketched(trial)
        if draft.sketch is None:
            draft.network = self.built_for(trial)
            # That went well, so it was the device that the builder did not bear.
            self.meta.is_refused = True
        elif not self.meta.is_settled and is_small(draft.sketch):
            self.finish(draft)
        return draft

    def finish(self, draft: Draft) -> nn.Module:
        """Return the network with weights; compare it with the sketch until both are known."""
        if draft.network is not None:
            return draft.network
        params = dict(draft.trial.params)
        started = time.perf_counter()
        draft.network = self.built_for(draft.trial)
        seconds = time.perf_counter() - started
        if draft.trial.params != params:
            self.meta.is_refused = True
        elif not self.meta.is_settled and draft.sketch is not None:
            self.meta.compare(
                draft.sketch, draft.network, sketch_seconds=draft.sketch_seconds, seconds=seconds
            )
        return draft.network

    def _sketched(self, trial: Any) -> Draft:
        """Build on the meta device, if that can be done."""
        usual_device = torch.get_default_device()
        drawing = 0.0
        started = time.perf_counter()
        try:
            with SeededRandomState(self._seed) as seeded, warnings.catch_warnings():
                # Weights that are loaded on the meta device go nowhere, as they should.
                warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter.*")

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
            return Draft(trial)
        finally:
            seconds = time.perf_counter() - started
            self.sketched += 1
            self.seconds += seconds
        if not isinstance(network, nn.Module) or any(map(is_lazy, network.parameters())):
            return Draft(trial)
        self.meta.saw(network)
        # Building with weights afterwards draws nothing, and is compared with this.
        return Draft(trial, network, seconds - drawing)

    def built_for(self, trial: Any) -> nn.Module:
        """Build with weights."""
        started = time.perf_counter()
        with SeededRandomState(self._seed) as seeded:
            if isinstance(trial, DrawingTrial):
                trial.around_draw = seeded.paused
            network = self._build(trial)
        self.built += 1
        self.seconds += time.perf_counter() - started
        if not isinstance(network, nn.Module):
            raise TypeError(
                f"build_model returned {type(network).__name__}, but it must return the untrained "
                "network, a torch.nn.Module, or report it: report_network(trial, network). For an "
                "objective with that line, use ModelScorer.from_objective."
            )
        tensors = (*network.parameters(), *network.buffers())
        if self.sketched and any(tensor.is_meta for tensor in tensors):
            raise TypeError(
                "build_model returned a network on the meta device, although it was called "
                "outside of it: it seems to keep layers from an earlier call. Make new layers in "
                "each call, or pass meta=False to ModelScorer."
            )
        if self.meta.reads_shapes and not any(map(is_lazy, network.parameters())):
            self.meta.saw(network)
        return network
