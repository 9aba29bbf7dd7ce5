"""The same trials as recorded, trial for trial: see ``studies.py``."""

from __future__ import annotations

import functools
import json
import math
from typing import Any

import pytest

from tests.recorded.studies import FILE, STUDIES, recorded_study, versions


@functools.cache
def recorded() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


def is_close(old: float, new: float) -> bool:
    both_nan = math.isnan(old) and math.isnan(new)
    return both_nan or math.isclose(old, new, rel_tol=1e-6, abs_tol=1e-9)


def first_difference(old: Any, new: Any, where: str, *, nearly: bool = False) -> str | None:
    """Return in words what differs first; ``nearly`` allows for the last digits of floats."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            place = f"{where}, {key}"
            if key not in new or key not in old:
                return f"{place}: only {'recorded' if key in old else 'in the new run'}"
            # Scores and what was learned from them; all else is the same to the last digit.
            found = first_difference(old[key], new[key], place, nearly=nearly or key == "user")
            if found:
                return found
        return None
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        places = (
            first_difference(o, n, where, nearly=nearly) for o, n in zip(old, new, strict=True)
        )
        return next((found for found in places if found), None)
    if nearly and isinstance(old, float) and isinstance(new, float) and is_close(old, new):
        return None
    is_same = type(old) is type(new) and (old == new or (old != old and new != new))
    return None if is_same else f"{where}:\n  recorded {old!r}\n  now      {new!r}"


def difference_of_studies(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    trials = zip(old["trials"], new["trials"], strict=False)
    for old_trial, new_trial in trials:
        # What a trial is comes before what is told about it.
        found = first_difference(old_trial, new_trial, f"trial {old_trial['number']}")
        if found:
            return found
    if len(old["trials"]) != len(new["trials"]):
        return f"{len(old['trials'])} trials recorded, {len(new['trials'])} now"
    others = {**old, "trials": None}, {**new, "trials": None}
    return first_difference(*others, "the study")


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_has_the_recorded_trials(name: str) -> None:
    if recorded()["versions"] != versions():
        pytest.skip(f"recorded with {recorded()['versions']}, which draw other numbers")
    found = difference_of_studies(recorded()["studies"][name], recorded_study(name))
    assert found is None, (
        f"The study {name!r} is not the recorded one. First difference: {found}\n"
        "Where this is what the change is for, and only there, record it anew:\n"
        f"  python -m tests.recorded.studies {name!r}"
    )


def test_all_studies_are_recorded_and_no_others() -> None:
    assert list(recorded()["studies"]) == list(STUDIES)


def test_a_difference_is_found_and_named() -> None:
    trial = {"number": 3, "params": {"width": 2}, "user": {"zerocost:size": 1.0}}
    study = {"trials": [trial], "warmup": "a"}
    nearly = {"trials": [{**trial, "user": {"zerocost:size": 1.0 + 1e-9}}], "warmup": "a"}
    assert difference_of_studies(study, study) is None
    assert difference_of_studies(study, nearly) is None
    for other, words in (
        ({**trial, "params": {"width": 4}}, "trial 3, params, width"),
        ({**trial, "params": {}}, "trial 3, params, width: only recorded"),
        ({**trial, "user": {"zerocost:size": 1.1}}, "trial 3, user, zerocost:size"),
    ):
        assert words in str(difference_of_studies(study, {"trials": [other], "warmup": "a"}))
    assert "the study, warmup" in str(difference_of_studies(study, {**study, "warmup": "b"}))
    assert "0 now" in str(difference_of_studies(study, {**study, "trials": []}))
