"""The patterns of samples that the units of a network with Gaussian weights tell apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from optuna_zerocost.proxies._activations import ActivationWatch, no_activation
from optuna_zerocost.proxies._errors import ProxyDefinitionError
from optuna_zerocost.proxies._initialise import draw_weights
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._registry import Proxy, register

__all__ = ["NEURON_PATTERNS", "NeuronPatterns", "reg_swap", "swap"]

_PAPER = "Peng et al., ICLR 2024"


@dataclass(frozen=True)
class NeuronPatterns:
    """Patterns of samples that the units tell apart, counted.

    A unit's pattern says which samples switch it on. ``distinct`` is the number of different
    patterns among all units, the mean over the draws of the weights; ``parameters`` is the number
    of trainable parameters.
    """

    distinct: float
    parameters: int


class RedrawPass(Pass):
    """32 draws of the weights, for each a forward of the first 16 samples in train mode."""

    name = "redraw"

    def run(self, request: Request) -> Measured:
        request.batch.check_values()
        readers = request.who_reads(request.readers)
        batch = request.batch.inputs_of(min(16, request.batch.size))
        powers = 2 ** torch.arange(batch.size)
        counts = []
        for _ in range(32):
            draw_weights(request, kaiming=False)
            # Which of the 2^16 patterns occur.
            occurs = torch.zeros(2**batch.size, dtype=torch.bool)

            def note(codes: Tensor, _result: Tensor, occurs: Tensor = occurs) -> None:
                occurs[(codes.cpu() * powers[:, None]).sum(0)] = True

            watch = ActivationWatch(batch.size, readers, note=note)
            with torch.no_grad(), watch:
                request.forward_in_train_mode(batch.copied(), samples=batch.size)
            if not bool(occurs.any()):
                raise no_activation(request.network, readers)
            counts.append(int(occurs.sum()))
        trainable = sum(p.numel() for _, p in request.structure.parameters if p.requires_grad)
        return Measured({NEURON_PATTERNS: NeuronPatterns(sum(counts) / len(counts), trainable)})


NEURON_PATTERNS: Quantity[NeuronPatterns] = Quantity(
    "neuron patterns", RedrawPass(), "how many patterns of samples the units tell apart"
)


@register(
    "swap",
    reads=(NEURON_PATTERNS,),
    summary="number of distinct rows of the activation codes, units × 16 samples",
    paper=_PAPER,
    fails="no ReLU-like activation; parametrised weights",
)
def swap(measured: Measured) -> float:
    """Return the number of distinct rows of the activation codes, units × samples.

    The mean of 32 draws of the weights from N(0, 1); the first 16 samples, or all if there are
    fewer, go through the network together. ReLU-like activations count, by the signs of their
    inputs, which are those of their outputs.
    """
    return measured[NEURON_PATTERNS].distinct


def reg_swap(*, mu: float, sigma: float) -> Proxy:
    """Return swap·exp(−(P−μ)²/σ), which prefers networks of about μ parameters.

    It is a ``Proxy`` to be passed beside the names of others,
    ``score_network(network, batch, [reg_swap(mu=1e6, sigma=1e12), "synflow"])``, and has no entry
    in the registry, for nobody but the user knows μ and σ. To give it one, where names are wanted:
    ``register("reg_swap", reads=p.reads, summary=p.summary)(p.function)``, p what this returns.
    Far from μ, by more than 27√σ, it is 0.

    Args:
        mu: The preferred number of trainable parameters, P. The published implementation counts
            in thousands: multiply its μ by 1e3.
        sigma: How fast it falls off; not a standard deviation, but twice its square. Multiply the
            published implementation's by 1e6.

    Raises:
        ProxyDefinitionError: If they are not finite, or σ is not positive.
    """
    if not (math.isfinite(mu) and math.isfinite(sigma) and sigma > 0):
        raise ProxyDefinitionError(
            f"reg_swap was given mu={mu} and sigma={sigma}; pass the preferred number of "
            "parameters, and a positive sigma, which is twice the square of a width"
        )
    return Proxy(
        "reg_swap",
        _RegularisedSwap(mu, sigma),
        "maximize",
        (NEURON_PATTERNS,),
        f"swap · exp(−(P − {mu:g})² / {sigma:g}), P trainable parameters",
        _PAPER,
    )


@dataclass(frozen=True)
class _RegularisedSwap:
    mu: float
    sigma: float

    def __call__(self, measured: Measured) -> float:
        excess = measured[NEURON_PATTERNS].parameters - self.mu
        return swap(measured) * math.exp(-(excess**2) / self.sigma)
