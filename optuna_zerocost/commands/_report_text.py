"""The report of a study as text of at most 80 columns."""

from __future__ import annotations

import textwrap

from optuna.study import Study

from optuna_zerocost.commands._report_sections import Part, Section, Table, sections

__all__ = ["as_text"]

_WIDTH = 80
_GAP = 2


def as_text(study: Study) -> str:
    """Return the report on ``study``."""
    return "\n\n".join(map(_section, sections(study)))


def _section(section: Section) -> str:
    title = textwrap.fill(section.title, _WIDTH)
    underline = "-" * max(map(len, title.splitlines()))
    return f"{title}\n{underline}\n" + "\n\n".join(map(_part, section.parts))


def _part(part: Part) -> str:
    if isinstance(part, Table):
        return _table(part)
    if isinstance(part, list):
        return "\n".join(
            textwrap.fill(line, _WIDTH, initial_indent="- ", subsequent_indent="  ")
            for line in part
        )
    return textwrap.fill(part, _WIDTH)


def _table(table: Table) -> str:
    columns = list(zip(table.header, *table.rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    # Numbers are kept whole; a name that leaves them no room is cut.
    widths[0] = min(widths[0], _WIDTH - sum(width + _GAP for width in widths[1:]))
    lines = []
    for first, *others in [table.header, *table.rows]:
        name = first if len(first) <= widths[0] else f"{first[: widths[0] - 1]}…"
        cells = [name.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append((" " * _GAP).join(cells).rstrip())
    return "\n".join(lines)
