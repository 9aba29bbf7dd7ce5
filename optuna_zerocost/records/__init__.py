"""Records: what a study stores of candidates and choices, and how it is read back."""

from optuna_zerocost.records._attributes import (
    ATTRIBUTES,
    CONSTRAINT,
    HIDDEN_ATTRIBUTES,
    NETWORK,
    PREFIX,
    RESERVED_NAMES,
    TRAINED,
    TRUST,
    is_score_name,
    set_user_attributes,
    stored_scores,
)
from optuna_zerocost.records._candidate import (
    ArchitectureKey,
    Candidate,
    History,
    agree,
    architecture_key,
)
from optuna_zerocost.records._choices import architecture_of, choose, chosen_key, claim_best
from optuna_zerocost.records._considered import considered_scores, store_considered
from optuna_zerocost.records._digest import digest_of, first_digest_of, name_of, without_address
from optuna_zerocost.records._fingerprint import digested, fingerprint_of
from optuna_zerocost.records._known import KnownArchitectures, chosen_values
from optuna_zerocost.records._oriented_scores import oriented_scores, parse_name
from optuna_zerocost.records._pool import (
    Piece,
    Pool,
    PoolStore,
    Reject,
    hashed,
    merged,
    stored_pools,
)
from optuna_zerocost.records._scored_by import (
    ScoredBy,
    comparable,
    is_scored_by,
    mark,
    other_scorers,
    scored_by,
)
from optuna_zerocost.records._trial_order import (
    Outcome,
    Relation,
    finished_in_order,
    outcome_of,
    relation_of,
    sign_of,
    tournament_winner,
)

__all__ = [
    "ATTRIBUTES",
    "CONSTRAINT",
    "HIDDEN_ATTRIBUTES",
    "PREFIX",
    "RESERVED_NAMES",
    "TRUST",
    "ArchitectureKey",
    "Candidate",
    "History",
    "NETWORK",
    "TRAINED",
    "KnownArchitectures",
    "Outcome",
    "Piece",
    "Pool",
    "PoolStore",
    "Reject",
    "Relation",
    "ScoredBy",
    "agree",
    "architecture_key",
    "architecture_of",
    "choose",
    "chosen_key",
    "chosen_values",
    "claim_best",
    "considered_scores",
    "comparable",
    "digest_of",
    "digested",
    "fingerprint_of",
    "finished_in_order",
    "first_digest_of",
    "hashed",
    "is_score_name",
    "is_scored_by",
    "mark",
    "merged",
    "name_of",
    "oriented_scores",
    "other_scorers",
    "outcome_of",
    "parse_name",
    "relation_of",
    "scored_by",
    "set_user_attributes",
    "sign_of",
    "store_considered",
    "stored_pools",
    "stored_scores",
    "tournament_winner",
    "without_address",
]
