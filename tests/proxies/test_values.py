"""A score is the number that its definition says."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from optuna_zerocost import proxies
from optuna_zerocost.proxies._az_nas import _folded
from tests.proxies.networks import (
    CLASSES,
    NETWORKS,
    build,
    build_any,
    defined,
    in_place,
    is_defined,
    preactivation,
)
from tests.proxies.twins import STAGE_TWINS, STAGES, TWINS

BUILT_IN = proxies.names()
# The twins walk named_parameters, where a parametrised weight does not appear.
WITH_TWIN = [name for name in NETWORKS if name != "parametrised"]
CASES = [
    (proxy, network) for proxy in TWINS for network in WITH_TWIN if is_defined(proxy, network)
]


@pytest.mark.parametrize(("proxy", "network_name"), CASES)
def test_equals_a_naive_twin(proxy: str, network_name: str) -> None:
    network, batch = build(network_name)
    twin = copy.deepcopy(network)
    with torch.random.fork_rng():
        expected = TWINS[proxy](twin, batch, 5)
    # jacob_cov divides by eigenvalues near zero, which two routines round differently.
    tolerance = 1e-3 if proxy == "jacob_cov" else 1e-4
    assert proxies.score_network(network, batch, [proxy], seed=5)[proxy] == pytest.approx(
        expected, rel=tolerance, abs=1e-6
    )


@pytest.mark.parametrize(
    ("proxy", "network_name"),
    [(proxy, name) for proxy in STAGE_TWINS for name in STAGES if is_defined(proxy, name)],
)
def test_equals_a_naive_twin_with_its_stages_named_by_hand(proxy: str, network_name: str) -> None:
    network, batch = build(network_name)
    with torch.random.fork_rng():
        expected = STAGE_TWINS[proxy](network, batch, 5, STAGES[network_name])
    score = proxies.score_network(network, batch, [proxy], seed=5)[proxy]
    assert score == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_every_built_in_proxy_but_the_counter_has_a_twin() -> None:
    assert set(TWINS) | set(STAGE_TWINS) | {"flops"} == set(BUILT_IN)


@functools.cache
def each_alone(network_name: str) -> dict[str, float]:
    network, batch = build(network_name)
    return {
        name: proxies.score_network(network, batch, [name])[name] for name in defined(network_name)
    }


@pytest.mark.parametrize("network_name", NETWORKS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_adding_a_proxy_never_changes_another(network_name: str, data: st.DataObject) -> None:
    names = st.sampled_from(defined(network_name))
    subset = data.draw(st.lists(names, unique=True, min_size=1))
    network, batch = build(network_name)
    together, alone = proxies.score_network(network, batch, subset), each_alone(network_name)
    assert list(together) == subset
    for name in subset:
        if "grasp" in subset and name in OF_GRADIENTS:
            terms = abs(alone["snip" if name == "plain" else name])
            assert abs(together[name] - alone[name]) <= 1e-6 * terms
        else:
            assert together[name] == alone[name]


@pytest.mark.parametrize("seed", range(3))
def test_beside_grasp_scores_round_differently_by_a_millionth_of_their_terms(seed: int) -> None:
    """Also where grasp, for want of a second derivative, switches a fused attention kernel off."""

    def make() -> nn.Module:
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        return nn.Sequential(nn.Linear(5, 16), layer, nn.Flatten(), nn.Linear(64, CLASSES))

    _, batch = build("attention", seed)
    network = build_any(make, seed)
    forward_only = ("jacob_cov", "epe_nas", "naswot", "meco")
    for name in (*OF_GRADIENTS, *forward_only):
        alone = proxies.score_network(network, batch, [name])[name]
        together = proxies.score_network(network, batch, [name, "grasp"])[name]
        assert abs(together - alone) <= 1e-6 * magnitude(name, network, batch)


OF_GRADIENTS = ("grad_norm", "snip", "plain", "fisher")


def magnitude(proxy: str, network: nn.Module, batch: tuple[Tensor, Tensor]) -> float:
    """Return the size of the terms that a score sums; those of plain nearly cancel."""
    proxy = "snip" if proxy == "plain" else proxy
    return abs(proxies.score_network(network, batch, [proxy])[proxy])


def test_scores_do_not_depend_on_the_mode_the_network_is_in() -> None:
    network, batch = build("residual")
    train = proxies.score_network(network.train(), batch, defined("residual"))
    assert proxies.score_network(network.eval(), batch, defined("residual")) == train


def test_scores_are_the_same_each_time_and_follow_the_seed() -> None:
    network, batch = build("dropout")
    asked = defined("dropout")
    first = proxies.score_network(network, batch, asked, seed=1)
    torch.rand(3)
    assert proxies.score_network(network, batch, asked, seed=1) == first
    other = proxies.score_network(network, batch, asked, seed=2)
    assert other["snip"] != first["snip"]
    assert other["synflow"] == first["synflow"]  # no dropout in its pass


@pytest.mark.parametrize("make", [in_place, preactivation])
def test_operations_in_place_do_not_change_a_score(make: Callable[..., nn.Module]) -> None:
    _, batch = build("in_place")
    network, other = build_any(make), build_any(lambda: make(inplace=False))
    # In place, the derivative is taken from the output, which rounds differently.
    for proxy in defined("in_place"):
        score = proxies.score_network(network, batch, [proxy])
        assert score == pytest.approx(proxies.score_network(other, batch, [proxy]), rel=1e-5)


class WritesOver(nn.Module):
    """Functions, not modules, overwrite what layers put out; the forward pass has a memory."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place
        self.first, self.second = nn.Linear(5, 9), nn.Linear(9, 9)
        self.head = nn.Linear(9, CLASSES)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = nn.functional.dropout(self.first(x), 0.4, self.training) * self.calls
        out = self.second(x)
        if self.in_place:
            out.mul_(-2.0)
            out += x
        else:
            out = out * -2.0 + x
        return self.head(out)


@pytest.mark.parametrize("asked", [["fisher"], ["fisher", "snip", "jacob_cov"], ["snip"]])
def test_functions_in_place_do_not_change_a_score(asked: list[str]) -> None:
    _, batch = build("mlp")
    writes, reads = (build_any(lambda flag=flag: WritesOver(flag)) for flag in (True, False))
    scores = proxies.score_network(writes, batch, asked)
    assert scores == pytest.approx(proxies.score_network(reads, batch, asked), rel=1e-5)
    for name in asked:
        assert proxies.score_network(writes, batch, [name])[name] == scores[name]


def test_frozen_weights_score_like_others_but_are_not_trainable() -> None:
    network, batch = build("frozen")
    thawed = copy.deepcopy(network).requires_grad_(True)
    frozen_scores = proxies.score_network(network, batch, defined("frozen"))
    scores = proxies.score_network(thawed, batch, defined("frozen"))
    assert frozen_scores.pop("params") < scores.pop("params")
    assert frozen_scores == scores


def test_a_parametrised_weight_counts_as_the_layer_sees_it() -> None:
    network, batch = build("parametrised")
    baked, _ = build("parametrised")  # not a copy: it would share the class that is changed
    nn.utils.parametrize.remove_parametrizations(baked[0], "weight")
    asked = ["grad_norm", "snip", "plain", "grasp", "fisher", "l2_norm"]
    assert proxies.score_network(network, batch, asked) == pytest.approx(
        proxies.score_network(baked, batch, asked), rel=1e-4
    )


@pytest.mark.parametrize("proxy", ["grad_norm", "plain", "snip", "grasp", "fisher", "synflow"])
def test_a_network_whose_output_no_weight_reaches_scores_zero(proxy: str) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            self.layer(x)
            return x.new_zeros(len(x), CLASSES)

    _, batch = build("mlp")
    assert proxies.score_network(Constant(), batch, [proxy]) == {proxy: 0.0}


@pytest.mark.parametrize("proxy", ["snip", "plain"])
def test_scores_scale_with_the_loss(proxy: str) -> None:
    network, batch = build("small_cnn")

    def doubled(output: Tensor, targets: Tensor) -> Tensor:
        return 2 * nn.functional.cross_entropy(output, targets)

    once = proxies.score_network(network, batch, [proxy, "fisher"])
    twice = proxies.score_network(network, batch, [proxy, "fisher"], loss_fn=doubled)
    assert twice[proxy] == pytest.approx(2 * once[proxy], rel=1e-5)
    assert twice["fisher"] == pytest.approx(4 * once["fisher"], rel=1e-5)


def test_flops_are_twice_the_multiply_adds_of_one_sample() -> None:
    network, (inputs, _) = build("small_cnn")
    # pixels × filters × weights of a filter, for each layer
    expected = 2 * (6 * 6 * 4 * 27 + 2 * 2 * 6 * 16 + 24 * CLASSES)
    assert proxies.score_network(network, (inputs, None), ["flops"]) == {"flops": expected}


def test_flops_of_a_recurrent_network_include_its_recurrence() -> None:
    network, (inputs, _) = build("recurrent")
    steps, gates = inputs.size(1), 4 * 4
    expected = 2 * steps * gates * (5 + 4) + 2 * steps * gates * (4 + 4) + 2 * 4 * CLASSES
    assert proxies.score_network(network, (inputs, None), ["flops"]) == {"flops": expected}


def test_flops_of_an_attention_network_include_its_projections() -> None:
    network, (inputs, _) = build("attention")
    steps = inputs.size(1)
    projections = 2 * steps * (5 * 8 + 4 * 8 * 8 + 2 * 8 * 12) + 2 * 8 * CLASSES
    attention = 2 * 2 * steps * steps * 8
    score = proxies.score_network(network, (inputs, None), ["flops"])
    assert score == {"flops": projections + attention}


def test_size_is_known_on_the_meta_device() -> None:
    network, batch = build("residual")
    expected = proxies.score_network(network, batch, ["params", "flops"])
    assert proxies.score_network(network.to("meta"), batch, ["params", "flops"]) == expected


def test_half_precision_is_summed_in_single_precision() -> None:
    network, (inputs, targets) = build("mlp")
    network.bfloat16()
    halves = [parameter.detach().float() for parameter in network.parameters()]
    expected = math.fsum(float(w.norm()) for w in halves if w.dim() == 2)
    batch = (inputs.bfloat16(), targets)
    assert proxies.score_network(network, batch, ["l2_norm"])["l2_norm"] == pytest.approx(expected)


def test_zico_halves_a_single_minibatch_and_takes_several_as_they_are() -> None:
    network, (inputs, targets) = build("residual")
    halves = [(inputs[:3], targets[:3]), (inputs[3:], targets[3:])]
    expected = proxies.score_network(network, (inputs, targets), ["zico"])
    assert proxies.score_network(network, proxies.Minibatches(*halves), ["zico"]) == expected
    both = proxies.Minibatches((inputs, targets), (inputs + 1, targets))
    scores = proxies.score_network(network, both, ["zico", "snip"])
    alone = proxies.score_network(network, (inputs, targets), ["zico", "snip"])
    assert scores["snip"] == alone["snip"]
    assert scores["zico"] != alone["zico"]


def test_zico_does_not_depend_on_the_scale_of_the_loss_nor_on_the_minibatches_order() -> None:
    network, (inputs, targets) = build("small_cnn")

    def doubled(output: Tensor, targets: Tensor) -> Tensor:
        return 2 * nn.functional.cross_entropy(output, targets)

    pairs = [(inputs[:3], targets[:3]), (inputs[3:], targets[3:])]
    expected = proxies.score_network(network, proxies.Minibatches(*pairs), ["zico"])["zico"]
    for batch in (proxies.Minibatches(*pairs), proxies.Minibatches(*reversed(pairs))):
        score = proxies.score_network(network, batch, ["zico"], loss_fn=doubled)["zico"]
        assert score == pytest.approx(expected, rel=1e-5)


def test_gradsign_counts_at_most_every_sample_for_every_weight() -> None:
    network, (inputs, targets) = build("mlp")
    weights = 5 * 9 + 9 * 9 + 9 * CLASSES
    one = proxies.score_network(network, (inputs[:1], targets[:1]), ["gradsign"])["gradsign"]
    repeated = (inputs[:1].repeat(4, 1), targets[:1].repeat(4))
    four = proxies.score_network(network, repeated, ["gradsign"])["gradsign"]
    assert four == 4 * one <= 4 * weights


def test_naswot_does_not_depend_on_the_order_of_samples_nor_on_how_relu_is_called() -> None:
    class Functional(nn.Module):
        def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(5, 24), nn.Linear(24, CLASSES)
            self.call = call

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.call(self.first(x)))

    _, (inputs, _) = build("mlp")
    scores = {
        proxies.score_network(
            build_any(lambda call=call: Functional(call)), (inputs, None), ["naswot"]
        )["naswot"]
        for call in (
            torch.relu,
            nn.ReLU(),
            nn.ReLU(inplace=True),
            nn.functional.gelu,
            lambda x: x.relu_(),
            lambda x: nn.functional.relu6(x),
            lambda x: nn.functional.silu(x, inplace=True),
        )
    }
    assert len(scores) == 1
    flipped = proxies.score_network(
        build_any(lambda: Functional(torch.relu)), (inputs.flip(0), None), ["naswot"]
    )
    assert flipped["naswot"] == pytest.approx(scores.pop())


def test_an_activation_that_does_not_reach_the_output_does_not_count() -> None:
    class Idle(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner
            self.idle = nn.Linear(5, 7)

        def forward(self, x: Tensor) -> Tensor:
            torch.relu(self.idle(x))
            return self.inner(x)

    network, batch = build("mlp")
    expected = proxies.score_network(network, batch, ["naswot"])
    assert proxies.score_network(build_any(lambda: Idle(network)), batch, ["naswot"]) == expected


def test_epe_nas_with_one_sample_a_class_has_nothing_to_compare() -> None:
    network, (inputs, _) = build("mlp")
    batch = (inputs[:3], torch.arange(3))
    score = proxies.score_network(network, batch, ["epe_nas"])["epe_nas"]
    assert score == pytest.approx(3 * math.log(1 + 1e-5))


def test_epe_nas_of_many_classes_compares_them_in_pairs() -> None:
    network = build_any(lambda: nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 128)))
    inputs = torch.randn(204, 5, generator=torch.Generator().manual_seed(0))
    batch = (inputs, torch.arange(204) // 2)
    leaf = inputs.clone().requires_grad_()
    network(leaf).sum().backward()
    gradients = leaf.grad.double()
    sums = []
    for label in range(102):
        correlation = torch.corrcoef(gradients[2 * label : 2 * label + 2]).abs()
        sums.append(float((correlation + 1e-5).log().sum()))
    pairs = [abs(a - b) for i, a in enumerate(sums) for b in sums[i + 1 :]]
    score = proxies.score_network(network, batch, ["epe_nas"])["epe_nas"]
    assert score == pytest.approx(sum(pairs) / len(pairs), rel=1e-4)


REDRAWN = (
    *("zen", "swap", "ntk_condition", "linear_regions"),
    *("az_expressivity", "az_progressivity", "az_trainability"),
)


def test_proxies_that_draw_the_weights_anew_do_not_depend_on_the_ones_there_were() -> None:
    network, batch = build("residual")
    other, _ = build("residual", seed=1)
    for weight in other.parameters():
        weight.data.mul_(3.0).add_(0.1)
    other(batch[0])  # and running statistics that have moved
    expected = proxies.score_network(network, batch, REDRAWN, seed=4)
    assert proxies.score_network(other, batch, REDRAWN, seed=4) == expected
    again = proxies.score_network(network, batch, REDRAWN, seed=5)
    assert all(again[name] != expected[name] for name in ("zen", "swap", "ntk_condition"))


@pytest.mark.parametrize("pool", ["module", "function", "mean", "method"])
def test_zen_finds_the_global_pooling_however_it_is_called(pool: str) -> None:
    class Pools(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.head = nn.Linear(4, CLASSES)
            self.pool = nn.AdaptiveAvgPool2d(1)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.norm(self.conv(x)))
            if pool == "module":
                x = self.pool(x).flatten(1)
            elif pool == "function":
                x = nn.functional.adaptive_avg_pool2d(x, (1, 1)).flatten(1)
            elif pool == "mean":
                x = torch.mean(x, dim=(2, 3))
            else:
                x = x.mean((2, 3), keepdim=True).squeeze()
            return self.head(x)

    _, batch = build("residual")
    network = build_any(Pools)
    score = proxies.score_network(network, batch, ["zen"])["zen"]
    # By hand: the passes draw x, ε and the weights in this order.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x, noise = torch.randn(batch[0].shape), torch.randn(batch[0].shape)
        kernel = torch.randn(4, 3, 3, 3)
    outputs = [nn.functional.conv2d(i, kernel, padding=1) for i in (x, x + 0.01 * noise)]
    first, second = (
        torch.relu(nn.functional.batch_norm(o, None, None, training=True)) for o in outputs
    )
    change = (first - second).abs().sum((1, 2, 3)).mean()
    running = torch.ones(4)
    for output in outputs:
        running = 0.9 * running + 0.1 * output.var((0, 2, 3))
    expected = math.log(float(change)) + 0.5 * math.log(float(running.mean()))
    assert score == pytest.approx(expected, rel=1e-4)


def test_reg_swap_is_swap_where_the_network_has_the_preferred_size() -> None:
    network, batch = build("mlp")
    scores = proxies.score_network(network, batch, ["params", "swap"])
    size = scores["params"]
    near = proxies.reg_swap(mu=size, sigma=10.0)
    assert proxies.score_network(network, batch, [near])["reg_swap"] == scores["swap"]
    far = proxies.reg_swap(mu=size + 2, sigma=8.0)
    both = proxies.score_network(network, batch, ["swap", far])
    assert both["reg_swap"] == pytest.approx(scores["swap"] * math.exp(-4 / 8))


def test_ntk_condition_does_not_depend_on_the_order_of_samples_nor_the_scale_of_logits() -> None:
    network, (inputs, _) = build("mlp")
    expected = proxies.score_network(network, (inputs, None), ["ntk_condition"])["ntk_condition"]
    assert expected >= 1
    for batch, factor in (((inputs.flip(0), None), 1), ((inputs, None), 4)):
        score = proxies.score_network(
            network, batch, ["ntk_condition"], forward_fn=lambda n, x, by=factor: n(x) * by
        )
        assert score["ntk_condition"] == pytest.approx(expected, rel=1e-4)


@given(copies=st.integers(1, 4))
@settings(max_examples=4, deadline=None)
def test_repeated_samples_add_no_linear_region(copies: int) -> None:
    network, (inputs, _) = build("mlp")
    expected = proxies.score_network(network, (inputs, None), ["linear_regions"])
    repeated = (inputs.repeat(copies, 1), None)
    assert proxies.score_network(network, repeated, ["linear_regions"]) == expected
    assert 1 <= expected["linear_regions"] <= len(inputs)


def test_stages_of_a_nested_network_are_found_below_its_only_child() -> None:
    _, batch = build("residual")
    network = build_any(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Conv2d(4, 8, 2, stride=2),
            nn.Flatten(),
            nn.Linear(72, 3),
        )
    )

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.activation = nn.ReLU()
            self.layers = nn.ModuleList(network)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x)
            return x

    asked = ["az_expressivity", "az_progressivity", "az_trainability"]
    expected = proxies.score_network(network, batch, asked)
    assert proxies.score_network(nn.Sequential(network), batch, asked) == expected
    assert proxies.score_network(Wrapped(), batch, asked) == expected


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_positions_fold_like_pixel_unshuffle(stride: int) -> None:
    value = torch.arange(2 * 3 * 36.0).reshape(2, 3, 6, 6)
    folded = _folded(value, torch.Size((6 // stride, 6 // stride)))
    assert folded is not None
    assert torch.equal(folded, nn.functional.pixel_unshuffle(value, stride))


@pytest.mark.parametrize("network_name", ["residual", "attention"])
def test_only_grasp_builds_a_graph_of_second_derivatives(
    network_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    differentiable: list[bool] = []
    original = torch.autograd.grad

    def watched(*arguments: Any, **named: Any) -> Any:
        found = original(*arguments, **named)
        differentiable.extend(g.requires_grad for g in found if g is not None)
        return found

    monkeypatch.setattr(torch.autograd, "grad", watched)
    network, batch = build(network_name)
    for proxy in defined(network_name):
        differentiable.clear()
        proxies.score_network(network, batch, [proxy])
        assert any(differentiable) == (proxy == "grasp"), proxy
