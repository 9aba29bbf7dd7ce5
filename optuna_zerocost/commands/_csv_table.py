"""Comma-separated values: a line a trial or candidate, with columns for scores and parameters."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from optuna_zerocost.analysis import names_in

__all__ = ["csv_table"]

# What makes a spreadsheet compute a cell; some of them skip white space before it.
_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n")

Line = tuple[Sequence[object], Mapping[str, float], Mapping[str, Any]]


def csv_table(header: Sequence[str], lines: Sequence[Line]) -> str:
    """Return a table.

    A text that a spreadsheet would take for a formula, such as a choice that is called ``=1+1``,
    has an apostrophe before it, by which spreadsheets know that it is none; numbers have not.

    Args:
        header: Names of the first columns.
        lines: For each, the first cells (``None`` is an empty one), the scores, the parameters.
    """
    scores = names_in(found for _, found, _ in lines)
    params = names_in(found for _, _, found in lines)
    # The names of Optuna's own DataFrame: a parameter may be called as a score is.
    names = [*header, *(f"score_{n}" for n in scores), *(f"params_{n}" for n in params)]
    rows = [_row(names)]
    for cells, of_scores, of_params in lines:
        line = [*cells, *map(of_scores.get, scores), *map(of_params.get, params)]
        rows.append(_row([_harmless(cell) for cell in line]))
    return "\n".join(rows)


def _row(cells: Sequence[object]) -> str:
    text = io.StringIO()
    # With this terminator, both of its characters are quoted where a cell has them.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n")


def _harmless(cell: object) -> object:
    if cell is None or isinstance(cell, Real):
        return cell
    text = str(cell)
    if not text.startswith(_BEGINNINGS) and not text.lstrip().startswith(_BEGINNINGS):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
