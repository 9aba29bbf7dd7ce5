"""A ModelScorer with a timeout: the same scores, from a process that may die."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import pytest
import torch
from optuna.trial import FixedTrial
from torch import nn

from optuna_zerocost.scoring import CandidateRejected, ModelScorer, TrialToScore, evaluate


def build(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 1, 9)
    if width == 6:
        raise KeyboardInterrupt
    if width == 7:
        sys.exit(2)
    if width == 8:
        time.sleep(1000)
    if width == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))


def test_what_a_builder_does_to_its_process_is_known_here() -> None:
    batch = torch.ones(4, 3), torch.tensor([0, 1, 0, 1])
    here = ModelScorer(build, batch, ["synflow", "snip"])
    apart = ModelScorer(build, batch, ["synflow", "snip"], timeout=2.0)
    trial = TrialToScore({"width": 4})
    assert evaluate(apart, trial) == here(FixedTrial({"width": 4}))
    assert trial.params == {"width": 4} and trial.network is not None
    with pytest.raises(KeyboardInterrupt):
        evaluate(apart, TrialToScore({"width": 6}))
    for width, reason in ((7, "SystemExit: 2"), (9, "ProcessDied: SIGKILL"), (8, "ProcessHung")):
        with pytest.raises(CandidateRejected, match=reason):
            evaluate(apart, TrialToScore({"width": width}))
    assert evaluate(apart, TrialToScore({"width": 4})) == here(FixedTrial({"width": 4}))


def test_a_timeout_is_a_number_of_seconds() -> None:
    with pytest.raises(ValueError, match=r"timeout is 0.*seconds above 0"):
        ModelScorer(build, (torch.ones(4, 3), None), timeout=0)
