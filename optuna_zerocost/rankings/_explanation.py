"""In words: what the scores were worth in a study, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost.rankings._prospects import prospects_in_words
from optuna_zerocost.rankings._rank_correlation import Estimate, spearman
from optuna_zerocost.rankings._ranking import BaseRanking
from optuna_zerocost.records import History, stored_scores

__all__ = ["explain"]


def explain(ranking: BaseRanking, history: History) -> str:
    """Return some lines on the scores of a study: see ``ZeroCostSampler.explain``."""
    complete = [t for t in history.trials if t.state == TrialState.COMPLETE]
    names = dict.fromkeys(name for t in complete for name in stored_scores(t.user_attrs))
    if not names:
        return f"{len(complete)} trials are complete; none of them has a score yet."
    account = ranking.account(history)
    lines = [f"{len(complete)} trials are complete. Their scores and the objective:"]
    for name in names:
        rho = _correlation(name, complete, history)
        words = f"ρ = {rho.value:+.2f} ({rho.low:+.2f} to {rho.high:+.2f})"
        if math.isnan(rho.value):
            words = "there is nothing to compare yet"
        lines.append(f"- {name}: {'; '.join([words, *account.on_score(name, rho)])}.")
    narrowing = "No trial was chosen with the help of the scores."
    if by_score := sum(map(account.is_by_score, complete)):
        narrowing = (
            f"{'All' if by_score == len(complete) else by_score} of the trials were chosen with "
            "the help of the scores, which narrows their range and lowers ρ."
        )
    lines += [
        account.on_choices(),
        *prospects_in_words(history),
        "ρ is Spearman's over the complete trials, with a 95 % interval; above 0, networks with a "
        f"better score did better. {narrowing}",
    ]
    return "\n".join(lines)


def _correlation(name: str, complete: Sequence[FrozenTrial], history: History) -> Estimate:
    scored = [(stored_scores(trial.user_attrs), trial.values[0]) for trial in complete]
    pairs = [
        (history.score_sign(name) * scores[name], history.value_sign() * value)
        for scores, value in scored
        if name in scores and math.isfinite(value)
    ]
    return spearman([score for score, _ in pairs], [value for _, value in pairs])
