"""The key figures of the results, in one file: where they come from, and where they are quoted.

``results/figures.toml`` has a table for each result. README and documentation are checked against
it, and it is checked against the pages in ``results/`` and against what tests have recorded of the
code's behaviour, so that no text quotes a figure that nothing gives any more.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zerocost_bench.failure import BenchmarkError
from zerocost_bench.files import write_whole

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "RECORDS",
    "Result",
    "digest_of",
    "load",
    "problems",
    "record_figures",
    "save",
    "valid_now",
]

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results"
FILE = RESULTS / "figures.toml"

RECORDS = {"search": "studies.json", "proxies": "proxies.json"}
"""Parts that results depend on → the file in ``tests/recorded`` that changes with each."""

_HEAD = """\
# Key figures of the results in this folder, and where README and documentation quote them.
#
# commit, date: of the code that was measured, and when.
# measured: what of the package a result depends on. "search" stands for the choices of samplers
#   and rankings, "proxies" for values and errors of proxies; tests record both, and the digest of
#   that record is stored here: where it differs from today's, the result is older than the code.
#   Times depend on the machine and on every line of the code, so that no digest can tell: [].
# is_earlier: measured with an earlier version of the package, and not since; the pages say so.
# figures: what the page has. derived: what follows from them, or is said in words there.
# quoted: a page of the documentation, and words of it, in which {name} stands for a figure,
#   {name:.2f} for a rounded one, and {.name:.2f} for one without the zero before the point.
#
# `zerocost-bench figures` checks this file, and tells how to bring it up to date.
"""
# Digits of a value in the record that count: the last ones differ between processors.
_DIGITS = 3
_NUMBER = re.compile(r"\d*\.?\d+")


EARLIER = "earlier version"
"""Words for code that has changed since it was measured."""


@dataclass(frozen=True)
class Result:
    """A result's key figures.

    Attributes:
        page: In the folder of results.
        command: That measured it.
        commit: Of the code that was measured.
        date: When, as 2026-11-28.
        measured: What it depends on, keys of :data:`RECORDS`.
        digests: Of the records of the behaviour that the result holds for, in the same order;
            empty where there was no record.
        figures: Name → value, as the page has it.
        derived: Name → value that follows from others of the page, or is in words there.
        quoted: Page and words of it, with the figures' names in braces.
        is_earlier: Whether it was measured with an earlier version, and has not been since. Then
            its page and those that quote it have to say so, by :data:`EARLIER`.
    """

    page: str
    command: str
    commit: str
    date: str
    measured: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    derived: Mapping[str, float] = field(default_factory=dict)
    quoted: tuple[tuple[str, str], ...] = ()
    is_earlier: bool = False


def load(file: Path = FILE) -> dict[str, Result]:
    """Read the results by name.

    Raises:
        BenchmarkError: If the file is not there, as outside of a clone, or broken.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BenchmarkError(f"cannot read {file}, which is part of a clone: {error}") from error
    found = {}
    for name, table in content.items():
        quoted = tuple((quote["page"], quote["words"]) for quote in table.get("quoted", ()))
        measured, digests = tuple(table["measured"]), tuple(table["digests"])
        whole = {**table, "quoted": quoted, "measured": measured, "digests": digests}
        found[name] = Result(**whole)
    return found


def save(results: Mapping[str, Result], file: Path = FILE) -> None:
    """Write the results."""
    text = "\n".join([_HEAD, *("\n".join(_lines(name, r)) for name, r in results.items())])
    write_whole(file, lambda handle: handle.write(text))


def _lines(name: str, result: Result) -> Iterator[str]:
    yield f"[{name}]"
    for key in ("page", "command", "commit", "date"):
        yield f"{key} = {_toml(getattr(result, key))}"
    for key in ("measured", "digests"):
        yield f"{key} = [{', '.join(map(_toml, getattr(result, key)))}]"
    if result.is_earlier:
        yield "is_earlier = true"
    for key in ("figures", "derived"):
        if getattr(result, key):
            yield f"\n[{name}.{key}]"
            yield from (f"{figure} = {value!r}" for figure, value in getattr(result, key).items())
    for page, words in result.quoted:
        yield f"\n[[{name}.quoted]]\npage = {_toml(page)}\nwords = {_toml(words)}"
    yield ""


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def digest_of(what: str) -> str:
    """Return the digest of a record, with its numbers rounded; empty if it is not there.

    Args:
        what: A key of :data:`RECORDS`.
    """
    file = REPOSITORY / "tests" / "recorded" / RECORDS[what]
    if not file.exists():
        return ""
    content = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(content, dict):
        content.pop("versions", None)  # of other packages
    text = json.dumps(_rounded(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.{_DIGITS}g}"
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def valid_now(result: Result) -> Result:
    """Return the result as one that holds for today's behaviour."""
    digests = tuple(digest_of(what) for what in result.measured)
    return replace(result, digests=digests, is_earlier=False)


def record_figures(
    name: str, command: str, figures: Mapping[str, float], file: Path = FILE
) -> None:
    """Store figures that an experiment found with today's code, the commit, and the date.

    Args:
        name: The result's.
        command: That measured them.
        figures: Those that are known to the file get their new value; others are left out.
        file: Has them.
    """
    results = load(file)
    known = results[name]
    git = ["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    results[name] = replace(
        valid_now(known),
        command=command,
        commit=commit or known.commit,
        date=time.strftime("%Y-%m-%d"),
        figures={
            figure: _plain(figures.get(figure, value)) for figure, value in known.figures.items()
        },
    )
    save(results, file)


def _plain(value: float) -> float:
    """Return a whole number without a point, as texts write it."""
    return int(value) if float(value).is_integer() else float(value)


def problems(results: Mapping[str, Result]) -> list[str]:
    """Return in words what does not fit together; nothing if everything does."""
    found = []
    for name, result in results.items():
        found += [f"{name}: {problem}" for problem in _problems_of(name, result)]
    pages = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])
    for page in pages:
        place = page.relative_to(REPOSITORY).as_posix()
        found += [f"{place}: {problem}" for problem in _unrecorded(place, results)]
    return found


def _problems_of(name: str, result: Result) -> Iterator[str]:
    numbers = set(map(float, _NUMBER.findall(_text(RESULTS / result.page))))
    for figure, value in result.figures.items():
        if abs(value) not in numbers:
            yield f"{figure} is {value}, which is not in benchmarks/results/{result.page}"
    for page, _ in result.quoted:
        if not (REPOSITORY / page).is_file():
            yield f"there is no page {page}"
    for page, words in _filled_quotes(result):
        if words not in _text(REPOSITORY / page):
            yield f"{page} does not say “{words}”"
    if result.is_earlier:
        files = {RESULTS / result.page, *(REPOSITORY / page for page, _ in result.quoted)}
        for file in sorted(files):
            if EARLIER not in _text(file):
                place = file.relative_to(REPOSITORY)
                yield f"{place} does not say that it has figures of an “{EARLIER}”"
        return
    for what, digest in zip(result.measured, result.digests, strict=True):
        now = digest_of(what)
        if now and now != digest:
            yield (
                f"measured on {result.date} ({result.commit}), and what tests record of "
                f"{what} (tests/recorded/{RECORDS[what]}) has changed since; run "
                f"'{result.command}' again, or, where the change cannot reach it, "
                f"'zerocost-bench figures --update {name}'"
            )


def _filled_quotes(result: Result) -> Iterator[tuple[str, str]]:
    """Yield the pages and words that quote a result, with its figures in their places."""
    values = {**result.figures, **result.derived}
    for page, words in result.quoted:
        yield page, _spaced(_filled(words, values))


def _filled(words: str, values: Mapping[str, float]) -> str:
    def figure(found: re.Match[str]) -> str:
        value = values[found["name"]]
        text = format(value, found["form"] or "")
        if found["bare"]:
            text = text.replace("0.", ".", 1)
        return text.replace("-", "−")

    return re.sub(r"\{(?P<bare>\.?)(?P<name>\w+)(:(?P<form>[^}]*))?\}", figure, words)


def _unrecorded(place: str, results: Mapping[str, Result]) -> Iterator[str]:
    """Yield the paragraphs that cite a result beside numbers, of which none is recorded."""
    for paragraph in re.split(r"\n\s*\n|\n(?=- )", (REPOSITORY / place).read_text("utf-8")):
        for cited in re.findall(r"(?:benchmarks/results|experiments)/(\w+)\.md", paragraph):
            bare = re.sub(r"\]\([^)]*\)|`[^`]*`", "", paragraph)
            if not re.search(r"\d", bare):
                continue
            owners = [r for r in results.values() if Path(r.page).stem == cited]
            quotes = [words for r in owners for page, words in _filled_quotes(r) if page == place]
            if not any(words in _spaced(paragraph) for words in quotes):
                start = _spaced(bare)[:60]
                yield f"the numbers beside a link to {cited} are not in figures.toml: {start}…"


def _text(file: Path) -> str:
    return _spaced(file.read_text(encoding="utf-8"))


def _spaced(text: str) -> str:
    return " ".join(text.split())
