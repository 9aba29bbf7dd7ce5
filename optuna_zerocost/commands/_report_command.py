"""``optuna-zerocost report``: what the scores of a study were worth, and what they brought."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from optuna_zerocost.commands._arguments import Subparsers
from optuna_zerocost.commands._command_error import CommandError
from optuna_zerocost.commands._options import add_command, add_study

if TYPE_CHECKING:
    from optuna.study import Study


__all__ = ["add_report"]


def add_report(subparsers: Subparsers) -> None:
    """Add the command ``report``."""
    parser = add_command(
        subparsers,
        "report",
        _report,
        summary="what the scores of a study were worth",
        description=(
            "Report on a study that is under way or done: how the scores go with the objective, "
            "the best networks so far, and what warmup and moves brought. text is for reading; "
            "csv has every trial with its scores; html adds figures, in one file that needs no "
            'network (for these: pip install "optuna-zerocost[visualization]").'
        ),
        example=(
            "  optuna-zerocost report --study nas --storage sqlite:///nas.db\n"
            "  optuna-zerocost report --study nas --storage sqlite:///nas.db \\\n"
            "      --format html --output report.html"
        ),
    )
    add_study(parser)
    parser.add_argument(
        "--format", choices=["text", "csv", "html"], default="text", help="form of the report"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write to a file instead of the standard output"
    )


def _report(arguments: argparse.Namespace) -> None:
    from optuna_zerocost.commands._studies import open_study

    with open_study(arguments.study, arguments.storage) as study:
        still = _copy(study)
    text = _render(still, arguments.format)
    if arguments.output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # ρ, where the encoding has none
        print(text)
        return
    try:
        Path(arguments.output).write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{arguments.output!r} cannot be written: {error.strerror}") from error
    print(f"written to {arguments.output}", file=sys.stderr)


def _copy(study: Study) -> Study:
    """Return ``study`` as it is now: its workers may go on while the report is made."""
    import optuna

    from optuna_zerocost import _compat

    memory = optuna.storages.InMemoryStorage()
    optuna.copy_study(
        from_study_name=study.study_name,
        from_storage=_compat.storage_of(study),
        to_storage=memory,
    )
    return optuna.load_study(study_name=study.study_name, storage=memory)


def _render(study: Study, form: str) -> str:
    from optuna_zerocost.commands._report_csv import as_csv
    from optuna_zerocost.commands._report_html import as_html
    from optuna_zerocost.commands._report_text import as_text

    return {"text": as_text, "csv": as_csv, "html": as_html}[form](study)
