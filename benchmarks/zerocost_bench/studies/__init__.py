"""Studies as users have them: architectures and how they are trained, searched together.

Use them like this::

    from zerocost_bench.studies import STUDIES

    user_study = STUDIES["digits-cnn"]
    sampler = ZeroCostSampler(user_study.make_scorer(), seed=3)
    study = optuna.create_study(directions=user_study.directions, sampler=sampler)
    study.optimize(user_study.objective(3), n_trials=user_study.trials, catch=user_study.catch)
    user_study.error(study, 20)             # after 20 trials, at least user_study.floor
    user_study.errors(study.trials)         # after each trial, as it is

``objective(seed)`` asks a trial for everything and trains; what is random in it is a function of
that seed and the trial's number alone. ``suggest_architecture(trial)`` asks for what the scorer
reads and returns a dictionary; studies that train networks (:class:`TrainingStudy`) have
``build_model(trial)``, ``suggest_training(trial)`` and ``train(architecture, training)`` besides.
:class:`UserStudy` tells the rest: directions, which exceptions are caught, what the error is.
"""

from __future__ import annotations

from zerocost_bench.studies.digit_studies import Convolutional, Dense, Recurrent, Transformer
from zerocost_bench.studies.many_parameters import ManyParameters
from zerocost_bench.studies.study import TrainingStudy, UserStudy, is_feasible
from zerocost_bench.studies.table_rows import Regression, Tabular
from zerocost_bench.studies.tables import HpoBench, NasBench201
from zerocost_bench.studies.variations import (
    Constraints,
    LargestFail,
    TwoObjectives,
    Undefined,
)

__all__ = ["STUDIES", "TrainingStudy", "UserStudy", "is_feasible"]

STUDIES: dict[str, UserStudy] = {
    study.name: study
    for study in (
        Convolutional(),
        Dense(),
        Recurrent(),
        Transformer(),
        Tabular(),
        Regression(),
        ManyParameters(),
        NasBench201(),
        HpoBench("vehicle", samples=254),
        HpoBench("segment", samples=686),
        LargestFail(),
        Constraints(),
        TwoObjectives(),
        Undefined(),
    )
}
"""Name → study."""
