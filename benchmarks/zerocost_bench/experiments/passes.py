"""The time that sharing passes saves, and what the package adds to them.

Measures times side by side, for NAS-Bench-201 networks at batch 64 and for three others.

(a) the paper's seven proxies together against each on its own, with and without grasp;
(b) the same against the bare passes, written by hand with torch.autograd;
(c) synflow, building the network included, against one training forward and backward;
(d) for the first network, the peak memory with and without grasp, the one second derivative.

``--quick`` takes four networks and a small batch, to see that it works. Without ``--output``
nothing is written.
"""

from __future__ import annotations

import argparse
import copy
import csv
import functools
import itertools
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from optuna_zerocost import proxies
from zerocost_bench.nasbench201 import EDGES, OPERATIONS, build_network, live_edges

WITHOUT_GRASP = ("grad_norm", "snip", "fisher", "jacob_cov", "plain", "synflow")
SEVEN = (*WITHOUT_GRASP, "grasp")
CLASSES = 10
SYNFLOW_TURNS = 9
NORMALISATIONS = (nn.BatchNorm2d, nn.LayerNorm)

# What is measured, and at least (or at most) what it should be. What each costs on its own, over
# the bare passes, is the most that sharing passes can save.
RATIOS: dict[str, str] = {
    "seven: each / together": "≥ 2.3",
    "seven: each / by hand": "the limit",
    "six: each / together": "≥ 3.3",
    "six: each / by hand": "the limit",
    "seven: together / by hand": "≤ 1.15",
    "six: together / by hand": "≤ 1.15",
    "synflow: ours / by hand": "≤ 1.15",
    "synflow with building / training pass": "≤ 0.10",
}

Batch = tuple[Tensor, Tensor]
Builder = Callable[[], nn.Module]


def relu_conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(c_out),
    )


class Residual(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            relu_conv_bn(c_in, c_out, 3, stride), relu_conv_bn(c_out, c_out, 3)
        )
        self.shortcut: nn.Module = nn.Identity()
        if c_in != c_out:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(c_in, c_out, 1, bias=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut to the body."""
        result: Tensor = self.shortcut(x) + self.body(x)
        return result


def resnet() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)]
    for narrow, width in ((32, 32), (32, 64), (64, 128)):
        layers += [Residual(narrow, width, 2)] * (narrow < width)
        layers += [Residual(width, width, 1) for _ in range(2)]
    head = [nn.BatchNorm2d(128), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *head, nn.Linear(128, CLASSES))


class Encoder(nn.Module):
    """A transformer encoder without dropout over sequences of vectors."""

    def __init__(self, width: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(32, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Classify the mean over the steps."""
        result: Tensor = self.head(self.layers(self.embed(x)).mean(1))
        return result


class Recurrent(nn.Module):
    """An LSTM over sequences of vectors."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(32, width, num_layers=2, batch_first=True)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Classify the last step."""
        result: Tensor = self.head(self.recurrent(x)[0][:, -1])
        return result


def architectures(count: int, seed: int) -> Iterator[tuple[str, ...]]:
    """Yield distinct random cells with a convolution whose input reaches their output."""
    generator = random.Random(seed)
    seen: set[tuple[str, ...]] = set()
    while len(seen) < count:
        names = tuple(generator.choice(OPERATIONS) for _ in EDGES)
        convolutional = any("conv" in name for name in names)
        if any(live_edges(names)) and convolutional and names not in seen:
            seen.add(names)
            yield names


def weights_of(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.dim() > 1]


def loss_pass_by_hand(network: nn.Module, batch: Batch, grasp: bool) -> None:
    """Run the forward pass and the derivatives that the proxies of the minibatch read."""
    outputs: list[Tensor] = []

    def note(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        outputs.append(output)

    handles = [
        module.register_forward_hook(note)
        for module in network.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    inputs = batch[0].clone().requires_grad_()
    logits = network(inputs)
    for handle in handles:
        handle.remove()
    loss = nn.functional.cross_entropy(logits, batch[1])
    weights = weights_of(network)
    gradients = torch.autograd.grad(
        loss,
        [*weights, *outputs],
        retain_graph=True,
        create_graph=grasp,
        allow_unused=True,
    )[: len(weights)]
    torch.autograd.grad(logits.sum(), inputs, retain_graph=grasp)
    if grasp:
        terms = [(g * g.detach()).sum() for g in gradients if g is not None]
        torch.autograd.grad(torch.stack(terms).sum(), weights, allow_unused=True)


def synflow_by_hand(bypassed: nn.Module, batch: Batch) -> float:
    """Run synflow on a network that is thrown away, without normalisation from the start."""
    for tensor in (*bypassed.parameters(), *bypassed.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.abs().double()
    bypassed.eval()
    flow = bypassed(torch.ones(1, *batch[0].shape[1:], dtype=torch.float64)).sum()
    weights = weights_of(bypassed)
    gradients = torch.autograd.grad(flow, weights, allow_unused=True)
    pairs = zip(weights, gradients, strict=True)
    return float(sum((w.detach() * g).abs().sum() for w, g in pairs if g is not None))


def unchanged(x: Tensor) -> Tensor:
    return x


def without_normalisation(network: nn.Module) -> nn.Module:
    bypassed = copy.deepcopy(network)
    for module in bypassed.modules():
        if isinstance(module, NORMALISATIONS):
            # Not replaced by an Identity: transformer layers ask theirs for its attributes.
            vars(module)["forward"] = unchanged
    return bypassed


def training_pass(network: nn.Module, batch: Batch) -> None:
    torch.autograd.backward(nn.functional.cross_entropy(network(batch[0]), batch[1]))
    network.zero_grad()


def seconds(function: Callable[[], object]) -> float:
    """Return the process's own seconds, which other processes do not prolong."""
    start = time.process_time()
    function()
    return time.process_time() - start


def in_turns(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the medians of their seconds; in turns, since a machine is faster now than then."""
    found: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            found[name].append(seconds(function))
    return {name: statistics.median(times) for name, times in found.items()}


def measure(build: Builder, batch: Batch, repeats: int) -> dict[str, float]:
    """Return the seconds of everything that is compared, for one network."""

    def score(names: Sequence[str]) -> Callable[[], object]:
        return lambda: proxies.score_network(network, batch, names)

    def by_hand(grasp: bool) -> None:
        # A fused attention kernel has no second derivative.
        if grasp:
            with sdpa_kernel([SDPBackend.MATH]):
                loss_pass_by_hand(network, batch, grasp=True)
        else:
            loss_pass_by_hand(network, batch, grasp=False)

    network = build().train()
    score(["snip"])()  # warm
    copies = iter([without_normalisation(network) for _ in range(SYNFLOW_TURNS)])
    found = in_turns(
        {
            **{f"alone {name}": score([name]) for name in SEVEN},
            "seven together": score(SEVEN),
            "seven by hand, loss": lambda: by_hand(grasp=True),
            "six together": score(WITHOUT_GRASP),
            "six by hand, loss": lambda: by_hand(grasp=False),
            "training pass": lambda: training_pass(network, batch),
        },
        repeats,
    )
    # Milliseconds, which whatever else the caches hold changes: by themselves, and more often.
    return found | in_turns(
        {
            "synflow by hand": lambda: synflow_by_hand(next(copies), batch),
            "synflow again": score(["synflow"]),
            "synflow with building": lambda: proxies.score_network(build(), batch, ["synflow"]),
        },
        SYNFLOW_TURNS,
    )


def peak_memory(function: Callable[[], object]) -> float:
    """Return by how many MiB torch's CPU allocations exceeded, at most, those at the start."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        function()
    assert profile.profiler is not None
    recorded = profile.profiler.kineto_results.events()
    changes: list[tuple[int, int]] = sorted(
        (event.start_ns(), event.nbytes()) for event in recorded if event.name() == "[memory]"
    )
    return max(itertools.accumulate(size for _, size in changes)) / 2**20


def memory(network: nn.Module, batch: Batch) -> dict[str, float]:
    """Return the peak MiB of what is compared."""
    network.train()
    return {
        "training pass": peak_memory(lambda: training_pass(network, batch)),
        "six together": peak_memory(lambda: proxies.score_network(network, batch, WITHOUT_GRASP)),
        "six by hand": peak_memory(lambda: loss_pass_by_hand(network, batch, grasp=False)),
        "seven together": peak_memory(lambda: proxies.score_network(network, batch, SEVEN)),
        "seven by hand": peak_memory(lambda: loss_pass_by_hand(network, batch, grasp=True)),
    }


def ratios(found: dict[str, float]) -> dict[str, float]:
    each = {name: found[f"alone {name}"] for name in SEVEN}
    seven, six = sum(each.values()), sum(each[name] for name in WITHOUT_GRASP)
    synflow = found["synflow by hand"]
    seven_by_hand = found["seven by hand, loss"] + synflow
    six_by_hand = found["six by hand, loss"] + synflow
    return {
        "seven: each / together": seven / found["seven together"],
        "seven: each / by hand": seven / seven_by_hand,
        "six: each / together": six / found["six together"],
        "six: each / by hand": six / six_by_hand,
        "seven: together / by hand": found["seven together"] / seven_by_hand,
        "six: together / by hand": found["six together"] / six_by_hand,
        "synflow: ours / by hand": found["synflow again"] / synflow,
        "synflow with building / training pass": found["synflow with building"]
        / found["training pass"],
    }


def report(rows: list[dict[str, Any]], peaks: dict[str, float], settings: str) -> str:
    """Return the medians as Markdown."""
    cells = [row for row in rows if row["kind"] == "NAS-Bench-201"]
    others = [row for row in rows if row["kind"] != "NAS-Bench-201"]
    title = " | ".join(row["kind"] for row in others)
    lines = [
        "# Shared passes",
        "",
        settings,
        "",
        "Each number is a ratio of seconds of processor time. For NAS-Bench-201 it is the median "
        "of the networks, with the least and the largest in brackets. *Seven* are grad_norm, "
        "snip, grasp, fisher, jacob_cov, plain and synflow, *six* leave grasp out; *by hand* are "
        "the bare passes "
        "without hooks' bookkeeping, checks, restored state, or the proxies' own arithmetic, with "
        "the second derivatives that torch finds itself. *The limit* is what sharing gives if it "
        "costs no more than that.",
        "",
        f"| ratio | wanted | NAS-Bench-201 ({len(cells)}) | {title} |",
        f"| --- | --- | --- |{' --- |' * len(others)}",
    ]
    for name, wanted in RATIOS.items():
        of_cells = [row[name] for row in cells]
        spread = f"{min(of_cells):.2f} … {max(of_cells):.2f}"
        middle = f"{statistics.median(of_cells):.3f} ({spread})"
        rest = " | ".join(f"{row[name]:.3f}" for row in others)
        lines.append(f"| {name} | {wanted} | {middle} | {rest} |")
    lines += ["", "Median seconds:", "", f"| | NAS-Bench-201 | {title} |"]
    lines.append(f"| --- | --- |{' --- |' * len(others)}")
    for name in (name for name in rows[0] if name not in ("kind", "network", *RATIOS)):
        rest = " | ".join(f"{row[name]:.3f}" for row in others)
        lines.append(f"| {name} | {statistics.median(r[name] for r in cells):.3f} | {rest} |")
    lines += ["", f"Peak memory, NAS-Bench-201 {rows[0]['network']}:", "", "| | MiB |"]
    lines.append("| --- | --- |")
    lines += [f"| {name} | {size:.0f} |" for name, size in peaks.items()]
    return "\n".join(lines) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--networks", type=int, default=20, help="NAS-Bench-201 networks")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3, help="of which the median counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="four networks, batch 8")
    parser.add_argument("--output", type=Path, help="write OUTPUT.md and OUTPUT.csv")


def run(arguments: argparse.Namespace) -> None:
    """Run and print."""
    count, size = arguments.networks, arguments.batch
    if arguments.quick:
        count, size = 4, 8
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    images, sequences = torch.randn(size, 3, 32, 32), torch.randn(size, 32, 32)
    targets = torch.randint(0, CLASSES, (size,))
    jobs: list[tuple[str, str, Builder, Tensor]] = [
        ("NAS-Bench-201", "/".join(names), functools.partial(build_network, names), images)
        for names in architectures(count, arguments.seed)
    ]
    jobs += [
        ("ResNet", "3 stages of 2 blocks, 32 to 128 channels", resnet, images),
        ("transformer", "4 layers of width 128, 32 steps", Encoder, sequences),
        ("LSTM", "2 layers of width 128, 32 steps", Recurrent, sequences),
    ]
    # The first passes of a process are slower.
    measure(jobs[0][2], (images[:4], targets[:4]), 1)
    rows: list[dict[str, Any]] = []
    for kind, name, build, inputs in jobs:
        found = measure(build, (inputs, targets), arguments.repeats)
        rows.append({"kind": kind, "network": name} | ratios(found) | found)
        shown = ", ".join(f"{key} {rows[-1][key]:.2f}" for key in RATIOS)
        print(f"{kind} {name}: {shown}", flush=True)
    settings = (
        f"Obtained with `zerocost-bench passes --networks {count} --batch {size} --repeats "
        f"{arguments.repeats} --threads {arguments.threads} --seed {arguments.seed}`: "
        f"{arguments.threads} thread(s) on a machine of {os.cpu_count()}, torch "
        f"{torch.__version__}, Python {platform.python_version()}, {platform.machine()}."
    )
    peaks = memory(jobs[0][2](), (jobs[0][3], targets))
    text = report(rows, peaks, settings)
    print(f"\n{text}")
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.with_suffix(".md").write_text(text)
        with arguments.output.with_suffix(".csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            for row in rows:
                numbers = {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()}
                writer.writerow(numbers)
