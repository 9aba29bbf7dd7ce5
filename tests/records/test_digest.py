"""Digests tell what does something else apart, and are the same wherever it does the same."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import logging
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import optuna
import pytest
import torch
from torch import nn

from optuna_zerocost.records import digest_of

BUILDER = """
WIDTH = {width}


def helper(trial):
    return trial.suggest_int("depth", 1, {depth})


def build(trial, scale={scale}):
    def inner(x):
        return x * WIDTH

    names = {{"a", "b", "c", "d"}}
    return inner(helper(trial)) * {factor}
"""
PLAIN = {"width": 2, "depth": 3, "scale": 1, "factor": 4}


def made(source: str, name: str = "build", *, file: str = "<text>", above: str = "") -> Any:
    names: dict[str, Any] = {"__name__": "script"}
    exec(compile(above + source, file, "exec"), names)
    return names[name]


def closure_over(value: Any) -> Callable[[], Any]:
    return lambda: value


@dataclasses.dataclass
class Adder:
    amount: Any

    def __call__(self, trial: Any) -> Any:
        return self.amount

    def method(self, trial: Any) -> Any:
        return self.amount


class Slotted:
    __slots__ = ("amount",)

    def __init__(self, amount: int) -> None:
        self.amount = amount


class Faulty:
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("not now")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize("part", PLAIN)
def test_an_edit_of_code_or_of_what_it_names_is_another(part: str) -> None:
    before, after = (made(BUILDER.format(**PLAIN | {part: value})) for value in (5, 6))
    assert digest_of(before) != digest_of(after)


def test_files_lines_and_comments_do_not_count() -> None:
    source = BUILDER.format(**PLAIN)
    moved = made(source.replace("(trial):\n", "(trial):\n    # why\n\n"), file="x", above="\n\n\n")
    assert digest_of(made(source)) == digest_of(moved)


def test_lambdas_of_one_name_are_told_apart() -> None:
    one, other, again = (lambda t: t + 1), (lambda t: t + 2), (lambda t: t + 1)
    assert one.__qualname__ == other.__qualname__
    assert digest_of(one) == digest_of(again) != digest_of(other)


@pytest.mark.parametrize(
    ("value", "same", "other"),
    [
        (torch.ones(3), torch.ones(3), torch.tensor([1.0, 1.0, 2.0])),
        (torch.ones(2, 3), torch.ones(3, 2).T, torch.ones(3, 2)),
        (torch.ones(2, dtype=torch.bfloat16), torch.ones(2).bfloat16(), torch.ones(2)),
        (np.arange(3), np.arange(3), np.arange(4)),
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}, {"a": 1, "b": [3]}),
        ({"x", "y"}, {"y", "x"}, {"x", "z"}),
        (1, 1, True),
        (collections.deque([1]), collections.deque([1]), collections.deque([2])),
        (Adder(1), Adder(1), Adder(2)),
        (Slotted(1), Slotted(1), Slotted(2)),
        (Adder(1).method, Adder(1).method, Adder(2).method),
        (functools.partial(max, 1), functools.partial(max, 1), functools.partial(min, 1)),
        (functools.partial(max, key=len), functools.partial(max, key=len), functools.partial(max)),
        (functools.lru_cache(Adder(1)), functools.lru_cache(Adder(1)), functools.lru_cache(len)),
        (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1)),
        (nn.ReLU, nn.ReLU, nn.GELU),
        (torch.relu, torch.relu, torch.tanh),
        (np.float64(1), np.float64(1), np.float64(2)),
        (pathlib.Path("a"), pathlib.Path("a"), pathlib.Path("b")),
    ],
)
def test_what_is_closed_over_counts(value: Any, same: Any, other: Any) -> None:
    found = [digest_of(closure_over(each)) for each in (value, same, other)]
    assert found[0] == found[1] != found[2]


def test_what_keeps_the_state_of_a_run_counts_by_its_type() -> None:
    first, second = optuna.create_study(), optuna.create_study()
    second.add_trial(optuna.create_trial(value=1.0))
    assert digest_of(closure_over(first)) == digest_of(closure_over(second))
    assert digest_of(logging.getLogger("a")) == digest_of(logging.getLogger("b"))
    assert digest_of(closure_over(threading.Lock())) == digest_of(closure_over(threading.Lock()))


def test_nothing_raises() -> None:
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    recursive = made("def build(n):\n    return n and build(n - 1)")
    hollow = made(
        "def build():\n    def inner():\n        return late\n    return inner\n    late = 1"
    )
    values = (
        cyclic,
        deep,
        recursive,
        hollow(),
        Faulty(),
        (i for i in "ab"),
        sys,
        object(),
        Faulty,
    )
    assert all(len(digest_of(value)) == 16 for value in values)


def test_attributes_of_modules_of_ones_own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import own_parts\n\ndef build(trial):\n    return own_parts.make(trial)"
    digests = []
    for number in (1, 1, 2):
        module = type(sys)("own_parts")
        module.__dict__["make"] = made(f"def build(trial):\n    return {number}")
        monkeypatch.setitem(sys.modules, "own_parts", module)
        digests.append(digest_of(made(source)))
    assert digests[0] == digests[1] != digests[2]


SCRIPT = """
import dataclasses, functools, sys
import cloudpickle, torch
from optuna_zerocost import ModelScorer
from optuna_zerocost.records import fingerprint_of

NAMES = {"alpha", "beta", "gamma", "delta"}
TABLE = {name: len(name) for name in NAMES}


@dataclasses.dataclass
class Maker:
    width: int

    def __call__(self, trial):
        return torch.nn.Linear(self.width, TABLE[trial.suggest_categorical("n", sorted(NAMES))])


def scores(trial, *, maker):
    if trial.params.get("n") in {"alpha", "beta", "gamma", "delta"}:
        return {"size": 1.0}
    return {"size": float(maker(trial).out_features)}


def build(trial):
    return Maker(3)(trial)


def main():
    loss = lambda outputs, targets: outputs.sum()
    batch = torch.ones(2, 3), torch.zeros(2)
    scorers = [functools.partial(scores, maker=Maker(2)), Maker(4)]
    scorers.append(lambda trial: scores(trial, maker=build))
    scorers += [ModelScorer(build, batch, loss_fn=loss), ModelScorer(Maker(1), batch)]
    copies = [cloudpickle.loads(cloudpickle.dumps(scorer)) for scorer in scorers]
    found = [fingerprint_of(scorer) for scorer in scorers]
    assert found == [fingerprint_of(copy) for copy in copies], "a copy differs"
    assert len(set(found)) == len(found)
    print(*found, sep="\\n")
    if len(sys.argv) > 1:
        with open(sys.argv[1], "wb") as file:
            cloudpickle.dump(scorers, file)


if __name__ == "__main__":
    main()
"""
READ = """
import pickle, sys
from optuna_zerocost.records import fingerprint_of
print(*map(fingerprint_of, pickle.load(open(sys.argv[1], "rb"))), sep="\\n")
"""


def test_a_script_an_import_and_a_copy_have_one_fingerprint(tmp_path: pathlib.Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    root = str(pathlib.Path(__file__).parents[2])

    def printed(seed: int, *arguments: str) -> str:
        there = dict(os.environ, PYTHONHASHSEED=str(seed), PYTHONPATH=root)
        command = [sys.executable, *arguments]
        run = subprocess.run(command, cwd=tmp_path, env=there, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout

    as_script = printed(1, "script.py", "copies")
    assert printed(2, "-c", "import script; script.main()") == as_script
    assert printed(3, "-c", READ, "copies") == as_script


def test_a_copy_of_a_function_of_a_test_has_its_digest() -> None:
    for value in (closure_over(torch.ones(2)), made(BUILDER.format(**PLAIN)), Adder(3).method):
        assert digest_of(cloudpickle.loads(cloudpickle.dumps(value))) == digest_of(value)


def test_where_a_worker_computes_and_how_it_was_started_tell_no_scorers_apart() -> None:
    """Workers of one study have devices and numbers of their own."""

    def made_on(device: object, arguments: argparse.Namespace) -> Callable[[], object]:
        return lambda: (device, arguments)

    digests = {
        digest_of(made_on(device, argparse.Namespace(rank=rank)))
        for rank, device in enumerate(["cuda:0", "cuda:1", "cpu"])
    }
    assert len(digests) == 1
    ranks = enumerate([torch.device("cuda", 0), torch.device("cuda", 1), torch.device("cpu")])
    assert len({digest_of(made_on(d, argparse.Namespace(rank=rank))) for rank, d in ranks}) == 1
    assert digest_of(made_on("wide", argparse.Namespace())) not in digests
