"""A leader's part in transactions: marks, what becomes of them, all at once, and reads of one moment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import pytest
from statorpb import cluster_pb2, partition_pb2

from server.model.item import Item
from server.model.key_encoding import MARKS, PREFIX_BYTES, after_prefix, own_rows, prefix
from server.model.key_encoding import TRANSACTIONS as TRANSACTION_ROWS
from server.model.table import GlobalIndex, KeyAttribute
from server.runtime import clock
from server.wire import item_from_bytes, item_to_bytes
from storage_node import transactions
from storage_node.partition.feeds import Feed
from tests.storage_node.nodes import PARTITION, TABLE, NodeSet, RunningNode, delete, get, key, put, token, wait_until
from tests.storage_node.test_writes import details, row, stored

P = partition_pb2
Outcome = P.ItemOutcome
ACCEPTED, CONFLICT, LATE = Outcome.ACCEPTED, Outcome.CONFLICT, Outcome.LATE
STAMP_US = 1_800_000_000_000_000
_MARKS = prefix(TABLE, MARKS)


def puts(name: str, condition: str = "", values: dict[str, Any] | None = None, **fields: Any) -> P.TransactionItem:
    item = item_to_bytes(row(name, **fields.pop("numbers", {})))
    return P.TransactionItem(key=key(name), operation=P.PUT, item=item, write=details(condition, "", values, **fields))


def updates(name: str, text: str, values: dict[str, Any] | None = None, **fields: Any) -> P.TransactionItem:
    write = details("", text, values, **fields)
    return P.TransactionItem(key=key(name), operation=P.UPDATE, item=item_to_bytes(row(name)), write=write)


def deletes(name: str) -> P.TransactionItem:
    return P.TransactionItem(key=key(name), operation=P.DELETE)


def checks(name: str, condition: str, values: dict[str, Any] | None = None, **fields: Any) -> P.TransactionItem:
    write = details(condition, "", values, **fields)
    return P.TransactionItem(key=key(name), operation=P.GET, write=write)


class Attempt:
    """One attempt of a transaction, as a coordinator has it."""

    def __init__(self, *items: P.TransactionItem, stamp_us: int = STAMP_US, name: bytes = b"") -> None:
        self.items = items
        self.details = P.TransactionDetails(
            ledger_id=os.urandom(16),
            attempt=os.urandom(16),
            stamp_us=stamp_us,
            items=items,
            table_name="table-1",
            client_token=name,
            request_hash=blake2b(b"".join(each.SerializeToString() for each in items), digest_size=16).digest(),
        )

    def prepare(self) -> P.PartitionRequest:
        return self._request(P.PREPARE, token=token())

    def transact(self) -> P.PartitionRequest:
        return self._request(P.TRANSACT, token=token())

    def finish(self, *, is_committed: bool) -> P.PartitionRequest:
        request = self._request(P.FINISH)
        request.transaction.ClearField("items")
        request.transaction.items.extend(P.TransactionItem(key=each.key) for each in self.items)
        request.transaction.is_committed = is_committed
        return request

    def _request(self, operation: P.PartitionOperation.ValueType, **fields: Any) -> P.PartitionRequest:
        return P.PartitionRequest(
            id=7,
            operation=operation,
            partition_id=PARTITION,
            key=self.items[0].key,
            consistent=True,
            transaction=self.details,
            **fields,
        )


def reads(*names: str, since: int = 0) -> P.PartitionRequest:
    items = P.ItemsRead(items=[P.ItemRead(key=key(name)) for name in names], unchanged_since=since)
    return P.PartitionRequest(
        id=7, operation=P.READ_ITEMS, partition_id=PARTITION, key=key(names[0]), consistent=True, items=items
    )


async def codes(node: RunningNode, request: P.PartitionRequest) -> list[int]:
    """Why something was cancelled, item by item."""
    answer = await asyncio.wait_for(node.ask(request), 20)
    assert answer.status == P.CANCELLED
    return [each.code for each in answer.transaction.items]


def marked(node: RunningNode) -> set[bytes]:
    return set(node.node.replicas[PARTITION].transactions.marks)


async def test_what_is_prepared_is_carried_out_when_it_is_committed(one: NodeSet) -> None:
    """Puts, updates, deletions and checks; before that nothing shows, and afterwards the marks are gone."""
    leader = await one.found()
    assert await leader.status(put("u", item_to_bytes(row("u", n=1)))) == P.OK
    assert await leader.status(put("d", item_to_bytes(row("d", n=1)))) == P.OK
    attempt = Attempt(
        puts("p", "attribute_not_exists(pk)", numbers={"n": 7}),
        updates("u", "ADD n :n", {":n": 5}),
        deletes("d"),
        checks("c", "attribute_not_exists(pk)"),
    )
    assert await leader.status(attempt.prepare()) == P.OK
    assert marked(leader) == {key(name) for name in "pudc"}
    assert [await stored(leader, name) for name in "pud"] == [None, row("u", n=1), row("d", n=1)]
    assert await leader.status(attempt.finish(is_committed=True)) == P.OK
    assert [await stored(leader, name) for name in "pudc"] == [row("p", n=7), row("u", n=6), None, None]
    assert marked(leader) == set()
    assert await leader.status(attempt.finish(is_committed=True)) == P.OK, "as often as anybody likes"
    assert await leader.status(put("c", item_to_bytes(row("c")))) == P.OK


async def test_what_is_cancelled_leaves_nothing(one: NodeSet) -> None:
    leader = await one.found()
    attempt = Attempt(puts("a", numbers={"n": 1}), deletes("b"))
    assert await leader.status(attempt.prepare()) == P.OK
    other = Attempt(*attempt.items)
    assert await leader.status(other.finish(is_committed=True)) == P.OK, "marks of others are left alone"
    assert marked(leader) == {key("a"), key("b")}
    assert await leader.status(attempt.finish(is_committed=False)) == P.OK
    assert (marked(leader), await stored(leader, "a")) == (set(), None)
    assert await leader.status(attempt.finish(is_committed=True)) == P.OK, "nothing is carried out without a mark"
    assert await stored(leader, "a") is None


async def test_an_earlier_attempt_of_the_same_transaction_is_told_apart(one: NodeSet) -> None:
    """Of what stands in an item's way, since it may yet be carried out."""
    leader = await one.found()
    earlier, again, other = (Attempt(puts("a"), puts(name)) for name in "bcb")
    again.details.ledger_id = earlier.details.ledger_id
    assert await leader.status(earlier.prepare()) == P.OK
    for attempt, told in ((again, [(CONFLICT, True), (ACCEPTED, False)]), (other, [(CONFLICT, False)] * 2)):
        answer = await leader.ask(attempt.prepare())
        assert [(each.code, each.is_own) for each in answer.transaction.items] == told


async def test_why_items_are_not_prepared(one: NodeSet) -> None:
    """All of them are looked at; if one of them cannot be, none is marked."""
    leader = await one.found()
    assert await leader.status(put("a", item_to_bytes(row("a", n=1)))) == P.OK
    holder = Attempt(puts("held"))
    assert await leader.status(holder.prepare()) == P.OK
    attempt = Attempt(
        puts("free"),
        checks("a", "n > :n", {":n": 1}, returned_on_failure=True),
        checks("a2", "attribute_exists(pk)", returned_on_failure=True),
        puts("held"),
        updates("a3", "SET m = lacking + :n", {":n": 1}),
    )
    answer = await leader.ask(attempt.prepare())
    outcomes = answer.transaction.items
    failed, invalid = Outcome.CONDITION_FAILED, Outcome.INVALID
    assert [each.code for each in outcomes] == [ACCEPTED, failed, failed, CONFLICT, invalid]
    assert item_from_bytes(outcomes[1].item) == row("a", n=1)
    assert outcomes[2].item == b""
    assert "does not exist in the item" in outcomes[4].message
    assert marked(leader) == {key("held")}
    assert await codes(leader, Attempt(puts("x"), puts("held")).transact()) == [ACCEPTED, CONFLICT]
    assert await stored(leader, "x") is None


async def test_a_single_write_does_not_come_between(one: NodeSet) -> None:
    """Neither while the mark is on its way to the log, nor later; reads are never held up."""
    leader = await one.found()
    assert await leader.status(put("a", item_to_bytes(row("a", n=1)))) == P.OK
    attempt = Attempt(checks("a", "n = :n", {":n": 1}))
    preparing = leader.ask(attempt.prepare())
    for _ in range(2):
        for request in (
            put("a", b"{}"),
            delete("a"),
            put("a", item_to_bytes(row("a")), write=details("n = :n", values={":n": 1})),
        ):
            assert await leader.status(request) == P.TRANSACTION_CONFLICT
        assert await leader.status(get("a")) == P.OK
        assert (await preparing).status == P.OK
    assert await leader.status(put("b", item_to_bytes(row("b")))) == P.OK, "others are not concerned"
    assert await leader.status(attempt.finish(is_committed=False)) == P.OK
    assert await leader.status(put("a", item_to_bytes(row("a", n=2)))) == P.OK


async def test_a_prepare_that_is_repeated_is_answered_alike(one: NodeSet) -> None:
    leader = await one.found()
    request = Attempt(puts("a", measured=True)).prepare()
    first = leader.ask(request)
    second = leader.ask(request)
    answers = [await first, await second, await leader.ask(request)]
    assert [each.status for each in answers] == [P.OK] * 3
    assert all(each.transaction == answers[0].transaction for each in answers)
    assert answers[0].transaction.items[0].write.new_bytes > 0
    late = Attempt(puts("b")).prepare()
    late.age_ms = 9_000
    assert await leader.status(late) == P.TOO_OLD


async def test_timestamps_order_transactions(one: NodeSet) -> None:
    """A transaction is refused where an item was written at its time or later; it is told what would do."""
    leader = await one.found()
    first = Attempt(puts("a"), checks("b", "attribute_not_exists(pk)"))
    assert await leader.status(first.prepare()) == P.OK
    assert await leader.status(first.finish(is_committed=True)) == P.OK
    answer = await leader.ask(Attempt(puts("a"), puts("b"), puts("c")).prepare())
    assert [each.code for each in answer.transaction.items] == [LATE, LATE, ACCEPTED], "what was only checked as well"
    assert answer.transaction.stamp_us >= STAMP_US
    assert await codes(leader, Attempt(puts("a")).transact()) == [LATE]
    later = Attempt(puts("a"), stamp_us=answer.transaction.stamp_us + 1_000_000)
    assert await leader.status(later.transact()) == P.OK
    assert await leader.status(delete("a")) == P.OK
    same = Attempt(puts("a"), stamp_us=later.details.stamp_us)
    assert await codes(leader, same.prepare()) == [LATE], "a deletion counts too"


async def test_timestamps_outlive_a_restart(one: NodeSet) -> None:
    """What is not known item by item any more is taken to be as late as the partition's clock is."""
    leader = await one.found()
    assert await leader.status(Attempt(puts("a")).transact()) == P.OK
    await leader.node.checkpoint()
    held = Attempt(puts("held"), stamp_us=STAMP_US + 50_000_000)
    assert await leader.status(held.prepare()) == P.OK
    for _ in range(2):  # with what is in the log only, and with what is in the B-tree
        await leader.stop()
        await leader.start()
        await one.wait_for_leader()
        assert marked(leader) == {key("held")}
        assert await codes(leader, Attempt(puts("a"), puts("held")).prepare()) == [LATE, CONFLICT]
        await leader.node.checkpoint()
    assert await leader.status(held.finish(is_committed=True)) == P.OK
    assert await stored(leader, "held") == row("held")


async def test_what_is_written_while_nobody_asks_is_not_taken_to_be_older(one: NodeSet) -> None:
    """A minute after the last transaction nobody takes note any more; the next one has to be later than all since."""
    leader = await one.found()
    assert await leader.status(Attempt(puts("a")).transact()) == P.OK
    proposals = leader.node.replicas[PARTITION].proposals
    now_ms = proposals.now_ms() + 61_000
    proposals.now_ms = lambda: now_ms
    read_before = (await leader.ask(reads("b"))).items.slot
    now_ms += 61_000
    assert await leader.status(put("b", item_to_bytes(row("b")))) == P.OK
    assert len(leader.node.replicas[PARTITION].transactions.versions) == 0
    assert await codes(leader, Attempt(puts("b"), stamp_us=STAMP_US + 100_000_000).prepare()) == [LATE]
    now_ms += 61_000
    assert await leader.status(put("b", item_to_bytes(row("b", n=2)))) == P.OK
    (found,) = (await leader.ask(reads("b", since=read_before))).items.items
    assert found.code == P.ItemFound.CHANGED


async def test_all_at_once(one: NodeSet) -> None:
    leader = await one.found()
    assert await leader.status(put("a", item_to_bytes(row("a", n=5)))) == P.OK
    attempt = Attempt(
        updates("a", "SET n = n - :n", {":n": 3}, measured=True),
        puts("b", numbers={"n": 3}),
        checks("c", "attribute_not_exists(pk)"),
    )
    answer = await leader.ask(attempt.transact())
    assert answer.status == P.OK
    assert [bool(each.write.new_bytes) for each in answer.transaction.items] == [True, False, False]
    assert [await stored(leader, name) for name in "abc"] == [row("a", n=2), row("b", n=3), None]
    assert await codes(
        leader, Attempt(puts("d"), checks("a", "n > :n", {":n": 2}), stamp_us=STAMP_US + 10**9).transact()
    ) == [
        ACCEPTED,
        Outcome.CONDITION_FAILED,
    ]
    assert await stored(leader, "d") is None


async def test_a_name_given_again(one: NodeSet) -> None:
    """The same request is carried out once, whoever brings it; another one under its name is refused; after its time
    the name is free."""
    leader = await one.found()
    name = b"n" * 16
    add = updates("a", "ADD n :n", {":n": 1})
    both = [leader.ask(Attempt(add, name=name, stamp_us=STAMP_US + each).transact()) for each in (0, 1_000_000)]
    answers = [await each for each in both]
    assert [(each.status, each.transaction.is_replay) for each in answers] == [(P.OK, False), (P.OK, True)]
    assert await stored(leader, "a") == row("a", n=1)
    assert (
        await leader.status(Attempt(puts("b"), name=name, stamp_us=STAMP_US + 2_000_000).transact()) == P.TOKEN_MISMATCH
    )
    of_partition = leader.node.replicas[PARTITION].transactions
    rows = own_rows(TABLE, TRANSACTION_ROWS, PARTITION)
    of_partition.token_kept_ms = -1_000
    assert await leader.status(Attempt(puts("b"), name=name, stamp_us=STAMP_US + 10**9).transact()) == P.OK

    def kept() -> int:
        return len(list(leader.node._store.scan(rows, after_prefix(rows))))

    assert kept() == 2, "the clock and the name"
    await wait_until(lambda: kept() == 1)


async def test_reads_of_one_moment(one: NodeSet) -> None:
    """Items with the slot that they are read at; later, whether they are as they were."""
    leader = await one.found()
    assert await leader.status(put("a", item_to_bytes(row("a", n=1)))) == P.OK
    answer = await leader.ask(reads("a", "b"))
    Found = P.ItemFound  # noqa: N806
    assert [each.code for each in answer.items.items] == [Found.FOUND, Found.ABSENT]
    assert item_from_bytes(answer.items.items[0].item) == row("a", n=1)
    assert answer.items.items[0].item_bytes > 0
    slot = answer.items.slot

    async def compared() -> list[int]:
        return [each.code for each in (await leader.ask(reads("a", "b", since=slot))).items.items]

    assert await compared() == [Found.FOUND, Found.FOUND]
    assert await leader.status(put("other", item_to_bytes(row("other")))) == P.OK
    assert await compared() == [Found.FOUND, Found.FOUND]
    attempt = Attempt(puts("b"))
    assert await leader.status(attempt.prepare()) == P.OK
    assert await compared() == [Found.FOUND, Found.MARKED]
    assert [each.code for each in (await leader.ask(reads("a", "b"))).items.items] == [Found.FOUND, Found.MARKED]
    assert await leader.status(attempt.finish(is_committed=True)) == P.OK
    assert await compared() == [Found.FOUND, Found.CHANGED]
    assert await leader.status(delete("a")) == P.OK
    assert await compared() == [Found.CHANGED, Found.CHANGED]


async def test_for_how_long_items_have_been_as_they_are(one: NodeSet) -> None:
    """By the node's clock, a millisecond less than that shows; marks count, also those that came to nothing."""
    leader = await one.found()
    now_ms = clock.now_ms() + 50_000
    leader.node.replicas[PARTITION].proposals.now_ms = lambda: now_ms

    async def unchanged_ms() -> int:
        return (await leader.ask(reads("a", "b"))).items.unchanged_ms

    assert await leader.status(put("a", item_to_bytes(row("a")))) == P.OK
    assert await unchanged_ms() == 0
    now_ms += 100
    assert await leader.status(put("other", item_to_bytes(row("other")))) == P.OK
    assert await unchanged_ms() == 99
    attempt = Attempt(puts("b"))
    assert await leader.status(attempt.prepare()) == P.OK
    now_ms += 10
    assert await unchanged_ms() == 9
    assert await leader.status(attempt.finish(is_committed=False)) == P.OK
    now_ms += 5
    assert await unchanged_ms() == 4


async def test_marks_move_with_the_leadership(three: NodeSet) -> None:
    """They are in the log like everything else: who leads next knows them, and finishes them."""
    leader = await three.found()
    attempt = Attempt(puts("a", numbers={"n": 1}), puts("b", numbers={"n": 2}))
    assert (await three.do(attempt.prepare())).status == P.OK
    await leader.stop()
    successor = await three.wait_for_leader()
    assert successor is not leader
    assert await successor.status(put("a", b"{}")) == P.TRANSACTION_CONFLICT
    assert (await three.do(attempt.finish(is_committed=True))).status == P.OK
    assert [await stored(successor, name) for name in "ab"] == [row("a", n=1), row("b", n=2)]


async def test_a_mark_that_is_there_for_long_is_told_of(one: NodeSet) -> None:
    leader = await one.found()
    told: list[P.StaleMark] = []
    leader.node.nudges.add(told.extend)
    attempt = Attempt(puts("a"))
    assert await leader.status(attempt.prepare()) == P.OK
    leader.node.nudges.tell()
    assert told == [], "not at once"
    leader.node.replicas[PARTITION].transactions.stale_ms = -1_000
    leader.node.nudges.tell()
    expected = P.StaleMark(
        ledger_id=attempt.details.ledger_id, attempt=attempt.details.attempt, table_name="table-1", key=key("a")
    )
    assert told == [expected]
    assert await leader.status(attempt.finish(is_committed=False)) == P.OK
    leader.node.nudges.tell()
    assert told == [expected]


async def test_all_marks_are_told_of_in_turn(one: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that cannot be seen to do not hide others."""
    leader = await one.found()
    monkeypatch.setattr(transactions, "STALE_MAX", 2)
    assert await leader.status(Attempt(*[puts(name) for name in "abcde"]).prepare()) == P.OK
    of_partition = leader.node.replicas[PARTITION].transactions
    of_partition.stale_ms = -1_000
    told = [{mark.key for mark in of_partition.stale()} for _ in range(3)]
    assert [len(each) for each in told] == [2, 1, 2]
    assert set.union(*told) == {key(name) for name in "abcde"}


async def test_local_indexes_and_collections_follow(one: NodeSet) -> None:
    """Items of one collection in one transaction: its size is what all of them come to, at once or over marks."""
    index = cluster_pb2.LocalIndex(name="by-n", number=1, sort_key=cluster_pb2.KeyAttribute(name="n", type="N"))
    descriptor = one.descriptor()
    descriptor.sort_key.CopyFrom(cluster_pb2.KeyAttribute(name="sk", type="S"))
    descriptor.local_indexes.append(index)
    leader = await one.found(descriptor)

    def position(sort: str) -> bytes:
        return key("p") + sort.encode() + b"\0\0"

    def puts_sorted(sort: str, number: int) -> P.TransactionItem:
        item: Item = {"pk": {"S": "p"}, "sk": {"S": sort}, "n": {"N": str(number)}}
        return P.TransactionItem(
            key=position(sort), operation=P.PUT, item=item_to_bytes(item), write=P.WriteDetails(measured=True)
        )

    answer = await leader.ask(Attempt(puts_sorted("a", 1), puts_sorted("b", 2)).transact())
    sizes = [each.write.collection_bytes for each in answer.transaction.items]
    assert (answer.status, sizes[1]) == (P.OK, 2 * sizes[0])
    attempt = Attempt(puts_sorted("c", 3), puts_sorted("d", 4), stamp_us=STAMP_US + 10**9)
    answer = await leader.ask(attempt.prepare())
    assert [each.write.collection_bytes for each in answer.transaction.items] == [3 * sizes[0], 4 * sizes[0]]
    assert await leader.status(attempt.finish(is_committed=True)) == P.OK
    entries = list(leader.node._store.scan(prefix(TABLE, 1), prefix(TABLE, 2)))
    assert len(entries) == 4
    (collection,) = leader.node._store.scan(prefix(TABLE, 0xFFFF), after_prefix(prefix(TABLE, 0xFFFF)))
    assert int.from_bytes(collection[1], "big") == 4 * sizes[0]


async def test_what_is_checked_or_written_beside_is_as_late(one: NodeSet) -> None:
    """All items of a transaction that was done at once have its time; so has what is being written now."""
    leader = await one.found()
    attempt = Attempt(puts("a"), puts("b"), checks("c", "attribute_not_exists(pk)"))
    assert await leader.status(attempt.transact()) == P.OK
    assert await codes(leader, Attempt(puts("b"), puts("c"), puts("d")).prepare()) == [LATE, LATE, ACCEPTED]
    writing = leader.ask(put("d", item_to_bytes(row("d"))))
    assert await codes(leader, Attempt(puts("d")).prepare()) == [LATE]
    assert (await writing).status == P.OK


async def test_what_does_not_hold_is_said_of_late_items_too(one: NodeSet) -> None:
    """Beside a refusal for good, "late" would be told as if nothing were wrong with the item."""
    leader = await one.found()
    assert await leader.status(Attempt(puts("a"), puts("b")).transact()) == P.OK
    unborn = checks("a", "attribute_not_exists(pk)", returned_on_failure=True)
    attempt = Attempt(unborn, puts("b", "attribute_exists(pk)"))
    assert await codes(leader, attempt.prepare()) == [Outcome.CONDITION_FAILED, LATE]
    answer = await leader.ask(attempt.transact())
    assert [each.code for each in answer.transaction.items] == [Outcome.CONDITION_FAILED, LATE]
    assert item_from_bytes(answer.transaction.items[0].item) == row("a")


async def test_two_who_finish_at_once(one: NodeSet) -> None:
    """Whoever finds nothing left to do answers when the other's work is committed."""
    leader = await one.found()
    attempt = Attempt(puts("a"))
    assert await leader.status(attempt.prepare()) == P.OK
    first, second = (leader.ask(attempt.finish(is_committed=True)) for _ in range(2))
    assert not second.done()
    assert [(await each).status for each in (first, second)] == [P.OK, P.OK]
    assert await stored(leader, "a") == row("a")


async def test_how_much_fits(one: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much for one log entry is not done at once, but over marks; carried out in several entries."""
    leader = await one.found()

    def large(name: str, size: int) -> P.TransactionItem:
        item = item_to_bytes({"pk": {"S": name}, "v": {"B": bytes(size)}})
        return P.TransactionItem(key=key(name), operation=P.PUT, item=item)

    monkeypatch.setattr(transactions, "MUTATION_BYTES_MAX", 5_000)
    monkeypatch.setattr(transactions, "FINISHED_BYTES", 4_000)
    monkeypatch.setattr(transactions, "READ_BYTES_MAX", 6_000)
    attempt = Attempt(large("a", 3_000), large("b", 3_000), large("c", 3_000))
    assert await leader.status(attempt.transact()) == P.TOO_LARGE
    assert await codes(leader, Attempt(large("d", 6_000)).prepare()) == [Outcome.INVALID]
    together = Attempt(large("d", 3_000), large("e", 3_000)).prepare()
    assert await codes(leader, together) == [ACCEPTED, Outcome.INVALID]
    monkeypatch.setattr(transactions, "MUTATION_BYTES_MAX", 10_000)
    assert await leader.status(attempt.prepare()) == P.OK
    before = leader.node._store.applied_slot(PARTITION)
    assert await leader.status(attempt.finish(is_committed=True)) == P.OK
    assert leader.node._store.applied_slot(PARTITION) == before + 3
    found = (await leader.ask(reads("a", "b", "c"))).items.items
    assert [(each.item_bytes > 3_000, bool(each.item)) for each in found] == [
        (True, True),
        (True, False),
        (True, False),
    ]


@pytest.mark.parametrize(("data_bytes_max", "is_told"), [(9_000, [True, True]), (8_000, [True, False])])
async def test_what_is_stored_in_many_bytes_is_not_missing(
    one: NodeSet, monkeypatch: pytest.MonkeyPatch, data_bytes_max: int, is_told: list[bool]
) -> None:
    """What counts is an item's size by the rules; where no message has room for it, all of it is refused."""
    leader = await one.found()
    monkeypatch.setattr(transactions, "READ_BYTES_MAX", 3_000)
    monkeypatch.setattr(transactions, "READ_DATA_BYTES_MAX", data_bytes_max)
    for name in "ab":
        item = item_to_bytes({"pk": {"S": name}, "v": {"L": [{"S": ""}] * 1_000}})  # 1 kB by the rules
        assert await leader.status(put(name, item)) == P.OK
    found = (await leader.ask(reads("a", "b"))).items.items
    assert [bool(each.item) for each in found] == is_told
    assert (sum(each.item_bytes for each in found) <= 3_000) is all(is_told)


async def test_a_name_for_what_is_too_large_is_remembered(one: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has become of the items since: what was done under that name is in the ledger."""
    leader = await one.found()
    named = Attempt(puts("a", "attribute_not_exists(pk)"), puts("b"), name=b"n" * 16)
    monkeypatch.setattr(transactions, "MUTATION_BYTES_MAX", 100)
    request = named.transact()
    answers = [await each for each in (leader.ask(request), leader.ask(request))]
    assert [each.status for each in answers] == [P.TOO_LARGE, P.TOO_LARGE]
    monkeypatch.undo()
    assert await leader.status(put("a", item_to_bytes(row("a")))) == P.OK
    for again in (request, named.transact()):
        assert await leader.status(again) == P.TOO_LARGE
    other = Attempt(puts("c"), name=b"n" * 16)
    assert await leader.status(other.transact()) == P.TOKEN_MISMATCH
    assert [await stored(leader, name) for name in "abc"] == [row("a"), None, None]


async def test_what_is_too_large_is_not_done_twice_without_a_name_either(
    one: NodeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its library sends it again by the ids of the first time, when it may have been carried out over marks."""
    leader = await one.found()
    unnamed = Attempt(puts("a", "attribute_not_exists(pk)"), puts("b"))
    unnamed.details.request_hash = b""
    monkeypatch.setattr(transactions, "MUTATION_BYTES_MAX", 100)
    assert await leader.status(unnamed.transact()) == P.TOO_LARGE
    monkeypatch.undo()
    assert await leader.status(unnamed.prepare()) == P.OK
    assert await leader.status(unnamed.finish(is_committed=True)) == P.OK
    assert await leader.status(unnamed.transact()) == P.TOO_LARGE, "the ledger knows what has become of it"
    another = Attempt(*unnamed.items, stamp_us=STAMP_US + 2_000_000)
    assert await codes(leader, another.transact()) == [Outcome.CONDITION_FAILED, ACCEPTED]


async def test_what_was_prepared_is_carried_out_whatever_has_changed(one: NodeSet) -> None:
    """A collection that has no room any more, an index whose key the item has with another type."""
    descriptor = one.descriptor()
    by_v = cluster_pb2.KeyAttribute(name="v", type="N")
    descriptor.local_indexes.append(cluster_pb2.LocalIndex(name="by-v", number=1, sort_key=by_v))
    leader = await one.found(descriptor)
    attempt = Attempt(puts("a", numbers={"n": 1, "v": 1}))
    assert await leader.status(attempt.prepare()) == P.OK
    leader.node.replicas[PARTITION].decisions.collection_bytes_max = 1
    index = GlobalIndex(5, "by-n", (KeyAttribute("n", "S"),), (), "ALL")
    leader.node.replicas[PARTITION].changes.feeds[5] = Feed(index, 0, None, 0)
    assert await codes(leader, Attempt(puts("b", numbers={"v": 1})).prepare()) == [Outcome.COLLECTION_FULL]
    assert await codes(leader, Attempt(puts("c", numbers={"n": 1})).prepare()) == [Outcome.INVALID]
    assert await leader.status(attempt.finish(is_committed=True)) == P.OK
    assert await stored(leader, "a") == row("a", n=1, v=1)


async def test_what_is_malformed_is_refused(one: NodeSet) -> None:
    leader = await one.found()
    malformed: list[Callable[[P.PartitionRequest], None]] = [
        lambda request: request.transaction.ClearField("items"),
        lambda request: setattr(request.transaction, "attempt", b"short"),
    ]
    for spoil in malformed:
        request = Attempt(puts("a")).prepare()
        spoil(request)
        assert await leader.status(request) == P.INVALID
    elsewhere = Attempt(puts("a"), P.TransactionItem(key=key("a", table=9), operation=P.DELETE))
    for request in (elsewhere.prepare(), elsewhere.transact(), elsewhere.finish(is_committed=True)):
        assert await leader.status(request) == P.NOT_MINE
    empty = reads("a")
    empty.items.ClearField("items")
    assert await leader.status(empty) == P.NOT_MINE
    assert len(_MARKS) == PREFIX_BYTES
