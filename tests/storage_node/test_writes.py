"""Writes as a leader decides them: conditions, updates, what they return, indexes, and many at once on one key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from statorpb import cluster_pb2, partition_pb2, tables_pb2

from server.expressions.codec import encode
from server.expressions.expression import parse_condition, parse_update
from server.expressions.placeholders import Placeholders
from server.model.item import Item
from server.model.key_encoding import COLLECTIONS, PREFIX_BYTES, after_prefix, prefix
from server.wire import item_from_bytes, item_to_bytes
from tests.storage_node.nodes import PARTITION, TABLE, NodeSet, RunningNode, delete, get, key, put, scan, token

OK = partition_pb2.OK
FAILED = partition_pb2.CONDITION_FAILED


def row(name: str, **numbers: int) -> Item:
    return {"pk": {"S": name}, **{each: {"N": str(number)} for each, number in numbers.items()}}


def details(
    condition: str = "", update: str = "", values: Mapping[str, Any] | None = None, **fields: Any
) -> partition_pb2.WriteDetails:
    """What a router makes of expressions."""
    made = partition_pb2.WriteDetails(**fields)
    placeholders = Placeholders(None, {name: {"N": str(value)} for name, value in (values or {}).items()} or None)
    if condition:
        parsed = parse_condition(condition, placeholders)
        made.condition, made.condition_values = encode(parsed.tree), item_to_bytes(parsed.values)
    if update:
        changed = parse_update(update, placeholders)
        made.update, made.update_values = encode(changed.tree), item_to_bytes(changed.values)
    return made


def put_if(name: str, condition: str, values: Mapping[str, Any] | None = None, **fields: Any) -> Any:
    item = row(name, **fields.pop("numbers", {}))
    return put(name, item_to_bytes(item), write=details(condition, values=values, **fields))


def update(name: str, text: str, values: Mapping[str, Any] | None = None, condition: str = "", **fields: Any) -> Any:
    request = put(name, item_to_bytes(row(name)), write=details(condition, text, values, **fields))
    request.operation = partition_pb2.UPDATE
    return request


async def stored(node: RunningNode, name: str) -> Item | None:
    answer = await node.ask(get(name))
    return item_from_bytes(answer.item) if answer.status == OK else None


async def test_a_write_happens_where_its_condition_holds(one: NodeSet) -> None:
    """And nowhere else; the item that it did not hold for comes back where that is wanted, and there is one."""
    leader = await one.found()
    absent = put_if("a", "attribute_exists(pk)", returned_on_failure=True)
    answer = await leader.ask(absent)
    assert (answer.status, answer.item) == (FAILED, b"")
    assert await leader.status(put_if("a", "attribute_not_exists(pk)", numbers={"n": 1})) == OK
    answer = await leader.ask(put_if("a", "attribute_not_exists(pk)", returned_on_failure=True))
    assert (answer.status, item_from_bytes(answer.item)) == (FAILED, row("a", n=1))
    answer = await leader.ask(put_if("a", "n > :n", {":n": 1}))
    assert (answer.status, answer.item) == (FAILED, b"")
    assert await leader.status(delete("a", write=details("n = :n", values={":n": 2}))) == FAILED
    assert await stored(leader, "a") == row("a", n=1)
    assert await leader.status(delete("a", write=details("n = :n", values={":n": 1}))) == OK
    assert await stored(leader, "a") is None


async def test_what_a_write_returns(one: NodeSet) -> None:
    """The item before, or after, or of either what the update touches; nothing where there is nothing of it."""
    leader = await one.found()
    R = partition_pb2  # noqa: N806
    steps: list[tuple[Any, int, Item | None]] = [
        (put_if("a", "", returned=R.OLD, numbers={"n": 1, "m": 5}), OK, None),
        (put_if("a", "", returned=R.OLD, numbers={"n": 2, "m": 5}), OK, row("a", n=1, m=5)),
        (update("a", "SET n = n + :d", {":d": 1}, returned=R.UPDATED_OLD), OK, {"n": {"N": "2"}}),
        (update("a", "SET n = n + :d", {":d": 1}, returned=R.UPDATED_NEW), OK, {"n": {"N": "4"}}),
        (update("a", "SET n = n + :d", {":d": 1}, returned=R.OLD), OK, row("a", n=4, m=5)),
        (update("a", "SET n = n + :d", {":d": 1}, returned=R.NEW), OK, row("a", n=6, m=5)),
        (update("a", "REMOVE n", returned=R.UPDATED_NEW), OK, None),
        (update("b", "ADD n :d", {":d": 7}, returned=R.UPDATED_OLD), OK, None),
        (update("c", "", returned=R.NEW), OK, row("c")),
        (update("d", "REMOVE n", returned=R.NEW), OK, None),
        (delete("a", write=details(returned=R.OLD)), OK, row("a", m=5)),
        (delete("a", write=details(returned=R.OLD)), OK, None),
    ]
    for request, status, expected in steps:
        answer = await leader.ask(request)
        assert answer.status == status
        shown = item_from_bytes(answer.write.item) if answer.write.HasField("item") else None
        assert shown == expected, request


async def test_sizes(one: NodeSet) -> None:
    """Of the item before and after, by DynamoDB's rules."""
    leader = await one.found()
    answer = await leader.ask(put_if("abc", "", measured=True, numbers={"n": 12345}))
    assert (answer.write.old_bytes, answer.write.new_bytes) == (0, 2 + 3 + 1 + 4)
    answer = await leader.ask(delete("abc", write=details(measured=True)))
    assert (answer.write.old_bytes, answer.write.new_bytes) == (10, 0)


async def test_an_update_that_cannot_be_applied(one: NodeSet) -> None:
    """It says why, in words for the client, and changes nothing."""
    leader = await one.found()
    assert await leader.status(put_if("a", "", numbers={"n": 1})) == OK
    answer = await leader.ask(update("a", "SET n = nowhere + :d", {":d": 1}))
    assert answer.status == partition_pb2.INVALID_UPDATE
    assert "does not exist in the item" in answer.message
    large = put("a", item_to_bytes({"pk": {"S": "a"}, "n": {"N": "1"}, "b": {"B": bytes(400_000)}}))
    assert await leader.status(large) == OK
    request = update("a", "SET c = b")
    answer = await leader.ask(request)
    assert (answer.status, "size" in answer.message) == (partition_pb2.INVALID_UPDATE, True)
    assert (await stored(leader, "a") or {}).keys() == {"pk", "n", "b"}


async def test_a_tree_that_is_none(one: NodeSet) -> None:
    """What a router of another version may send is refused, and the node lives on."""
    leader = await one.found()
    request = put_if("a", "")
    request.write.condition = b"[99]"
    assert await leader.status(request) == partition_pb2.INVALID
    assert await leader.status(put("a", item_to_bytes(row("a")))) == OK
    looked = get("a", read=partition_pb2.ReadDetails(projection=b"nonsense"))
    assert await leader.status(looked) == partition_pb2.INVALID
    assert await leader.status(scan(scan=partition_pb2.ScanDetails(filter=b"nonsense"))) == partition_pb2.INVALID


async def test_many_additions_at_once_all_count(three: NodeSet) -> None:
    """They are in flight together, each decided on the one before; every number is returned once."""
    leader = await three.found()
    asked = [
        leader.ask(update("counter", "ADD n :one", {":one": 1}, returned=partition_pb2.UPDATED_NEW)) for _ in range(200)
    ]
    seen = [int(item_from_bytes((await each).write.item)["n"]["N"]) for each in asked]
    assert seen == list(range(1, 201))
    assert await stored(leader, "counter") == row("counter", n=200)


async def test_of_many_put_if_absent_at_once_one_wins(three: NodeSet) -> None:
    """The others are told so only once the one they lost to is committed."""
    leader = await three.found()
    order: list[int] = []
    asked = []
    for number in range(50):
        request = put_if("a", "attribute_not_exists(pk)", numbers={"n": number}, returned_on_failure=True)
        answered = leader.ask(request)
        answered.add_done_callback(lambda _, number=number: order.append(number))  # type: ignore[misc]
        asked.append(answered)
    assert not any(each.done() for each in asked)
    answers = [await each for each in asked]
    assert [each.status for each in answers] == [OK, *[FAILED] * 49]
    assert {each.item for each in answers[1:]} == {item_to_bytes(row("a", n=0))}
    assert order[0] == 0


async def test_a_refusal_that_rests_on_a_write_that_fails_is_taken_back(three: NodeSet) -> None:
    """The condition was decided on what then was never committed: it is to be asked again, not to be told a lie."""
    leader = await three.found()
    write = leader.ask(put_if("a", "attribute_not_exists(pk)"))
    refused = leader.ask(put_if("a", "attribute_not_exists(pk)"))
    leader.node.host.hand_over(PARTITION, at_once=True)
    statuses = [(await asyncio.wait_for(each, 20)).status for each in (write, refused)]
    assert statuses[0] in (partition_pb2.UNKNOWN_OUTCOME, partition_pb2.NOT_LEADER)
    assert statuses[1] == partition_pb2.NOT_LEADER


async def test_a_repeated_write_is_answered_as_the_first_time(three: NodeSet) -> None:
    """While it is in flight, after it, and by the next leader: it is carried out once, and returns the same."""
    leader = await three.found()
    request = update("a", "ADD n :one", {":one": 1}, returned=partition_pb2.NEW)
    answers = [*await asyncio.gather(leader.ask(request), leader.ask(request))]
    answers.append(await leader.ask(request))
    conditional = put_if("b", "attribute_not_exists(pk)")
    assert await leader.status(conditional) == OK
    assert await leader.status(conditional) == OK
    await leader.stop()
    answers.append(await three.do(request))
    assert {item_to_bytes(row("a", n=1))} == {each.write.item for each in answers}
    assert (await three.do(conditional)).status == OK


async def test_a_result_that_is_forgotten(one: NodeSet) -> None:
    """Is not made up: the write was carried out, and what it returned is not known any more."""
    leader = await one.found()
    request = put("a", item_to_bytes(row("a")))
    assert await leader.status(request) == OK
    request.write.returned = partition_pb2.OLD
    assert await leader.status(request) == partition_pb2.RESULT_FORGOTTEN


# Local indexes


def indexed(nodes: NodeSet) -> cluster_pb2.PartitionDescriptor:
    descriptor = nodes.descriptor()
    for number, projection in ((1, tables_pb2.Projection.ALL), (2, tables_pb2.Projection.KEYS_ONLY)):
        index = descriptor.local_indexes.add(number=number, name=f"index-{number}")
        index.sort_key.name, index.sort_key.type = "n", "N"
        index.projection.type = projection
    return descriptor


async def entries(node: RunningNode, number: int, **fields: Any) -> partition_pb2.ScanResult:
    request = scan()
    request.key = prefix(TABLE, number)
    request.scan.end_key = prefix(TABLE, number + 1)
    request.scan.MergeFrom(partition_pb2.ScanDetails(**fields))
    answer = await node.ask(request)
    assert answer.status == OK
    return answer.scan


async def shown(node: RunningNode, number: int) -> list[Item]:
    return [item_from_bytes(each) for each in (await entries(node, number)).items]


def collection_bytes(node: RunningNode, name: str) -> int:
    data = node.node._store.get(prefix(TABLE, COLLECTIONS) + key(name)[PREFIX_BYTES:])
    return int.from_bytes(data or b"", "big")


async def test_indexes_follow_the_item(one: NodeSet) -> None:
    """In the same entry of the log, whatever writes it; and with them the size of the collection."""
    leader = await one.found(indexed(one))
    assert await leader.status(put("a", item_to_bytes(row("a", n=5, m=1)))) == OK
    assert await shown(leader, 1) == [row("a", n=5, m=1)]
    assert await shown(leader, 2) == [row("a", n=5)]
    size = collection_bytes(leader, "a")
    assert size == 9 + 9 + 6
    answer = await leader.ask(update("a", "SET n = n + :d", {":d": 1}, measured=True))
    assert {each.number: each.units for each in answer.write.indexes} == {1: 2, 2: 2}
    assert answer.write.collection_bytes == size
    assert await shown(leader, 1) == [row("a", n=6, m=1)]
    assert await leader.status(update("a", "REMOVE n")) == OK
    assert await shown(leader, 1) == await shown(leader, 2) == []
    assert await leader.status(update("a", "SET n = m")) == OK
    assert await shown(leader, 2) == [row("a", n=1)]
    assert await leader.status(delete("a")) == OK
    assert await shown(leader, 1) == await shown(leader, 2) == []
    assert collection_bytes(leader, "a") == 0


async def test_an_index_that_the_table_does_not_have(one: NodeSet) -> None:
    """A router of another time may ask for it, also for what is kept under such a number."""
    leader = await one.found(indexed(one))
    assert await leader.status(put("a", item_to_bytes(row("a", n=1)))) == OK
    for number in (3, COLLECTIONS):
        request = scan()
        request.key = prefix(TABLE, number)
        request.scan.end_key = after_prefix(request.key)
        assert await leader.status(request) == partition_pb2.NOT_MINE


async def test_an_index_gives_whole_items_where_they_are_asked_for(one: NodeSet) -> None:
    """Each fetched from the table, and counted."""
    leader = await one.found(indexed(one))
    for number in range(3):
        item = {**row(f"k{number}", n=number), "b": {"B": bytes(5000)}}
        assert await leader.status(put(f"k{number}", item_to_bytes(item))) == OK
    result = await entries(leader, 2, whole_items=True)
    assert [len(item_from_bytes(each)["b"]["B"]) for each in result.items] == [5000] * 3
    assert (result.fetched_units, result.is_complete) == (6, True)
    result = await entries(leader, 2, whole_items=True, bytes_max=6000)
    assert (result.evaluated, len(result.items), result.is_complete) == (2, 2, False)
    assert item_from_bytes(result.last_key_item).keys() == {"pk", "n"}


async def test_an_index_key_of_the_wrong_type_is_refused(one: NodeSet) -> None:
    """Where only the leader can know: an update may make it of anything."""
    leader = await one.found(indexed(one))
    item = {**row("a", m=1), "s": {"S": "text"}}
    assert await leader.status(put("a", item_to_bytes(item))) == OK
    answer = await leader.ask(update("a", "SET n = s"))
    assert answer.status == partition_pb2.INVALID_UPDATE
    assert "attempted to update the secondary index key to unsupported type" in answer.message


async def test_an_item_is_limited_together_with_its_entries(one: NodeSet) -> None:
    """Also with those that a write leaves as they are."""
    descriptor = indexed(one)
    del descriptor.local_indexes[0]
    descriptor.local_indexes[0].projection.type = tables_pb2.Projection.INCLUDE
    descriptor.local_indexes[0].projection.non_key_attributes.append("b")
    leader = await one.found(descriptor)
    item = {**row("a", n=1), "b": {"B": bytes(190_000)}}
    assert await leader.status(put("a", item_to_bytes(item))) == OK
    larger = {**item, "c": {"B": bytes(40_000)}}
    answer = await leader.ask(put("a", item_to_bytes(larger)))
    assert (answer.status, "size" in answer.message) == (partition_pb2.INVALID_UPDATE, True)
    assert await leader.status(put("a", item_to_bytes({**item, "c": {"B": bytes(20_000)}}))) == OK


async def test_a_collection_has_a_limit(one: NodeSet) -> None:
    """What would make it larger is refused; what makes it smaller is not."""
    leader = await one.found(indexed(one))
    await leader.stop()
    await leader.start(item_collection_bytes=29)
    await one.wait_for_leader()
    assert await leader.status(put("a", item_to_bytes(row("a", n=1)))) == OK
    grow, shrink = row("a", n=1, m=1234567), row("a")
    assert await leader.status(put("a", item_to_bytes(grow))) == partition_pb2.COLLECTION_FULL
    assert await leader.status(put("a", item_to_bytes(shrink))) == OK


async def test_indexes_survive_restarts_and_travel_in_snapshots(three: NodeSet) -> None:
    """A member that gets a snapshot has the entries and the collections' sizes; one that drops the partition, none."""
    leader = await three.found(indexed(three))
    away = next(each for each in three if each is not leader)
    await away.stop()
    for number in range(20):
        await three.do(put(f"k{number}", item_to_bytes(row(f"k{number}", n=number))))
    for each in three:
        if each.is_running:
            await each.node.checkpoint()
            each.node.host.groups[PARTITION].core.trim(each.node.host.groups[PARTITION].core.log.commit_slot)
    await away.start()

    async def has_all() -> bool:
        request = scan(consistent=False)
        request.key, request.scan.end_key = prefix(TABLE, 1), prefix(TABLE, 2)
        answer = await away.ask(request)
        return answer.status == OK and answer.scan.evaluated == 20

    for _ in range(2000):
        if await has_all():
            break
        await asyncio.sleep(0.005)
    assert await has_all()
    assert collection_bytes(away, "k7") == collection_bytes(leader, "k7") > 0
    sizes = {each.number: each.items for each in away.node.sizes()[0].indexes}
    assert sizes == {1: 20, 2: 20}
    await away.node.assign(cluster_pb2.NodeAssignments(removed=[PARTITION]))
    assert list(away.node._store.scan(b"", b"\xff" * 20)) == []


async def test_a_range_outside_the_partition_is_not_its_own(one: NodeSet) -> None:
    """Neither of the table nor of an index; the route is to be refreshed."""
    descriptor = indexed(one)
    descriptor.range_start, descriptor.range_end = b"\x40", b"\x80"
    leader = await one.found(descriptor)
    for number in (0, 1):
        for low, high, expected in (
            (b"\x40", b"\x80", OK),
            (b"\x50", b"\x51", OK),
            (b"\x3f", b"\x80", partition_pb2.NOT_MINE),
            (b"\x40", b"\x80\x00", partition_pb2.NOT_MINE),
            (b"\x60", b"\x50", partition_pb2.NOT_MINE),
        ):
            request = scan()
            request.key, request.scan.end_key = prefix(TABLE, number) + low, prefix(TABLE, number) + high
            assert await leader.status(request) == expected
    assert len(token()) == 16
