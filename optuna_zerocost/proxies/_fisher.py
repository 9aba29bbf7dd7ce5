"""Fisher information of the channels."""

from __future__ import annotations

from optuna_zerocost.proxies._loss_pass import LAYER_OUTPUTS
from optuna_zerocost.proxies._pass import Measured
from optuna_zerocost.proxies._registry import register
from optuna_zerocost.proxies._tensors import total

__all__ = ["fisher"]


@register(
    "fisher",
    reads=(LAYER_OUTPUTS,),
    summary="Σ_l f_l Σ_c ½ mean_n (Σ_s a·∂L/∂a)²",
    paper="Turner et al., ICLR 2020",
    fails="sees convolutions and linear layers only; tiny but not 0 on a dead network",
)
def fisher(measured: Measured) -> float:
    """Σ_l f_l Σ_c ½ mean_n (Σ_s a·∂L/∂a)², how much the loss depends on each channel.

    a is the output of layer l, n runs over the samples, c over its channels and s over the
    positions; f_l is the number of weights a channel has, so that a layer counts by its size. A
    layer that is called twice counts twice. The layers are convolutions and linear ones: attention
    and recurrent layers have no output before their nonlinearity, and their projections, inside
    fused kernels, do not count.
    """
    return total(
        0.5
        * layer.weights_per_channel
        * (layer.activation * layer.gradient).sum(2).square().mean(0).sum()
        for layer in measured[LAYER_OUTPUTS]
    )
