"""Trainability and expressivity of a network with Kaiming-normal weights."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor

from optuna_zerocost.proxies._activations import ActivationWatch, agreement, no_activation
from optuna_zerocost.proxies._derivatives import gradients_of
from optuna_zerocost.proxies._errors import OutputError, UndefinedScoreError
from optuna_zerocost.proxies._initialise import draw_weights
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._registry import register
from optuna_zerocost.proxies._tensors import stacked

__all__ = ["REGION_AGREEMENT", "TANGENT_KERNEL", "linear_regions", "ntk_condition"]

_PAPER = "Chen et al., ICLR 2021"


class KaimingPass(Pass):
    """Kaiming-normal weights, one forward in train mode, a backward a sample for the kernel."""

    name = "Kaiming"

    def run(self, request: Request) -> Measured:
        request.batch.check_values()
        request.require_two_samples(request.readers)
        draw_weights(request, kaiming=True)
        request.structure.require_gradients()
        found: list[Tensor] = []
        samples, readers = request.batch.size, request.who_reads([REGION_AGREEMENT])
        watch = ActivationWatch(
            samples, readers, note=lambda codes, _: found.append(agreement(codes))
        )
        with watch if readers else contextlib.nullcontext():
            output = request.forward_in_train_mode(request.batch.copied(), samples=samples)
        measured: dict[Quantity[Tensor], object] = {}
        if request.wants(REGION_AGREEMENT):
            if not found:
                raise no_activation(request.network, readers)
            measured[REGION_AGREEMENT] = torch.stack(found).sum(0)
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


@register(
    "ntk_condition",
    reads=(TANGENT_KERNEL,),
    summary="λ_max/λ_min of the neural tangent kernel",
    direction="minimize",
    paper=_PAPER,
    fails="singular kernels (dead networks); parametrised weights; memory N × weights",
)
def ntk_condition(measured: Measured) -> float:
    """λ_max/λ_min of the N×N kernel of the samples' gradients; smaller is better.

    The gradients are those of the summed logits of each sample with respect to the weights that
    count, from one forward of the whole minibatch. They take N backward passes over it, and N
    copies of the weights: pass few samples.

    Raises:
        UndefinedScoreError: If the kernel is singular.
    """
    kernel = measured[TANGENT_KERNEL]
    if not bool(torch.isfinite(kernel).all()):
        raise UndefinedScoreError(
            "the neural tangent kernel, of which ntk_condition is the condition number, holds "
            "NaN or infinity: with Kaiming-normal weights the activations or gradients overflow; "
            "leave the proxy out, or reject the network",
            not_finite=True,
        )
    eigenvalues = torch.linalg.eigvalsh(kernel)
    least, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    if least <= len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps * largest:
        raise UndefinedScoreError(
            f"the neural tangent kernel of {len(eigenvalues)} samples is singular (eigenvalues "
            f"{least:g} to {largest:g}), so its condition number is infinite: two samples are "
            "equal, no gradient reaches the weights, or there are fewer weights than samples"
        )
    return largest / least


@register(
    "linear_regions",
    reads=(REGION_AGREEMENT,),
    summary="number of distinct activation patterns among the samples",
    paper=_PAPER,
    fails="no ReLU-like activation; saturates at the number of samples",
)
def linear_regions(measured: Measured) -> float:
    """Return into how many linear regions the samples fall, at most N.

    Two samples are in one region if they agree in every unit of every ReLU-like activation.
    """
    agreement = measured[REGION_AGREEMENT]
    same = agreement == agreement[0, 0]  # a sample agrees with itself in all units
    # argmax finds the first sample of each one's region.
    return float(len(set(same.int().argmax(1).tolist())))


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
        gradients = stacked(of_weight)
        if gradients is not None:
            jacobian = gradients.flatten(1).double()
            kernel += (jacobian @ jacobian.T).cpu()
    return kernel
