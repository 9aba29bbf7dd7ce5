"""ZeroCostPruner: equal to a naive twin, invisible to other pruners, and never scoring twice."""

from __future__ import annotations

import pathlib
import pickle
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import spearmanr

from optuna_zerocost import RankSum, Vote, Warmup, ZeroCostPruner, ZeroCostSampler
from tests.spaces import SPACES, Recorder, size_scorer

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

STEPS = 9
NEVER = 10**6

WRAPPED: dict[str, Callable[[], BasePruner]] = {
    "hyperband": lambda: HyperbandPruner(min_resource=1, max_resource=STEPS),
    "hyperband, auto": HyperbandPruner,
    "median": lambda: MedianPruner(n_startup_trials=3),
    "halving": lambda: SuccessiveHalvingPruner(reduction_factor=2),
    "wilcoxon": lambda: WilcoxonPruner(p_threshold=0.3),
}


def score_of(trial: optuna.Trial | FrozenTrial) -> float:
    return float(trial.user_attrs["zerocost:size"])


def objective(trial: optuna.Trial, space: str = "conditional") -> float:
    """Depends on the architecture and on a rate; improves with every step."""
    final = SPACES[space](trial) * trial.suggest_float("rate", 0.2, 1.0)
    if trial.should_prune():
        raise optuna.TrialPruned
    for step in range(1, STEPS + 1):
        trial.report(final * step / STEPS, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return final


def make_study(
    pruner: BasePruner, sampler: BaseSampler | None = None, **arguments: Any
) -> optuna.Study:
    return optuna.create_study(
        study_name="one",
        direction="maximize",
        pruner=pruner,
        sampler=sampler or TPESampler(seed=1, n_startup_trials=5),
        **arguments,
    )


def ours(space: str = "conditional", **arguments: Any) -> ZeroCostPruner:
    defaults: dict[str, Any] = {"quantile": 0.4, "min_trials": 6}
    return ZeroCostPruner(size_scorer(SPACES[space]), **{**defaults, **arguments})


def story(trial: FrozenTrial) -> tuple[Any, ...]:
    system_attrs = {k: v for k, v in trial.system_attrs.items() if not k.startswith("zerocost:")}
    return trial.params, trial.values, trial.state, trial.intermediate_values, system_attrs


# --- other pruners ---------------------------------------------------------------------------


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_while_nothing_is_pruned_the_study_is_what_the_wrapped_pruner_makes_of_it(
    wrapped: str,
) -> None:
    """The same samples from Optuna's own TPE too, which Hyperband shows one bracket at a time."""
    bare = make_study(WRAPPED[wrapped]())
    bare.optimize(objective, n_trials=30)
    around = make_study(ours(wrapped_pruner=WRAPPED[wrapped](), min_trials=NEVER))
    around.optimize(objective, n_trials=30)
    assert [story(trial) for trial in around.trials] == [story(trial) for trial in bare.trials]
    assert TrialState.PRUNED in {trial.state for trial in bare.trials}


class Seen(RandomSampler):
    """Notes which trials each trial's sampler is shown."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.numbers: list[list[int]] = []

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> dict[str, Any]:
        self.numbers.append([other.number for other in study.get_trials(deepcopy=False)])
        return {}


def test_a_sampler_is_shown_its_bracket_also_after_trials_were_pruned() -> None:
    bare, around = Seen(), Seen()
    study = make_study(WRAPPED["hyperband"](), bare)
    study.optimize(lambda trial: objective(trial, "static"), n_trials=40)
    pruner = ours("static", wrapped_pruner=WRAPPED["hyperband"](), min_trials=4)
    study = make_study(pruner, around)
    study.optimize(lambda trial: objective(trial, "static"), n_trials=40)
    assert [t.user_attrs["zerocost:verdict"] for t in study.trials].count("pruned") > 2
    assert around.numbers == bare.numbers
    assert any(len(numbers) < index for index, numbers in enumerate(around.numbers))


class Asked(BasePruner):
    """Prunes nothing, and notes what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int | None]] = []

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        self.calls.append((trial.number, trial.last_step))
        return False


def test_a_kept_trial_is_the_wrapped_pruners_and_a_pruned_one_is_not() -> None:
    asked = Asked()
    study = make_study(ours(wrapped_pruner=asked), RandomSampler(seed=0))
    study.optimize(objective, n_trials=40)
    pruned = [t for t in study.trials if t.user_attrs["zerocost:verdict"] == "pruned"]
    assert pruned and all(not trial.intermediate_values for trial in pruned)
    assert asked.calls == [
        (trial.number, step or None)
        for trial in study.trials
        if trial not in pruned
        for step in range(STEPS + 1)
    ]


# --- the verdict -----------------------------------------------------------------------------


def naive_verdict(
    trial: FrozenTrial, earlier: list[FrozenTrial], quantile: float, sign: float
) -> str:
    complete = [t for t in earlier if t.state == TrialState.COMPLETE]
    if len(complete) < 6:
        return "too few trials"
    values = [t.values[0] for t in complete]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a constant has no correlation
        rho = spearmanr([sign * score_of(t) for t in complete], values).statistic
    if not rho > 0:
        return "no correlation"
    architectures = {
        tuple(sorted((k, v) for k, v in t.params.items() if k != "rate")): sign * score_of(t)
        for t in earlier
    }
    # The smallest score that the wanted share does not exceed.
    limit = np.quantile(list(architectures.values()), quantile, method="inverted_cdf")
    return "pruned" if sign * score_of(trial) < limit else "kept"


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("quantile", [0.15, 0.5])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_verdicts_equal_a_naive_twin(space: str, quantile: float, sign: float) -> None:
    """A score with the wrong sign never correlates, so nothing is pruned for it."""
    ranking = "size" if sign > 0 else "-size"
    pruner = ours(space, quantile=quantile, ranking=ranking)
    study = make_study(pruner, RandomSampler(seed=2))
    study.optimize(lambda trial: objective(trial, space), n_trials=40)
    for trial in study.trials:
        expected = naive_verdict(trial, study.trials[: trial.number], quantile, sign)
        assert trial.user_attrs["zerocost:verdict"] == expected
        assert trial.state == (TrialState.PRUNED if expected == "pruned" else TrialState.COMPLETE)
    verdicts = {trial.user_attrs["zerocost:verdict"] for trial in study.trials}
    assert ("pruned" in verdicts) == (sign > 0)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_direction_of_the_objective_turns_the_correlation(direction: str) -> None:
    study = optuna.create_study(direction=direction, pruner=ours(), sampler=RandomSampler(seed=0))
    study.optimize(objective, n_trials=20)
    correlation = study.trials[-1].user_attrs["zerocost:verdict_correlation"]
    assert (correlation > 0) == (direction == "maximize")
    verdicts = {trial.user_attrs["zerocost:verdict"] for trial in study.trials}
    assert ("pruned" in verdicts) == (direction == "maximize")


@pytest.mark.parametrize("sign", [1, -1])
def test_a_threshold_prunes_what_is_worse(sign: int) -> None:
    def scorer(trial: Any) -> dict[str, float]:
        return {"size": sign * SPACES["static"](trial)}

    ranking = "size" if sign > 0 else "-size"
    pruner = ZeroCostPruner(scorer, threshold=sign * 12.0, ranking=ranking, min_trials=5)
    study = make_study(pruner, RandomSampler(seed=0))
    study.optimize(lambda trial: objective(trial, "static"), n_trials=40)
    judged = [t for t in study.trials if t.user_attrs["zerocost:verdict"] in ("pruned", "kept")]
    assert len(judged) > 20
    for trial in judged:
        is_worse = sign * score_of(trial) < 12.0
        assert (trial.user_attrs["zerocost:verdict"] == "pruned") == is_worse


def test_a_score_that_tells_nothing_prunes_nothing() -> None:
    """Ranked, equal scores stay in the order of the trials: that must not pass for a score."""
    pruner = ZeroCostPruner(
        lambda trial: {"size": SPACES["static"](trial) * 0.0}, quantile=0.9, min_trials=2
    )
    study = make_study(pruner, RandomSampler(seed=0))

    def improving(trial: optuna.Trial) -> float:
        SPACES["static"](trial)
        return -1.0 if trial.should_prune() else float(-trial.number)

    study.optimize(improving, n_trials=12)
    verdicts = [trial.user_attrs["zerocost:verdict"] for trial in study.trials]
    assert verdicts == ["too few trials"] * 2 + ["no correlation"] * 10


@pytest.mark.parametrize("ranking", [Vote("a", "b"), RankSum("a", "b")], ids=repr)
def test_several_scores_are_ranked_together(ranking: Any) -> None:
    """Two scores that agree prune what each of them would alone."""

    def two(trial: Any) -> dict[str, float]:
        size = SPACES["static"](trial)
        return {"a": size, "b": size**3}

    verdicts = []
    for how in (ranking, "a"):
        study = make_study(
            ZeroCostPruner(two, quantile=0.4, ranking=how, min_trials=5), RandomSampler(seed=0)
        )
        study.optimize(lambda trial: objective(trial, "static"), n_trials=30)
        verdicts.append([trial.user_attrs["zerocost:verdict"] for trial in study.trials])
    assert verdicts[0] == verdicts[1] and "pruned" in verdicts[0]


def test_trust_can_be_waived() -> None:
    pruner = ours(min_trials=0, min_correlation=None)
    study = make_study(pruner, RandomSampler(seed=0))
    study.optimize(lambda trial: -objective(trial), n_trials=20)  # the wrong way round
    verdicts = [trial.user_attrs["zerocost:verdict"] for trial in study.trials]
    assert verdicts[0] == "kept" and set(verdicts) == {"kept", "pruned"}


def test_a_trial_is_judged_once() -> None:
    scorer = Recorder(SPACES["static"])
    study = make_study(ZeroCostPruner(scorer, quantile=0.5, ranking="size", min_trials=2))
    trial = study.ask()
    SPACES["static"](trial)
    assert not trial.should_prune()
    before = dict(study.trials[0].user_attrs)
    for _ in range(6):  # evidence comes in while the trial is running
        other = study.ask()
        study.tell(other, SPACES["static"](other))
    calls = scorer.calls
    trial.report(0.0, 1)
    assert not trial.should_prune()
    assert study.trials[0].user_attrs == before == trial.user_attrs
    assert scorer.calls == calls


def test_a_pruned_trial_that_goes_on_stays_pruned() -> None:
    study = make_study(ours("static", min_trials=0, min_correlation=None))
    for value in ("conv", "none"):
        study.enqueue_trial({f"op{i}": value for i in range(3)})
        trial = study.ask()
        SPACES["static"](trial)
        is_worse = value == "none"
        assert [trial.should_prune(), trial.should_prune()] == [is_worse, is_worse]
        study.tell(trial, 0.0)


# --- scores ----------------------------------------------------------------------------------


def test_an_architecture_is_scored_once_whatever_else_a_trial_has() -> None:
    scorer = Recorder(SPACES["conditional"])
    study = make_study(ZeroCostPruner(scorer, quantile=0.3, ranking="size"))
    study.optimize(objective, n_trials=60)
    architectures = {
        tuple(sorted((k, str(v)) for k, v in trial.params.items() if k != "rate"))
        for trial in study.trials
    }
    assert scorer.calls == len(architectures) < 60
    for trial in study.trials:
        # A fixed trial with a rate that the scorer does not ask for.
        assert score_of(trial) == SPACES["conditional"](optuna.trial.FixedTrial(trial.params))


@pytest.mark.parametrize("warmup", [None, Warmup(candidates=40, trials=6)])
def test_what_the_sampler_has_scored_is_not_scored_again(warmup: Warmup | None) -> None:
    sampler_scores, pruner_scores = Recorder(SPACES["static"]), Recorder(SPACES["static"])
    sampler = ZeroCostSampler(sampler_scores, warmup=warmup, moves=4, seed=0)
    study = make_study(
        ZeroCostPruner(pruner_scores, quantile=0.3, ranking="size", min_trials=4), sampler
    )
    if warmup:
        # Enqueued, but in the pool.
        study.optimize(lambda trial: objective(trial, "static"), n_trials=1)
        study.enqueue_trial({f"op{i}": "skip" for i in range(3)})
    study.optimize(lambda trial: objective(trial, "static"), n_trials=14)
    assert pruner_scores.calls == 0
    assert all("zerocost:verdict" in trial.user_attrs for trial in study.trials)
    if warmup:
        enqueued = study.trials[1]
        assert score_of(enqueued) == SPACES["static"](optuna.trial.FixedTrial(enqueued.params))


def test_the_sampler_tells_the_source_of_a_trial_that_the_pruner_scored() -> None:
    sampler = ZeroCostSampler(size_scorer(SPACES["static"]), warmup=None, moves=1)
    study = make_study(ours("static"), sampler)
    study.enqueue_trial({f"op{i}": "skip" for i in range(3)})
    study.optimize(lambda trial: objective(trial, "static"), n_trials=3)
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources == ["enqueued", "base", "base"]


def test_a_stored_pool_is_what_is_compared_with() -> None:
    scorer = size_scorer(SPACES["static"])
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=60, trials=3), moves=2, seed=0)
    study = make_study(ZeroCostPruner(scorer, quantile=0.5, min_trials=2), sampler)
    study.optimize(lambda trial: objective(trial, "static"), n_trials=5)
    # The pool has every one of the 27 architectures or nearly: the median size is near 13.
    study.enqueue_trial({"op0": "none", "op1": "none", "op2": "skip"})
    study.enqueue_trial({"op0": "conv", "op1": "skip", "op2": "skip"})
    study.optimize(lambda trial: objective(trial, "static"), n_trials=2)
    low, high = study.trials[-2:]
    assert low.user_attrs["zerocost:verdict"] == "pruned"
    assert 0.2 < low.user_attrs["zerocost:verdict_share"] < 0.5
    assert 0.4 < high.user_attrs["zerocost:verdict_share"] < 0.7


def test_a_worker_that_died_before_the_verdict_leaves_its_scores(tmp_path: pathlib.Path) -> None:
    scorer = Recorder(SPACES["static"])
    pruner = ZeroCostPruner(scorer, quantile=0.5, ranking="size", min_trials=0)
    study = make_study(pruner, storage=f"sqlite:///{tmp_path}/study.db")
    trial = study.ask()
    trial.set_user_attr("zerocost:size", SPACES["static"](trial))
    assert not trial.should_prune()
    assert scorer.calls == 0 and "zerocost:verdict" in study.trials[0].user_attrs


def test_two_workers_share_scores_and_judge_alike(tmp_path: pathlib.Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    make_study(ours(), storage=url)
    scorers = [Recorder(SPACES["static"]) for _ in range(2)]
    stop = threading.Barrier(2)

    def work(index: int) -> None:
        pruner = ZeroCostPruner(
            scorers[index],
            quantile=0.4,
            ranking="size",
            min_trials=4,
            wrapped_pruner=WRAPPED["hyperband"](),
        )
        study = optuna.load_study(
            study_name="one", storage=url, sampler=TPESampler(seed=index), pruner=pruner
        )
        stop.wait(timeout=60)
        study.optimize(lambda trial: objective(trial, "static"), n_trials=15)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials = optuna.load_study(study_name="one", storage=url).trials
    assert len(trials) == 30
    for trial in trials:
        assert score_of(trial) == SPACES["static"](optuna.trial.FixedTrial(trial.params))
        is_pruned = trial.user_attrs["zerocost:verdict"] == "pruned"
        assert not (is_pruned and trial.intermediate_values)
        assert not is_pruned or trial.state == TrialState.PRUNED
    # Two that meet at one architecture in the same moment may both score it.
    architectures = {
        tuple(sorted((k, v) for k, v in t.params.items() if k != "rate")) for t in trials
    }
    assert len(architectures) <= sum(scorer.calls for scorer in scorers) < 30


# --- what goes wrong -------------------------------------------------------------------------


def test_a_trial_that_cannot_be_scored_is_told_and_kept() -> None:
    scorer = Recorder(SPACES["static"], fails=lambda call: call <= 3)
    study = make_study(
        ZeroCostPruner(scorer, quantile=0.5, ranking="size", wrapped_pruner=MedianPruner())
    )
    with pytest.warns(UserWarning, match="not pruned for that") as caught:
        study.optimize(lambda trial: objective(trial, "static"), n_trials=4)
    assert len(caught) == 1
    verdicts = [trial.user_attrs["zerocost:verdict"] for trial in study.trials]
    assert verdicts == ["not scored"] * 3 + ["too few trials"]
    for trial in study.trials[:3]:
        assert "cannot be built" in trial.user_attrs["zerocost:verdict_reason"]
        assert trial.state == TrialState.COMPLETE


def test_a_builder_that_asks_for_more_than_the_trial_has_is_told() -> None:
    study = make_study(ours("conditional"))
    with pytest.warns(UserWarning, match="asks for 'depth', which the trial does not have"):
        study.optimize(lambda trial: objective(trial, "static"), n_trials=2)
    assert [t.user_attrs["zerocost:verdict"] for t in study.trials] == ["not scored"] * 2
    assert {t.state for t in study.trials} == {TrialState.COMPLETE}


def test_a_score_that_is_read_but_not_there_is_told() -> None:
    study = make_study(ours("static", ranking="depth"))
    with pytest.warns(UserWarning, match=r"\['depth'\].*\['size'\]"):
        study.optimize(lambda trial: objective(trial, "static"), n_trials=1)


def test_a_scorer_that_returns_no_scores_fails_the_trial() -> None:
    study = make_study(ZeroCostPruner(lambda trial: 0.5, quantile=0.5))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="mapping"):
        study.optimize(lambda trial: objective(trial, "static"), n_trials=1)


@pytest.mark.parametrize("wrapped", [None, *WRAPPED])
def test_a_pruner_pickles(wrapped: str | None) -> None:
    inside = WRAPPED[wrapped]() if wrapped else None
    pruner = ZeroCostPruner(len, quantile=0.5, wrapped_pruner=inside)  # type: ignore[arg-type]
    copy = pickle.loads(pickle.dumps(pruner))
    assert type(copy) is type(pruner)
    assert isinstance(copy, HyperbandPruner) == isinstance(inside, HyperbandPruner)
    assert type(copy.wrapped_pruner) is type(pruner.wrapped_pruner)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "exactly one"),
        ({"quantile": 0.5, "threshold": 1.0}, ValueError, "exactly one"),
        ({"quantile": 0.0}, ValueError, "between 0 and 1"),
        ({"quantile": 20}, ValueError, "between 0 and 1"),
        ({"quantile": float("nan")}, ValueError, "between 0 and 1"),
        ({"threshold": float("inf")}, ValueError, "finite"),
        ({"threshold": 1.0, "ranking": Vote("a", "b")}, ValueError, "no number"),
        ({"quantile": 0.5, "min_trials": -1}, ValueError, "at least 0"),
        ({"quantile": 0.5, "min_trials": 2.5}, ValueError, "integer"),
        ({"quantile": 0.5, "min_correlation": 1.0}, ValueError, "exceeded"),
        ({"quantile": 0.5, "wrapped_pruner": MedianPruner}, TypeError, "Optuna pruner"),
        ({"quantile": 0.5, "ranking": 3}, TypeError, "ranking"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        ZeroCostPruner(size_scorer(SPACES["static"]), **arguments)
    with pytest.raises(TypeError, match="callable"):
        ZeroCostPruner(None, **arguments)  # type: ignore[arg-type]
