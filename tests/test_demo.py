"""The demo, end to end with few trials, and its parts."""

import dataclasses

import optuna
import pytest
import torch
from optuna.trial import FixedTrial, TrialState, create_trial

from optuna_zerocost import ZeroCostSampler, analysis, demo
from optuna_zerocost.cli import main
from optuna_zerocost.demo import _arms
from optuna_zerocost.proxies import score_network
from tests.dashboard_api import study_detail

SMALL = demo.Settings(trials=3, seeds=(7,), jobs=1, candidates=10, moves=3)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits():
    return demo.load_digits()


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    with demo.open_storage(f"sqlite:///{tmp_path_factory.mktemp('demo') / 'kept.db'}") as opened:
        yield opened


@pytest.fixture(scope="module")
def arms(storage):
    return list(demo.run(SMALL, storage))


def random_trial(seed):
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()


# The command, end to end


def test_command_prints_the_comparison_and_keeps_the_studies(tmp_path, monkeypatch, capsys):
    # The full warmup would take most of the test's time.
    monkeypatch.setattr(demo, "Settings", lambda **given: dataclasses.replace(SMALL, **given))
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    arguments = ["--trials", "4", "--seeds", "1", "--seed", "3", "--jobs", "2", "--storage", url]
    assert main(["demo", *arguments]) == 0

    shown = capsys.readouterr()
    for text in (
        "trainings   TPE alone    rank sum     learned",
        "ahead of TPE alone in",
        "sampling and scoring",
        "Spearman ρ with accuracy, over 4 networks of TPE alone",
        *demo.PROXIES,
        "What sampler.explain(study) says of digits-learned-seed3",
        "4 trials are complete.",
    ):
        assert text in shown.out
    lines = shown.out.rstrip().split("\n")
    assert lines[-1].strip() == f"optuna-dashboard {url}"
    assert max(map(len, lines[:-1])) <= 80
    assert not shown.err

    with demo.open_storage(url) as storage:
        for name in ("tpe-alone", "rank-sum", "learned"):
            study = optuna.load_study(study_name=f"digits-{name}-seed3", storage=storage)
            assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
            detail = study_detail(study)
            assert "| synflow | 4 |" in detail["note"]["body"]
            assert "zerocost-search-curves" in {p["id"] for p in detail["plotly_graph_objects"]}


# The studies


def test_arms_train_equally_many_networks(arms):
    assert [(arm.name, arm.seed) for arm in arms] == [(name, 7) for name in _arms.ARMS]
    for arm in arms:
        assert len(arm.study.trials) == len(arm.training) == SMALL.trials
        assert all(0 < trial.value <= 1 for trial in arm.study.trials)
        assert min(arm.choosing) > 0 and min(arm.training) > 0


def test_scores_are_stored_with_the_trials(arms):
    for arm, names in zip(arms, (demo.PROXIES, demo.SCORES, demo.SCORES), strict=True):
        assert all(set(trial.scores) == set(names) for trial in analysis.scores_of(arm.study))


def test_learned_arm_is_the_sampler_as_it_comes():
    of_demo = _arms._sampler(_arms.LEARNED, 0, demo.Settings())._setup
    default = ZeroCostSampler(of_demo.scorer, seed=0)._setup
    assert of_demo.moves == default.moves
    assert dataclasses.replace(of_demo.warmup, show_progress_bar=True) == default.warmup
    assert repr(of_demo.ranking) == repr(default.ranking)


def test_base_arm_suggests_what_the_bare_sampler_does(arms):
    values = [trial.value for trial in arms[0].study.trials]

    def suggest(trial):
        demo.build_model(trial)
        demo.suggest_training(trial)
        return values[trial.number]

    sampler = optuna.samplers.TPESampler(seed=SMALL.seeds[0])
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(suggest, n_trials=SMALL.trials)
    assert [t.params for t in study.trials] == [t.params for t in arms[0].study.trials]


@pytest.mark.parametrize("arm", [0, 1, 2])
def test_networks_that_are_scored_are_those_that_are_trained(arms, arm, digits):
    seed = SMALL.seeds[0]
    trial = arms[arm].study.trials[-1]
    network = demo.seeded_network(FixedTrial(trial.params), seed)
    batch = digits.inputs[:64], digits.targets[:64]
    stored = analysis.scores_of_trial(trial)
    scores = score_network(network, batch, demo.SCORES, seed=seed)
    assert scores == pytest.approx({name: stored[name] for name in demo.SCORES})
    learning_rate, weight_decay = demo.suggest_training(FixedTrial(trial.params))
    accuracy = demo.train_and_validate(
        network, digits, learning_rate=learning_rate, weight_decay=weight_decay, seed=seed
    )
    assert accuracy == trial.value


def test_second_run_adds_studies_and_repeats_the_first(arms, storage):
    for arm, first in zip(demo.run(SMALL, storage), arms, strict=True):
        assert arm.study.study_name == f"{first.study.study_name}-run2"
        for again, before in zip(arm.study.trials, first.study.trials, strict=True):
            assert (again.params, again.value) == (before.params, before.value)


def test_no_trial_runs_on_when_a_process_was_ended(tmp_path, monkeypatch):
    def end(_name, _seed, study_name, _settings, storage, _parent):
        optuna.load_study(study_name=study_name, storage=storage).ask()
        raise KeyboardInterrupt

    monkeypatch.setattr(_arms, "_run_study", end)
    with demo.open_storage(f"sqlite:///{tmp_path / 'ended.db'}") as storage:
        with pytest.raises(KeyboardInterrupt):
            list(demo.run(SMALL, storage))
        states = [
            trial.state
            for name in optuna.get_all_study_names(storage)
            for trial in optuna.load_study(study_name=name, storage=storage).trials
        ]
    assert states == [TrialState.FAIL]


def test_threads_and_verbosity_are_put_back():
    torch.set_num_threads(2)
    verbosity = optuna.logging.get_verbosity()
    with _arms._one_quiet_thread():
        assert torch.get_num_threads() == 1
        assert optuna.logging.get_verbosity() == optuna.logging.ERROR
    assert (torch.get_num_threads(), optuna.logging.get_verbosity()) == (2, verbosity)
    torch.set_num_threads(1)


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
    for seed in range(60):
        trial = random_trial(seed)
        assert demo.build_model(trial)(digits.inputs[:2]).shape == (2, 10)
        has_pooling = trial.params["pooling"] != "none"
        assert ("skip" in trial.params) == (trial.params["depth"] > 1)
        assert ("pooled_blocks" in trial.params) == (trial.params["depth"] > 1 and has_pooling)
        assert not {"learning_rate", "weight_decay"} & set(trial.params)


def test_split_covers_every_digit_once_and_does_not_change(digits):
    images = torch.cat([digits.inputs, digits.validation_inputs]).flatten(1)
    assert len(torch.unique(images, dim=0)) == len(images) == 1797
    assert all(map(torch.equal, demo.load_digits(), digits))


def test_training_is_reproducible_and_leaves_the_random_state(digits):
    trial = random_trial(1)
    demo.build_model(trial)
    before = torch.get_rng_state()
    accuracies = [
        demo.train_and_validate(
            demo.seeded_network(FixedTrial(trial.params), 5),
            digits,
            learning_rate=0.05,
            weight_decay=1e-4,
            seed=2,
        )
        for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert accuracies[0] == accuracies[1] > 0.2


# The report

BAD, GOOD = [0.1, 0.3, 0.2] * 4, [0.5, 0.4, 0.8] * 4


def rendered(base, rank_sum, learned, *, choosing=0.1):
    """Return the tables of two seeds; a training takes 1 s, choosing 0.1 s for TPE alone."""
    arms = []
    for seed in (1, 0):
        for name, accuracies in zip(_arms.ARMS, (base, rank_sum, learned), strict=True):
            study = optuna.create_study(study_name=f"{name}{seed}", direction="maximize")
            for number, accuracy in enumerate(accuracies):
                scores = dict.fromkeys(demo.PROXIES, 0.0)
                scores |= {"snip": accuracy, "grasp": -accuracy, "fisher": number % 5}
                attributes = {f"zerocost:{proxy}": score for proxy, score in scores.items()}
                attributes["demo:choosing_seconds"] = 0.1 if name == "TPE alone" else choosing
                attributes["demo:training_seconds"] = 1.0
                study.add_trial(create_trial(value=accuracy, user_attrs=attributes))
            arms.append(demo.Arm(name, seed, study))
    text = demo.render(arms)
    assert max(map(len, text.split("\n"))) <= 80
    return [line.split() for line in text.split("\n")]


def test_table_holds_the_best_so_far_and_in_how_many_seeds_it_is_ahead():
    lines = rendered(BAD, BAD, GOOD)
    for count in ("5", "10", "12"):
        assert [count, *"30.0 30.0 80.0 0 of 2 2 of 2".split()] in lines
    assert ["5", *"80.0 30.0 80.0 0 of 2 0 of 2".split()] in rendered(GOOD, BAD, GOOD)


def test_table_counts_the_time_that_scoring_took():
    lines = rendered(BAD, BAD, GOOD, choosing=5.0)
    assert "sampling and scoring 1.2 60.0 60.0".split() in lines
    assert "training 12.0 12.0 12.0".split() in lines
    # 13.2 s are enough for two trainings of 6 s each.
    assert "trainings in the time of TPE alone 12.0 2.0 2.0".split() in lines
    assert "best of these in % 30.0 30.0 50.0".split() in lines
    still_scoring = rendered(BAD, BAD, GOOD, choosing=100.0)
    assert "best of these in % 30.0 – –".split() in still_scoring


def test_agreement_is_over_the_networks_of_tpe_alone_best_first():
    lines = rendered(BAD, GOOD, GOOD)
    order = [line[0] for line in lines if line and line[0] in demo.PROXIES]
    assert order[0] == "snip" and set(order) == set(demo.PROXIES)
    assert order.index("fisher") < order.index("grasp") < order.index("params")
    assert "params – – to –".split() in lines  # equal values have no correlation


@pytest.mark.parametrize("trials", [1, 100])
def test_settings_fit_80_columns(trials):
    text = demo.describe_settings(demo.Settings(trials=trials))
    assert max(map(len, text.split("\n"))) <= 80
    assert f"studies of {trials} training" in text
