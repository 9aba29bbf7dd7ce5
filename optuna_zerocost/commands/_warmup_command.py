"""``optuna-zerocost warmup``: the best of a pool, enqueued for workers without our sampler."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from optuna_zerocost.commands._arguments import Subparsers, positive
from optuna_zerocost.commands._options import (
    add_command,
    add_pool,
    add_scoring,
    add_study,
    ranking_of,
    scorer_of,
)

if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_zerocost.records import Pool
    from optuna_zerocost.scoring import ModelScorer

__all__ = ["add_warmup"]


def add_warmup(subparsers: Subparsers) -> None:
    """Add the command ``warmup``."""
    parser = add_command(
        subparsers,
        "warmup",
        _warmup,
        summary="enqueue the best of many architectures in a study",
        description=(
            "Score random architectures without training and enqueue the best of them in a "
            "study, best first. Its workers need nothing of optuna-zerocost: whatever their "
            "sampler, their next trials are these. Scores are stored with the study, so the same "
            "command goes on where it was interrupted, and enqueues nothing twice."
        ),
        example=(
            "  optuna-zerocost warmup networks.py:build_model --batch data.py:minibatch \\\n"
            "      --study nas --storage sqlite:///nas.db --direction maximize --trials 64"
        ),
    )
    add_scoring(parser)
    add_pool(parser)
    add_study(parser)
    parser.add_argument(
        "--direction",
        choices=["maximize", "minimize"],
        help="make the study with this direction if there is none",
    )
    parser.add_argument(
        "--trials", type=positive, default=64, metavar="K", help="how many are enqueued"
    )


def _warmup(arguments: argparse.Namespace) -> None:
    from optuna_zerocost.commands._ranked_pool import rank_pool
    from optuna_zerocost.commands._studies import open_study

    scorer = scorer_of(arguments)
    ranking = ranking_of(arguments.ranking, scorer)
    with open_study(
        arguments.study,
        arguments.storage,
        direction=arguments.direction,
        may_make="With --direction maximize or minimize, the study is made.",
    ) as study:
        pool = rank_pool(
            study,
            scorer,
            ranking,
            candidates=arguments.candidates,
            wanted=arguments.trials,
            seed=arguments.seed,
        )
        enqueued, known = _enqueue(study, scorer, pool, arguments.trials)
    print(
        f"{enqueued} trials enqueued in {arguments.study!r}"
        + (f"; {known} of the best are there already" if known else "")
    )


def _enqueue(study: Study, scorer: ModelScorer, pool: Pool, count: int) -> tuple[int, int]:
    """Enqueue the best ``count`` that the study does not have; return how many it was and not."""
    from optuna_zerocost import _compat
    from optuna_zerocost.records import PREFIX, KnownArchitectures

    known = KnownArchitectures(_compat.all_trials(study))
    best = pool.candidates[:count]
    new = [candidate for candidate in best if candidate.key not in known]
    told = {
        "source": "warmup",
        "candidates": len(pool.candidates),
        "rejected": pool.rejected + pool.outside,
        **({} if scorer.limits is None else {"feasible": pool.feasible}),
    }
    for candidate in new:
        network = {} if candidate.network is None else {"network": candidate.network}
        attributes = {**candidate.scores, **told, **network}
        study.enqueue_trial(
            dict(candidate.params),
            user_attrs={f"{PREFIX}{name}": value for name, value in attributes.items()},
        )
    return len(new), len(best) - len(new)
