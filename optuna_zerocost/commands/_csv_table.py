"""Comma-separated values: a line a trial or candidate, with columns for scores and parameters."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from optuna_zerocost.analysis import names_in

__all__ = ["csv_table"]

Line = tuple[Sequence[object], Mapping[str, float], Mapping[str, Any]]


def csv_table(header: Sequence[str], lines: Sequence[Line]) -> str:
    """Return a table.

    Args:
        header: Names of the first columns.
        lines: For each, the first cells (``None`` is an empty one), the scores, the parameters.
    """
    scores = names_in(found for _, found, _ in lines)
    params = names_in(found for _, _, found in lines)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    # The names of Optuna's own DataFrame: a parameter may be called as a score is.
    writer.writerow([*header, *(f"score_{n}" for n in scores), *(f"params_{n}" for n in params)])
    for cells, of_scores, of_params in lines:
        writer.writerow([*cells, *map(of_scores.get, scores), *map(of_params.get, params)])
    return text.getvalue().rstrip("\n")
