"""The same values and errors of the proxies as recorded: see ``proxies.py``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.recorded.proxies import BUILT_IN, FILE, NETWORKS, outcomes

RECORDED: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("network_name", NETWORKS)
def test_a_network_has_the_recorded_scores(network_name: str) -> None:
    recorded, now = RECORDED[network_name], outcomes(network_name)
    differing = {
        name: (recorded[name], now[name]) for name in recorded if not same(name, recorded, now)
    }
    assert not differing, (
        "Recorded and now. Where this is what the change is for, and only there, record it anew: "
        "python -m tests.recorded.proxies"
    )


def same(name: str, recorded: dict[str, Any], now: dict[str, Any]) -> bool:
    if isinstance(recorded[name], str) or isinstance(now[name], str):
        return bool(recorded[name] == now[name])
    # As the twins are compared: jacob_cov divides by eigenvalues near zero.
    tolerance = 1e-3 if name == "jacob_cov" else 1e-4
    return bool(now[name] == pytest.approx(recorded[name], rel=tolerance, abs=1e-6))


def test_all_proxies_and_networks_are_recorded() -> None:
    assert tuple(RECORDED) == NETWORKS
    for recorded in RECORDED.values():
        assert sorted(recorded) == sorted(BUILT_IN)
