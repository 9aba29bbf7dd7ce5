"""The table of attributes: everything that is stored is in it, and what is said of it agrees."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Mapping

from optuna_zerocost import _words
from optuna_zerocost.records import (
    ATTRIBUTES,
    CONSTRAINT,
    HIDDEN_ATTRIBUTES,
    PREFIX,
    RESERVED_NAMES,
    is_score_name,
)

RECORDED = pathlib.Path(__file__).parents[1] / "recorded" / "studies.json"


def pattern_of(table: Mapping[str, str]) -> re.Pattern[str]:
    """Return what matches the names of a table, with <…> for anything, long values in pieces."""
    names = (re.sub(r"<\w+>", "[^:]+", name) for name in table)
    return re.compile(rf"{PREFIX}({'|'.join(names)})(:\d+)?")


def test_all_that_studies_store_is_in_the_table() -> None:
    studies = json.loads(RECORDED.read_text(encoding="utf-8"))["studies"].values()
    trials = [trial for study in studies for trial in study["trials"]]
    user = {name for trial in trials for name in trial["user"] if name.startswith(PREFIX)}
    hidden = {name for trial in trials for name in trial["system"] if name.startswith(PREFIX)}
    assert len(user) > 10 and len(hidden) >= 2
    for name in user:
        assert pattern_of(ATTRIBUTES).fullmatch(name), name
    for name in hidden:
        assert pattern_of(HIDDEN_ATTRIBUTES).fullmatch(name), name


def test_every_name_of_the_table_is_stored_by_some_study() -> None:
    text = RECORDED.read_text(encoding="utf-8")
    for name in RESERVED_NAMES - {"seconds"}:  # which differ from run to run
        assert f'"{PREFIX}{name}"' in text, name


def test_what_is_in_the_table_is_no_score() -> None:
    assert not any(is_score_name(name) for name in RESERVED_NAMES)
    assert not is_score_name("trust:synflow")
    assert is_score_name("synflow")
    assert CONSTRAINT.removeprefix(PREFIX) in RESERVED_NAMES


def test_words_for_sources_and_origins_are_those_of_the_table() -> None:
    for name, words in (("source", _words._SOURCES), ("origin", _words._ORIGINS)):
        for value in words:
            assert f"`{value}`" in ATTRIBUTES[name], value
