"""Random architectures of the demo's space: how accuracy spreads, and which scores foretell it.

This is how the demo's space and the scores of its rank sum were chosen, with architectures and
weights that the demo itself does not use.

Of 300 random architectures with random training hyperparameters (seed 1000) a tenth stays below
24 % validation accuracy, half below 78 % (quartiles 53 and 88 %), and a tenth exceeds 93 %. Of
all 165 rank sums of two or three of the demo's proxies, that of synflow, jacob_cov and snip
agreed best with accuracy in two surveys (Spearman ρ .73 and .78, seeds 1000 and 5000), and better
than any single proxy (snip .59 and .56, jacob_cov .57 and .63, synflow .42 and .46, flops .39 and
.20, params .31 and .15).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import joblib
import numpy as np
import optuna
import torch
from optuna.samplers import RandomSampler
from tqdm import tqdm

from optuna_zerocost import Candidate, History, ModelScorer, RankSum, analysis, demo

Trained = list[tuple[float, dict[str, float]]]  # of each network its accuracy and its scores

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_POOL, _TAKEN, _POOLS = 100, 8, 100
_SHOWN = 10


def survey(architectures: int, *, seed: int = 1000, jobs: int = 2) -> Trained:
    """Score and train random architectures, each with weights and hyperparameters of its own.

    Args:
        architectures: How many.
        seed: Of the first architecture; the next ones follow.
        jobs: Processes.
    """
    results = joblib.Parallel(n_jobs=jobs, return_as="generator")(
        joblib.delayed(train_one)(number) for number in range(seed, seed + architectures)
    )
    return list(tqdm(results, total=architectures, unit="network", disable=None))


def train_one(seed: int) -> tuple[float, dict[str, float]]:
    """Return accuracy and scores of one random architecture."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    digits = demo.load_digits()
    trial = optuna.create_study(sampler=RandomSampler(seed=seed)).ask()
    network = demo.seeded_network(trial, seed)
    learning_rate, weight_decay = demo.suggest_training(trial)
    batch = digits.inputs[:64], digits.targets[:64]
    scorer = ModelScorer(demo.build_model, batch, demo.PROXIES, seed=seed, on_undefined="reject")
    scores = scorer(optuna.trial.FixedTrial(trial.params))
    accuracy = demo.train_and_validate(
        network, digits, learning_rate=learning_rate, weight_decay=weight_decay, seed=seed
    )
    return accuracy, dict(scores)


def by_rank_sum(scores: Sequence[Mapping[str, float]], names: Sequence[str]) -> list[int]:
    """Return the indices of networks, best first; one score alone ranks by itself."""
    if len(names) == 1:
        return sorted(range(len(scores)), key=lambda index: -scores[index][names[0]])
    return RankSum(*names)([Candidate({}, {}, of_network) for of_network in scores], History())


def agreement(trained: Trained, names: Sequence[str]) -> float:
    """Return Spearman ρ of accuracy with a rank sum, or with one score."""
    if len(names) == 1:
        values = [scores[names[0]] for _, scores in trained]
    else:
        order = by_rank_sum([scores for _, scores in trained], names)
        values = [-float(order.index(index)) for index in range(len(order))]
    return analysis.spearman(values, [accuracy for accuracy, _ in trained]).value


def warmup(trained: Trained, names: Sequence[str]) -> tuple[float, float]:
    """Return mean and best accuracy of a warmup's trainings, expected over random pools."""
    generator = np.random.default_rng(0)
    accuracies = np.array([accuracy for accuracy, _ in trained])
    size = min(_POOL, len(accuracies))
    means, bests = [], []
    for _ in range(_POOLS):
        pool = generator.choice(len(accuracies), size, replace=False)
        if names:
            pool = pool[by_rank_sum([trained[index][1] for index in pool], names)]
        means.append(accuracies[pool[:_TAKEN]].mean())
        bests.append(accuracies[pool[:_TAKEN]].max())
    return float(np.mean(means)), float(np.mean(bests))


def report(trained: Trained) -> Iterator[str]:
    """Yield the lines that are printed."""
    accuracies = np.array([accuracy for accuracy, _ in trained])
    quantiles = zip(_QUANTILES, 100 * np.quantile(accuracies, _QUANTILES), strict=True)
    yield f"Validation accuracy in % of {len(accuracies)} random architectures, by quantile"
    yield (
        "  "
        + "   ".join(f"{level:.0%} {value:.1f}" for level, value in quantiles)
        + f"   best {100 * accuracies.max():.1f}"
    )
    yield "\nSpearman ρ with accuracy of single scores and of the best rank sums of two or three,"
    yield f"  mean and best accuracy of the first {_TAKEN} of {_POOL} in their order"
    sums = [names for n in (2, 3) for names in combinations(demo.PROXIES, n)]
    rho = {names: agreement(trained, names) for names in (*sums, *((n,) for n in demo.PROXIES))}
    leading = sorted(sums, key=lambda names: -rho[names])[:_SHOWN]
    for names in [*dict.fromkeys([*leading, demo.SCORES]), *((n,) for n in demo.PROXIES), ()]:
        mean, best = warmup(trained, names)
        shown = ", ".join(names) or "random"
        yield f"  {rho.get(names, 0.0):5.2f}  {100 * mean:.1f}  {100 * best:.1f}  {shown}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--architectures", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count())


def run(arguments: argparse.Namespace) -> None:
    """Run the survey and print what it found."""
    found = survey(arguments.architectures, seed=arguments.seed, jobs=arguments.jobs)
    print(*report(found), sep="\n")
