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
    by_objective = [analysis.scores_of(study, target=target) for _, target, _ in objectives]
    trials = study.get_trials(deepcopy=False)
    scores = analysis.score_names(by_objective[0])
    params = list(dict.fromkeys(name for trial in trials for name in trial.params))
    single = len(objectives) == 1
    values = (
        ["value", "best_so_far"] if single else [f"values_{k}" for k in range(len(objectives))]
    )
    curve = iter(analysis.search_curve(study) if single else ())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["number", "state", "source", *values]
        + [f"score_{name}" for name in scores]
        + [f"params_{name}" for name in params]
    )
    for trial, *scored in zip(trials, *by_objective, strict=True):
        first = scored[0]
        told = ["" if one.value is None else one.value for one in scored]
        if single:
            told.append("" if first.value is None else next(curve))
        writer.writerow(
            [first.number, first.state.name, first.source or "", *told]
            + [first.scores.get(name, "") for name in scores]
            + [trial.params.get(name, "") for name in params]
        )
    return text.getvalue().rstrip("\n")
