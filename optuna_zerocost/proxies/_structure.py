"""The parts of a network, read once for all passes, and the weights of it that count.

The ``weight`` of every convolution, transposed convolution and linear layer counts, the
projections of attention, and the weight matrices of recurrent layers; and of other layers each
parameter of two or more dimensions that multiplies what flows, which a forward pass shows. Not
biases, not the parameters of normalisation layers, not embeddings, not complex numbers. A weight
that several layers share counts once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from optuna_zerocost.proxies._errors import NetworkError

__all__ = [
    "CONVOLUTIONS",
    "EMBEDDINGS",
    "NORMALISATIONS",
    "LayerWeight",
    "Structure",
    "own_weights",
]

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
NORMALISATIONS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.CrossMapLRN2d,
    nn.RMSNorm,
)
_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


@dataclass(frozen=True)
class LayerWeight:
    """One weight that counts, ``module.attribute``.

    Its parameters are what it is made of: itself, or the originals of a parametrised weight.
    """

    name: str
    module: nn.Module
    attribute: str
    parameters: tuple[nn.Parameter, ...]
    #: Over how many terms a product with it sums, where its shape does not say.
    summed: int | None = None

    @property
    def fan_in(self) -> int:
        """Over how many terms a product with it sums: by torch's convention, or as was seen."""
        parameter = self.parameters[0]
        return self.summed or max(1, parameter.numel() // len(parameter))

    def tensor(self) -> Tensor:
        """Return the weight, as the layer's forward sees it.

        A parametrised weight is computed anew each time, but for inside ``parametrize.cached()``.
        """
        value: Tensor = getattr(self.module, self.attribute)
        return value


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
    replaced: tuple[str, ...]
    #: Parameters of other layers, which may be weights: see `with_weights`.
    candidates: tuple[LayerWeight, ...] = ()

    @classmethod
    def of(cls, network: nn.Module) -> Structure:
        """Walk ``network``."""
        named_modules = list(network.named_modules())
        parameters: dict[nn.Parameter, str] = {}
        weights: dict[tuple[nn.Parameter, ...], LayerWeight] = {}
        replaced = []
        for prefix, module in named_modules:
            path = f"{prefix}." if prefix else ""
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    parameters.setdefault(parameter, path + name)
            for name in own_weights(module):
                sources = _parameters_of(module, name)
                if sources:
                    weights.setdefault(sources, LayerWeight(path + name, module, name, sources))
                elif name not in module._parameters:
                    replaced.append(path + name)
        return cls(
            network,
            tuple(module for _, module in named_modules),
            tuple((name, parameter) for parameter, name in parameters.items()),
            tuple(weights.values()),
            tuple(replaced),
            tuple(_candidates(named_modules, weights)),
        )

    def with_weights(self, fan_in: Mapping[int, int]) -> Structure:
        """Return the same with those candidates as weights whose ids are in ``fan_in``."""
        found = [
            dataclasses.replace(candidate, summed=fan_in[id(candidate.parameters[0])])
            for candidate in self.candidates
            if id(candidate.parameters[0]) in fan_in
        ]
        order = {parameter: index for index, (_, parameter) in enumerate(self.parameters)}
        weights = sorted(
            (*self.weights, *found), key=lambda weight: order.get(weight.parameters[0], 0)
        )
        return dataclasses.replace(
            self, weights=tuple(weights) if found else self.weights, candidates=()
        )

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield all parameters, and then all buffers under the names that their modules use."""
        yield from self.parameters
        for module in self.modules:
            yield from ((name, item) for name, item in module._buffers.items() if item is not None)

    def require_weights(self, *, readers: str) -> tuple[LayerWeight, ...]:
        """Return the weights that count, frozen ones included; raise if there are none."""
        if self.replaced:
            raise NetworkError(
                f"{self.replaced[0]!r}, which {readers} would read, is not a parameter, as after "
                "torch.nn.utils.weight_norm or prune; use torch.nn.utils.parametrizations "
                "instead, or apply it after scoring"
            )
        if not self.weights:
            raise NetworkError(
                f"{type(self.network).__name__} has no weight that {readers} could read: those of "
                "convolutional, linear, attention and recurrent layers of torch.nn count, and of "
                "other layers the parameters of two or more dimensions that multiply what flows"
            )
        return self.weights

    def of_kind(self, *kinds: type) -> list[nn.Module]:
        """Return the modules that are instances of any of ``kinds``, in module order."""
        # A network has hundreds of modules of a few classes.
        wanted = {kind for kind in set(map(type, self.modules)) if issubclass(kind, kinds)}
        return [module for module in self.modules if type(module) in wanted] if wanted else []

    def set_mode(self, *, training: bool) -> None:
        """Do what ``network.train(training)`` does, in a tenth of its time."""
        if any(type(module).train is not nn.Module.train for module in self.modules):
            self.network.train(training)  # some part has a mode of its own
            return
        for module in self.modules:
            # Past nn.Module's __setattr__, which looks for parameters and submodules first.
            vars(module)["training"] = training

    def require_gradients(self) -> None:
        """Let the weights that count be differentiated, frozen ones too."""
        for weight in self.weights:
            for parameter in weight.parameters:
                parameter.requires_grad_()


def own_weights(module: nn.Module) -> Iterator[str]:
    """Yield the names of the weights that count among the module's own, not its children's."""
    if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
        yield "weight"
    elif isinstance(module, nn.MultiheadAttention):
        # Its output projection is a Linear of its own.
        yield from _ATTENTION
    elif isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        yield from (name for name in module._parameters if name.startswith("weight_"))


def _candidates(
    named_modules: Sequence[tuple[str, nn.Module]],
    weights: Mapping[tuple[nn.Parameter, ...], LayerWeight],
) -> Iterator[LayerWeight]:
    """Yield the parameters that may be weights, though not by the class of their module."""
    taken = {parameter for parameters in weights for parameter in parameters}
    named_modules = [(prefix, module) for prefix, module in named_modules if module._parameters]
    for _, module in named_modules:
        if isinstance(module, (*NORMALISATIONS, *EMBEDDINGS)):
            taken.update(p for p in module._parameters.values() if p is not None)
    for prefix, module in named_modules:
        for name, parameter in module._parameters.items():
            if parameter is None or parameter in taken or is_lazy(parameter):
                continue
            if parameter.dim() > 1 and parameter.is_floating_point():
                taken.add(parameter)
                path = f"{prefix}.{name}" if prefix else name
                yield LayerWeight(path, module, name, (parameter,))


def _parameters_of(module: nn.Module, name: str) -> tuple[nn.Parameter, ...]:
    parameter = module._parameters.get(name)
    if parameter is not None:
        return (parameter,)
    if parametrize.is_parametrized(module, name):
        parametrizations: Any = module.parametrizations
        return tuple(parametrizations[name].parameters())
    return ()
