"""In words: what the scores were worth in a study, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost.rankings._learned import Learned
from optuna_zerocost.rankings._rank_correlation import Estimate, spearman
from optuna_zerocost.rankings._ranking import ByScore, Ranking
from optuna_zerocost.records import PREFIX, TRUST, History, stored_scores

__all__ = ["explain"]

# A share of the error below this is what chance explains as well.
_NOTICEABLE = 0.05


def explain(ranking: Ranking | None, history: History, *, measured: Collection[str] = ()) -> str:
    """Return some lines on the scores of a study: see ``ZeroCostSampler.explain``."""
    complete = [t for t in history.trials if t.state == TrialState.COMPLETE]
    names = dict.fromkeys(name for t in complete for name in stored_scores(t.user_attrs))
    if not names:
        return f"{len(complete)} trials are complete; none of them has a score yet."
    lines = [f"{len(complete)} trials are complete. Their scores and the objective:"]
    trust = ranking.trust(history) if isinstance(ranking, Learned) else {}
    if ranking is None:
        # The only one besides what is measured for limits, of a scorer that does not name it.
        own = [name for name in names if name not in measured]
        ranking = ByScore((own or list(names))[0])
    read = getattr(ranking, "names", ())
    doubted = _doubted(complete)
    for name in names:
        rho = _correlation(name, complete, history)
        words = [f"ρ = {rho.value:+.2f} ({rho.low:+.2f} to {rho.high:+.2f})"]
        if math.isnan(rho.value):
            words = ["there is nothing to compare yet"]
        if name in trust:
            words.append(_verdict(name, trust[name], rho, complete))
            if name in doubted:
                words.append(
                    "between alike networks it differs as between any others, so that it was read "
                    "no sooner than the trials spoke for it clearly"
                )
        elif isinstance(ranking, Learned):
            words.append(
                "is not looked at"
                if trust
                else "is trusted at first unless it looks like noise, and not judged yet"
            )
        else:
            words.append("decides" if name in read else "decides nothing")
        lines.append(f"- {name}: {'; '.join(words)}.")
    if isinstance(ranking, Learned):
        lines.append(_otherwise(complete))
    else:
        lines.append(f"The ranking is fixed, {ranking!r}: it does not learn from the trials.")
    is_noise = bool(doubted) and doubted.issuperset(trust)
    lines.append(
        "ρ is Spearman's over the complete trials, with a 95 % interval; above 0, networks with a "
        f"better score did better. {_chosen(complete, ranking, is_noise=is_noise)}"
    )
    return "\n".join(lines)


def _chosen(complete: Sequence[FrozenTrial], ranking: Ranking, *, is_noise: bool) -> str:
    # Of the warmup of Learned, the honest trials are random ones.
    trusting = math.inf
    if isinstance(ranking, Learned):
        trusting = 0 if is_noise and not ranking.trusts_noise else ranking.trusting
    by_score = 0
    for trial in complete:
        source = trial.user_attrs.get(f"{PREFIX}source")
        by_score += source == "move" or (source == "warmup" and trial.number < trusting)
    if not by_score:
        return "No trial was chosen with the help of the scores."
    which = "All" if by_score == len(complete) else f"{by_score}"
    return (
        f"{which} of the trials were chosen with the help of the scores, which narrows their "
        "range and lowers ρ."
    )


def _doubted(complete: Sequence[FrozenTrial]) -> set[str]:
    """Return the scores that looked like noise when the latest trial was chosen."""
    for trial in reversed(complete):
        told = trial.user_attrs.get(f"{PREFIX}doubted")
        if told is not None:
            return set(told.split(", ")) if told else set()
    return set()


def _correlation(name: str, complete: Sequence[FrozenTrial], history: History) -> Estimate:
    scored = [(stored_scores(trial.user_attrs), trial.values[0]) for trial in complete]
    pairs = [
        (history.score_sign(name) * scores[name], history.value_sign() * value)
        for scores, value in scored
        if name in scores and math.isfinite(value)
    ]
    return spearman([score for score, _ in pairs], [value for _, value in pairs])


def _verdict(name: str, trust: float, rho: Estimate, complete: Sequence[FrozenTrial]) -> str:
    share = f"{abs(trust):.0%} of the error that the parameters alone leave"
    if abs(trust) < _NOTICEABLE:
        return "explains nothing beyond the parameters, and is ignored"
    since: int | None = None
    for trial in complete:
        told = trial.user_attrs.get(f"{PREFIX}{TRUST}{name}")
        if told is not None:
            is_alike = abs(told) >= _NOTICEABLE and (told > 0) == (trust > 0)
            since = (trial.number if since is None else since) if is_alike else None
    noticed = "" if since is None else f", noticed since trial {since}"
    if rho.low < 0 < rho.high:
        noticed += ", which may be chance"
    way = "explains" if trust > 0 else "is used the other way round; so it explains"
    return f"{way} {share}{noticed}"


def _otherwise(complete: Sequence[FrozenTrial]) -> str:
    told = [t for t in complete if f"{PREFIX}otherwise" in t.user_attrs]
    others = [t for t in told if t.user_attrs[f"{PREFIX}otherwise"]]
    if not told:
        return "No trial was chosen by what was learned yet."
    if not others:
        return f"Without the scores, the same {len(told)} trials would have been chosen."
    return (
        f"Without the scores, {len(others)} of the {len(told)} learned choices would have been "
        f"others; trial {others[-1].number}, for one, would have been "
        f"{others[-1].user_attrs[f'{PREFIX}otherwise']}."
    )
