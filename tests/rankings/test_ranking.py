"""Rankings: equal to naive twins, invariant under what must not matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import create_trial

from optuna_zerocost import ByScore, Candidate, History, Pareto, Ranking, RankSum, Vote
from optuna_zerocost.rankings import OnlyScore, as_ranking, best_first

HISTORY = History()
# Few distinct values, so that ties are common.
VALUES = st.integers(min_value=-3, max_value=3).map(float)
TABLES = st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=12)
NAMES = ("a", "b", "c")


def candidates(table: list[tuple[float, ...]]) -> list[Candidate]:
    return [Candidate({}, {}, dict(zip(NAMES, row, strict=True))) for row in table]


def naive_vote(table: list[tuple[float, ...]]) -> list[int]:
    """The number of pairs won minus lost, one pair at a time."""

    def net(i: int) -> int:
        total = 0
        for j in range(len(table)):
            prefer_i = sum(x > y for x, y in zip(table[i], table[j], strict=True))
            prefer_j = sum(x < y for x, y in zip(table[i], table[j], strict=True))
            total += (prefer_i > prefer_j) - (prefer_i < prefer_j)
        return total

    return [net(i) for i in range(len(table))]


def naive_rank_sum(table: list[tuple[float, ...]]) -> list[float]:
    def rank(column: list[float], value: float) -> float:
        below, equal = sum(v < value for v in column), sum(v == value for v in column)
        return below + (equal + 1) / 2

    columns = list(zip(*table, strict=True))
    return [
        sum(math.log(rank(list(c), v) / len(table)) for c, v in zip(columns, row, strict=True))
        for row in table
    ]


def is_falling(values: list[float]) -> bool:
    return all(x >= y - 1e-9 for x, y in zip(values, values[1:], strict=False))


@given(TABLES)
def test_by_score_sorts_and_keeps_the_order_of_equal_ones(table: Any) -> None:
    order = ByScore("b")(candidates(table), HISTORY)
    assert order == sorted(range(len(table)), key=lambda i: -table[i][1])


@given(TABLES)
def test_vote_equals_counting_pair_by_pair(table: Any) -> None:
    order = Vote(*NAMES)(candidates(table), HISTORY)
    merits = naive_vote(table)
    assert sorted(order) == list(range(len(table)))
    assert is_falling([merits[i] for i in order])


@given(TABLES)
def test_rank_sum_equals_the_formula(table: Any) -> None:
    order = RankSum(*NAMES)(candidates(table), HISTORY)
    merits = naive_rank_sum(table)
    assert sorted(order) == list(range(len(table)))
    assert is_falling([merits[i] for i in order])


@given(TABLES)
@pytest.mark.parametrize(
    "ranking", [Vote(*NAMES), RankSum(*NAMES), Pareto(*NAMES), ByScore("a")], ids=repr
)
def test_only_the_order_of_scores_matters(ranking: Ranking, table: Any) -> None:
    """synflow spans sixty powers of ten; a monotone map of a score changes no ranking."""
    stretched = [(math.exp(20 * a), b**3, c / 1e30) for a, b, c in table]
    assert ranking(candidates(table), HISTORY) == ranking(candidates(stretched), HISTORY)


@given(TABLES)
@pytest.mark.parametrize("kind", [Vote, RankSum, Pareto])
def test_a_minus_sign_equals_a_negated_score(kind: Any, table: Any) -> None:
    negated = [(-a, b, c) for a, b, c in table]
    assert kind("-a", "b", "c")(candidates(table), HISTORY) == kind("a", "b", "c")(
        candidates(negated), HISTORY
    )


@given(TABLES)
def test_the_direction_of_a_score_counts_unless_a_sign_overrides_it(table: Any) -> None:
    low = History(score_directions={"a": "minimize"})
    assert ByScore("a")(candidates(table), low) == ByScore("-a")(candidates(table), HISTORY)
    assert ByScore("+a")(candidates(table), low) == ByScore("a")(candidates(table), HISTORY)


@given(st.permutations(range(6)))
def test_the_winner_does_not_depend_on_the_order_of_the_candidates(order: Any) -> None:
    table = [(float(i), float(i % 4), float(-i % 5)) for i in range(6)]
    for ranking in (Vote(*NAMES), RankSum(*NAMES), ByScore("a")):
        best = ranking(candidates(table), HISTORY)[0]
        shuffled = [table[i] for i in order]
        assert order[ranking(candidates(shuffled), HISTORY)[0]] == best


def test_majority_beats_sum_of_scores() -> None:
    """Two of three scores prefer the first, however strongly the third prefers the second."""
    table: list[tuple[float, ...]] = [(1.0, 1.0, -1e9), (0.0, 0.0, 1e9)]
    assert Vote(*NAMES)(candidates(table), HISTORY) == [0, 1]


@pytest.mark.parametrize(
    "ranking", [ByScore("x"), Vote("a", "x"), RankSum("-x", "a"), Pareto("a", "x")], ids=repr
)
def test_a_score_that_never_was_there_is_named_unless_the_scorer_is_known_to_have_it(
    ranking: Ranking,
) -> None:
    pool = candidates([(1.0, 2.0, 3.0), (2.0, 1.0, 0.0)])
    with pytest.raises(ValueError, match=r"'x'.*\['a', 'b', 'c'\]"):
        best_first(as_ranking(ranking, None), pool, HISTORY)
    seen = create_trial(value=0.0, user_attrs={"zerocost:x": 1.0})
    as_drawn_or_by_a = ([0, 1], [1, 0])
    for known in (["a", "x"], None):
        history = History(trials=[seen] if known is None else [])
        assert best_first(as_ranking(ranking, known), pool, history) in as_drawn_or_by_a
    nothing = [Candidate({}, {}, {})] * 2
    assert best_first(as_ranking(ranking, None), nothing, HISTORY) == [0, 1]
    assert not hasattr(ranking, "names_are_checked") or ranking.names_are_checked


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Vote("a"), "several scores"),
        (lambda: RankSum(), "several scores"),
        (lambda: Pareto("a"), "several scores"),
        (lambda: Vote("a", "-a"), "twice"),
        (lambda: ByScore(""), "names scores"),
        (lambda: ByScore("-"), "names scores"),
    ],
)
def test_wrong_rankings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_as_ranking() -> None:
    assert as_ranking("a", ["a", "b"]).names == ("a",)
    assert as_ranking(None, ["a"]).names == ("a",)
    assert isinstance(as_ranking(None, None), OnlyScore)
    with pytest.raises(ValueError, match="no ranking"):
        as_ranking(None, ["a", "b"])
    with pytest.raises(TypeError, match="Vote"):
        as_ranking(Vote, ["a", "b"])  # type: ignore[arg-type]


@given(TABLES, st.sets(st.integers(0, 11)))
def test_candidates_without_a_score_that_is_read_come_last(table: Any, lacking: set[int]) -> None:
    lacking &= set(range(len(table)))
    pool = [
        Candidate({}, {}, {"a": c.scores["a"]} if i in lacking else c.scores)
        for i, c in enumerate(candidates(table))
    ]
    whole = [i for i in range(len(table)) if i not in lacking]
    by_b = ByScore("b")([pool[i] for i in whole], HISTORY)
    assert best_first(ByScore("b"), pool, HISTORY) == [whole[i] for i in by_b] + sorted(lacking)
    assert best_first(ByScore("a"), pool, HISTORY) == ByScore("a")(pool, HISTORY)

    def own(candidates: Sequence[Candidate], history: History) -> list[int]:
        return sorted(range(len(candidates)), key=lambda i: -candidates[i].scores["b"])

    own.names = ("a", "b")  # type: ignore[attr-defined]
    order = best_first(as_ranking(own, ["a", "b"]), pool, HISTORY)
    assert order == [whole[i] for i in by_b] + sorted(lacking)


HOLES = st.lists(st.tuples(*[st.one_of(st.none(), VALUES)] * 3), min_size=1, max_size=12)


def with_holes(table: Any) -> list[Candidate]:
    rows = [{n: v for n, v in zip(NAMES, row, strict=True) if v is not None} for row in table]
    return [Candidate({}, {}, row) for row in rows]


@given(HOLES)
@pytest.mark.parametrize("kind", [Vote, RankSum, Pareto])
def test_what_lacks_some_scores_is_ranked_and_what_lacks_all_comes_last(
    kind: Any, table: Any
) -> None:
    order = best_first(kind(*NAMES), with_holes(table), HISTORY)
    empty = [i for i, row in enumerate(table) if row == (None,) * 3]
    assert order[len(table) - len(empty) :] == empty
    assert sorted(order) == list(range(len(table)))
    # A score that nobody has changes nothing.
    assert best_first(kind(*NAMES, "x"), with_holes(table), HISTORY) == order


@given(HOLES)
def test_rank_sum_is_the_mean_over_the_scores_that_there_are(table: Any) -> None:
    def merit(row: Any) -> float:
        parts = []
        for k, value in enumerate(row):
            if value is not None:
                column = [other[k] for other in table if other[k] is not None]
                rank = sum(v < value for v in column) + (column.count(value) + 1) / 2
                parts.append(math.log(rank / len(column)))
        return sum(parts) / len(parts) if parts else -math.inf

    order = best_first(RankSum(*NAMES), with_holes(table), HISTORY)
    assert is_falling([merit(table[i]) for i in order])


@given(HOLES)
def test_a_vote_is_over_the_scores_that_both_have(table: Any) -> None:
    def net(i: int) -> int:
        total = 0
        for other in table:
            pairs = [
                (x, y)
                for x, y in zip(table[i], other, strict=True)
                if x is not None and y is not None
            ]
            votes = sum(x > y for x, y in pairs) - sum(x < y for x, y in pairs)
            total += (votes > 0) - (votes < 0)
        return total

    order = best_first(Vote(*NAMES), with_holes(table), HISTORY)
    ranked = [i for i in order if table[i] != (None,) * 3]
    assert is_falling([net(i) for i in ranked])


@given(HOLES)
def test_a_missing_score_is_worse_than_any_in_a_front(table: Any) -> None:
    filled = candidates([tuple(-99.0 if v is None else v for v in row) for row in table])
    kept = [i for i, row in enumerate(table) if row != (None,) * 3]
    first = best_first(Pareto(*NAMES), with_holes(table), HISTORY)[:1]
    if kept:
        row = filled[first[0]].scores
        others = [filled[i].scores for i in kept]
        assert not any(
            all(o[n] >= row[n] for n in NAMES) and any(o[n] > row[n] for n in NAMES)
            for o in others
        )


@pytest.mark.parametrize("order", [[0], [0, 0], [0, 2], [1, 0, 2]])
def test_an_order_that_is_none_is_refused(order: list[int]) -> None:
    with pytest.raises(ValueError, match="each index from 0 to 1 once"):
        best_first(lambda c, h: order, candidates([(1.0, 2.0, 3.0)] * 2), HISTORY)


def test_a_function_is_described_alike_in_every_process() -> None:
    def as_drawn(candidates: Sequence[Candidate], history: History) -> list[int]:
        return list(range(len(candidates)))

    described = repr(as_ranking(as_drawn, None))
    assert "as_drawn" in described and "0x" not in described
