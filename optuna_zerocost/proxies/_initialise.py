"""Weights drawn anew, for the passes whose proxies are defined on a certain initialisation.

What counts as a weight is drawn, its layer's biases become 0, normalisation layers scale by 1,
shift by 0 and forget their running statistics. Everything else, such as embeddings, stays as the
network was built. Values are drawn on the CPU, so that they do not depend on the device, from the
random state that is seeded for each pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from optuna_zerocost.proxies._errors import NetworkError
from optuna_zerocost.proxies._structure import NORMALISATIONS, Structure, own_weights

__all__ = ["draw_gaussian", "draw_kaiming", "drawn_like"]


def draw_gaussian(structure: Structure, *, readers: str) -> None:
    """Draw the weights from N(0, 1).

    Raises:
        NetworkError: If there are none, or one is parametrised.
    """
    _draw(structure, lambda weight: 1.0, readers)


def draw_kaiming(structure: Structure, *, readers: str) -> None:
    """Draw the weights from N(0, 2/fan_in), for ReLU; fan_in as torch counts it.

    Raises:
        NetworkError: If there are none, or one is parametrised.
    """
    _draw(structure, lambda weight: (2.0 * len(weight) / weight.numel()) ** 0.5, readers)


def drawn_like(tensor: Tensor) -> Tensor:
    """Return a tensor of N(0, 1) of the same shape, type and device."""
    return torch.randn(tensor.shape).to(dtype=tensor.dtype, device=tensor.device)


def _draw(structure: Structure, deviation: Callable[[Tensor], float], readers: str) -> None:
    for weight in structure.require_weights(readers=readers):
        parameter = weight.module._parameters.get(weight.attribute)
        if parameter is None:
            raise NetworkError(
                f"{weight.name!r} is parametrised, and {readers} draws weights anew, which a "
                "parametrisation may not allow; apply it after scoring"
            )
        parameter.data = drawn_like(parameter) * deviation(parameter)
    for module in structure.modules:
        if any(True for _ in own_weights(module)):
            for name, other in module._parameters.items():
                if other is not None and "bias" in name:
                    other.data = torch.zeros_like(other)
        if isinstance(module, NORMALISATIONS):
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    fill = torch.ones_like if name == "weight" else torch.zeros_like
                    parameter.data = fill(parameter)
            if getattr(module, "running_var", None) is not None:
                module.reset_running_stats()  # type: ignore[operator]
