"""router/transactions/known_tokens.py: the same name for something else is noticed, for a while."""

from __future__ import annotations

from router.transactions.known_tokens import KEPT_S, KnownTokens


def test_what_differs_is_noticed() -> None:
    tokens = KnownTokens()
    assert not tokens.differs(b"t", b"one", 0.0)
    tokens.note(b"t", b"one", 0.0)
    assert not tokens.differs(b"t", b"one", 1.0)
    assert tokens.differs(b"t", b"other", 1.0)
    assert not tokens.differs(b"u", b"other", 1.0)


def test_the_time_counts_from_the_first_time() -> None:
    """And begins anew where something else was carried out under the name, as the ledger may allow."""
    tokens = KnownTokens()
    tokens.note(b"t", b"one", 0.0)
    tokens.note(b"t", b"one", KEPT_S - 1)
    assert tokens.differs(b"t", b"other", KEPT_S - 1)
    assert not tokens.differs(b"t", b"other", KEPT_S)
    tokens.note(b"t", b"one", 0.0)
    tokens.note(b"t", b"other", 1.0)
    assert not tokens.differs(b"t", b"other", KEPT_S)
    assert tokens.differs(b"t", b"one", KEPT_S)


def test_the_oldest_is_forgotten_first() -> None:
    tokens = KnownTokens(tokens_max=2)
    for name in (b"a", b"b", b"c"):
        tokens.note(name, b"one", 0.0)
    assert [tokens.differs(name, b"other", 0.0) for name in (b"a", b"b", b"c")] == [False, True, True]
