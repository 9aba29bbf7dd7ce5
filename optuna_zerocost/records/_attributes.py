"""Attributes: the names of all that is stored, what each means, and which of them are scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_zerocost import _compat

__all__ = [
    "ATTRIBUTES",
    "CONSTRAINT",
    "HIDDEN_ATTRIBUTES",
    "NETWORK",
    "PREFIX",
    "RESERVED_NAMES",
    "TRAINED",
    "TRUST",
    "is_score_name",
    "set_user_attributes",
    "stored_scores",
]

PREFIX = "zerocost:"
"""Beginning of the names of all attributes."""

TRUST = "trust:"
"""Beginning of a name, after the prefix, of an attribute that tells how far a score is trusted."""

ATTRIBUTES: Mapping[str, str] = {
    "<score>": (
        "each score of the architecture, also for trials that the base sampler suggested; with "
        "`Limits` what was measured too"
    ),
    "network": (
        "with `ModelScorer`: a short text that is the same for parameters that build the same "
        "network, but for how much dropout drops"
    ),
    "source": (
        "`warmup`, `move`, `random` (a random candidate, see `random_share`), `base` (the base "
        "sampler's own suggestion) or `enqueued`"
    ),
    "candidates": "number of new architectures that it was chosen from",
    "rejected": "number of draws that the scorer rejected, those outside of limits included",
    "seconds": "time for drawing and scoring",
    "feasible": "with `Limits`: share of the draws that were within",
    "violation": (
        "with `Limits`: by how much the trial is outside, relative to the bound; absent where it "
        "is within"
    ),
    "origin": (
        "`random` where random draws took over from the base sampler, which found nothing within "
        "limits, or nothing new; with `Learned`: where the architecture came from, "
        "`base`, `pool`, `random`, `searched` or `trained`, which "
        "is that of an earlier trial, with other hyperparameters"
    ),
    "predicted": "with `Learned`: the value that was predicted for the objective",
    "deviation": "with `Learned`: how sure that was, a standard deviation",
    "trust:<score>": (
        "with `Learned`: the share of the parameters' error that the score explains, negative "
        "where it points the wrong way"
    ),
    "doubted": (
        "with `Learned`: the scores that look like noise, since they differ between alike "
        "architectures as between any others"
    ),
    "success": "with `Learned`: once trials failed, the probability that this one would not",
    "feasibility": (
        "with `Learned`: once trials violated constraints, the probability that this one would not"
    ),
    "otherwise": "with `Learned`: what would have been chosen without scores; empty if the same",
    "verdict": (
        "with `ZeroCostPruner`: `pruned`, `kept`, `too few trials`, `no correlation` or "
        "`not scored`"
    ),
    "verdict_reason": "with `ZeroCostPruner`: why, in a sentence",
    "verdict_trials": "with `ZeroCostPruner`: number of complete trials with scores by then",
    "verdict_correlation": "with `ZeroCostPruner`: Spearman ρ of their scores with the objective",
    "verdict_share": "with `ZeroCostPruner`: share of the architectures that are not better",
}
"""User attributes of a trial, which optuna-dashboard lists: name without the prefix → meaning.

With several objectives, ``predicted:1`` and ``deviation:1`` are those of the second one.
"""

HIDDEN_ATTRIBUTES: Mapping[str, str] = {
    "chosen": "trial: the architecture that a sampler has chosen for it",
    "hyperparameters": "trial: its other parameters, where they were chosen with it",
    "considered": "trial: the scores of what it was chosen among, in rising order",
    "scored_by": "trial: what its scores were computed by, the end of the name of one of these",
    "scorer:<scored_by>": "study: digests of what scores depend on, and versions",
    "trained": "trial: what the network is like that `report_network` was told of",
    "parent": "trial: number of the trial that it is a mutation of (`AgingEvolutionSampler`)",
    "warmup:<scorer>:seed": "study: the seed of a warmup's pool",
    "warmup:<scorer>:<seed>:<from>-<to>": "study: a piece of such a pool, drawn and scored",
    "warmup:<scorer>:<seed>:<from>-<to>:announced": "study: the worker that is at this piece",
}
"""System attributes of trials and studies: name without the prefix → holder and meaning.

A trial outside of limits has a constraint of Optuna's besides, :data:`CONSTRAINT`.
"""

NETWORK = f"{PREFIX}network"
"""User attribute of a trial: what tells its network from others."""

TRAINED = f"{PREFIX}trained"
"""System attribute of a trial: what the network is like that is trained."""

CONSTRAINT = f"{PREFIX}violation"
"""Constraint of a trial that is outside of the limits, and the attribute that mirrors it."""

RESERVED_NAMES = frozenset(name for name in ATTRIBUTES if "<" not in name)
"""Names that no score may have."""


def is_score_name(name: str) -> bool:
    """Return whether the attribute ``zerocost:<name>`` holds a score."""
    return name not in RESERVED_NAMES and ":" not in name


def stored_scores(attributes: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores, finite numbers, among the user attributes of a trial, by plain name."""
    # The storage in memory hands out live trials, which a worker may be writing to: read a copy.
    return {
        name: float(value)
        for key, value in dict(attributes).items()
        if key.startswith(PREFIX)
        and is_score_name(name := key.removeprefix(PREFIX))
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


def set_user_attributes(study: Study, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
    """Store user attributes of ``trial``, names without the prefix."""
    storage, trial_id = _compat.storage_of(study), _compat.trial_id_of(trial)
    for name, value in attributes.items():
        storage.set_trial_user_attr(trial_id, f"{PREFIX}{name}", value)
        # The objective's own copy of the trial, so that it can read the attributes too.
        trial.user_attrs[f"{PREFIX}{name}"] = value
