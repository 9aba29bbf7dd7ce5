"""Weights drawn anew, for the passes whose proxies are defined on a certain initialisation.

What counts as a weight is drawn, its layer's biases become 0, normalisation layers scale by 1,
shift by 0 and forget their running statistics. Everything else, such as embeddings, stays as the
network was built. Values come from the random state that is seeded for each pass.
"""

from __future__ import annotations

import torch

from optuna_zerocost.proxies._errors import NetworkError
from optuna_zerocost.proxies._pass import Request
from optuna_zerocost.proxies._structure import NORMALISATIONS, own_weights
from optuna_zerocost.proxies._tensors import drawn_like

__all__ = ["draw_weights"]


def draw_weights(request: Request, *, kaiming: bool) -> None:
    """Draw the weights from N(0, 2/fan_in), for ReLU and with torch's fan_in, or from N(0, 1)."""
    readers = request.who_reads(request.readers)
    for weight in request.structure.require_weights(readers=readers):
        parameter = weight.module._parameters.get(weight.attribute)
        if parameter is None:
            raise NetworkError(
                f"{weight.name!r} is parametrised, and {readers} draws weights anew, which a "
                "parametrisation may not allow; apply it after scoring"
            )
        deviation = (2.0 / weight.fan_in) ** 0.5 if kaiming else 1.0
        parameter.data = drawn_like(parameter) * deviation
    owners = {id(weight.module) for weight in request.structure.weights}
    for module in request.structure.modules:
        if id(module) in owners or any(True for _ in own_weights(module)):
            for name, other in module._parameters.items():
                if other is not None and "bias" in name:
                    other.data = torch.zeros_like(other)
        if isinstance(module, NORMALISATIONS):
            for name, parameter in module._parameters.items():
                if parameter is not None and name in ("weight", "bias"):
                    fill = torch.ones_like if name == "weight" else torch.zeros_like
                    parameter.data = fill(parameter)
            if getattr(module, "running_var", None) is not None:
                module.reset_running_stats()  # type: ignore[operator]
