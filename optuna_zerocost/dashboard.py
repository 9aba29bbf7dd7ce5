"""Figures and a note in words for optuna-dashboard.

They are stored with the study, so a dashboard that runs already shows them when it reloads. They
need plotly and optuna-dashboard: ``pip install "optuna-zerocost[dashboard]"``.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_zerocost import _words, analysis, visualization
from optuna_zerocost.records import considered_scores, stored_pools
from optuna_zerocost.visualization import GREY, see_through

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["DashboardCallback", "describe", "publish"]

# The dashboard gives each figure half its width and this height, whatever the figure says.
_HEIGHT = 450
_PANELS = 2

# The part of the note that is ours: a user may have written something before or after it.
_FIRST_LINE = "## Zero-cost proxies"
_LAST_LINE = "*End of what optuna-zerocost writes; it keeps what stands before and after.*"


class DashboardCallback:
    """A callback for ``study.optimize`` that publishes now and then.

    With several workers, give it to each: every trial is finished by one of them, so the study is
    published once for every so many trials. That takes half a second of CPU for 60 trials with 5
    scores and 3 s for 1,000: with short trainings, publish less often.

    Args:
        every: Publish after each trial whose number, counted from 1, is a multiple of this.

    Raises:
        ImportError: If plotly or optuna-dashboard is not installed.
        ValueError: If ``every`` is less than 1.
    """

    def __init__(self, *, every: int = 10) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(
                f"every is {every!r}, but it is the number of trials from one publication to the "
                "next: an integer of at least 1."
            )
        _optuna_dashboard()
        self._every = every

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Publish ``study`` if it is time; warn, rather than end the search, if that fails."""
        if (trial.number + 1) % self._every:
            return
        try:
            publish(study)
        except Exception as error:
            # A picture is not worth a search.
            warnings.warn(
                f"The figures for the dashboard could not be published ({error!r}). The search "
                "goes on; optuna_zerocost.dashboard.publish(study) tries again.",
                stacklevel=2,
            )


def publish(
    study: Study, *, curves: Mapping[str, Study | Sequence[Study]] | None = None
) -> list[str]:
    """Store figures of ``study`` and a note in words where optuna-dashboard shows them.

    Publishing again replaces what was published before. The note keeps what others have written
    before and after our part of it. Two workers that publish at the same moment may mix up a
    figure, until one of them publishes again.

    Args:
        study: The study, with its scores.
        curves: Studies to compare in the figure of the best value so far; see
            :func:`~optuna_zerocost.visualization.plot_search_curves`. Default: this study alone.

    Returns:
        The identifiers of the figures.

    Raises:
        ImportError: If plotly or optuna-dashboard is not installed.
    """
    optuna_dashboard = _optuna_dashboard()
    identifiers = []
    for identifier, figure in figures(study, curves):
        fit(figure)
        optuna_dashboard.save_plotly_graph_object(study, figure, graph_object_id=identifier)
        identifiers.append(identifier)
    note = _merged(optuna_dashboard.get_note(study), describe(study))
    optuna_dashboard.save_note(study, note)
    return identifiers


def describe(study: Study) -> str:
    """Return in words, as Markdown, what the sampler did and how the proxies fare."""
    parts = [_FIRST_LINE, _describe_activity(study)]
    for name, target, direction in analysis.objectives(study):
        parts += _describe_objective(study, name, target, direction)
    parts.append(_LAST_LINE)
    return "\n\n".join(part for part in parts if part)


def figures(
    study: Study, curves: Mapping[str, Study | Sequence[Study]] | None = None
) -> Iterator[tuple[str, go.Figure]]:
    """Yield an identifier and a figure, for each that :func:`publish` stores."""
    trials = study.get_trials(deepcopy=False)
    names = analysis.names_in(map(analysis.scores_of_trial, trials))
    pooled = analysis.names_in(c.scores for pool in stored_pools(study) for c in pool.candidates)
    considered = analysis.names_in(considered_scores(trial.system_attrs) for trial in trials)
    objectives = analysis.objectives(study)
    for index, (label, target, direction) in enumerate(objectives):
        suffix = "" if len(objectives) == 1 else f"-objective-{index}"
        for part, chosen in _parts(names):
            yield (
                f"zerocost-correlation{suffix}{part}",
                visualization.plot_proxy_correlation(
                    study, scores=chosen, target=target, target_name=label, direction=direction
                ),
            )
        for part, chosen in _parts(pooled):
            yield (
                f"zerocost-warmup{suffix}{part}",
                visualization.plot_warmup(study, scores=chosen, target=target, target_name=label),
            )
        yield (
            f"zerocost-search-curves{suffix}",
            visualization.plot_search_curves(
                {study.study_name: study} if curves is None else curves,
                target=target,
                target_name=label,
                direction=direction,
            ),
        )
    for part, chosen in _parts(considered):
        yield f"zerocost-candidates{part}", visualization.plot_candidates(study, scores=chosen)


def _parts(names: Sequence[str]) -> Iterator[tuple[str, Sequence[str] | None]]:
    """Yield as many ``names`` at a time as one figure has room for, and a suffix for its name."""
    if not names:
        yield "", None  # a figure that says what is missing
    for start in range(0, len(names), _PANELS):
        yield f"-{start // _PANELS + 1}" if start else "", names[start : start + _PANELS]


def fit(figure: go.Figure) -> None:
    """Fit ``figure`` into the dashboard's space, and to its light and its dark theme alike."""
    grid = see_through(GREY, 0.25)
    figure.update_layout(
        template="none",
        height=_HEIGHT,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY},
        margin={"l": 60, "r": 20},
        # Plotly would take see-through paper for black, and put a dark bar over the title.
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": grid, "activecolor": GREY},
    )
    figure.update_xaxes(gridcolor=grid, zerolinecolor=grid, automargin=True)
    figure.update_yaxes(gridcolor=grid, zerolinecolor=grid, automargin=True)


def _describe_activity(study: Study) -> str:
    activity = analysis.activity(study)
    trials = _words.count(len(study.get_trials(deepcopy=False)), "trial")
    if not activity.trials:
        return f"No zero-cost sampler has had to do with the {trials} so far."
    kinds = [
        f"- **{number}** {meaning} (`{source}`)"
        for source, number, meaning in _words.sources(activity)
    ]
    looked = (
        f"**{activity.candidates:,}** architectures were scored without training, "
        f"{activity.rejected:,} draws were rejected, and drawing and scoring took "
        f"{_words.duration(activity.seconds)} in all."
    )
    return "\n".join([f"Of {trials} so far:", "", *kinds, "", looked])


def _describe_objective(
    study: Study, name: str, target: analysis.Target | None, direction: str | None
) -> list[str]:
    trials = [
        trial for trial in analysis.scores_of(study, target=target) if trial.value is not None
    ]
    found = analysis.best_first(analysis.correlations(study, target=target, direction=direction))
    best = analysis.best_trial(study, target=target, direction=direction)
    title = f"### How the proxies fare: {name}"
    if not found or best is None or best.value is None:
        return [title, "No complete trial has a score and a value yet."]
    header = [*_words.CORRELATION_HEADER, "in words"]
    rows = [[*_words.correlation_row(one), _words.strength(one.spearman)] for one in found]
    table = [header, ["---"] * len(header), *rows]
    origin = f" (`{best.source}`)" if best.source else ""
    return [
        title,
        f"Best of {_words.count(len(trials), 'trained network')}: {_words.compact(best.value)} in "
        f"trial {best.number}{origin}.",
        "\n".join(f"| {' | '.join(map(_escaped, row))} |" for row in table),
        _words.reading(trials),
    ]


def _merged(note: str, ours: str) -> str:
    """Return ``note`` with our part of it replaced, or added at its end."""
    before, found, rest = note.partition(_FIRST_LINE)
    if not found:
        return f"{note.rstrip()}\n\n{ours}" if note.strip() else ours
    _, _, after = rest.partition(_LAST_LINE)
    return f"{before}{ours}{after}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _optuna_dashboard() -> Any:
    try:
        importlib.import_module("plotly")
        return importlib.import_module("optuna_dashboard")
    except ImportError as error:
        raise ImportError(
            f"The dashboard's figures need plotly and optuna-dashboard, and {error.name!r} is not "
            'installed. Install both: pip install "optuna-zerocost[dashboard]"'
        ) from error
