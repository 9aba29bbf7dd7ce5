"""The sampler that looks at many architectures and hands the best to the objective."""

from __future__ import annotations

import logging
import random
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from optuna_zerocost import _compat
from optuna_zerocost.rankings import AsDrawn, Learned, Ranking, as_ranking, best_first, explain
from optuna_zerocost.records import (
    PREFIX,
    Candidate,
    History,
    KnownArchitectures,
    Pool,
    choose,
    chosen_key,
    claim_best,
    set_user_attributes,
    store_considered,
    stored_scores,
)
from optuna_zerocost.samplers._candidates import (
    Draw,
    Draws,
    Outside,
    draw_candidates,
    draw_neighbours,
    draw_relative,
)
from optuna_zerocost.samplers._outside import constrain, least_violating, nothing_feasible
from optuna_zerocost.samplers._parents import mutations_of_parent
from optuna_zerocost.samplers._study_view import Snapshot, StudyView
from optuna_zerocost.samplers._warmup import PoolSource, Warmup
from optuna_zerocost.samplers._widening import widen
from optuna_zerocost.scoring import (
    CandidateRejected,
    OutsideLimits,
    RepeatedArchitecture,
    Scorer,
    check_scorer,
    evaluate,
    limits_of,
    score_directions_of,
    score_names_of,
)

__all__ = ["ZeroCostSampler"]

# A child of Optuna's logger, so that optuna.logging.set_verbosity() reaches it.
_logger = logging.getLogger("optuna.zerocost")

_DEFAULT_WARMUP = Warmup()
_DEFAULT_MOVES = 32


@dataclass(frozen=True)
class _Proposal:
    """What a trial is to be, and how it came about."""

    source: str
    candidate: Candidate | None
    draw: Draw
    candidates: int
    rejected: int
    feasible: float | None = None
    violation: float = 0.0
    considered: Sequence[Candidate] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    is_claimed: bool = False


class ZeroCostSampler(BaseSampler):
    """Proposes to the objective only the best of many architectures, by scores without training.

    Two ways of Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS" (ICLR 2021), around
    any Optuna sampler:

    * *warmup*: many random architectures are scored, and the first trials are the best of them;
    * *move proposal*: for each later trial the base sampler is asked many times, the answers are
      scored, and the best becomes the trial. With ``moves="neighbours"`` the candidates are all
      architectures that are one edit away from a parent instead.

    Architectures that the study has evaluated, is evaluating or has enqueued are not proposed
    again unless the base sampler proposes nothing else. Parameters that the scorer does not ask
    for (a learning rate, say) are the base sampler's own. Enqueued and fixed parameters are kept.
    The sampler has no search state of its own: what it does is a function of the study's history,
    so several workers and a resumed study behave alike. To fix parameters, put
    ``PartialFixedSampler`` inside, as the base sampler.

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

    Args:
        scorer: Turns a trial into named scores, e.g. a
            :class:`~optuna_zerocost.scoring.ModelScorer`; see
            :class:`~optuna_zerocost.scoring.Scorer` for writing one.
        base_sampler: Any Optuna sampler. Default: ``TPESampler`` with ``constant_liar=True``.
        ranking: How scores order candidates: a score's name, which is trusted as it is, or a
            :class:`~optuna_zerocost.scoring.Ranking`. Default:
            :class:`~optuna_zerocost.Learned`, which learns from the trials what each score is
            worth, and adds candidates of its own; the warmup is then short. With ``moves=1``,
            where there is a warmup alone: the only score there is.
        warmup: Size of the warmup, or ``None`` for no warmup.
        moves: How often the base sampler is asked for each trial after the warmup. With 1 the base
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
        moves: int | Literal["neighbours"] = _DEFAULT_MOVES,
        random_share: float = 0.0,
        seed: int | None = None,
    ) -> None:
        check_scorer(scorer)
        if base_sampler is not None and not isinstance(base_sampler, BaseSampler):
            raise TypeError(
                f"base_sampler is {base_sampler!r}, but it must be an Optuna sampler such as "
                "optuna.samplers.TPESampler()."
            )
        if warmup is not None and not isinstance(warmup, Warmup):
            raise TypeError(
                f"warmup is {warmup!r}, but it must be Warmup(candidates=…, trials=…) or None."
            )
        is_number = isinstance(moves, int) and not isinstance(moves, bool) and moves >= 1
        if not is_number and moves != "neighbours":
            raise ValueError(
                f"moves is {moves!r}, but it is how often the base sampler is asked for a trial: "
                "an integer of at least 1. With moves=1 its suggestion is used as it is; with "
                "moves='neighbours' all one-edit neighbours of a parent are candidates."
            )
        if not 0.0 <= random_share <= 1.0:
            raise ValueError(
                f"random_share is {random_share!r}, but it is the probability with which a trial "
                "is a random one of its candidates instead of the best: a number from 0 to 1."
            )
        self._scorer = scorer
        self._base_sampler = base_sampler or _compat.default_base_sampler(seed)
        self._limits = limits_of(scorer)
        self._measured = self._limits.names if self._limits is not None else ()
        names = score_names_of(scorer)
        # With neither a warmup nor moves nor limits nothing is ordered: several scores only watch.
        watches = warmup is None and self._limits is None and len(names or ()) > 1
        if ranking is None and (moves != 1 or watches) and names != ():
            ranking = Learned()
        self._ranking = as_ranking(ranking, names, measured=self._measured)
        if isinstance(self._ranking, AsDrawn):
            if warmup not in (None, _DEFAULT_WARMUP):
                raise ValueError(
                    f"warmup is {warmup!r}, but the scorer returns no scores by which some "
                    "candidates could be better than others. Pass warmup=None, or let the scorer "
                    "compute something, or name a limited quantity as the ranking, e.g. "
                    "ranking='-params'."
                )
            warmup = None
        self._warmup = warmup
        self._moves: int | Literal["neighbours"] = moves
        self._random_share = random_share
        self._seed = seed
        self._set_transient_state()

    def _set_transient_state(self) -> None:
        # What a sampler may lose at any time: hand-overs within a trial, copies of stored pools,
        # and what was said already.
        self._hand_over: dict[int, dict[str, Any] | None] = {}
        self._pools: dict[str, Pool] = {}
        self._lock = threading.Lock()
        self._logged: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        transient = {"_hand_over", "_pools", "_lock", "_logged"}
        return {name: value for name, value in vars(self).items() if name not in transient}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._set_transient_state()

    def __str__(self) -> str:
        return f"ZeroCostSampler({self._base_sampler})"

    @property
    def base_sampler(self) -> BaseSampler:
        """The sampler that candidates and all other parameters are drawn from."""
        return self._base_sampler

    @property
    def _warmup_trials(self) -> int:
        """Number of first trials that are taken from the pool alone."""
        if self._warmup is None:
            return 0
        if isinstance(self._ranking, Learned):
            return min(self._warmup.trials, self._ranking.opening)
        return self._warmup.trials

    def reseed_rng(self) -> None:
        """Reseed the base sampler; Optuna calls this in each thread of a parallel study."""
        self._base_sampler.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Hand over to the base sampler."""
        self._base_sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Choose the trial's architecture; return its parameters besides the base sampler's own.

        This is the one place where an exception fails the trial, rather than leave it running.
        """
        is_warmup = trial.number < self._warmup_trials and "fixed_params" not in trial.system_attrs
        has_moves = self._limits is not None or (
            self._moves != 1 and not _compat.draws_are_given(self._base_sampler)
        )
        trial_id = _compat.trial_id_of(trial)
        self._hand_over[trial_id] = None
        if not is_warmup and not has_moves:
            return self._base_sampler.infer_relative_search_space(study, trial)
        started = time.perf_counter()
        snapshot = Snapshot(study, trial)
        space = self._base_sampler.infer_relative_search_space(
            StudyView(snapshot),  # type: ignore[arg-type]
            trial,
        )
        proposal = self._from_warmup(snapshot, space) if is_warmup else None
        if proposal is None and has_moves:
            proposal = self._from_moves(snapshot, space)
        if proposal is None:
            return space
        self._record(study, trial, proposal, time.perf_counter() - started)
        architecture = proposal.candidate
        params = {**proposal.draw.relative, **(architecture.params if architecture else {})}
        distributions = {**space, **(architecture.distributions if architecture else {})}
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
        relative = self._base_sampler.sample_relative(study, trial, search_space)
        if was_asked:
            return relative
        return relative | {
            name: self._base_sampler.sample_independent(study, trial, name, distribution)
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
        return self._base_sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Score a trial that came without scores, so that all trials can be compared."""
        if state in (TrialState.COMPLETE, TrialState.PRUNED):
            self._score_afterwards(study, trial)
        self._hand_over.pop(_compat.trial_id_of(trial), None)
        self._base_sampler.after_trial(study, trial, state, values)

    def explain(self, study: Study) -> str:
        """Return in words what the scores were worth so far in ``study``.

        Which of them go with the objective and how sure that is; with the ranking
        :class:`~optuna_zerocost.Learned` also which of them helped, since which trial, and what
        would have been chosen without them. With several objectives, for the first.
        """
        history = self._history(study, study.get_trials(deepcopy=False))
        return explain(self._ranking, history, measured=self._measured)

    def _history(self, study: Study, trials: Sequence[FrozenTrial]) -> History:
        return History(
            trials=[trial for trial in trials if trial.state.is_finished()],
            directions=tuple(study.directions),
            running=[trial for trial in trials if trial.state == TrialState.RUNNING],
            score_directions=score_directions_of(self._scorer),
        )

    def _from_warmup(
        self, snapshot: Snapshot, space: dict[str, BaseDistribution]
    ) -> _Proposal | None:
        """Take the best architecture of the pool that no other trial has, or will take."""
        pool = self._pool(snapshot.study, snapshot.trial)
        if not pool.candidates:
            # Where all is outside of the limits, the base sampler may find something within.
            if not pool.outside:
                self._warn_no_candidate("warmup", pool.rejected, pool.reason)
            return None
        # The pool may have taken a while; other trials have finished meanwhile.
        snapshot = Snapshot(snapshot.study, snapshot.trial)
        order = self._order(pool.candidates, snapshot)
        ordered = [pool.candidates[index] for index in order]
        with self._lock:
            candidate = claim_best(snapshot.study, snapshot.trial, ordered)
        if candidate is None:
            return None
        # The base sampler is asked as well: its attributes make the trial part of its history, and
        # the parameters outside of the architecture are its own.
        draw = draw_relative(self._base_sampler, snapshot, space)
        return _Proposal(
            "warmup",
            candidate,
            draw,
            len(pool.candidates),
            pool.rejected + pool.outside,
            pool.feasible if self._limits is not None else None,
            is_claimed=True,
        )

    def _order(self, candidates: Sequence[Candidate], snapshot: Snapshot) -> list[int]:
        history = self._history(snapshot.study, snapshot.other_trials)
        return best_first(self._ranking, candidates, history, measured=self._measured)

    def _pool(self, study: Study, trial: FrozenTrial) -> Pool:
        assert self._warmup is not None
        source = PoolSource(
            study,
            self._scorer,
            self._warmup,
            fixed=_compat.fixed_parameters(self._base_sampler),
            seed=self._seed,
        )
        # The threads of one process score one pool after the other: they would share its cores.
        with self._lock:
            key = source.key()
            if key not in self._pools:
                started = time.perf_counter()
                pool = self._pools[key] = source.get(worker=trial.number)
                if remember := getattr(self._scorer, "remember", None):
                    remember(pool.candidates)
                self._log_rejections([pool.reason])
                _logger.info(
                    f"The warmup's pool has {len(pool.candidates)} architectures; "
                    f"{pool.rejected + pool.outside} of {pool.draws} draws were rejected. It took "
                    f"{time.perf_counter() - started:.1f} s."
                )
            return self._pools[key]

    def _from_moves(self, snapshot: Snapshot, space: dict[str, BaseDistribution]) -> _Proposal:
        """Take the best of many candidates, or now and then a random one."""
        rng = self._generator(snapshot)
        known = KnownArchitectures(snapshot.other_trials)
        arguments = (self._base_sampler, self._scorer, snapshot, space, known)
        enough = 1 if isinstance(self._ranking, AsDrawn) else None
        neighbours = Draws()
        if self._moves == "neighbours":
            mutations = mutations_of_parent(self._base_sampler, snapshot, rng)
            if mutations is not None:
                neighbours = draw_neighbours(*arguments, mutations=mutations, enough=enough)
        draws = neighbours
        if not neighbours.new:
            count = _DEFAULT_MOVES if self._moves == "neighbours" else self._moves
            if _compat.draws_are_given(self._base_sampler):
                count = 1
            draws = draw_candidates(
                *arguments,
                count=count,
                enough=enough,
                rng=self._generator(snapshot, ";draws"),
            )
            draws.add_failures(neighbours)
        rejected = len(draws.rejected) + len(draws.outside)
        self._log_rejections(draws.reasons)
        candidates = [candidate for candidate, _ in draws.new]
        feasible = self._feasible_share(draws)
        notes = {"origin": "random"} if draws.are_random else {}
        if candidates and rng.random() < self._random_share:
            drawn = rng.choice(draws.new)
            return _Proposal(
                "random",
                *drawn,
                len(draws.new),
                rejected,
                feasible,
                considered=candidates,
                notes=notes,
            )
        if isinstance(self._ranking, Learned):
            learned = self._from_learned(self._ranking, snapshot, space, known, draws)
            if learned is not None:
                return learned
        if candidates:
            best = self._order(candidates, snapshot)[0]
            return _Proposal(
                "move",
                *draws.new[best],
                len(draws.new),
                rejected,
                feasible,
                considered=candidates,
                notes=notes,
            )
        if draws.repeated:
            draw = draws.repeated[0]
            return _Proposal("base", draw.candidate, draw, 0, rejected, feasible)
        if draws.outside:
            return self._from_outside(snapshot, draws.outside, known, rejected)
        self._warn_no_candidate("move proposal", rejected, draws.reasons[0])
        return _Proposal("base", None, draws.rejected[0], 0, rejected)

    def _feasible_share(self, draws: Draws, *, within: int = 0, outside: int = 0) -> float | None:
        """Return the share of the draws within the limits, and of others; ``None`` without any."""
        inside = draws.within + within
        known = inside + len(draws.outside) + outside
        return inside / known if self._limits is not None and known else None

    def _from_outside(
        self,
        snapshot: Snapshot,
        outside: Sequence[Outside],
        known: KnownArchitectures,
        rejected: int,
    ) -> _Proposal:
        """Take what is least outside of the limits, where nothing is within; warn once."""
        pairs = [(item.candidate, item.violation) for item in outside]
        taken = outside[least_violating(pairs, known)]
        if self._limits is not None and "limits" not in self._logged:
            self._logged.add("limits")
            message = nothing_feasible(
                self._limits,
                taken.candidate,
                taken.violation,
                number=snapshot.trial.number,
                draws=len(outside),
                trials=snapshot.other_trials,
            )
            warnings.warn(message, stacklevel=2)
        return _Proposal(
            "base", taken.candidate, taken.draw, 0, rejected, 0.0, violation=taken.violation
        )

    def _generator(self, snapshot: Snapshot, purpose: str = "") -> random.Random:
        """Return a generator for the choices about one trial, which another worker would share."""
        seed = snapshot.study.study_name if self._seed is None else self._seed
        return random.Random(f"{seed};{snapshot.trial.number}{purpose}")

    def _from_learned(
        self,
        ranking: Learned,
        snapshot: Snapshot,
        space: dict[str, BaseDistribution],
        known: KnownArchitectures,
        draws: Draws,
    ) -> _Proposal | None:
        """Take the best of the draws and of candidates from elsewhere, if there is one."""
        enqueued = snapshot.system_attrs.get("fixed_params", {})
        with_pool = self._warmup is not None and ranking.sources.pool and not enqueued
        history = self._history(snapshot.study, snapshot.other_trials)
        widened = widen(
            ranking,
            self._scorer,
            history,
            pool=self._pool(snapshot.study, snapshot.trial).candidates if with_pool else [],
            known=known,
            drawn=[candidate for candidate, _ in draws.new],
            fixed={**_compat.fixed_parameters(self._base_sampler), **enqueued},
            draws_left=self._limits.draws - draws.made if self._limits is not None else 0,
            rng=self._generator(snapshot),
        )
        self._log_rejections(widened.reasons)
        candidates = [c for c, _ in draws.new] + [c for c, _ in widened.found]
        if not candidates:
            return None
        drawn = "random" if draws.are_random else "base"
        origins = [drawn] * len(draws.new) + [origin for _, origin in widened.found]
        order = best_first(ranking, candidates, history)
        with self._lock:
            claimed = claim_best(snapshot.study, snapshot.trial, [candidates[i] for i in order])
        if claimed is None:
            return None
        chosen = next(i for i in order if candidates[i] is claimed)
        if chosen < len(draws.new):
            draw = draws.new[chosen][1]
        else:
            draw = draw_relative(self._base_sampler, snapshot, space)
        notes = {"origin": origins[chosen], **ranking.notes(candidates, history, chosen)}
        return _Proposal(
            "move",
            claimed,
            draw,
            len(candidates),
            len(draws.rejected) + len(draws.outside) + len(widened.reasons) + widened.outside,
            self._feasible_share(draws, within=widened.within, outside=widened.outside),
            considered=candidates,
            notes=notes,
            is_claimed=True,
        )

    def _record(
        self, study: Study, trial: FrozenTrial, proposal: _Proposal, seconds: float
    ) -> None:
        """Store the choice at once, then what the base sampler wrote and what users look at."""
        storage, trial_id = _compat.storage_of(study), _compat.trial_id_of(trial)

        def set_system_attr(key: str, value: Any) -> None:
            storage.set_trial_system_attr(trial_id, key, value)

        if proposal.candidate is not None and not proposal.is_claimed:
            choose(study, trial, proposal.candidate)
        for key, value in proposal.draw.written.items():
            set_system_attr(key, value)
        if proposal.considered:
            names = getattr(self._ranking, "names", ())
            store_considered(set_system_attr, proposal.considered, names)
        attributes = {
            **(proposal.candidate.scores if proposal.candidate else {}),
            "source": proposal.source,
            "candidates": proposal.candidates,
            "rejected": proposal.rejected,
            "seconds": seconds,
            **proposal.notes,
        }
        if proposal.feasible is not None:
            attributes["feasible"] = proposal.feasible
        if self._limits is not None:
            constrain(study, trial, proposal.violation)
        set_user_attributes(study, trial, attributes)

    def _score_afterwards(self, study: Study, trial: FrozenTrial) -> None:
        stored = _compat.storage_of(study).get_trial(_compat.trial_id_of(trial))
        if not stored.params:
            return
        attributes: dict[str, Any] = {}
        violation = 0.0
        started = time.perf_counter()
        # A pruner may have scored the trial already.
        if not stored_scores(stored.user_attrs):
            try:
                attributes |= self._scores_of_the_same(study, stored) or evaluate(
                    self._scorer, FixedTrial(stored.params)
                )
            except OutsideLimits as error:
                attributes |= error.measured
                violation = error.violation
            except (CandidateRejected, RepeatedArchitecture, TypeError, ValueError) as error:
                # The trial itself went well, and nothing depends on its scores.
                is_first = "unscored" not in self._logged
                self._logged.add("unscored")
                level = logging.WARNING if is_first else logging.DEBUG
                _logger.log(level, f"Trial {trial.number} has no scores: {error}")
            if attributes and self._limits is not None:
                constrain(study, trial, violation)
        if f"{PREFIX}source" not in stored.user_attrs:
            attributes["source"] = "enqueued" if "fixed_params" in stored.system_attrs else "base"
            attributes["seconds"] = time.perf_counter() - started
        set_user_attributes(study, trial, attributes)

    def _scores_of_the_same(self, study: Study, trial: FrozenTrial) -> dict[str, float]:
        """Return the scores of another trial of the same architecture; none if some are lacking.

        An architecture is repeated where nothing else was proposed.
        """
        key, names = chosen_key(trial), score_names_of(self._scorer)
        if key is None or names is None:
            return {}
        needed = [*names, *(name for name in self._measured if name not in names)]
        for other in _compat.all_trials(study):
            scores = stored_scores(other.user_attrs)
            is_scored = all(name in scores for name in needed)
            if is_scored and key in KnownArchitectures([other]):
                return {name: scores[name] for name in needed}
        return {}

    def _log_rejections(self, reasons: Sequence[str]) -> None:
        """Say once for each kind of reason that candidates are rejected; the rest is counted."""
        for reason in reasons:
            kind = reason.partition(":")[0]
            if reason and kind not in self._logged:
                self._logged.add(kind)
                _logger.warning(
                    f"A candidate was rejected because of {reason}. The search goes on without "
                    "it; further ones are counted in the trials' attribute 'zerocost:rejected'."
                )

    def _warn_no_candidate(self, where: str, rejected: int, reason: str) -> None:
        warnings.warn(
            f"All {rejected} candidates of the {where} were rejected, the first because of "
            f"{reason}. The base sampler's own suggestion is used instead. Call the scorer with "
            "optuna.trial.FixedTrial({...}) to see the whole error.",
            stacklevel=2,
        )
