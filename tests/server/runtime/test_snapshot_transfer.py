"""A snapshot's way: a window of chunks, in order, each once, and given up when nothing moves."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.runtime.snapshot_transfer import (
    BURST_NS,
    DECLINED_SEQUENCE,
    HASTE_MAX,
    STALE_NS,
    UNAVAILABLE_NS,
    WINDOW_CHUNKS,
    Pace,
    SnapshotReceiver,
    SnapshotSender,
)

CHUNKS = st.lists(st.binary(max_size=4), max_size=30)


class ListSource:
    """A state in chunks that are given. Invariant: nothing is read after its end, nor after it was closed."""

    def __init__(self, chunks: list[bytes], slot: int = 7) -> None:
        self.slot = slot
        self.total_bytes = sum(map(len, chunks))
        self.is_closed = False
        self._left: deque[bytes] | None = deque(chunks)

    def next_chunk(self) -> bytes | None:
        assert self._left is not None, "read after the end"
        assert not self.is_closed, "read after it was closed"
        if self._left:
            return self._left.popleft()
        self._left = None
        return None

    def close(self) -> None:
        self.is_closed = True


def sender(chunks: list[bytes], now_ns: int = 0) -> SnapshotSender:
    return SnapshotSender(1, ListSource(chunks), now_ns)


def numbered(count: int) -> list[bytes]:
    return [bytes([number]) for number in range(count)]


def burst(transfer: SnapshotSender) -> list[tuple[int, bytes, bool]]:
    """All that may be sent now."""
    sent = []
    while (chunk := transfer.next_chunk()) is not None:
        sent.append(chunk)
    return sent


@given(CHUNKS, st.data())
def test_a_whole_transfer(chunks: list[bytes], data: st.DataObject) -> None:
    """Whenever acknowledgements come: the chunks arrive in order, each once, the last one marked, never more than a
    window of them under way; then both sides are done."""
    transfer, receiver = sender(chunks), SnapshotReceiver(2, 1, 7, 0)
    under_way: deque[tuple[int, bytes, bool]] = deque()
    arrived: list[bytes] = []
    marked: list[bool] = []
    now_ns = 0
    while not transfer.is_finished:
        now_ns += 1
        if not under_way or data.draw(st.booleans()):
            under_way.extend(burst(transfer))
        assert 0 < len(under_way) <= WINDOW_CHUNKS
        sequence, body, is_last = under_way.popleft()
        assert receiver.take(sequence, now_ns)
        arrived.append(body)
        marked.append(is_last)
        transfer.acknowledged(sequence, now_ns)
        assert transfer.progressed_ns == receiver.progressed_ns == now_ns
    assert arrived == (chunks or [b""])
    assert marked == [False] * (len(arrived) - 1) + [True]
    assert not under_way
    assert transfer.next_chunk() is None


def test_a_snapshot_of_nothing() -> None:
    """Is one empty chunk, so that its end is known."""
    transfer = sender([])
    assert burst(transfer) == [(0, b"", True)]
    assert not transfer.is_finished
    transfer.acknowledged(0, 1)
    assert transfer.is_finished


@pytest.mark.parametrize(
    ("count", "first_burst", "is_last"),
    [(1, 1, True), (7, 7, True), (8, 8, True), (9, 8, False), (20, 8, False)],
)
def test_the_window(count: int, first_burst: int, is_last: bool) -> None:
    """Eight chunks go out unasked, and the last is known as the last also where the window ends with it."""
    sent = burst(sender(numbered(count)))
    assert [sequence for sequence, _, _ in sent] == list(range(first_burst))
    assert sent[-1][2] == is_last


def test_an_acknowledgement_moves_the_window() -> None:
    """By as many chunks as it covers, those before it included."""
    transfer = sender(numbered(20))
    burst(transfer)
    transfer.acknowledged(0, 1)
    assert [sequence for sequence, _, _ in burst(transfer)] == [8]
    transfer.acknowledged(5, 2)
    assert [sequence for sequence, _, _ in burst(transfer)] == [9, 10, 11, 12, 13]


@pytest.mark.parametrize("sequence", [8, 9, 100, DECLINED_SEQUENCE])
def test_an_acknowledgement_of_what_was_not_sent(sequence: int) -> None:
    """Changes nothing: a peer cannot make a transfer look complete."""
    transfer = sender(numbered(20))
    burst(transfer)
    transfer.acknowledged(sequence, 5)
    assert (transfer.acked_sequence, transfer.progressed_ns) == (-1, 0)
    assert transfer.next_chunk() is None
    assert not transfer.is_finished


@pytest.mark.parametrize("sequence", [0, 3])
def test_an_acknowledgement_that_comes_late_or_twice(sequence: int) -> None:
    """Is no progress."""
    transfer = sender(numbered(20))
    burst(transfer)
    transfer.acknowledged(3, 1)
    transfer.acknowledged(sequence, 9)
    assert (transfer.acked_sequence, transfer.progressed_ns) == (3, 1)


def test_the_end_counts_when_it_is_acknowledged() -> None:
    """Not when the last chunk is sent, nor when the one before it is stored."""
    transfer = sender(numbered(3))
    burst(transfer)
    transfer.acknowledged(1, 1)
    assert not transfer.is_finished
    transfer.acknowledged(2, 2)
    assert transfer.is_finished


def test_a_transfer_without_progress_is_given_up() -> None:
    """After the limit, not at it; an acknowledgement starts the time anew."""
    transfer = sender(numbered(3), now_ns=100)
    assert not transfer.is_stale(100 + STALE_NS)
    assert transfer.is_stale(101 + STALE_NS)
    burst(transfer)
    transfer.acknowledged(0, 101 + STALE_NS)
    assert not transfer.is_stale(101 + 2 * STALE_NS)
    assert transfer.is_stale(102 + 2 * STALE_NS)


def test_a_snapshot_that_could_not_be_had() -> None:
    """Sends nothing, is of no slot, and makes room for another try after a second."""
    transfer = SnapshotSender(1, None, 100)
    assert transfer.next_chunk() is None
    assert transfer.slot == 0
    assert not transfer.is_finished
    assert not transfer.is_stale(100 + UNAVAILABLE_NS)
    assert transfer.is_stale(101 + UNAVAILABLE_NS)
    transfer.close()


def test_closing_closes_the_source() -> None:
    """Whose slot is the transfer's."""
    source = ListSource([b"a"], slot=42)
    transfer = SnapshotSender(1, source, 0)
    assert transfer.slot == 42
    transfer.close()
    assert source.is_closed


@given(st.lists(st.integers(0, 5), max_size=30))
def test_chunks_are_taken_in_order_only(sequences: list[int]) -> None:
    """One that is missing stops what follows it; one that comes twice is taken once."""
    receiver = SnapshotReceiver(2, 1, 7, 0)
    taken = []
    for now_ns, sequence in enumerate(sequences, 1):
        if receiver.take(sequence, now_ns):
            taken.append(sequence)
            assert receiver.progressed_ns == now_ns
        else:
            assert receiver.progressed_ns < now_ns
    assert taken == list(range(len(taken)))
    assert receiver.next_sequence == len(taken)


def test_a_receiver_that_hears_nothing_gives_up() -> None:
    """After the limit, not at it; only a chunk that is taken counts."""
    receiver = SnapshotReceiver(2, 1, 7, 100)
    assert not receiver.is_stale(100 + STALE_NS)
    assert receiver.is_stale(101 + STALE_NS)
    assert not receiver.take(5, 1 + STALE_NS)
    assert receiver.is_stale(101 + STALE_NS)
    assert receiver.take(0, 101 + STALE_NS)
    assert not receiver.is_stale(101 + 2 * STALE_NS)


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, WINDOW_CHUNKS), st.booleans()), max_size=15))
def test_a_transfer_that_breaks_off_and_goes_on(count: int, breaks: list[tuple[int, bool]]) -> None:
    """However often the stream breaks, and whatever is lost with it (all but the first chunks sent, perhaps what was
    acknowledged): the receiver gets each chunk once, in order, and what it acknowledged is not sent again."""
    transfer, receiver = sender(numbered(count)), SnapshotReceiver(2, 1, 7, 0)
    arrived: list[bytes] = []
    for through, is_acknowledged in [*breaks, *[(WINDOW_CHUNKS, True)] * count]:
        sent = burst(transfer)
        assert all(sequence > transfer.acked_sequence for sequence, _, _ in sent)
        for sequence, body, is_last in sent[:through]:
            assert is_last == (sequence == count - 1)
            if receiver.take(sequence, 1):
                arrived.append(body)
        if is_acknowledged and arrived:
            transfer.acknowledged(len(arrived) - 1, 1)
        transfer.resume(1)
    assert transfer.is_finished
    assert arrived == numbered(count)


def test_a_pace() -> None:
    """On average so many bytes a second; what was not used up before counts for a moment only."""
    pace, now_ns, sent = Pace(1_000_000), 10**12, 0
    for _ in range(1_000):
        now_ns += 20_000_000
        while pace.may_send(now_ns):
            pace.sent(7_000, now_ns)
            sent += 7_000
    assert 20_000_000 - 7_000 <= sent <= 20_000_000 + BURST_NS // 1_000 + 7_000
    free = Pace(0)
    free.sent(10**12, now_ns)
    assert free.may_send(now_ns)


def test_a_transfer_that_would_take_too_long_goes_faster() -> None:
    """As much as is needed, and a quarter: what is logged meanwhile is bounded. Not before something is known of how
    fast that is, not for a state of unknown size, and never more slowly than before."""
    transfer = SnapshotSender(1, ListSource([bytes(1_000)]), 0)
    transfer.sent_bytes = 200
    second = 1_000_000_000
    transfer.hasten(100, 1_000, 100, 2 * second)
    assert transfer.haste == 1.0, "it is too early to tell"
    transfer.hasten(200, 1_000, 100, 2 * second)
    assert transfer.haste == 1.25, "800 B are left, and 8 s in which another 800 B are logged"
    transfer.hasten(200, 1_000, 400, 2 * second)
    assert transfer.haste == 1.25
    transfer.hasten(600, 1_000, 100, 2 * second)
    assert transfer.haste == pytest.approx(1.25 * 800 / (2 * 400 / 600) / 100)
    transfer.hasten(1_001, 1_000, 1, 2 * second)
    assert transfer.haste == HASTE_MAX
    calm = SnapshotSender(1, ListSource([bytes(1_000)]), 0)
    calm.sent_bytes = 900
    calm.hasten(200, 1_000, 100, 2 * second)
    assert calm.haste == 1.0, "it arrives in time"
    calm.sent_bytes = 1_000
    calm.hasten(900, 1_000, 1, 2 * second)
    calm.hasten(900, 1_000, 0, 2 * second)
    assert calm.haste == 1.0
