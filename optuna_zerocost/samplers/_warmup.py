"""The size of a warmup."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Warmup"]


@dataclass(frozen=True)
class Warmup:
    """A beginning of a study: the first trials are the best of many random architectures.

    Where the scorer has limits, the candidates are random architectures within them: what is
    outside is drawn again, at most ``Limits.draws`` times for each of the trials.

    Args:
        candidates: Number of random architectures that are scored. The paper uses 1000 to 3000.
        trials: So many trials are taken from the best of them, best first. The place of one that
            failed is given to a later one, once. The ranking ``Learned`` takes no more of them
            than it needs before it learns, and counts what failed.
        show_progress_bar: Show a progress bar while the pool is scored, in a notebook or if the
            standard error stream is a terminal.

    Raises:
        ValueError: If there are fewer candidates than trials, or less than one of either.
    """

    candidates: int = 1000
    trials: int = 64
    show_progress_bar: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= self.candidates:
            raise ValueError(
                f"Warmup(candidates={self.candidates}, trials={self.trials}) cannot be: the "
                "trials are the best of the candidates, so 1 ≤ trials ≤ candidates. To have no "
                "warmup, pass warmup=None to the sampler."
            )
