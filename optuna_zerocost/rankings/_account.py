"""Words on a study: what a fixed ranking has to tell of scores and choices."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from optuna_zerocost.rankings._rank_correlation import Estimate
from optuna_zerocost.records import PREFIX

__all__ = ["Account"]


class Account:
    """Words on the scores and choices of a ranking that does not learn.

    Args:
        ranking: The ranking, as its ``repr``.
        names: The scores that it reads.
    """

    def __init__(self, ranking: str, names: Sequence[str]) -> None:
        self._ranking = ranking
        self._names = names

    def on_score(self, name: str, rho: Estimate) -> Sequence[str]:
        """Return what a score did.

        Args:
            name: The score.
            rho: Its rank correlation with the objective.
        """
        return ["decides" if name in self._names else "decides nothing"]

    def on_choices(self) -> str:
        """Return a sentence on what would have been chosen otherwise."""
        return f"The ranking is fixed, {self._ranking}: it does not learn from the trials."

    def is_by_score(self, trial: FrozenTrial) -> bool:
        """Return whether ``trial`` was chosen with the help of the scores."""
        return trial.user_attrs.get(f"{PREFIX}source") in ("warmup", "move")
