"""The demo, end to end with few trials, and its parts."""

import dataclasses

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import FixedTrial, TrialState, create_trial

from optuna_zerocost import demo
from optuna_zerocost.cli import main
from optuna_zerocost.demo import _run
from optuna_zerocost.demo._agreement import PROXIES, RANKED, Trained, agreements
from optuna_zerocost.demo.survey import main as survey_main
from optuna_zerocost.demo.survey import survey
from optuna_zerocost.proxies import SeededRandomState, score_network
from tests.dashboard_api import study_detail

SMALL = demo.Settings(trials=3, seeds=(7,), candidates=10, warmup_trials=1, moves=3, jobs=1)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with _run.one_thread():
        yield


@pytest.fixture(scope="module")
def digits():
    return demo.load_digits()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('demo') / 'studies.db'}"


@pytest.fixture(scope="module")
def arms(url):
    with demo.open_storage(url) as storage:
        return demo.run(SMALL, storage)


def random_trial(seed):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return study.ask()


# The command, end to end


def test_command_prints_the_comparison_and_keeps_the_studies(tmp_path, monkeypatch, capsys):
    # The full warmup would take most of the test's time.
    monkeypatch.setattr(demo, "Settings", lambda **given: dataclasses.replace(SMALL, **given))
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    arguments = ["--trials", "4", "--seeds", "1", "--seed", "3", "--jobs", "2", "--storage", url]
    assert main(["demo", *arguments]) == 0

    shown = capsys.readouterr()
    for text in (
        "trainings   TPE alone   zero-cost",
        "best network so far",
        "mean of networks so far",
        "ahead in",
        "sampling and scoring",
        "pooled",
        "best half",
        "rank sum *",
        *PROXIES,
        "The best network of zero-cost was ",
    ):
        assert text in shown.out
    lines = shown.out.rstrip().split("\n")
    assert lines[-1].strip() == f"optuna-dashboard {url}"
    assert max(map(len, lines[:-1])) <= 80
    assert not shown.err  # no progress bar where there is no terminal

    with demo.open_storage(url) as storage:
        for name in ("digits-tpe-seed3", "digits-zerocost-seed3"):
            study = optuna.load_study(study_name=name, storage=storage)
            assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
            shown = study_detail(study)
            assert "| synflow | 4 |" in shown["note"]["body"]
            assert "zerocost-search-curves" in {p["id"] for p in shown["plotly_graph_objects"]}


# The experiment


def test_both_arms_train_equally_many_networks(arms):
    assert [(arm.name, arm.seed, len(arm.trials)) for arm in arms] == [
        ("tpe", 7, 3),
        ("zerocost", 7, 3),
    ]
    for arm in arms:
        assert all(0 < accuracy <= 1 for accuracy in arm.accuracies)
        assert arm.choosing_seconds > 0 and arm.training_seconds > 0


def test_scores_are_stored_with_the_trials(arms):
    base, zerocost = arms
    assert all(set(scores) == set(PROXIES) for scores in base.scores)
    assert all(set(scores) == set(RANKED) for scores in zerocost.scores)
    sources = [trial.user_attrs["zerocost:source"] for trial in zerocost.trials]
    assert sources == ["warmup", "move", "move"]


def test_base_arm_is_the_bare_sampler(arms):
    def suggest(trial):
        demo.build_model(trial)
        demo.suggest_training(trial)
        return arms[0].accuracies[trial.number]

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=SMALL.seeds[0])
    )
    study.optimize(suggest, n_trials=SMALL.trials)
    assert [trial.params for trial in study.trials] == [trial.params for trial in arms[0].trials]


@pytest.mark.parametrize("arm", [0, 1])
def test_networks_that_are_scored_are_those_that_are_trained(arms, arm, digits):
    seed = SMALL.seeds[0]
    trial = arms[arm].trials[-1]
    with SeededRandomState(seed):
        network = demo.build_model(FixedTrial(trial.params))
    scores = score_network(network, digits.minibatch(64), RANKED, seed=seed)
    assert scores == pytest.approx({name: arms[arm].scores[-1][name] for name in RANKED})
    learning_rate, weight_decay = demo.suggest_training(FixedTrial(trial.params))
    accuracy = demo.train_and_validate(
        network, digits, learning_rate=learning_rate, weight_decay=weight_decay, seed=seed
    )
    assert accuracy == arms[arm].accuracies[-1]


def test_second_run_adds_studies_and_repeats_the_first(arms, url):
    with demo.open_storage(url) as storage:
        again = demo.run(SMALL, storage)
    assert [arm.study_name for arm in again] == [f"{arm.study_name}-run2" for arm in arms]
    for arm, first in zip(again, arms, strict=True):
        assert [t.params for t in arm.trials] == [t.params for t in first.trials]
        assert arm.accuracies == first.accuracies


def test_no_trial_runs_on_when_a_process_was_ended(tmp_path, monkeypatch):
    def end(parent, arm, seed, study_name, settings, storage):
        optuna.load_study(study_name=study_name, storage=storage).ask()
        raise KeyboardInterrupt

    monkeypatch.setattr(_run, "_run_task", end)
    with demo.open_storage(f"sqlite:///{tmp_path / 'ended.db'}") as storage:
        with pytest.raises(KeyboardInterrupt):
            demo.run(SMALL, storage)
        states = [
            trial.state
            for name in optuna.get_all_study_names(storage)
            for trial in optuna.load_study(study_name=name, storage=storage).trials
        ]
    assert states == [TrialState.FAIL]


def test_threads_and_verbosity_are_put_back():
    torch.set_num_threads(2)
    verbosity = optuna.logging.get_verbosity()
    with _run.one_thread(), _run.quiet_optuna():
        assert torch.get_num_threads() == 1
        assert optuna.logging.get_verbosity() == optuna.logging.WARNING
    assert (torch.get_num_threads(), optuna.logging.get_verbosity()) == (2, verbosity)
    torch.set_num_threads(1)


@pytest.mark.parametrize("settings", [{"trials": 0}, {"jobs": 0}, {"seeds": ()}, {"seeds": (-1,)}])
def test_settings_that_cannot_be(settings):
    with pytest.raises(demo.DemoError, match="at least one of each"):
        demo.Settings(**settings)


@pytest.mark.parametrize(
    "url",
    [
        "studies.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////no/such/folder/studies.db",
        "redis://localhost",
        "nosuchbase://localhost/studies",
    ],
)
def test_storage_that_cannot_be_opened_is_named_in_one_line(url):
    with pytest.raises(demo.DemoError) as error, demo.open_storage(url):
        pass
    assert repr(url) in str(error.value)
    assert "sqlite:///zerocost-demo.db" in str(error.value)
    assert "\n" not in str(error.value)


def test_file_that_is_no_database(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not a database " * 100)
    with (
        pytest.raises(demo.DemoError, match="not a database"),
        demo.open_storage(f"sqlite:///{file}"),
    ):
        pass
    assert file.read_text().startswith("not a database")


# Space, data and training


def test_every_random_architecture_is_a_classifier(digits):
    names = set()
    for seed in range(60):
        trial = random_trial(seed)
        network = demo.build_model(trial)
        assert network(digits.inputs[:2]).shape == (2, 10)
        assert ("skip" in trial.params) == (trial.params["depth"] > 1)
        assert ("pooled_blocks" in trial.params) == (
            trial.params["depth"] > 1 and trial.params["pooling"] != "none"
        )
        names |= set(trial.params)
    assert not any("learning_rate" in name or "weight_decay" in name for name in names)


def test_split_covers_every_digit_once_and_does_not_change(digits):
    assert len(digits.inputs) + len(digits.validation_inputs) == 1797
    images = torch.cat([digits.inputs, digits.validation_inputs]).flatten(1)
    assert len(torch.unique(images, dim=0)) == 1797
    again = demo.load_digits()
    assert torch.equal(again.inputs, digits.inputs)
    assert torch.equal(again.validation_targets, digits.validation_targets)


def test_training_is_reproducible_and_leaves_the_random_state(digits):
    trial = random_trial(1)
    accuracies = []
    for _ in range(2):
        torch.manual_seed(5)
        network = demo.build_model(FixedTrial(trial.params) if accuracies else trial)
        before = torch.get_rng_state()
        accuracies.append(
            demo.train_and_validate(network, digits, learning_rate=0.05, weight_decay=1e-4, seed=2)
        )
        assert torch.equal(torch.get_rng_state(), before)
    assert accuracies[0] == accuracies[1] > 0.2


@pytest.fixture(scope="module")
def surveyed():
    return survey(10, seed=0, jobs=1)


def test_architecture_matters(surveyed):
    low, high = np.quantile(surveyed.accuracies, [0.25, 0.75])
    assert high - low > 0.1


def test_survey_prints_quantiles_and_correlations(surveyed, monkeypatch, capsys):
    monkeypatch.setattr("optuna_zerocost.demo.survey.survey", lambda *_, **__: surveyed)
    assert survey_main(["--architectures", "10", "--jobs", "1"]) == 0
    shown = capsys.readouterr().out
    for text in ("of 10 random architectures", "90%", *PROXIES, "synflow, jacob_cov, snip"):
        assert text in shown


# The report


def make_arm(name, seed, accuracies, *, choosing=0.1, training=1.0):
    generator = np.random.default_rng(seed)
    trials = tuple(
        create_trial(
            value=accuracy,
            user_attrs={
                "demo:choosing_seconds": choosing,
                "demo:training_seconds": training,
                **{f"zerocost:{proxy}": generator.normal() for proxy in PROXIES},
                "zerocost:snip": accuracy,
                "zerocost:grasp": -accuracy,
            },
        )
        for accuracy in accuracies
    )
    return demo.Arm(name, seed, f"digits-{name}-seed{seed}", trials)


BAD, GOOD = np.linspace(0.1, 0.7, 12), np.linspace(0.5, 0.9, 12)


def compared(base, zerocost, **seconds):
    settings = demo.Settings(trials=12, seeds=(0, 1))
    arms = [
        make_arm(name, seed, accuracies, **(seconds if name == "zerocost" else {}))
        for seed in settings.seeds
        for name, accuracies in (("zerocost", zerocost), ("tpe", base))
    ]
    return demo.compare(settings, arms)


def test_rows_hold_best_and_mean_so_far():
    comparison = compared([0.5, 0.1, 0.6] * 4, [0.4, 0.8, 0.2] * 4)
    assert [row.trainings for row in comparison.rows] == [5, 10, 12]
    row = comparison.rows[0]
    assert row.best == pytest.approx({"tpe": 0.6, "zerocost": 0.8})
    assert row.mean == pytest.approx({"tpe": 0.36, "zerocost": 0.52})
    assert row.gains == pytest.approx((0.2, 0.2)) and row.ahead == 2
    assert comparison.matched == (2, 2)


def test_report_says_when_zero_cost_helps():
    text = " ".join(demo.render(compared(BAD, GOOD)).split())
    assert "20.0 points ahead of TPE alone after 12 trainings (ahead in 2 of 2 seeds)" in text
    assert "zero-cost needed 7 and 7" in text


def test_report_says_when_zero_cost_does_not_help():
    text = " ".join(demo.render(compared(GOOD, BAD)).split())
    assert "20.0 points behind TPE alone after 12 trainings (ahead in 0 of 2 seeds)" in text
    assert "zero-cost needed more than 12 and more than 12" in text
    assert "rank sum agrees with accuracy no better than the best single proxy, snip" in text
    assert "Of little use here" in text and "grasp" in text.partition("Of little use here")[2]


def test_report_counts_the_time_that_scoring_took():
    comparison = compared(BAD, GOOD, choosing=1.15)
    assert comparison.in_same_time == (6, 6)  # of 2.15 s each, in 12 × 1.1 s
    text = " ".join(demo.render(comparison).split())
    assert "Scoring cost 12.6 s a seed, as much as 13 of these trainings of 1.00 s" in text
    assert "still scoring" in demo.render(compared(BAD, GOOD, choosing=100.0))


def test_equal_arms_are_level():
    assert "was level with TPE alone after 10 trainings" in demo.render(compared(BAD, BAD))


@pytest.mark.parametrize("zerocost", [BAD, GOOD, [0.5] * 12])
def test_report_fits_80_columns(zerocost):
    assert max(map(len, demo.render(compared(BAD, zerocost)).split("\n"))) <= 80
    for trials in (1, 100):
        text = demo.describe_settings(demo.Settings(trials=trials))
        assert max(map(len, text.split("\n"))) <= 80


def test_correlation_of_equal_values_is_undefined_not_an_error():
    scores = [dict.fromkeys(PROXIES, 1.0)] * 5
    for agreement in agreements([Trained([0.1, 0.2, 0.3, 0.4, 0.5], scores)]):
        if agreement.score in PROXIES:
            assert np.isnan(agreement.pooled)
    assert "–" in demo.render(compared([0.5] * 12, BAD))
