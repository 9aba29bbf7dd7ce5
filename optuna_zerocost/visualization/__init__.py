"""Figures of a study's scores and of what they brought, in the manner of optuna.visualization.

Each function returns a figure; where there is nothing to show, one that says what is missing. All
of them need plotly, ``pip install "optuna-zerocost[visualization]"``, and raise ``ImportError``
without it.
"""

from optuna_zerocost.visualization._plot_candidates import plot_candidates
from optuna_zerocost.visualization._plot_proxy_correlation import plot_proxy_correlation
from optuna_zerocost.visualization._plot_search_curves import plot_search_curves
from optuna_zerocost.visualization._plot_warmup import plot_warmup
from optuna_zerocost.visualization._plotly import GREY, see_through

__all__ = [
    "GREY",
    "plot_candidates",
    "plot_proxy_correlation",
    "plot_search_curves",
    "plot_warmup",
    "see_through",
]
