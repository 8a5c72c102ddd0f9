"""router/transactions/stamps.py: timestamps go on, and are later than what was heard of."""

from __future__ import annotations

from router.transactions.stamps import Stamps


def test_stamps_are_the_clock_s_and_never_the_same() -> None:
    stamps = Stamps()
    assert [stamps.take(100), stamps.take(100), stamps.take(50), stamps.take(200)] == [100, 101, 102, 200]


def test_a_stamp_is_later_than_all_that_were_heard_of() -> None:
    stamps = Stamps()
    stamps.heard(500)
    stamps.heard(300)
    assert stamps.take(100) == 501
