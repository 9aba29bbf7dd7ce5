"""A transformer and a recurrent network, from the search space to the scored trials."""

from __future__ import annotations

import itertools
import math
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
import pytest
import torch
from optuna.samplers import TPESampler
from torch import Tensor, nn

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler, proxies
from optuna_zerocost.proxies import SeededRandomState
from optuna_zerocost.rankings import RankSum
from tests.proxies.test_memory import ExhaustsBackward

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

WORDS, STEPS, SAMPLES, CLASSES = 13, 5, 6, 3
SEED = 4
CANDIDATES, WARM, MOVES, TRIALS = 10, 3, 2, 6


class Encoder(nn.Module):
    """Tokens and a mask go in, a mapping comes out."""

    def __init__(self, width: int, layers: list[nn.Module], is_pooled: bool) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, width), nn.Embedding(STEPS, width)
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(width, CLASSES)
        self.is_pooled = is_pooled

    def forward(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
        hidden = self.words(tokens) + self.places(torch.arange(STEPS, device=tokens.device))
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=mask == 0)
        pooled = hidden.mean(1) if self.is_pooled else hidden[:, 0]
        return {"logits": self.head(pooled), "hidden": hidden}


def transformer(trial: Any) -> nn.Module:
    width = 8 * trial.suggest_int("width", 1, 3)
    layers: list[nn.Module] = []
    for index in range(trial.suggest_int("depth", 1, 3)):
        heads = trial.suggest_categorical(f"heads{index}", [1, 2, 4])
        inner = trial.suggest_int(f"inner{index}", 8, 32, step=8)
        layers.append(
            nn.TransformerEncoderLayer(width, heads, inner, dropout=0.1, batch_first=True)
        )
    return Encoder(width, layers, trial.suggest_categorical("pooled", [True, False]))


def logits(network: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    output: Tensor = network(**inputs)["logits"]
    return output


class Reader(nn.Module):
    """Returns logits of each step and the state that the recurrence ends in."""

    def __init__(self, width: int, depth: int, both_ways: bool, hidden: list[int]) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(4, width, depth, batch_first=True, bidirectional=both_ways)
        sizes = [width * (2 if both_ways else 1), *hidden]
        pairs = zip(sizes, sizes[1:], strict=False)
        hidden_layers = [nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in pairs]
        self.head = nn.Sequential(*hidden_layers, nn.Linear(sizes[-1], CLASSES))

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, state = self.recurrent(x)
        return self.head(output), state


def recurrent(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 4, 16, step=2)
    depth = trial.suggest_int("depth", 1, 3)
    both_ways = trial.suggest_categorical("both_ways", [True, False])
    hidden = []
    if trial.suggest_categorical("hidden", [True, False]):
        hidden = [trial.suggest_int("hidden_width", 4, 16)]
    return Reader(width, depth, both_ways, hidden)


def of_each_step(network: nn.Module, inputs: Tensor) -> Tensor:
    output: Tensor = network(inputs)[0]
    return output.transpose(1, 2)


@dataclass(frozen=True)
class Task:
    build: Callable[[Any], nn.Module]
    batch: tuple[Any, Tensor]
    proxies: tuple[str, ...]
    forward_fn: Callable[[nn.Module, Any], Tensor]

    def scorer(self) -> ModelScorer:
        return ModelScorer(
            self.build, self.batch, self.proxies, forward_fn=self.forward_fn, seed=SEED
        )


def _tasks() -> dict[str, Task]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, WORDS, (SAMPLES, STEPS), generator=generator)
    lengths = torch.randint(2, STEPS + 1, (SAMPLES, 1), generator=generator)
    mask = (torch.arange(STEPS) < lengths).long()
    sequences = torch.randn(SAMPLES, STEPS, 4, generator=generator)
    of_steps = torch.randint(0, CLASSES, (SAMPLES, STEPS), generator=generator)
    shared = ("synflow", "snip", "grasp", "zico", "params")
    return {
        "transformer": Task(
            transformer,
            ({"tokens": tokens, "mask": mask}, of_steps[:, 0]),
            (*shared, "logsynflow", "naswot"),
            logits,
        ),
        "LSTM": Task(recurrent, (sequences, of_steps), (*shared, "jacob_cov"), of_each_step),
    }


TASKS = _tasks()


def run(task: Task, storage: str) -> optuna.Study:
    sampler = ZeroCostSampler(
        task.scorer(),
        base_sampler=TPESampler(seed=1, n_startup_trials=2, constant_liar=True),
        ranking=RankSum("synflow", "snip"),
        warmup=Warmup(candidates=CANDIDATES, trials=WARM),
        moves=MOVES,
        seed=2,
    )
    study = optuna.create_study(study_name="networks", storage=storage, sampler=sampler)

    def objective(trial: optuna.Trial) -> float:
        """The loss after a step of training."""
        rate = trial.suggest_float("rate", 1e-3, 1.0, log=True)
        with SeededRandomState(0):
            network = task.build(trial)
            optimizer = torch.optim.SGD(network.parameters(), rate)
            for _ in range(2):
                output = task.forward_fn(network, task.batch[0])
                loss = nn.functional.cross_entropy(output, task.batch[1])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return float(loss.detach())

    study.optimize(objective, n_trials=TRIALS)
    return study


def history(study: optuna.Study) -> list[Any]:
    return [
        (
            trial.params,
            trial.value,
            {key: trial.user_attrs[key] for key in trial.user_attrs if key != "zerocost:seconds"},
        )
        for trial in study.trials
    ]


@pytest.mark.parametrize("name", TASKS)
def test_a_study_in_sqlite_scores_each_network_as_if_it_were_scored_alone(
    name: str, tmp_path: pathlib.Path
) -> None:
    task = TASKS[name]
    study = run(task, f"sqlite:///{tmp_path}/first.db")
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources == ["warmup"] * WARM + ["move"] * (TRIALS - WARM)
    for trial in study.trials:
        assert trial.user_attrs["zerocost:rejected"] == 0
        with SeededRandomState(SEED):
            network = task.build(optuna.trial.FixedTrial(trial.params))
        scores = proxies.score_network(
            network, task.batch, task.proxies, forward_fn=task.forward_fn, seed=SEED
        )
        assert {key: trial.user_attrs[f"zerocost:{key}"] for key in task.proxies} == scores
        assert all(math.isfinite(score) for score in scores.values())
    # Conditional parameters: the trials have not all the same ones.
    assert len({frozenset(trial.params) for trial in study.trials}) > 1
    # Nothing that precedes another trial of the warmup is worse in both scores.
    ranked = [
        (trial.user_attrs["zerocost:synflow"], trial.user_attrs["zerocost:snip"])
        for trial in study.trials[:WARM]
    ]
    for earlier, later in itertools.pairwise(ranked):
        assert not (later[0] > earlier[0] and later[1] > earlier[1])
    again = run(task, f"sqlite:///{tmp_path}/again.db")
    assert history(again) == history(study)


def test_a_score_for_which_memory_does_not_suffice_is_omitted_and_the_study_goes_on() -> None:
    def build(trial: Any) -> nn.Module:
        width = trial.suggest_int("width", 2, 9)
        return nn.Sequential(nn.Linear(4, width), ExhaustsBackward(2), nn.Linear(width, CLASSES))

    batch = (torch.randn(SAMPLES, 4), torch.arange(SAMPLES) % CLASSES)
    scorer = ModelScorer(build, batch, ["grasp", "snip", "synflow"], on_undefined="omit")
    sampler = ZeroCostSampler(scorer, ranking="synflow", warmup=Warmup(4, 2), moves=2, seed=0)
    study = optuna.create_study(sampler=sampler)
    with pytest.warns(UserWarning, match=r"score grasp is left out.*memory"):
        study.optimize(lambda trial: float(trial.suggest_int("width", 2, 9)), n_trials=3)
    for trial in study.trials:
        assert trial.user_attrs["zerocost:rejected"] == 0
        assert "zerocost:grasp" not in trial.user_attrs
        assert {"zerocost:snip", "zerocost:synflow"} <= trial.user_attrs.keys()


def test_a_network_that_memory_does_not_suffice_for_is_rejected_with_the_reason() -> None:
    trial = optuna.trial.FixedTrial({})
    scorer = ModelScorer(
        lambda trial: nn.Sequential(nn.Linear(4, 3), ExhaustsBackward(1)),
        (torch.randn(SAMPLES, 4), torch.arange(SAMPLES) % CLASSES),
        ["snip", "synflow"],
        on_undefined="omit",
    )
    with pytest.raises(proxies.OutOfMemoryError, match="loss pass"):
        scorer(trial)
