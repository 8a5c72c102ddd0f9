"""What a leader that was cut off has in its own log only, and an election brings back."""

from __future__ import annotations

from statorpb import partition_pb2

from server.wire import item_to_bytes
from tests.storage_node.nodes import PARTITION, NodeSet, RunningNode, put, wait_until
from tests.storage_node.test_writes import put_if, row, stored, update


async def alone(nodes: NodeSet, leader: RunningNode, *requests: partition_pb2.PartitionRequest) -> None:
    """Has a leader write down what nobody else hears of, and crash."""
    for each in nodes:
        if each is not leader:
            await each.stop()
    leadership = leader.node.host.groups[PARTITION].core.leadership
    assert leadership is not None and leader.leads
    slot = leadership.durable_slot + len(requests)
    for request in requests:
        leader.ask(request)
    await wait_until(lambda: leadership.durable_slot >= slot)
    await leader.crash()


async def number(nodes: NodeSet) -> int:
    leader = await nodes.wait_for_leader()
    found = await stored(leader, "a")
    assert found is not None
    return int(found["n"]["N"])


async def test_a_write_that_was_refused_is_not_carried_out_later(three: NodeSet) -> None:
    """The retry's answer holds: the next leader has only refused, and yet nothing of the former's counts any more."""
    first = await three.found()
    await three.do(put("a", item_to_bytes(row("a", n=1))))
    conditional = put_if("a", "n = :n", {":n": 2}, numbers={"n": 3})
    await alone(three, first, put("a", item_to_bytes(row("a", n=2))), conditional)
    for each in three:
        if each is not first:
            await each.start()
    leader = await three.wait_for_leader()
    assert await leader.status(conditional) == partition_pb2.CONDITION_FAILED
    await leader.crash()
    await first.start()
    assert await number(three) == 1


async def test_what_rests_on_a_write_that_was_lost_is_lost_with_it(three: NodeSet) -> None:
    """Two leaders in turn write what only they hear of. The first's comes back in the place of what the second's rest
    on, and is read: those must not undo it."""
    first = await three.found()
    await three.do(put("a", item_to_bytes(row("a", n=0))))
    await alone(three, first, put("a", item_to_bytes(row("a", n=100))))
    others = [each for each in three if each is not first]
    for each in others:
        await each.start()
    second = await three.wait_for_leader()
    third = next(each for each in others if each is not second)
    one_more = [update("a", "ADD n :one", {":one": 1}) for _ in range(2)]
    await alone(three, second, *one_more)
    await first.start()
    await third.start()
    seen = await number(three)
    await first.crash()
    await second.start()
    assert await number(three) == seen
