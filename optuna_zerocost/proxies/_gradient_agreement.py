"""Agreement of the gradients of different data.

Their passes run the network on parts of the data, one part at a time. A part is normalised with
its own statistics, so neither pass can be read off the pass over the whole minibatch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.utils.parametrize import cached

from optuna_zerocost.proxies._derivatives import gradients_of, mean_loss
from optuna_zerocost.proxies._errors import BatchError, UndefinedScoreError
from optuna_zerocost.proxies._minibatch import Batch
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._registry import register
from optuna_zerocost.proxies._tensors import stacked, total, widened

__all__ = ["GRADIENT_SIGNS", "MINIBATCH_GRADIENTS", "gradsign", "zico"]


class MinibatchPass(Pass):
    """One forward and backward in train mode for each minibatch.

    Of a single minibatch that was given, the two halves are the minibatches.
    """

    name = "minibatch"

    def run(self, request: Request) -> Measured:
        readers = request.who_reads([MINIBATCH_GRADIENTS])
        batches = (request.batch, *request.more_batches)
        if len(batches) == 1:
            if request.batch.size < 2:
                raise BatchError(
                    f"the batch has one sample, and {readers} compares the gradients of two "
                    "halves; pass at least two samples, or Minibatches"
                )
            half = request.batch.size // 2
            batches = (
                request.batch.part(0, half, "the first half of the minibatch"),
                request.batch.part(half, request.batch.size, "the second half of the minibatch"),
            )
        cure = "pass at least four samples, of which zico takes halves, or Minibatches of two each"
        gradients = [_weight_gradients(request, batch, cure) for batch in batches]
        found = (stacked(of_weight) for of_weight in zip(*gradients, strict=True))
        return Measured({MINIBATCH_GRADIENTS: tuple(item for item in found if item is not None)})


MINIBATCH_GRADIENTS: Quantity[tuple[Tensor, ...]] = Quantity(
    "minibatch gradients",
    MinibatchPass(),
    "for each weight the gradients of the minibatches' mean losses, (minibatches, *shape); "
    "weights without a gradient are left out",
    needs_labels=True,
)


@register(
    "zico",
    reads=(MINIBATCH_GRADIENTS,),
    summary="Σ_l log Σ mean_b|g_b| / std_b(g_b), b the minibatches, or two halves of one",
    paper="Li et al., ICLR 2023",
    fails="halves a single minibatch, which changes BatchNorm's statistics; pass several",
)
def zico(measured: Measured) -> float:
    """Σ_l log Σ mean_b|g_b| / std_b(g_b): gradients that are large and agree.

    b runs over the minibatches, at least two: pass ``Minibatches``. Of a single minibatch the two
    halves are taken, each of which BatchNorm normalises on its own. The inner sum runs over the
    weights of layer l whose gradient differs between minibatches, with the population's standard
    deviation. Layers without such a weight are skipped.

    Raises:
        UndefinedScoreError: If that leaves no layer.
    """
    logarithms = []
    for gradients in measured[MINIBATCH_GRADIENTS]:
        deviation = gradients.std(0, correction=0)
        differs = deviation != 0
        ratios = gradients.abs().mean(0)[differs] / deviation[differs]
        if ratios.numel():
            logarithms.append(math.log(float(ratios.sum())))
    if not logarithms:
        raise UndefinedScoreError(
            "no weight's gradient differs between the minibatches, so zico has nothing to add up: "
            "the minibatches are equal, or no gradient reaches a weight"
        )
    return math.fsum(logarithms)


class SamplePass(Pass):
    """One forward and backward in train mode for each sample of the minibatch, alone.

    Not ``torch.func.vmap``: it rounds differently, so that signs near zero would depend on whether
    the network allows it, and BatchNorm and dropout do not without being changed.
    """

    name = "single-sample"
    holds_whole_batch = False  # One sample is run at a time.

    def run(self, request: Request) -> Measured:
        sums: dict[int, Tensor] = {}
        cure = f"leave out {request.who_reads(request.readers)}, which reads samples one by one"
        for sample in range(request.batch.size):
            part = request.batch.part(sample, sample + 1, f"sample {sample}")
            for index, gradient in enumerate(_weight_gradients(request, part, cure)):
                if gradient is not None:
                    signs = gradient.sign()
                    sums[index] = sums[index].add_(signs) if index in sums else signs
        return Measured({GRADIENT_SIGNS: tuple(sums[index] for index in sorted(sums))})


GRADIENT_SIGNS: Quantity[tuple[Tensor, ...]] = Quantity(
    "gradient signs",
    SamplePass(),
    "for each weight the sum over the samples of the sign of their loss's gradient; weights "
    "without a gradient are left out",
    needs_labels=True,
)


@register(
    "gradsign",
    reads=(GRADIENT_SIGNS,),
    summary="Σ |Σ_n sign(g_n)|, g_n the gradient of sample n",
    paper="Zhang and Jia, ICLR 2022",
    fails="BatchNorm over a single 1×1 map; slow on large batches",
)
def gradsign(measured: Measured) -> float:
    """Σ |Σ_n sign(g_n)|: on how many weights how many samples agree which way to go.

    As in the published implementation each sample goes through the network alone, in train mode,
    so that BatchNorm normalises it with its own statistics. That takes N small passes, and is
    impossible where BatchNorm sees a single value a channel.
    """
    return total(
        torch.linalg.vector_norm(signs, ord=1, dtype=torch.float64)
        for signs in measured[GRADIENT_SIGNS]
    )


def _weight_gradients(request: Request, batch: Batch, cure: str) -> list[Tensor | None]:
    request.require_labels()
    batch.check_values()
    weights = request.structure.require_weights(readers=request.who_reads(request.readers))
    request.structure.require_gradients()
    with cached():
        inputs = batch.copied()
        output = request.any_output_in_train_mode(inputs, samples=batch.size, cure=cure)
        tensors = [weight.tensor() for weight in weights]
        found = gradients_of(mean_loss(request, output, batch), tensors)
    return [None if gradient is None else widened(gradient) for gradient in found]
