"""The content of a report on a study, before it is text or HTML."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import Study

from optuna_zerocost import _words, analysis
from optuna_zerocost.rankings import Learned, explain
from optuna_zerocost.records import PREFIX, TRUST, History

__all__ = ["Part", "Section", "Table", "sections"]

# After how many trained networks the best so far is told; the last one is always there.
_CHECKPOINTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_BULLET = "- "


@dataclass(frozen=True)
class Table:
    """Columns with a header; the first holds names, the others numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


# A paragraph, a list of sentences, or a table.
Part = str | list[str] | Table


@dataclass(frozen=True)
class Section:
    """A title with paragraphs, lists and tables below it."""

    title: str
    parts: Sequence[Part]


def sections(study: Study) -> Iterator[Section]:
    """Yield the sections of the report on ``study``."""
    yield Section(f"Study {study.study_name!r}", _overview(study))
    objectives = analysis.objectives(study)
    for name, target, direction in objectives:
        of = f": {name}" * (len(objectives) > 1)
        yield from _objective(study, of, target, direction)
    if _is_learned(study):
        yield Section("What the ranking has learned", _learned(study))


def _overview(study: Study) -> list[Part]:
    trials = study.get_trials(deepcopy=False)
    states = Counter(trial.state.name.lower() for trial in trials)
    told = ", ".join(f"{number} {state}" for state, number in states.items())
    activity = analysis.activity(study)
    if not activity.trials:
        return [
            _words.count(len(trials), "trial") + f" ({told})" * bool(told) + ".",
            "No zero-cost sampler has had to do with them so far.",
        ]
    return [
        f"{_words.count(len(trials), 'trial')} ({told}). Where they come from:",
        [f"{source}: {number}, {meaning}" for source, number, meaning in _words.sources(activity)],
        f"{_words.count(activity.candidates, 'architecture')} scored without training, "
        f"{_words.count(activity.rejected, 'draw')} rejected"
        # Trials that were enqueued by the command ``warmup`` do not tell.
        + f"; drawing and scoring took {_words.duration(activity.seconds)}"
        * (activity.seconds > 0)
        + ".",
    ]


def _objective(
    study: Study, of: str, target: analysis.Target | None, direction: str | None
) -> Iterator[Section]:
    best = analysis.best_trial(study, target=target, direction=direction)
    if best is None or best.value is None:
        yield Section(f"Best so far{of}", ["No network is trained yet."])
        return
    curve = analysis.search_curve(study, target=target, direction=direction)
    shown = sorted({n for n in _CHECKPOINTS if n < len(curve)} | {len(curve)})
    params = study.get_trials(deepcopy=False)[best.number].params
    yield Section(
        f"Best so far{of}",
        [
            f"{_number(best.value)} in trial {best.number} ({best.source or _words.OTHER}): "
            f"{_parameters(params)}.",
            Table(["trained networks", "best"], [[str(n), _number(curve[n - 1])] for n in shown]),
        ],
    )
    yield Section(
        f"What each source brought{of}",
        [
            Table(
                ["source", "networks", "median", "best", "new records"],
                [
                    [
                        one.source or _words.OTHER,
                        str(one.networks),
                        _number(one.median),
                        _number(one.best),
                        str(one.improvements),
                    ]
                    for one in analysis.contributions(study, target=target, direction=direction)
                ],
            )
        ],
    )
    yield Section(
        f"How the scores go with the objective{of}", _correlations(study, target, direction)
    )


def _correlations(
    study: Study, target: analysis.Target | None, direction: str | None
) -> list[Part]:
    found = analysis.best_first(analysis.correlations(study, target=target, direction=direction))
    if not found:
        return ["No trained network has a score, so there is nothing to compare."]
    alike: dict[str, list[str]] = {}
    for one in found:
        alike.setdefault(_words.strength(one.spearman), []).append(one.score)
    return [
        Table(_words.CORRELATION_HEADER, [_words.correlation_row(one) for one in found]),
        [f"{', '.join(names)}: {words}" for words, names in alike.items()],
        _words.reading(analysis.scores_of(study, target=target)),
    ]


def _is_learned(study: Study) -> bool:
    return any(
        name.startswith(f"{PREFIX}{TRUST}")
        for trial in study.get_trials(deepcopy=False)
        for name in trial.user_attrs
    )


def _learned(study: Study) -> list[Part]:
    from optuna_zerocost import proxies

    history = History(
        trials=study.get_trials(deepcopy=False),
        directions=tuple(study.directions),
        # The scorer is not stored. Of a score that is none of our proxies, more counts as better.
        score_directions={name: proxies.describe(name).direction for name in proxies.names()},
    )
    parts: list[Part] = []
    lines = explain(Learned(), history).splitlines()
    for is_list, group in itertools.groupby(lines, lambda line: line.startswith(_BULLET)):
        told = [line.removeprefix(_BULLET) for line in group]
        parts += [told] if is_list else told
    return parts


def _parameters(params: Mapping[str, Any]) -> str:
    return (
        ", ".join(
            f"{name} = {_number(value) if isinstance(value, float) else value}"
            for name, value in params.items()
        )
        or "no parameters"
    )


def _number(value: float) -> str:
    return f"{value:.5g}"
