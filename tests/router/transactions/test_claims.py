"""router/transactions/claims.py: whoever sends a transaction again learns what became of it."""

from __future__ import annotations

import pytest

from router.transactions.claims import RECOVERY_AGE_MS, Claim, claim_of
from router.transactions.ledger_row import LedgerRow, State

NOW_MS = 10_000
ID, ONE = b"i", b"1"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (None, Claim.AGAIN),
        (LedgerRow(ID, refused=frozenset({ONE})), Claim.AGAIN),
        (LedgerRow(ID, ONE, State.PREPARING, NOW_MS, b"same"), Claim.IN_PROGRESS),
        (LedgerRow(ID, ONE, State.PREPARING, NOW_MS - RECOVERY_AGE_MS, b"same"), Claim.RECOVER),
        (LedgerRow(ID, ONE, State.PREPARING, NOW_MS, b"another"), Claim.MISMATCH),
        (LedgerRow(ID, ONE, State.COMMITTED, NOW_MS, b"same"), Claim.RECOVER),
        (LedgerRow(ID, ONE, State.COMMITTED, NOW_MS, b"same", is_done=True), Claim.REPLAY),
        (LedgerRow(ID, ONE, State.COMMITTED, NOW_MS, b"another", is_done=True), Claim.MISMATCH),
        (LedgerRow(ID, ONE, State.CANCELLED, NOW_MS, b"same"), Claim.RECOVER),
        (LedgerRow(ID, ONE, State.CANCELLED, NOW_MS, b"another", is_done=True), Claim.AGAIN),
    ],
)
def test_what_the_ledger_says_of_another_attempt(row: LedgerRow | None, expected: Claim) -> None:
    assert claim_of(row, b"same", NOW_MS) is expected
