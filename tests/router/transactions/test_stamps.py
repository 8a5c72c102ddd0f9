"""router/transactions/stamps.py: timestamps go on, and are late enough where one was not."""

from __future__ import annotations

import pytest

from router.transactions.stamps import MARGIN_US, MARGIN_US_MAX, Stamps


def test_stamps_are_the_clock_s_and_never_the_same() -> None:
    stamps = Stamps()
    assert [stamps.take(100), stamps.take(100), stamps.take(50), stamps.take(200)] == [100, 101, 102, 200]


def test_a_clock_that_is_behind_stays_as_far_ahead_as_it_has_to() -> None:
    """Not only once: a partition's clock goes on as well."""
    stamps = Stamps()
    stamps.heard(500, 100)
    stamps.heard(300, 100)
    assert [stamps.take(100), stamps.take(1_000)] == [501, 1_401]
    stamps.heard(500, 1_000)
    assert stamps.take(2_000) == 2_401


@pytest.mark.parametrize(
    ("attempts", "margin_us"),
    [(0, 0), (1, MARGIN_US), (2, 2 * MARGIN_US), (4, 8 * MARGIN_US), (8, MARGIN_US_MAX), (1_000, MARGIN_US_MAX)],
)
def test_the_margin_grows(attempts: int, margin_us: int) -> None:
    assert Stamps().take(10, attempts) == 10 + margin_us
