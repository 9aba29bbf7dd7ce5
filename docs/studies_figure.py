"""The figure of the studies: what the default's error was of that of the better rival, in each.

It is drawn in the colour of the text around it, so it reads on a light page and on a dark one.
"""

from __future__ import annotations

import math
import re
from html import escape
from typing import NamedTuple

_TITLE = re.compile(r"^## (?P<name>[^:\n]+): (?P<trials>\d+) trials", re.MULTILINE)
_RATIO = re.compile(
    r"^\| default \|.*\| (?P<ratio>[\d.]+) \[(?P<low>[\d.]+), (?P<high>[\d.]+)\] \|", re.MULTILINE
)

_LEFT, _WIDTH, _RIGHT = 170, 430, 130
_TOP, _LINE, _BOTTOM = 14, 24, 56
_LOW, _HIGH = 0.1, 10.0
_TICKS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_COLOR = "#2A8FD0"


class Ratio(NamedTuple):
    """A study's ratio of errors, with its interval."""

    study: str
    ratio: float
    low: float
    high: float


def ratios(text: str) -> list[Ratio]:
    """Return what ``benchmarks/results/studies.md`` says of each study, the best first."""
    titles = list(_TITLE.finditer(text))
    ends = [title.start() for title in titles[1:]] + [len(text)]
    found = []
    for title, end in zip(titles, ends, strict=True):
        if row := _RATIO.search(text, title.end(), end):
            numbers = (float(row[name]) for name in ("ratio", "low", "high"))
            found.append(Ratio(title["name"], *numbers))
    return sorted(found, key=lambda one: one.ratio)


def drawn(found: list[Ratio]) -> str:
    """Return the figure as SVG, to stand in a page."""
    bottom = _TOP + _LINE * len(found)
    parts = []
    for tick in _TICKS:
        x, is_equal = _x(tick), tick == 1
        opacity = 0.8 if is_equal else 0.2
        parts += [
            f'<path d="M{x} {_TOP}V{bottom}" stroke="currentColor" opacity="{opacity}"/>',
            _text(x, bottom + 18, f"{tick:g}", "middle"),
        ]
    for index, one in enumerate(found):
        y = _TOP + _LINE * (index + 0.5)
        told = f"{one.ratio:.2f} ({one.low:.2f} to {one.high:.2f})"
        parts += [
            _text(_LEFT - 10, y + 4, one.study, "end"),
            f'<path d="M{_x(one.low)} {y}H{_x(one.high)}" stroke="{_COLOR}" stroke-width="3" '
            'opacity="0.6"/>',
            f'<circle cx="{_x(one.ratio)}" cy="{y}" r="5" fill="{_COLOR}"/>',
            _text(_LEFT + _WIDTH + 10, y + 4, told, "start"),
        ]
    parts.append(
        _text(
            _LEFT + _WIDTH / 2, bottom + 42, "error of the default / error of the better", "middle"
        )
    )
    width, height = _LEFT + _WIDTH + _RIGHT, bottom + _BOTTOM
    return (
        f'<svg viewBox="0 0 {width} {height}" width="100%" role="img" '
        'aria-label="Ratio of errors in each study" font-size="12" font-family="inherit">'
        f"{''.join(parts)}</svg>"
    )


def _x(ratio: float) -> float:
    share = math.log(min(max(ratio, _LOW), _HIGH) / _LOW) / math.log(_HIGH / _LOW)
    return round(_LEFT + _WIDTH * share, 1)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="currentColor">{escape(text)}</text>'
    )
