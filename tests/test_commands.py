"""The commands that score architectures of a user's own builder."""

from __future__ import annotations

import json
import pathlib
import re

import optuna
import pytest

from optuna_zerocost.cli import main

BUILDER = """
from torch import nn

def build_model(trial):
    width = trial.suggest_categorical("width", [4, 8])
    layers = [nn.Conv2d(3, width, 3), nn.ReLU()]
    for _ in range(trial.suggest_int("depth", 1, 3)):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
"""
BATCH = ["--batch", "4x3x8x8", "--proxies", "synflow,params"]


@pytest.fixture
def builder(tmp_path: pathlib.Path) -> str:
    file = tmp_path / f"builder_of_{tmp_path.name}.py"  # modules are known by their names
    file.write_text(BUILDER)
    return f"{file}:build_model"


def parameters_of(width: int, depth: int) -> int:
    return 28 * width + depth * (9 * width + 1) * width + 10 * (width + 1)


def test_one_architecture_is_scored(builder: str, capsys: pytest.CaptureFixture[str]) -> None:
    params = ["--params", '{"width": 8, "depth": 2}']
    assert main(["score", builder, *params, *BATCH, "--format", "json"]) == 0
    assert f"{parameters_of(8, 2)}" in capsys.readouterr().out.replace(".0", "")


def test_a_batch_may_be_a_function_of_the_trial(
    builder: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FLOPs grow with the resolution that the trial asks for; a default is no such argument."""
    file = tmp_path / "batches.py"
    file.write_text(
        "import torch\n"
        "def minibatch(trial):\n"
        "    side = trial.suggest_int('side', 8, 16, step=8)\n"
        "    return torch.zeros(4, 3, side, side), torch.zeros(4, dtype=torch.long)\n"
        "def fixed(side=8):\n"
        "    return torch.zeros(4, 3, side, side), torch.zeros(4, dtype=torch.long)\n"
    )
    found = {}
    for name, side in (("minibatch", 8), ("minibatch", 16), ("fixed", None)):
        params = {"width": 4, "depth": 1} | ({} if side is None else {"side": side})
        batch = ["--batch", f"{file}:{name}", "--proxies", "flops", "--format", "json"]
        assert main(["score", builder, "--params", json.dumps(params), *batch]) == 0
        found[name, side] = re.sub(r"seconds.*", "", capsys.readouterr().out)
    assert found["minibatch", 8] != found["minibatch", 16]
    assert found["fixed", None] == found["minibatch", 8]


def test_the_best_of_a_pool_come_first(builder: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--candidates", "30", "--top", "3", "--ranking", "params", "--format", "json"]
    assert main(["rank", builder, *arguments, *BATCH]) == 0
    text = capsys.readouterr().out
    assert json.loads(text)
    best = [parameters_of(8, depth) for depth in (3, 2, 1)]
    places = [text.replace(".0", "").index(f"{count}") for count in best]
    assert places == sorted(places)


def test_a_warmup_waits_in_the_study(builder: str, tmp_path: pathlib.Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    where = ["--study", "s", "--storage", storage, "--direction", "maximize"]
    assert main(["warmup", builder, *where, "--candidates", "20", "--trials", "2", *BATCH]) == 0
    study = optuna.load_study(study_name="s", storage=storage)
    assert [t.state for t in study.trials] == [optuna.trial.TrialState.WAITING] * 2


def test_a_warmup_says_how_a_missing_study_is_made(
    builder: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = tmp_path / "study.log"
    where = ["--study", "s", "--storage", str(storage)]
    warmup = ["warmup", builder, *where, "--candidates", "4", "--trials", "1", *BATCH]
    assert main(warmup) == 1
    assert "--direction" in capsys.readouterr().err and not storage.exists()
    assert main([*warmup, "--direction", "minimize"]) == 0
    assert main([*warmup, "--study", "t"]) == 1
    assert "It has 's'. With --direction" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["epoch 1\n", "epoch 1\nepoch 2\n", "{}\n", "3\n", "\0ÿ"])
def test_a_log_that_is_no_journal_stays_as_it_is(
    builder: str, content: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "training.log"
    log.write_text(content, encoding="latin-1")
    where = ["--study", "s", "--storage", str(log)]
    arguments = [builder, "--candidates", "4", "--trials", "1", "--direction", "maximize", *BATCH]
    for command in (["report", *where], ["warmup", *where, *arguments]):
        assert main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "no journal" in line
    assert log.read_text(encoding="latin-1") == content


@pytest.mark.parametrize("storage", ["{}/none/study.log", "sqlite:///{}/none/study.db"])
def test_a_folder_that_is_missing_is_named(
    builder: str, storage: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--study", "s", "--storage", storage.format(tmp_path), "--direction", "maximize"]
    assert main(["warmup", builder, *where, *BATCH]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"no folder '{tmp_path}/none'" in line


@pytest.mark.parametrize(
    ("storage", "reason"),
    [
        ("nowhere://me:secret@host/x", "no database called 'nowhere'"),
        ("mysql+aiomysql://me:secret@host/x", 'pip install "aiomysql"'),
    ],
)
def test_a_storage_that_cannot_be_opened_is_told_in_one_line(
    storage: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--study", "s", "--storage", storage]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line and "secret" not in line


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("build_model = 3", "{file}:build_model is 3, but it must be a function."),
        ("def build_model(): pass", "takes 0 positional arguments but 1 was given"),
        ("def build_model(trial): return 5", "must return the untrained network"),
        ("def build_model(trial:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero ({file}, line 1)"),
    ],
)
def test_what_is_wrong_with_a_builder_is_told_by_its_own_names(
    code: str, reason: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any place in the code of this package, or of Python's own."""
    file = tmp_path / f"wrong_builder_of_{tmp_path.name}.py"
    file.write_text(code)
    assert main(["score", f"{file}:build_model", *BATCH]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert reason.format(file=file) in line
    assert "_building.py" not in line and "importlib" not in line


@pytest.mark.parametrize(
    ("reference", "params", "reason"),
    [
        ("no_such_file.py:build_model", "{}", "no file"),
        ("no.such.module:build_model", "{}", "no.such"),
        ("{builder}", "{", "JSON"),
    ],
)
def test_a_mistake_is_told_without_a_stack_trace(
    builder: str,
    reference: str,
    params: str,
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["score", reference.format(builder=builder), "--params", params, *BATCH]
    try:
        code = main(arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    assert code != 0
    captured = capsys.readouterr()
    assert reason in captured.err and "Traceback" not in captured.err


def test_a_pool_keeps_within_the_limits(
    builder: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the six networks two have a size between the two given."""
    within = [parameters_of(4, 3), parameters_of(8, 1)]
    limits = ["--limit", f"params={min(within)}:{max(within)}", "--limit", "flops=1e9"]
    arguments = ["--candidates", "20", "--top", "2", "--ranking=-params", *limits, *BATCH]
    assert main(["rank", builder, *arguments, "--format", "json"]) == 0
    shown = capsys.readouterr()
    assert [found["scores"]["params"] for found in json.loads(shown.out)] == sorted(within)
    assert "outside of the limits" in shown.err
    storage = f"sqlite:///{tmp_path}/study.db"
    where = ["--study", "s", "--storage", storage, "--direction", "maximize", "--trials", "2"]
    assert main(["warmup", builder, *where, "--candidates", "20", *limits, *BATCH]) == 0
    for trial in optuna.load_study(study_name="s", storage=storage).trials:
        assert trial.user_attrs["zerocost:params"] in within
        assert trial.user_attrs["zerocost:flops"] > 0
        assert 0 < trial.user_attrs["zerocost:feasible"] < 1


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (["parameters=5"], "one of params, flops, memory_mb, latency_ms"),
        (["params"], "NAME=MAX or NAME=MIN:MAX"),
        (["params=1:2:3"], "NAME=MAX or NAME=MIN:MAX"),
        (["params=many"], "NAME=MAX or NAME=MIN:MAX"),
        (["params=-5"], "never negative"),
        (["params=9:5"], "minimum is above its maximum"),
        (["params=5", "params=6"], "given more than once"),
        (["params=5"], "within the limits: params at most 5"),
    ],
)
def test_wrong_limits_are_told_without_a_stack_trace(
    builder: str, limits: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [part for limit in limits for part in ("--limit", limit)]
    try:
        code = main(["rank", builder, "--candidates", "4", "--top", "1", *given, *BATCH])
    except SystemExit as error:
        code = int(error.code or 0)
    assert code != 0
    captured = capsys.readouterr()
    assert reason in " ".join(captured.err.split()) and "Traceback" not in captured.err
