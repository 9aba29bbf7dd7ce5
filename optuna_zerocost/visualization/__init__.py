"""Figures of a study's scores and of what they brought, in the manner of optuna.visualization.

Each function returns a figure; where there is nothing to show, one that says what is missing. All
of them need plotly, ``pip install "optuna-zerocost[visualization]"``, and raise ``ImportError``
without it.
"""

from optuna_zerocost.visualization._plot_candidates import plot_candidates
from optuna_zerocost.visualization._plot_proxy_correlation import plot_proxy_correlation
from optuna_zerocost.visualization._plot_search_curves import plot_search_curves
from optuna_zerocost.visualization._plot_warmup import plot_warmup

# Not for users: what the dashboard needs to dress a figure.
from optuna_zerocost.visualization._plotly import GREY as GREY
from optuna_zerocost.visualization._plotly import see_through as see_through

__all__ = ["plot_candidates", "plot_proxy_correlation", "plot_search_curves", "plot_warmup"]
