"""Every example runs, with few trials."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"

ARGUMENTS = {
    "quickstart.py": ["10"],
    "without_torch.py": ["7"],
    "two_workers.py": ["sqlite:///shared.db", "4"],
}


def test_every_example_is_run() -> None:
    assert {file.name for file in EXAMPLES.glob("*.py")} == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_example(name: str, tmp_path: pathlib.Path) -> None:
    if name == "quickstart.py":
        pytest.importorskip("sklearn", reason="the example's data come with scikit-learn")
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *ARGUMENTS[name]],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # small tensors: threads would only wait
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()
    assert "Traceback" not in run.stderr
