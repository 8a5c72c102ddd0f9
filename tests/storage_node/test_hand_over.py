"""Hand-overs between storage nodes, as routers see them: nobody is refused who could be told something of use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from statorpb import partition_pb2

from server.paxos.ballot import ZERO
from server.runtime.clock import now_ns
from server.runtime.hand_overs import HELD_NS
from tests.storage_node.nodes import PARTITION, NodeSet, RunningNode, get, put, scan, wait_until

OK = partition_pb2.OK


def followers(nodes: NodeSet, leader: RunningNode) -> list[RunningNode]:
    return [each for each in nodes if each is not leader]


async def test_leadership_is_handed_over(three: NodeSet) -> None:
    """The successor serves at once, within less than a lease, and has everything."""
    leader = await three.found()
    assert await leader.status(put("a", b"item")) == OK
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    leader.node.host.hand_over(PARTITION)
    answer = await leader.ask(get("a"))
    successor = await three.wait_for_leader()
    took_s = loop.time() - began_s
    assert successor is not leader
    assert (answer.status, answer.leader_node_id) == (partition_pb2.NOT_LEADER, successor.node_id)
    assert took_s < leader.config().lease_ms / 1000
    assert (await successor.ask(get("a"))).item == b"item"
    assert await successor.status(put("a", b"new")) == OK


async def test_of_what_is_asked_during_a_hand_over_everybody_is_told_the_end(three: NodeSet) -> None:
    """What was proposed is committed; what comes later waits until it is known who serves, and was not carried out."""
    leader = await three.found()
    before = [leader.ask(put(f"k{number}", b"1")) for number in range(20)]
    leader.node.host.hand_over(PARTITION)
    after = [leader.ask(put(f"k{number}", b"2")) for number in range(20)] + [leader.ask(scan())]
    assert not any(each.done() for each in after[:20])
    assert [(await each).status for each in before] == [OK] * 20
    answers = [await asyncio.wait_for(each, 20) for each in after]
    successor = await three.wait_for_leader()
    told = {(each.status, each.leader_node_id) for each in answers[:20]}
    assert told == {(partition_pb2.NOT_LEADER, successor.node_id)}
    assert (await successor.ask(get("k7"))).item == b"1"


async def test_who_takes_over_serves_what_came_too_early(three: NodeSet) -> None:
    """A request that finds the successor elected, and not serving yet, is served by it a moment later."""
    leader = await three.found()
    others = followers(three, leader)
    leader.node.host.hand_over(PARTITION)
    await wait_until(lambda: any(each.node.host.leader_ballot(PARTITION) != ZERO for each in others))
    (successor,) = [each for each in others if each.node.host.leader_ballot(PARTITION) != ZERO]
    assert await successor.status(put("a", b"1")) == OK


async def test_what_waits_for_a_leader_grows_older(three: NodeSet) -> None:
    """Nobody takes over: after its time it is refused, and it is older by so much."""
    leader = await three.found()
    for each in followers(three, leader):
        await each.crash()
    leader.node.host.hand_over(PARTITION)
    request = put("a", b"1", age_ms=1_000)
    assert await leader.status(request) == partition_pb2.NOT_LEADER
    assert request.age_ms >= 1_000 + HELD_NS // 1_000_000
    assert await leader.status(get("a")) == partition_pb2.NOT_LEADER, "and nobody else waits"


async def test_nobody_waits_twice(one: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where what it waits for seems to be under way for ever."""
    leader = await one.found()
    monkeypatch.setattr(leader.node.host.hand_overs, "is_under_way", lambda _: True)
    monkeypatch.setattr(leader.node.host, "is_serving_leader", lambda _: False)
    assert await leader.status(put("a", b"1")) == partition_pb2.NO_LEASE


async def test_a_bug_costs_one_request_that_has_waited(one: NodeSet) -> None:
    """Not the node, which called it when what it had waited for did not come."""
    leader = await one.found()

    def again(request: partition_pb2.PartitionRequest, reply: object) -> None:
        raise ValueError("a bug")

    leader.node.replicas[PARTITION].again = again
    leader.node.host.hand_over(PARTITION)
    assert await leader.status(put("a", b"1")) == partition_pb2.UNKNOWN_OUTCOME
    assert leader.fatal == []


async def test_a_node_that_hands_over_goes_on_answering(three: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It returns when another leads; until it is stopped, routers hear from it where to go."""
    leader = await three.found()
    looks = [True, True]
    is_under_way = leader.node.host.hand_overs.is_under_way
    monkeypatch.setattr(
        leader.node.host.hand_overs, "is_under_way", lambda group_id: looks.pop() if looks else is_under_way(group_id)
    )
    await leader.node.hand_over()
    assert looks == []
    (successor,) = [each for each in three if each.node.host.leader_ballot(PARTITION) != ZERO]
    assert successor is not leader
    answer = await leader.ask(get("a"))
    assert (answer.status, answer.leader_node_id) == (partition_pb2.NOT_LEADER, successor.node_id)


async def test_who_comes_back_can_be_counted_on_once_it_votes_and_has_caught_up(three: NodeSet) -> None:
    """Not as soon as it listens; and not while it lacks a replica."""
    leader = await three.found()
    await wait_until(lambda: all(each.node.is_ready for each in three))
    away = followers(three, leader)[0]
    await away.stop()
    await three.do(put("a", b"1"))
    await away.start()
    assert not away.node.is_ready
    await wait_until(lambda: away.node.is_ready)
    assert now_ns() >= away.node.host.leases.votes_from_ns
    assert (await away.ask(get("a", consistent=False))).item == b"1"
    away.node.missing.add(PARTITION + 1)
    assert not away.node.is_ready


async def test_a_stopping_node_hands_over(three: NodeSet) -> None:
    """A planned stop costs no lease either."""
    leader = await three.found()
    assert await leader.status(put("a", b"item")) == OK
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await leader.stop()
    successor = await three.wait_for_leader()
    assert loop.time() - began_s < leader.config().lease_ms / 1000
    assert (await successor.ask(get("a"))).item == b"item"


async def test_a_leader_with_a_slow_disk_lets_another_lead(tmp_path: Path) -> None:
    """Each of its writes takes long, and yet it would never lose its lease. It says so in its note, is not given the
    leadership back, and is well again when its disk is."""
    nodes = NodeSet(tmp_path, 3, slow_disk_ms=100)
    slow = await nodes.found()
    files = slow.node._wal._files
    write_synced, slow_s = files.write_synced, [0.3]

    def write_slowly(fd: int, buffers: Sequence[bytes], position: int) -> None:
        time.sleep(slow_s[0])
        write_synced(fd, buffers, position)

    files.write_synced = write_slowly  # type: ignore[method-assign]
    number = 0
    while slow.leads:
        await nodes.do(put(f"k{number}", b"1"))
        number += 1
    assert "disk slow: a write of the log takes" in slow.node.note
    other = await nodes.wait_for_leader()
    assert other is not slow
    other.node.host.hand_over(PARTITION)
    await wait_until(lambda: not other.leads)
    assert (await nodes.wait_for_leader()) not in (slow, other)
    slow_s[0] = 0.0
    while slow.node.host.disk.is_slow:
        await nodes.do(put(f"k{number}", b"1"))
    assert slow.node.note == ""
    await nodes.stop()
    assert [each.fatal for each in nodes] == [[], [], []]


async def test_a_leader_that_routers_cannot_reach_lets_who_they_reach_lead(three: NodeSet) -> None:
    """The request that says so waits for it, and is served. Who names another leader has it wrong."""
    leader = await three.found()
    for reached in followers(three, leader):
        await wait_until(lambda reached=reached: reached.node.host.leader_of(PARTITION)[0] == leader.node_id)  # type: ignore[misc]
    wrong = await reached.ask(put("a", b"1", unreachable_leader=reached.node_id))
    assert (wrong.status, wrong.leader_node_id) == (partition_pb2.NOT_LEADER, leader.node_id)
    assert await reached.status(put("a", b"1", unreachable_leader=leader.node_id)) == OK
    assert reached.leads
    assert (await leader.ask(get("a"))).leader_node_id == reached.node_id


async def test_a_leader_whose_disk_is_full_lets_another_lead(three: NodeSet) -> None:
    """So that writes go on; it is not given the leadership back, and is well again when there is room."""
    full = await three.found()
    await three.do(put("a", b"1"))
    disk = full.node._disk
    disk._reserve_bytes = 1 << 60
    await wait_until(lambda: not full.leads)
    other = await three.wait_for_leader()
    assert other is not full
    assert await other.status(put("a", b"2")) == partition_pb2.OK
    assert "disk nearly full" in full.node.note
    other.node.host.hand_over(PARTITION)
    await wait_until(lambda: not other.leads)
    assert (await three.wait_for_leader()) not in (full, other)
    disk._reserve_bytes = 0
    await wait_until(lambda: "disk nearly full" not in full.node.note)
    await wait_until(lambda: all(not each.node.host.disk.worse_node_ids() for each in three))
