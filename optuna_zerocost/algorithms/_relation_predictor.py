"""Predictor-based search: a network learns which of two parameter sets is better."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost import _compat
from optuna_zerocost.algorithms._graph_encoder import Encode, GraphEncoder
from optuna_zerocost.algorithms._parameter_sets import ParameterSets
from optuna_zerocost.records import (
    ArchitectureKey,
    Candidate,
    History,
    KnownArchitectures,
    Relation,
    finished_in_order,
    oriented_scores,
    parse_name,
    relation_of,
    stored_pools,
)

if TYPE_CHECKING:
    # Loads torch, which the samplers do without until there is something to learn.
    from optuna_zerocost.algorithms.relation_network import Graph, RelationNetwork

__all__ = ["RelationPredictorSampler"]

# The published number of networks whose scores the predictor is pre-trained on.
_MOST_PRETRAINING = 256

# How many of the best trials have their neighbours among the candidates.
_MOST_PARENTS = 10

# After so many trials the part of the candidates that is explored is half as large.
_HALVING = 20


class RelationPredictorSampler(BaseSampler):
    """Trains a network to say which of two parameter sets is better, and takes what it prefers.

    Dudziak et al., "BRP-NAS: Prediction-based NAS using GCNs" (NeurIPS 2020). The network embeds
    two graphs by graph convolutions and gives the probability that the first is better. It is
    trained on all pairs of finished trials, in both orders. For each new trial it compares many
    candidates pairwise, and these are ordered by their summed probabilities to win, each the mean
    over both orders of the pair. Only the order of the objective's values counts.

    *What it sees.* What ``encode`` makes of the parameters: a graph, best one with the operations
    as nodes, such as ``zerocost_bench.nasbench201.encode`` returns. By default the
    parameters are a vector, as the only node of a graph: categoricals one-hot, numbers scaled to
    [0, 1], and for each parameter whether it is absent. A graph tells more: of pairs of
    NAS-Bench-201 networks it orders more rightly after 20 trials than the vector after 100.

    *Candidates.* Half are random values for parameter names that went together in a past trial;
    half are neighbours of the ten best trials, with one parameter drawn anew. What the objective
    asks for besides is drawn at random. A share of the trials (``exploration``) takes a random one
    of the best candidates: of the best half at first, of half as many after every 20 trials, as
    the published search does from one iteration to the next. All others take the best. What the
    study has evaluated, or is evaluating, is left out as long as something else is left.

    *When it is trained.* At the first trial after every ``refit_every`` finished ones, from
    scratch, on exactly these. So its weights are a function of the study's history and the seed: a
    resumed study goes on as if it had not been interrupted (on the same machine: sums in another
    order may tip a balance). Until ``n_startup_trials`` have finished, trials are random.

    *Pre-training.* With ``pretrain="synflow"``, say, the network first learns to compare the first
    256 architectures of the warmup of the :class:`~optuna_zerocost.ZeroCostSampler` around it by
    that score, as the published implementation does. The scores are read from the study, so they
    may also be those of an earlier run. Where there are none, nothing is pre-trained; where there
    are, there are no random trials once one has finished.

    *Which trials count.* Complete and pruned ones, in the order in which they finished. A trial
    that violates its constraints is worse than one that does so less, a pruned trial worse than
    any complete one; among pruned ones the one that came further is better. Failed trials are
    ignored. With several objectives a trial is better than those that it dominates, and other
    pairs are not learned from.

    Defaults: four layers, as published, with 64 hidden units rather than 600, and 100 training
    steps rather than 250 passes over all pairs, since a trial shall not cost more than 2 seconds;
    ``zerocost-bench relation-predictor`` compares the two.

    Args:
        encode: ``params → (adjacency, features)``: shapes (n, n), not 0 where an edge leads from
            row to column, and (n, f); f is the same for all graphs, n is not. The network adds a
            global node, so the order of the nodes does not matter, nor does the direction of an
            edge. It must accept the parameters of every finished trial. A candidate that it raises
            an exception for is left out; but after a ``KeyError``, for a parameter that the
            candidate lacks since its values were never seen together, it may be explored.
        n_startup_trials: Number of trials that finish before there is a prediction.
        refit_every: Number of finished trials after which the network is trained anew.
        candidates: Number of candidates for each trial; they are fewer where some are equal.
        exploration: Share of the trials that do not take the best candidate, from 0 to 1.
        pretrain: The name of a score; ``"-name"`` for one that is better when lower.
        layers: Number of graph convolutions.
        hidden: Width of each.
        steps: Number of training steps, and of pre-training steps.
        seed: Seeds the network and all draws. Default: a random one. Workers of one study may
            share a seed: each trial has random numbers of its own.

    Raises:
        ValueError: If a number is out of range or no integer.
        TypeError: If ``encode`` is not callable.
    """

    def __init__(
        self,
        *,
        encode: Encode | None = None,
        n_startup_trials: int = 10,
        refit_every: int = 5,
        candidates: int = 512,
        exploration: float = 0.5,
        pretrain: str | None = None,
        layers: int = 4,
        hidden: int = 64,
        steps: int = 100,
        seed: int | None = None,
    ) -> None:
        if encode is not None and not callable(encode):
            raise TypeError(
                f"encode is {encode!r}, but it must be a function from a trial's parameters to "
                "(adjacency, features), or None for a vector of the parameters."
            )
        if not 0 <= exploration <= 1:
            raise ValueError(
                f"exploration is {exploration!r}, but it is a share of the trials: give a number "
                "from 0 (always the best candidate) to 1."
            )
        counts = {
            "n_startup_trials": n_startup_trials,
            "refit_every": refit_every,
            "candidates": candidates,
            "layers": layers,
            "hidden": hidden,
            "steps": steps,
        }
        for name, count in counts.items():
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise ValueError(f"{name} is {count!r}, but it must be an integer of at least 1.")
        self._encode = encode
        self._n_startup_trials = n_startup_trials
        self._refit_every = refit_every
        self._candidates = candidates
        self._exploration = exploration
        self._pretrain = pretrain
        self._pretrain_name = None if pretrain is None else parse_name(pretrain)[0]
        self._layers = layers
        self._hidden = hidden
        self._steps = steps
        self._seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        # Kept for speed alone: all of it follows from the study and the seed.
        self._plans: dict[int, _Plan] = {}
        self._pretrained, self._trained = _Last(), _Last()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_plans": {}}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begin the trial's random numbers anew."""
        self._plans.pop(_compat.trial_id_of(trial), None)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters of all candidates, once there is a prediction."""
        known: dict[str, BaseDistribution] = {}
        for candidate in self._ranked(study, trial):
            known.update(candidate.distributions)
        return {name: known[name] for name in sorted(known) if not known[name].single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the candidate's values; what the candidate does not have is drawn at random."""
        plan = self._plan(trial)
        candidate = self._choose(study, trial) if search_space else None
        params = candidate.params if candidate is not None else {}
        return {
            name: params[name] if name in params else plan.draw(name, distribution)
            for name, distribution in search_space.items()
        }

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw at random."""
        return self._plan(trial).draw(param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Forget the trial's candidates."""
        self._plans.pop(_compat.trial_id_of(trial), None)

    def _plan(self, trial: FrozenTrial) -> _Plan:
        trial_id = _compat.trial_id_of(trial)
        if trial_id not in self._plans:
            generator = np.random.default_rng([self._seed, trial.number])
            random_sampler = RandomSampler(seed=int(generator.integers(2**32)))
            self._plans[trial_id] = _Plan(generator, random_sampler)
        return self._plans[trial_id]

    def _choose(self, study: Study, trial: FrozenTrial) -> Candidate | None:
        """Return a candidate that the study does not know; ``None`` if there is none."""
        ranked, plan = self._ranked(study, trial), self._plan(trial)
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        known = KnownArchitectures(others)
        left = [c for c in ranked if c.key not in known and c.key not in plan.taken]
        if not left:
            return None
        halvings = max(1, plan.finished // _HALVING)
        explored = [*left[: max(1, len(left) >> halvings)], *plan.incomplete]
        is_explored = plan.generator.random() < self._exploration
        index = int(plan.generator.integers(len(explored))) if is_explored else 0
        plan.taken.add(explored[index].key)
        return explored[index]

    def _ranked(self, study: Study, trial: FrozenTrial) -> list[Candidate]:
        """Return the candidates for ``trial``, best first; the same ones until it ends."""
        plan = self._plan(trial)
        if plan.ranked is None:
            plan.ranked = self._rank(study, trial, plan)
        return plan.ranked

    def _rank(self, study: Study, trial: FrozenTrial, plan: _Plan) -> list[Candidate]:
        finished = finished_in_order(study)
        plan.finished = len(finished)
        won = relation_of(finished, study.directions).sum(axis=1, dtype=np.int64)
        parents = [finished[index] for index in np.argsort(-won, kind="stable")]
        parents = [trial for trial in parents if trial.params]
        pool = self._pretraining(study)
        if not parents or (not pool and len(finished) < self._n_startup_trials):
            return []
        seen = finished[: len(finished) - len(finished) % self._refit_every]
        distributions = [*(c.distributions for c in pool), *(t.distributions for t in seen)]
        encoder = GraphEncoder(self._encode, distributions)
        graphs = [encoder.of_trial(known) for known in seen]
        network = self._fit(encoder, pool, graphs, relation_of(seen, study.directions))
        if network is None:
            return []
        fixed = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        sets = ParameterSets(parents, fixed)
        drawn: dict[ArchitectureKey, Candidate] = {}
        for index in range(self._candidates):
            if index % 2:
                parent = parents[int(plan.generator.integers(min(len(parents), _MOST_PARENTS)))]
                candidate = sets.neighbour(parent, plan.generator, plan.draw)
            else:
                candidate = sets.random(plan.generator, plan.draw)
            drawn.setdefault(candidate.key, candidate)
        candidates, graphs, plan.incomplete = encoder.of_candidates(drawn.values())
        if not candidates:
            return []
        from optuna_zerocost.algorithms.relation_network import win_probabilities

        won = win_probabilities(network, graphs).sum(axis=1)
        return [candidates[index] for index in np.argsort(-won, kind="stable")]

    def _pretraining(self, study: Study) -> list[Candidate]:
        """Return the candidates to pre-train on."""
        if self._pretrain_name is None:
            return []
        stored = (candidate for pool in stored_pools(study) for candidate in pool.candidates)
        scored = (candidate for candidate in stored if self._pretrain_name in candidate.scores)
        return list(itertools.islice(scored, _MOST_PRETRAINING))

    def _fit(
        self, encoder: GraphEncoder, pool: list[Candidate], graphs: list[Graph], relation: Relation
    ) -> RelationNetwork | None:
        """Return the network for these data; ``None`` if they tell nothing."""
        pool, pool_graphs, _ = encoder.of_candidates(pool)
        pool_relation = np.zeros((0, 0), np.int8)
        if pool and self._pretrain is not None:
            scores = oriented_scores(pool, History(), self._pretrain)
            pool_relation = np.sign(scores[:, None] - scores).astype(np.int8)
        if not pool_relation.any() and not relation.any():
            return None
        features = (pool_graphs or graphs)[0][1].shape[1]
        key = _digest(pool_graphs, pool_relation) + str(features)
        new = self._pretrained.get(
            key, lambda: self._train(self._network(features), pool_graphs, pool_relation)
        )
        key += _digest(graphs, relation)
        return self._trained.get(key, lambda: self._train(new, graphs, relation))

    def _network(self, features: int) -> RelationNetwork:
        from optuna_zerocost.algorithms.relation_network import RelationNetwork, seeded

        generator = seeded(self._seed)
        return RelationNetwork(
            features, layers=self._layers, hidden=self._hidden, generator=generator
        )

    def _train(
        self, network: RelationNetwork, graphs: Sequence[Graph], relation: Relation
    ) -> RelationNetwork:
        from optuna_zerocost.algorithms.relation_network import Training, seeded, train

        if not relation.any():
            return network
        return train(network, graphs, relation, Training(self._steps), seeded(self._seed))


class _Last:
    """Keeps the last network for as long as the same one is asked for; a copy keeps none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[str, RelationNetwork] | None = None

    def __reduce__(self) -> tuple[type[_Last], tuple[()]]:
        return _Last, ()

    def get(self, key: str, compute: Callable[[], RelationNetwork]) -> RelationNetwork:
        # Threads of one study ask for the same at the same time.
        with self._lock:
            if self._kept is None or self._kept[0] != key:
                self._kept = key, compute()
            return self._kept[1]


@dataclass
class _Plan:
    """Generators and candidates of one trial."""

    generator: np.random.Generator  # chooses
    random_sampler: RandomSampler  # draws values
    ranked: list[Candidate] | None = None  # best first, as soon as they were asked for
    incomplete: Sequence[Candidate] = ()  # that lack a parameter that ``encode`` reads
    # What was handed out already, where the trial is asked for many draws. It need not have become
    # what it looks like, since the objective may ask for other parameters.
    taken: set[ArchitectureKey] = field(default_factory=set)
    finished: int = 0  # trials, when the candidates were ranked

    def draw(self, name: str, distribution: BaseDistribution) -> Any:
        if isinstance(distribution, CategoricalDistribution):  # the same, in less time
            return distribution.choices[int(self.generator.integers(len(distribution.choices)))]
        # A random sampler looks at neither the study nor the trial.
        return self.random_sampler.sample_independent(
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            name,
            distribution,
        )


def _digest(graphs: Iterable[Graph], relation: Relation) -> str:
    digest = hashlib.sha256(relation.tobytes())
    for array in itertools.chain.from_iterable(graphs):
        digest.update(repr(array.shape).encode() + array.tobytes())
    return digest.hexdigest()
