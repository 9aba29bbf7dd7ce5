"""A pool of random architectures, scored and put in order."""

from __future__ import annotations

import dataclasses
import sys
import time

from optuna.study import Study

from optuna_zerocost.commands._command_error import CommandError
from optuna_zerocost.rankings import Ranking, best_first
from optuna_zerocost.records import History, Pool
from optuna_zerocost.samplers import PoolSource, Warmup
from optuna_zerocost.scoring import ModelScorer

__all__ = ["rank_pool"]


def rank_pool(
    study: Study,
    scorer: ModelScorer,
    ranking: Ranking,
    *,
    candidates: int,
    wanted: int,
    seed: int | None,
) -> Pool:
    """Return a scored pool that is stored with ``study``, the best first.

    What is stored already is not scored again. What was done is told on the standard error
    stream, where a terminal has a progress bar too.

    Raises:
        CommandError: If the numbers do not fit, or no draw can be scored.
    """
    if wanted > candidates:
        raise CommandError(
            f"the best {wanted} of {candidates} candidates are asked for; take at least as many "
            "--candidates."
        )
    started = time.perf_counter()
    source = PoolSource(
        study, scorer, Warmup(candidates=candidates, trials=wanted), fixed={}, seed=seed
    )
    pool = source.get(0)
    if not pool.candidates and pool.outside and scorer.limits is not None:
        limits = ", ".join(map(scorer.limits.describe, scorer.limits.names))
        raise CommandError(
            f"none of {pool.draws} draws is within the limits: {limits}. Widen them with --limit, "
            "or the search space."
        )
    if not pool.candidates:
        raise CommandError(
            f"none of {pool.draws} draws could be scored. The first reason: "
            f"{' '.join(pool.reason.split())}"
        )
    history = History(
        directions=tuple(study.directions), score_directions=dict(scorer.score_directions)
    )
    order = best_first(ranking, pool.candidates, history)
    seconds = time.perf_counter() - started
    print(
        f"{len(pool.candidates)} different architectures in {pool.draws} draws, scored in "
        f"{seconds:.1f} s; {pool.rejected} draws rejected"
        + (f", {pool.outside} outside of the limits" if scorer.limits is not None else ""),
        file=sys.stderr,
    )
    if pool.rejected:
        print(f"  the first because of {' '.join(pool.reason.split())}", file=sys.stderr)
    return dataclasses.replace(pool, candidates=[pool.candidates[index] for index in order])
