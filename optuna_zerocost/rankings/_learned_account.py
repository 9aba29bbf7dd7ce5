"""Words on a study: what a ranking that learns has to tell of scores and choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost.rankings._rank_correlation import Estimate
from optuna_zerocost.rankings._ranking import Account
from optuna_zerocost.records import PREFIX, TRUST, History

__all__ = ["LearnedAccount"]

# A share of the error below this is what chance explains as well.
_NOTICEABLE = 0.05


class LearnedAccount(Account):
    """Words on the scores and choices of ``Learned``, given its ``trust`` in each score.

    The first ``trusting`` trials trust the scores, if all look like noise with ``trusts_noise``.
    """

    def __init__(
        self, history: History, trust: Mapping[str, float], *, trusting: int, trusts_noise: bool
    ) -> None:
        self._complete = [t for t in history.trials if t.state == TrialState.COMPLETE]
        self._trust = trust
        # The scores that looked like noise when the latest trial was chosen.
        told = [t.user_attrs.get(f"{PREFIX}doubted") for t in self._complete]
        latest = next((names for names in reversed(told) if names is not None), "")
        self._doubted = set(latest.split(", ")) if latest else set()
        is_noise = bool(self._doubted) and self._doubted.issuperset(trust)
        # Of the warmup, the honest trials are random ones.
        self._trusting = 0 if is_noise and not trusts_noise else trusting

    def on_score(self, name: str, rho: Estimate) -> Sequence[str]:
        """Return what a score explains, and since when."""
        if name not in self._trust:
            if self._trust:
                return ["is not looked at"]
            return ["is trusted at first unless it looks like noise, and not judged yet"]
        words = [_verdict(name, self._trust[name], rho, self._complete)]
        if name in self._doubted:
            words.append(
                "between alike networks it differs as between any others, so that it was read "
                "no sooner than the trials spoke for it clearly"
            )
        return words

    def on_choices(self) -> str:
        """Return a sentence on what would have been chosen without scores."""
        complete = self._complete
        told = [t for t in complete if f"{PREFIX}otherwise" in t.user_attrs]
        others = [t for t in told if t.user_attrs[f"{PREFIX}otherwise"]]
        if not told:
            return "No trial was chosen by what was learned yet."
        if not others:
            return f"Without the scores, the same {len(told)} trials would have been chosen."
        return (
            f"Without the scores, {len(others)} of the {len(told)} learned choices would have "
            f"been others; trial {others[-1].number}, for one, would have been "
            f"{others[-1].user_attrs[f'{PREFIX}otherwise']}."
        )

    def is_by_score(self, trial: FrozenTrial) -> bool:
        """Return whether ``trial`` was chosen with the help of the scores."""
        source = trial.user_attrs.get(f"{PREFIX}source")
        return source == "move" or (source == "warmup" and trial.number < self._trusting)


def _verdict(name: str, trust: float, rho: Estimate, complete: Sequence[FrozenTrial]) -> str:
    share = f"{abs(trust):.0%} of the error that the parameters alone leave"
    if abs(trust) < _NOTICEABLE:
        return "explains nothing beyond the parameters"
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
