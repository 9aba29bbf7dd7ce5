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


NETWORKS = ["nasbench201-333133", "nasbench201-120342", "nasbench201-400312", "small_cnn"]


def assert_close(
    found: dict[str, float], expected: dict[str, float], relative: float, of_terms: float
) -> None:
    """Compare scores; ``plain``, whose terms cancel, relative to the sum of their magnitudes."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        tolerance = of_terms * expected["snip"] if name == "plain" else relative * abs(value)
        assert found[name] == pytest.approx(value, rel=0, abs=tolerance), name


@pytest.mark.parametrize("network", NETWORKS)
def test_equals_the_published_implementation(
    network: str, models: ModuleType, values: dict[str, Any]
) -> None:
    # In double precision, where the score is the same on every machine. In single precision the
    # published values themselves differ from machine to machine by what the next test allows.
    expected = values["values"][network]
    inputs, targets = models.minibatch(values["minibatch"])
    exact = proxies.score_network(
        models.NETWORKS[network]().double(), (inputs.double(), targets), tuple(expected)
    )
    assert_close(exact, expected, relative=1e-4, of_terms=1e-6)
    assert exact["synflow"] == pytest.approx(expected["synflow"], rel=1e-12)


@pytest.mark.parametrize("network", NETWORKS)
def test_single_precision_rounds_and_no_more(
    network: str, models: ModuleType, values: dict[str, Any]
) -> None:
    names = tuple(values["values"][network])
    inputs, targets = models.minibatch(values["minibatch"])
    exact = proxies.score_network(
        models.NETWORKS[network]().double(), (inputs.double(), targets), names
    )
    together = proxies.score_network(models.NETWORKS[network](), (inputs, targets), names)
    assert_close(together, exact, relative=3e-3, of_terms=1e-5)
    for name in names:
        alone = proxies.score_network(models.NETWORKS[network](), (inputs, targets), [name])
        assert together[name] == pytest.approx(alone[name], rel=1e-6)


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
