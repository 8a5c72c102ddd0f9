"""The change log of a partition: what consumers are told, what is kept how long, and who may be a feed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from statorpb import cluster_pb2, partition_pb2

from server.expressions.codec import encode
from server.expressions.expression import parse_update
from server.expressions.placeholders import Placeholders
from server.model.key_encoding import CHANGES, CURSORS, own_rows, table_number
from server.model.table import GlobalIndex, KeyAttribute
from server.wire import item_to_bytes
from storage_node import changes
from storage_node.backfill import BackFill
from storage_node.changes import WantedFeed
from tests.storage_node.members import Group, Member
from tests.storage_node.nodes import PARTITION, TABLE, delete, key, put

OK = partition_pb2.OK
BY_X = GlobalIndex(50, "by-x", (KeyAttribute("x", "S"),), (), "ALL")
BY_Y = GlobalIndex(51, "by-y", (KeyAttribute("y", "N"),), (), "KEYS_ONLY")


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    made = Group(tmp_path)
    yield made
    made.close()


def feed(group: Group, *indexes: GlobalIndex, removed: tuple[GlobalIndex, ...] = ()) -> None:
    """Tells the leader what is wanted, and lets it be."""
    want(group.leading, *indexes, removed=removed)
    group.leading.replica.changes.tend()
    group.commit()


def want(member: Member, *indexes: GlobalIndex, removed: tuple[GlobalIndex, ...] = ()) -> None:
    member.replica.changes.want([WantedFeed(each) for each in indexes] + [WantedFeed(each, True) for each in removed])


async def fill(group: Group) -> None:
    """Goes through all that the feeds have not had."""
    walk = BackFill(group.leading.store, {PARTITION: group.leading.replica})
    for number in tuple(group.leading.replica.changes.feeds):
        while walk.next_slice(PARTITION, number) is not None:
            group.commit()


def write(group: Group, name: str, **attributes: Any) -> None:
    answers = group.ask(put(name, item_to_bytes({"pk": {"S": name}, **attributes})))
    group.commit()
    assert [each.status for each in answers] == [OK], answers


def told(group: Group, index: GlobalIndex, after_slot: int = 0, bytes_max: int = 10**6) -> list[tuple[int, int]]:
    """(slot, number of entries) of the changes of an index."""
    found, _ = group.leading.replica.changes.changes(index.number, after_slot, bytes_max)
    return [(slot, len(entries)) for slot, entries in found]


def rows(member: Member) -> int:
    """How many changes a member keeps."""
    first = own_rows(TABLE, CHANGES, PARTITION)
    return len(list(member.store.scan(first, first + b"\xff" * 9)))


def x(value: str) -> dict[str, Any]:
    return {"x": {"S": value}}


async def test_changes_are_kept_until_every_feed_has_taken_them(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """In slots; then their rows go, a few at a time, and the feeds' rows say how far they are."""
    now_s = 0.0
    log = group.leading.replica.changes
    log.now_s = lambda: now_s
    feed(group, BY_X, BY_Y)
    await fill(group)
    log.tend()
    group.commit()  # they are complete
    first = len(group.log)
    for number in range(9):
        write(group, f"k{number}", **x("a"), **({"y": {"N": "1"}} if number % 3 == 0 else {}))
    slots = list(range(first + 1, first + 10))
    assert told(group, BY_X) == [(slot, 1) for slot in slots]
    assert told(group, BY_Y) == [(slot, 1) for slot in slots[::3]]
    assert log.changes(BY_Y.number, slots[6], 1000) == ([], slots[8])
    assert log.changes(BY_Y.number, slots[8], 1000) == ([], slots[8])
    log.taken(BY_X.number, slots[8])
    log.taken(BY_Y.number, slots[4])
    log.taken(BY_Y.number, slots[2])  # said already
    assert not group.proposed
    now_s = 1.0
    monkeypatch.setattr(changes, "MOVE_ROWS_MAX", 3)
    log.tend()
    log.tend()  # one at a time
    assert len(group.proposed) == 1
    group.commit()  # what is left waits for more, or for its time
    assert rows(group.leading) == 6
    assert (log.feeds[50].taken_slot, log.feeds[51].taken_slot) == (slots[8], slots[4])
    log.tend()
    now_s = 2.0
    log.tend()
    group.commit()
    assert [slot for slot, _ in told(group, BY_X)] == slots[5:]
    assert rows(group.leading) == 4
    log.tend()
    assert not group.proposed
    log.taken(BY_Y.number, slots[8])
    now_s = 3.0
    for _ in range(3):
        log.tend()
        now_s += 1
        log.tend()
        group.commit()
    assert rows(group.leading) == 0
    assert log.pending_bytes == 0


async def test_many_that_are_taken_do_not_wait(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the clock says, and as many as there are."""
    monkeypatch.setattr(changes, "MOVE_ROWS_MIN", 4)
    monkeypatch.setattr(changes, "MOVE_ROWS_MAX", 5)
    group.leading.replica.changes.now_s = lambda: 0.0
    feed(group, BY_X)
    await fill(group)
    for number in range(14):
        write(group, f"k{number}", **x("a"))
    last = told(group, BY_X)[-1][0]
    group.leading.replica.changes.taken(BY_X.number, last)
    group.commit()
    assert rows(group.leading) == 14 - 5 - 5 - 4


async def test_reading_is_in_small_parts(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """One change at least; of large ones not more than fit; past others a few at a time."""
    feed(group, BY_X, BY_Y)
    first = len(group.log)
    for number in range(6):
        write(group, f"k{number}", **x("a"), v={"B": bytes(100)})
    log = group.leading.replica.changes
    assert told(group, BY_X, first, 1) == [(first + 1, 1)]
    assert len(told(group, BY_X, first, 600)) == 3
    monkeypatch.setattr(changes, "LOOKED_AT_ROWS_MAX", 4)
    assert log.changes(BY_Y.number, first, 1000) == ([], first + 4)
    assert log.changes(BY_Y.number, first + 4, 1000) == ([], first + 6)
    monkeypatch.setattr(changes, "LOOKED_AT_BYTES_MAX", 1)
    assert log.changes(BY_Y.number, first, 1000) == ([], first + 1)


async def test_writes_that_change_no_entry_are_not_captured(group: Group) -> None:
    """They are in the table, and nobody is told."""
    calls: list[int] = []
    group.leading.replica.changes.on_new = lambda: calls.append(1)
    feed(group, BY_X, BY_Y)
    write(group, "a", v={"S": "v"})
    group.ask(delete("nowhere"))
    group.commit()
    write(group, "b", **x("a"))
    captured = len(group.log)
    write(group, "b", **x("a"))
    assert (told(group, BY_X), told(group, BY_Y), calls) == ([(captured, 1)], [], [1])
    assert group.leading.store.get(key("a")) is not None


async def test_too_many_that_are_not_taken_hold_writes_up(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this table, until the index keeps up again; what was carried out already is told so."""
    monkeypatch.setattr(changes, "PENDING_ROWS_MAX", 2)
    monkeypatch.setattr(changes, "MOVE_WAIT_S", 0.0)
    feed(group, BY_X)
    await fill(group)
    for number in range(3):
        write(group, f"k{number}", **x("a"))
    for request in (put("d", item_to_bytes({"pk": {"S": "d"}})), delete("k1")):
        (answer,) = group.ask(request)
        assert (answer.status, answer.message) == (
            partition_pb2.THROTTLED,
            "global secondary indexes do not keep up",
        )
    group.leading.replica.changes.taken(BY_X.number, told(group, BY_X)[1][0])
    group.commit()
    write(group, "d", **x("d"))
    write(group, "e", v={"S": "v"})
    monkeypatch.setattr(changes, "PENDING_BYTES_MAX", 1)
    assert group.ask(delete("k1"))[0].status == partition_pb2.THROTTLED


async def test_writes_gather_where_an_index_is_far_behind(group: Group) -> None:
    """Of all feeds the one that has taken least counts; when it has taken something it is looked at anew."""
    replica, host = group.leading.replica, group.leading.host

    def holds_back() -> bool:
        return replica.holds_back

    write(group, "none", **x("a"))
    assert not holds_back()
    feed(group, BY_X, BY_Y)
    await fill(group)
    log = replica.changes
    log.lead.changes_max = 3
    log.now_s = lambda: 1.0
    first = log.changes(BY_X.number, 0, 10**6)[1]
    log.taken(BY_X.number, first)
    log.taken(BY_Y.number, first)
    for number in range(3):
        assert not holds_back()
        write(group, f"k{number}", y={"N": "1"}, **x("a"))
    assert holds_back()
    slots = [slot for slot, _ in told(group, BY_X, first)]
    flushes = host.flushes
    log.taken(BY_X.number, slots[2])
    assert holds_back()
    log.taken(BY_Y.number, slots[0])
    assert not holds_back()
    assert host.flushes == flushes + 2


def test_what_an_index_cannot_have_is_refused(group: Group) -> None:
    """Also by a put: a router may not have heard of the index yet. What an update makes has other words."""
    write(group, "old", x={"N": "1"})
    feed(group, BY_X)
    (answer,) = group.ask(put("a", item_to_bytes({"pk": {"S": "a"}, "x": {"N": "1"}})))
    assert answer.status == partition_pb2.INVALID_UPDATE
    assert "Type mismatch for Index Key x Expected: S Actual: N IndexName: by-x" in answer.message
    (answer,) = group.ask(put("a", item_to_bytes({"pk": {"S": "a"}, "x": {"S": ""}})))
    assert "empty string value. IndexName: by-x, IndexKey: x" in answer.message
    request = put("a", item_to_bytes({"pk": {"S": "a"}}))
    request.operation = partition_pb2.UPDATE
    parsed = parse_update("SET x = size_of", Placeholders(None, None))
    request.write.update, request.write.update_values = encode(parsed.tree), item_to_bytes(parsed.values)
    write(group, "a", size_of={"N": "1"})
    (answer,) = group.ask(request)
    assert "update the secondary index key to unsupported type" in answer.message
    assert told(group, BY_X) == []
    assert [each.status for each in group.ask(delete("old"))] == []
    group.commit()
    assert told(group, BY_X) == []


async def test_a_feed_that_was_removed_does_not_come_back(group: Group) -> None:
    """Though another leader has not heard of its end; an index that is made later may be one."""
    feed(group, BY_X)
    write(group, "a", **x("a"))
    want(group.members[1], BY_X)
    feed(group, removed=(BY_X,))
    assert group.leading.replica.changes.feeds == {}
    for _ in range(3):
        group.leading.replica.changes.tend()
        group.leading.replica.changes.now_s = lambda: 1e9
        group.commit()
    assert rows(group.leading) == 0, "nobody will take them"
    group.lead(group.members[1])
    group.leading.replica.changes.tend()
    group.commit()
    assert group.leading.replica.changes.feeds == {}
    assert group.leading.replica.changes.reports() == []
    feed(group, BY_X, BY_Y)
    assert group.leading.replica.changes.feeds.keys() == {51}


def test_an_index_that_ends_before_it_was_a_feed_never_is_one(group: Group) -> None:
    """A leader that has heard of the beginning only does not begin when the end is in the log."""
    feed(group, removed=(BY_X,))
    want(group.members[1], BY_X)
    group.lead(group.members[1])
    group.leading.replica.changes.tend()
    group.commit()
    assert group.leading.replica.changes.feeds == {}


def test_a_feed_whose_index_is_no_more_goes(group: Group) -> None:
    """Though nobody has said so of it: its number was given, and the metadata service does not speak of it. Of one with
    a number that was not given when it spoke it cannot have known."""
    feed(group, BY_X)
    write(group, "a", **x("a"))
    changes = group.leading.replica.changes
    for next_number, kept in ((0, True), (BY_X.number, True), (BY_X.number + 1, False)):
        changes.want([], next_number)
        changes.tend()
        group.commit()
        assert (BY_X.number in changes.feeds) == kept
    changes.tend()
    group.commit()
    want(group.leading, BY_X)
    changes.tend()
    group.commit()
    assert changes.feeds == {}


async def test_reports(group: Group) -> None:
    """How much is not taken and how old that is; complete is a feed once the index has what its back-fill passed on,
    also in the eyes of who leads next."""
    wall_ms = 1000
    for each in group.members:
        each.replica.proposals.wall_ms = lambda: wall_ms
    for name in "abc":
        write(group, name, **x("a"))
    news: list[int] = []
    log = group.leading.replica.changes
    log.on_feeds = lambda: news.append(1)
    feed(group, BY_X, BY_Y)
    assert news == [1, 1]

    def report(number: int) -> cluster_pb2.FeedReport:
        return next(each for each in group.leading.replica.changes.reports() if each.index_number == number)

    assert report(50) == cluster_pb2.FeedReport(index_number=50)
    await fill(group)
    wall_ms = 1700
    assert report(50) == cluster_pb2.FeedReport(index_number=50, items_passed=3, pending=1, lag_ms=700)
    group.leading.replica.changes.tend()
    group.commit()
    assert not report(50).complete
    assert not report(51).complete, "what lies before is not known to be none of its own"
    write(group, "d", **x("a"))
    group.lead(group.members[1])
    group.leading.replica.changes.tend()
    group.commit()
    assert (report(50).complete, report(50).pending, report(50).lag_ms) == (False, 2, 700)
    first = told(group, BY_X)[0][0]
    group.leading.replica.changes.taken(50, first)
    group.commit()
    assert (report(50).complete, report(50).pending, report(50).lag_ms) == (True, 1, 1)
    group.leading.replica.changes.taken(51, group.leading.replica.changes.changes(51, 0, 1)[1])
    group.leading.replica.changes.tend()
    group.commit()
    assert (report(51).complete, report(51).items_passed, report(51).pending) == (True, 3, 0)


@pytest.mark.parametrize("is_restored", [False, True])
async def test_a_feed_is_not_complete_while_its_back_fill_is_on_its_way(group: Group, is_restored: bool) -> None:
    """Nor for who knows of both only from what is stored, after a restart or by a snapshot."""
    for name in "abc":
        write(group, name, **x("a"))
    feed(group, BY_X)
    await fill(group)
    first, second = group.members
    first.checkpoint()
    if is_restored:
        second.restore_from(first)
    else:
        second = first
        first.crash()
    group.lead(second)
    log = second.replica.changes
    log.tend()
    group.commit()
    assert [(each.complete, each.pending) for each in log.reports()] == [(False, 1)]
    log.taken(BY_X.number, told(group, BY_X)[-1][0])
    log.tend()
    group.commit()
    assert [(each.complete, each.pending) for each in log.reports()] == [(True, 0)]


async def test_what_a_partition_keeps_for_itself_is_not_counted_as_items(group: Group) -> None:
    """Nor as an index's."""
    feed(group, BY_X)
    write(group, "a", **x("a"))
    group.leading.checkpoint()
    assert group.leading.store.size(PARTITION)[0] == 1
    assert group.leading.store.sizes(PARTITION).keys() == {0, CHANGES, CURSORS}
    assert table_number(own_rows(TABLE, CHANGES, PARTITION)) == TABLE


async def test_a_table_without_feeds_has_no_changes(group: Group) -> None:
    """Nothing is to be tended, nothing captured; what is asked for as ever takes the short way."""
    write(group, "a", **x("a"))
    group.leading.replica.changes.tend()
    assert not group.leading.replica.changes.needs_tending
    assert (rows(group.leading), group.leading.replica.changes.reports()) == (0, [])
