"""The streams of a partition: what is recorded, who is told of it, when it ends and when it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from statorpb import partition_pb2, streams_pb2

from server.expressions.codec import encode
from server.expressions.expression import parse_update
from server.expressions.placeholders import Placeholders
from server.model.key_encoding import RECORDS, own_rows
from server.model.number import canonical_number
from server.wire import item_from_bytes, item_to_bytes
from storage_node import stream_log
from storage_node.feeding import Feeding
from storage_node.partition.streams import stream_key
from storage_node.stream_log import WantedStream
from tests.storage_node.members import Group, Member
from tests.storage_node.nodes import PARTITION, TABLE, delete, key, put

OK = partition_pb2.OK
DAY_MS = 86_400_000
BOTH = "NEW_AND_OLD_IMAGES"
AFTER, HORIZON = partition_pb2.StreamDetails.AFTER, partition_pb2.StreamDetails.HORIZON
LATEST, AT_TIME = partition_pb2.StreamDetails.LATEST, partition_pb2.StreamDetails.AT_TIME


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    made = Group(tmp_path)
    yield made
    made.close()


def want(group: Group, *streams: WantedStream, known_below: int = 0) -> None:
    """Tells the leader what is wanted, and lets it be."""
    group.leading.replica.streams.want(streams, known_below)
    tend(group)


def tend(group: Group) -> None:
    group.leading.replica.streams.tend()
    group.commit()


def wanted(number: int = 60, view_type: str = BOTH, *, is_closed: bool = False) -> WantedStream:
    return WantedStream(number, view_type, is_closed, DAY_MS)


def write(group: Group, name: str, **attributes: Any) -> None:
    answers = group.ask(put(name, item_to_bytes({"pk": {"S": name}, **attributes})))
    group.commit()
    assert [each.status for each in answers] == [OK], answers


def remove(group: Group, name: str, *, is_expired: bool = False) -> None:
    request = delete(name)
    if is_expired:
        request.write.by_time_to_live = True
    answers = group.ask(request)
    group.commit()
    assert [each.status for each in answers] == [OK], answers


def update(group: Group, name: str, text: str) -> None:
    parsed = parse_update(text, Placeholders(None, None))
    request = put(name, item_to_bytes({"pk": {"S": name}}))
    request.operation = partition_pb2.UPDATE
    request.write.update, request.write.update_values = encode(parsed.tree), item_to_bytes(parsed.values)
    answers = group.ask(request)
    group.commit()
    assert [each.status for each in answers] == [OK], answers


def request(number: int = 60, **details: Any) -> partition_pb2.PartitionRequest:
    made = partition_pb2.PartitionRequest(
        id=1, partition_id=PARTITION, operation=partition_pb2.READ_STREAM, key=key("any"), consistent=True
    )
    made.stream.number = number
    made.stream.records_max = 1_000
    for name, value in details.items():
        setattr(made.stream, name, value)
    return made


def read(group: Group, number: int = 60, **details: Any) -> partition_pb2.PartitionReply:
    (answer,) = group.ask(request(number, **details))
    return answer


def shown(record: partition_pb2.PartitionStreamRecord) -> tuple[str, str, Any, Any]:
    """(event, partition key, attribute v before, and after); None: there is no such image."""
    images = [
        item_from_bytes(getattr(record, name)).get("v", {}).get("N", "-") if record.HasField(name) else None
        for name in ("old_image", "new_image")
    ]
    name = item_from_bytes(record.keys)["pk"]["S"]
    return streams_pb2.StreamRecord.Event.Name(record.event), name, images[0], images[1]


def told(group: Group, number: int = 60, **details: Any) -> list[tuple[str, str, Any, Any]]:
    answer = read(group, number, **{"start": HORIZON, **details})
    assert answer.status == OK
    return [shown(record) for record in answer.stream.records]


def n(value: int) -> dict[str, Any]:
    return {"v": {"N": canonical_number(str(value))}}


@pytest.mark.parametrize(
    ("view_type", "has_old", "has_new"),
    [("KEYS_ONLY", False, False), ("NEW_IMAGE", False, True), ("OLD_IMAGE", True, False), (BOTH, True, True)],
)
def test_what_is_recorded(group: Group, view_type: str, has_old: bool, has_new: bool) -> None:
    """Each change of an item once, with the images that are wanted, and nothing where nothing changes."""
    write(group, "a", **n(0))  # before there is a stream
    want(group, wanted(view_type=view_type))
    write(group, "a", **n(1))
    write(group, "a", **n(1))
    write(group, "b")
    remove(group, "b")
    remove(group, "b")
    update(group, "a", "SET v = v + v")
    update(group, "a", "REMOVE nothing")
    update(group, "c", "REMOVE nothing")
    remove(group, "a")
    expected: list[tuple[str, str, Any, Any]] = [
        ("MODIFY", "a", "0", "1"),
        ("INSERT", "b", None, "-"),
        ("REMOVE", "b", "-", None),
        ("MODIFY", "a", "1", "2"),
        ("REMOVE", "a", "2", None),
    ]
    seen = [(event, name, old if has_old else None, new if has_new else None) for event, name, old, new in expected]
    assert told(group) == seen


def test_sets_in_another_order_are_no_change(group: Group) -> None:
    want(group, wanted())
    write(group, "a", s={"SS": ["x", "y"]}, m={"M": {"s": {"NS": ["1", "2"]}}})
    write(group, "a", s={"SS": ["y", "x"]}, m={"M": {"s": {"NS": ["2", "1"]}}})
    write(group, "a", s={"SS": ["y", "z"]}, m={"M": {"s": {"NS": ["2", "1"]}}})
    assert [event for event, *_ in told(group)] == ["INSERT", "MODIFY"]


def test_what_a_record_says_besides(group: Group) -> None:
    """Its size by DynamoDB's rules, its time, and whether the item's time was over."""
    want(group, wanted())
    group.leading.replica.proposals.wall_ms = lambda: 1_234
    write(group, "a", **n(7))
    remove(group, "a", is_expired=True)
    first, second = read(group, start=HORIZON).stream.records
    assert (first.time_ms, first.by_time_to_live, second.by_time_to_live) == (1_234, False, True)
    assert (first.size_bytes, second.size_bytes) == (3 + 3 + 3, 3 + 3 + 3)  # pk a, pk a v 7
    assert first.sequence % 1_000 == 0
    assert second.sequence > first.sequence


def test_positions(group: Group) -> None:
    """With the oldest, behind the newest, behind a sequence number, or at a time; a few at a time."""
    want(group, wanted())
    wall_ms = 0
    group.leading.replica.proposals.wall_ms = lambda: wall_ms
    for number in range(5):
        wall_ms = number * 100
        write(group, f"k{number}", **n(number))
    records = read(group, start=HORIZON).stream.records
    names = [f"k{number}" for number in range(5)]
    assert [name for _, name, *_ in map(shown, records)] == names
    sequences = [record.sequence for record in records]
    assert [name for _, name, *_ in told(group, start=AFTER, sequence=sequences[1])] == names[2:]
    assert [name for _, name, *_ in told(group, start=AFTER, sequence=sequences[2] - 1)] == names[2:]
    assert told(group, start=LATEST) == []
    for time_ms, first in ((-1, 0), (0, 0), (1, 1), (100, 1), (399, 4), (400, 4), (401, 5)):
        assert [name for _, name, *_ in told(group, start=AT_TIME, time_ms=time_ms)] == names[first:], time_ms
    page = read(group, start=HORIZON, records_max=2).stream
    assert ([record.sequence for record in page.records], page.sequence) == (sequences[:2], sequences[1])
    page = read(group, start=HORIZON, bytes_max=1).stream
    assert ([record.sequence for record in page.records], page.is_end) == (sequences[:1], False)
    update(group, "k0", "SET v = v")  # recorded nowhere
    latest = read(group, start=LATEST, records_max=0).stream
    assert (len(latest.records), latest.sequence) == (0, sequences[-1])
    write(group, "new")
    assert [name for _, name, *_ in told(group, start=AFTER, sequence=latest.sequence)] == ["new"]


async def test_who_waits_is_told_as_soon_as_there_is_something(group: Group) -> None:
    """Or that there is nothing, when its time is up."""
    log = group.leading.replica.streams
    now_s = 0.0
    log._now_s = lambda: now_s
    want(group, wanted())
    waiting = group.ask(request(start=LATEST, wait_ms=500))
    others = group.ask(request(start=HORIZON, wait_ms=500))
    assert not waiting
    log.expire(0.4)
    assert not waiting
    write(group, "a")
    await asyncio.sleep(0)
    assert [[shown(each)[1] for each in answers[0].stream.records] for answers in (waiting, others)] == [["a"], ["a"]]
    late = group.ask(request(start=AFTER, sequence=waiting[0].stream.sequence, wait_ms=500))
    log.expire(0.5)
    assert [(answer.status, len(answer.stream.records)) for answer in late] == [(OK, 0)]
    assert late[0].stream.sequence == waiting[0].stream.sequence


async def test_who_waits_hears_of_another_leader(group: Group) -> None:
    log = group.leading.replica.streams
    log._now_s = lambda: 0.0
    want(group, wanted())
    waiting = group.ask(request(start=LATEST, wait_ms=500))
    group.lead(group.members[1])
    log.expire(1.0)
    assert [answer.status for answer in waiting] == [partition_pb2.NOT_LEADER]


async def test_only_so_many_wait(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are told at once that there is nothing."""
    monkeypatch.setattr(stream_log, "READERS_MAX", 2)
    want(group, wanted())
    answers = [group.ask(request(start=LATEST, wait_ms=500)) for _ in range(3)]
    assert [len(each) for each in answers] == [0, 0, 1]


async def test_nobody_waits_for_ever(group: Group) -> None:
    """Whatever it asks for."""
    log = group.leading.replica.streams
    log._now_s = lambda: 0.0
    want(group, wanted())
    waiting = group.ask(request(start=LATEST, wait_ms=2**32 - 1))
    log.expire(stream_log.WAIT_MS_MAX / 1000)
    assert [answer.status for answer in waiting] == [OK]


async def test_many_are_told_a_few_at_a_time(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it takes, and by how much it is; none is forgotten, and those that wait again are told again."""
    log = group.leading.replica.streams
    now_s = 0.0

    def clock() -> float:
        nonlocal now_s
        now_s += stream_log.WAKE_S / 4
        return now_s

    log._now_s = clock
    want(group, wanted())
    for bytes_max, told_first in ((10**6, 4), (1, 1)):
        monkeypatch.setattr(stream_log, "WAKE_BYTES_MAX", bytes_max)
        waiting = [group.ask(request(start=LATEST, wait_ms=9_000)) for _ in range(10)]
        write(group, f"{bytes_max}")
        await asyncio.sleep(0)
        assert [len(each) for each in waiting] == [1] * told_first + [0] * (10 - told_first)
        while not all(waiting):
            await asyncio.sleep(0.001)
        assert {len(each[0].stream.records) for each in waiting} == {1}
    assert not log._readers
    assert not log._is_waking


async def test_who_waits_hears_of_the_end(group: Group) -> None:
    want(group, wanted())
    waiting = group.ask(request(start=LATEST, wait_ms=500))
    want(group, wanted(is_closed=True))
    await asyncio.sleep(0)
    assert [(answer.status, answer.stream.is_end) for answer in waiting] == [(OK, True)]


def test_the_lease_is_looked_at_after_the_records(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it was over by then, somebody else may have acknowledged what is not in them."""
    want(group, wanted())
    write(group, "a")
    holds = iter((True, False))
    monkeypatch.setattr(group.leading.host, "is_serving_leader", lambda group_id: next(holds))
    assert read(group, start=HORIZON).status == partition_pb2.NO_LEASE


async def test_an_answer_that_goes_wrong_costs_one_reader(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """And neither those that wait beside it, nor any that come later."""
    log = group.leading.replica.streams
    want(group, wanted())
    first, second = (group.ask(request(start=LATEST, wait_ms=500)) for _ in range(2))
    result, fails = log._result, iter((True, False, False))

    def result_of(details: partition_pb2.StreamDetails) -> Any:
        assert not next(fails)
        return result(details)

    monkeypatch.setattr(log, "_result", result_of)
    write(group, "a")
    while not second:
        await asyncio.sleep(0.001)
    assert [each.status for each in (*first, *second)] == [partition_pb2.UNKNOWN_OUTCOME, OK]
    assert read(group, start=HORIZON).status == OK


def test_whatever_is_asked_for(group: Group) -> None:
    """There is no number, time or count that is too large."""
    want(group, wanted())
    write(group, "a")
    most = 2**64 - 1
    assert told(group, start=AFTER, sequence=most) == []
    assert told(group, start=AT_TIME, time_ms=2**63 - 1) == []
    assert len(told(group, start=AT_TIME, time_ms=-(2**63))) == 1
    assert len(told(group, records_max=2**32 - 1, bytes_max=2**32 - 1)) == 1
    assert read(group, most).status == partition_pb2.NO_STREAM


def test_the_beginning_of_a_stream_without_records(group: Group) -> None:
    """Is its own, and no sequence number of before it."""
    want(group, wanted())
    (report,) = group.leading.replica.streams.reports()
    assert read(group, start=HORIZON).stream.sequence == report.first_sequence - 1
    assert read(group, start=AT_TIME, records_max=0).stream.sequence == report.first_sequence - 1


async def test_a_stream_that_cannot_be_read_is_told(group: Group) -> None:
    """And the node goes on: another member has it."""
    want(group, wanted())
    write(group, "a")
    leader = group.leading
    damaged = stream_key(TABLE, PARTITION, 60)
    leader.store._live.put(leader.store._groups[PARTITION], damaged, b"?")
    leader.replica.streams.want([wanted(is_closed=True)], 0)
    feeding = asyncio.create_task(Feeding(leader.store, {PARTITION: leader.replica}).run())
    await asyncio.sleep(0)
    assert leader.rotten == ["a stream of 1 bytes has not 28"]
    assert not feeding.done()
    feeding.cancel()


def test_a_stream_that_is_closed_ends(group: Group) -> None:
    """Nothing more is recorded, and whoever has read all is told so; the next one begins with itself."""
    want(group, wanted())
    write(group, "a")
    group.leading.replica.streams.want([wanted(is_closed=True)], 0)
    group.leading.replica.streams.tend()
    answers = group.ask(put("late", item_to_bytes({"pk": {"S": "late"}})))  # decided behind what ends the stream
    group.commit()
    assert [each.status for each in answers] == [OK]
    page = read(group, start=HORIZON).stream
    assert ([shown(each)[1] for each in page.records], page.is_end) == (["a"], True)
    last = read(group, start=AFTER, sequence=page.sequence).stream
    assert (len(last.records), last.is_end, last.sequence) == (0, True, page.sequence)
    latest = read(group, start=LATEST, records_max=0).stream
    assert (latest.is_end, latest.sequence) == (True, page.sequence)
    (report,) = group.leading.replica.streams.reports()
    assert (report.number, report.closed, report.last_sequence) == (60, True, page.sequence)
    assert report.first_sequence < page.records[0].sequence
    want(group, wanted(is_closed=True), wanted(61))
    write(group, "b")
    assert [name for _, name, *_ in told(group)] == ["a"]
    assert [name for _, name, *_ in told(group, 61)] == ["b"]


def test_the_latest_of_a_stream_without_records(group: Group) -> None:
    """Is a place from which one may go on once it is closed: not behind what is its end then."""
    want(group, wanted())
    latest = read(group, start=LATEST, records_max=0).stream.sequence
    want(group, wanted(is_closed=True))
    (report,) = group.leading.replica.streams.reports()
    assert report.first_sequence - 1 <= latest <= report.last_sequence
    assert read(group, start=AFTER, sequence=latest).stream.is_end


def test_an_unknown_stream(group: Group) -> None:
    assert read(group).status == partition_pb2.NO_STREAM


def test_old_records_go(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few at a time, by the log's time; whoever would have read them is told. What is young stays."""
    monkeypatch.setattr(stream_log, "TRIM_ROWS_MAX", 2)
    log, proposals = group.leading.replica.streams, group.leading.replica.proposals
    now_ms = 1_000
    monkeypatch.setattr(proposals, "log_time_ms", lambda leadership: now_ms)
    want(group, wanted())
    for number in range(5):
        now_ms = 1_000 + number
        write(group, f"k{number}")
    sequences = [each.sequence for each in read(group, start=HORIZON).stream.records]
    now_ms = 1_003 + DAY_MS
    log._trim_from_ms = 0
    tend(group)
    assert [name for _, name, *_ in told(group)] == ["k2", "k3", "k4"]
    tend(group)
    assert [name for _, name, *_ in told(group)] == ["k4"]
    tend(group)
    assert [name for _, name, *_ in told(group)] == ["k4"]
    assert read(group, start=AFTER, sequence=sequences[2]).status == partition_pb2.TRIMMED
    assert [name for _, name, *_ in told(group, start=AFTER, sequence=sequences[3])] == ["k4"]
    assert rows(group.leading) == 1
    assert log._trim_from_ms == now_ms + stream_log.TRIM_WAIT_MS


def rows(member: Member) -> int:
    """How many records a member keeps."""
    first = own_rows(TABLE, RECORDS, PARTITION)
    return len(list(member.store.scan(first, first + b"\xff" * 17)))


def test_a_stream_that_is_no_more_goes_with_all_it_has(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed first; and does not come back where a leader has not heard of its end."""
    monkeypatch.setattr(stream_log, "TRIM_ROWS_MAX", 2)
    want(group, wanted())
    for number in range(3):
        write(group, f"k{number}")
    want(group, known_below=60)
    assert [each.is_closed for each in group.leading.replica.streams.streams.values()] == [False]  # it may not know it
    want(group, known_below=61)
    for _ in range(4):
        tend(group)
    assert (group.leading.replica.streams.streams, rows(group.leading)) == ({}, 0)
    want(group, wanted())
    assert group.leading.replica.streams.streams == {}
    assert read(group).status == partition_pb2.NO_STREAM


def test_a_stream_that_is_no_more_takes_with_it_what_is_on_its_way(group: Group) -> None:
    """A record that was decided before the stream's end is known is not left behind, where nobody would look for it."""
    want(group, wanted())
    group.ask(put("a", item_to_bytes({"pk": {"S": "a"}})))
    group.leading.replica.streams.want([], 61)
    group.leading.replica.streams.tend()
    group.commit()
    for _ in range(3):
        tend(group)
    assert (group.leading.replica.streams.streams, rows(group.leading)) == ({}, 0)


def test_another_leader_goes_on(group: Group) -> None:
    """Streams and records are in the log, and in snapshots."""
    want(group, wanted())
    write(group, "a")
    group.members[1].catch_up(len(group.log))
    group.lead(group.members[1])
    write(group, "b")
    assert [name for _, name, *_ in told(group)] == ["a", "b"]
    group.leading.checkpoint()
    group.members[0].restore_from(group.leading)
    group.lead(group.members[0])
    write(group, "c")
    assert [name for _, name, *_ in told(group)] == ["a", "b", "c"]
    group.leading.checkpoint()
    group.leading.crash()
    assert [name for _, name, *_ in told(group)] == ["a", "b", "c"]


def test_an_index_has_no_stream(tmp_path: Path) -> None:
    group = Group(tmp_path, index={"number": TABLE, "name": "by-x", "partition_keys": [{"name": "x", "type": "S"}]})
    assert read(group).status == partition_pb2.INVALID
    group.close()
