"""Every proxy on real architectures: what comes out is a value or a typed error.

Builds untrained models of ``pytorchcv`` and ``transformers`` and asks for every registered proxy.
Each model runs in a process of its own, which is ended when one of its passes exceeds the limit.

    zerocost-bench real-models [--jobs 2] [--limit 60] [--quick] [--output PATH]

``pip install --no-deps pytorchcv`` is enough: what the models here need of it imports without
torchvision. Nothing is downloaded. Without ``--output`` nothing is written.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.metadata
import logging
import math
import multiprocessing
import os
import platform
import re
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from optuna_zerocost import proxies

CLASSES = 10
VOCABULARY = 100
STEPS = 12

# Module of pytorchcv.models, and the functions of it that build the models.
CIFAR = {
    "nin_cifar": ("nin_cifar10",),
    "resnet_cifar": ("resnet20_cifar10", "resnet56_cifar10"),
    "preresnet_cifar": ("preresnet20_cifar10",),
    "resnext_cifar": ("resnext20_32x2d_cifar10",),
    "seresnet_cifar": ("seresnet20_cifar10",),
    "sepreresnet_cifar": ("sepreresnet20_cifar10",),
    "pyramidnet_cifar": ("pyramidnet110_a48_cifar10",),
    "densenet_cifar": ("densenet40_k12_cifar10", "densenet40_k12_bc_cifar10"),
    "xdensenet_cifar": ("xdensenet40_2_k24_bc_cifar10",),
    "wrn_cifar": ("wrn16_10_cifar10",),
    "wrn1bit_cifar": ("wrn20_10_1bit_cifar10",),
    "ror_cifar": ("ror3_56_cifar10",),
    "rir_cifar": ("rir_cifar10",),
    "shakeshakeresnet_cifar": ("shakeshakeresnet20_2x16d_cifar10",),
    "shakedropresnet_cifar": ("shakedropresnet20_cifar10",),
    "resdropresnet_cifar": ("resdropresnet20_cifar10",),
    "diaresnet_cifar": ("diaresnet20_cifar10",),
    "diapreresnet_cifar": ("diapreresnet20_cifar10",),
    "fractalnet_cifar": ("fractalnet_cifar10",),
    "msdnet_cifar10": ("msdnet22_cifar10",),
}
IMAGENET = {
    "bamresnet": ("bam_resnet18",),
    "bninception": ("bninception",),
    "cbamresnet": ("cbam_resnet18",),
    "condensenet": ("condensenet74_c8_g8",),
    "darknet": ("darknet_tiny", "darknet_ref"),
    "densenet": ("densenet121",),
    "dicenet": ("dicenet_wd2",),
    "diracnetv2": ("diracnet18v2",),
    "dla": ("dla34", "dla46c"),
    "efficientnet": ("efficientnet_b0", "efficientnet_b1"),
    "espnetv2": ("espnetv2_wd2",),
    "fbnet": ("fbnet_cb",),
    "fdmobilenet": ("fdmobilenet_wd2",),
    "ghostnet": ("ghostnet",),
    "hardnet": ("hardnet39ds",),
    "hrnet": ("hrnet_w18_small_v1",),
    "igcv3": ("igcv3_wd2",),
    "isqrtcovresnet": ("isqrtcovresnet18",),
    "menet": ("menet108_8x1_g3",),
    "mixnet": ("mixnet_s",),
    "mnasnet": ("mnasnet_b1", "mnasnet_small"),
    "mobilenet": ("mobilenet_w1", "mobilenet_wd2"),
    "mobilenetv2": ("mobilenetv2_w1", "mobilenetv2b_wd2"),
    "mobilenetv3": ("mobilenetv3_small_w1", "mobilenetv3_large_w1"),
    "nasnet": ("nasnet_4a1056",),
    "octresnet": ("octresnet10_ad2",),
    "peleenet": ("peleenet",),
    "preresnet": ("preresnet10", "preresnetbc26b"),
    "proxylessnas": ("proxylessnas_cpu",),
    "regnet": ("regnetx002", "regnety002"),
    "resnesta": ("resnestabc14",),
    "resnet": ("resnet10", "resnet18", "resnet50"),
    "resnext": ("resnext14_32x4d",),
    "revnet": ("revnet38",),
    "selecsls": ("selecsls42",),
    "senet": ("senet16",),
    "seresnet": ("seresnet10", "seresnet18"),
    "shufflenet": ("shufflenet_g3_wd2",),
    "shufflenetv2": ("shufflenetv2_wd2", "shufflenetv2_w1"),
    "shufflenetv2b": ("shufflenetv2b_wd2",),
    "sparsenet": ("sparsenet121",),
    "spnasnet": ("spnasnet",),
    "squeezenet": ("squeezenet_v1_1", "squeezeresnet_v1_1"),
    "squeezenext": ("sqnxt23_w1",),
    "tresnet": ("tresnet_m",),
    "vgg": ("vgg11", "bn_vgg11"),
    "vovnet": ("vovnet27s",),
}

TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": VOCABULARY,
    "num_labels": CLASSES,
    "pad_token_id": 0,
}
VISION = TEXT | {"image_size": 32, "patch_size": 8}
T5 = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 2,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}
DECODER = TEXT | {"num_key_value_heads": 2, "max_position_embeddings": 64, "head_dim": 16}


@dataclass(frozen=True)
class Transformer:
    """A model of ``transformers``: its classes, the sizes, what it reads, and what is scored."""

    model: str
    config: str
    sizes: Mapping[str, Any]
    inputs: str = "tokens"
    output: str = "logits"


TRANSFORMERS = {
    "bert": Transformer("BertForSequenceClassification", "BertConfig", TEXT),
    "roberta": Transformer("RobertaForSequenceClassification", "RobertaConfig", TEXT),
    "electra": Transformer("ElectraForSequenceClassification", "ElectraConfig", TEXT),
    "albert": Transformer(
        "AlbertForSequenceClassification", "AlbertConfig", TEXT | {"embedding_size": 16}
    ),
    "distilbert": Transformer(
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "vocab_size": VOCABULARY}
        | {"num_labels": CLASSES},
    ),
    "gpt2": Transformer(
        "GPT2ForSequenceClassification",
        "GPT2Config",
        {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": VOCABULARY}
        | {"num_labels": CLASSES, "pad_token_id": 0},
    ),
    "gpt2-lm": Transformer(
        "GPT2LMHeadModel",
        "GPT2Config",
        {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": VOCABULARY},
        output="every step's logits",
    ),
    "llama": Transformer("LlamaForSequenceClassification", "LlamaConfig", DECODER),
    "qwen2": Transformer("Qwen2ForSequenceClassification", "Qwen2Config", DECODER),
    "t5-encoder": Transformer("T5EncoderModel", "T5Config", T5, output="mean state"),
    "t5": Transformer(
        "T5ForConditionalGeneration",
        "T5Config",
        T5,
        inputs="two sequences",
        output="every step's logits",
    ),
    "vit": Transformer("ViTForImageClassification", "ViTConfig", VISION, "images"),
    "deit": Transformer("DeiTForImageClassification", "DeiTConfig", VISION, "images"),
    "swin": Transformer(
        "SwinForImageClassification",
        "SwinConfig",
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2]}
        | {"num_heads": [2, 2], "window_size": 4, "num_labels": CLASSES},
        "images",
    ),
    "convnext": Transformer(
        "ConvNextForImageClassification",
        "ConvNextConfig",
        {"hidden_sizes": [16, 32], "depths": [2, 2], "num_stages": 2, "num_labels": CLASSES},
        "images",
    ),
    "resnet-hf": Transformer(
        "ResNetForImageClassification",
        "ResNetConfig",
        {"embedding_size": 16, "hidden_sizes": [32, 64], "depths": [1, 1]}
        | {"num_labels": CLASSES},
        "images",
    ),
    "whisper-encoder": Transformer(
        "WhisperForAudioClassification",
        "WhisperConfig",
        {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}
        | {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 64}
        | {"vocab_size": VOCABULARY, "num_mel_bins": 16, "max_source_positions": 32}
        | {"num_labels": CLASSES, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
        "spectrograms",
    ),
    "wav2vec2": Transformer(
        "Wav2Vec2ForSequenceClassification",
        "Wav2Vec2Config",
        TEXT
        | {"conv_dim": [16, 16], "conv_stride": [5, 2], "conv_kernel": [10, 3]}
        | {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
        | {"mask_time_prob": 0.0, "classifier_proj_size": 16, "num_feat_extract_layers": 2},
        "waves",
    ),
}

QUICK = ("resnet20_cifar10", "densenet40_k12_bc_cifar10", "squeezenet_v1_1", "bert", "vit")


@dataclass(frozen=True)
class Settings:
    """What the models are scored on."""

    batch: int = 8
    cifar_size: int = 32
    imagenet_batch: int = 4
    imagenet_size: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Subject:
    """A network and what it is scored with."""

    network: nn.Module
    batch: tuple[Any, Any]
    forward_fn: Callable[[nn.Module, Any], Tensor] | None = None
    loss_fn: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy


@dataclass(frozen=True)
class Outcome:
    """What came of one proxy on one model.

    Attributes:
        model: The model's name.
        proxy: The proxy's name.
        value: The score as text, or empty.
        error: Empty, the class of a typed error, "timeout", "build" (the model itself could not be
            built), or "BUG" for whatever must not happen.
        message: What the error said.
        seconds: Of the pass, with all proxies that read from it.
    """

    model: str
    proxy: str
    value: str = ""
    error: str = ""
    message: str = ""
    seconds: str = ""


Load = Callable[[str, Settings], Subject]


def model_names() -> tuple[str, ...]:
    """Return the models' names, in the order of the table."""
    of_pytorchcv = (
        name for module in (CIFAR, IMAGENET) for names in module.values() for name in names
    )
    return (*of_pytorchcv, *TRANSFORMERS)


def load(name: str, settings: Settings) -> Subject:
    """Build a model with initial weights, and a random minibatch for it."""
    torch.manual_seed(settings.seed)
    if name in TRANSFORMERS:
        return _load_transformer(TRANSFORMERS[name], settings)
    for catalogue, count, size in (
        (CIFAR, settings.batch, settings.cifar_size),
        (IMAGENET, settings.imagenet_batch, settings.imagenet_size),
    ):
        for module, functions in catalogue.items():
            if name in functions:
                network = build_pytorchcv(module, name, size)
                inputs = torch.randn(count, 3, size, size)
                return Subject(network, (inputs, labels(count)), last_output)
    raise KeyError(f"no model is called {name!r}; known are {', '.join(model_names())}")


def labels(batch: int) -> Tensor:
    """Return labels of which at least two are equal, as epe_nas wants it."""
    return torch.arange(batch) % max(1, min(CLASSES, batch // 2))


def last_output(network: nn.Module, inputs: Any) -> Tensor:
    """Return the logits; of several classifiers, those of the last."""
    output = network(inputs)
    chosen: Tensor = output if isinstance(output, Tensor) else output[-1]
    return chosen


def build_pytorchcv(module: str, function: str, size: int) -> nn.Module:
    """Build a model of ten classes, fitted to images smaller than those it was made for."""
    build = getattr(importlib.import_module(f"pytorchcv.models.{module}"), function)
    network: nn.Module = build(num_classes=CLASSES)
    for parent in list(network.modules()):
        # A window of fixed size that takes the last map of a 224 × 224 image to one position.
        if isinstance(getattr(parent, "final_pool", None), nn.AvgPool2d):
            parent.add_module("final_pool", nn.AdaptiveAvgPool2d(1))
    if module == "vgg":
        # The first dense layer reads all positions.
        dense = network.get_submodule("output.fc1")
        width = 512 * (size // 32) ** 2
        dense.add_module("fc", nn.Linear(width, dense.get_submodule("fc").out_features))  # type: ignore[arg-type]
    return network


def _load_transformer(chosen: Transformer, settings: Settings) -> Subject:
    transformers = importlib.import_module("transformers")
    config = getattr(transformers, chosen.config)(**chosen.sizes)
    network: nn.Module = getattr(transformers, chosen.model)(config)
    count = settings.batch
    inputs: dict[str, Tensor] = {}
    if chosen.inputs == "images":
        inputs["pixel_values"] = torch.randn(count, 3, 32, 32)
    elif chosen.inputs == "spectrograms":
        inputs["input_features"] = torch.randn(count, 16, 64)
    elif chosen.inputs == "waves":
        inputs["input_values"] = torch.randn(count, 800)
    else:
        # Tokens 0 to 2 are kept for padding, beginning and end.
        inputs["input_ids"] = torch.randint(3, VOCABULARY, (count, STEPS))
        inputs["attention_mask"] = torch.ones(count, STEPS, dtype=torch.int64)
    if chosen.inputs == "two sequences":
        inputs["decoder_input_ids"] = torch.randint(3, VOCABULARY, (count, STEPS))
    with torch.no_grad():
        # Some models add hooks of their own when they are called for the first time.
        network.eval()(**inputs)
    network.train()
    if chosen.output == "every step's logits":
        targets = torch.randint(3, VOCABULARY, (count, STEPS))
        return Subject(network, (inputs, targets), logits_of, loss_of_steps)
    forward_fn = mean_state_of if chosen.output == "mean state" else logits_of
    return Subject(network, (inputs, labels(count)), forward_fn)


def logits_of(network: nn.Module, inputs: Any) -> Tensor:
    logits: Tensor = network(**inputs).logits
    return logits


def mean_state_of(network: nn.Module, inputs: Any) -> Tensor:
    states: Tensor = network(**inputs).last_hidden_state
    return states.mean(1)


def loss_of_steps(output: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(output.flatten(0, 1), targets.flatten())


def passes(names: Iterable[str] | None = None) -> list[tuple[str, ...]]:
    """Return the proxies (by default all), those that read from one pass together."""
    found: dict[Any, list[str]] = {}
    for name in proxies.names() if names is None else names:
        found.setdefault(proxies.describe(name).source, []).append(name)
    # What is quick comes first, so that a crash later on costs little.
    slow = ("redraw", "Kaiming", "single-sample", "loss")
    order = sorted(found, key=lambda source: (source.name in slow, source.name))
    return [tuple(found[source]) for source in order]


def outcomes_of(model: str, subject: Subject, names: Sequence[str], seed: int) -> list[Outcome]:
    """Ask for the proxies of one pass together, and one by one where that raises."""
    before = _state(subject.network)
    start = time.perf_counter()
    found = _ask(model, subject, names, seed)
    if any(outcome.error for outcome in found) and len(names) > 1:
        found = [outcome for name in names for outcome in _ask(model, subject, [name], seed)]
    seconds = f"{time.perf_counter() - start:.2f}"
    changed = _difference(before, _state(subject.network))
    if changed:
        return [Outcome(model, name, error="BUG", message=f"changed {changed}") for name in names]
    return [replace(outcome, seconds=seconds) for outcome in found]


def _ask(model: str, subject: Subject, names: Sequence[str], seed: int) -> list[Outcome]:
    try:
        scores = proxies.score_network(
            subject.network,
            subject.batch,
            names,
            loss_fn=subject.loss_fn,
            forward_fn=subject.forward_fn,
            seed=seed,
        )
    except Exception as error:
        typed = isinstance(error, proxies.ProxyError)
        kind = type(error).__name__
        message = " ".join(str(error).split())
        if not typed:
            kind, message = "BUG", f"untyped {kind}: {message}"
        return [Outcome(model, name, error=kind, message=message) for name in names]
    return [
        Outcome(model, name, value=repr(value))
        if math.isfinite(value)
        else Outcome(model, name, error="BUG", message=f"the score is {value}")
        for name, value in scores.items()
    ]


def _state(network: nn.Module) -> dict[str, Any]:
    """Return copies of what scoring must leave alone."""
    found: dict[str, Any] = {"the global random state": torch.get_rng_state()}
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        found[name] = tensor.detach().clone()
    for name, parameter in network.named_parameters():
        found[f"{name}'s flags"] = (parameter.requires_grad, parameter.grad is None)
    for name, module in network.named_modules():
        hooks = (len(module._forward_hooks), len(module._forward_pre_hooks))
        found[f"{name}'s mode and hooks"] = (module.training, *hooks)
    return found


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return the names of what differs."""
    if before.keys() != after.keys():
        return ", ".join(sorted(before.keys() ^ after.keys()))

    def same(one: Any, other: Any) -> bool:
        if not isinstance(one, Tensor):
            return bool(one == other)
        return one.dtype == other.dtype and torch.equal(one, other)

    return ", ".join(name for name, value in before.items() if not same(value, after[name]))


@dataclass(frozen=True)
class Job:
    """A model and the passes that are to be run on it, in a process of its own."""

    model: str
    load: Load
    settings: Settings
    passes: tuple[tuple[str, ...], ...]

    def run(self, limit: float) -> list[Outcome]:
        """Run the passes; one that takes longer than ``limit`` seconds is ended."""
        found: list[Outcome] = []
        left = list(self.passes)
        while left:
            built, lost = False, ""
            receiver, sender = _PROCESSES.Pipe(duplex=False)
            worker = _PROCESSES.Process(target=_work, args=(self, left, sender), daemon=True)
            worker.start()
            sender.close()
            while left and not lost:
                if not receiver.poll(limit):
                    lost = "timeout"
                    break
                try:
                    outcomes: list[Outcome] = receiver.recv()
                except EOFError:
                    lost = "crash"
                    break
                found += outcomes
                if built or outcomes:
                    reported = {outcome.proxy for outcome in outcomes}
                    left = [names for names in left if not reported.issuperset(names)]
                built = True
            worker.kill()
            worker.join()
            receiver.close()
            if lost:
                # Without a network there is no need to try the other passes.
                names = [name for names in (left[:1] if built else left) for name in names]
                message = f"after {limit:g} s" if lost == "timeout" else "the process died"
                found += [Outcome(self.model, name, "", lost, message) for name in names]
                left = left[1:] if built else []
        return found


# Processes that are started, not forked: torch's threads do not survive a fork.
_PROCESSES: Any = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)


def _work(job: Job, left: Sequence[Sequence[str]], results: Connection) -> None:
    """Report first that the network is built, by an empty list, then each pass."""
    torch.set_num_threads(1)
    quieten()
    try:
        subject = job.load(job.model, job.settings)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        results.send([Outcome(job.model, n, "", "build", message) for p in left for n in p])
        return
    results.send([])
    for names in left:
        results.send(outcomes_of(job.model, subject, names, job.settings.seed))


def quieten() -> None:
    """Silence what the libraries of models say about themselves."""
    warnings.filterwarnings("ignore")
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    logging.getLogger("transformers").setLevel(logging.ERROR)


def measure(
    jobs: Sequence[Job], *, limit: float, processes: int, keep: Callable[[list[Outcome]], None]
) -> None:
    """Run the jobs, each in a process; ``keep`` gets what came of one as soon as it is there."""
    _PROCESSES.set_forkserver_preload(["torch", "torch._dynamo", "optuna_zerocost.proxies"])
    with ThreadPoolExecutor(processes) as pool:
        running = [pool.submit(job.run, limit) for job in jobs]
        for done in tqdm(as_completed(running), total=len(running), unit="model"):
            keep(done.result())


class Table:
    """The outcomes, in a CSV file that is written whenever a model is done, if there is one."""

    def __init__(self, path: Path | None, models: Sequence[str]) -> None:
        self.path = path
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        self._models = models
        self._lock = threading.Lock()

    def read(self) -> None:
        """Take up what the file holds from an earlier run."""
        if self.path is None or not self.path.exists():
            return
        with self.path.open(newline="") as file:
            for row in csv.DictReader(file):
                if row["model"] in self._models:
                    self.outcomes[row["model"], row["proxy"]] = Outcome(**row)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Add outcomes, in place of earlier ones, and write the file."""
        with self._lock:
            for outcome in outcomes:
                self.outcomes[outcome.model, outcome.proxy] = outcome
            if self.path is None:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("w", newline="") as file:
                columns = [column.name for column in fields(Outcome)]
                writer = csv.DictWriter(file, columns, lineterminator="\n")
                writer.writeheader()
                writer.writerows(asdict(outcome) for outcome in self.sorted())

    def sorted(self) -> list[Outcome]:
        """Return the outcomes, in the order of models and proxies."""
        order = {model: index for index, model in enumerate(self._models)}
        return sorted(self.outcomes.values(), key=lambda o: (order[o.model], o.proxy))

    def missing(self, model: str, names: Iterable[str]) -> list[str]:
        """Return the proxies of which there is no outcome for the model."""
        return [name for name in names if (model, name) not in self.outcomes]


def short(outcome: Outcome | None) -> str:
    """Return an outcome as a cell: three significant digits, or the short name of the error."""
    if outcome is None:
        return ""
    return f"{float(outcome.value):.3g}" if outcome.value else outcome.error.removesuffix("Error")


def grid(table: Table, models: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the table model × proxy as Markdown."""
    lines = [f"| model | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for model in models:
        cells = (short(table.outcomes.get((model, name))) for name in names)
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return lines


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """Return how many values and which errors there are, and why, as Markdown."""
    values = sum(bool(outcome.value) for outcome in outcomes)
    errors = [outcome for outcome in outcomes if outcome.error]
    models = {outcome.model for outcome in outcomes}
    counted = Counter(outcome.error for outcome in errors)
    lines = [
        f"{len(models)} models, {len(outcomes)} scores asked for: {values} values"
        + "".join(f", {count} {kind}" for kind, count in sorted(counted.items()))
        + ".",
        "",
        "| error | proxies | models | what it says, of the first |",
        "| --- | --- | --- | --- |",
    ]
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in errors:
        groups.setdefault((outcome.error, kind_of(outcome.message)), []).append(outcome)
    for (error, _), group in sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1]))):
        names = ", ".join(sorted({outcome.proxy for outcome in group}))
        where = list(dict.fromkeys(outcome.model for outcome in group))
        shown = ", ".join(where[:5]) + (f" and {len(where) - 5} more" if len(where) > 5 else "")
        message = group[0].message.replace("|", "\\|")
        message = message if len(message) < 300 else f"{message[:300]} […]"
        lines.append(f"| {error} | {names} | {len(where)}: {shown} | {message} |")
    return lines


def kind_of(message: str) -> str:
    """Return the message without the names, shapes and numbers that differ from case to case."""
    message = re.sub("|".join(proxies.names()), "_", message)
    message = re.sub(r"_(, _)+", "_", message)
    message = re.sub(r"'[^']*'|\([\d, ]+\)|\[[\d, ]+\]|\d+", "_", message)
    return re.sub(r"\b(?!\w+Error\b)\w*[A-Z]\w*", "_", message)


def obtained(settings: str) -> str:
    """Return how the figures came about: the command, what they were measured on, versions."""
    versions = [f"{name} {installed(name)}" for name in ("torch", "pytorchcv", "transformers")]
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return (
        f"Obtained with `{command}`: {settings}, {', '.join(versions)}, Python "
        f"{platform.python_version()}, one thread a process, CPU ({platform.machine()})."
    )


def installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def report(table: Table, models: Sequence[str], settings: Settings, limit: float) -> str:
    """Return the whole result as Markdown."""
    on = (
        f"random inputs and labels of {CLASSES} classes, batch {settings.batch}; "
        f"{settings.cifar_size} × {settings.cifar_size} pixels for models made for CIFAR, "
        f"{settings.imagenet_size} × {settings.imagenet_size} and batch {settings.imagenet_batch} "
        "for those made for ImageNet, whose last pooling is made to fit; "
        f"seed {settings.seed}, at most {limit:g} s a pass"
    )
    of_pytorchcv = [model for model in models if model not in TRANSFORMERS]
    of_transformers = [model for model in models if model in TRANSFORMERS]
    lines = ["# Every proxy on real architectures", "", obtained(on), ""]
    lines += [
        "Every network is untrained. After each pass it is compared with what it was before: "
        "parameters, buffers, flags, modes, hooks, and the global random state. A change, an "
        "untyped exception or a score that is not finite would be listed as BUG. The batches are "
        "small: linear_regions, at most the number of samples, and swap, at most 2 to that power, "
        "are saturated.",
        "",
    ]
    for library, chosen in (("pytorchcv", of_pytorchcv), ("transformers", of_transformers)):
        if not chosen:
            continue
        outcomes = [outcome for outcome in table.sorted() if outcome.model in chosen]
        lines += [f"## {library}", "", *summary(outcomes), ""]
        lines += [*grid(table, chosen, proxies.names()), ""]
    return "\n".join(lines).rstrip() + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--batch", type=int, default=Settings.batch)
    parser.add_argument("--imagenet-batch", type=int, default=Settings.imagenet_batch)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--limit", type=float, default=60, help="seconds that a pass may take")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="by default all")
    parser.add_argument("--quick", action="store_true", help="five models, batch 4")
    parser.add_argument("--output", type=Path, help="write OUTPUT.csv and OUTPUT.md")
    parser.add_argument("--resume", action="store_true", help="keep what OUTPUT.csv holds")
    parser.add_argument(
        "--only", nargs="+", metavar="PROXY", help="measure these anew, keep the rest of the file"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run and print."""
    settings = Settings(
        batch=4 if arguments.quick else arguments.batch,
        imagenet_batch=arguments.imagenet_batch,
        seed=arguments.seed,
    )
    models = arguments.models or (QUICK if arguments.quick else model_names())
    path = arguments.output.with_suffix(".csv") if arguments.output else None
    table = Table(path, models)
    if arguments.resume or arguments.only:
        table.read()
    jobs = []
    for model in models:
        names = arguments.only or table.missing(model, proxies.names())
        if names:
            jobs.append(Job(model, load, settings, tuple(passes(names))))
    measure(jobs, limit=arguments.limit, processes=arguments.jobs, keep=table.add)
    text = report(table, models, settings, arguments.limit)
    print(text)
    if arguments.output:
        arguments.output.with_suffix(".md").write_text(text)
