"""How many of a network's parameters are read as weights, and which are not."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from optuna_zerocost.proxies._failures import is_out_of_memory
from optuna_zerocost.proxies._multiplying import MultiplicationWatch
from optuna_zerocost.proxies._pass import Request
from optuna_zerocost.proxies._structure import EMBEDDINGS, NORMALISATIONS, Structure
from optuna_zerocost.proxies._tensors import leaves_of

__all__ = [
    "Coverage",
    "CoverageWarning",
    "Scores",
    "coverage_of",
    "warn_of_little",
    "weights_in_use",
]


@dataclass(frozen=True)
class Coverage:
    """How many of a network's parameters the proxies that read weights read.

    Attributes:
        read: The number of values in the weights that count.
        of: The number of values in all parameters, biases and embeddings included.
        unread: The parameters that are not read, by name, with their numbers of values.
    """

    read: int
    of: int
    unread: Mapping[str, int]

    def __str__(self) -> str:
        """Say it in words."""
        return f"reads {self.read:,} of {self.of:,} parameters"


class Scores(dict[str, float]):
    """The score of each proxy; ``coverage`` tells how much of the network they read.

    It is None where none of the proxies reads weights.
    """

    coverage: Coverage | None = None


class CoverageWarning(UserWarning):
    """Most of a network's parameters are not read by the proxies that read weights."""


def weights_in_use(request: Request) -> Structure:
    """Return the network's structure with all weights, once those of unknown layers are found.

    For that the network runs once. Where it cannot, the passes will say why.
    """
    structure = request.structure
    parameters = [candidate.parameters[0] for candidate in structure.candidates]
    for training in (True, False):  # BatchNorm refuses to train with a single value
        inputs = request.batch.copied()
        watch = MultiplicationWatch(parameters, leaves_of(inputs))
        structure.set_mode(training=training)
        try:
            with torch.no_grad(), watch:
                request.forward(inputs)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            request.rewind()
            continue
        return structure.with_weights(watch.fan_in)
    return structure.with_weights({})


def coverage_of(structure: Structure) -> Coverage:
    """Return how much of the network is read."""
    read = {parameter for weight in structure.weights for parameter in weight.parameters}
    unread = {
        name: parameter.numel()
        for name, parameter in structure.parameters
        if parameter not in read
    }
    count = sum(parameter.numel() for parameter in read)
    return Coverage(count, count + sum(unread.values()), unread)


def warn_of_little(structure: Structure, coverage: Coverage, readers: str) -> None:
    """Warn if less than half of what could count is read; embeddings, for one, never count."""
    never: set[nn.Parameter] = set()
    for layer in structure.of_kind(*EMBEDDINGS, *NORMALISATIONS):
        never.update(layer.parameters(recurse=False))
    uncounted = sum(coverage.unread.get(name, 0) for name, p in structure.parameters if p in never)
    if not structure.weights or 2 * coverage.read >= coverage.of - uncounted:
        return
    largest = sorted(coverage.unread.items(), key=lambda item: -item[1])[:3]
    names = ", ".join(f"{name!r} ({size:,})" for name, size in largest)
    warnings.warn(
        f"{readers} {coverage} of {type(structure.network).__name__}: a parameter counts as a "
        "weight if it has two or more dimensions and multiplies what flows from the inputs. Not "
        f"read are {names} and {max(0, len(coverage.unread) - 3)} more. Compare such scores with "
        "care, or build those layers from torch's; silence with warnings.simplefilter('ignore', "
        "CoverageWarning)",
        CoverageWarning,
        stacklevel=3,
    )
