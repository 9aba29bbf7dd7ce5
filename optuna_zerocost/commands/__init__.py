"""The commands that work with a user's own networks and studies, one a file.

They import what they need when they run, so that ``--help`` answers at once.
"""

from optuna_zerocost.commands._arguments import (
    HelpFormatter,
    Subparsers,
    names,
    natural,
    positive,
)
from optuna_zerocost.commands._command_error import FAILED, INTERRUPTED, CommandError, guarded
from optuna_zerocost.commands._rank_command import add_rank
from optuna_zerocost.commands._report_command import add_report
from optuna_zerocost.commands._score_command import add_score
from optuna_zerocost.commands._warmup_command import add_warmup

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "CommandError",
    "HelpFormatter",
    "Subparsers",
    "add_rank",
    "add_report",
    "add_score",
    "add_warmup",
    "guarded",
    "names",
    "natural",
    "positive",
]
