"""Values and errors of every proxy on a few networks, recorded.

``proxies.json`` tells whether results that were measured with an earlier state of the proxies are
still those of today: see ``benchmarks/results/figures.toml``. ``python -m tests.recorded.proxies``
records it anew, which belongs to a change that is meant to change a value or what an error says.
"""

from __future__ import annotations

import json
import pathlib

from optuna_zerocost import proxies
from tests.proxies.networks import build

__all__ = ["BUILT_IN", "FILE", "NETWORKS", "outcomes"]

FILE = pathlib.Path(__file__).with_name("proxies.json")
NETWORKS = ("small_cnn", "residual", "depthwise", "mlp", "in_place", "recurrent", "attention")
BUILT_IN = proxies.names()  # before any test has registered another
_DIGITS = 6  # that are recorded


def outcomes(network_name: str) -> dict[str, float | str]:
    """Return for each proxy its value for a network, or its error's class and text."""
    network, batch = build(network_name)
    found: dict[str, float | str] = {}
    for name in BUILT_IN:
        try:
            value = proxies.score_network(network, batch, [name], seed=5)[name]
            found[name] = float(f"{value:.{_DIGITS}g}")
        except (proxies.ProxyError, proxies.PassError) as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


if __name__ == "__main__":
    content = {name: outcomes(name) for name in NETWORKS}
    FILE.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
