"""The passes that run the network on parts of the data, one part at a time.

A part is normalised with its own statistics, so neither pass can be read off the pass over the
whole minibatch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.parametrize import cached

from optuna_zerocost.proxies._batch import Batch
from optuna_zerocost.proxies._derivatives import forward_in_train_mode, gradients_of, mean_loss
from optuna_zerocost.proxies._errors import BatchError
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._tensors import widened

__all__ = ["GRADIENT_SIGNS", "MINIBATCH_GRADIENTS", "MinibatchPass", "SamplePass"]


@dataclass(frozen=True)
class MinibatchPass(Pass):
    """One forward and backward in train mode for each minibatch.

    Of a single minibatch that was given, the two halves are the minibatches.
    """

    @property
    def name(self) -> str:
        """The pass's name in messages."""
        return "minibatch"

    def run(self, request: Request) -> Measured:
        """Differentiate each minibatch's loss with respect to the weights."""
        readers = request.who_reads([MINIBATCH_GRADIENTS])
        batches = (request.batch, *request.more_batches)
        if len(batches) == 1:
            if request.batch.size < 2:
                raise BatchError(
                    f"the batch has one sample, and {readers} compares the gradients of two "
                    "halves; pass at least two samples, or Minibatches"
                )
            half = request.batch.size // 2
            batches = (request.batch.part(0, half), request.batch.part(half, request.batch.size))
        gradients = [_weight_gradients(request, batch) for batch in batches]
        return Measured(
            {
                MINIBATCH_GRADIENTS: tuple(
                    torch.stack([_or_zeros(item, of_weight) for item in of_weight])
                    for of_weight in zip(*gradients, strict=True)
                    if any(item is not None for item in of_weight)
                )
            }
        )


@dataclass(frozen=True)
class SamplePass(Pass):
    """One forward and backward in train mode for each sample of the minibatch, alone.

    Not ``torch.func.vmap``: it rounds differently, so that signs near zero would depend on whether
    the network allows it, and BatchNorm and dropout do not without being changed.
    """

    @property
    def name(self) -> str:
        """The pass's name in messages."""
        return "single-sample"

    @property
    def holds_whole_batch(self) -> bool:
        """One sample is run at a time."""
        return False

    def run(self, request: Request) -> Measured:
        """Add up the signs of the samples' gradients."""
        sums: dict[int, Tensor] = {}
        for sample in range(request.batch.size):
            part = request.batch.part(sample, sample + 1)
            for index, gradient in enumerate(_weight_gradients(request, part)):
                if gradient is not None:
                    signs = gradient.sign()
                    sums[index] = sums[index].add_(signs) if index in sums else signs
        return Measured({GRADIENT_SIGNS: tuple(sums[index] for index in sorted(sums))})


MINIBATCH_GRADIENTS: Quantity[tuple[Tensor, ...]] = Quantity(
    "minibatch gradients",
    MinibatchPass(),
    "for each weight the gradients of the minibatches' mean losses, (minibatches, *shape); "
    "weights without a gradient are left out",
    needs_labels=True,
)
GRADIENT_SIGNS: Quantity[tuple[Tensor, ...]] = Quantity(
    "gradient signs",
    SamplePass(),
    "for each weight the sum over the samples of the sign of their loss's gradient; weights "
    "without a gradient are left out",
    needs_labels=True,
)


def _weight_gradients(request: Request, batch: Batch) -> list[Tensor | None]:
    request.require_labels()
    batch.check_values()
    readers = request.who_reads(request.readers)
    weights = request.structure.require_weights(readers=readers)
    request.structure.require_gradients()
    request.structure.set_mode(training=True)
    with cached():
        output = forward_in_train_mode(request, batch.copied(), samples=batch.size)
        tensors = [weight.tensor() for weight in weights]
        found = gradients_of(mean_loss(request, output, batch), tensors)
    return [None if gradient is None else widened(gradient) for gradient in found]


def _or_zeros(gradient: Tensor | None, others: tuple[Tensor | None, ...]) -> Tensor:
    if gradient is not None:
        return gradient
    return torch.zeros_like(next(other for other in others if other is not None))
