"""Records: what a study stores of candidates and choices, and how it is read back."""

from optuna_zerocost.records._attributes import (
    CONSTRAINT,
    PREFIX,
    RESERVED_NAMES,
    TRUST,
    is_score_name,
    read_json,
    set_user_attributes,
    write_json,
)
from optuna_zerocost.records._candidate import (
    ArchitectureKey,
    Candidate,
    History,
    architecture_key,
    sign_of,
)
from optuna_zerocost.records._considered import considered_scores, store_considered
from optuna_zerocost.records._fingerprint import described, fingerprint_of, qualified_name
from optuna_zerocost.records._known import (
    KnownArchitectures,
    choose,
    chosen_key,
    chosen_values,
    claim_best,
)
from optuna_zerocost.records._outcome import Outcome, finished_in_order, outcome_of
from optuna_zerocost.records._pool import (
    Pool,
    decode_pool,
    encode_pool,
    hashed,
    merged,
    pool_identity,
    pool_prefix,
    stored_pools,
)
from optuna_zerocost.records._stored_scores import stored_scores
from optuna_zerocost.records._tournament import tournament_winner

__all__ = [
    "ArchitectureKey",
    "CONSTRAINT",
    "Candidate",
    "History",
    "KnownArchitectures",
    "Outcome",
    "PREFIX",
    "Pool",
    "RESERVED_NAMES",
    "TRUST",
    "architecture_key",
    "choose",
    "chosen_key",
    "chosen_values",
    "claim_best",
    "considered_scores",
    "decode_pool",
    "described",
    "encode_pool",
    "fingerprint_of",
    "finished_in_order",
    "hashed",
    "is_score_name",
    "merged",
    "outcome_of",
    "pool_identity",
    "pool_prefix",
    "qualified_name",
    "read_json",
    "set_user_attributes",
    "sign_of",
    "store_considered",
    "stored_pools",
    "stored_scores",
    "tournament_winner",
    "write_json",
]
