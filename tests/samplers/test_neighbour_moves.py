"""moves="neighbours": what is considered is one edit away from the parent, and nothing else is."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, PartialFixedSampler

from optuna_zerocost import AgingEvolutionSampler, Warmup, ZeroCostSampler
from tests.spaces import BASES, OPERATIONS, SPACES, Recorder, size_scorer

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def make(base: BaseSampler, scorer: Any, **arguments: Any) -> ZeroCostSampler:
    return ZeroCostSampler(
        scorer,
        base_sampler=base,
        moves="neighbours",
        **{"warmup": None, "ranking": "size", **arguments},
    )


def neighbours_in_static_space(params: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {**params, name: operation}
        for name in params
        for operation in OPERATIONS
        if operation != params[name]
    ]


@pytest.mark.parametrize("base", ["evolution", "random", "tpe", "nsga2"])
def test_exactly_the_new_neighbours_of_the_parent_are_scored(base: str) -> None:
    scorer = Recorder(SPACES["static"])
    study = optuna.create_study(direction="minimize", sampler=make(BASES[base](), scorer))
    for _ in range(12):
        start, before = len(scorer.params), study.trials
        trial = study.ask()
        value = SPACES["static"](trial)
        asked, scores = scorer.params[start:], scorer.scores[start:]
        study.tell(trial, value)
        stored = study.trials[-1]
        if len(before) < (4 if base == "evolution" else 1):
            # The first population, or the first trial: many draws of the base sampler.
            assert len(asked) == 32
            continue
        known = [trial.params for trial in before]
        if base == "evolution":
            parent = before[stored.system_attrs["zerocost:parent"]]
        else:
            with_new = [
                trial
                for trial in before
                if any(n not in known for n in neighbours_in_static_space(trial.params))
            ]
            parent = min(with_new, key=lambda trial: trial.value or 0.0)
        new = [n for n in neighbours_in_static_space(parent.params) if n not in known]
        assert sorted(map(str, asked)) == sorted(map(str, new))
        assert stored.params == asked[scores.index(max(scores))]
        assert stored.user_attrs["zerocost:candidates"] == len(new)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("base", BASES)
def test_what_was_scored_is_what_is_evaluated_in_any_space(base: str, space: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        return SPACES[space](trial) - rate

    sampler = make(
        BASES[base](), size_scorer(SPACES[space]), warmup=Warmup(candidates=20, trials=4), seed=1
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=9)
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources[:4] == ["warmup"] * 4 and "move" in sources
    for trial in study.trials:
        architecture = {k: v for k, v in trial.params.items() if k != "rate"}
        again = SPACES[space](optuna.trial.FixedTrial(architecture))
        assert trial.user_attrs["zerocost:size"] == again
        assert trial.value == again - trial.params["rate"]


def test_when_all_neighbours_are_known_the_base_sampler_draws() -> None:
    def space(trial: Any) -> float:
        return float(trial.suggest_int("a", 0, 1) + 2 * trial.suggest_int("b", 0, 1))

    sampler = make(BASES["random"](), size_scorer(space))
    study = optuna.create_study(sampler=sampler)
    study.optimize(space, n_trials=6)
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources == ["move"] * 4 + ["base"] * 2
    assert {trial.value for trial in study.trials[:4]} == {0, 1, 2, 3}


def test_what_is_fixed_or_enqueued_is_not_edited() -> None:
    scorer = Recorder(SPACES["static"])
    base = PartialFixedSampler({"op0": "skip"}, BASES["evolution"]())
    study = optuna.create_study(sampler=make(base, scorer))
    study.optimize(SPACES["static"], n_trials=5)
    study.enqueue_trial({"op1": "conv"})
    study.optimize(SPACES["static"], n_trials=1)
    assert {params["op0"] for params in scorer.params} == {"skip"}
    last = study.trials[-1]
    assert (last.params["op0"], last.params["op1"]) == ("skip", "conv")
    parent = study.trials[last.system_attrs["zerocost:parent"]]
    # Two other values of op2 are what is left to edit.
    assert last.user_attrs["zerocost:candidates"] <= 2
    assert parent.number < last.number


def test_all_rejected_falls_back_to_the_base_sampler_with_a_warning() -> None:
    scorer = Recorder(SPACES["static"], fails=lambda call: True)
    study = optuna.create_study(sampler=make(BASES["random"](), scorer))
    with pytest.warns(UserWarning, match="All .* candidates.*this one cannot be built.*base"):
        study.optimize(SPACES["static"], n_trials=2)
    assert [trial.user_attrs["zerocost:source"] for trial in study.trials] == ["base"] * 2
    # All draws of the base sampler, and all neighbours of the first trial.
    assert [trial.user_attrs["zerocost:rejected"] for trial in study.trials] == [32, 6 + 32]


@pytest.mark.parametrize("moves", [6, "neighbours"])
def test_a_share_of_the_trials_is_a_random_one_of_the_candidates(moves: Any) -> None:
    scorer = Recorder(SPACES["numeric"])
    sampler = ZeroCostSampler(
        scorer,
        base_sampler=AgingEvolutionSampler(1, 1, seed=0),
        warmup=None,
        ranking="size",
        moves=moves,
        random_share=0.5,
        seed=0,
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    positions = []
    for _ in range(60):
        start = len(scorer.scores)
        trial = study.ask()
        value = SPACES["numeric"](trial)
        study.tell(trial, value)
        drawn = sorted(scorer.scores[start:], reverse=True)
        source = study.trials[-1].user_attrs["zerocost:source"]
        if source == "move":
            assert value == drawn[0]
        elif source == "random":
            positions.append(drawn.index(value) / (len(drawn) - 1))
    # Half of them are random: binomial, and their places among the candidates are uniform.
    assert abs(len(positions) - 30) < 5 * (60 / 4) ** 0.5
    assert abs(sum(positions) / len(positions) - 0.5) < 5 * 0.3 / len(positions) ** 0.5


def test_random_choices_are_the_same_for_every_worker_and_differ_between_seeds() -> None:
    def run(seed: int | None) -> list[Any]:
        sampler = make(
            AgingEvolutionSampler(2, 1, seed=0),
            size_scorer(SPACES["numeric"]),
            random_share=0.5,
            seed=seed,
        )
        study = optuna.create_study(study_name="s", sampler=sampler)
        study.optimize(SPACES["numeric"], n_trials=10)
        return [(t.params, t.user_attrs["zerocost:source"]) for t in study.trials]

    assert run(1) == run(1) != run(2)
    assert run(None) == run(None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"moves": "neighbors"}, "moves='neighbours'"),
        ({"random_share": 1.5}, "from 0 to 1"),
        ({"random_share": float("nan")}, "from 0 to 1"),
    ],
)
def test_wrong_arguments_get_clear_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ZeroCostSampler(size_scorer(SPACES["static"]), **arguments)
