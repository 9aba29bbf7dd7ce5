"""How much the features of a network with Gaussian weights move with its inputs."""

from __future__ import annotations

import math

from optuna_zerocost.proxies._errors import UndefinedScoreError
from optuna_zerocost.proxies._gaussian_pass import FEATURE_CHANGE, RUNNING_VARIANCES
from optuna_zerocost.proxies._pass import Measured
from optuna_zerocost.proxies._registry import register

__all__ = ["zen"]


@register(
    "zen",
    reads=(FEATURE_CHANGE, RUNNING_VARIANCES),
    summary="log mean_n Σ|f(x) − f(x + 0.01ε)| + Σ_BN log √mean(running variance)",
    paper="Lin et al., ICCV 2021",
    fails="no BatchNorm with running statistics; parametrised weights",
)
def zen(measured: Measured) -> float:
    """Return log mean_n Σ|f(x) − f(x + 0.01ε)| + Σ_BN log √mean(running variance).

    f are the features before the last global pooling, whether a module, a function or ``mean``
    pools; weights, x and ε are N(0, 1). The running variances start at 1 and have seen both
    forwards; they undo what BatchNorm divided by.

    Raises:
        UndefinedScoreError: If the features do not change.
    """
    change = float(measured[FEATURE_CHANGE].mean())
    if change == 0.0:
        raise UndefinedScoreError(
            "noise on the inputs does not change the features before the global pooling, and zen "
            "takes the logarithm of the change; reject the network, which ignores its inputs"
        )
    scale = [0.5 * math.log(float(variance.mean())) for variance in measured[RUNNING_VARIANCES]]
    return math.log(change) + math.fsum(scale)
