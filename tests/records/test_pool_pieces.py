"""Pieces of a pool come back as they were stored, those of earlier versions too."""

from __future__ import annotations

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optuna_zerocost.records import Candidate, Pool, Reject, merged
from optuna_zerocost.records._pool import _decode, _encode

SPACE: dict[str, BaseDistribution] = {
    "width": IntDistribution(1, 9),
    "rate": FloatDistribution(0.0, 1.0),
    "kind": CategoricalDistribution(("a", None, True)),
}
PARAMS = st.fixed_dictionaries(
    {"width": st.integers(1, 9)},
    optional={"rate": st.floats(0.0, 1.0), "kind": st.sampled_from(["a", None, True])},
)
SCORES = st.dictionaries(st.sampled_from(["x", "y"]), st.floats(-9, 9))
NETWORKS = st.none() | st.text("0123456789abcdef", min_size=1)


def candidate(
    params: dict[str, object], scores: dict[str, float], network: str | None
) -> Candidate:
    return Candidate(params, {name: SPACE[name] for name in params}, scores, network)


CANDIDATES = st.builds(candidate, PARAMS, SCORES, NETWORKS)
REJECTS = st.builds(lambda p, r: Reject(candidate(p, {}, None), r), PARAMS, st.text(max_size=9))
POOLS = st.builds(
    lambda candidates, rejects: Pool(candidates, len(rejects), "first", 99, 3, rejects),
    st.lists(CANDIDATES, max_size=5),
    st.lists(REJECTS, max_size=5),
)


@given(POOLS)
def test_what_was_stored_comes_back(pool: Pool) -> None:
    assert _decode(json.loads(json.dumps(_encode(pool))), (1, 100)) == pool


@given(POOLS)
def test_a_piece_of_an_earlier_version_lacks_some(pool: Pool) -> None:
    encoded = _encode(pool)
    for of_candidate in encoded["candidates"]:
        del of_candidate["network"]
    del encoded["outside"], encoded["rejects"]
    plain = [dataclasses.replace(one, network=None) for one in pool.candidates]
    expected = dataclasses.replace(pool, candidates=plain, outside=0, rejects=[])
    assert _decode(encoded, (1, 100)) == expected


@given(POOLS, POOLS)
def test_rejects_of_all_pieces_are_kept(one: Pool, other: Pool) -> None:
    assert merged([one, other]).rejects == [*one.rejects, *other.rejects]
