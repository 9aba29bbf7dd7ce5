"""The report of a study as comma-separated values: one line a trial."""

from __future__ import annotations

import csv
import io

from optuna.study import Study

from optuna_zerocost import analysis

__all__ = ["as_csv"]


def as_csv(study: Study) -> str:
    """Return number, state, source, values, best so far (of one objective), scores, parameters."""
    objectives = analysis.objectives(study)
    trials = study.get_trials(deepcopy=False)
    by_objective = [analysis.scores_of(study, target=target) for _, target, _ in objectives]
    scores = analysis.score_names(by_objective[0])
    params = analysis.names_in(trial.params for trial in trials)
    values = [f"values_{index}" for index in range(len(objectives))]
    curve = None
    if len(objectives) == 1:
        values = ["value", "best_so_far"]
        curve = iter(analysis.search_curve(study))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["number", "state", "source", *values]
        + [f"score_{name}" for name in scores]
        + [f"params_{name}" for name in params]
    )
    for trial, first, *others in zip(trials, *by_objective, strict=True):
        # What is missing is an empty cell.
        told = [one.value for one in (first, *others)]
        if curve is not None:
            told.append(None if first.value is None else next(curve))
        writer.writerow(
            [first.number, first.state.name, first.source, *told]
            + [first.scores.get(name) for name in scores]
            + [trial.params.get(name) for name in params]
        )
    return text.getvalue().rstrip("\n")
