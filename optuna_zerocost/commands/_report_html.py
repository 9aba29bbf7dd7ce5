"""The report of a study as one HTML file with figures, which needs no network to be shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from optuna.study import Study

from optuna_zerocost import dashboard
from optuna_zerocost.commands._command_error import CommandError
from optuna_zerocost.commands._report_sections import Part, Table, sections

__all__ = ["as_html"]

_STYLE = """
:root { color-scheme: light dark; }
body { font-family: system-ui, sans-serif; line-height: 1.45; max-width: 60rem;
       margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.8rem; text-align: right; border-bottom: 1px solid #8c8c8c60; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
"""


def as_html(study: Study) -> str:
    """Return the report on ``study``.

    Raises:
        CommandError: If plotly is not installed.
    """
    try:
        figures = list(_figures(study))
    except ImportError as error:
        raise CommandError(str(error)) from error
    title = escape(f"Zero-cost report: {study.study_name}")
    body = []
    for section in sections(study):
        body += [f"<h2>{escape(section.title)}</h2>", *map(_part, section.parts)]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>",
            *body,
            "<h2>Figures</h2>",
            *figures,
            "</body>\n</html>",
        ]
    )


def _figures(study: Study) -> Iterator[str]:
    for index, (identifier, figure) in enumerate(dashboard.figures(study)):
        dashboard.fit(figure)
        # plotly's own script, of 4 MB, once.
        yield figure.to_html(
            full_html=False,
            include_plotlyjs=index == 0,
            div_id=identifier,
            config={"responsive": True},
        )


def _part(part: Part) -> str:
    if isinstance(part, Table):
        lines = [_row("th", part.header), *(_row("td", row) for row in part.rows)]
        return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"
    if isinstance(part, list):
        return "<ul>\n" + "\n".join(f"<li>{escape(line)}</li>" for line in part) + "\n</ul>"
    return f"<p>{escape(part)}</p>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
