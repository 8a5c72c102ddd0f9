"""The snapshots of a node: how fast and how many are sent, and what happens when a stream breaks."""

from __future__ import annotations

from server.runtime.snapshot_transfer import DECLINED_SEQUENCE, STALE_NS, UNAVAILABLE_NS, Pace
from server.runtime.snapshots import SNAPSHOTS_SENT_MAX
from tests.server.runtime.test_replica_host import GROUP, MEMBERS, MS, Done, Lone


def test_another_snapshot_does_not_wait_in_silence() -> None:
    """Its sender would wait, too, for as long as a transfer may stall: it is told so, and may try again. Who has begun
    anew himself has given up what was under way; but what is complete takes its place first."""
    lone = Lone()
    lone.host.snapshots.receive_chunk(2, GROUP, 1, 10, 0, b"a", False)
    lone.host.snapshots.receive_chunk(3, GROUP, 2, 11, 0, b"b", False)
    assert lone.transport.acknowledged == [0, DECLINED_SEQUENCE]
    lone.host.snapshots.receive_chunk(2, GROUP, 3, 12, 0, b"c", False)
    assert lone.transport.acknowledged == [0, DECLINED_SEQUENCE, 0]
    lone.host.snapshots.receive_chunk(2, GROUP, 1, 10, 1, b"a", True)
    assert lone.machine.restored_slots == [], "of the transfer that was given up"
    assert lone.transport.acknowledged.pop() == DECLINED_SEQUENCE
    finished: list[Done] = []
    lone.machine.finish_restore = lambda slot, done: finished.append(done)  # type: ignore[method-assign]
    lone.host.snapshots.receive_chunk(2, GROUP, 3, 12, 1, b"c", True)
    lone.host.snapshots.receive_chunk(2, GROUP, 4, 13, 0, b"d", False)
    assert lone.transport.acknowledged == [0, DECLINED_SEQUENCE, 0, DECLINED_SEQUENCE]
    finished[0]()
    assert lone.core.applied_slot == 12
    assert lone.transport.acknowledged[-1] == 1
    lone.now_ns += STALE_NS + 1
    lone.host.snapshots.receive_chunk(2, GROUP, 5, 14, 0, b"e", False)
    lone.now_ns += STALE_NS + 1
    lone.host.snapshots.receive_chunk(3, GROUP, 6, 15, 0, b"f", False)
    assert lone.transport.acknowledged[-2:] == [0, 0], "the one before has stalled"


def test_a_transfer_goes_on_where_the_stream_broke() -> None:
    """The sender sends what was not acknowledged again; the receiver says what it has stored, and takes the rest."""
    lone = Lone()
    ballot = lone.lead()
    lone.write(ballot, 10, 10)
    lone.machine.durable_slot = 10
    lone.core.trim(10)
    lone.lag(ballot)
    sent = list(lone.transport.chunks)
    assert [sequence for _, _, sequence, _ in sent] == [0, 1]
    lone.host.peer_connected(3)
    assert lone.transport.chunks == [*sent, *sent]
    lone.host.snapshots.receive_ack(3, GROUP, sent[0][0], 0)
    lone.host.peer_connected(3)
    assert lone.transport.chunks == [*sent, *sent, sent[1]]
    assert len(lone.machine.sources) == 1

    receiver = Lone()
    for sequence in (0, 1, 0, 1, 2):
        receiver.host.snapshots.receive_chunk(2, GROUP, 1, 9, sequence, b"x", sequence == 2)
    assert receiver.transport.acknowledged == [0, 1, 1, 1, 2]
    assert receiver.machine.restored_slots == [9]


def test_who_has_forgotten_a_transfer_says_so() -> None:
    """It was restarted, say: the sender need not wait until nothing has moved for long."""
    lone = Lone()
    lone.host.snapshots.receive_chunk(2, GROUP, 1, 9, 5, b"x", False)
    assert lone.transport.acknowledged == [DECLINED_SEQUENCE]


def test_who_is_declined_does_not_insist() -> None:
    """Who takes another's snapshot may do so for minutes. Each attempt opens the state; one a second is enough. But one
    that had begun is begun anew at once: the receiver was restarted."""
    lone = Lone()
    ballot = lone.lead()
    lone.write(ballot, 10, 10)
    lone.machine.durable_slot = 10
    lone.core.trim(10)
    for attempts in (1, 2):
        lone.lag(ballot)
        assert len(lone.machine.sources) == attempts
        lone.host.snapshots.receive_ack(3, GROUP, lone.transport.chunks[-1][0], DECLINED_SEQUENCE)
        lone.lag(ballot)
        assert len(lone.machine.sources) == attempts
        assert lone.machine.sources[-1].is_closed
        lone.now_ns += UNAVAILABLE_NS + 1
        lone.host.snapshots.tend()
    lone.lag(ballot)
    lone.host.snapshots.receive_ack(3, GROUP, lone.transport.chunks[-1][0], 0)
    lone.host.snapshots.receive_ack(3, GROUP, lone.transport.chunks[-1][0], DECLINED_SEQUENCE)
    lone.lag(ballot)
    assert len(lone.machine.sources) == 4


def test_snapshots_are_sent_at_a_pace() -> None:
    """What may not be sent yet is sent when it may, with a tick."""
    lone = Lone()
    lone.host.snapshots.pace = Pace(1)  # a byte, which is a chunk here, a second
    ballot = lone.lead()
    lone.write(ballot, 10, 10)
    lone.machine.durable_slot = 10
    lone.core.trim(10)
    lone.lag(ballot)
    assert len(lone.transport.chunks) == 1
    lone.host.tick()
    assert len(lone.transport.chunks) == 1
    lone.now_ns += 1_000 * MS
    lone.host.tick()
    assert len(lone.transport.chunks) == 2


def test_only_so_many_snapshots_are_sent_at_once() -> None:
    """The others are begun when there is room; they are asked for again."""
    lone = Lone()
    for group_id in range(20, 20 + SNAPSHOTS_SENT_MAX + 2):
        lone.host.open_group(group_id, MEMBERS, lone.machine, None, 0)
        lone.host.snapshots.start(lone.host.groups[group_id], 3)
    assert len(lone.machine.sources) == SNAPSHOTS_SENT_MAX
    lone.host.close_group(20)
    lone.host.snapshots.start(lone.host.groups[20 + SNAPSHOTS_SENT_MAX], 3)
    assert len(lone.machine.sources) == SNAPSHOTS_SENT_MAX
    lone.now_ns += UNAVAILABLE_NS + 1
    lone.host.snapshots.tend()
    lone.host.snapshots.start(lone.host.groups[20 + SNAPSHOTS_SENT_MAX], 3)
    assert len(lone.machine.sources) == SNAPSHOTS_SENT_MAX + 1
