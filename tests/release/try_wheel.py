"""Run README's example and the command line from what is installed; not from the checkout.

To be run in an environment that has the wheel and nothing besides what it requires.
"""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
from typing import Any

import optuna

import optuna_zerocost

sys.path.append(str(pathlib.Path(__file__).parents[1]))

import pages

BUILDER = """
import torch
from torch import nn

def build_model(trial):
    width = trial.suggest_int("width", 2, 40)
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))

def minibatch():
    return torch.randn(8, 4), torch.arange(8) % 3
"""


def try_contents() -> None:
    home = pathlib.Path(optuna_zerocost.__file__).resolve()
    assert pathlib.Path(sys.prefix).resolve() in home.parents, f"{home} is not of the wheel"
    assert importlib.metadata.version("optuna-zerocost") == optuna_zerocost.__version__
    for name in optuna_zerocost.__all__:
        getattr(optuna_zerocost, name)
    files = importlib.metadata.files("optuna-zerocost") or []
    tops = {file.parts[0] for file in files if ".." not in file.parts}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"optuna_zerocost"}
    names = {str(file) for file in files}
    assert "optuna_zerocost/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def try_readme() -> None:
    optimize = optuna.Study.optimize

    def a_few(study: optuna.Study, objective: Any, n_trials: int, **options: Any) -> None:
        optimize(study, objective, n_trials=min(n_trials, 12), **options)

    optuna.Study.optimize = a_few  # type: ignore[method-assign,assignment]
    names = pages.readers_own()
    for line, code in pages.blocks("README.md"):
        exec(compile("\n" * (line - 1) + code, "README.md", "exec"), names)


def try_command_line() -> None:
    pathlib.Path("networks.py").write_text(BUILDER, encoding="utf-8")
    study = ["--study", "s", "--storage", "sqlite:///s.db"]
    model = ["networks.py:build_model", "--batch", "networks.py:minibatch"]
    small = ["--candidates", "20"]
    for arguments, expected in (
        (["--help"], "report"),
        (["proxies"], "synflow"),
        (["rank", *model, *small], "width"),
        (["warmup", *model, *small, *study, "--direction", "maximize", "--trials", "3"], ""),
        (["report", *study], "3 waiting"),
    ):
        command = str(pathlib.Path(sysconfig.get_path("scripts")) / "optuna-zerocost")
        done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        assert expected in done.stdout, f"{arguments}: {done.stdout}"


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for part in (try_contents, try_readme, try_command_line):
            part()
            print(f"passed: {part.__name__.removeprefix('try_')}")
        os.chdir("/")


if __name__ == "__main__":
    main()
