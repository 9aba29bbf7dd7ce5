"""What a network is made of, read once for all passes, and which of its weights count.

The ``weight`` of every convolution, transposed convolution and linear layer counts, the
projections of attention, and the weight matrices of recurrent layers. Not biases, not the
parameters of normalisation layers, not embeddings. A weight that several layers share counts once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from optuna_zerocost.proxies._errors import NetworkError

__all__ = ["CONVOLUTIONS", "LayerWeight", "Structure"]

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


@dataclass(frozen=True)
class Structure:
    """The modules, parameters and counted weights of a network, each once, in module order.

    Walking the module tree of a cell-based network takes as long as some of its layers, so it
    is done once and not by every part of every pass.
    """

    network: nn.Module
    modules: tuple[nn.Module, ...]
    parameters: tuple[tuple[str, nn.Parameter], ...]
    weights: tuple[LayerWeight, ...]

    @classmethod
    def of(cls, network: nn.Module) -> Structure:
        """Walk ``network``."""
        modules = []
        parameters: dict[nn.Parameter, str] = {}
        weights: dict[nn.Parameter, LayerWeight] = {}
        for prefix, module in network.named_modules():
            modules.append(module)
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    parameters.setdefault(parameter, f"{prefix}.{name}".lstrip("."))
            for name, weight in _own_weights(module):
                if isinstance(weight, nn.Parameter):
                    qualified = f"{prefix}.{name}".lstrip(".")
                    weights.setdefault(weight, LayerWeight(qualified, weight))
        return cls(
            network,
            tuple(modules),
            tuple((name, parameter) for parameter, name in parameters.items()),
            tuple(weights.values()),
        )

    def require_weights(self, *, readers: str) -> tuple[LayerWeight, ...]:
        """Return the weights that count, frozen ones included.

        Raises:
            NetworkError: If there are none.
        """
        if not self.weights:
            raise NetworkError(
                f"{type(self.network).__name__} has no weight that {readers} could read: those of "
                "convolutional, linear, attention and recurrent layers of torch.nn count, and "
                "layers of your own count where they are built from these"
            )
        return self.weights


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
