"""The sampler that looks at many architectures and hands the best to the objective."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost import _compat
from optuna_zerocost.rankings import BaseRanking, Learned, Ranking, as_ranking, explain
from optuna_zerocost.records import History, comparable, stored_bans, stored_scores
from optuna_zerocost.samplers._chooser import Chooser
from optuna_zerocost.samplers._mismatch import Comparison
from optuna_zerocost.samplers._notices import Notices
from optuna_zerocost.samplers._pool_source import PoolCache
from optuna_zerocost.samplers._provenance import Provenance
from optuna_zerocost.samplers._record import record_choice, score_afterwards
from optuna_zerocost.samplers._setup import DEFAULT_MOVES, Setup
from optuna_zerocost.samplers._study_view import Snapshot, StudyView
from optuna_zerocost.samplers._told import Explanation
from optuna_zerocost.samplers._warmup import Warmup
from optuna_zerocost.scoring import BaseScorer, Scorer, as_scorer

__all__ = ["ZeroCostSampler"]

_DEFAULT_WARMUP = Warmup()

# A ranking with sources of its own takes few trials from a pool, and needs few draws besides them.
_SHORT_WARMUP, _FEW_MOVES = Warmup(200), 2


class ZeroCostSampler(BaseSampler):
    """Proposes to the objective only the best of many architectures, by scores without training.

    Two ways of Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS" (ICLR 2021), around
    any Optuna sampler:

    * *warmup*: many random architectures are scored, and the first trials are the best of them;
    * *move proposal*: for each later trial the base sampler is asked many times, the answers are
      scored, and the best becomes the trial. With ``moves="neighbours"`` the candidates are all
      architectures that are one edit away from a parent instead.

    Architectures that the study has evaluated, is evaluating or has enqueued are not proposed
    again while there are others to be found; neither is the same network with other parameters
    (dropout rates, say), where the ranking goes by scores alone. If the objective asks for
    parameters besides the architecture's, and the base sampler proposes nothing else, an
    architecture that was evaluated is proposed again for their sake. Parameters that the
    scorer does not ask for (a learning rate, say) are the base sampler's own; the default ranking
    chooses them together with the architecture once trials have shown them, and may train an
    architecture again with others. Enqueued and fixed parameters are kept.

    The sampler has no search state of its own: what it does is a function of the study's history,
    so several workers and a resumed study behave alike. A ``PartialFixedSampler`` may be around
    it or inside, as the base sampler: candidates then have the fixed values.

    Each trial gets user attributes: ``zerocost:<score>`` for every score of its architecture,
    ``zerocost:source`` (``"warmup"``, ``"move"``, ``"random"`` for a random one of the candidates,
    ``"base"`` where the base sampler's own suggestion was used, ``"enqueued"``),
    ``zerocost:candidates`` (distinct new architectures that it was chosen from),
    ``zerocost:rejected`` (draws that the scorer rejected) and ``zerocost:seconds`` (time for
    drawing and scoring). What a move was chosen among is a system attribute, for
    :func:`optuna_zerocost.visualization.plot_candidates`.

    Where the scorer has :class:`~optuna_zerocost.scoring.Limits`, what is outside is drawn again,
    and ``zerocost:feasible`` is the share of the draws that were within; what was measured is
    stored with the scores. Where the base sampler draws nothing within for long, random draws
    take over (``zerocost:origin`` is then ``"random"``). If none at all was within, the least
    violating is used, and its violation is recorded as a constraint of the trial and as
    ``zerocost:violation``. A scorer with limits and no scores makes the first new architecture
    within the limits the trial, without a warmup.

    Where trials fail, or violate constraints (``Trial.set_constraint``, or a ``constraints_func``
    of the base sampler), the probability that one does not is learned, and what will hardly
    succeed comes last, with any ranking.

    Args:
        scorer: Turns a trial into named scores, e.g. a
            :class:`~optuna_zerocost.scoring.ModelScorer`; see
            :class:`~optuna_zerocost.scoring.Scorer` for writing one.
        base_sampler: Any Optuna sampler. Default: ``TPESampler``, with the constant liar that is
            its default since Optuna 5.
        ranking: How scores order candidates: a score's name, which is trusted as it is, or a
            :class:`~optuna_zerocost.scoring.Ranking`. Default:
            :class:`~optuna_zerocost.Learned`, which learns from the trials what each score is
            worth, and adds candidates of its own; the warmup is then short. With ``moves=1``,
            where there is a warmup alone: the only score there is.
        warmup: Size of the warmup, or ``None`` for no warmup. Default: ``Warmup()``, and with
            :class:`~optuna_zerocost.Learned` ``Warmup(200)``, of which it takes eight trials.
        moves: How often the base sampler is asked for each trial after the warmup. Default: 32,
            and with ``Learned``, which adds candidates of its own, 2. With 1 the base
            sampler's suggestion is used as it is, and scored only after the trial; or where there
            are limits, its first suggestion within them. With ``"neighbours"``, the candidates are
            what no trial has evaluated among the one-edit neighbours of a parent: every other
            choice of a categorical, every other value of an integer or up to eight close ones. The
            parent is the one that the base sampler mutates, if that is an
            :class:`~optuna_zerocost.samplers.AgingEvolutionSampler`, otherwise the best trial that
            has such neighbours. Where there is none, the base sampler is asked 32 times.
        random_share: With this probability a trial after the warmup is a random one of its
            candidates, not the best, so that scores that mislead do not decide everything.
        seed: Seeds the warmup, the random choices and the default base sampler. Workers of one
            study may use different seeds: the first one to arrive decides about the warmup.
            Default: these depend on the study's name.
        other_scorer: What becomes of a study that holds scores of another scorer: its builder's
            code, loss, minibatch or proxies differ. ``"warn"``: new scores are stored beside
            those, which are left out of account, and a warning says so once. ``"raise"``: an
            ``OtherScorerError`` ends the run. Where only versions differ, this is just logged.

    Raises:
        ValueError: If there are several scores but no ranking and ``moves=1``, with a warmup or
            limits; the ranking reads a score that the scorer does not return; ``moves`` is less
            than 1 or an unknown word; or ``random_share`` is no probability.
        TypeError: If an argument is of the wrong kind.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        base_sampler: BaseSampler | None = None,
        ranking: Ranking | str | None = None,
        warmup: Warmup | None = _DEFAULT_WARMUP,
        moves: int | Literal["neighbours"] | None = None,
        random_share: float = 0.0,
        seed: int | None = None,
        other_scorer: Literal["warn", "raise"] = "warn",
    ) -> None:
        whole = as_scorer(scorer)
        if base_sampler is not None and not isinstance(base_sampler, BaseSampler):
            raise TypeError(
                f"base_sampler is {base_sampler!r}, but it must be an Optuna sampler such as "
                "optuna.samplers.TPESampler()."
            )
        if warmup is not None and not isinstance(warmup, Warmup):
            raise TypeError(
                f"warmup is {warmup!r}, but it must be Warmup(candidates=…, trials=…) or None."
            )
        chosen = _ranking_for(whole, ranking, has_moves=moves != 1, has_warmup=warmup is not None)
        if chosen.enough == 1:
            if warmup not in (None, _DEFAULT_WARMUP):
                raise ValueError(
                    f"warmup is {warmup!r}, but the scorer returns no scores by which some "
                    "candidates could be better than others. Pass warmup=None, or let the scorer "
                    "compute something, or name a limited quantity as the ranking, e.g. "
                    "ranking='-params'."
                )
            warmup = None
        if moves is None:
            moves = DEFAULT_MOVES if chosen.sources is None else _FEW_MOVES
        if warmup is _DEFAULT_WARMUP and chosen.sources is not None:
            warmup = _SHORT_WARMUP
        base_sampler = base_sampler or _compat.default_base_sampler(seed)
        self._setup = Setup(
            whole, base_sampler, chosen, warmup, moves, random_share, seed, other_scorer
        )
        self._set_transient_state()

    def _set_transient_state(self) -> None:
        # What a sampler may lose at any time: hand-overs within a trial, copies of stored pools,
        # and what was said already.
        self._hand_over: dict[int, dict[str, Any] | None] = {}
        self._notices = Notices(self._setup.scorer.score_names or ())
        pools = PoolCache(self._setup, self._notices)
        self._chooser = Chooser(self._setup, pools, self._notices)
        self._comparison = Comparison(self._setup.scorer, self._notices)
        self._provenance = Provenance(self._setup)

    def __getstate__(self) -> dict[str, Any]:
        return {"_setup": self._setup}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._set_transient_state()

    def __str__(self) -> str:
        return f"ZeroCostSampler({self.base_sampler})"

    @property
    def base_sampler(self) -> BaseSampler:
        """The sampler that candidates and all other parameters are drawn from."""
        return self._setup.base_sampler

    def reseed_rng(self) -> None:
        """Reseed the base sampler; Optuna calls this in each thread of a parallel study."""
        self.base_sampler.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Hand over to the base sampler."""
        self.base_sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Choose the trial's architecture; return its parameters besides the base sampler's own.

        This is the one place where an exception fails the trial, rather than leave it running.
        Optuna does not see to that for a trial that is still asked for, nor for exceptions such as
        a ``SystemExit`` of a signal's handler.
        """
        try:
            return self._chosen_space(study, trial)
        except BaseException as error:
            if not isinstance(error, (Exception, KeyboardInterrupt)) or _compat.is_being_asked():
                _compat.fail(study, trial)
            raise

    def _chosen_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        trial_id = _compat.trial_id_of(trial)
        self._hand_over[trial_id] = None
        self._provenance.check(study)
        if not self._setup.may_open(trial) and not self._setup.has_moves:
            return self.base_sampler.infer_relative_search_space(study, trial)
        started = time.perf_counter()
        fixed = _compat.fixed_parameters(self.base_sampler, within=self, study=study)
        snapshot = Snapshot(
            study,
            trial,
            by_network=self._setup.ranking.by_network,
            fixed=fixed,
            scored_by=self._setup.scorer.scored_by.key,
        )
        space = self.base_sampler.infer_relative_search_space(
            StudyView(snapshot),  # type: ignore[arg-type]
            trial,
        )
        # As PartialFixedSampler does it, which has not had its turn yet if it is around this one.
        space = {name: d for name, d in space.items() if name not in fixed}
        choice = self._chooser.choose(snapshot, space)
        if choice is None:
            return space
        self._notices.chosen(choice, snapshot, self._setup.limits)
        record_choice(self._setup, study, trial, choice, started)
        params, distributions = dict(choice.answer.relative), dict(space)
        if choice.taken.candidate is not None:
            self._comparison.expect(trial, choice.taken.candidate)
            own, of_own = choice.taken.candidate.configuration
            params |= own
            distributions |= of_own
        self._hand_over[trial_id] = params
        return {name: d for name, d in distributions.items() if name in params}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values that were chosen with the search space.

        Where it was not asked for a search space before, there is nothing chosen: the base
        sampler then gives every parameter of ``search_space``.
        """
        trial_id = _compat.trial_id_of(trial)
        was_asked = trial_id in self._hand_over
        params = self._hand_over.pop(trial_id, None)
        if params is not None:
            return {name: value for name, value in params.items() if name in search_space}
        relative = self.base_sampler.sample_relative(study, trial, search_space)
        if was_asked:
            return relative
        return relative | {
            name: self.base_sampler.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
            if name not in relative
        }

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Hand over to the base sampler."""
        return self.base_sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Score a trial that came without scores, so that all trials can be compared.

        And compare what was trained with what was scored.
        """
        if state in (TrialState.COMPLETE, TrialState.PRUNED):
            self._provenance.note(study)
            score_afterwards(self._setup, study, trial, self._notices)
        self._comparison.make(study, trial, state)
        self._hand_over.pop(_compat.trial_id_of(trial), None)
        self.base_sampler.after_trial(study, trial, state, values)

    def explain(self, study: Study) -> Explanation:
        """Return in words what the scores were worth so far in ``study``: a text, to be printed.

        Which of them go with the objective and how sure that is; with the ranking
        :class:`~optuna_zerocost.Learned` also which of them helped, since which trial, and what
        would have been chosen without them. With several objectives, for the first. A notebook
        shows it formatted.
        """
        trials = comparable(study.get_trials(deepcopy=False), self._setup.scorer.scored_by.key)
        history = History.of(trials, study.directions, self._setup.scorer.score_directions)
        complete = [t for t in history.trials if t.state == TrialState.COMPLETE]
        scored = sum(bool(stored_scores(t.user_attrs)) for t in complete)
        text = explain(self._setup.ranking, history)
        if 0 < scored < len(complete):
            text = f"{scored} of {len(complete)} complete trials have scores.\n{text}"
        if bans := stored_bans(study, self._setup.scorer.fingerprint):
            text += (
                f"\nLeft out, since scoring them ended a process: {len(bans)}, such as "
                f"{dict(bans[0].asked.params)} ({bans[0].reason})."
            )
        return Explanation(text)


def _ranking_for(
    scorer: BaseScorer, ranking: Ranking | str | None, *, has_moves: bool, has_warmup: bool
) -> BaseRanking:
    """Return the ranking, or the default for what the scorer returns."""
    names, limits = scorer.score_names, scorer.limits
    # With neither a warmup nor moves nor limits nothing is ordered: several scores only watch.
    watches = not has_warmup and limits is None and len(names or ()) > 1
    if ranking is None and (has_moves or watches) and names != ():
        ranking = Learned()
    return as_ranking(ranking, names, measured=limits.names if limits is not None else ())
