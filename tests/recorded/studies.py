"""Studies whose trials are recorded, so that a change that should change none is seen if it does.

They use nothing but the package's public names: the private ones may move. ``studies.json`` holds
what they gave; ``python -m tests.recorded.studies NAME…`` records the named ones anew (without
names all of them), which belongs to a change that is meant to change what a study does.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import pathlib
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import optuna
import scipy
import torch
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    NSGAIISampler,
    PartialFixedSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from optuna_zerocost import (
    AgingEvolutionSampler,
    ByScore,
    Candidate,
    History,
    Learned,
    LimitedScorer,
    Limits,
    ModelScorer,
    Pareto,
    RankSum,
    ReducedTrainingScorer,
    ReinforceSampler,
    RelationPredictorSampler,
    Scorer,
    Sources,
    Vote,
    Warmup,
    ZeroCostPruner,
    ZeroCostSampler,
)
from tests.recorded.spaces import (
    OPERATIONS,
    Scores,
    cell,
    conditional,
    deep,
    dynamic,
    error_of,
    images,
    network,
    network_space,
    numeric,
    params_of,
    size_and_cost_of_cell,
    size_of,
    size_of_cell,
    small,
    value_of,
)

__all__ = ["FILE", "STUDIES", "record", "recorded_study", "versions"]

FILE = pathlib.Path(__file__).with_suffix(".json")

_PREFIX = "zerocost:"
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SHORT = Warmup(40, 5, show_progress_bar=False)
_LONG = Warmup(60, 12, show_progress_bar=False)

Objective = Callable[[Trial], Any]


def _nothing(study: Study) -> None:
    pass


def _optimized(study: Study, plan: _Plan) -> None:
    study.optimize(plan.objective, n_trials=plan.trials, catch=plan.catch)


@dataclass(frozen=True)
class _Plan:
    """One study.

    Attributes:
        sampler: Makes the sampler; a study that is resumed makes another one.
        objective: What the trials are for.
        directions: One for each objective.
        pruner: Makes the pruner.
        prepare: Enqueues or adds trials.
        run: Runs the trials.
        trials: How many are run.
        catch: What the objective may raise.
    """

    sampler: Callable[[], BaseSampler]
    objective: Objective
    directions: Sequence[Literal["maximize", "minimize"]] = ("maximize",)
    pruner: Callable[[], BasePruner] = NopPruner
    prepare: Callable[[Study], None] = _nothing
    run: Callable[[Study, _Plan], None] = _optimized
    trials: int = 15
    catch: tuple[type[Exception], ...] = ()


# Objectives


def _value(space: Callable[[Any], None]) -> Objective:
    def objective(trial: Trial) -> float:
        space(trial)
        return value_of(trial.params)

    return objective


def _error(space: Callable[[Any], None]) -> Objective:
    def objective(trial: Trial) -> float:
        space(trial)
        return error_of(trial.params)

    return objective


def _value_and_size(space: Callable[[Any], None]) -> Objective:
    def objective(trial: Trial) -> tuple[float, float]:
        space(trial)
        return value_of(trial.params), size_of(trial.params)

    return objective


def _with_hyperparameters(trial: Trial) -> float:
    """What the scorer does not ask for, before and after the architecture."""
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    conditional(trial)
    momentum = trial.suggest_categorical("momentum", [0.0, 0.9])
    return value_of(trial.params) - abs(math.log10(rate) + 2.3) + 0.37 * momentum


def _failing(trial: Trial) -> float:
    cell(trial)
    if trial.params["op1"] == "conv" and trial.params["width"] > 4:
        raise ValueError("out of memory")
    return value_of(trial.params)


def _sometimes_infinite(trial: Trial) -> float:
    cell(trial)
    return -math.inf if trial.params["op2"] == "none" else value_of(trial.params)


def _reporting(trial: Trial) -> float:
    """Learning curves that cross now and then."""
    cell(trial)
    value = value_of(trial.params)
    if trial.should_prune():
        raise optuna.TrialPruned
    for step in range(1, 10):
        trial.report(value * (1 - 0.6**step) + 0.2 * size_of(trial.params) / step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value


def _constrained(trial: Trial) -> float:
    cell(trial)
    trial.set_constraint("size", size_of(trial.params) - 4.0)
    return value_of(trial.params)


# Ways to run a study, and what comes before


def _in_two_parts(study: Study, plan: _Plan, *, first: int = 6) -> None:
    study.optimize(plan.objective, n_trials=first)
    study.sampler = plan.sampler()
    study.optimize(plan.objective, n_trials=plan.trials - first)


def _three_at_once(study: Study, plan: _Plan) -> None:
    """Ask for three before any of them is told, as three workers would."""
    for _ in range(plan.trials // 3):
        trials = [study.ask() for _ in range(3)]
        values = [plan.objective(trial) for trial in trials]
        for trial, value in reversed(list(zip(trials, values, strict=True))):
            study.tell(trial, value)


def _defined_before(study: Study, plan: _Plan) -> None:
    """Define-and-run: all distributions are given when a trial is asked for."""
    space = {f"op{i}": CategoricalDistribution(OPERATIONS) for i in range(3)}
    for _ in range(plan.trials):
        trial = study.ask({**space, "width": IntDistribution(1, 8)})
        study.tell(trial, value_of(trial.params))


_BEST_CELL = {"op0": "conv", "op1": "pool", "op2": "conv", "width": 3}


def _enqueue_whole(study: Study) -> None:
    study.enqueue_trial(_BEST_CELL)
    study.enqueue_trial({**_BEST_CELL, "width": 7})
    study.enqueue_trial(_BEST_CELL, skip_if_exists=True)


def _enqueue_partly(study: Study) -> None:
    for index in range(6):
        study.enqueue_trial({"op0": OPERATIONS[index % 4]} if index % 2 else {"width": index + 1})


def _enqueue_conditional(study: Study) -> None:
    study.enqueue_trial({"depth": 2, "width1": 64, "norm": True})
    study.enqueue_trial({"norm": True, "groups": 3})
    study.enqueue_trial({"depth": 1, "width0": 16, "norm": False, "rate": 0.01})
    study.enqueue_trial({"rate": 0.003})


def _older(space: Callable[[Any], None], trials: int = 9) -> Study:
    """A study of another day: random trials with scores."""
    study = optuna.create_study(
        study_name="older",
        direction="maximize",
        sampler=ZeroCostSampler(
            Scores(space, ("size", "noise")),
            base_sampler=RandomSampler(seed=11),
            ranking="size",
            warmup=None,
            moves=1,
        ),
    )
    study.optimize(_value(space), n_trials=trials)
    return study


def _add_older(study: Study) -> None:
    study.add_trials(_older(cell).trials)
    # One that nobody scored, and one that failed.
    distributions = _older(cell, 1).trials[0].distributions
    study.add_trial(create_trial(params=_BEST_CELL, distributions=distributions, value=2.5))
    study.add_trial(
        create_trial(state=TrialState.FAIL, params=_BEST_CELL, distributions=distributions)
    )


# Samplers


def _tpe() -> BaseSampler:
    return TPESampler(seed=3, n_startup_trials=4)


def _random() -> BaseSampler:
    return RandomSampler(seed=3)


def _evolution() -> BaseSampler:
    return AgingEvolutionSampler(4, 2, seed=3)


def _predictor() -> BaseSampler:
    return RelationPredictorSampler(
        n_startup_trials=4, refit_every=4, candidates=24, layers=1, hidden=4, steps=4, seed=3
    )


def _nsga2() -> BaseSampler:
    return NSGAIISampler(seed=3, population_size=4)


def _grid() -> BaseSampler:
    grid: dict[str, Sequence[str | float | int | bool | None]]
    grid = {"op0": OPERATIONS, "op1": ["conv"], "op2": OPERATIONS[1:], "width": [2, 5]}
    return GridSampler(grid, seed=3)


def _fixed(make: Callable[[], BaseSampler], **params: Any) -> Callable[[], BaseSampler]:
    return lambda: PartialFixedSampler(params, make())


def _sampler(
    scorer: Scorer,
    base: Callable[[], BaseSampler] = _tpe,
    *,
    ranking: Callable[[], Any] = lambda: None,
    warmup: Warmup | None = _SHORT,
    moves: Any = 4,
    random_share: float = 0.0,
    seed: int | None = None,
) -> Callable[[], BaseSampler]:
    return lambda: ZeroCostSampler(
        scorer,
        base_sampler=base(),
        ranking=ranking(),
        warmup=warmup,
        moves=moves,
        random_share=random_share,
        seed=seed,
    )


def _by_name(name: str) -> Callable[[], str]:
    return lambda: name


def _largest_of_those_seen_least(candidates: Sequence[Candidate], history: History) -> list[int]:
    """A ranking that a user might write: a plain function, which reads the history."""
    seen = [trial.params.get("op0") for trial in history.trials]
    return sorted(
        range(len(candidates)),
        key=lambda i: (
            seen.count(candidates[i].params.get("op0")),
            -candidates[i].scores["size"],
        ),
    )


def _limited(
    space: Callable[[Any], None], limit: Any, *names: str, draws: int = 200
) -> LimitedScorer:
    return LimitedScorer(
        params_of(space),
        Limits(custom={"weight": (size_of, limit)}, draws=draws),
        score=Scores(space, names) if names else None,
    )


def _prunes(scorer: Any, **options: Any) -> Callable[[], BasePruner]:
    return lambda: ZeroCostPruner(scorer, min_trials=4, min_correlation=None, **options)


def _synflow_and_snip(**options: Any) -> ModelScorer:
    return ModelScorer(network, images(8, seed=1), ["synflow", "snip"], **options)


def _reduced_training() -> ReducedTrainingScorer:
    return ReducedTrainingScorer(network, images(12, seed=2), images(8, seed=3), batch_size=6)


_BOTH = ("size", "noise")
_CELL = _value(cell)


def _plans() -> dict[str, _Plan]:
    """Return the studies by name, with scorers that remember nothing yet."""
    return {
        # Base samplers, with what learns and with what does not
        "default sampler": _Plan(
            lambda: ZeroCostSampler(Scores(cell), seed=7), _CELL
        ),  # its pool is larger than the space
        "random, learned": _Plan(_sampler(Scores(cell, _BOTH), _random), _CELL),
        "random, by score, no warmup": _Plan(
            _sampler(Scores(cell, _BOTH), _random, ranking=_by_name("size"), warmup=None, moves=8),
            _CELL,
        ),
        "tpe, vote, conditional": _Plan(
            _sampler(
                Scores(conditional, ("size", "hint", "cost"), lower=("cost",)),
                ranking=lambda: Vote("size", "hint", "cost"),
                moves=8,
            ),
            _value(conditional),
        ),
        "tpe, learned, conditional, no warmup": _Plan(
            _sampler(Scores(conditional, _BOTH), warmup=None, moves=8), _value(conditional)
        ),
        "nsga2, learned, dynamic": _Plan(_sampler(Scores(dynamic), _nsga2), _value(dynamic)),
        "nsga2, by score, dynamic": _Plan(
            _sampler(Scores(dynamic), _nsga2, ranking=lambda: ByScore("size"), warmup=None),
            _value(dynamic),
        ),
        "qmc, ranksum, numeric": _Plan(
            _sampler(
                Scores(numeric, ("size", "hint")),
                lambda: QMCSampler(seed=3, warn_independent_sampling=False),
                ranking=lambda: RankSum("-size", "hint"),
            ),
            _value(numeric),
        ),
        "gp, learned, numeric": _Plan(
            _sampler(Scores(numeric), lambda: GPSampler(seed=3, n_startup_trials=3), moves=2),
            _value(numeric),
            trials=8,
        ),
        "cmaes, by score, numeric": _Plan(
            _sampler(
                Scores(numeric),
                lambda: CmaEsSampler(seed=3, n_startup_trials=4, warn_independent_sampling=False),
                ranking=_by_name("-size"),
            ),
            _value(numeric),
        ),
        "cmaes, learned, numeric": _Plan(
            _sampler(
                Scores(numeric, _BOTH),
                lambda: CmaEsSampler(seed=3, n_startup_trials=4, warn_independent_sampling=False),
                warmup=None,
            ),
            _value(numeric),
        ),
        "grid, learned": _Plan(_sampler(Scores(cell), _grid), _CELL),
        "grid, by score, limits": _Plan(
            _sampler(
                _limited(cell, (1.0, 5.0), "size"), _grid, ranking=_by_name("size"), warmup=None
            ),
            _CELL,
        ),
        "brute force, learned, small": _Plan(
            _sampler(Scores(small), lambda: BruteForceSampler(seed=3)), _value(small), trials=6
        ),
        "partly fixed tpe, learned": _Plan(
            _sampler(Scores(cell, _BOTH), _fixed(_tpe, op1="conv")), _CELL
        ),
        "partly fixed random, by score": _Plan(
            _sampler(Scores(cell), _fixed(_random, width=5, op0="skip"), ranking=_by_name("size")),
            _CELL,
        ),
        # Samplers of the package, alone and as base samplers
        "evolution alone": _Plan(_evolution, _value(conditional)),
        "evolution alone, dynamic": _Plan(_evolution, _value(dynamic)),
        "evolution, learned": _Plan(_sampler(Scores(cell, _BOTH), _evolution), _CELL),
        "evolution, by score, conditional": _Plan(
            _sampler(Scores(conditional), _evolution, ranking=_by_name("size")),
            _value(conditional),
        ),
        "evolution, neighbours, by score": _Plan(
            _sampler(Scores(cell), _evolution, ranking=_by_name("size"), moves="neighbours"), _CELL
        ),
        "partly fixed evolution, neighbours, learned": _Plan(
            _sampler(
                Scores(cell), _fixed(_evolution, op2="skip"), warmup=None, moves="neighbours"
            ),
            _CELL,
        ),
        "reinforce alone": _Plan(lambda: ReinforceSampler(0.5, seed=3), _value(conditional)),
        "reinforce, learned": _Plan(
            _sampler(Scores(cell), lambda: ReinforceSampler(0.5, seed=3)), _CELL
        ),
        "reinforce, vote, numeric": _Plan(
            _sampler(
                Scores(numeric, ("hint", "cost")),
                lambda: ReinforceSampler(0.5, seed=3),
                ranking=lambda: Vote("hint", "-cost"),
                warmup=None,
            ),
            _value(numeric),
        ),
        "predictor alone": _Plan(_predictor, _CELL),
        "predictor, learned": _Plan(_sampler(Scores(cell), _predictor), _CELL),
        "predictor, by score, conditional": _Plan(
            _sampler(Scores(conditional), _predictor, ranking=_by_name("size")),
            _value(conditional),
        ),
        "predictor pretrained by a score": _Plan(
            lambda: ZeroCostSampler(
                Scores(cell, _BOTH),
                base_sampler=RelationPredictorSampler(
                    n_startup_trials=4,
                    refit_every=4,
                    candidates=24,
                    pretrain="size",
                    layers=1,
                    hidden=4,
                    steps=4,
                    seed=3,
                ),
                ranking="size",
                warmup=_SHORT,
                moves=1,
            ),
            _CELL,
        ),
        # Neighbours
        "tpe, neighbours, learned, conditional": _Plan(
            _sampler(Scores(conditional), moves="neighbours"), _value(conditional)
        ),
        "random, neighbours, vote, dynamic": _Plan(
            _sampler(
                Scores(dynamic, ("size", "hint")),
                _random,
                ranking=lambda: Vote("size", "hint"),
                warmup=None,
                moves="neighbours",
            ),
            _value(dynamic),
        ),
        # Options of what learns
        "learned, more trust": _Plan(
            _sampler(Scores(cell, _BOTH), ranking=lambda: Learned(trusting=6, honest=2)), _CELL
        ),
        "learned, from the first trials on": _Plan(
            _sampler(Scores(cell, _BOTH), ranking=lambda: Learned(trusting=0, honest=3)), _CELL
        ),
        "learned, exploration": _Plan(
            _sampler(Scores(cell), ranking=lambda: Learned(exploration=1.5)), _CELL
        ),
        "learned, without its pool": _Plan(
            _sampler(
                Scores(cell, _BOTH),
                ranking=lambda: Learned(sources=Sources(random=8, searched=8, pool=False)),
            ),
            _CELL,
        ),
        "learned, no other sources": _Plan(
            _sampler(
                Scores(conditional),
                ranking=lambda: Learned(sources=Sources(random=0, searched=0, pool=False)),
            ),
            _value(conditional),
        ),
        "learned, few trials": _Plan(
            _sampler(Scores(cell, _BOTH), ranking=lambda: Learned(most_trials=6)), _CELL
        ),
        "learned, prior study": _Plan(
            _sampler(
                Scores(cell, _BOTH), ranking=lambda: Learned(prior_studies=[_older(cell)]), moves=2
            ),
            _CELL,
        ),
        "learned, long prior study": _Plan(
            _sampler(
                Scores(cell, _BOTH),
                ranking=lambda: Learned(prior_studies=[_older(cell, 220)]),
                warmup=None,
            ),
            _CELL,
            trials=4,
        ),
        "learned, names with signs": _Plan(
            _sampler(
                Scores(cell, ("size", "cost", "hint")), ranking=lambda: Learned("-cost", "+hint")
            ),
            _CELL,
        ),
        "learned, a score that is lower when better": _Plan(
            _sampler(Scores(cell, ("cost", "hint"), lower=("cost",))), _CELL
        ),
        "learned, noise alone": _Plan(_sampler(Scores(cell, ("noise",))), _CELL),
        "learned, noise trusted": _Plan(
            _sampler(Scores(cell, ("noise",)), ranking=lambda: Learned(trusting=4)), _CELL
        ),
        "learned, many parameters": _Plan(_sampler(Scores(deep, _BOTH)), _value(deep)),
        "learned, no names known": _Plan(_sampler(size_and_cost_of_cell), _CELL),
        # Other rankings and small choices
        "by a negative score": _Plan(
            _sampler(Scores(cell, ("cost", "size")), ranking=_by_name("-cost")), _CELL
        ),
        "by a score that is lower when better": _Plan(
            _sampler(Scores(cell, ("cost",), lower=("cost",)), ranking=_by_name("cost"), seed=5),
            _CELL,
        ),
        "by a function": _Plan(
            _sampler(size_and_cost_of_cell, ranking=lambda: _largest_of_those_seen_least), _CELL
        ),
        "by pareto, one objective": _Plan(
            _sampler(Scores(cell, ("size", "hint")), ranking=lambda: Pareto("hint", "-size")),
            _CELL,
        ),
        "one move, warmup": _Plan(_sampler(size_of_cell, warmup=_LONG, moves=1), _CELL),
        "one move, several scores watch": _Plan(
            _sampler(Scores(cell, _BOTH), warmup=None, moves=1), _CELL
        ),
        "one move, one score, no warmup": _Plan(
            _sampler(size_of_cell, warmup=None, moves=1), _CELL
        ),
        "random share, by score": _Plan(
            _sampler(Scores(cell), ranking=_by_name("size"), random_share=0.3), _CELL
        ),
        "random share, learned": _Plan(
            _sampler(Scores(cell, _BOTH), warmup=None, random_share=0.3), _CELL
        ),
        # Spaces that end
        "small space, learned": _Plan(_sampler(Scores(small), warmup=_SHORT), _value(small)),
        "small space, by score": _Plan(
            _sampler(Scores(small), _random, ranking=_by_name("size"), warmup=_LONG), _value(small)
        ),
        "small space, neighbours": _Plan(
            _sampler(
                Scores(small), _random, ranking=_by_name("size"), warmup=None, moves="neighbours"
            ),
            _value(small),
        ),
        "hyperparameters, learned": _Plan(
            _sampler(Scores(conditional, _BOTH)), _with_hyperparameters
        ),
        "hyperparameters, by score, neighbours": _Plan(
            _sampler(Scores(conditional), ranking=_by_name("size"), moves="neighbours"),
            _with_hyperparameters,
        ),
        "hyperparameters, partly fixed evolution": _Plan(
            _sampler(Scores(conditional), _fixed(_evolution, momentum=0.9, depth=2)),
            _with_hyperparameters,
        ),
        # Limits
        "limits, wide": _Plan(_sampler(_limited(cell, 6.0, "size", "noise")), _CELL),
        "limits, narrow": _Plan(
            _sampler(_limited(cell, (5.0, 5.15), "hint"), ranking=_by_name("hint")), _CELL
        ),
        "limits, narrow, learned": _Plan(
            _sampler(_limited(cell, (5.0, 5.15), "hint", draws=100), warmup=None), _CELL
        ),
        "limits, nothing within": _Plan(
            _sampler(_limited(cell, (0.0, 1e-3), "hint", draws=40), ranking=_by_name("hint")),
            _CELL,
        ),
        "limits, nothing within, learned": _Plan(
            _sampler(_limited(cell, (0.0, 1e-3), "hint", draws=40), _random, warmup=None), _CELL
        ),
        "limits alone": _Plan(_sampler(_limited(cell, 4.0), warmup=None), _CELL),
        "limits alone, the largest": _Plan(
            _sampler(_limited(conditional, 12.0), ranking=_by_name("weight")), _value(conditional)
        ),
        "limits, one move": _Plan(
            _sampler(_limited(cell, 4.0, "hint"), ranking=_by_name("hint"), moves=1), _CELL
        ),
        "limits, evolution, neighbours": _Plan(
            _sampler(_limited(cell, (2.0, 4.0), "hint"), _evolution, moves="neighbours"), _CELL
        ),
        "limits, enqueued outside": _Plan(
            _sampler(_limited(cell, 3.0, "hint"), ranking=_by_name("hint"), warmup=None),
            _CELL,
            prepare=_enqueue_whole,
        ),
        # Networks
        "networks, synflow and snip, learned": _Plan(
            _sampler(
                _synflow_and_snip(),
                ranking=lambda: Learned(sources=Sources(random=8, searched=8)),
            ),
            _value(network_space),
        ),
        "networks, limits, vote": _Plan(
            _sampler(
                _synflow_and_snip(limits=Limits(params=(200, 1500)), on_undefined="omit"),
                ranking=lambda: Vote("synflow", "snip"),
            ),
            _value(network_space),
        ),
        "networks, flops and memory, by score": _Plan(
            _sampler(
                _synflow_and_snip(limits=Limits(flops=(500, 9000), memory_mb=0.025, draws=100)),
                ranking=_by_name("snip"),
                warmup=None,
            ),
            _value(network_space),
        ),
        "networks, reduced training": _Plan(
            lambda: ZeroCostSampler(
                _reduced_training(),
                base_sampler=_random(),
                ranking=Learned(sources=Sources(random=3, searched=3)),
                warmup=Warmup(12, 4, show_progress_bar=False),
                moves=2,
            ),
            _value(network_space),
        ),
        # Enqueued trials
        "enqueued whole, learned": _Plan(
            _sampler(Scores(cell, _BOTH)), _CELL, prepare=_enqueue_whole
        ),
        "enqueued partly, learned": _Plan(_sampler(Scores(cell)), _CELL, prepare=_enqueue_partly),
        "enqueued partly, by score": _Plan(
            _sampler(Scores(cell), ranking=_by_name("size"), warmup=None),
            _CELL,
            prepare=_enqueue_partly,
        ),
        "enqueued conditional": _Plan(
            _sampler(Scores(conditional)), _with_hyperparameters, prepare=_enqueue_conditional
        ),
        "enqueued conditional, evolution": _Plan(
            _sampler(Scores(conditional), _evolution, ranking=_by_name("size"), warmup=None),
            _with_hyperparameters,
            prepare=_enqueue_conditional,
        ),
        # Trials that do not end well
        "failed trials, learned": _Plan(_sampler(Scores(cell)), _failing, catch=(ValueError,)),
        "failed trials, by score": _Plan(
            _sampler(Scores(cell), ranking=_by_name("size"), warmup=_LONG),
            _failing,
            catch=(ValueError,),
        ),
        "infinite values": _Plan(_sampler(Scores(cell, _BOTH)), _sometimes_infinite),
        "pruned by the median, learned": _Plan(
            _sampler(Scores(cell, _BOTH)),
            _reporting,
            pruner=lambda: MedianPruner(n_startup_trials=3, n_warmup_steps=2),
        ),
        "pruned by hyperband, learned": _Plan(
            _sampler(Scores(cell)), _reporting, pruner=lambda: HyperbandPruner(1, 9)
        ),
        "pruned by hyperband, by score, evolution": _Plan(
            _sampler(Scores(cell), _evolution, ranking=_by_name("size"), warmup=None),
            _reporting,
            pruner=lambda: HyperbandPruner(1, 9),
        ),
        "pruned by a quantile of scores": _Plan(
            _tpe, _reporting, pruner=_prunes(Scores(cell), quantile=0.4)
        ),
        "pruned by a quantile of votes, enqueued": _Plan(
            _sampler(Scores(cell, _BOTH), ranking=_by_name("size"), warmup=None),
            _reporting,
            pruner=_prunes(
                Scores(cell, ("size", "hint")), quantile=0.5, ranking=Vote("size", "hint")
            ),
            prepare=_enqueue_partly,
        ),
        "pruned by a threshold, around the median": _Plan(
            _random,
            _reporting,
            pruner=_prunes(
                Scores(cell, ("cost",), lower=("cost",)),
                threshold=6.0,
                wrapped_pruner=MedianPruner(n_startup_trials=3),
            ),
        ),
        "pruned by scores that prove themselves": _Plan(
            _evolution,
            _reporting,
            pruner=lambda: ZeroCostPruner(
                Scores(cell, is_broken=lambda params: params["op0"] == "none"),
                quantile=0.3,
                min_trials=5,
            ),
        ),
        "pruned by a quantile, around hyperband": _Plan(
            _sampler(Scores(cell), moves=2),
            _reporting,
            pruner=_prunes(Scores(cell), quantile=0.3, wrapped_pruner=HyperbandPruner(1, 9)),
        ),
        # Candidates that cannot be scored
        "rejected, some raise": _Plan(
            _sampler(Scores(cell, _BOTH, is_broken=lambda params: params["op0"] == "pool")), _CELL
        ),
        "rejected, some are no numbers": _Plan(
            _sampler(
                Scores(cell, is_undefined=lambda params: params["width"] % 2 == 0),
                ranking=_by_name("size"),
            ),
            _CELL,
        ),
        "rejected, all of them": _Plan(
            _sampler(Scores(cell, is_broken=lambda params: True)), _CELL, trials=8
        ),
        "rejected, all, by score, no warmup": _Plan(
            _sampler(
                Scores(cell, is_broken=lambda params: True), ranking=_by_name("size"), warmup=None
            ),
            _CELL,
            trials=8,
        ),
        # Directions
        "minimize, learned": _Plan(
            _sampler(Scores(cell, _BOTH)), _error(cell), directions=("minimize",)
        ),
        "minimize, evolution": _Plan(
            _sampler(Scores(cell), _evolution, ranking=_by_name("size"), warmup=None),
            _error(cell),
            directions=("minimize",),
        ),
        "two objectives, learned": _Plan(
            _sampler(Scores(cell, ("hint", "cost"), lower=("cost",)), _nsga2),
            _value_and_size(cell),
            directions=("maximize", "minimize"),
        ),
        "two objectives, the first is learned": _Plan(
            _sampler(Scores(cell, ("hint", "cost")), ranking=lambda: Learned(objectives="first")),
            _value_and_size(cell),
            directions=("maximize", "minimize"),
        ),
        "two objectives, pareto": _Plan(
            _sampler(
                Scores(cell, ("hint", "cost")), _nsga2, ranking=lambda: Pareto("hint", "-cost")
            ),
            _value_and_size(cell),
            directions=("maximize", "minimize"),
        ),
        "two objectives, pareto, evolution, neighbours": _Plan(
            _sampler(
                Scores(cell, ("hint", "cost")),
                _evolution,
                ranking=lambda: Pareto("hint", "-cost"),
                warmup=None,
                moves="neighbours",
            ),
            _value_and_size(cell),
            directions=("maximize", "minimize"),
        ),
        # Studies that are run in other ways
        "resumed, learned": _Plan(
            _sampler(Scores(cell, _BOTH), _random), _CELL, run=_in_two_parts
        ),
        "resumed in the warmup, by score": _Plan(
            _sampler(Scores(cell), _random, ranking=_by_name("size"), warmup=_LONG),
            _CELL,
            run=_in_two_parts,
        ),
        "three at once, learned": _Plan(_sampler(Scores(cell, _BOTH)), _CELL, run=_three_at_once),
        "three at once, by score": _Plan(
            _sampler(Scores(cell), ranking=_by_name("size")), _CELL, run=_three_at_once
        ),
        "defined before, learned": _Plan(_sampler(Scores(cell)), _CELL, run=_defined_before),
        "constraints, learned": _Plan(_sampler(Scores(cell)), _constrained),
        "constraints and limits": _Plan(
            _sampler(_limited(cell, 5.0, "hint"), ranking=_by_name("hint"), warmup=None),
            _constrained,
        ),
        "older trials, learned": _Plan(_sampler(Scores(cell, _BOTH)), _CELL, prepare=_add_older),
        "older trials, evolution": _Plan(
            _sampler(Scores(cell), _evolution, ranking=_by_name("size"), warmup=None),
            _CELL,
            prepare=_add_older,
        ),
    }


def _run(name: str) -> Study:
    plan = _plans()[name]
    study = optuna.create_study(
        study_name=name,
        storage=optuna.storages.InMemoryStorage(),
        directions=list(plan.directions),
        sampler=plan.sampler(),
        pruner=plan.pruner(),
    )
    plan.prepare(study)
    plan.run(study, plan)
    return study


STUDIES: dict[str, Callable[[], Study]] = {
    name: functools.partial(_run, name) for name in _plans()
}


def record(study: Study) -> dict[str, Any]:
    """Return what is to stay the same about ``study``, as values that JSON can hold."""
    # Optuna has no public name for a study's system attributes any more.
    attributes = study._storage.get_study_system_attrs(study._study_id)
    pieces = sorted(
        (key, value)
        for key, value in attributes.items()
        if key.startswith(f"{_PREFIX}warmup") and not key.endswith(":announced")
    )
    sampler = study.sampler
    explanation = sampler.explain(study) if isinstance(sampler, ZeroCostSampler) else ""
    return {
        "trials": [_record_trial(trial) for trial in study.get_trials(deepcopy=False)],
        "warmup": hashlib.sha256(repr(pieces).encode()).hexdigest() if pieces else "",
        # A function is shown with its address, which is another one in each process.
        "explanation": _ADDRESS.sub("", explanation),
    }


def _record_trial(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "params": trial.params,
        "reports": {str(step): value for step, value in trial.intermediate_values.items()},
        "user": {k: v for k, v in trial.user_attrs.items() if k != f"{_PREFIX}seconds"},
        "system": {
            key: value
            for key, value in trial.system_attrs.items()
            # A digest of code differs from one version of Python to the next.
            if key.startswith((_PREFIX, "constraints")) and key != f"{_PREFIX}scored_by"
        },
    }


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def recorded_study(name: str) -> dict[str, Any]:
    """Run a study; return its record with what was warned of meanwhile."""
    logger, lines = logging.getLogger("optuna.zerocost"), _Lines()
    level, torch_threads = logger.level, torch.get_num_threads()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logger.setLevel(logging.WARNING)
    logger.addHandler(lines)
    # What networks learn and score depends on nothing but their weights and data.
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            study = STUDIES[name]()
    finally:
        torch.set_num_threads(torch_threads)
        logger.removeHandler(lines)
        logger.setLevel(level)
        optuna.logging.set_verbosity(verbosity)
    warned = {f"{warning.category.__name__}: {warning.message}" for warning in caught}
    result = {**record(study), "warnings": sorted(warned), "log": lines.lines}
    # As it is read from a file: tuples are lists.
    read: dict[str, Any] = json.loads(json.dumps(result))
    return read


def versions() -> dict[str, str]:
    """Return what the records belong to: other releases draw other numbers."""
    modules = {"numpy": np, "optuna": optuna, "scipy": scipy, "torch": torch}
    return {name: module.__version__.partition("+")[0] for name, module in modules.items()}


def _in_lines(studies: Mapping[str, Any]) -> str:
    """Return the file's text, one trial a line, so that a difference is easy to read."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    parts = []
    for name, study in studies.items():
        trials = ",\n".join(map(line, study["trials"]))
        others = "".join(f",\n{line(k)}:{line(v)}" for k, v in study.items() if k != "trials")
        parts.append(f'{line(name)}:{{"trials":[\n{trials}\n]{others}}}')
    content = ",\n".join(parts)
    return f'{{"versions":{line(versions())},\n"studies":{{\n{content}\n}}}}\n'


def _main(names: Sequence[str]) -> None:
    if unknown := sorted(set(names) - set(STUDIES)):
        raise SystemExit(f"There are no studies {unknown}, but: {', '.join(STUDIES)}")
    old = (
        json.loads(FILE.read_text(encoding="utf-8"))
        if FILE.exists()
        else {"versions": {}, "studies": {}}
    )
    if names and old["versions"] != versions():
        raise SystemExit(
            f"The record is of {old['versions']}, but here are {versions()}. Record all studies "
            "or none."
        )
    studies = {}
    for name in STUDIES:
        is_asked = not names or name in names
        studies[name] = recorded_study(name) if is_asked else old["studies"].get(name)
    FILE.write_text(_in_lines(studies), encoding="utf-8")


if __name__ == "__main__":
    # By its full name: the module's name is part of what tells plain scorers apart.
    from tests.recorded import studies as _studies

    _studies._main(sys.argv[1:])
