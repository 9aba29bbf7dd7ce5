"""What is lost of a study's draws: those that are rejected, and scores that are undefined."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from optuna_zerocost.records import Candidate, Pool
from optuna_zerocost.samplers._common_parameters import in_common

__all__ = ["Losses"]

# It is worth a word if this share is lost, of so many draws at least, and so many of them.
_SHARE, _FEWEST_DRAWS, _FEWEST_LOST = 0.05, 20, 5

# The latest of each kind are looked at for what they have in common.
_MOST_KEPT = 1000

_MOST_REASONS = 3


class Losses:
    """Counts draws, and says in words what is lost of them once it is much.

    The ``score_names`` are those that should be there, as far as that is known; besides them, a
    name that any network has should be there for all.
    """

    def __init__(self, score_names: Sequence[str] = ()) -> None:
        self._names = dict.fromkeys(score_names)
        self._draws = self._rejected = self._scored = 0
        self._reasons: Counter[str] = Counter()
        self._first_of: dict[str, str] = {}
        self._missing: Counter[str] = Counter()
        self._told: set[str] = set()
        self._networks: deque[Candidate] = deque(maxlen=_MOST_KEPT)
        self._asked: deque[Candidate] = deque(maxlen=_MOST_KEPT)

    def add(self, drawn: Pool) -> None:
        """Count what was drawn for a trial or for a pool."""
        self._draws += drawn.draws
        self._rejected += drawn.rejected
        self._scored += len(drawn.candidates)
        self._networks.extend(drawn.candidates)
        self._asked.extend(reject.asked for reject in drawn.rejects)
        for reject in drawn.rejects:
            kind = reject.reason.partition(":")[0]
            self._reasons[kind] += 1
            self._first_of.setdefault(kind, reject.reason)
        new = [name for c in drawn.candidates for name in c.scores if name not in self._names]
        for name in dict.fromkeys(new):
            # No network before had it.
            self._missing[name] = self._scored - len(drawn.candidates)
            self._names[name] = None
        for candidate in drawn.candidates:
            self._missing.update(name for name in self._names if name not in candidate.scores)

    def rejections(self) -> str:
        """Return what to say about draws that were rejected, or nothing if they are few.

        Where nothing was accepted, there is nothing to compare with.
        """
        if not (self._scored and _is_much(self._rejected, self._draws)):
            return ""
        reasons = self._reasons.most_common(_MOST_REASONS)
        told = "; ".join(f"{self._first_of[kind]} ({count} times)" for kind, count in reasons)
        return (
            f"{self._rejected} of {self._draws} draws were rejected, which no trial can become"
            f"{f', because of {told}' if told else ''}.{_words_on(self._asked, self._networks)} "
            "Mend the builder or the search space if you want them. Further ones are only counted "
            "in the trials' attribute 'zerocost:rejected'."
        )

    def undefined(self) -> str:
        """Return what to say about scores that many networks lack, each of them once."""
        much = [
            name
            for name in self._names
            if name not in self._told and _is_much(self._missing[name], self._scored)
        ]
        if not self._names and not self._told and self._scored >= _FEWEST_DRAWS:
            self._told.add("")
            return (
                f"None of {self._scored} architectures has a score: the scorer returned no finite "
                "number for them. They are taken as they are drawn."
            )
        if not much:
            return ""
        self._told.update(much)
        counts = ", ".join(f"{name} for {self._missing[name]}" for name in much)
        lacking = [c for c in self._networks if any(name not in c.scores for name in much)]
        whole = [c for c in self._networks if all(name in c.scores for name in much)]
        return (
            f"Of {self._scored} networks, these scores are undefined: {counts}."
            f"{_words_on(lacking, whole)} Such networks are ranked by their other scores, or last "
            "if they have none."
        )


def _is_much(lost: int, of: int) -> bool:
    return lost >= _FEWEST_LOST and of >= _FEWEST_DRAWS and lost >= _SHARE * of


def _words_on(some: Sequence[Candidate], others: Sequence[Candidate]) -> str:
    conditions = in_common(some, others)
    return f" Typical of them: {', '.join(map(str, conditions))}." if conditions else ""
