"""The options of all commands that score networks, and the scorer and ranking they stand for."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from optuna_zerocost.commands._arguments import HelpFormatter, Subparsers, names, natural, positive
from optuna_zerocost.commands._command_error import CommandError, guarded
from optuna_zerocost.commands._user_code import is_reference, load_function

if TYPE_CHECKING:
    from optuna_zerocost.rankings import Ranking
    from optuna_zerocost.scoring import Limits, ModelScorer

__all__ = [
    "PROXIES",
    "add_command",
    "add_pool",
    "add_scoring",
    "add_study",
    "ranking_of",
    "scorer_of",
]

PROXIES = ("synflow", "jacob_cov", "snip")

_WIDTH = 79

# What Limits can measure by itself, in the order of its own arguments.
_LIMITED = ("params", "flops", "memory_mb", "latency_ms")

_EXECUTED = "MODULE is imported, and so executed: name only code that you trust."


class _Formatter(argparse.RawDescriptionHelpFormatter, HelpFormatter):
    """Keeps the lines of the example."""


def add_command(
    subparsers: Subparsers,
    name: str,
    run: Callable[[argparse.Namespace], None],
    *,
    summary: str,
    description: str,
    example: str,
) -> argparse.ArgumentParser:
    """Add a subcommand that does ``run``, and whose help ends with an example."""
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, _WIDTH),
        epilog=f"example:\n{example}",
        formatter_class=_Formatter,
    )
    parser.set_defaults(command=guarded(run))
    return parser


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """Add what names the networks, and what says how they are scored."""
    add = parser.add_argument
    add(
        "builder",
        type=_reference,
        metavar="MODULE:FUNCTION",
        help=(
            "function that makes an untrained network from a trial; MODULE is a dotted name or "
            f"the path of a .py file. {_EXECUTED}"
        ),
    )
    add(
        "--batch",
        required=True,
        help=(
            "the minibatch: a shape such as 16x3x32x32 (random inputs and labels), a file .npz or "
            ".pt, or MODULE:NAME of a function, of nothing or of the trial, that returns "
            "(inputs, targets)"
        ),
    )
    add("--classes", type=positive, default=10, metavar="C", help="classes of random labels")
    add(
        "--proxies",
        type=_some_names,
        default=",".join(PROXIES),
        metavar="NAMES",
        help="proxies, separated by commas; optuna-zerocost proxies lists them",
    )
    add(
        "--loss",
        type=_reference,
        metavar="MODULE:FUNCTION",
        help="function (outputs, targets) -> mean loss; without it, cross-entropy",
    )
    add("--device", help="where networks are scored, e.g. cuda")
    add("--seed", type=natural, default=0, metavar="S", help="seeds weights and random choices")


def add_pool(parser: argparse.ArgumentParser) -> None:
    """Add how many architectures are drawn and how they are ordered."""
    add = parser.add_argument
    add(
        "--candidates",
        type=positive,
        default=1000,
        metavar="N",
        help="random architectures that are scored",
    )
    add(
        "--ranking",
        metavar="R",
        help=(
            "ranksum, vote or pareto of all proxies, or one score's name; -NAME where lower is "
            "better, written --ranking=-NAME. Without it, ranksum if there are several"
        ),
    )
    add(
        "--limit",
        type=_limit,
        action="append",
        default=argparse.SUPPRESS,
        metavar="NAME=MAX",
        help=(
            f"what a network may cost: {', '.join(_LIMITED[:-1])} or {_LIMITED[-1]} of at most "
            "MAX, or NAME=MIN:MAX, e.g. --limit params=2e6 --limit flops=1e7:1e8. What is outside "
            "is not scored, but drawn again"
        ),
    )
    add("--jobs", type=natural, default=1, metavar="J", help="processes that score; 0: one a core")


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add what names a study and where it is."""
    add = parser.add_argument
    add("--study", required=True, metavar="NAME", help="the study's name")
    add(
        "--storage",
        required=True,
        metavar="URL",
        help="where it is: a database's URL, or a journal's file NAME.log",
    )


def scorer_of(
    arguments: argparse.Namespace, *, on_undefined: Literal["reject", "omit"] = "omit"
) -> ModelScorer:
    """Return the scorer that the options describe.

    Raises:
        CommandError: If one of them does not fit.
    """
    from optuna_zerocost.commands._given_batch import load_batch
    from optuna_zerocost.scoring import ModelScorer

    build_model = load_function(arguments.builder)
    more: dict[str, Any] = {"loss_fn": load_function(arguments.loss)} if arguments.loss else {}
    batch = load_batch(arguments.batch, classes=arguments.classes, seed=arguments.seed)
    try:
        return ModelScorer(
            build_model,
            batch,
            arguments.proxies,
            device=_device(arguments.device),
            seed=arguments.seed,
            n_jobs=getattr(arguments, "jobs", 1) or -1,
            limits=_limits_of(getattr(arguments, "limit", None)),
            on_undefined=on_undefined,
            **more,
        )
    except (TypeError, ValueError) as error:
        raise CommandError(str(error)) from error


def ranking_of(text: str | None, scorer: ModelScorer) -> Ranking:
    """Return the ranking that ``--ranking`` stands for.

    Raises:
        CommandError: If it reads scores that there are not.
    """
    from optuna_zerocost.rankings import Pareto, RankSum, Vote, as_ranking

    scores = scorer.score_names
    measured = scorer.limits.names if scorer.limits is not None else ()
    if text is None:
        text = "ranksum" if len(scores) > 1 else scores[0]
    combined: dict[str, Callable[..., Ranking]]
    combined = {"ranksum": RankSum, "vote": Vote, "pareto": Pareto}
    try:
        named = combined[text](*scores) if text in combined else text
        ranking = as_ranking(named, scores, measured=measured)
    except ValueError as error:
        raise CommandError(str(error)) from error
    assert ranking is not None
    return ranking


def _reference(text: str) -> str:
    if not is_reference(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not of the form MODULE:NAME, such as my_project.networks:build_model or "
            "networks.py:build_model"
        )
    return text


def _some_names(text: str) -> tuple[str, ...]:
    found = names(text)
    if not found:
        raise argparse.ArgumentTypeError("it must name at least one proxy, e.g. synflow,snip")
    return found


def _limit(text: str) -> tuple[str, float | tuple[float, float]]:
    """Return the name and the limit that ``NAME=MAX`` or ``NAME=MIN:MAX`` stands for."""
    name, _, bounds = text.partition("=")
    if name not in _LIMITED:
        raise argparse.ArgumentTypeError(
            f"{text!r} limits {name!r}, but it must be one of {', '.join(_LIMITED)}, such as "
            "params=2e6"
        )
    low, colon, high = bounds.partition(":")
    try:
        return name, (float(low), float(high)) if colon else float(bounds)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not of the form NAME=MAX or NAME=MIN:MAX with numbers, such as "
            "params=2e6 or params=1e5:2e6"
        ) from None


def _limits_of(given: Sequence[tuple[str, Any]] | None) -> Limits | None:
    from optuna_zerocost.scoring import Limits

    if not given:
        return None
    limited = [name for name, _ in given]
    if twice := sorted({name for name in limited if limited.count(name) > 1}):
        raise CommandError(
            f"--limit {twice[0]} is given more than once; for a minimum and a maximum write "
            f"--limit {twice[0]}=MIN:MAX."
        )
    return Limits(**dict(given))


def _device(text: str | None) -> Any:
    import torch

    if text is None:
        return None
    try:
        torch.empty(0, device=text)
        return torch.device(text)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise CommandError(
            f"the device {text!r} cannot be used: {str(error).splitlines()[0]}"
        ) from error
