"""Losses and labels of every kind give their number, or an error that names the sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optuna_zerocost import proxies
from tests.proxies.networks import CLASSES, SAMPLES, build, build_any

OF_THE_LOSS = ["snip", "plain", "grad_norm", "grasp", "fisher", "zico", "gradsign"]


def tokens() -> tuple[nn.Module, Tensor]:
    network = build_any(
        lambda: nn.Sequential(nn.Embedding(11, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 11))
    )
    return network, torch.arange(SAMPLES * 4).reshape(SAMPLES, 4) % 11


def transposed(network: nn.Module, inputs: Tensor) -> Tensor:
    output: Tensor = network(inputs).transpose(1, 2)
    return output


@pytest.mark.parametrize(
    ("proxy", "unlabelled", "message"),
    [
        ("gradsign", slice(3, 4), "sample 3 has no label that counts.*-100.*gradsign"),
        ("zico", slice(0, 3), "the first half of the minibatch has no label.*zico"),
        ("zico", slice(3, 6), "the second half of the minibatch has no label.*zico"),
        ("snip", slice(0, 6), "the minibatch has no label.*snip"),
    ],
)
def test_samples_of_which_all_labels_are_ignored_are_named(
    proxy: str, unlabelled: slice, message: str
) -> None:
    network, inputs = tokens()
    labels = inputs.clone()
    labels[unlabelled] = -100
    with pytest.raises(proxies.LabelsError, match=message) as caught:
        proxies.score_network(network, (inputs, labels), [proxy], forward_fn=transposed)
    assert "initial weights" not in str(caught.value)


def test_some_ignored_labels_are_no_error() -> None:
    network, inputs = tokens()
    labels = inputs.clone()
    labels[:, ::2] = -100
    scores = proxies.score_network(network, (inputs, labels), OF_THE_LOSS, forward_fn=transposed)
    assert set(scores) == set(OF_THE_LOSS)


def test_another_loss_may_ignore_another_class() -> None:
    loss_fn = nn.CrossEntropyLoss(ignore_index=1)
    network, (inputs, targets) = build("mlp")
    with pytest.raises(proxies.LabelsError, match="sample 1 has no label .*all are 1"):
        proxies.score_network(network, (inputs, targets), ["gradsign"], loss_fn=loss_fn)


def test_labels_that_are_nan_are_named() -> None:
    network, (inputs, _) = build("mlp")
    targets = torch.ones(SAMPLES, CLASSES)
    targets[2] = float("nan")
    for proxy, name in (("gradsign", "sample 2"), ("snip", "the minibatch")):
        with pytest.raises(proxies.LabelsError, match=f"{name}.*labels are NaN"):
            proxies.score_network(
                network, (inputs, targets), [proxy], loss_fn=nn.functional.mse_loss
            )


def test_a_minibatch_of_several_is_named() -> None:
    network, (inputs, targets) = build("mlp")
    batch = proxies.Minibatches((inputs, targets), (inputs + 1, torch.full_like(targets, -100)))
    with pytest.raises(proxies.LabelsError, match="minibatch 1 has no label"):
        proxies.score_network(network, batch, ["zico"])


def test_a_loss_may_need_no_labels() -> None:
    network, (inputs, _) = build("mlp")

    def entropy(output: Tensor, _: Any) -> Tensor:
        return -(output.softmax(1) * output.log_softmax(1)).sum(1).mean()

    scores = proxies.score_network(network, (inputs, None), OF_THE_LOSS, loss_fn=entropy)
    labelled = proxies.score_network(
        network, (inputs, torch.zeros(SAMPLES)), OF_THE_LOSS, loss_fn=entropy
    )
    assert scores == labelled


def test_the_network_may_put_out_its_loss() -> None:
    network, (inputs, targets) = build("mlp")
    expected = proxies.score_network(network, (inputs, targets), ["snip", "grasp"])

    def loss_of(network: nn.Module, inputs: Any) -> Tensor:
        return nn.functional.cross_entropy(network(inputs), targets)

    scores = proxies.score_network(
        network, (inputs, None), expected, forward_fn=loss_of, loss_fn=lambda loss, _: loss
    )
    assert scores == expected


@pytest.mark.parametrize("loss_fn", [nn.functional.mse_loss, nn.CrossEntropyLoss()])
def test_a_loss_that_does_need_labels_is_told_so(loss_fn: Callable[..., Tensor]) -> None:
    network, (inputs, _) = build("mlp")
    with pytest.raises(proxies.LabelsError, match="no labels, and snip.*loss_fn that does with"):
        proxies.score_network(network, (inputs, None), ["snip"], loss_fn=loss_fn)


def test_classes_are_missed_whatever_the_loss() -> None:
    network, (inputs, _) = build("mlp")
    with pytest.raises(proxies.LabelsError, match="no labels, and epe_nas"):
        proxies.score_network(
            network, (inputs, None), ["epe_nas"], loss_fn=lambda output, _: output.mean()
        )


@dataclasses.dataclass
class Coded:
    decoded: Tensor
    mean: Tensor


class Autoencoder(nn.Module):
    def __init__(self, kind: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.encoder, self.decoder, self.kind = nn.Linear(5, 32), nn.Linear(32, 5), kind

    def forward(self, x: Tensor) -> Any:
        mean = torch.relu(self.encoder(x))
        return self.kind(self.decoder(mean), mean)


KINDS: dict[str, tuple[Callable[..., Any], Callable[[Any], tuple[Tensor, Tensor]]]] = {
    "tuple": (lambda *both: both, lambda output: output),
    "list": (lambda *both: list(both), lambda output: (output[0], output[1])),
    "mapping": (
        lambda decoded, mean: {"decoded": decoded, "mean": mean},
        lambda output: (output["decoded"], output["mean"]),
    ),
    "data class": (Coded, lambda output: (output.decoded, output.mean)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_may_read_several_outputs(kind: str) -> None:
    pack, unpack = KINDS[kind]

    def loss_fn(output: Any, targets: Tensor) -> Tensor:
        decoded, mean = unpack(output)
        return (decoded - targets).square().mean() + mean.square().mean()

    network = build_any(lambda: Autoencoder(pack))
    _, (inputs, _) = build("mlp")
    asked = [*OF_THE_LOSS, "naswot"]
    scores = proxies.score_network(network, (inputs, inputs), asked, loss_fn=loss_fn)
    twin = build_any(lambda: Autoencoder(pack)).train()
    loss_fn(twin(inputs), inputs).backward()
    weights = (twin.encoder.weight, twin.decoder.weight)
    expected = sum(float((w.detach() * w.grad).abs().sum()) for w in weights)
    assert scores["snip"] == pytest.approx(expected, rel=1e-5)
    for proxy in ("synflow", "jacob_cov"):
        with pytest.raises(proxies.OutputError, match="forward_fn"):
            proxies.score_network(network, (inputs, inputs), [proxy], loss_fn=loss_fn)


LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Any], str]] = {
    "detached": (lambda output, _: output.detach().mean(), "does not lead back.*snip"),
    "classes": (lambda output, y: (output.argmax(1) != y).float().mean(), "does not lead back"),
    "integer": (lambda output, y: (output.argmax(1) != y).sum(), "int64.*one number"),
    "number": (lambda output, _: float(output.detach().mean()), "a float.*one number"),
    "complex": (lambda output, _: output.mean() * 1j, "complex64.*one number"),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_a_loss_that_has_no_gradient_is_no_score_of_0(kind: str) -> None:
    loss_fn, message = LOSSES[kind]
    network, batch = build("mlp")
    with pytest.raises(proxies.OutputError, match=message):
        proxies.score_network(network, batch, ["snip"], loss_fn=loss_fn)


def test_where_no_weight_reaches_the_output_the_score_is_0() -> None:
    class Dead(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return torch.zeros(len(input), CLASSES) + 0 * super().forward(input).detach()

    _, batch = build("mlp")
    assert proxies.score_network(Dead(5, CLASSES), batch, ["snip"]) == {"snip": 0.0}


def _targets(kind: str) -> tuple[int, Tensor]:
    """Return how many numbers the output has for each of 6 samples, and targets."""
    torch.manual_seed(3)
    return {
        "real values, a column": (1, torch.randn(6, 1)),
        "real values, a row": (1, torch.randn(6)),
        "two classes by one number": (1, torch.tensor([0, 1, 0, 1, 1, 0])),
        "one class of one": (1, torch.zeros(6, dtype=torch.long)),
        "several real values": (3, torch.randn(6, 3)),
        "several labels at once": (3, torch.tensor([[1.0, 0.0, 1.0]] * 6)),
        "no label at all for some": (3, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]] * 3)),
        "real values for each of several": (3, torch.rand(6)),
        "several classes for each": (3, torch.ones(6, 3, dtype=torch.long)),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "real values, a column",
        "real values, a row",
        "two classes by one number",
        "one class of one",
        "several real values",
        "several labels at once",
        "no label at all for some",
        "real values for each of several",
        "several classes for each",
    ],
)
def test_what_is_no_class_is_not_scored_by_cross_entropy_but_by_a_loss_of_its_own(
    kind: str,
) -> None:
    """It is a score of 0 otherwise, or one that means nothing, without a word."""
    width, targets = _targets(kind)
    network = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, width))
    batch = torch.randn(6, 4), targets
    for proxy in ("snip", "grad_norm", "fisher"):
        with pytest.raises(proxies.LabelsError, match=r"loss_fn.*mse_loss.*binary_cross_entropy"):
            proxies.score_network(network, batch, [proxy])

    def loss(output: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.mse_loss(output, targets.float().reshape(6, -1).expand_as(output))

    assert proxies.score_network(network, batch, ["snip"], loss_fn=loss)["snip"] > 0
    assert proxies.score_network(network, batch, ["synflow"])["synflow"] > 0  # which reads no loss


def test_probabilities_of_classes_are_what_cross_entropy_takes() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    inputs = torch.randn(6, 4)
    soft = torch.softmax(torch.randn(6, 3), dim=1)
    assert proxies.score_network(network, (inputs, soft), ["snip"])["snip"] > 0
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    hard = nn.functional.one_hot(labels, 3).float()
    by_class = proxies.score_network(network, (inputs, labels), ["snip"])["snip"]
    assert proxies.score_network(network, (inputs, hard), ["snip"])["snip"] == pytest.approx(
        by_class
    )
