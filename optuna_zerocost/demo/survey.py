"""Random architectures of the demo's space: how accuracy spreads, and which scores foretell it.

This is how the space and the demo's ranking were chosen, with architectures and weights that the
demo itself does not use::

    python -m optuna_zerocost.demo.survey --architectures 300 --seed 1000
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import combinations

import joblib
import numpy as np
import optuna
from optuna.samplers import RandomSampler
from tqdm import tqdm

from optuna_zerocost.demo._agreement import (
    PROXIES,
    RANKED,
    Trained,
    agreements,
    by_rank_sum,
    positions,
    spearman,
)
from optuna_zerocost.demo._run import make_scorer, one_thread, quiet_optuna
from optuna_zerocost.demo._space import build_model, suggest_training
from optuna_zerocost.demo._training import load_digits, train_and_validate
from optuna_zerocost.proxies import SeededRandomState

__all__ = ["main", "survey"]

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_POOL, _TAKEN, _POOLS = 100, 8, 100
_SHOWN = 10


def survey(architectures: int, *, seed: int = 1000, jobs: int = 2) -> Trained:
    """Score and train random architectures, each with weights and hyperparameters of its own.

    Args:
        architectures: How many.
        seed: Of the first architecture; the next ones follow.
        jobs: Processes.

    Raises:
        DemoError: If scikit-learn is not installed.
    """
    load_digits()
    results = joblib.Parallel(n_jobs=jobs, return_as="generator")(
        joblib.delayed(_train_one)(number) for number in range(seed, seed + architectures)
    )
    trained = list(tqdm(results, total=architectures, unit="network", disable=None))
    return Trained([accuracy for accuracy, _ in trained], [scores for _, scores in trained])


def _train_one(seed: int) -> tuple[float, dict[str, float]]:
    digits = load_digits()
    with one_thread(), quiet_optuna():
        trial = optuna.create_study(sampler=RandomSampler(seed=seed)).ask()
        with SeededRandomState(seed):
            network = build_model(trial)
        learning_rate, weight_decay = suggest_training(trial)
        scores = make_scorer(digits, PROXIES, seed=seed)(optuna.trial.FixedTrial(trial.params))
        accuracy = train_and_validate(
            network, digits, learning_rate=learning_rate, weight_decay=weight_decay, seed=seed
        )
    return accuracy, scores


def _report(trained: Trained) -> Iterator[str]:
    accuracies = np.array(trained.accuracies)
    yield f"Validation accuracy in % of {len(accuracies)} random architectures, by quantile"
    yield (
        "  "
        + "   ".join(
            f"{level:.0%} {100 * np.quantile(accuracies, level):.1f}" for level in _QUANTILES
        )
        + f"   best {100 * accuracies.max():.1f}"
    )
    yield "\nSpearman ρ with accuracy, over all and over the best half"
    for agreement in agreements([trained]):
        yield f"  {agreement.score:<12}  {agreement.pooled:5.2f}   {agreement.best_half:5.2f}"
    yield "\nThe rank sums of two and three proxies with the highest ρ, and single proxies"
    rhos = {names: _rho(trained, names) for n in (2, 3) for names in combinations(PROXIES, n)}
    leading = sorted(rhos, key=lambda names: -rhos[names])[:_SHOWN]
    yield f"  ρ, mean and best accuracy of the first {_TAKEN} of {_POOL}"
    for names in [*dict.fromkeys([*leading, RANKED]), *((name,) for name in PROXIES), ()]:
        mean, best = _warmup(trained, names)
        rho = _rho(trained, names) if names else 0.0
        yield f"  {rho:5.2f}  {100 * mean:.1f}  {100 * best:.1f}  {', '.join(names) or 'random'}"


def _rho(trained: Trained, names: Sequence[str]) -> float:
    order = by_rank_sum(trained.scores, names)
    return spearman(positions(order), np.array(trained.accuracies))


def _warmup(trained: Trained, names: Sequence[str]) -> tuple[float, float]:
    """Return mean and best accuracy of a warmup's trainings, expected over random pools."""
    generator = np.random.default_rng(0)
    accuracies = np.array(trained.accuracies)
    size = min(_POOL, len(accuracies))
    means, bests = [], []
    for _ in range(_POOLS):
        pool = generator.choice(len(accuracies), size, replace=False)
        if names:
            pool = pool[by_rank_sum([trained.scores[index] for index in pool], names)]
        means.append(accuracies[pool[:_TAKEN]].mean())
        bests.append(accuracies[pool[:_TAKEN]].max())
    return float(np.mean(means)), float(np.mean(bests))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the survey and print what it found."""
    parser = argparse.ArgumentParser(
        prog="python -m optuna_zerocost.demo.survey",
        description="Train random architectures of the demo's space.",
    )
    parser.add_argument("--architectures", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count())
    arguments = parser.parse_args(argv)
    print(
        *_report(survey(arguments.architectures, seed=arguments.seed, jobs=arguments.jobs)),
        sep="\n",
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
