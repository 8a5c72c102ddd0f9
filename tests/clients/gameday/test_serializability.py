"""The search for what no order explains against the plainest one there is, and against histories of a known kind."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stator.gameday.linearizability import NEVER_NS
from stator.gameday.serializability import Anomaly, Fate, Transaction, Values, find_anomalies

KEYS = ("x", "y", "z")


def keeps_to_time(order: Sequence[Transaction]) -> bool:
    """Nothing comes after what began when it had ended, as far as that is asked: of what touches one list only where
    both touch it, but of a single write behind a transaction too."""
    return not any(
        later.fate is Fate.COMMITTED
        and later.returned_ns < NEVER_NS
        and later.returned_ns < op.invoked_ns
        and (len(op.keys) > 1 or later.keys & op.keys or (len(later.keys) > 1 and op.appends))
        for index, op in enumerate(order)
        for later in order[index + 1 :]
    )


def explains(order: Sequence[Transaction]) -> bool:
    """Whether every transaction finds what those before it left."""
    lists: dict[str, Values] = {}
    for transaction in order:
        if any(lists.get(key, ()) != values for key, values in transaction.reads.items()):
            return False
        for key, values in transaction.appends.items():
            lists[key] = lists.get(key, ()) + values
    return True


def is_serializable_by_hand(transactions: Sequence[Transaction], is_strict: bool) -> bool:
    """Every order of all that was committed with every subset of what nobody knows of."""
    committed = [each for each in transactions if each.fate is Fate.COMMITTED]
    unknown = [each for each in transactions if each.fate is Fate.UNKNOWN]
    return any(
        explains(order) and (not is_strict or keeps_to_time(order))
        for bits in range(1 << len(unknown))
        for order in permutations(committed + [each for index, each in enumerate(unknown) if bits >> index & 1])
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Transaction]:
    """Up to five transactions on two lists, played one after the other; then some of what they found is changed."""
    lists: dict[str, Values] = {"x": (), "y": ()}
    transactions: list[Transaction] = []
    for number in range(draw(st.integers(1, 5))):
        fate = draw(st.sampled_from([Fate.COMMITTED, Fate.COMMITTED, Fate.COMMITTED, Fate.UNKNOWN, Fate.ABORTED]))
        began, took = draw(st.integers(0, 9)), draw(st.integers(1, 9))
        transaction = Transaction(f"t{number}", fate, {}, {}, began, began + took)
        reads, appends = {}, {}
        for key in draw(st.sampled_from(["x", "y", "xy"])):
            if draw(st.booleans()):
                reads[key] = lists[key]
            if not reads or draw(st.booleans()):
                appends[key] = tuple(f"{number}{letter}" for letter in "ab"[: draw(st.integers(1, 2))])
        if fate is not Fate.ABORTED and draw(st.integers(0, 5)):
            lists |= {key: lists[key] + values for key, values in appends.items()}
        transactions.append(replace(transaction, reads=reads, appends=appends))
    return draw(st.permutations([_changed(draw, each) for each in transactions]))


def _changed(draw: st.DrawFn, transaction: Transaction) -> Transaction:
    """Mostly the same."""
    reads = dict(transaction.reads)
    for key, values in reads.items():
        change = draw(st.integers(0, 9))
        if change == 0:
            reads[key] = values[:-1]
        elif change == 1:
            reads[key] = (*values, draw(st.sampled_from(["0a", "1a", "1b", "2a", "3a"])))
        elif change == 2:
            reads[key] = values[1:] + values[:1]
    return replace(transaction, reads=reads)


@settings(max_examples=1_000, deadline=None)
@given(histories(), st.booleans())
def test_it_decides_as_trying_every_order_does(transactions: list[Transaction], is_strict: bool) -> None:
    """For small histories of any kind, with unknown and aborted transactions, serial or not."""
    findings = find_anomalies(transactions, is_strict=is_strict)
    assert (not findings) is is_serializable_by_hand(transactions, is_strict), findings


def told(*transactions: Transaction, is_strict: bool = False) -> list[tuple[Anomaly, str]]:
    return [(finding.anomaly, finding.text) for finding in find_anomalies(transactions, is_strict=is_strict)]


A = Transaction("A", appends={"x": ("a",), "y": ("a",)}, returned_ns=5)
B = Transaction("B", appends={"x": ("b",), "y": ("b",)}, invoked_ns=6)
EXAMPLES: list[tuple[list[Transaction], list[tuple[Anomaly, str]]]] = [
    (
        [Transaction("R", reads={"x": ("c",)})],
        [(Anomaly.INVENTED, "R found [c] in x: nobody appended c.")],
    ),
    (
        [A, Transaction("R", reads={"x": ("a", "a")})],
        [(Anomaly.DUPLICATE, "R found [a, a] in x: a value that was appended once is there twice.")],
    ),
    (
        [A, Transaction("C", reads={"x": ("a",)}, appends={"x": ("a2",)}), Transaction("R", reads={"x": ("a2",)})],
        [(Anomaly.DISORDER, "R found [a2] in x, and somebody else [a, a2]: neither begins with the other.")],
    ),
    (
        [Transaction("C", appends={"x": ("1", "2")}), A, Transaction("R", reads={"x": ("1", "a")})],
        [(Anomaly.TORN, "x is [1, a]: with 1 begins what is not [1, 2].")],
    ),
    (
        [replace(A, fate=Fate.ABORTED), Transaction("R", reads={"x": ("a",)})],
        [(Anomaly.G1A, "R found [a] in x: a is of A, which was aborted.")],
    ),
    (
        [Transaction("C", appends={"x": ("1", "2")}), Transaction("R", reads={"x": ("1",)})],
        [(Anomaly.G1B, "R found [1] in x, without what C appended behind 1.")],
    ),
    (
        [A, B, Transaction("R", reads={"x": ("a", "b")}), Transaction("S", reads={"y": ("b", "a")})],
        [(Anomaly.G0, "A appended to x before B; B appended to y before A.")],
    ),
    (
        [
            Transaction("C", reads={"x": ("d",)}, appends={"y": ("c",)}),
            Transaction("D", reads={"y": ("c",)}, appends={"x": ("d",)}),
        ],
        [(Anomaly.G1C, "D read in y what C appended; C read in x what D appended.")],
    ),
    (
        [A, Transaction("R", reads={"x": ("a",), "y": ()})],
        [(Anomaly.G_SINGLE, "R read in x what A appended; R read y without what A appended.")],
    ),
    (
        [
            Transaction("C", reads={"x": ()}, appends={"y": ("c",)}),
            Transaction("D", reads={"y": ()}, appends={"x": ("d",)}),
        ],
        [(Anomaly.G2, "C read x without what D appended; D read y without what C appended.")],
    ),
]


@pytest.mark.parametrize(("transactions", "expected"), EXAMPLES, ids=[found[0][0].name for _, found in EXAMPLES])
def test_each_anomaly_is_told_in_full(transactions: list[Transaction], expected: list[tuple[Anomaly, str]]) -> None:
    """In a sentence that names who saw what of whom."""
    assert told(*transactions) == expected


def test_what_was_acknowledged_has_to_be_there_for_who_comes_later() -> None:
    """If time counts."""
    reader = Transaction("R", reads={"x": ()}, invoked_ns=6)
    assert told(A, reader) == []
    assert told(A, reader, is_strict=True) == [
        (Anomaly.REALTIME, "A had ended before R began; R read x without what A appended.")
    ]


def test_a_transaction_comes_behind_single_writes_that_had_ended() -> None:
    """Whatever else it touches."""
    single = Transaction("S", appends={"x": ("s",)}, returned_ns=5)
    reader = Transaction("R", reads={"x": (), "y": ()}, invoked_ns=6)
    assert told(single, reader, is_strict=True) == [
        (Anomaly.REALTIME, "S had ended before R began; R read x without what S appended.")
    ]


def test_single_reads_are_not_held_to_what_was_seen_elsewhere() -> None:
    """While a transaction becomes visible, list by list; to what was seen on their own list they are."""
    late = Transaction("L", fate=Fate.UNKNOWN, appends={"x": ("l",), "y": ("l",)})
    first = Transaction("first", reads={"x": ("l",)}, invoked_ns=1, returned_ns=2)
    second = Transaction("second", reads={"y": ()}, invoked_ns=3, returned_ns=4)
    end = Transaction("end", reads={"y": ("l",)}, invoked_ns=5, returned_ns=6)
    assert told(late, first, second, end, is_strict=True) == []
    assert told(late, replace(first, reads={"x": ("l",), "z": ()}), second, end, is_strict=True) == []
    held = replace(second, reads={}, appends={"y": ("s",)})
    wrote = replace(end, reads={"y": ("s", "l")})
    assert told(late, replace(first, reads={"x": ("l",), "z": ()}), held, wrote, is_strict=True) == [
        (
            Anomaly.REALTIME,
            "first read in x what L appended; first had ended before second began; second appended to y before L.",
        ),
    ]
    assert told(late, first, replace(second, reads={"x": ()}), is_strict=True) == [
        (
            Anomaly.REALTIME,
            "first read in x what L appended; first had ended before second began; second read x without what L "
            "appended.",
        ),
    ]


def played(seed: int, count: int, clients: int = 8) -> list[Transaction]:
    """What clients are told by lists on which every transaction takes effect at one moment of its time; of 4 % they are
    told nothing, and 8 % are refused. In the end everything is read."""
    rng = random.Random(seed)
    free_ns = [0] * clients
    planned = []
    for number in range(count):
        client = min(range(clients), key=lambda each: free_ns[each])
        began_ns = free_ns[client] + rng.randrange(1, 50)
        ended_ns = began_ns + rng.randrange(2, 400)
        free_ns[client] = ended_ns
        planned.append((rng.randrange(began_ns, ended_ns), number, began_ns, ended_ns))
    lists: dict[str, Values] = {}
    transactions = []
    for _, number, began_ns, ended_ns in sorted(planned):
        keys = [f"k{number // 600}.{each}" for each in rng.sample(range(6), rng.randint(1, 3))]
        reads = {key: lists.get(key, ()) for key in keys if rng.random() < 0.6}
        appends = {key: (f"{number}.0", f"{number}.1") for key in keys if key not in reads or rng.random() < 0.5}
        fate = Fate.UNKNOWN if (roll := rng.random()) < 0.04 else Fate.ABORTED if roll < 0.12 else Fate.COMMITTED
        transactions.append(Transaction(f"t{number}", fate, reads, appends, began_ns, ended_ns))
        if fate is Fate.COMMITTED or (fate is Fate.UNKNOWN and rng.random() < 0.5):
            lists |= {key: lists.get(key, ()) + values for key, values in appends.items()}
    end_ns = max(free_ns) + 1
    transactions += [Transaction(f"end {key}", reads={key: lists[key]}, invoked_ns=end_ns) for key in lists]
    return transactions


@pytest.mark.parametrize("seed", range(20))
def test_what_really_happened_in_some_order_is_never_blamed(seed: int) -> None:
    """However the calls overlap."""
    assert not find_anomalies(played(seed, 400), is_strict=True)


def _lose_an_append(transactions: list[Transaction], at: int) -> None:
    """A list that was acknowledged to be longer, is not."""
    victim = next(each for each in transactions[at:] if each.fate is Fate.COMMITTED and not each.reads)
    for each in transactions:
        for key in victim.appends:
            if key in each.reads:
                kept = tuple(value for value in each.reads[key] if value not in victim.appends[key])
                each.reads = {**each.reads, key: kept}


def _read_too_little(transactions: list[Transaction], at: int) -> None:
    """One of several lists is read as it was before another transaction wrote several."""
    seen = {(key, values[-1]): each for each in transactions for key, values in each.appends.items()}
    for each in transactions[at:]:
        for key, values in each.reads.items():
            writer = seen.get((key, values[-1])) if values else None
            shared = [other for other in each.reads if writer is not None and other in writer.appends and other != key]
            if writer is not None and each.fate is Fate.COMMITTED and shared and each is not writer:
                each.reads = {**each.reads, key: values[: -len(writer.appends[key])]}
                return
    raise AssertionError("there is none")


def _see_what_was_aborted(transactions: list[Transaction], at: int) -> None:
    victim = next(each for each in transactions[:at] if each.fate is Fate.COMMITTED and each.appends)
    victim.fate = Fate.ABORTED


def _append_again(transactions: list[Transaction], at: int) -> None:
    """What was sent twice is carried out twice."""
    reader = next(each for each in transactions if each.name.startswith("end"))
    ((key, values),) = reader.reads.items()
    reader.reads = {key: values + values[-2:]}


MUTATIONS: dict[Callable[[list[Transaction], int], None], set[Anomaly]] = {
    _lose_an_append: {Anomaly.REALTIME},
    _read_too_little: {Anomaly.G_SINGLE},
    _see_what_was_aborted: {Anomaly.G1A},
    _append_again: {Anomaly.DUPLICATE},
}


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("seed", range(10))
def test_what_is_broken_afterwards_is_found(seed: int, mutation: Callable[[list[Transaction], int], None]) -> None:
    """One thing in a history of hundreds of transactions, and it is called what it is."""
    transactions = played(seed, 400)
    mutation(transactions, 200)
    found = {finding.anomaly for finding in find_anomalies(transactions, is_strict=True)}
    assert found & MUTATIONS[mutation], found


def test_time_does_not_grow_faster_than_the_history() -> None:
    """Eight times the transactions take about eight times as long, not 64 times."""
    took_s = []
    for count in (2_000, 16_000):
        transactions = played(1, count)
        began = time.process_time()
        assert not find_anomalies(transactions, is_strict=True)
        took_s.append(time.process_time() - began)
    print(f"2,000 transactions {took_s[0]:.2f} s, 16,000 {took_s[1]:.2f} s")
    assert took_s[1] < took_s[0] * 24
