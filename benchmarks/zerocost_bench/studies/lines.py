"""A file with a line of JSON for each study that was run."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zerocost_bench.failure import BenchmarkError

__all__ = ["Line", "append_line", "latest", "read_lines"]


@dataclasses.dataclass(frozen=True)
class Line:
    """What became of one study.

    Attributes:
        study: Its name.
        arm: The sampler's name.
        seed: Of sampler and trainings.
        settings: Changes when the study would go otherwise.
        errors: After each trial, not floored; where the study broke off, the last one is repeated.
        values: Of each trial; ``None`` for one without.
        states: Of each trial, Optuna's names.
        feasible: Whether each trial is complete and meets its constraints.
        seconds: Of the sampler for each trial, by the clock.
        objective_seconds: Of all trainings.
        floor: The least error that counts.
        failure: Why the study broke off; ``None`` if it did not.
    """

    study: str
    arm: str
    seed: int
    settings: str
    errors: tuple[float, ...]
    values: tuple[tuple[float, ...] | None, ...]
    states: tuple[str, ...]
    feasible: tuple[bool, ...]
    seconds: tuple[float, ...]
    objective_seconds: float
    floor: float
    failure: str | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        """Which of the studies it is."""
        return self.study, self.arm, self.seed

    def error(self, after: int) -> float:
        """Return the error after so many trials, at least the floor."""
        return max(self.floor, self.errors[min(after, len(self.errors)) - 1])


def append_line(file: Path, line: Line) -> None:
    """Add a line in one step, so that several processes may write to a file.

    Raises:
        BenchmarkError: If the file cannot be written.
    """
    content = json.dumps(dataclasses.asdict(line)) + "\n"
    try:
        handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(handle).st_size
            # What was interrupted while it wrote ends in the middle of a line.
            if size and os.pread(handle, 1, size - 1) != b"\n":
                content = f"\n{content}"
            os.write(handle, content.encode())
        finally:
            os.close(handle)
    except OSError as error:
        raise BenchmarkError(f"cannot write {file}: {error.strerror or error}") from error


def read_lines(file: Path) -> list[Line]:
    """Return the lines of a file in their order; none if there is no file.

    What cannot be read as a line, such as one that was cut off, is passed over.
    """
    if not file.exists():
        return []
    found = map(_line_of, file.read_text(encoding="utf-8").splitlines())
    return [line for line in found if line is not None]


def latest(lines: Iterable[Line]) -> list[Line]:
    """Return the last line of each study, arm and seed."""
    return list({line.key: line for line in lines}.values())


def _line_of(text: str) -> Line | None:
    try:
        content = json.loads(text)
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in content.items()
        }
        fields["values"] = tuple(v if v is None else tuple(v) for v in fields["values"])
        return Line(**fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
