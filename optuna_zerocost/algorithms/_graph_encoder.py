"""Parameters as graphs, for a network that learns from graphs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from optuna_zerocost.algorithms._one_hot import OneHotEncoder
from optuna_zerocost.records import Candidate

if TYPE_CHECKING:
    # Loads torch, which the samplers do without until there is something to learn.
    from optuna_zerocost.algorithms.relation_network import Graph

__all__ = ["Encode", "GraphEncoder"]

Encode = Callable[[Mapping[str, Any]], tuple[npt.ArrayLike, npt.ArrayLike]]

_logger = logging.getLogger("optuna.zerocost")


class GraphEncoder:
    """Turns parameters into graphs by the user's ``encode``, or into vectors, and checks them."""

    def __init__(
        self, encode: Encode | None, distributions: Sequence[Mapping[str, BaseDistribution]]
    ) -> None:
        self._encode = encode
        self._one_hot = OneHotEncoder(distributions)
        self._features: int | None = None

    def of_trial(self, trial: FrozenTrial) -> Graph:
        """Return the graph of a finished trial, which ``encode`` must be able to give."""
        try:
            return self._graph(trial.params)
        except Exception as error:
            raise ValueError(
                f"encode did not turn the parameters of trial {trial.number}, {trial.params}, "
                f"into a graph: {type(error).__name__}: {error} It must return (adjacency, "
                "features) of shapes (n, n) and (n, f) for the parameters of every finished trial."
            ) from error

    def of_candidates(
        self, candidates: Iterable[Candidate]
    ) -> tuple[list[Candidate], list[Graph], list[Candidate]]:
        """Return the candidates that have a graph, their graphs, and the incomplete candidates."""
        kept, graphs, incomplete = [], [], []
        for candidate in candidates:
            try:
                graphs.append(self._graph(candidate.params))
            except KeyError:
                incomplete.append(candidate)
            except Exception as error:
                # The set may be one that the objective would never ask for.
                _logger.debug(f"No graph for {candidate.params}: {type(error).__name__}: {error}")
            else:
                kept.append(candidate)
        return kept, graphs, incomplete

    def _graph(self, params: Mapping[str, Any]) -> Graph:
        if self._encode is None:
            return np.zeros((1, 1), np.float32), self._one_hot(params)[None]
        pair = self._encode(dict(params))
        adjacency, features = (np.asarray(array, dtype=np.float32) for array in pair)
        is_finite = bool(np.isfinite(features).all())
        shape = (len(features), len(features))
        if features.ndim != 2 or adjacency.shape != shape or not is_finite:
            raise ValueError(
                f"The adjacency has shape {adjacency.shape} and the features {features.shape}"
                f"{'' if is_finite else ', not all of them finite'}."
            )
        if self._features is None:
            self._features = features.shape[1]
        if features.shape[1] != self._features:
            raise ValueError(
                f"Its nodes have {features.shape[1]} features, those before {self._features}."
            )
        return adjacency, features
