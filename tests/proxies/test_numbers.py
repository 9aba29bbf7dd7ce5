"""Complex numbers, types that a layer fixes, and the caller's own settings of types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optuna_zerocost import proxies
from tests.proxies.networks import CLASSES, SAMPLES, build, build_any, defined
from tests.proxies.twins import TWINS
from tests.proxies.untouched import everything


class Fourier(nn.Module):
    """A layer of complex weights between two of real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.skip, self.head = nn.Conv1d(1, 8, 1), nn.Conv1d(8, 8, 1), nn.Linear(8, 3)
        self.modes = nn.Parameter(torch.randn(8, 8, 4, dtype=torch.cfloat) / 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lift(x)
        spectrum = torch.fft.rfft(x)
        kept = torch.zeros_like(spectrum)
        modes = self.modes.to(spectrum.dtype)
        kept[..., :4] = torch.einsum("bim,iom->bom", spectrum[..., :4], modes)
        x = torch.relu(torch.fft.irfft(kept, n=x.size(-1)) + self.skip(x))
        return self.head(x.mean(-1))


class Modulus(nn.Module):
    """Takes complex inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.real, self.head = nn.Linear(10, 32), nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.real(torch.view_as_real(x).flatten(1))))


@pytest.mark.filterwarnings("ignore::optuna_zerocost.proxies.CoverageWarning")
def test_complex_weights_are_left_out_and_the_real_ones_read() -> None:
    network = build_any(Fourier)
    batch = (torch.randn(SAMPLES, 1, 16), torch.arange(SAMPLES) % CLASSES)
    before = everything(network)
    scores = proxies.score_network(network, batch, ["snip", "zico", "l2_norm"])
    loss = nn.functional.cross_entropy(network(batch[0]), batch[1])
    weights = [network.lift.weight, network.skip.weight, network.head.weight]
    products = zip(weights, torch.autograd.grad(loss, weights), strict=True)
    expected = sum(float((w.detach() * g).abs().sum()) for w, g in products)
    assert scores["snip"] == pytest.approx(expected, rel=1e-5)
    assert scores.coverage is not None and "modes" in scores.coverage.unread
    for name in proxies.names():
        try:
            proxies.score_network(network, batch, [name])
        except proxies.ProxyError:
            assert name in ("zen", "az_progressivity", "az_trainability"), name
    assert everything(network) == before


def test_complex_inputs_are_pairs_of_real_ones() -> None:
    network = build_any(Modulus)
    inputs = torch.randn(SAMPLES, 5, dtype=torch.cfloat)
    targets = torch.arange(SAMPLES) % CLASSES

    def paired(network: Any, inputs: Tensor) -> Tensor:
        output: Tensor = network(torch.view_as_complex(inputs))
        return output

    asked = ["snip", "jacob_cov", "naswot", "gradsign", "ntk_condition", "linear_regions"]
    expected = proxies.score_network(
        network, (torch.view_as_real(inputs), targets), asked, forward_fn=paired
    )
    scores = proxies.score_network(network, (inputs, targets), asked)
    assert scores == pytest.approx(expected, rel=1e-4)
    inputs[0, 0] = complex("nan")
    with pytest.raises(proxies.BatchError, match="NaN"):
        proxies.score_network(network, (inputs, targets), ["snip"])


def test_a_complex_output_is_refused() -> None:
    class Spectrum(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return torch.fft.fft(super().forward(input))

    with pytest.raises(proxies.OutputError, match="complex64.*modulus"):
        proxies.score_network(Spectrum(5, CLASSES), (torch.ones(2, 5), None), ["naswot"])


class Fixes(nn.Module):
    """Fixes a type somewhere, as layers do that know of single precision only."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.body, self.head = nn.Linear(5, 8, bias=False), nn.Linear(8, CLASSES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.body(x.float() if self.kind == "inputs" else x))
        if self.kind == "in the midst":
            x = x.float()
        if self.kind == "own zeros":
            x = torch.cat([x, torch.zeros(len(x), 8)], 1).type(torch.float32)[:, :8]
        if self.kind == "by name":
            x = x.to(torch.float32)
        return self.head(x)


KINDS = ["inputs", "in the midst", "own zeros", "by name"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("proxy", ["synflow", "logsynflow"])
def test_a_network_that_fixes_a_type_scores_like_one_that_does_not(kind: str, proxy: str) -> None:
    network, free = build_any(lambda: Fixes(kind)), build_any(lambda: Fixes("nothing"))
    batch = (torch.randn(SAMPLES, 5), torch.arange(SAMPLES) % CLASSES)
    before = everything(network)
    score = proxies.score_network(network, batch, [proxy])[proxy]
    assert score == pytest.approx(TWINS[proxy](free, batch, 0), rel=1e-5)
    assert everything(network) == before


def test_a_recurrent_layer_with_zeros_of_its_own_has_a_flow() -> None:
    class Starts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent, self.head = nn.GRU(5, 8, batch_first=True), nn.Linear(8, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.recurrent(x, torch.zeros(1, len(x), 8))[0][:, -1])

    class Free(Starts):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.recurrent(x)[0][:, -1])

    batch = (torch.randn(SAMPLES, 4, 5), None)
    score = proxies.score_network(build_any(Starts), batch)["synflow"]
    assert score == pytest.approx(proxies.score_network(build_any(Free), batch)["synflow"])


def test_bytes_are_inputs_of_ones() -> None:
    class Scales(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, CLASSES, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.float() / 255)

    network = build_any(Scales)
    inputs = torch.randint(0, 255, (SAMPLES, 5), dtype=torch.uint8)
    score = proxies.score_network(network, (inputs, None))["synflow"]
    assert score == pytest.approx(float(network.layer.weight.detach().abs().sum()) / 255)


def test_a_type_that_is_fixed_otherwise_still_is_told() -> None:
    class Half(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input.half())

    message = r"float64, which failed.*the type that the network bears.*x\.dtype"
    with pytest.raises(proxies.PassError, match=message):
        proxies.score_network(Half(5, CLASSES), (torch.ones(2, 5), None))


def test_a_flow_beyond_the_type_that_is_fixed_is_told() -> None:
    layers = [nn.Linear(32, 32) for _ in range(30)]
    for layer in layers:
        nn.init.constant_(layer.weight, 10.0)

    class Single(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.float())

    with pytest.raises(proxies.UndefinedScoreError, match="float32.*fixes the type"):
        proxies.score_network(Single(*layers), (torch.ones(2, 32), None))


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(before)


SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference": torch.inference_mode,
    "no gradients": torch.no_grad,
    "double": lambda: default_type(torch.float64),
    "half": lambda: default_type(torch.float16),
}


class Constants(nn.Module):
    """Makes numbers of the default type while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(5, 24), nn.BatchNorm1d(24)
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.layer(x * torch.linspace(0.1, 1, 5).to(x.dtype))))
        return self.head(x + torch.rand(24).to(x.dtype))


@pytest.mark.parametrize("setting", SETTINGS)
def test_scores_are_the_same_within_settings_of_the_caller(setting: str) -> None:
    for network, batch, asked in (
        (*build("residual"), defined("residual")),
        (build_any(Constants), build("mlp")[1], ["snip", "synflow", "naswot", "zico", "swap"]),
    ):
        expected = proxies.score_network(network, batch, asked)
        with SETTINGS[setting]():
            assert proxies.score_network(network, batch, asked) == expected
