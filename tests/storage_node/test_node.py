"""Storage nodes as a whole: the pipeline of a write, bounds, leases, hand-over, restarts, dropping."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from statorpb import cluster_pb2, partition_pb2

from server.expressions.codec import encode
from server.expressions.legacy import attributes_to_get
from server.runtime.clock import now_ms
from server.wire import item_to_bytes
from storage_node import proposals
from storage_node.attendance import Attendance
from storage_node.node import StorageNode
from storage_node.store import StoreFullError
from tests.storage_node.nodes import (
    PARTITION,
    TABLE,
    NodeSet,
    RunningNode,
    delete,
    fail,
    get,
    item,
    key,
    put,
    scan,
    serves,
    token,
    wait_until,
)

OK = partition_pb2.OK
REMOVED = cluster_pb2.NodeAssignments(removed=[PARTITION])


def followers(nodes: NodeSet, leader: RunningNode) -> list[RunningNode]:
    return [each for each in nodes if each is not leader]


def logs_with(nodes: NodeSet, needle: bytes) -> int:
    """In how many nodes' logs something is."""
    return sum(any(needle in path.read_bytes() for path in each.segments()) for each in nodes)


async def test_a_write_is_answered_when_two_logs_have_it(three: NodeSet) -> None:
    """At the very moment of the answer the item is in the logs of a majority, and the leader serves it."""
    leader = await three.found()
    for number in range(20):
        item = b"in two logs %d." % number
        seen: list[int] = []
        answered = leader.ask(put("a", item))
        answered.add_done_callback(lambda _, item=item, seen=seen: seen.append(logs_with(three, item)))  # type: ignore[misc]
        assert (await answered).status == OK
        await wait_until(lambda seen=seen: bool(seen))  # type: ignore[misc]
        assert seen[0] >= 2
        answer = await leader.ask(get("a"))
        assert (answer.status, answer.item) == (OK, item)


async def test_writes_to_other_keys_do_not_wait_for_one_another(three: NodeSet) -> None:
    """What is asked for at once is in flight at once, and needs far fewer syncs than writes."""
    leader = await three.found()
    before = leader.node.host.groups[PARTITION].core.next_slot
    waiting = [leader.ask(put(f"k{number}", item(f"k{number}"))) for number in range(300)]
    assert {(await each).status for each in waiting} == {OK}
    assert leader.node.host.groups[PARTITION].core.next_slot - before == 300
    assert (await leader.ask(scan())).scan.evaluated == 300


async def test_followers_serve_eventually_consistent_reads_only(three: NodeSet) -> None:
    """A follower answers what may be stale, and names the leader for everything else."""
    leader = await three.found()
    assert await leader.status(put("a", item("a"))) == OK
    for follower in followers(three, leader):
        await wait_until(lambda follower=follower: follower.ask(get("a", consistent=False)).result().status == OK)  # type: ignore[misc]
        assert list((await follower.ask(scan(consistent=False))).scan.items) == [item("a")]
        for request in (get("a"), scan(), put("a", b"other"), delete("a")):
            answer = await follower.ask(request)
            assert (answer.status, answer.leader_node_id) == (partition_pb2.NOT_LEADER, leader.node_id)
    assert (await leader.ask(get("a"))).item == item("a")


async def test_without_a_lease_nothing_is_promised(three: NodeSet) -> None:
    """A leader that hears from nobody refuses strongly consistent reads and writes, and serves what may be stale."""
    leader = await three.found()
    assert await leader.status(put("a", b"item")) == OK
    for each in followers(three, leader):
        await each.stop()
    await wait_until(lambda: not leader.leads)
    for request in (get("a"), scan(), put("a", b"other")):
        assert await leader.status(request) in (partition_pb2.NO_LEASE, partition_pb2.NOT_LEADER)
    answer = await leader.ask(get("a", consistent=False))
    assert (answer.status, answer.item) == (OK, b"item")


async def test_a_state_that_another_replaces_is_not_taken_for_whole(one: NodeSet) -> None:
    """One transfer's state takes its place when the next has begun already, which takes away what it brought."""
    machine = (await one.found()).node.replicas[PARTITION]
    ended: list[str] = []
    progress: list[str] = []
    machine.begin_restore(5, lambda: progress.append("first"))
    await wait_until(lambda: progress == ["first"])
    machine.finish_restore(5, lambda: ended.append("first"))
    machine.begin_restore(6, lambda: None)
    machine._run(lambda: None, lambda: ended.append("second has begun"))
    await wait_until(lambda: bool(ended))
    assert (ended, machine.is_restoring, machine.open_snapshot()) == (["second has begun"], True, None)
    machine.finish_restore(6, lambda: ended.append("second"))
    await wait_until(lambda: not machine.is_restoring)
    assert ended == ["second has begun", "second"]


async def test_what_may_be_older_than_allowed_is_not_served(tmp_path: Path) -> None:
    """A follower that hears of no leader, and a leader without a lease, serve eventually consistent reads for so long
    and no longer; one that comes back serves none until it has applied what the leader says is committed."""
    nodes = NodeSet(tmp_path, 3, eventual_read_age_ms=800)
    reads = get("a", consistent=False), scan(consistent=False)
    leader = await nodes.found()
    follower, other = followers(nodes, leader)
    assert await leader.status(put("a", item("old"))) == OK
    await wait_until(lambda: follower.ask(reads[0]).result().status == OK)
    await other.stop()
    await follower.stop()
    await wait_until(lambda: leader.ask(reads[0]).result().status == partition_pb2.NOT_FRESH)
    assert await leader.status(reads[1]) == partition_pb2.NOT_FRESH
    await other.start()
    leader = await nodes.wait_for_leader()
    assert await leader.status(put("a", item("new"))) == OK
    answers = {leader.ask(each).result().status for each in reads}
    assert answers == {OK}
    await leader.stop()
    await follower.start()
    assert {follower.ask(each).result().status for each in reads} == {partition_pb2.NOT_FRESH}
    await leader.start()
    await wait_until(lambda: follower.ask(reads[0]).result().status == OK)
    assert follower.ask(reads[0]).result().item == item("new")
    assert list(follower.ask(reads[1]).result().scan.items) == [item("new")]
    await nodes.stop()


async def test_past_a_bound_a_write_is_refused_at_once(three: NodeSet) -> None:
    """Bytes in flight are bounded: the write past the bound is throttled in the same moment. Those in flight end at
    their deadlines with an unknown outcome, and with the same token each is carried out once, when it can be."""
    leader = await three.found()
    others = followers(three, leader)
    for each in others:
        await each.stop()
    item = bytes(400_000)
    requests = [put(f"k{number}", item, timeout_ms=100) for number in range(30)]
    waiting = [leader.ask(request) for request in requests]
    refused = [each.result().status for each in waiting if each.done()]
    assert refused == [partition_pb2.THROTTLED] * 10
    assert not waiting[0].done()
    in_flight = waiting[:20]
    assert {(await asyncio.wait_for(each, 5)).status for each in in_flight} == {partition_pb2.UNKNOWN_OUTCOME}
    for each in others:
        await each.start()
    for request in requests[:20]:
        await three.do(request)
    for number in (0, 19, 29):
        answer = await three.do(get(f"k{number}"))
        assert len(answer.item) == (400_000 if number < 20 else 0)
    await three.do(put("k29", b"small"))


async def test_a_repeated_write_is_carried_out_once(three: NodeSet) -> None:
    """The same token while the first is in flight waits for it; later it is answered from memory, by any leader."""
    leader = await three.found()
    first, second = put("a", b"1", token=b"0123456789abcdef"), put("a", b"1", token=b"0123456789abcdef")
    slot = leader.node.host.groups[PARTITION].core.next_slot
    answers = [leader.ask(first), leader.ask(second)]
    assert {(await each).status for each in answers} == {OK}
    assert await leader.status(put("a", b"2")) == OK
    assert leader.node.host.groups[PARTITION].core.next_slot == slot + 2
    leader.node.host.hand_over(PARTITION)
    await three.do(first)
    assert (await three.do(get("a"))).item == b"2"


async def test_a_write_that_is_too_old_is_not_carried_out(one: NodeSet) -> None:
    """A retry of it may have been, and forgotten; where it is remembered, it is answered as ever."""
    leader = await one.found()
    named = b"0123456789abcdef"
    assert await leader.status(put("a", b"1", token=named, age_ms=8_000)) == OK
    assert await leader.status(put("a", b"2")) == OK
    assert await leader.status(put("a", b"1", age_ms=8_001)) == partition_pb2.TOO_OLD
    assert await leader.status(delete("a", age_ms=2**32 - 1)) == partition_pb2.TOO_OLD
    assert await leader.status(put("a", b"1", token=named, age_ms=8_001)) == OK
    assert (await one.do(get("a"))).item == b"2"


async def test_the_logs_time_is_not_the_leaders_clock(three: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new leader's clock may be far ahead: what was carried out before it is remembered all the same."""
    leader = await three.found()
    named = b"0123456789abcdef"
    await three.do(put("a", b"1", token=named))
    await three.do(put("a", b"2"))
    leader.node.host.hand_over(PARTITION)
    await wait_until(lambda: any(each.leads for each in three if each is not leader))
    monkeypatch.setattr(proposals, "now_ms", lambda: now_ms() + 3_600_000)
    await three.do(put("b", b"1"))
    await three.do(put("a", b"1", token=named))
    assert (await three.do(get("a"))).item == b"2"


@pytest.mark.parametrize("checkpointed", [False, True])
async def test_restarted_in_place_nothing_is_lost(three: NodeSet, checkpointed: bool) -> None:
    """All nodes at once, with and without a checkpoint, twice: every acknowledged write and deletion is there."""
    await three.found()
    for number in range(50):
        await three.do(put(f"k{number}", b"%d" % number))
    if checkpointed:
        for each in three:
            await each.node.checkpoint()
    for number in range(0, 50, 5):
        await three.do(delete(f"k{number}"))
    for _ in range(2):
        for each in three:
            await each.stop()
        for each in three:
            await each.start()
        for number in range(50):
            answer = await three.do(get(f"k{number}"))
            assert answer.item == (b"" if number % 5 == 0 else b"%d" % number)
    assert [each.node.note for each in three] == ["", "", ""]


async def test_a_follower_that_was_away_catches_up_from_the_log_or_by_a_snapshot(three: NodeSet) -> None:
    """What it missed comes to it, whether its peers still have the log of it or not."""
    leader = await three.found()
    away = followers(three, leader)[0]
    for is_trimmed in (False, True):
        await away.stop()
        for number in range(40):
            await three.do(put(f"k{number}-{is_trimmed}", item(f"k{number}", bytes(1000))))
        if is_trimmed:
            for each in three:
                if each.is_running:
                    await each.node.checkpoint()
                    log = each.node.host.groups[PARTITION].core.log
                    each.node.host.groups[PARTITION].core.trim(log.commit_slot)
        await away.start()
        await wait_until(lambda flag=is_trimmed: serves(away, f"k39-{flag}"))  # type: ignore[misc]
        assert (await away.ask(scan(consistent=False))).scan.evaluated == (80 if is_trimmed else 40)


async def test_a_checkpoint_lets_go_of_the_log(one: NodeSet) -> None:
    """With checkpoints the log stays at a few segments, however much is written."""
    leader = await one.found()
    for number in range(60):
        await one.do(put(f"k{number % 7}", bytes(390_000)))
        if number % 5 == 0:
            await leader.node.checkpoint()
    await leader.node.checkpoint()
    await wait_until(lambda: len(leader.segments()) <= 3)
    await leader.stop()
    await leader.start()
    assert (await one.do(get("k3"))).item == bytes(390_000)


async def test_a_partition_without_a_majority_does_not_keep_the_log(
    three: NodeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others on its node write is let go of all the same; what it has accepted is there when it has a majority."""
    monkeypatch.setattr("server.wal.REPEAT_SEGMENTS", 2)
    leader = await three.found()
    first, last = followers(three, leader)
    with monkeypatch.context() as cut:
        cut.setattr(leader.node.peers, "send", lambda *_: None)
        leader.ask(put("waits", item("waits")))
        await asyncio.gather(first.crash(), last.crash())
    other = three.descriptor(PARTITION + 1, TABLE + 1)
    del other.members[:]
    other.members.append(leader.member)
    await leader.node.assign(cluster_pb2.NodeAssignments(partitions=[three.descriptor(), other]))
    for number in range(300):
        name = f"k{number % 7}"
        request = put(name, bytes(390_000), partition_id=PARTITION + 1, key=key(name, TABLE + 1))
        async with asyncio.timeout(20):
            while await leader.status(request) != OK:
                await asyncio.sleep(0.01)
        if number % 20 == 19:
            await leader.node.checkpoint()
    assert leader.node._wal.log_bytes <= 4 * leader.config().wal_segment_bytes, "8 have been filled"
    await leader.crash()
    await leader.start()
    await first.start()
    assert (await three.do(get("waits"))).item == item("waits")


async def test_a_drop_is_on_disk_before_it_is_reported(one: NodeSet) -> None:
    """Who is told may assign the partition anew: what the log said of its former life must not come back then."""
    node = await one.found()
    await one.do(put("k1", b"old"))
    await node.node.assign(REMOVED)
    assert (node.node.dropped, node.node._wal.bytes_queued) == ({PARTITION}, 0)


async def test_a_drop_that_a_crash_interrupted_is_finished(one: NodeSet) -> None:
    """The descriptor is gone, the log still knows the partition: it is made to forget before anything is reported."""
    node = await one.found()
    await one.do(put("k1", b"old"))
    node.node._store.delete_descriptor(PARTITION)
    await node.crash()
    await node.start()
    assert PARTITION in node.node._logged
    await node.node.assign(REMOVED)
    assert node.node.dropped == {PARTITION}
    await node.crash()
    await node.start()
    assert PARTITION not in node.node._logged


async def test_a_dropped_partition_is_gone_and_may_be_made_again(three: NodeSet) -> None:
    """Drop removes data, rows and log; the node reports it, knows nothing of it after a restart, and takes the same
    keys under a new partition. What is in flight ends."""
    leader = await three.found()
    for number in range(50):
        await three.do(put(f"k{number}", b"old"))
    for each in three:
        await each.node.checkpoint()
    pending = leader.ask(put("late", b"old"))
    for each in three:
        await each.node.assign(REMOVED)
        assert each.node.dropped == {PARTITION}
        assert PARTITION not in each.node.replicas
        assert await each.status(get("k1", consistent=False)) == partition_pb2.NOT_MINE
    assert (await pending).status in (OK, partition_pb2.UNKNOWN_OUTCOME, partition_pb2.NOT_LEADER)
    for each in three:
        await each.stop()
        await each.start()
        assert each.node.replicas == {}
        assert each.node.note == ""
        again = cluster_pb2.NodeAssignments(partitions=[three.descriptor(PARTITION + 1)])
        await each.node.assign(again)
    for each in three:
        await wait_until(lambda: any(peer.node.host.is_serving_leader(PARTITION + 1) for peer in three))
        await wait_until(lambda each=each: each.node.host.is_fresh(PARTITION + 1))  # type: ignore[misc]
        answer = await each.ask(scan(consistent=False, partition_id=PARTITION + 1))
        assert (answer.status, answer.scan.evaluated) == (OK, 0)


async def test_what_an_older_version_did_not_keep_comes_with_an_assignment(one: NodeSet) -> None:
    """A partition on disk without its key schema gets it, and still has it after a restart."""
    descriptor = one.descriptor()
    descriptor.ClearField("partition_key")
    leader = await one.found(descriptor)
    assert not leader.node.replicas[PARTITION].descriptor.HasField("partition_key")
    descriptor.fresh = False
    descriptor.partition_key.name, descriptor.partition_key.type = "artist", "S"
    descriptor.local_indexes.add(number=1, name="by-year")
    await leader.node.assign(cluster_pb2.NodeAssignments(partitions=[descriptor]))
    assert leader.node.replicas[PARTITION].descriptor == descriptor
    await leader.stop()
    await leader.start()
    assert leader.node.replicas[PARTITION].descriptor == descriptor


async def test_how_items_expire_is_what_was_assigned_last(one: NodeSet) -> None:
    """It may change at any time, so it is not kept: a node that was not told leaves items alone."""
    leader = await one.found()
    assert leader.node.expiry.attributes == {}
    descriptor, other = one.descriptor(), one.descriptor(PARTITION + 1, table=2)
    descriptor.time_to_live_attribute = other.time_to_live_attribute = "until"
    await leader.node.assign(cluster_pb2.NodeAssignments(partitions=[descriptor, other]))
    assert leader.node.expiry.attributes == {PARTITION: "until", PARTITION + 1: "until"}
    descriptor.time_to_live_attribute = ""
    await leader.node.assign(cluster_pb2.NodeAssignments(partitions=[descriptor, other]))
    assert leader.node.expiry.attributes == {PARTITION + 1: "until"}
    await leader.stop()
    await leader.start()
    assert leader.node.expiry.attributes == {}
    assert leader.node.replicas[PARTITION + 1].descriptor.time_to_live_attribute == ""


async def test_many_groups_share_a_node(one: NodeSet) -> None:
    """Partitions on one node keep their items apart; each has its own leader and size."""
    leader = await one.found()
    other = one.descriptor(PARTITION + 1, table=2)
    await leader.node.assign(cluster_pb2.NodeAssignments(partitions=[one.descriptor(), other]))
    await wait_until(lambda: len(leader.node.leaders()) == 2)
    assert await leader.status(put("a", b"first")) == OK
    second = put("a", b"second!", partition_id=PARTITION + 1, key=key("a", table=2))
    assert await leader.status(second) == OK
    assert (await leader.ask(get("a"))).item == b"first"
    await leader.node.checkpoint()
    sizes = {each.partition_id: (each.items, each.bytes) for each in leader.node.sizes()}
    assert sizes == {PARTITION: (1, 26 + 5), PARTITION + 1: (1, 26 + 7)}


async def test_malformed_requests_are_refused(one: NodeSet) -> None:
    """What no router sends is answered, not raised."""
    leader = await one.found()
    wrong = [
        (put("a", b"x", token=b"short"), partition_pb2.INVALID),
        (delete("a", token=b""), partition_pb2.INVALID),
        (get("a"), partition_pb2.INVALID),
        (get("a", partition_id=999), partition_pb2.NOT_MINE),
        (get("a", key=key("a", table=2)), partition_pb2.NOT_MINE),
        (get("a"), partition_pb2.NOT_MINE),
    ]
    wrong[2][0].operation = partition_pb2.PARTITION_OPERATION_UNSPECIFIED
    wrong[5][0].key = b""
    for request, status in wrong:
        assert await leader.status(request) == status
    assert await leader.status(put("a", b"x")) == OK


async def test_a_scan_goes_on_where_it_was_cut(one: NodeSet) -> None:
    """Limits of items and of bytes cut a scan; it says so, and every item comes exactly once, in order."""
    leader = await one.found()
    for number in range(25):
        assert await leader.status(put(f"k{number}", item(f"k{number}", bytes(100)))) == OK
    expected = [item_to_bytes({"pk": {"S": name}}) for name in sorted((f"k{n}" for n in range(25)), key=key)]
    for items_max, bytes_max in ((4, 0), (0, 350), (0, 1)):
        for backwards in (False, True):
            details = partition_pb2.ScanDetails(items_max=items_max, bytes_max=bytes_max, backwards=backwards)
            details.projection = encode(attributes_to_get(["pk"]).tree)
            request = scan(scan=details)
            found: list[bytes] = []
            while not (slice_ := (await leader.ask(request)).scan).is_complete:
                assert 1 <= slice_.evaluated <= (items_max or (4 if bytes_max == 350 else 1))
                found += slice_.items
                assert slice_.last_key_item == found[-1]
                if backwards:
                    request.scan.end_key = slice_.last_key
                else:
                    request.key = slice_.last_key + b"\x00"
            assert found + list(slice_.items) == (expected[::-1] if backwards else expected)


async def test_on_a_nearly_full_disk_only_puts_are_refused(one: NodeSet) -> None:
    """Below the reserve: puts get a status of their own, reads and deletions go on; with room again puts do too."""
    leader = await one.found()
    request = put("a", item("a"))
    assert await leader.status(request) == OK
    await leader.stop()
    await leader.start(disk_reserve_bytes=1 << 60)
    await one.wait_for_leader()
    await wait_until(lambda: "nearly full" in leader.node.note)
    refused = await leader.ask(put("b", b"item"))
    assert (refused.status, "full" in refused.message) == (partition_pb2.STORAGE_FULL, True)
    assert await leader.status(request) == OK, "it has been carried out"
    assert (await leader.ask(get("a"))).item == item("a")
    assert (await leader.ask(scan())).scan.evaluated == 1
    assert await leader.status(delete("a")) == OK
    assert await leader.status(get("a")) == partition_pb2.NOT_FOUND
    await leader.stop()
    await leader.start(disk_reserve_bytes=0)
    await one.do(put("b", b"item"))


@pytest.mark.parametrize("why_not", ["nothing to write", "no room"])
async def test_what_is_void_goes_without_a_checkpoint(
    one: NodeSet, monkeypatch: pytest.MonkeyPatch, why_not: str
) -> None:
    """On a full disk it is what makes room for one."""
    leader = await one.found()
    node = leader.node
    await node.checkpoint()
    if why_not == "no room":
        assert await leader.status(put("a", item("a"))) == OK

        def write_checkpoint(checkpoint: object) -> None:
            raise StoreFullError("no room")

        monkeypatch.setattr(node._store, "write_checkpoint", write_checkpoint)
    slot = node._store.checkpointed_slot(PARTITION)
    trims: list[object] = []
    monkeypatch.setattr(node._wal, "trim", lambda floors, needed: trims.append(floors))
    await node.checkpoint()
    assert trims == [{PARTITION: slot}]


class FullAtFirst(StorageNode):
    """A node without room for the first assignment."""

    is_full = True

    async def assign(self, assignments: cluster_pb2.NodeAssignments) -> None:
        if self.is_full:
            self.is_full = False
            raise StoreFullError("no space left on device")
        await super().assign(assignments)


async def test_an_assignment_without_room_is_tried_again(one: NodeSet) -> None:
    """A full disk at the wrong moment does not make a node deaf to everything that it is assigned later."""
    leader = await one.found()
    await leader.stop()

    await leader.start()
    node = leader.node
    node.__class__ = FullAtFirst
    attendance = Attendance(node, (), fail)
    attendance.start()
    second = one.descriptor(PARTITION + 1, table=2)
    attendance._take(cluster_pb2.NodeAssignments(catalog_slot=9, partitions=[second]))
    await wait_until(lambda: PARTITION + 1 in node.replicas)
    await attendance.stop()
    assert not node.is_full  # type: ignore[attr-defined]


async def test_tokens_name_writes_not_items(one: NodeSet) -> None:
    """Two writes with different tokens are two, though all else is the same."""
    leader = await one.found()
    slot = leader.node.host.groups[PARTITION].core.next_slot
    assert await leader.status(put("a", b"x", token=token())) == OK
    assert await leader.status(put("a", b"x", token=token())) == OK
    assert leader.node.host.groups[PARTITION].core.next_slot == slot + 2
