"""``optuna-zerocost rank``: the best of many random architectures, without any study."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optuna_zerocost.commands._arguments import Subparsers, positive
from optuna_zerocost.commands._options import (
    add_command,
    add_pool,
    add_scoring,
    ranking_of,
    scorer_of,
)

if TYPE_CHECKING:
    from optuna_zerocost.records import Candidate

__all__ = ["add_rank"]

_COLUMNS = 80


def add_rank(subparsers: Subparsers) -> None:
    """Add the command ``rank``."""
    parser = add_command(
        subparsers,
        "rank",
        _rank,
        summary="the best of many random architectures",
        description=(
            "Draw random architectures from what the function suggests, score each without "
            "training, and print the best. No study is needed, and none is made."
        ),
        example=(
            "  optuna-zerocost rank networks.py:build_model --batch data.py:minibatch \\\n"
            "      --candidates 1000 --top 20 --format csv > best.csv"
        ),
    )
    add_scoring(parser)
    add_pool(parser)
    parser.add_argument(
        "--top", type=positive, default=20, metavar="K", help="how many are printed"
    )
    parser.add_argument("--format", choices=["text", "csv", "json"], default="text")


def _rank(arguments: argparse.Namespace) -> None:
    import optuna

    from optuna_zerocost.commands._ranked_pool import rank_pool

    scorer = scorer_of(arguments)
    ranking = ranking_of(arguments.ranking, scorer)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pool = rank_pool(
        optuna.create_study(),
        scorer,
        ranking,
        candidates=arguments.candidates,
        wanted=min(arguments.top, arguments.candidates),
        seed=arguments.seed,
    )
    render = {"text": _as_text, "csv": _as_csv, "json": _as_json}[arguments.format]
    print(render(pool.candidates[: arguments.top]))


def _as_text(best: Sequence[Candidate]) -> str:
    names = list(dict.fromkeys(name for candidate in best for name in candidate.scores))
    width = max(map(len, [*names, "-1.234e+100"])) + 2
    lines = ["rank" + "".join(f"{name:>{width}}" for name in names)]
    for rank, candidate in enumerate(best, start=1):
        cells = [
            f"{candidate.scores[name]:.4g}" if name in candidate.scores else "-" for name in names
        ]
        lines.append(f"{rank:>4}" + "".join(f"{cell:>{width}}" for cell in cells))
        params = ", ".join(f"{name}={value}" for name, value in candidate.params.items())
        lines += textwrap.wrap(
            params, _COLUMNS, initial_indent="      ", subsequent_indent="      "
        )
    return "\n".join(lines)


def _as_csv(best: Sequence[Candidate]) -> str:
    from optuna_zerocost.commands._csv_table import csv_table

    lines = [([rank], one.scores, one.params) for rank, one in enumerate(best, start=1)]
    return csv_table(["rank"], lines)


def _as_json(best: Sequence[Candidate]) -> str:
    found = [
        {"rank": rank, "params": dict(candidate.params), "scores": dict(candidate.scores)}
        for rank, candidate in enumerate(best, start=1)
    ]
    # Choices may be objects that JSON does not have, such as classes.
    return json.dumps(found, indent=2, default=repr)
