"""The forward pass of the network as it is initialised, and what is noted of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from optuna_zerocost.proxies._activations import ActivationWatch, agreement
from optuna_zerocost.proxies._errors import NetworkError
from optuna_zerocost.proxies._pass import Request
from optuna_zerocost.proxies._random import RandomState
from optuna_zerocost.proxies._second_derivatives import QuickSecondDerivatives
from optuna_zerocost.proxies._structure import CONVOLUTIONS
from optuna_zerocost.proxies._tensors import nodes_behind, tensors_in, widened
from optuna_zerocost.proxies._watching import Function, hooked

__all__ = ["LayerOutput", "Record", "Wanted", "recorded_forward"]


@dataclass(frozen=True)
class LayerOutput:
    """The output a of one call of a layer, (N, C, S), and ∂L/∂a of the same shape.

    S is the number of positions (pixels, steps) that share the layer's weights, 1 if there are
    none. ``weights_per_channel`` is the size of the layer's weight divided by C.
    """

    activation: Tensor
    gradient: Tensor
    weights_per_channel: int


@dataclass(frozen=True)
class Wanted:
    """The notes that are wanted: for each kind the proxies that read it, empty for none."""

    calls: str
    maps: str
    agreements: str
    leaves: bool  # whether the inputs are to be differentiated by


@dataclass(frozen=True)
class Call:
    """One call of a layer with the output it gave."""

    layer: Any  # a convolution or a linear layer
    output: Tensor
    version: int

    def with_gradient(self, gradient: Tensor) -> LayerOutput:
        """Return the output with the gradient of the loss with respect to it."""
        activation, gradient = self._by_channel(self.output), self._by_channel(gradient)
        return LayerOutput(activation, gradient, self.layer.weight.numel() // activation.size(1))

    def _by_channel(self, value: Tensor) -> Tensor:
        """Arrange (N, C, H, W), or (N, T, C) of a linear layer, as (N, C, S)."""
        value = widened(value)
        if isinstance(self.layer, nn.Linear):
            value = value.unsqueeze(0) if value.dim() == 1 else value
            return value.flatten(1, -2).transpose(1, 2) if value.dim() > 2 else value.unsqueeze(2)
        if value.dim() == len(self.layer.kernel_size) + 1:  # a convolution of a single sample
            value = value.unsqueeze(0)
        return value.flatten(2)


class Record:
    """A forward pass of the network, with its output, the leaves of its inputs, and notes.

    With ``copies`` what follows a layer gets a copy of its output, so that the output, and the
    gradient with respect to it, stay the layer's own where an operation in place overwrites it.
    """

    def __init__(
        self, request: Request, wanted: Wanted, scaled: Sequence[Tensor] | None, *, copies: bool
    ) -> None:
        self.request = request
        self.wanted = wanted
        self.copies = copies
        self.quick = QuickSecondDerivatives(scaled or (), copies=copies)
        self.calls: list[Call] = []
        self.maps: list[Tensor] = []
        self.agreements: list[tuple[Any, Tensor]] = []
        batch, readers = request.batch, wanted.agreements
        inputs, self.leaves = batch.differentiable() if wanted.leaves else (batch.copied(), [])
        watch = ActivationWatch(batch.size, readers, note=self._note_codes)
        with (
            contextlib.nullcontext() if scaled is None else self.quick,
            watch if readers else contextlib.nullcontext(),
            hooked(self._hooks()),
        ):
            self.output: Any = request.any_output_in_train_mode(inputs, samples=batch.size)

    def is_overwritten(self) -> bool:
        """Return whether an output that is needed is no longer what the layer put out."""
        lost = any(call.output._version != call.version for call in self.calls)
        return lost or self.quick.has_lost_output()

    def feature_maps(self) -> tuple[Tensor, ...]:
        """Return the maps that modules put out."""
        if not self.maps:
            raise NetworkError(
                f"no module of {type(self.request.network).__name__} put out a map (N, channels, "
                f"positions), which {self.wanted.maps} reads; choose other proxies for a network "
                "of vectors"
            )
        return tuple(self.maps)

    def agreement(self) -> Tensor:
        """Return the sum of the agreements in the activations that reach the output."""
        behind = (node for output in tensors_in(self.output) for node in nodes_behind(output))
        reaching = {node for node, _ in self.agreements}.intersection(behind)
        found = [agreement for node, agreement in self.agreements if node in reaching]
        if not found:
            raise NetworkError(
                f"no ReLU-like activation of {type(self.request.network).__name__} reaches the "
                f"output, and {self.wanted.agreements} reads their inputs' signs "
                f"({len(self.agreements)} were called); ReLU, GELU, SiLU and their kin count, "
                "tanh and sigmoid do not"
            )
        return torch.stack(found).sum(0)

    def _hooks(self) -> Iterator[tuple[nn.Module, Function]]:
        for module in self.request.structure.modules:
            if self.wanted.calls and isinstance(module, (*CONVOLUTIONS, nn.Linear)):
                yield module, self._note_call
            if self.wanted.maps:
                yield module, self._note_map

    def _note_call(self, layer: nn.Module, _arguments: Any, output: Any) -> Tensor | None:
        if not isinstance(output, Tensor):
            raise NetworkError(
                f"a {type(layer).__name__} put out a {type(output).__name__}, and "
                f"{self.wanted.calls} reads one tensor of each convolution and linear layer; "
                "leave it out for this network"
            )
        if not output.requires_grad:
            return None
        self.calls.append(Call(layer, output, output._version))
        return output.clone() if self.copies else None

    def _note_map(self, _module: nn.Module, _arguments: Any, output: Any) -> None:
        samples = self.request.batch.size
        if isinstance(output, Tensor) and output.dim() > 2 and len(output) == samples:
            self.maps.append(widened(output[0]).flatten(1).clone())

    def _note_codes(self, codes: Tensor, result: Tensor) -> None:
        self.agreements.append((result.grad_fn, agreement(codes)))


def recorded_forward(request: Request, wanted: Wanted, scaled: Sequence[Tensor] | None) -> Record:
    """Run the network; with ``scaled``, these weights, for quick second derivatives."""
    in_place = any(getattr(module, "inplace", False) for module in request.structure.modules)
    # What convolutions put out is seldom overwritten, since normalisation comes between.
    is_likely = wanted.calls and in_place
    if (wanted.calls or scaled is not None) and not is_likely:
        # Copies would take memory and time, so first without them.
        before = RandomState()
        record = Record(request, wanted, scaled, copies=False)
        if not record.is_overwritten():
            return record
        del record
        before.restore()
        request.rewind()
        request.structure.require_gradients()
    return Record(request, wanted, scaled, copies=True)
