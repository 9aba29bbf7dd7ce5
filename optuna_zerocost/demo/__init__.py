"""The demo: real networks on handwritten digits, chosen with and without zero-cost proxies.

Small convolutional networks are trained on scikit-learn's handwritten digits: those that Optuna's
:class:`~optuna.samplers.TPESampler` chooses alone, those of the default
:class:`~optuna_zerocost.ZeroCostSampler`, and those of a fixed rule beside it. Run it with
``optuna-zerocost demo``.
"""

from optuna_zerocost.demo._arms import PROXIES, SCORES, Arm, Settings, publish, run
from optuna_zerocost.demo._digits import Digits, load_digits, train_and_validate
from optuna_zerocost.demo._failure import DemoError
from optuna_zerocost.demo._networks import build_model, seeded_network, suggest_training
from optuna_zerocost.demo._report import describe_arm, describe_settings, explain, render
from optuna_zerocost.demo._storage import open_storage

__all__ = [
    "PROXIES",
    "SCORES",
    "Arm",
    "DemoError",
    "Digits",
    "Settings",
    "build_model",
    "describe_arm",
    "describe_settings",
    "explain",
    "load_digits",
    "open_storage",
    "publish",
    "render",
    "run",
    "seeded_network",
    "suggest_training",
    "train_and_validate",
]
