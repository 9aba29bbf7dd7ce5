"""What a study of the suite is: a space, an objective, a scorer, and what counts as error."""

from __future__ import annotations

import abc
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from optuna.trial import FrozenTrial, TrialState
from torch import nn

from optuna_zerocost.scoring import ModelScorer, Scorer

__all__ = [
    "Architecture",
    "Training",
    "TrainingStudy",
    "UserStudy",
    "is_feasible",
    "seed_of",
]

Architecture = Mapping[str, Any]
Training = Mapping[str, Any]

SCORED_SAMPLES = 64


def seed_of(*parts: object) -> int:
    """Return a seed that belongs to these parts, the same in every process."""
    digest = hashlib.sha256(";".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def is_feasible(trial: FrozenTrial) -> bool:
    """Return whether a trial is complete and meets its constraints."""
    constraints = getattr(trial, "constraints", None) or {}  # since Optuna 5
    return trial.state == TrialState.COMPLETE and all(v <= 0 for v in constraints.values())


class UserStudy(abc.ABC):
    """A study as a user would have it.

    Attributes:
        name: Its key in :data:`~zerocost_bench.studies.STUDIES`.
        title: What is searched, in one line.
        directions: Of the values that the objective returns.
        trials: How long the study is unless somebody says otherwise.
        catch: Exceptions of the objective that fail a trial and not the study.
        floor: The least error that counts, so that logarithms exist: half a validation sample.
        worst: The error while there is no feasible trial.
        version: To be raised with whatever changes the study's values, so that results of the
            former study are not taken for those of this one.
    """

    name: str
    title: str
    directions: tuple[Literal["maximize", "minimize"], ...] = ("maximize",)
    trials: int = 40
    catch: tuple[type[Exception], ...] = ()
    floor: float
    worst: float = 1.0
    version: int = 1

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @abc.abstractmethod
    def suggest_architecture(self, trial: Any) -> Architecture:
        """Ask ``trial`` for what the scorer reads."""

    @abc.abstractmethod
    def make_scorer(self) -> Scorer:
        """Return the scorer that a user of this package would write."""

    @abc.abstractmethod
    def evaluate(self, trial: Any, seed: int) -> float | tuple[float, ...]:
        """Return the value or the values of a trial.

        Args:
            trial: Asked for everything; has a ``number``.
            seed: Of the study. What is random in a training is a function of it and the trial's
                number, whatever the sampler drew before.
        """

    @abc.abstractmethod
    def error_of(self, values: Sequence[Sequence[float]]) -> float:
        """Return the error of a study that has found these values, at least one.

        Args:
            values: Of the feasible trials, each with one value for each direction.
        """

    def objective(self, seed: int) -> Callable[[Any], float | tuple[float, ...]]:
        """Return the objective for ``study.optimize``."""
        return functools.partial(self.evaluate, seed=seed)

    def errors(self, trials: Iterable[FrozenTrial]) -> list[float]:
        """Return the error after each of the trials, in their order, not yet floored."""
        found: list[float] = []
        values: list[Sequence[float]] = []
        for trial in trials:
            is_new = is_feasible(trial)
            if is_new:
                values.append(trial.values)
            if is_new or not found:
                found.append(self.error_of(values) if values else self.worst)
            else:
                found.append(found[-1])
        return found

    def error(self, study: Any, after: int) -> float:
        """Return the error after so many trials of an Optuna study, at least :attr:`floor`."""
        return max(self.floor, self.errors(study.get_trials(deepcopy=False)[:after])[-1])


class TrainingStudy(UserStudy):
    """A study whose trials train a network of torch.

    Attributes:
        proxies: The scores.
        on_undefined: What the scorer does where one of several is undefined.
        loss_fn: Of the scorer; ``None`` for the cross-entropy.
    """

    proxies: tuple[str, ...]
    loss_fn: Callable[[Any, torch.Tensor], torch.Tensor] | None = None

    @abc.abstractmethod
    def suggest_training(self, trial: Any) -> Training:
        """Ask ``trial`` for what the scorer does not read."""

    @abc.abstractmethod
    def make_network(self, architecture: Architecture) -> nn.Module:
        """Make the untrained network."""

    @abc.abstractmethod
    def score_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the training samples that a scorer may read, and their targets."""

    @abc.abstractmethod
    def train(self, architecture: Architecture, training: Training) -> float:
        """Make a network, train it, and return what it is worth on validation samples."""

    def build_model(self, trial: Any) -> nn.Module:
        """Make the untrained network that ``trial`` suggests."""
        return self.make_network(self.suggest_architecture(trial))

    def make_scorer(self) -> Scorer:
        """Return the scorer over :meth:`build_model`, on 64 training samples."""
        inputs, targets = self.score_batch()
        return ModelScorer(
            self.build_model,
            (inputs[:SCORED_SAMPLES], targets[:SCORED_SAMPLES]),
            self.proxies,
            loss_fn=self.loss_fn,
            on_undefined="omit",
        )

    def evaluate(self, trial: Any, seed: int) -> float | tuple[float, ...]:
        """Train the network that ``trial`` suggests, in one thread."""
        architecture = self.suggest_architecture(trial)
        training = self.suggest_training(trial)
        torch.set_num_threads(1)
        # After the suggestions, since a sampler may draw from torch's generator.
        torch.manual_seed(seed_of(seed, trial.number))
        return self.values_of(trial, architecture, training)

    def values_of(
        self, trial: Any, architecture: Architecture, training: Training
    ) -> float | tuple[float, ...]:
        """Return the values of a trial whose parameters are all there; weights are seeded."""
        return self.train(architecture, training)

    def parameters_in(self, architecture: Architecture) -> int:
        """Return the number of weights of a network."""
        with torch.device("meta"):
            return sum(p.numel() for p in self.make_network(architecture).parameters())

    def error_of(self, values: Sequence[Sequence[float]]) -> float:
        """Return one minus the best accuracy."""
        return 1.0 - max(accuracy for accuracy, *_ in values)
