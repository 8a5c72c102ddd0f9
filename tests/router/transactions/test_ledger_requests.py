"""router/transactions/ledger_requests.py and ledger_row.py: what may follow what in a row of the ledger."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from router.requests.update_item import UpdateItemRequest
from router.transactions import ledger_requests as asked
from router.transactions.ledger_row import TABLE_NAME, LedgerRow, State
from server.expressions.evaluation import compile_condition
from tests.router.transactions.rows import NOW_MS, Rows

ID, ONE, OTHER = b"i" * 16, b"1" * 16, b"2" * 16
KEYS = {"accounts": (b"a", b"b"), "log": (b"c",)}
KEPT_S = asked.KEPT_S


def begin(attempt: bytes = ONE, now_ms: int = NOW_MS) -> UpdateItemRequest:
    return asked.begin(ID, attempt, 7, b"hash", KEYS, now_ms)


def decide(is_committed: bool, attempt: bytes = ONE) -> UpdateItemRequest:
    return asked.decide(ID, attempt, is_committed=is_committed)


def close(is_committed: bool, attempt: bytes = ONE) -> UpdateItemRequest:
    return asked.close(ID, attempt, NOW_MS, is_committed=is_committed)


def refuse(is_over: bool, attempt: bytes = OTHER) -> UpdateItemRequest:
    return asked.refuse(ID, attempt, NOW_MS, is_over=is_over)


NOTHING: tuple[UpdateItemRequest, ...] = ()
PREPARING = (begin(),)
COMMITTED = (begin(), decide(True))
CANCELLED = (begin(), decide(False))
COMMITTED_DONE = (begin(), decide(True), close(True))
CANCELLED_DONE = (begin(), decide(False), close(False))
REFUSED = (refuse(True),)

AFTER = NOW_MS + (KEPT_S + 1) * 1000


@pytest.mark.parametrize(
    ("before", "request_", "is_taken"),
    [
        (NOTHING, begin(), True),
        (PREPARING, begin(OTHER), False),
        (COMMITTED, begin(OTHER), False),
        (CANCELLED, begin(OTHER), False),
        (CANCELLED_DONE, begin(OTHER), True),
        (COMMITTED_DONE, begin(OTHER), False),
        (COMMITTED_DONE, begin(OTHER, AFTER), True),
        (COMMITTED, begin(OTHER, AFTER), False),
        (REFUSED, begin(OTHER), False),
        (REFUSED, begin(ONE), True),
        ((*CANCELLED_DONE, refuse(True)), begin(OTHER), False),
        ((*REFUSED, *CANCELLED_DONE), begin(OTHER), False),
        (NOTHING, decide(True), False),
        (PREPARING, decide(True), True),
        (PREPARING, decide(False), True),
        (PREPARING, decide(True, OTHER), False),
        (COMMITTED, decide(False), False),
        (CANCELLED, decide(True), False),
        (REFUSED, decide(True, OTHER), False),
        (NOTHING, close(False), False),
        (PREPARING, close(True), False),
        (PREPARING, close(False), True),
        (COMMITTED, close(True), True),
        (COMMITTED, close(False), False),
        (CANCELLED, close(True), False),
        (CANCELLED, close(False), True),
        (COMMITTED, close(True, OTHER), False),
        (NOTHING, refuse(True), True),
        (NOTHING, refuse(True, ONE), True),
        (PREPARING, refuse(True), False),
        (PREPARING, refuse(False), True),
        (PREPARING, refuse(False, ONE), False),
        (COMMITTED, refuse(False), True),
        (COMMITTED_DONE, refuse(True), True),
        (COMMITTED_DONE, refuse(True, ONE), False),
        (REFUSED, refuse(True, ONE), True),
    ],
)
def test_what_may_follow(before: tuple[UpdateItemRequest, ...], request_: UpdateItemRequest, is_taken: bool) -> None:
    """And who loses learns what the row says."""
    rows = Rows()
    for each in before:
        assert rows.update(each)[0]
    row = rows.get(ID)
    assert rows.update(request_) == (is_taken, None if is_taken else row)


def test_a_row_says_what_was_begun() -> None:
    rows = Rows()
    rows.update(begin())
    assert rows.get(ID) == LedgerRow(ID, ONE, State.PREPARING, NOW_MS, b"hash", KEYS, False, frozenset())
    rows.update(decide(True))
    rows.update(refuse(False))
    rows.update(close(True))
    assert rows.get(ID) == LedgerRow(ID, ONE, State.COMMITTED, NOW_MS, b"hash", KEYS, True, frozenset({OTHER}))


def test_nothing_that_is_under_way_expires() -> None:
    """Nor does an attempt that begins where another one was."""
    rows = Rows()
    for request in (begin(), refuse(False), decide(False)):
        rows.update(request)
        assert rows.expires(ID) is None
    rows.update(close(False))
    assert rows.expires(ID) == NOW_MS // 1000 + KEPT_S
    rows.update(begin(b"3" * 16))
    row = rows.get(ID)
    assert row is not None and not row.is_done and rows.expires(ID) is None


def test_what_is_refused_is_kept() -> None:
    """Also beside an attempt that is done, whose row might expire before the one that may not begin is too old to."""
    rows = Rows()
    rows.update(refuse(True))
    assert rows.expires(ID) == NOW_MS // 1000 + KEPT_S
    rows = Rows()
    for request in COMMITTED_DONE:
        rows.update(request)
    rows.update(asked.refuse(ID, OTHER, NOW_MS + 5_000, is_over=True))
    assert rows.expires(ID) == NOW_MS // 1000 + 5 + KEPT_S


@pytest.mark.parametrize(
    ("before", "is_found"),
    [(PREPARING, True), (COMMITTED, True), (CANCELLED, True), (COMMITTED_DONE, False), (REFUSED, False)],
)
def test_what_is_looked_for_in_the_ledger(before: tuple[UpdateItemRequest, ...], is_found: bool) -> None:
    rows = Rows()
    for each in before:
        rows.update(each)
    matches: Callable[[int], bool] = lambda before_ms: _matches(rows, before_ms)  # noqa: E731
    assert matches(NOW_MS + 1) is is_found
    assert not matches(NOW_MS)


def _matches(rows: Rows, before_ms: int) -> bool:
    request = asked.unfinished(b"", 10, before_ms)
    assert request.filter is not None
    return compile_condition(request.filter.tree)(rows.items[ID], request.filter.values)


def test_a_slice_begins_anywhere() -> None:
    assert asked.unfinished(b"", 10, 0).start_key is None
    assert asked.unfinished(b"x", 10, 0).start_key == {"id": {"B": b"x"}}


def test_the_ledger_is_a_table_whose_rows_expire() -> None:
    assert asked.create().table_name == asked.expire().table_name == asked.read(ID).table_name == TABLE_NAME
    assert asked.create().is_protected
    assert asked.expire().attribute == "expires"
    assert asked.read(ID).is_consistent
