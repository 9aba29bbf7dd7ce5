"""A network whose forward writes into what it holds is left as it was, and its scores repeat."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from optuna_zerocost import proxies
from tests.proxies.networks import CLASSES, SAMPLES, build_any
from tests.proxies.untouched import everything
from tests.proxies.writers import WRITERS, Writer

# zen and meco want images, and stages are looked for at the top level.
ASKED = [
    name
    for name in proxies.names()
    if name not in ("zen", "meco") and not name.startswith("az_") and name.isidentifier()
]


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(SAMPLES, 5, generator=generator), torch.arange(SAMPLES) % CLASSES


def outcome(network: nn.Module, name: str) -> Any:
    """Return a score, or the error that stands in its place."""
    try:
        return proxies.score_network(network, batch(), [name])[name]
    except proxies.ProxyError as error:
        return type(error), str(error)


@pytest.mark.parametrize("kind", WRITERS)
def test_every_attribute_is_left_as_it_was_and_scores_repeat(kind: str) -> None:
    asked = [name for name in ASKED if name != "gradsign"]  # of one sample nothing is normalised
    expected = {name: outcome(build_any(lambda: Writer(WRITERS[kind])), name) for name in asked}
    network = build_any(lambda: Writer(WRITERS[kind]))
    before = everything(network)
    for _ in range(3):
        for name in asked:
            assert outcome(network, name) == expected[name], name
            assert everything(network) == before, name


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_scores_do_not_depend_on_what_was_scored_before(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(WRITERS)))
    asked = data.draw(st.lists(st.sampled_from(ASKED), min_size=2, max_size=4, unique=True))
    network = build_any(lambda: Writer(WRITERS[kind]))
    before = everything(network)
    alone = {name: outcome(network, name) for name in asked}
    assert {name: outcome(network, name) for name in reversed(asked)} == alone
    # grasp has others' gradients taken in another order.
    together = [name for name in asked if isinstance(alone[name], float) and name != "grasp"]
    scores = proxies.score_network(network, batch(), together)
    assert scores == {name: alone[name] for name in together}
    assert everything(network) == before


def test_the_network_still_trains_after_it_wrote_in_the_midst_of_a_graph() -> None:
    """Autograd takes note of what is written in place, and must forget what was put back."""
    network = build_any(lambda: Writer(WRITERS["merge once"])).eval()
    inputs, targets = batch()
    network.counter = 1
    network.norm.eval()
    loss = nn.functional.cross_entropy(network(inputs), targets)
    network.counter = 0
    proxies.score_network(network, (inputs, targets), ["snip", "synflow", "naswot"])
    loss.backward()
    assert network.body.weight.grad is not None


def test_a_graph_that_an_attribute_holds_can_still_be_differentiated() -> None:
    network = build_any(lambda: Writer(WRITERS["tensor with a graph"]))
    proxies.score_network(network, batch(), ["snip", "grasp"])
    network.state[0].sum().backward()


def test_what_is_no_state_of_the_network_is_not_rolled_back() -> None:
    """As an object of another package, which others may be writing into meanwhile."""
    import logging

    class Logs(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            self.logger.extra_note = "kept"
            return super().forward(input)

    network = Logs(5, CLASSES)
    network.logger = logging.getLogger("tests.proxies.rolled_back")
    proxies.score_network(network, batch(), ["snip"])
    assert vars(network.logger)["extra_note"] == "kept"


def test_an_error_in_the_midst_leaves_nothing_behind() -> None:
    class Raises(Writer):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            raise RuntimeError("after writing")

    for kind in WRITERS:
        network = build_any(lambda kind=kind: Raises(WRITERS[kind]))
        before = everything(network)
        with pytest.raises(proxies.PassError, match="after writing"):
            proxies.score_network(network, batch(), ["snip"])
        assert everything(network) == before, kind


class Accumulating(nn.Module):
    """Writes, in any mode, into a buffer and into tensors in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3))
        self.register_buffer("mean", torch.ones(4))
        self.kept = [torch.ones(4), torch.ones(4, dtype=torch.float64)]

    def forward(self, x: Tensor) -> Tensor:
        for tensor in (self.mean, *self.kept):
            tensor.mul_(0.5).add_(x.detach().mean(0))
        return self.layer(x * self.mean)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("proxy", ["synflow", "l2_norm", "snip"])
def test_what_is_written_in_place_reaches_no_tensor_of_the_network(
    proxy: str, dtype: torch.dtype
) -> None:
    network = Accumulating().to(dtype).train()
    batch = torch.randn(5, 4, dtype=dtype), torch.arange(5) % 3
    before = everything(network, batch)
    proxies.score_network(network, batch, [proxy])
    assert everything(network, batch) == before
