"""The snapshots of a node: how fast and how many are sent, and what happens when a stream breaks."""

from __future__ import annotations

from server.paxos.ballot import Ballot
from server.paxos.messages import Accept, Accepted, CatchUpRequest, Commit, LogStart, PeerMessage, Run
from server.runtime.snapshot_transfer import (
    DECLINED_SEQUENCE,
    OVERDUE_NS,
    SILENT_NS,
    STALE_NS,
    SUPERSEDED_NS,
    TOLD_NS,
    UNAVAILABLE_NS,
    WAITING_SEQUENCE,
    Pace,
)
from server.runtime.snapshots import SNAPSHOTS_SENT_MAX
from tests.server.runtime.test_replica_host import GROUP, LEADER, LEASE, MEMBERS, MS, Done, FakeMachine, Lone


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


def test_a_snapshot_that_takes_too_long_is_begun_anew() -> None:
    """What is written meanwhile is kept in memory. Past a bound the transfer is given up, and begun from a later
    checkpoint, at twice the pace each time; that is over once one has arrived."""
    lone = Lone()
    lone.host.snapshots.logged_bytes_max = 10_000
    told: list[str] = []
    lone.host.snapshots.tell = lambda event, **details: told.append(event)
    lone.host.snapshots.pace = Pace(1)  # a byte, which is a chunk here, a second
    ballot = lone.lead()
    lone.write(ballot, 10, 10)
    lone.machine.durable_slot = 10
    lone.core.trim(10)
    lone.lag(ballot)
    for haste in (1, 2):
        lone.now_ns += 1_000 * MS
        lone.write(ballot, 9, 1_000)
        lone.host.snapshots.tend()
        assert len(lone.machine.sources) == haste
        lone.write(ballot, 2, 1_000)
        lone.machine.durable_slot = lone.core.log.commit_slot
        lone.host.snapshots.tend()
        assert [source.slot for source in lone.machine.sources[haste:]] == [lone.core.log.commit_slot]
        assert [source.is_closed for source in lone.machine.sources] == [True] * haste + [False]
        assert lone.host.groups[GROUP].senders[3].haste >= 2**haste
    assert told == ["a snapshot takes too long and is begun anew, faster"] * 2
    assert [sequence for _, _, sequence, _ in lone.transport.chunks] == [0] + [0, 1] * 2, "half a byte a chunk is none"
    lone.host.snapshots.receive_ack(3, GROUP, lone.transport.chunks[-1][0], 1)
    assert lone.host.groups[GROUP].haste == {}


def test_a_log_replica_is_told_with_the_snapshot_where_its_log_begins() -> None:
    """If others have what lies before; and before the first chunk, which its log has to reach back to."""
    lone = Lone()
    ballot = lone.lead()
    lone.write(ballot, 11, 10)
    assert lone.core.leadership is not None
    assert lone.core.leadership.progress[2].known_slot == 10, "of the last one it has not heard that it is committed"
    lone.core.leadership.progress[3].is_log_replica = True
    for slot in (11, 10):
        lone.machine.durable_slot = slot
        lone.host.snapshots.start(lone.host.groups[GROUP], 3)
        lone.host.snapshots.abort(lone.host.groups[GROUP], 3)
    assert [each for each in lone.transport.messages if isinstance(each[1], LogStart)] == [
        (3, LogStart(ballot, 10, is_held=True))
    ]


def test_what_a_member_has_acknowledged_is_not_kept_for_it() -> None:
    """A log replica has, of what follows the snapshot that is on its way to it, all that it has acknowledged."""
    lone = Lone()
    ballot = lone.lead()
    lone.write(ballot, 100, 1024 * 1024)
    lone.machine.durable_slot = 50
    lone.host.snapshots.start(lone.host.groups[GROUP], 3)
    lone.host.trim({GROUP: 100})
    assert lone.core.log.first_slot == 51
    lone.receive(3, Accepted(ballot, 60, 1))
    lone.host.trim({GROUP: 100})
    assert lone.core.log.first_slot == 61


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


def test_a_chunk_that_was_dropped_is_asked_for() -> None:
    """A full queue drops chunks. The receiver says so as soon as the next one comes, once; the sender begins there."""
    receiver = Lone()
    for sequence in (0, 1, 3, 4, 2, 4, 5, 4, 5, 3):
        receiver.host.snapshots.receive_chunk(2, GROUP, 1, 9, sequence, b"x", False)
    assert receiver.transport.missing == [2, 3, 3], "the second time what was sent again is lost, too"
    assert receiver.transport.acknowledged == [0, 1, 1, 2, 2, 2, 3]

    lone = Lone()
    ballot = lone.lead()
    lone.write(ballot, 10, 10)
    lone.machine.durable_slot = 10
    lone.core.trim(10)
    lone.lag(ballot)
    sent = list(lone.transport.chunks)
    lone.host.snapshots.receive_ack(3, GROUP, sent[0][0], 0, 1)
    assert lone.transport.chunks == [*sent, sent[1]]


def test_what_nobody_answers_is_sent_again() -> None:
    """Where the last chunks were dropped nothing shows the receiver that there were any; acknowledgements are dropped,
    too."""
    lone = Lone()
    ballot = lone.lead()
    lone.write(ballot, 10, 10)
    lone.machine.durable_slot = 10
    lone.core.trim(10)
    lone.lag(ballot)
    sent = list(lone.transport.chunks)
    lone.now_ns += OVERDUE_NS
    lone.host.snapshots.tend()
    assert lone.transport.chunks == sent
    for times in (2, 3):
        lone.now_ns += OVERDUE_NS + 1
        lone.host.snapshots.tend()
        lone.host.snapshots.tend()
        assert lone.transport.chunks == sent * times
    lone.now_ns += STALE_NS
    lone.host.snapshots.tend()
    assert lone.machine.sources[0].is_closed


def test_a_new_leader_does_not_wait_for_a_dead_one() -> None:
    """Half of a dead leader's snapshot keeps the next leader's out for a moment only; it keeps others' out for longer,
    and for as long as something comes."""
    lone = Lone()
    lone.receive(3, Commit(Ballot(2, 3), 0, 0))
    assert lone.core.leader_node_id == 3
    lone.host.snapshots.receive_chunk(2, GROUP, 1, 10, 0, b"a", False)
    lone.now_ns += SUPERSEDED_NS
    lone.host.snapshots.receive_chunk(3, GROUP, 2, 11, 0, b"b", False)
    assert lone.transport.acknowledged == [0, DECLINED_SEQUENCE]
    lone.host.snapshots.receive_chunk(2, GROUP, 1, 10, 1, b"a", False)
    lone.now_ns += SUPERSEDED_NS + 1
    lone.host.snapshots.receive_chunk(4, GROUP, 3, 11, 0, b"b", False)
    assert lone.transport.acknowledged == [0, DECLINED_SEQUENCE, 1, DECLINED_SEQUENCE]
    lone.host.snapshots.receive_chunk(3, GROUP, 4, 11, 0, b"b", True)
    assert lone.machine.restored_slots == [11]
    assert lone.transport.acknowledged[4:] == [0]


def test_making_room_is_no_silence() -> None:
    """To remove what a snapshot replaces may take minutes. The receiver says that it gets on, and neither side gives
    up; once it does not, both do."""
    lone = Lone()
    lone.machine.stores = lambda body: False
    lone.host.snapshots.receive_chunk(2, GROUP, 1, 9, 0, b"x", False)
    lone.now_ns += TOLD_NS
    lone.machine.progressed()
    assert lone.transport.acknowledged == []
    for times in range(1, 13):
        lone.now_ns += TOLD_NS + 1
        lone.machine.progressed()
        lone.machine.progressed()
        assert lone.transport.acknowledged == [WAITING_SEQUENCE] * times
    assert lone.host.groups[GROUP].is_receiving(lone.now_ns)
    assert not lone.host.groups[GROUP].is_receiving(lone.now_ns + SILENT_NS + 1)
    progressed = lone.machine.progressed
    lone.host.snapshots.receive_chunk(2, GROUP, 2, 9, 0, b"x", False)
    lone.now_ns += TOLD_NS + 1
    progressed()
    assert len(lone.transport.acknowledged) == 12, "of the transfer that was given up"

    sender = Lone()
    ballot = sender.lead()
    sender.write(ballot, 10, 10)
    sender.machine.durable_slot = 10
    sender.core.trim(10)
    sender.lag(ballot)
    for _ in range(12):
        sender.now_ns += STALE_NS
        sender.host.snapshots.receive_ack(3, GROUP, sender.transport.chunks[0][0], WAITING_SEQUENCE)
        sender.host.snapshots.tend()
    assert not sender.machine.sources[0].is_closed
    sender.host.snapshots.receive_ack(3, GROUP, sender.transport.chunks[0][0], 0)
    sender.host.snapshots.receive_ack(3, GROUP, sender.transport.chunks[0][0], 1)
    assert sender.core.leadership is not None
    assert sender.core.leadership.progress[3].sent_slot == 10


def test_a_damaged_state_is_replaced_by_the_leaders() -> None:
    """Though the log lacks nothing. Until it comes the old one is kept; what the log has behind it is applied again. A
    snapshot that the log on disk may not reach back to is of no use, nor is one while this member leads."""
    lone = Lone()
    lone.receive(2, Accept(Run(LEADER, 1, (b"a", b"b", b"c")), 3))
    lone.host.groups[GROUP].checkpointed_slot = 1
    lone.host.snapshots.receive_chunk(2, GROUP, 1, 2, 0, b"x", True)
    assert lone.transport.acknowledged == [DECLINED_SEQUENCE], "nothing is wrong with it"
    lone.host.rebuild(GROUP)
    lone.host.tick()
    assert (2, CatchUpRequest(0)) in lone.transport.messages
    assert not lone.core.is_restoring
    lone.host.snapshots.receive_chunk(2, GROUP, 2, 0, 0, b"x", True)
    assert lone.transport.acknowledged[1:] == [DECLINED_SEQUENCE]
    lone.machine.applied.clear()
    healed: list[int] = []
    lone.host.snapshots.on_restored = healed.append
    lone.host.snapshots.receive_chunk(2, GROUP, 3, 2, 0, b"x", True)
    assert (lone.machine.restored_slots, healed) == ([2], [GROUP])
    assert lone.machine.applied == [(3, b"c")]
    lone.transport.messages.clear()
    lone.now_ns += UNAVAILABLE_NS + LEASE.heartbeat_ns
    lone.host.tick()
    assert not any(isinstance(message, CatchUpRequest) for _, message in lone.transport.messages)


def test_a_snapshot_that_cannot_be_read_is_given_up_and_tried_again() -> None:
    """Damage in what is stored is no reason to end anything but that transfer."""
    lone = Lone()
    ballot = lone.lead()
    lone.write(ballot, 10, 10)
    lone.machine.durable_slot = 10
    lone.core.trim(10)
    lone.machine.is_readable = False
    lone.lag(ballot)
    assert not lone.transport.chunks
    assert lone.machine.sources[0].is_closed
    lone.machine.is_readable = True
    lone.now_ns += UNAVAILABLE_NS + LEASE.heartbeat_ns
    lone.host.tick()
    lone.lag(ballot)
    assert lone.transport.chunks[-1][1] == 10


def test_a_snapshot_is_not_finished_while_a_chunk_is_missing() -> None:
    """There was no room for one chunk, and then there was for the last: the state would lack the one."""
    lone = Lone()
    lone.machine.stores = lambda body: body != b"no room"
    for sequence, body in enumerate((b"a", b"no room", b"c")):
        lone.host.snapshots.receive_chunk(2, GROUP, 1, 10, sequence, body, sequence == 2)
    assert lone.machine.restored_slots == []
    assert lone.core.is_restoring


def test_the_next_snapshot_is_asked_for_when_one_has_arrived() -> None:
    """With the next heartbeat, two at a time; and at once behind each that is complete."""
    lone = Lone()
    for group_id in (GROUP + 1, GROUP + 2, GROUP + 3, GROUP + 4):
        machine = FakeMachine()
        machine.is_restoring = True
        lone.host.open_group(group_id, MEMBERS, machine, None, 0)
        lone.host.receive(2, group_id, Accept(Run(LEADER, 1, (b"a",)), 0), None)

    def requests() -> list[tuple[int, PeerMessage]]:
        return [sent for sent in lone.transport.messages if isinstance(sent[1], CatchUpRequest)]

    lone.host.tick()
    assert requests() == [(2, CatchUpRequest(0))] * 2
    lone.host.snapshots.receive_chunk(2, GROUP + 1, 7, 9, 0, b"x", True)
    assert len(requests()) == 3
    lone.host.snapshots.receive_chunk(2, GROUP + 2, 8, 9, 0, b"x", False)
    lone.now_ns += LEASE.heartbeat_ns
    lone.host.tick()
    assert len(requests()) == 3, "the one that is coming and the one that was asked for"


def test_a_candidate_that_takes_a_snapshot_stands_no_more() -> None:
    """It might win, and lead without a state. Who knows more may be one that cannot lead: a candidate that declined
    might stand for ever, and lack what it needs to win."""
    lone = Lone()
    lone.host.tick()
    assert lone.core.candidacy is not None
    lone.host.snapshots.receive_chunk(3, GROUP, 5, 10, 0, b"", False)
    assert lone.transport.acknowledged != [DECLINED_SEQUENCE]
    assert lone.core.is_restoring
    assert lone.core.candidacy is None


def test_a_leader_declines_a_snapshot() -> None:
    """Whoever sends it does not know yet that this member leads."""
    lone = Lone()
    lone.lead()
    lone.host.snapshots.receive_chunk(3, GROUP, 5, 10, 0, b"", False)
    assert lone.transport.acknowledged == [DECLINED_SEQUENCE]
    assert not lone.core.is_restoring
