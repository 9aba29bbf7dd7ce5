"""Studies in which something is the matter: failures, constraints, two objectives, no score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna_zerocost.scoring import Scorer
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.studies.digit_studies import Convolutional, Dense
from zerocost_bench.studies.study import Architecture, Training, TrainingStudy

__all__ = ["Constraints", "LargestFail", "TooLarge", "TwoObjectives", "Undefined", "hypervolume"]


class TooLarge(RuntimeError):
    """A network does not fit into the memory of an imagined device."""


class LargestFail(Convolutional):
    """The largest tenth of the networks cannot be trained, which nobody knows before.

    Attributes:
        most: Parameters of the largest network that can; a random one is larger in one of ten
            cases.
    """

    name = "largest-fail"
    title = "digits-cnn; the largest tenth of the networks raise"
    catch = (TooLarge,)
    most = 12_400

    def values_of(self, trial: Any, architecture: Architecture, training: Training) -> float:
        """Train the network.

        Raises:
            TooLarge: If it has too many parameters.
        """
        if (count := self.parameters_in(architecture)) > self.most:
            raise TooLarge(f"out of memory: the network has {count} parameters")
        return self.train(architecture, training)


class Constraints(Dense):
    """Networks for a small device: there is a constraint that most random networks violate.

    Attributes:
        most: Parameters that the device holds.
    """

    name = "constraints"
    title = "digits-mlp; of at most 4,000 parameters, which is a constraint of the trial"
    most = 4_000

    def values_of(self, trial: Any, architecture: Architecture, training: Training) -> float:
        """Set the constraint and train the network.

        Raises:
            BenchmarkError: If the installed Optuna has no such constraints.
        """
        if not hasattr(trial, "set_constraint"):
            raise BenchmarkError(
                f"the study {self.name!r} needs Trial.set_constraint, which Optuna has since 5.0; "
                "install a newer one, or name other studies with --studies"
            )
        trial.set_constraint("parameters", self.parameters_in(architecture) / self.most - 1)
        return self.train(architecture, training)


class TwoObjectives(Convolutional):
    """Accuracy is maximised and the number of parameters minimised.

    Attributes:
        sizes: Parameters of the smallest and the largest network.
    """

    name = "two-objectives"
    title = "digits-cnn; accuracy is maximised, the number of parameters minimised"
    directions = ("maximize", "minimize")
    sizes = (178, 79_274)

    def values_of(
        self, trial: Any, architecture: Architecture, training: Training
    ) -> tuple[float, float]:
        """Return accuracy and number of parameters."""
        return self.train(architecture, training), float(self.parameters_in(architecture))

    def error_of(self, values: Sequence[Sequence[float]]) -> float:
        """Return one minus the hypervolume, with the logarithm of the number of parameters.

        The reference point is accuracy 0 and the largest network.
        """
        least, most = map(math.log, self.sizes)
        return 1.0 - hypervolume(
            [(accuracy, (most - math.log(size)) / (most - least)) for accuracy, size in values]
        )


def hypervolume(points: Sequence[tuple[float, float]]) -> float:
    """Return the area of the unit square that two maximised objectives dominate."""
    area, height = 0.0, 0.0
    for first, second in sorted(points, reverse=True):
        if second > height:
            area += first * (second - height)
            height = second
    return area


class Undefined(Convolutional):
    """One of the three scores is absent for the largest three tenths of the networks.

    Attributes:
        most: Parameters of the largest network that has all scores.
    """

    name = "undefined"
    title = "digits-cnn; snip is undefined for the largest 30 % of the networks"
    most = 4_600

    def make_scorer(self) -> Scorer:
        """Return the scorer of the study with all scores, less some of them."""
        return _Absent(self, super().make_scorer(), "snip", self.most)


class _Absent:
    """Scores of which one is absent for large networks."""

    def __init__(self, study: TrainingStudy, scorer: Scorer, name: str, most: int) -> None:
        self._study, self._scorer, self._name, self._most = study, scorer, name, most
        self.score_names = study.proxies

    def __call__(self, trial: Any, /) -> Mapping[str, float]:
        scores = dict(self._scorer(trial))
        if self._study.parameters_in(self._study.suggest_architecture(trial)) > self._most:
            scores.pop(self._name, None)
        return scores
