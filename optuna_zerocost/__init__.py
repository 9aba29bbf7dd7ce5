"""Zero-cost proxies for neural architecture search, inside Optuna.

Names are imported on first use, so that ``optuna_zerocost.proxies`` does not load Optuna and a
sampler over a scorer without torch does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna_zerocost.algorithms import (
        AgingEvolutionSampler,
        ReinforceSampler,
        RelationPredictorSampler,
    )
    from optuna_zerocost.proxies import score_network
    from optuna_zerocost.pruners import ZeroCostPruner
    from optuna_zerocost.rankings import (
        ByScore,
        Learned,
        Pareto,
        Ranking,
        RankSum,
        Sources,
        Vote,
    )
    from optuna_zerocost.records import Candidate, History
    from optuna_zerocost.samplers import Warmup, ZeroCostSampler
    from optuna_zerocost.scoring import (
        LimitedScorer,
        Limits,
        ModelScorer,
        OutsideLimits,
        ReducedTrainingScorer,
        Scorer,
        report_network,
    )

__all__ = [
    "AgingEvolutionSampler",
    "ByScore",
    "Candidate",
    "History",
    "Learned",
    "LimitedScorer",
    "Limits",
    "ModelScorer",
    "OutsideLimits",
    "Pareto",
    "RankSum",
    "Ranking",
    "ReducedTrainingScorer",
    "ReinforceSampler",
    "RelationPredictorSampler",
    "Scorer",
    "Sources",
    "Vote",
    "Warmup",
    "ZeroCostPruner",
    "ZeroCostSampler",
    "report_network",
    "score_network",
]
__version__ = "0.1.0"

_HOMES = {
    "algorithms": ("AgingEvolutionSampler", "ReinforceSampler", "RelationPredictorSampler"),
    "proxies": ("score_network",),
    "pruners": ("ZeroCostPruner",),
    "rankings": ("ByScore", "Learned", "Pareto", "RankSum", "Ranking", "Sources", "Vote"),
    "records": ("Candidate", "History"),
    "samplers": ("Warmup", "ZeroCostSampler"),
}
_HOME = {name: folder for folder, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOME.get(name, 'scoring')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
