"""``optuna-zerocost score``: one architecture, scored without training."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna_zerocost.commands._arguments import Subparsers
from optuna_zerocost.commands._command_error import CommandError
from optuna_zerocost.commands._options import add_command, add_scoring, scorer_of
from optuna_zerocost.commands._user_code import where

__all__ = ["add_score"]


def add_score(subparsers: Subparsers) -> None:
    """Add the command ``score``."""
    parser = add_command(
        subparsers,
        "score",
        _score,
        summary="score one architecture",
        description="Build the network of given parameters and score it without training.",
        example=(
            "  optuna-zerocost score networks.py:build_model --batch 16x3x32x32 \\\n"
            '      --params \'{"depth": 3, "width": 64}\' --proxies synflow,snip'
        ),
    )
    add_scoring(parser)
    parser.add_argument(
        "--params",
        type=_parameters,
        default="{}",
        metavar="JSON",
        help="the architecture: parameter names and values; @FILE reads them from a file",
    )
    parser.add_argument("--format", choices=["text", "csv", "json"], default="text")


def _score(arguments: argparse.Namespace) -> None:
    from optuna_zerocost.commands._given_trial import GivenTrial
    from optuna_zerocost.proxies import ProxyError
    from optuna_zerocost.scoring import CandidateRejected, evaluate

    # Of one network alone it matters why a score is undefined.
    scorer = scorer_of(arguments, on_undefined="reject")
    trial = GivenTrial(arguments.params)
    try:
        scores = evaluate(scorer, trial)
    except CandidateRejected as error:
        cause = error.__cause__
        if isinstance(cause, CommandError):
            raise cause from None
        reason = str(error) if cause is None or isinstance(cause, ProxyError) else where(cause)
        raise CommandError(f"the network cannot be scored: {reason}") from error
    if unused := sorted(set(arguments.params) - set(trial.params)):
        raise CommandError(
            f"{arguments.builder} does not ask for {', '.join(unused)} here, but for "
            f"{', '.join(trial.params) or 'nothing'}. Leave out of --params what it does not use."
        )
    print(_render(scores, arguments.format))


def _render(scores: Mapping[str, float], form: str) -> str:
    if form == "json":
        return json.dumps(scores, indent=2)
    if form == "csv":
        return "\n".join(["score,value", *(f"{name},{value!r}" for name, value in scores.items())])
    width = max(map(len, scores))
    return "\n".join(f"{name:{width}}  {value:.6g}" for name, value in scores.items())


def _parameters(text: str) -> dict[str, Any]:
    source = text
    if text.startswith("@"):
        try:
            source = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise argparse.ArgumentTypeError(f"{text[1:]!r} cannot be read: {error}") from error
    try:
        found = json.loads(source)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not JSON: {error.msg} at character {error.pos + 1}. Write for example "
            '\'{"depth": 3, "activation": "relu"}\', in single quotes for the shell'
        ) from error
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(
            f'{text!r} is not an object of names and values, such as {{"depth": 3}}'
        )
    return found
