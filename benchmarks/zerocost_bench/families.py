"""One small network for each family that is trained today, in plain torch, with its minibatch."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerocost_bench.model_zoo import CLASSES, Settings, Subject, labels

__all__ = ["FAMILIES", "available", "load"]

WIDTH = 16
STEPS = 12
VOCABULARY = 30


def convolutional(batch: int) -> Subject:
    """Convolutions, BatchNorm and ReLU on images."""
    network = nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, padding=1, bias=False),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(),
        nn.Conv2d(WIDTH, 2 * WIDTH, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * WIDTH),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * WIDTH, CLASSES),
    )
    return Subject(network, (torch.randn(batch, 3, 16, 16), labels(batch)))


def encoder(layers: int = 2) -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 4 * WIDTH, dropout=0.1, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


class VisionTransformer(nn.Module):
    """Patches, a class token and places, which are parameters of the network's own."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.places = nn.Parameter(0.02 * torch.randn(1, 17, WIDTH))
        self.encoder = encoder()
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, images: Tensor) -> Any:
        """Classify by the first token."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), patches], dim=1)
        return self.head(self.encoder(tokens + self.places)[:, 0])


def vision_transformer(batch: int) -> Subject:
    """A transformer encoder on patches of images."""
    return Subject(VisionTransformer(), (torch.randn(batch, 3, 16, 16), labels(batch)))


class TextEncoder(nn.Module):
    """A transformer encoder on tokens, some of which are padding."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
        self.encoder = encoder()
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, tokens: Tensor, kept: Tensor) -> Any:
        """Classify the first step."""
        return self.head(self.encoder(self.words(tokens), src_key_padding_mask=~kept)[:, 0])


def text_encoder(batch: int) -> Subject:
    """A transformer encoder on tokens, with a padding mask."""
    kept = torch.arange(STEPS) < torch.randint(STEPS // 2, STEPS, (batch, 1))
    tokens = torch.randint(1, VOCABULARY, (batch, STEPS)) * kept
    return Subject(TextEncoder(), ({"tokens": tokens, "kept": kept}, labels(batch)))


class LanguageModel(nn.Module):
    """Causal attention, and a head that shares the weight of the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(STEPS, WIDTH)
        self.encoder = encoder()
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.words.weight

    def forward(self, tokens: Tensor) -> Any:
        """Return the logits of each step's next token, (N, T, V)."""
        steps = tokens.size(1)
        ahead = torch.ones(steps, steps, dtype=torch.bool, device=tokens.device).triu(1)
        hidden = self.words(tokens) + self.places(torch.arange(steps, device=tokens.device))
        return self.head(self.encoder(hidden, mask=ahead))


def loss_of_tokens(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def language_model(batch: int) -> Subject:
    """A causal transformer that predicts each next token."""
    tokens = torch.randint(VOCABULARY, (batch, STEPS + 1))
    return Subject(LanguageModel(), (tokens[:, :-1], tokens[:, 1:]), None, loss_of_tokens)


class MessagePassing(nn.Module):
    """Two rounds in which each node adds what its neighbours send."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, WIDTH)
        self.messages = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, nodes: Tensor, edges: Tensor) -> Any:
        """Classify each node."""
        hidden = self.embed(nodes)
        senders, receivers = edges
        for message in self.messages:
            sent = message(hidden)[senders]
            hidden = torch.relu(hidden.index_add(0, receivers, sent))
        return self.head(hidden)


def graph(batch: int) -> Subject:
    """Message passing along the edges of a graph, by hand."""
    inputs = (torch.randn(batch, 8), torch.randint(batch, (2, 3 * batch)))
    return Subject(MessagePassing(), (inputs, labels(batch)))


class Geometric(nn.Module):
    """Two graph convolutions of torch_geometric."""

    def __init__(self) -> None:
        super().__init__()
        convolution = importlib.import_module("torch_geometric.nn").GCNConv
        self.first, self.second = convolution(8, WIDTH), convolution(WIDTH, CLASSES)

    def forward(self, nodes: Tensor, edges: Tensor) -> Any:
        """Classify each node."""
        return self.second(torch.relu(self.first(nodes, edges)), edges)


def geometric(batch: int) -> Subject:
    """Graph convolutions of torch_geometric."""
    inputs = (torch.randn(batch, 8), torch.randint(batch, (2, 3 * batch)))
    return Subject(Geometric(), (inputs, labels(batch)))


class Speech(nn.Module):
    """Convolutions over time, a bidirectional GRU, and a token for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv1d(20, WIDTH, 3, stride=2, padding=1)
        self.recurrent = nn.GRU(WIDTH, WIDTH, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * WIDTH, VOCABULARY)

    def forward(self, spectrograms: Tensor) -> Any:
        """Return the logits of each step, (N, T, V)."""
        features = torch.relu(self.features(spectrograms)).transpose(1, 2)
        return self.head(self.recurrent(features)[0])


def ctc(logits: Tensor, targets: Tensor) -> Tensor:
    lengths = torch.full((len(logits),), logits.size(1))
    wanted = torch.full((len(targets),), targets.size(1))
    return F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), targets, lengths, wanted)


def speech(batch: int) -> Subject:
    """Spectrograms to sequences of tokens, by the CTC loss."""
    inputs, targets = torch.randn(batch, 20, 40), torch.randint(1, VOCABULARY, (batch, 5))
    return Subject(Speech(), (inputs, targets), None, ctc)


class Recurrent(nn.Module):
    """A recurrent layer of torch, whose last step is classified."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.recurrent = kind(8, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Classify the last step."""
        return self.head(self.recurrent(x)[0][:, -1])


def lstm(batch: int) -> Subject:
    """An LSTM of torch."""
    return Subject(Recurrent(nn.LSTM), (torch.randn(batch, STEPS, 8), labels(batch)))


def gru(batch: int) -> Subject:
    """A GRU of torch."""
    return Subject(Recurrent(nn.GRU), (torch.randn(batch, STEPS, 8), labels(batch)))


class Cell(nn.Module):
    """A gated cell of the network's own, with matrices that are no layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.of_input = nn.Parameter(0.2 * torch.randn(8, 2 * WIDTH))
        self.of_state = nn.Parameter(0.2 * torch.randn(WIDTH, 2 * WIDTH))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Classify the last state."""
        state = x.new_zeros(len(x), WIDTH)
        for step in x.unbind(1):
            new, gate = (step @ self.of_input + state @ self.of_state).chunk(2, dim=-1)
            state = torch.lerp(state, torch.tanh(new), torch.sigmoid(gate))
        return self.head(state)


def cell(batch: int) -> Subject:
    """A recurrent cell by hand, of bare parameters."""
    return Subject(Cell(), (torch.randn(batch, STEPS, 8), labels(batch)))


class Experts(nn.Module):
    """Four experts, whose weights are one parameter of three dimensions, mixed by a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(8, 4)
        self.up = nn.Parameter(0.3 * torch.randn(4, 8, WIDTH))
        self.down = nn.Parameter(0.3 * torch.randn(4, WIDTH, CLASSES))

    def forward(self, x: Tensor) -> Any:
        """Classify by the two experts that the gate weighs most."""
        weight, chosen = self.gate(x).topk(2, dim=-1)
        share = torch.zeros(len(x), 4, dtype=x.dtype, device=x.device)
        share = share.scatter(1, chosen, weight.softmax(-1))
        hidden = torch.relu(torch.einsum("nd,edh->neh", x, self.up))
        return torch.einsum("neh,ehc,ne->nc", hidden, self.down, share)


def experts(batch: int) -> Subject:
    """A mixture of experts, with parameters of three dimensions."""
    return Subject(Experts(), (torch.randn(batch, 8), labels(batch)))


class Denoiser(nn.Module):
    """A U-Net of two levels that is told how noisy its image is."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Embedding(100, WIDTH)
        self.first = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.norm = nn.GroupNorm(4, WIDTH)
        self.down = nn.Conv2d(WIDTH, 2 * WIDTH, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(2 * WIDTH, WIDTH, 2, stride=2)
        self.last = nn.Conv2d(2 * WIDTH, 3, 3, padding=1)

    def forward(self, noisy: Tensor, times: Tensor) -> Any:
        """Return the noise."""
        fine = F.silu(self.norm(self.first(noisy)) + self.time(times)[:, :, None, None])
        coarse = F.silu(self.down(fine))
        return self.last(torch.cat([fine, self.up(coarse)], dim=1))


def diffusion(batch: int) -> Subject:
    """A U-Net that predicts noise at random timesteps, by the squared error."""
    noise = torch.randn(batch, 3, 16, 16)
    inputs = (torch.randn(batch, 3, 16, 16) + noise, torch.randint(100, (batch,)))
    return Subject(Denoiser(), (inputs, noise), None, F.mse_loss)


class Detector(nn.Module):
    """A class and a box for each position of the last map."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, WIDTH, 3, stride=4, padding=1), nn.ReLU())
        self.classes = nn.Conv2d(WIDTH, CLASSES, 1)
        self.boxes = nn.Conv2d(WIDTH, 4, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return both, (N, classes, H, W) and (N, 4, H, W)."""
        features = self.features(images)
        return {"classes": self.classes(features), "boxes": self.boxes(features)}


def loss_of_detection(output: Any, targets: Any) -> Tensor:
    of_classes = F.cross_entropy(output["classes"], targets["classes"])
    return of_classes + F.smooth_l1_loss(output["boxes"], targets["boxes"])


def detection(batch: int) -> Subject:
    """Classes and boxes, two outputs with one loss."""
    targets = {
        "classes": torch.randint(CLASSES, (batch, 4, 4)),
        "boxes": torch.rand(batch, 4, 4, 4),
    }
    inputs = torch.randn(batch, 3, 16, 16)
    return Subject(Detector(), (inputs, targets), None, loss_of_detection)


class Adapted(nn.Module):
    """A frozen layer, and beside it a product of two small matrices that is trained."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.frozen = nn.Linear(inputs, outputs).requires_grad_(False)
        self.a = nn.Parameter(0.2 * torch.randn(inputs, 2))
        self.b = nn.Parameter(torch.zeros(2, outputs))

    def forward(self, x: Tensor) -> Any:
        """Add both."""
        return self.frozen(x) + x @ self.a @ self.b


def adapters(batch: int) -> Subject:
    """Frozen layers with low-rank adapters, which begin at zero."""
    network = nn.Sequential(Adapted(8, 2 * WIDTH), nn.ReLU(), Adapted(2 * WIDTH, CLASSES))
    return Subject(network, (torch.randn(batch, 8), labels(batch)))


class Tabular(nn.Module):
    """Columns of numbers, and one of categories."""

    def __init__(self) -> None:
        super().__init__()
        self.categories = nn.Embedding(5, 4)
        self.layers = nn.Sequential(nn.Linear(12, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, 1))

    def forward(self, numbers: Tensor, category: Tensor) -> Any:
        """Return one number for each row."""
        return self.layers(torch.cat([numbers, self.categories(category)], dim=1))[:, 0]


def tabular(batch: int) -> Subject:
    """An MLP on numbers and categories that predicts a number, by the squared error."""
    inputs = (torch.randn(batch, 8), torch.randint(5, (batch,)))
    return Subject(Tabular(), (inputs, torch.randn(batch)), None, F.mse_loss)


FAMILIES: dict[str, Callable[[int], Subject]] = {
    "CNN": convolutional,
    "vision transformer": vision_transformer,
    "text encoder": text_encoder,
    "language model": language_model,
    "graph": graph,
    "torch_geometric": geometric,
    "speech (CTC)": speech,
    "LSTM": lstm,
    "GRU": gru,
    "recurrent cell": cell,
    "mixture of experts": experts,
    "diffusion U-Net": diffusion,
    "detection": detection,
    "low-rank adapters": adapters,
    "tabular MLP": tabular,
}
"""Name → what makes the network and its minibatch; its docstring says what it is."""


def available() -> tuple[str, ...]:
    """Return the families that can be built here: torch_geometric may be absent."""
    found = importlib.util.find_spec("torch_geometric") is not None
    return tuple(name for name in FAMILIES if found or name != "torch_geometric")


def load(name: str, settings: Settings) -> Subject:
    """Build the network of a family with initial weights, and a random minibatch for it."""
    torch.manual_seed(settings.seed)
    return FAMILIES[name](settings.batch)
