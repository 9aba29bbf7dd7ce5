"""The demo: the same number of trainings on real images, with and without zero-cost proxies.

It trains small convolutional networks on scikit-learn's handwritten digits, with
:class:`~optuna.samplers.TPESampler` alone and with the same sampler inside a
:class:`~optuna_zerocost.ZeroCostSampler`, and compares. Run it with ``optuna-zerocost demo``.
"""

from optuna_zerocost.demo._errors import DemoError
from optuna_zerocost.demo._publish import publish
from optuna_zerocost.demo._report import (
    Comparison,
    compare,
    describe_arm,
    describe_settings,
    render,
)
from optuna_zerocost.demo._run import Arm, Settings, open_storage, run
from optuna_zerocost.demo._space import build_model, suggest_training
from optuna_zerocost.demo._training import Digits, load_digits, train_and_validate

__all__ = [
    "Arm",
    "Comparison",
    "DemoError",
    "Digits",
    "Settings",
    "build_model",
    "compare",
    "describe_arm",
    "describe_settings",
    "load_digits",
    "open_storage",
    "publish",
    "render",
    "run",
    "suggest_training",
    "train_and_validate",
]
