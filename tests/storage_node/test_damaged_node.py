"""Storage nodes whose data folder is not what they left: damage is told, never served, has no vote, and is healed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import crc32c
import pytest
from statorpb import cluster_pb2, partition_pb2

from server.codec.frame import FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES
from server.paxos.acceptor import Health
from server.runtime.identity import Identity, IdentityError
from server.wal_recovery import LogReader
from server.wal_segment import SegmentFiles
from storage_node.btree import BTree, DamagedStoreError, group_key
from storage_node.config import MIB
from storage_node.lost import LostReplicas
from storage_node.node import DamagedDataError
from tests.storage_node.nodes import (
    PARTITION,
    NodeSet,
    RunningNode,
    flip,
    flip_all,
    get,
    put,
    scan,
    serves,
    wait_until,
)

OK = partition_pb2.OK


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[NodeSet]:
    nodes = NodeSet(tmp_path, 1, lease_ms=150, heartbeat_ms=40)
    yield nodes
    await nodes.stop()


async def filled(nodes: NodeSet, count: int = 30) -> RunningNode:
    await nodes.found()
    for number in range(count):
        await nodes.do(put(f"k{number}", b"item %d." % number))
    return await nodes.wait_for_leader()


def flip_in_an_entry(node: RunningNode) -> None:
    """In the middle of the log: in an item, so that the frame around it is whole."""
    assert flip_all(node.segments()[0], b"item 10.") >= 1


def flip_in_a_frame(node: RunningNode) -> None:
    """In the header of a frame in the middle of the log: whose it was is not known any more."""
    path = node.segments()[0]
    data = path.read_bytes()
    position = data.rfind(b"\xb5\x1eWf", SEGMENT_HEADER_BYTES, data.find(b"item 10."))
    assert position > 0
    flip(path, position + FRAME_HEADER_BYTES // 2)


def flip_in_a_segment_header(node: RunningNode) -> None:
    flip(node.segments()[0], 20)


def flip_in_the_first_frame(node: RunningNode) -> None:
    """Of the whole log: it holds a promise, and nothing comes before it that would show the gap."""
    flip(node.segments()[0], SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES // 2)


DAMAGES = [flip_in_an_entry, flip_in_a_frame, flip_in_a_segment_header, flip_in_the_first_frame]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_log_is_healed_and_nothing_is_lost(
    three: NodeSet, damage: Callable[[RunningNode], None]
) -> None:
    """The member whose log is damaged says so, and takes no part until the two others have told it everything. Then it
    is whole: also after another restart, and good for a majority. The damage leaves the log with its segments."""
    leader = await filled(three)
    others = [each for each in three if each is not leader]
    await leader.stop()
    damage(leader)
    for each in others:
        await each.stop()
    for _ in range(2):
        await leader.start()
        assert leader.node.damaged == {PARTITION}
        assert leader.node.note == "log damaged, being healed: partitions [100]"
        assert leader.node.replicas[PARTITION].partition_id == PARTITION
        await leader.node.checkpoint()
        assert leader.segments()[0].name == "000000000001.wal"  # the damage, and with it the knowledge of it
        await leader.stop()
    for each in three:
        await each.start()
    await wait_until(lambda: leader.node.note == "")
    await three.do(put("new", b"written meanwhile"))
    await others[0].stop()
    for number in range(30):
        assert (await three.do(get(f"k{number}"))).item == b"item %d." % number
    await leader.node.checkpoint()
    await wait_until(lambda: leader.segments()[0].name != "000000000001.wal")
    await leader.stop()
    await leader.start()
    assert leader.node.note == ""
    assert (await three.do(get("new"))).item == b"written meanwhile"
    assert leader.fatal == []


@pytest.mark.parametrize("damage", [flip_in_an_entry, "btree"])
async def test_a_leader_that_cannot_open_its_replica_holds_nobody_up(
    three: NodeSet, damage: Callable[[RunningNode], None] | str
) -> None:
    """The node goes on with other partitions, so its peers go on granting to it. They must not take that for a sign
    that it still leads the one that it cannot open."""
    leader = await filled(three)
    other = three.descriptor(PARTITION + 1, table=2)
    for each in three:
        await each.node.assign(cluster_pb2.NodeAssignments(partitions=[other]))
    await wait_until(lambda: any(each.node.host.is_serving_leader(PARTITION + 1) for each in three))
    await leader.crash()
    if damage == "btree":
        btree = BTree(leader.directory / "btree", map_bytes=4 * MIB)
        btree.open()
        btree.write(lambda txn: txn.delete(group_key(PARTITION), db=btree.descriptors))
        btree.close()
    else:
        flip_in_an_entry(leader)
    await leader.start()
    assignments = cluster_pb2.NodeAssignments(partitions=[three.descriptor(), other])
    await leader.node.assign(assignments)
    assert leader.node.damaged | leader.node.missing == {PARTITION}
    for number in range(30):
        assert (await three.do(get(f"k{number}"))).item == b"item %d." % number


async def test_two_members_with_damaged_logs_elect_nobody(three: NodeSet) -> None:
    """A single whole member is no majority: what the others forgot may be lost, so nothing is answered."""
    leader = await filled(three)
    damaged = [each for each in three if each is not leader]
    for each in three:
        await each.stop()
    for each in damaged:
        flip_in_an_entry(each)
    for each in three:
        await each.start()
    await wait_until(lambda: leader.node.host.groups[PARTITION].core.candidacy is not None)
    await asyncio.sleep(2 * leader.config().lease_ms / 1000)
    assert not any(each.leads for each in three)
    assert await leader.status(get("k1", consistent=False)) == partition_pb2.NOT_FRESH


async def test_a_damaged_replica_can_be_dropped(three: NodeSet) -> None:
    """Deleting its table frees a damaged replica's data and ends the report, for good."""
    leader = await filled(three)
    for each in three:
        await each.node.checkpoint()
        await each.stop()
    flip_in_an_entry(leader)
    await leader.start()
    assert leader.node.damaged == {PARTITION}
    await leader.node.assign(cluster_pb2.NodeAssignments(removed=[PARTITION]))
    assert (leader.node.note, leader.node.dropped) == ("", {PARTITION})
    await leader.stop()
    await leader.start()
    assert (leader.node.note, leader.node.damaged) == ("", set())
    assert leader.node._store.all_descriptors() == {}
    assert list(leader.node._store.scan(b"", b"\xff" * 40)) == []
    await leader.stop()
    # The log counts as whole again, and may be trimmed.
    files = SegmentFiles(leader.directory / "wal", node_id=leader.node_id, segment_bytes=4 * MIB)
    recovery = LogReader(files, {}).read()
    assert (recovery.all_damaged, recovery.damaged_groups) == (False, frozenset())


async def test_a_lost_log_is_told_at_every_start(three: NodeSet) -> None:
    """A node that has replicas and no log has forgotten every promise: it does not start, the second time neither."""
    leader = await filled(three)
    await leader.stop()
    shutil.rmtree(leader.directory / "wal")
    for _ in range(2):
        await _fails_to_start(leader, "is gone: what was promised in it is forgotten")
    for number in range(30):
        assert (await three.do(get(f"k{number}"))).item == b"item %d." % number


async def test_a_lost_b_tree_is_missed(three: NodeSet) -> None:
    """A replica whose B-tree is gone is not made anew, though its log is here: it is reported as missing."""
    leader = await filled(three)
    await leader.stop()
    shutil.rmtree(leader.directory / "btree")
    await leader.start()
    descriptor = three.descriptor()
    for descriptor.fresh in (False, True):
        await leader.node.assign(cluster_pb2.NodeAssignments(partitions=[descriptor]))
        assert leader.node.note == "missing on disk: partitions [100]"
        assert leader.node.replicas == {}
    for number in range(30):
        assert (await three.do(get(f"k{number}"))).item == b"item %d." % number


async def test_a_torn_end_is_cut_off(three: NodeSet) -> None:
    """What a crash tore off was never acknowledged: the member goes on as if nothing had been."""
    leader = await filled(three)
    await leader.stop()
    path = leader.segments()[-1]
    with path.open("ab") as file:
        file.write(b"\xb5\x1eWf" + bytes(range(200)))
    await leader.start()
    assert leader.node.note == ""
    for number in range(30):
        assert (await three.do(get(f"k{number}"))).item == b"item %d." % number


async def test_a_leader_with_a_damaged_item_lets_another_lead(three: NodeSet) -> None:
    """Wrong data is never served: the leader that cannot read an item hands over to one that can, and is rebuilt from
    who leads then. Nobody has to do anything about it."""
    await filled(three)
    await checkpointed_alike(three)
    leader = three.nodes[1]
    await _damaged_item(leader)
    await _lead(three, leader)
    assert (await three.do(get("k10"))).item == b"item 10."
    assert not leader.leads
    await wait_until(lambda: leader.node.note == "" and leader.node.healed == 1)
    await three.do(put("new", b"written since"))
    await _lead(three, leader)
    for number in range(30):
        assert (await three.do(get(f"k{number}"))).item == b"item %d." % number
    assert (await leader.ask(get("new"))).item == b"written since"
    assert [each.node.healed for each in three] == [0, 1, 0]


async def test_a_follower_with_a_damaged_item_does_not_serve_it(three: NodeSet) -> None:
    """A read that any member may answer is told that this one cannot, and is answered by it where the damage is not.
    The node reports it, and is rebuilt from who leads."""
    leader = await filled(three)
    await checkpointed_alike(three)
    other = next(each for each in three if each is not leader)
    await _damaged_item(other)
    await wait_until(lambda: other.node.host.is_fresh(PARTITION) and not other.leads)
    reads = get("k10", consistent=False), scan(consistent=False), get("k11", consistent=False)
    rotten, scanned, whole = [other.ask(each).result() for each in reads]  # before it can begin to heal
    assert (rotten.status, rotten.item) == (partition_pb2.CORRUPT, b"")
    assert scanned.status == partition_pb2.CORRUPT
    assert whole.item == b"item 11."
    assert other.node.note == "damaged items in the B-tree, being rebuilt: partitions [100]"
    await wait_until(lambda: other.node.note == "" and other.node.healed == 1)
    await wait_until(lambda: serves(other, "k10"))
    assert (await other.ask(get("k10", consistent=False))).item == b"item 10."


async def _damaged_item(node: RunningNode) -> None:
    """Flips a bit in an item of its B-tree while it is away."""
    await node.stop()
    assert flip_all(node.directory / "btree" / "data.mdb", b"item 10.") >= 1
    await node.start()


async def test_a_leader_that_nobody_can_take_over_from_keeps_its_damaged_state(one: NodeSet) -> None:
    """What is left of it is all there is; so it goes on leading, and serves the rest. Writing the item again mends
    it."""
    leader = await filled(one)
    await leader.node.checkpoint()
    await leader.stop()
    assert flip_all(leader.directory / "btree" / "data.mdb", b"item 10.") >= 1
    await leader.start()
    await one.wait_for_leader()
    for request in (get("k10", consistent=False), get("k10")):
        await one.wait_for_leader()
        assert await leader.status(request) != OK
    for number in (9, 11, 29):
        assert (await one.do(get(f"k{number}"))).item == b"item %d." % number
    await one.do(put("k10", b"anew"))
    await leader.node.checkpoint()
    assert (await one.do(get("k10"))).item == b"anew"


async def checkpointed_alike(nodes: NodeSet) -> None:
    """All members have the same slots in their B-trees: none will need a snapshot."""
    slot = max(each.node.host.groups[PARTITION].core.log.last_slot for each in nodes)
    await wait_until(lambda: all(each.node._store.applied_slot(PARTITION) == slot for each in nodes))
    for each in nodes:
        await each.node.checkpoint()


async def test_a_damaged_snapshot_is_not_sent(three: NodeSet) -> None:
    """A leader that cannot read what a lagging member needs lets another lead, which sends it."""
    await filled(three)
    lagging, leader, whole = three.nodes
    await lagging.stop()
    await _lead(three, leader)
    for number in range(10):
        await three.do(put(f"late{number}", b"late"))
    slot = leader.node.host.groups[PARTITION].core.log.last_slot
    await wait_until(lambda: whole.node._store.applied_slot(PARTITION) == slot)
    for each in (leader, whole):
        await each.node.checkpoint()
    for each in (leader, whole):
        await each.stop()
    assert flip_all(leader.directory / "btree" / "data.mdb", b"item 10.") >= 1
    await leader.start()
    await whole.start()
    await _lead(three, leader)
    await lagging.start()
    await wait_until(lambda: "damaged items" in leader.node.note)
    await wait_until(lambda: whole.leads)
    await wait_until(lambda: lagging.ask(get("late9", consistent=False)).result().status == OK)
    assert (await lagging.ask(get("k10", consistent=False))).item == b"item 10."


async def test_a_leader_that_can_send_nobody_what_it_has(three: NodeSet) -> None:
    """It alone knows what is committed, and has no log of it any more; the others have all of it. So it wins, they wait
    for its state, and it cannot read that. One of them has to lead."""
    await filled(three)
    rotten, *others = three.nodes
    slot = max(each.node.host.groups[PARTITION].core.log.last_slot for each in three)
    await wait_until(lambda: rotten.node._store.applied_slot(PARTITION) == slot)
    await rotten.node.checkpoint()
    for each in three:
        await each.crash()
    assert flip_all(rotten.directory / "btree" / "data.mdb", b"item 10.") >= 1
    await rotten.start()
    await others[0].start()
    await wait_until(lambda: "damaged items" in rotten.node.note)
    await others[1].start()
    assert (await three.do(get("k10"))).item == b"item 10."
    for each in others:
        await each.node.checkpoint()  # what they send is never older than what it had
    await wait_until(lambda: rotten.node.note == "" and rotten.node.healed == 1)


async def _lead(nodes: NodeSet, wanted: RunningNode) -> None:
    """Hands the leadership on until `wanted` has it."""
    while (current := await nodes.wait_for_leader()) is not wanted:
        current.node.host.hand_over(PARTITION)
        await wait_until(lambda current=current: not current.leads)  # type: ignore[misc]


async def test_a_damaged_page_is_an_answer_too(one: NodeSet) -> None:
    """Where LMDB itself finds its file damaged, the request is answered and the stream it came on lives on."""
    leader = await filled(one, 400)
    await leader.node.checkpoint()
    await leader.stop()
    path = leader.directory / "btree" / "data.mdb"
    position = path.read_bytes().find(b"item 10.")
    page = position - position % 4096
    data = bytearray(path.read_bytes())
    data[page + 10 : page + 12] = b"\x40\x00"  # a page of no kind that LMDB knows; a cursor on it would abort
    path.write_bytes(data)
    await leader.start()
    await one.wait_for_leader()
    statuses = {await leader.status(get(f"k{number}", consistent=False)) for number in range(400)}
    assert partition_pb2.CORRUPT in statuses
    assert statuses <= {OK, partition_pb2.CORRUPT}


async def _fails_to_start(node: RunningNode, match: str) -> None:
    with pytest.raises(DamagedDataError, match=match):
        await node.start()
    await node.abandon()


async def test_a_folder_of_another_node_or_version_is_refused(one: NodeSet, tmp_path: Path) -> None:
    """A log of another node, a log or a B-tree of another version, what is no B-tree: each is told in a sentence."""
    leader = await filled(one)
    await leader.stop()
    with pytest.raises(IdentityError, match="belongs to storage-1"):
        Identity.load_or_create(leader.directory, "storage-9")

    other = RunningNode(tmp_path / "other", 2)
    shutil.copytree(leader.directory / "wal", tmp_path / "other" / "wal")
    await _fails_to_start(other, "belongs to node 1, this is node 2: it is another node's data folder")

    path = leader.segments()[0]
    original = path.read_bytes()
    header = bytearray(original[:60])
    header[8] = 2
    path.write_bytes(bytes(header) + crc32c.crc32c(bytes(header)).to_bytes(4, "little") + original[64:])
    await _fails_to_start(leader, "has format version 2, this program knows version 1")
    path.write_bytes(original)

    btree = BTree(leader.directory / "btree", map_bytes=4 * MIB)
    btree.open()
    btree.write(lambda txn: btree.put_row(txn, btree.meta, b"format", b"2"))
    btree.close()
    await _fails_to_start(leader, "has format 2, not 1")


def no_b_tree(node: RunningNode) -> None:
    (node.directory / "btree" / "data.mdb").write_bytes(b"no B-tree at all" * 1000)


def flip_in_a_row(database: str) -> Callable[[RunningNode], None]:
    def damage(node: RunningNode) -> None:
        btree = BTree(node.directory / "btree", map_bytes=4 * MIB)
        btree.open()
        group = group_key(PARTITION)

        def flip_last(txn: object) -> None:
            db = getattr(btree, database)
            value = bytearray(txn.get(group, db=db))  # type: ignore[attr-defined]
            value[-1] ^= 1
            txn.put(group, bytes(value), db=db)  # type: ignore[attr-defined]

        btree.write(flip_last)
        btree.close()

    damage.__name__ = f"flip_in_{database}"
    return damage


def condemned(node: RunningNode) -> None:
    """Its last life ended because a page of the B-tree was damaged."""
    LostReplicas(node.directory, node.directory / "btree").condemn()


@pytest.mark.parametrize("damage", [no_b_tree, *map(flip_in_a_row, ("groups", "descriptors", "recent")), condemned])
async def test_a_damaged_b_tree_is_set_aside_and_rebuilt(three: NodeSet, damage: Callable[[RunningNode], None]) -> None:
    """The node starts, says so, and takes no part until the others have healed it: it has forgotten what it accepted
    before its log begins. It knows that over restarts, whether it has been told of its partitions or not. What is left
    of the damaged B-tree goes once all is whole, and then the node is good for a majority and can lead."""
    await filled(three)
    await checkpointed_alike(three)
    for each in three:
        await each.stop()
    lost, others = three.nodes[2], three.nodes[:2]
    damage(lost)
    assigned = cluster_pb2.NodeAssignments(partitions=[three.descriptor()])
    assigned.partitions[0].fresh = False
    for is_told in (False, True, True):
        await lost.start()
        assert lost.node.note == "B-tree damaged and set aside, being rebuilt: partitions [100]"
        if is_told:
            await lost.node.assign(assigned)
            assert lost.node.restoring() == [PARTITION]
            assert lost.node.host.groups[PARTITION].core.health == Health.DAMAGED
        else:
            assert lost.node.unopened() == [PARTITION]
        assert (lost.directory / "btree-damaged" / "data.mdb").exists()
        await lost.stop()
    for each in three:
        await each.start()
    await wait_until(lambda: lost.node.note == "" and not lost.node.restoring())
    assert lost.node.healed == 1
    await wait_until(lambda: not (lost.directory / "btree-damaged").exists())
    assert not (lost.directory / "lost.json").exists()
    await three.do(put("new", b"written since"))
    await lost.node.checkpoint()
    await lost.stop()
    await lost.start()
    assert (lost.node.note, lost.node.unopened()) == ("", [])
    await _lead(three, lost)
    await others[0].stop()
    for number in range(30):
        assert (await three.do(get(f"k{number}"))).item == b"item %d." % number
    assert (await three.do(get("new"))).item == b"written since"


async def test_a_lost_replica_may_be_dropped(one: NodeSet) -> None:
    """The group may have gone on without it meanwhile; then nothing is lost any more."""
    leader = await filled(one)
    await leader.stop()
    no_b_tree(leader)
    await leader.start()
    await leader.node.assign(cluster_pb2.NodeAssignments(removed=[PARTITION]))
    await wait_until(lambda: leader.node.note == "" and not (leader.directory / "btree-damaged").exists())
    await leader.stop()
    await leader.start()
    assert (leader.node.note, leader.node.unopened()) == ("", [])


async def test_without_a_log_a_damaged_b_tree_is_no_beginning(one: NodeSet) -> None:
    """With both gone nobody knows which replicas were here: the folder is not taken for a new one."""
    leader = await filled(one)
    await leader.stop()
    no_b_tree(leader)
    shutil.rmtree(leader.directory / "wal")
    for _ in range(2):
        await _fails_to_start(leader, "is gone: what was promised in it is forgotten")


async def test_damage_that_shows_itself_later_is_remembered(three: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends, since it cannot go on with such a B-tree; the next start would find nothing wrong, and end at
    the same place. So it is told to set the B-tree aside."""
    leader = await filled(three)
    error = DamagedStoreError("a page is none")

    def write_checkpoint(checkpoint: object) -> None:
        raise error

    monkeypatch.setattr(leader.node._store, "write_checkpoint", write_checkpoint)
    await leader.node.checkpoint()
    assert leader.fatal == ["the B-tree cannot be written: a page is none"]
    leader.fatal.clear()
    await leader.stop()
    await leader.start()
    assert leader.node.note == "B-tree damaged and set aside, being rebuilt: partitions [100]"


async def test_an_error_of_the_disk_is_not_taken_for_damage(one: NodeSet) -> None:
    """What the file system refuses at the start is told as such; once it works, the node starts."""
    leader = await filled(one)
    await leader.stop()
    obstacle = leader.directory / "wal" / "000000000009.tmp"
    obstacle.mkdir()
    with pytest.raises(OSError, match="000000000009"):
        await leader.start()
    await leader.abandon()
    obstacle.rmdir()
    await leader.start()
    assert (await one.do(get("k1"))).item == b"item 1."
