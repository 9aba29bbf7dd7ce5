"""Users' own proxies, passes and quantities are on an equal footing with ours."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from torch import Tensor

from optuna_zerocost import proxies
from optuna_zerocost.proxies import _registry
from tests.proxies.networks import build


@pytest.fixture(autouse=True)
def registry_as_before() -> Iterator[None]:
    before = dict(_registry._PROXIES)
    yield
    _registry._PROXIES.clear()
    _registry._PROXIES.update(before)


def largest_gradient(measured: proxies.Measured) -> float:
    return max(float(item.gradient.abs().max()) for item in measured[proxies.WEIGHT_GRADIENTS])


def test_a_user_registers_a_proxy_in_a_few_lines() -> None:
    proxies.register("largest_gradient", reads=(proxies.WEIGHT_GRADIENTS,), summary="max |g|")(
        largest_gradient
    )
    network, batch = build("mlp")
    scores = proxies.score_network(network, batch, ["largest_gradient", "grad_norm"])
    assert 0 < scores["largest_gradient"] <= scores["grad_norm"]
    assert "largest_gradient" in proxies.names()
    assert proxies.describe("largest_gradient").needs_labels


def test_a_proxy_object_needs_no_registration_and_pickles() -> None:
    proxy = proxies.Proxy(
        "mine", largest_gradient, "minimize", (proxies.WEIGHT_GRADIENTS,), "max |g|"
    )
    network, batch = build("mlp")
    copy = pickle.loads(pickle.dumps(proxy))
    assert copy == proxy
    scores = proxies.score_network(network, batch, [proxy, copy, "snip"])
    assert list(scores) == ["mine", "snip"]
    assert "mine" not in proxies.names()


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(proxies.ProxyDefinitionError, match="'snip' is taken.*another name"):
        proxies.register("snip", reads=(proxies.WEIGHT_GRADIENTS,), summary="")(largest_gradient)


def test_two_proxies_of_one_name_are_refused() -> None:
    impostor = proxies.Proxy("snip", largest_gradient, "maximize", (proxies.WEIGHT_GRADIENTS,), "")
    network, batch = build("mlp")
    with pytest.raises(proxies.ProxyDefinitionError, match="two different proxies.*'snip'"):
        proxies.score_network(network, batch, ["snip", impostor])


@pytest.mark.parametrize(
    ("name", "direction", "reads", "message"),
    [
        ("not a name", "maximize", (proxies.WEIGHT_GRADIENTS,), "identifier"),
        ("mine", "up", (proxies.WEIGHT_GRADIENTS,), "'maximize' or 'minimize'"),
        ("mine", "maximize", (), "at least one quantity"),
        (
            "mine",
            "maximize",
            (proxies.WEIGHT_GRADIENTS, proxies.FLOW_GRADIENTS),
            "loss and synaptic flow",
        ),
    ],
)
def test_a_contradictory_declaration_is_refused(
    name: str,
    direction: proxies.Direction,
    reads: tuple[proxies.Quantity[object], ...],
    message: str,
) -> None:
    with pytest.raises(proxies.ProxyDefinitionError, match=message):
        proxies.register(name, reads=reads, summary="", direction=direction)(largest_gradient)


def test_a_proxy_sees_only_what_it_declares() -> None:
    proxy = proxies.Proxy("mine", largest_gradient, "maximize", (proxies.INPUT_GRADIENTS,), "")
    network, batch = build("mlp")
    with pytest.raises(proxies.ProxyDefinitionError, match=r"'weight gradients'.*reads=\("):
        proxies.score_network(network, batch, [proxy, "snip"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_an_error(value: float) -> None:
    proxy = proxies.Proxy("mine", lambda _: value, "maximize", (proxies.LAYER_WEIGHTS,), "0/0")
    network, batch = build("mlp")
    with pytest.raises(proxies.UndefinedScoreError, match=f"mine came out as {value}.*0/0"):
        proxies.score_network(network, batch, [proxy])


@dataclass(frozen=True)
class OutputPass(proxies.Pass):
    """A pass of a user's own."""

    runs = 0

    @property
    def name(self) -> str:
        return "output"

    def run(self, request: proxies.Request) -> proxies.Measured:
        type(self).runs += 1
        return proxies.Measured({OUTPUT: request.forward(request.batch.copied()).detach()})


OUTPUT: proxies.Quantity[Tensor] = proxies.Quantity("output", OutputPass(), "the logits, (N, C)")


def test_a_pass_of_ones_own_runs_once_for_all_that_read_it() -> None:
    network, batch = build("mlp")
    largest = proxies.Proxy("a", lambda m: float(m[OUTPUT].max()), "maximize", (OUTPUT,), "max")
    least = proxies.Proxy("b", lambda m: float(m[OUTPUT].min()), "maximize", (OUTPUT,), "min")
    before = OutputPass.runs
    scores = proxies.score_network(network, batch, [largest, "synflow", least])
    assert OutputPass.runs == before + 1
    assert scores["b"] < scores["a"]
    assert list(scores) == ["a", "synflow", "b"]


def test_a_configured_proxy_pickles_and_can_be_given_a_name() -> None:
    proxy = proxies.reg_swap(mu=100.0, sigma=1e5)
    network, batch = build("mlp")
    expected = proxies.score_network(network, batch, [proxy])
    assert 0 < expected["reg_swap"]
    assert proxies.score_network(network, batch, [pickle.loads(pickle.dumps(proxy))]) == expected
    proxies.register("reg_swap", reads=proxy.reads, summary=proxy.summary)(proxy.function)
    assert proxies.score_network(network, batch, ["reg_swap"]) == expected


def test_every_built_in_proxy_is_described() -> None:
    for name in proxies.names():
        proxy = proxies.describe(name)
        assert proxy.name == name
        assert proxy.direction == ("minimize" if name == "ntk_condition" else "maximize")
        assert proxy.summary
        assert proxy.paper or name in ("params", "flops")
    labelled = {name for name in proxies.names() if proxies.describe(name).needs_labels}
    assert labelled == {
        *("grad_norm", "plain", "snip", "grasp", "fisher", "epe_nas", "zico", "gradsign")
    }
    second = {name for name in proxies.names() if proxies.describe(name).needs_second_derivatives}
    assert second == {"grasp"}


def test_the_registry_is_full_whichever_module_is_imported_first_and_optuna_stays_out() -> None:
    program = (
        "import sys\n"
        "from optuna_zerocost.proxies._registry import names\n"
        "print(','.join(names()), 'optuna' in sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert output.split() == [",".join(proxies.names()), "False"]
