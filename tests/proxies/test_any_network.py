"""Every proxy on every kind of network: a number, or an error that says what to do.

Either way the network, the minibatch and the random states are as before, and the number is the
same to the last bit whichever other proxies are asked for.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from optuna_zerocost import proxies
from tests.proxies.kinds import KINDS, prepared, without_value
from tests.proxies.networks import build_any
from tests.proxies.untouched import everything, unsettle


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_or_an_error_and_nothing_is_changed(kind: str) -> None:
    network, batch, functions = prepared(kind)
    unsettle(network, batch, functions)
    before = everything(network, batch)
    scores: dict[str, float] = {}
    errors: dict[str, type[Exception]] = {}
    for proxy in proxies.names():
        try:
            scores |= proxies.score_network(network, batch, [proxy], **functions)
        except proxies.ProxyError as error:
            assert proxy in str(error)
            assert error.__cause__ is None
            errors[proxy] = type(error)
        assert everything(network, batch) == before, proxy
    assert errors == without_value(kind)
    for proxy, score in scores.items():
        assert type(score) is float, proxy
        assert math.isfinite(score), proxy
    # torch differentiates in another order for grasp.
    del scores["grasp"]
    for asked in (list(scores), list(reversed(scores))):
        together = proxies.score_network(network, batch, asked, **functions)
        assert list(together) == asked
        assert together == scores
    assert everything(network, batch) == before


def test_an_embedding_that_limits_norms_is_left_as_it_was_and_scored_as_it_runs() -> None:
    network = build_any(
        lambda: nn.Sequential(nn.Embedding(9, 4, max_norm=0.5), nn.Flatten(), nn.Linear(8, 3))
    )
    batch = (torch.arange(6).reshape(3, 2), torch.arange(3))
    before = network[0].weight.tolist()
    score = proxies.score_network(network, batch, ["snip"])["snip"]
    assert network[0].weight.tolist() == before
    nn.functional.cross_entropy(network(batch[0]), batch[1]).backward()
    weight = network[2].weight
    assert weight.grad is not None
    assert score == pytest.approx(float((weight.detach() * weight.grad).abs().sum()), rel=1e-5)
