"""What a leader knows of its followers: windows, acknowledgements, retries, and whose grants count."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.paxos.ballot import Ballot
from server.paxos.leader import (
    IN_FLIGHT_BYTES_MAX,
    IN_FLIGHT_MESSAGES_MAX,
    RETRY_NS,
    RUN_BYTES_MAX,
    Leadership,
    Progress,
    begin_progress,
    choose_successor,
    split_run,
)
from server.paxos.lease import Grant, LeaseConfig, NodeLeases
from server.paxos.log import Log
from server.paxos.messages import Accept, CatchUp, Effect, Promise, Run, SendMessage, SendSnapshot
from server.paxos.quorum import Configuration, Member, ReplicaKind

OLD, OWN = Ballot(1, 2), Ballot(2, 1)


def leadership(*progress: Progress) -> Leadership:
    return Leadership(OWN, 0, 0, dict(enumerate(progress, 2)))


def sent(effects: list[Effect]) -> list[tuple[int, str]]:
    """(to, kind with slots) of each message."""
    found = []
    for effect in effects:
        if isinstance(effect, SendSnapshot):
            found.append((effect.to, "snapshot"))
            continue
        assert isinstance(effect, SendMessage)
        message = effect.message
        assert isinstance(message, (Accept, CatchUp))
        runs = (message.run,) if isinstance(message, Accept) else message.runs
        found.append((effect.to, f"{type(message).__name__} {runs[0].first_slot}..{runs[-1].last_slot}"))
    return found


def test_a_window_is_full_by_bytes_or_by_messages() -> None:
    """Below both bounds there is room."""
    progress = Progress(0, 0)
    progress.note_sent(1, IN_FLIGHT_BYTES_MAX - 1, 0, 0)
    assert progress.has_room()
    progress.note_sent(2, 1, 0, 0)
    assert not progress.has_room()
    progress = Progress(0, 0)
    for slot in range(1, IN_FLIGHT_MESSAGES_MAX + 1):
        assert progress.has_room()
        progress.note_sent(slot, 0, 0, 0)
    assert not progress.has_room()


def test_acknowledgements_are_cumulative() -> None:
    """One takes everything before it out of the window; an older one changes nothing, not even the time to retry."""
    progress = Progress(0, 0)
    for slot in (3, 5, 9):
        progress.note_sent(slot, slot, slot - 1, 100)
    assert (progress.sent_slot, progress.in_flight_bytes, progress.retry_at_ns) == (9, 17, 100 + RETRY_NS)
    progress.note_acked(6, 200)
    assert (progress.acked_slot, progress.in_flight_bytes, progress.retry_at_ns) == (6, 9, 200 + RETRY_NS)
    progress.note_acked(5, 300)
    assert (progress.acked_slot, progress.in_flight_bytes, progress.retry_at_ns) == (6, 9, 200 + RETRY_NS)
    progress.note_acked(12, 400)
    assert (progress.acked_slot, progress.sent_slot, progress.in_flight_bytes) == (12, 12, 0)
    assert not progress.in_flight


def test_what_is_known_to_be_committed_comes_with_what_is_acknowledged() -> None:
    """As far as it is in that; what was lost on the way has told nothing."""
    progress = Progress(0, 0)
    progress.note_sent(3, 1, 1, 0)
    progress.note_sent(5, 1, 4, 0)
    progress.note_sent(7, 1, 9, 0)
    for acked_slot, known_slot in ((3, 1), (4, 1), (5, 4), (7, 7)):
        progress.note_acked(acked_slot, 0)
        assert progress.known_slot == known_slot
    progress.note_sent(9, 1, 8, 0)
    progress.restart_from(7)
    progress.note_acked(9, 0)
    assert progress.known_slot == 7


def test_an_acknowledgement_ends_the_waiting() -> None:
    """What had doubled the time between two questions, and which hole was being filled, is forgotten."""
    progress = Progress(0, 4, retry_ns=8 * RETRY_NS, hole_slot=2)
    progress.note_acked(3, 0)
    assert (progress.retry_ns, progress.hole_slot) == (RETRY_NS, -1)


def test_who_is_behind() -> None:
    """Who has not acknowledged everything; with a snapshot on the way there is nothing to ask."""
    assert Progress(4, 9).is_behind(5)
    assert not Progress(5, 5).is_behind(5)
    assert not Progress(4, 4, is_in_snapshot=True).is_behind(5)


PAYLOAD_BYTES = st.integers(0, IN_FLIGHT_BYTES_MAX // 2)


@given(st.lists(st.tuples(st.sampled_from(["send", "ack", "restart"]), st.integers(0, 5), PAYLOAD_BYTES), max_size=60))
def test_the_window_is_what_is_not_acknowledged(steps: list[tuple[str, int, int]]) -> None:
    """Its bytes are those of the messages beyond the last acknowledgement; what is acknowledged was sent."""
    progress = Progress(0, 0)
    model: list[tuple[int, int]] = []
    for kind, offset, size in steps:
        if kind == "send":
            progress.note_sent(progress.sent_slot + 1 + offset, size, 0, 0)
            model.append((progress.sent_slot, size))
        elif kind == "ack":
            progress.note_acked(min(progress.sent_slot, progress.acked_slot + offset), 0)
            model = [message for message in model if message[0] > progress.acked_slot]
        else:
            progress.restart_from(progress.acked_slot)
            model = []
        assert [(last_slot, size) for last_slot, size, _ in progress.in_flight] == model
        assert progress.in_flight_bytes == sum(size for _, size in model)
        assert progress.acked_slot <= progress.sent_slot
        is_small = progress.in_flight_bytes < IN_FLIGHT_BYTES_MAX
        assert progress.has_room() == (is_small and len(model) < IN_FLIGHT_MESSAGES_MAX)


def test_what_is_to_be_told_is_told_sooner() -> None:
    """Where there is something to tell; never later than it would have been."""
    leader = leadership()
    found = []
    for flush_at_ns in (0, 900, 300):
        leader.flush_at_ns = flush_at_ns
        leader.flush_soon(500)
        found.append(leader.flush_at_ns)
    assert found == [0, 500, 300]


def test_a_fresh_run_goes_to_whoever_has_everything_before() -> None:
    """Not over a gap, not beside a snapshot, not into a full window."""
    full = Progress(0, 6)
    full.in_flight_bytes = IN_FLIGHT_BYTES_MAX
    leader = leadership(Progress(0, 6), Progress(0, 5), Progress(6, 6, is_in_snapshot=True), full)
    effects: list[Effect] = []
    leader.send_run(Run(OWN, 7, (b"abc", b"d")), 4, 0, effects)
    assert sent(effects) == [(2, "Accept 7..8")]
    assert [progress.sent_slot for progress in leader.progress.values()] == [8, 5, 6, 6]
    assert leader.progress[2].told_commit_slot == 4
    assert leader.progress[2].in_flight_bytes == 4


def test_what_a_follower_lacks_comes_in_pieces() -> None:
    """Committed entries as they are, whatever their ballots; the others, which phase 1 has brought to the leader's own
    ballot, in runs; each piece bounded, the last beyond the bound only where a single entry is."""
    piece = b"x" * (RUN_BYTES_MAX // 2)
    entries = [(OLD, piece), (OWN, piece), (OWN, piece), (OWN, piece), (OWN, piece), (OWN, piece)]
    leader = leadership(Progress(0, 0))
    effects: list[Effect] = []
    leader.send_missing(2, Log(1, entries, 3), 0, effects)
    assert sent(effects) == [(2, "CatchUp 1..2"), (2, "CatchUp 3..3"), (2, "Accept 4..5"), (2, "Accept 6..6")]
    assert leader.progress[2].sent_slot == 6
    effects.clear()
    leader.send_missing(2, Log(1, entries, 3), 0, effects)
    assert not effects


def test_sending_stops_when_the_window_is_full() -> None:
    """It goes on with the next acknowledgement."""
    entries = [(OWN, b"x" * RUN_BYTES_MAX)] * 9
    leader = leadership(Progress(0, 0))
    effects: list[Effect] = []
    leader.send_missing(2, Log(1, entries, 9), 0, effects)
    assert leader.progress[2].sent_slot == IN_FLIGHT_BYTES_MAX // RUN_BYTES_MAX == 4
    leader.progress[2].note_acked(1, 0)
    effects.clear()
    leader.send_missing(2, Log(1, entries, 9), 0, effects)
    assert sent(effects) == [(2, "CatchUp 5..5")]


def test_what_was_trimmed_takes_a_snapshot() -> None:
    """It is asked for once."""
    leader = leadership(Progress(0, 3))
    effects: list[Effect] = []
    for _ in range(2):
        leader.send_missing(2, Log(5, [(OWN, b"x")], 4), 0, effects)
    assert sent(effects) == [(2, "snapshot")]


def test_whose_grants_count() -> None:
    """A follower's grant, while it is of the epoch in which the follower promised or accepted at this ballot; the
    leader itself always supports itself."""
    grants = NodeLeases(LeaseConfig(1000, 250, 0), boot=1, is_first_boot=True, now_ns=0)
    grants.granted(2, Grant(100, 7), 1_000)
    grants.granted(3, Grant(200, 7), 1_000)
    leader = leadership(
        Progress(0, 0, support_epoch=7),
        Progress(0, 0, support_epoch=6),
        Progress(0, 0, support_epoch=7),
        Progress(0, 0),
    )
    assert leader.held_until_ns(1, grants) == {1: 1 << 62, 2: 1100, 5: 0}


def test_a_new_leader_counts_nothing_as_acknowledged() -> None:
    """What followers have acknowledged to others is not at its ballot. Who promised supports it, in that epoch."""
    group = Configuration((Member(1, "a"), Member(2, "b"), Member(3, "c")))
    promises = {1: Promise(OWN, 1, 1, 0, (), True, 0), 3: Promise(OWN, 1, 1, 0, (), True, 42)}
    progress = begin_progress(group, 1, promises, 17, 1000)
    assert {node_id: (each.acked_slot, each.sent_slot, each.support_epoch) for node_id, each in progress.items()} == {
        2: (0, 17, -1),
        3: (0, 17, 42),
    }
    assert {each.retry_at_ns for each in progress.values()} == {1000 + RETRY_NS}
    assert Leadership(OWN, 17, 9, progress).acked_slots(1) == {1: 9, 2: 0, 3: 0}


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 12))
def test_a_run_in_pieces_is_the_run(sizes: list[int], bytes_max: int) -> None:
    """In order, without a hole; no piece is larger than asked for unless it is one entry."""
    payloads = tuple(bytes([index]) * size for index, size in enumerate(sizes))
    pieces = list(split_run(Run(Ballot(2, 1), 5, payloads), bytes_max))
    assert tuple(payload for piece in pieces for payload in piece.payloads) == payloads
    assert [piece.first_slot for piece in pieces] == [5, *(piece.last_slot + 1 for piece in pieces)][: len(pieces)]
    for piece in pieces:
        assert piece.ballot == Ballot(2, 1)
        assert len(piece.payloads) == 1 or sum(map(len, piece.payloads)) <= bytes_max


@pytest.mark.parametrize(
    ("followers", "former", "chosen"),
    [
        ([], 0, {0}),
        ([(False, 0, 1)], 1, {1}),
        ([(False, 1000, 1), (True, 1, 3)], 0, {3}),
        ([(True, 1000, 1), (True, 800, 3)], 1, {1}),
        ([(True, 1000, 1), (True, 900, 3)], 1, {3}),
        ([(True, 1000, 1), (True, 900, 3)], 0, {1}),
        ([(True, 1000, 1), (True, 1000, 3)], 0, {1, 3}),
        ([(True, 1000, 1), (True, 1000, 3)], 3, {1}),
    ],
    ids=[
        "nobody",
        "the only one",
        "who supports",
        "not far behind",
        "not back",
        "who has most",
        "any",
        "level, not back",
    ],
)
def test_who_is_to_lead_next(followers: list[tuple[bool, int, int]], former: int, chosen: set[int]) -> None:
    """Whether it supports the leadership comes before what it has of the log, and that before where it came from."""
    rng = random.Random(1)
    assert {choose_successor(followers, 1000, ((), (former,)), rng) for _ in range(30)} == chosen


def test_what_a_log_replica_has_is_not_held() -> None:
    """One that leads next must be able to go on from there alone, and a log replica never leads."""
    configuration = Configuration((Member(1, "a"), Member(2, "b"), Member(4, "c", ReplicaKind.LOG)))
    progress = {2: Progress(9, 9, known_slot=3), 4: Progress(9, 9, known_slot=9)}
    assert Leadership(Ballot(1, 1), 0, 9, progress).held_slot(configuration, 1) == 3
