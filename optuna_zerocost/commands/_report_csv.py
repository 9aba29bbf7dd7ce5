"""The report of a study as comma-separated values: one line a trial."""

from __future__ import annotations

from optuna.study import Study

from optuna_zerocost import analysis
from optuna_zerocost.commands._csv_table import csv_table

__all__ = ["as_csv"]


def as_csv(study: Study) -> str:
    """Return number, state, source, values, best so far (of one objective), scores, parameters."""
    objectives = analysis.objectives(study)
    by_objective = [analysis.scores_of(study, target=target) for _, target, _ in objectives]
    values = [f"values_{index}" for index in range(len(objectives))]
    curve = None
    if len(objectives) == 1:
        values = ["value", "best_so_far"]
        curve = iter(analysis.search_curve(study))
    lines = []
    for trial, first, *others in zip(study.get_trials(deepcopy=False), *by_objective, strict=True):
        told = [one.value for one in (first, *others)]
        if curve is not None:
            told.append(None if first.value is None else next(curve))
        cells = [first.number, first.state.name, first.source, *told]
        lines.append((cells, first.scores, trial.params))
    return csv_table(["number", "state", "source", *values], lines)
