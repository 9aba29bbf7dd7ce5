"""A score is the number that its definition says."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from optuna_zerocost import proxies
from tests.proxies.networks import CLASSES, NETWORKS, build, build_any, in_place
from tests.proxies.twins import TWINS

BUILT_IN = proxies.names()
# The twins walk named_parameters, where a parametrised weight does not appear.
WITH_TWIN = [name for name in NETWORKS if name != "parametrised"]


@pytest.mark.parametrize("network_name", WITH_TWIN)
@pytest.mark.parametrize("proxy", sorted(TWINS))
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


def test_every_built_in_proxy_but_the_counter_has_a_twin() -> None:
    assert set(TWINS) | {"flops"} == set(BUILT_IN)


@pytest.mark.parametrize("network_name", NETWORKS)
@settings(max_examples=8, deadline=None)
@given(subset=st.lists(st.sampled_from(BUILT_IN), unique=True, min_size=1))
def test_adding_a_proxy_never_changes_another(network_name: str, subset: list[str]) -> None:
    network, batch = build(network_name)
    together = proxies.score_network(network, batch, subset)
    assert list(together) == subset
    second = any(proxies.describe(name).needs_second_derivatives for name in subset)
    for name in subset:
        alone = proxies.score_network(network, batch, [name])[name]
        if second and name in ("grad_norm", "snip", "plain", "fisher", "jacob_cov"):
            # A backward that can itself be differentiated rounds differently.
            assert together[name] == pytest.approx(alone, rel=1e-4, abs=1e-6)
        else:
            assert together[name] == alone


def test_scores_do_not_depend_on_the_mode_the_network_is_in() -> None:
    network, batch = build("residual")
    train = proxies.score_network(network.train(), batch, BUILT_IN)
    assert proxies.score_network(network.eval(), batch, BUILT_IN) == train


def test_scores_are_the_same_each_time_and_follow_the_seed() -> None:
    network, batch = build("dropout")
    first = proxies.score_network(network, batch, BUILT_IN, seed=1)
    torch.rand(3)
    assert proxies.score_network(network, batch, BUILT_IN, seed=1) == first
    other = proxies.score_network(network, batch, BUILT_IN, seed=2)
    assert other["snip"] != first["snip"]
    assert other["synflow"] == first["synflow"]  # no dropout in its pass


@pytest.mark.parametrize("proxy", BUILT_IN)
def test_operations_in_place_do_not_change_a_score(proxy: str) -> None:
    _, batch = build("in_place")
    network, other = build_any(in_place), build_any(lambda: in_place(inplace=False))
    score = proxies.score_network(network, batch, [proxy])[proxy]
    # In place, the derivative is taken from the output, which rounds differently.
    expected = proxies.score_network(other, batch, [proxy])[proxy]
    assert score == pytest.approx(expected, rel=1e-5)


def test_frozen_weights_score_like_others_but_are_not_trainable() -> None:
    network, batch = build("frozen")
    thawed = copy.deepcopy(network).requires_grad_(True)
    frozen_scores = proxies.score_network(network, batch, BUILT_IN)
    scores = proxies.score_network(thawed, batch, BUILT_IN)
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


def test_synflow_depends_on_the_shape_of_the_inputs_only() -> None:
    network, (inputs, _) = build("residual")
    expected = proxies.score_network(network, (inputs, None))
    assert proxies.score_network(network, (100 * inputs[:2] - 7, None)) == expected


@given(factor=st.floats(0.5, 3.0), signs=st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_synflow_is_homogeneous_and_blind_to_signs(factor: float, signs: int) -> None:
    network = build_any(
        lambda: nn.Sequential(
            nn.Linear(5, 6, bias=False), nn.ReLU(), nn.Linear(6, CLASSES, bias=False)
        )
    )
    batch = (torch.zeros(2, 5), None)
    before = proxies.score_network(network, batch)["synflow"]
    generator = torch.Generator().manual_seed(signs)
    with torch.no_grad():
        for weight in network.parameters():
            weight *= torch.randint(0, 2, weight.shape, generator=generator) * 2 - 1
        network[0].weight *= factor
    after = proxies.score_network(network, batch)["synflow"]
    assert after == pytest.approx(factor * before, rel=1e-5)  # the factor is rounded to float32


def test_synflow_of_a_chain_is_its_flow_once_for_each_layer() -> None:
    """Without biases R is linear in each weight, so Σ W⊙∂R/∂W = R for each of them."""
    network = build_any(
        lambda: nn.Sequential(
            nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, CLASSES, bias=False)
        )
    )
    first, second = (weight.detach().double().abs() for weight in network.parameters())
    flow = float((second @ first).sum())
    score = proxies.score_network(network, (torch.zeros(1, 4), None))["synflow"]
    assert score == pytest.approx(2 * flow)


def test_normalisation_is_bypassed_for_synflow_even_where_it_could_not_run() -> None:
    """BatchNorm without running statistics cannot normalise one sample with 1×1 maps."""
    bare = build_any(lambda: nn.Sequential(nn.Linear(5, 6), nn.Linear(6, CLASSES)))
    norm = nn.BatchNorm1d(6, track_running_stats=False)
    normalised = nn.Sequential(bare[0], norm, bare[1])
    batch = (torch.zeros(1, 5), None)
    for proxy in ("synflow", "flops"):
        expected = proxies.score_network(bare, batch, [proxy])
        assert proxies.score_network(normalised, batch, [proxy]) == expected


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
