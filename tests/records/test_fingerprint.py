"""What tells one scorer from another is the same in every process."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from typing import Any

import pytest

from optuna_zerocost import ModelScorer
from optuna_zerocost.records._fingerprint import fingerprint_of
from optuna_zerocost.scoring import as_scorer

NAMES = ("a", "b")


def build(trial: Any) -> float:
    return float(trial.suggest_float("x", 0, 1))


class Space:
    """An object whose text names its place in memory."""


class Table:
    fingerprint = "content of a table"

    def __call__(self, trial: Any) -> dict[str, float]:
        return {"a": build(trial)}


def scores(space: Any, trial: Any, *, names: tuple[str, ...] = NAMES) -> dict[str, float]:
    return dict.fromkeys(names, space(trial))


SCORERS = (
    functools.partial(scores, functools.partial(build)),
    functools.partial(scores, build, names=("c",)),
    functools.partial(scores, Table()),
    functools.partial(scores, Space()),
    functools.partial(scores, [build, Space()]),
)


def test_functions_and_objects_that_are_bound_have_no_place_in_memory() -> None:
    found = [fingerprint_of(scorer) for scorer in SCORERS]
    assert len(set(found)) == len(found)
    assert not any("0x" in fingerprint for fingerprint in found)
    table = Table()
    table.fingerprint = "another"  # type: ignore[misc]
    assert fingerprint_of(functools.partial(scores, table)) != found[2]
    code = "import pickle, sys; from optuna_zerocost.records import fingerprint_of as f; "
    code += "print(f(pickle.load(sys.stdin.buffer)))"
    # A partial of the package's own functions, which another process can import.
    scorer = functools.partial(fingerprint_of, functools.partial(fingerprint_of))
    there = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(scorer), capture_output=True, check=True
    )
    assert there.stdout.decode().strip() == fingerprint_of(scorer)


def test_objects_in_a_batch_have_no_place_in_memory() -> None:
    first, second = Space(), Space()
    assert repr(first) != repr(second)
    found = [ModelScorer(build, (space, None)).fingerprint for space in (first, second)]
    assert found[0] == found[1]
    assert found[0] != ModelScorer(build, ([first], None)).fingerprint


def test_code_that_belongs_to_no_module_is_told_apart_by_its_names() -> None:
    names: dict[str, Any] = {}
    exec("def one(trial): return {}\ndef other(trial): return {}", names)
    assert names["one"].__module__ is None
    assert fingerprint_of(names["one"]) != fingerprint_of(names["other"])


class Broken:
    @property
    def fingerprint(self) -> str:
        return self.missing  # type: ignore[attr-defined, no-any-return]

    def __call__(self, trial: Any) -> dict[str, float]:
        return {}


def test_a_fingerprint_that_raises_is_told_of() -> None:
    with pytest.raises(RuntimeError, match="'fingerprint' of .* raised AttributeError: .*missing"):
        fingerprint_of(Broken())
    with pytest.raises(RuntimeError, match="Mend it"):
        as_scorer(Broken()).fingerprint  # noqa: B018


def test_counters_and_caches_of_a_scorer_do_not_make_another_of_it() -> None:
    class Counting:
        calls = 0

        def __call__(self, trial: Any) -> dict[str, float]:
            self.calls += 1
            return {}

    scorer = Counting()
    before = fingerprint_of(scorer)
    scorer(None)
    assert fingerprint_of(scorer) == before == fingerprint_of(Counting())
