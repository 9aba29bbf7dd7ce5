"""Where the project's own data are, which a user's clone does not have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared(name: str) -> Path:
    """Return a file of the shared data; skip the test where it is absent."""
    default = Path(__file__).resolve().parents[3] / "shared"
    path = Path(os.environ.get("OPTUNA_ZEROCOST_SHARED", default)) / "data" / name
    if not path.exists():
        pytest.skip(f"the shared {name} is not here")
    return path
