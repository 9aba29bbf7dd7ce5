"""Which weights of a network count.

The ``weight`` of every convolution, transposed convolution and linear layer, the projections of
attention, and the weight matrices of recurrent layers. Not biases, not the parameters of
normalisation layers, not embeddings. A weight that several layers share counts once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from optuna_zerocost.proxies._errors import NetworkError

__all__ = ["CONVOLUTIONS", "LayerWeight", "counted_weights", "require_weights"]

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


@dataclass(frozen=True)
class LayerWeight:
    """One weight that counts: its qualified name and the parameter."""

    name: str
    parameter: nn.Parameter


def _own_weights(module: nn.Module) -> Iterator[tuple[str, Tensor | None]]:
    """Yield the names and weights that count among the module's own, not its children's."""
    if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
        yield "weight", module.weight
    elif isinstance(module, nn.MultiheadAttention):
        # Its output projection is a Linear of its own.
        for name in _ATTENTION:
            yield name, getattr(module, name)
    elif isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        for name, parameter in module.named_parameters(recurse=False):
            if name.startswith("weight_"):
                yield name, parameter


def counted_weights(network: nn.Module) -> tuple[LayerWeight, ...]:
    """Return the weights that count, frozen ones included, in the order of the modules."""
    found: dict[int, LayerWeight] = {}
    for prefix, module in network.named_modules():
        for name, weight in _own_weights(module):
            if isinstance(weight, nn.Parameter) and id(weight) not in found:
                found[id(weight)] = LayerWeight(f"{prefix}.{name}".lstrip("."), weight)
    return tuple(found.values())


def require_weights(network: nn.Module, *, readers: str) -> tuple[LayerWeight, ...]:
    """Return the weights that count.

    Raises:
        NetworkError: If there are none.
    """
    weights = counted_weights(network)
    if not weights:
        raise NetworkError(
            f"{type(network).__name__} has no weight that {readers} could read: those of "
            "convolutional, linear, attention and recurrent layers of torch.nn count, and layers "
            "of your own count where they are built from these"
        )
    return weights
