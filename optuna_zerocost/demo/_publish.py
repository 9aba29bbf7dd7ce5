"""Figures of the demo's studies for optuna-dashboard."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.storages import BaseStorage

from optuna_zerocost import dashboard
from optuna_zerocost.demo._run import BASE, ZEROCOST, Arm

__all__ = ["publish"]

_LABELS = {BASE: "TPE alone", ZEROCOST: "zero-cost"}


def publish(arms: Sequence[Arm], storage: BaseStorage) -> None:
    """Store with each study its figures, a note, and the comparison of all.

    Args:
        arms: Studies that are done.
        storage: Where they are kept.

    Raises:
        ImportError: If plotly or optuna-dashboard is not installed.
    """
    studies = [optuna.load_study(study_name=arm.study_name, storage=storage) for arm in arms]
    curves = {
        label: [study for arm, study in zip(arms, studies, strict=True) if arm.name == name]
        for name, label in _LABELS.items()
    }
    for study in studies:
        dashboard.publish(study, curves=curves)
