"""The relation predictor on NAS-Bench-201: its order of networks, its cost, what it finds.

First table: Kendall τ between predicted and true order of 1000 networks that the predictor has
not seen, after some that it was trained on, for predictors of several sizes (published: 4 layers
of 600), and the seconds of processor time that one training takes. Second table: how many networks
a search trains until one is as accurate as stated. Both on CIFAR-100.

By default an accuracy is the mean validation accuracy of the benchmark's table (the best: 73.49),
with a file as for ``zerocost-bench search`` the test accuracy (73.51). The score is the one that
comes with the package, or is read from an npz file with ``ops`` and ``synflow``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from scipy.stats import kendalltau

from optuna_zerocost import RelationPredictorSampler, Scorer, Warmup, ZeroCostSampler
from optuna_zerocost.algorithms.relation_network import (
    Graph,
    RelationNetwork,
    Training,
    seeded,
    train,
    win_probabilities,
)
from zerocost_bench import nasbench201
from zerocost_bench.pools import WithPool

HELD_OUT = 1000
TRAINED = (20, 50, 100)

ARCHITECTURES = nasbench201.architectures()


def as_graph(operations: Sequence[str]) -> Graph:
    return nasbench201.encode(nasbench201.parameters_of(operations))


def as_vector(operations: Sequence[str]) -> Graph:
    """Return the operations one-hot, as the only node of a graph."""
    one_hot = [[o == kind for kind in nasbench201.OPERATIONS] for o in operations]
    return np.zeros((1, 1), np.float32), np.array(one_hot, np.float32).reshape(1, -1)


# What it is shown, hidden units, training
NETWORKS: dict[str, tuple[Callable[[Sequence[str]], Graph], int, Training]] = {
    "graph, 4 × 64 (the default)": (as_graph, 64, Training(100)),
    "graph, 4 × 64, twice as long": (as_graph, 64, Training(200)),
    "graph, 4 × 16": (as_graph, 16, Training(100)),
    "vector, 4 × 64": (as_vector, 64, Training(100)),
    "graph, 4 × 600, published rate": (as_graph, 600, Training(250, learning_rate=3.5e-4)),
}


def correlations(accuracies: npt.NDArray[np.float64], seeds: int) -> None:
    columns = "".join(f" τ after {count} | s |" for count in TRAINED)
    print(f"| network |{columns}\n| --- |{' --- | --- |' * len(TRAINED)}", flush=True)
    for name, (encode, hidden, training) in NETWORKS.items():
        # The largest network takes minutes.
        used = seeds if hidden < 600 else min(seeds, 3)
        cells = []
        for count in TRAINED:
            taus, seconds = [], []
            for seed in range(used):
                order = np.random.default_rng(seed).permutation(len(ARCHITECTURES))
                seen, unseen = order[:count], order[-HELD_OUT:]
                relation = np.sign(np.subtract.outer(accuracies[seen], accuracies[seen]))
                graphs = [encode(ARCHITECTURES[index]) for index in seen]
                started = time.process_time()
                network = train(
                    RelationNetwork(
                        graphs[0][1].shape[1], layers=4, hidden=hidden, generator=seeded(seed)
                    ),
                    graphs,
                    relation.astype(np.int8),
                    training,
                    seeded(seed),
                )
                seconds.append(time.process_time() - started)
                won = win_probabilities(
                    network, [encode(ARCHITECTURES[index]) for index in unseen]
                )
                taus.append(kendalltau(won.sum(axis=1), accuracies[unseen]).statistic)
            deviation = statistics.stdev(taus) if len(taus) > 1 else 0.0
            cells.append(
                f"{statistics.mean(taus):.3f} ± {deviation:.3f} | {statistics.mean(seconds):.1f}"
            )
        print(f"| {name} ({used} seeds) | {' | '.join(cells)} |", flush=True)


def scorer_from(file: str) -> Scorer:
    """Return a scorer that looks ``synflow`` up in a file."""
    with np.load(file, allow_pickle=False) as table:
        rows, values = table["ops"], table["synflow"]
    scores = {
        tuple(nasbench201.OPERATIONS[o] for o in row): float(value)
        for row, value in zip(rows, values, strict=True)
    }

    def score(trial: Any) -> dict[str, float]:
        return {"synflow": scores[nasbench201.suggest_architecture(trial)]}

    # The pool of the stored results.
    return WithPool(score, "__main__.scorer_from.<locals>.<lambda>")


def predictor(seed: int, pretrain: str | None, **arguments: Any) -> RelationPredictorSampler:
    return RelationPredictorSampler(
        encode=nasbench201.encode, pretrain=pretrain, seed=seed, **arguments
    )


def searches(
    accuracies: npt.NDArray[np.float64],
    scorer: Scorer,
    *,
    goal: float,
    trials: int,
    seeds: int,
) -> None:
    def warmed_up(seed: int, pretrain: str | None, **arguments: Any) -> ZeroCostSampler:
        warmup = Warmup(candidates=1000, trials=10, show_progress_bar=False)
        base = predictor(seed, pretrain, **arguments)
        return ZeroCostSampler(scorer, base_sampler=base, warmup=warmup, moves=1, seed=seed)

    samplers: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
        "10 of 1000 by synflow first, pre-trained": lambda seed: warmed_up(seed, "synflow"),
        "the same, no exploration": lambda seed: warmed_up(seed, "synflow", exploration=0.0),
        "10 of 1000 by synflow first": lambda seed: warmed_up(seed, None),
        "predictor alone": lambda seed: predictor(seed, None),
    }
    print(
        f"\n| sampler | median number to {goal} % | quartiles | reached | best after 20 "
        f"| after 50 | ms a trial |\n|{' --- |' * 7}",
        flush=True,
    )
    for name, make in samplers.items():
        needed, best_so_far, seconds = [], [], []
        for seed in range(seeds):
            study = optuna.create_study(direction="maximize", sampler=make(seed))

            def objective(trial: optuna.Trial) -> float:
                operations = nasbench201.suggest_architecture(trial)
                return float(accuracies[nasbench201.architecture_index(operations)])

            def stop(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
                # The curve's first 50 are shown in any case.
                if trial.number >= 49 and study.best_value >= goal:
                    study.stop()

            started = time.process_time()
            study.optimize(objective, n_trials=trials, callbacks=[stop])
            seconds.append((time.process_time() - started) / len(study.trials))
            best = np.maximum.accumulate([trial.values[0] for trial in study.trials])
            best_so_far.append((best[19], best[49]))
            reached = np.flatnonzero(best >= goal)
            needed.append(int(reached[0]) + 1 if len(reached) else trials + 1)
        low, median, high = np.quantile(needed, [0.25, 0.5, 0.75])
        after_20, after_50 = np.median(best_so_far, axis=0)
        print(
            f"| {name} | {median:.0f} | {low:.0f}–{high:.0f} "
            f"| {sum(number <= trials for number in needed)} of {seeds} | {after_20:.2f} "
            f"| {after_50:.2f} | {statistics.mean(seconds) * 1e3:.0f} |",
            flush=True,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--accuracies", help="npz file with test accuracies")
    parser.add_argument("--synflow", help="npz file with scores")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--goal", type=float, default=73.2)
    parser.add_argument("--only", choices=["correlations", "searches"])


def run(arguments: argparse.Namespace) -> None:
    """Run and print."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    loaded = nasbench201.BENCHMARK.load_accuracies("cifar100", arguments.accuracies)
    accuracies = loaded.of("validation" if arguments.accuracies is None else "test")
    if arguments.only != "searches":
        correlations(accuracies, arguments.seeds)
    if arguments.only != "correlations":
        scorer = (
            nasbench201.BENCHMARK.score_table()
            if arguments.synflow is None
            else scorer_from(arguments.synflow)
        )
        searches(
            accuracies,
            scorer,
            goal=arguments.goal,
            trials=arguments.trials,
            seeds=arguments.seeds,
        )
