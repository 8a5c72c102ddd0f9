"""What is found wrong with a bank."""

from __future__ import annotations

import random

import pytest
from stator.gameday.bank import Audit, Bank, Transfer
from stator.gameday.serializability import Fate

ACCOUNTS = [f"a{number}" for number in range(5)]
BANK = Bank(ACCOUNTS, 10)


def balances(**others: int | None) -> dict[str, int | None]:
    return {**dict.fromkeys(ACCOUNTS, 10), **others}


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (balances(), []),
        (balances(a0=0, a1=20), []),
        ({"a0": 50}, []),
        ({}, []),
        (balances(a0=9), ["it found 49 in 5 accounts, and all have 50"]),
        (balances(a0=11), ["it found 51 in 5 accounts, and all have 50"]),
        ({"a0": 40, "a1": 11}, ["it found 51 in 2 accounts, and all have 50"]),
        ({"a0": -1}, ["it found -1 in a0"]),
        (balances(a3=None), ["it found no account a3"]),
    ],
)
def test_an_audit(found: dict[str, int | None], wrong: list[str]) -> None:
    """Of all accounts, of some, of one."""
    assert BANK.wrong_audits([Audit("it", found)]) == wrong


def test_at_rest_balances_are_what_the_receipts_say() -> None:
    """Transfers of unknown fate may have been made or not."""
    rng = random.Random(1)
    found = dict.fromkeys(ACCOUNTS, 10)
    transfers, receipts = [], set()
    for number in range(200):
        source, target = rng.sample(ACCOUNTS, 2)
        transfer = Transfer(f"t{number}", source, target, rng.randint(1, 5))
        is_made = found[source] >= transfer.amount and rng.random() < 0.9
        transfer.fate = rng.choice((Fate.UNKNOWN, Fate.COMMITTED if is_made else Fate.ABORTED))
        transfers.append(transfer)
        if is_made:
            found[source] -= transfer.amount
            found[target] += transfer.amount
            receipts.add(transfer.name)
    assert BANK.wrong_at_rest(transfers, receipts, dict(found)) == []


ONE = Transfer("one", "a0", "a1", 4)


@pytest.mark.parametrize(
    ("fate", "receipts", "found", "wrong"),
    [
        (Fate.COMMITTED, {"one"}, balances(a0=6, a1=14), []),
        (Fate.COMMITTED, set(), balances(), ["one was acknowledged, and has left no receipt"]),
        (Fate.ABORTED, {"one"}, balances(a0=6, a1=14), ["one was refused, and has left a receipt"]),
        (
            Fate.COMMITTED,
            {"one"},
            balances(a0=2, a1=18),
            ["a0 has 2, and by its receipts 6", "a1 has 18, and by its receipts 14"],
        ),
        (
            Fate.UNKNOWN,
            {"one"},
            balances(a0=6),
            ["the end found 46 in 5 accounts, and all have 50", "a1 has 10, and by its receipts 14"],
        ),
        (Fate.UNKNOWN, {"two"}, balances(), ["two is a receipt of no transfer"]),
    ],
)
def test_what_is_wrong_at_rest(fate: Fate, receipts: set[str], found: dict[str, int | None], wrong: list[str]) -> None:
    """Lost, made twice, made in half, made although it was refused, made by nobody."""
    transfer = Transfer(ONE.name, ONE.source, ONE.target, ONE.amount, fate)
    assert BANK.wrong_at_rest([transfer], receipts, found) == wrong
