"""The pass over one minibatch of a network with Kaiming-normal weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from optuna_zerocost.proxies._activations import ActivationWatch, agreement
from optuna_zerocost.proxies._derivatives import forward_in_train_mode, gradients_of
from optuna_zerocost.proxies._errors import BatchError, NetworkError, OutputError
from optuna_zerocost.proxies._initialise import draw_kaiming
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request

__all__ = ["REGION_AGREEMENT", "TANGENT_KERNEL", "KaimingPass"]


@dataclass(frozen=True)
class KaimingPass(Pass):
    """Kaiming-normal weights, one forward in train mode, a backward a sample for the kernel."""

    @property
    def name(self) -> str:
        """The pass's name in messages."""
        return "Kaiming"

    def run(self, request: Request) -> Measured:
        """Run the forward pass and return the quantities that are wanted."""
        request.batch.check_values()
        if request.batch.size < 2:
            raise BatchError(
                "the batch has one sample, and samples are compared by "
                f"{request.who_reads(request.readers)}; pass at least two"
            )
        draw_kaiming(request.structure, readers=request.who_reads(request.readers))
        request.structure.require_gradients()
        request.structure.set_mode(training=True)
        agreements: list[Tensor] = []

        def note(codes: Tensor, _result: Tensor) -> None:
            agreements.append(agreement(codes))

        inputs = request.batch.copied()
        measured: dict[Quantity[Tensor], object] = {}
        if request.wants(REGION_AGREEMENT):
            readers = request.who_reads([REGION_AGREEMENT])
            with ActivationWatch(samples=request.batch.size, readers=readers, note=note):
                output = forward_in_train_mode(request, inputs, samples=request.batch.size)
            if not agreements:
                raise NetworkError(
                    f"{type(request.network).__name__} calls no ReLU-like activation, and "
                    f"{readers} reads their signs; ReLU, GELU, SiLU and their kin count"
                )
            measured[REGION_AGREEMENT] = torch.stack(agreements).sum(0)
        else:
            output = forward_in_train_mode(request, inputs, samples=request.batch.size)
        if request.wants(TANGENT_KERNEL):
            measured[TANGENT_KERNEL] = _tangent_kernel(request, output)
        return Measured(measured)


KAIMING = KaimingPass()

TANGENT_KERNEL: Quantity[Tensor] = Quantity(
    "tangent kernel",
    KAIMING,
    "products of the samples' gradients of their summed logits with respect to the weights, "
    "(N, N), float64 on the CPU",
)
REGION_AGREEMENT: Quantity[Tensor] = Quantity(
    "region agreement",
    KAIMING,
    "for each pair of samples the number of units that both switch on or both switch off, "
    "(N, N), float64 on the CPU",
)


def _tangent_kernel(request: Request, output: Tensor) -> Tensor:
    samples = request.batch.size
    if output.dim() == 0 or len(output) != samples:
        raise OutputError(
            f"the output has shape {tuple(output.shape)}, and "
            f"{request.who_reads([TANGENT_KERNEL])} reads the logits of each of {samples} "
            "samples; let the output have one row a sample"
        )
    tensors = [weight.tensor() for weight in request.structure.weights]
    rows = [gradients_of(logits.sum(), tensors, retain_graph=True) for logits in output]
    kernel = torch.zeros(samples, samples, dtype=torch.float64)
    for of_weight in zip(*rows, strict=True):
        found = {n: gradient for n, gradient in enumerate(of_weight) if gradient is not None}
        if found:
            like = next(iter(found.values()))
            jacobian = torch.stack(
                [found.get(n, torch.zeros_like(like)).flatten() for n in range(samples)]
            ).double()
            kernel += (jacobian @ jacobian.T).cpu()
    return kernel
