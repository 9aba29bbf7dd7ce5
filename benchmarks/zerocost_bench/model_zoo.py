"""Untrained models of ``pytorchcv`` and ``transformers``, small enough to be scored on a CPU.

``pip install --no-deps pytorchcv`` is enough: what the models here need of it imports without
torchvision. Nothing is downloaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "CLASSES",
    "QUICK",
    "TRANSFORMERS",
    "Load",
    "Settings",
    "Subject",
    "labels",
    "last_output",
    "load",
    "model_names",
]

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
    """The minibatch for the models, of a file of ``images``, else at random."""

    batch: int = 8
    cifar_size: int = 32
    imagenet_batch: int = 4
    imagenet_size: int = 64
    seed: int = 0
    images: str | None = None


@dataclass(frozen=True)
class Subject:
    """A network and what it is scored with."""

    network: nn.Module
    batch: tuple[Any, Any]
    forward_fn: Callable[[nn.Module, Any], Tensor] | None = None
    loss_fn: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy


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
