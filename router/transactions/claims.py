"""What to make of an attempt that the ledger did not take, since it has another one under the same id (pure)."""

from __future__ import annotations

from enum import Enum, auto

from router.transactions.ledger_row import LedgerRow, State

RECOVERY_AGE_MS = 2_000
"""Of an attempt that is not done: then nobody may be at work on it any more. As old as a mark is when storage nodes ask
for somebody to see to it."""


class Claim(Enum):
    """What comes next."""

    AGAIN = auto()  # another attempt may begin, as things are now
    REPLAY = auto()  # it was carried out
    RECOVER = auto()  # the other attempt is to be ended, then it is seen
    IN_PROGRESS = auto()  # somebody is at work on it
    MISMATCH = auto()  # something else was asked for under the same name


def claim_of(row: LedgerRow | None, request_hash: bytes, now_ms: int) -> Claim:
    """`row`: as the ledger has it; None: that is not known. `request_hash`: of what is asked for now."""
    if row is None or not row.attempt:
        return Claim.AGAIN
    if row.state is State.CANCELLED and row.is_done:
        return Claim.AGAIN
    if row.request_hash != request_hash:
        return Claim.MISMATCH
    if row.state is State.COMMITTED and row.is_done:
        return Claim.REPLAY
    if row.state is State.PREPARING and now_ms - row.begun_ms < RECOVERY_AGE_MS:
        return Claim.IN_PROGRESS
    return Claim.RECOVER
