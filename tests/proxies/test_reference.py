"""Scores equal those of the implementation published with ICLR 2021's paper."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from optuna_zerocost import proxies

DEFAULT = Path(__file__).resolve().parents[2].parent / "shared"
REFERENCE = Path(os.environ.get("OPTUNA_ZEROCOST_SHARED", DEFAULT)) / "reference"

pytestmark = pytest.mark.skipif(
    not REFERENCE.exists(),
    reason="the reference networks are absent; OPTUNA_ZEROCOST_SHARED may say where they are",
)


@pytest.fixture(scope="module")
def models() -> ModuleType:
    path = REFERENCE / "reference_models.py"
    specification = importlib.util.spec_from_file_location("reference_models", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((REFERENCE / "reference_values.json").read_text())
    return found


@pytest.mark.parametrize(
    "network", ["nasbench201-333133", "nasbench201-120342", "nasbench201-400312", "small_cnn"]
)
def test_equals_the_published_implementation(
    network: str, models: ModuleType, values: dict[str, Any]
) -> None:
    expected = values["values"][network]
    batch = models.minibatch(values["minibatch"])
    together = proxies.score_network(models.NETWORKS[network](), batch, tuple(expected))
    for name, value in expected.items():
        alone = proxies.score_network(models.NETWORKS[network](), batch, [name])[name]
        tolerance = 1e-6 if name == "synflow" else 1e-4
        assert alone == pytest.approx(value, rel=tolerance)
        assert together[name] == pytest.approx(alone, rel=1e-6)


def test_alone_and_together_are_the_same_bits_without_second_derivatives(
    models: ModuleType, values: dict[str, Any]
) -> None:
    batch = models.minibatch(values["minibatch"])
    network = models.nasbench201("120342")
    # Those that share their pass with no other are left to smaller networks, being slow.
    apart = ("grasp", "swap", "gradsign", "zico", "zen", "ntk_condition", "linear_regions")
    asked = [name for name in proxies.names() if name not in apart]
    together = proxies.score_network(network, batch, asked)
    for name in asked:
        assert proxies.score_network(network, batch, [name])[name] == together[name]
