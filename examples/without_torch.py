"""Any function from a trial to named numbers is a scorer; torch is not needed.

Here an analytic cost model guides the search: the fewer multiplications a configuration of a
matrix product needs, the sooner it is measured.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna

from optuna_zerocost import Warmup, ZeroCostSampler


def configuration(trial: Any) -> tuple[int, int, list[int]]:
    rank = trial.suggest_int("rank", 4, 64, log=True)
    blocks = trial.suggest_int("blocks", 1, 4)
    return rank, blocks, [trial.suggest_categorical(f"width{i}", [64, 128]) for i in range(blocks)]


def multiplications(trial: Any) -> Mapping[str, float]:
    rank, _, widths = configuration(trial)
    return {"multiplications": sum(width * rank * 2 for width in widths)}


def objective(trial: optuna.Trial) -> float:
    rank, _, widths = configuration(trial)
    generator = np.random.default_rng(0)
    x = generator.standard_normal((256, 64))
    started = time.perf_counter()
    for width in widths:
        left = generator.standard_normal((x.shape[1], rank))
        x = np.maximum(x @ left @ generator.standard_normal((rank, width)), 0)
    return time.perf_counter() - started


if __name__ == "__main__":
    sampler = ZeroCostSampler(
        multiplications,
        ranking="-multiplications",  # fewer are better
        warmup=Warmup(candidates=200, trials=5),
        moves=8,
        seed=0,
    )
    study = optuna.create_study(direction="minimize", sampler=sampler)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    print(study.best_value, study.best_params)
