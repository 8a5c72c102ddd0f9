"""One snapshot on its way from one member to another: chunks with a window, acknowledged as they are stored."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

WINDOW_CHUNKS = 8
"""Chunks sent and not acknowledged at most."""

STALE_NS = 10_000_000_000
"""A transfer without progress for this long is given up."""

BURST_NS = 50_000_000
"""What a Pace saves up at most, as time."""

UNAVAILABLE_NS = 1_000_000_000
"""How long to wait when the state machine had no snapshot to give, or the receiver took none."""


DECLINED_SEQUENCE = 0xFFFFFFFF
"""Acknowledged instead of a chunk by a member that has no need of the snapshot."""


class SnapshotFailedError(Exception):
    """What is stored cannot be read, so it cannot be sent."""


class SnapshotSource(Protocol):
    """A state as of `slot`, read chunk by chunk."""

    slot: int

    def next_chunk(self) -> bytes | None:
        """The next chunk; None after the last. Raises SnapshotFailedError."""

    def close(self) -> None: ...


@dataclass(slots=True)
class Pace:
    """How fast a node sends: `bytes_per_s` on average (0: as fast as it can), a chunk at a time."""

    bytes_per_s: int
    _free_ns: int = 0  # when the next chunk may go

    def may_send(self, now_ns: int) -> bool:
        return now_ns >= self._free_ns

    def sent(self, size: int, now_ns: int) -> None:
        if self.bytes_per_s:
            self._free_ns = max(self._free_ns, now_ns - BURST_NS) + size * 1_000_000_000 // self.bytes_per_s


@dataclass(slots=True)
class SnapshotSender:
    """The sending side. `source` None stands for a snapshot that could not be had: it goes stale after a second.

    Invariant: `_unacked` has what was sent and not acknowledged, by sequence; a window of chunks at most."""

    snapshot_id: int
    source: SnapshotSource | None
    progressed_ns: int
    next_sequence: int = 0
    acked_sequence: int = -1
    last_sequence: int = -1  # known once the source has ended
    _ahead: bytes | None = field(default=None)
    _unacked: dict[int, bytes] = field(default_factory=dict)
    _again: deque[int] = field(default_factory=deque)  # sequences to send once more

    @property
    def slot(self) -> int:
        return self.source.slot if self.source is not None else 0

    @property
    def is_finished(self) -> bool:
        return self.last_sequence >= 0 and self.acked_sequence >= self.last_sequence

    def next_chunk(self) -> tuple[int, bytes, bool] | None:
        """(sequence, body, is the last) of the chunk to send next; None: the window is full or all is sent.

        A snapshot of nothing is one empty chunk."""
        if self._again:
            sequence = self._again.popleft()
            return sequence, self._unacked[sequence], sequence == self.last_sequence
        source = self.source
        window_end = self.acked_sequence + WINDOW_CHUNKS
        if source is None or self.last_sequence >= 0 or self.next_sequence > window_end:
            return None
        body = self._ahead if self.next_sequence > 0 else source.next_chunk()
        self._ahead = source.next_chunk() if body is not None else None
        sequence = self.next_sequence
        self.next_sequence += 1
        if self._ahead is None:
            self.last_sequence = sequence
        self._unacked[sequence] = body or b""
        return sequence, self._unacked[sequence], self._ahead is None

    def resume(self) -> None:
        """After the stream broke: what was not acknowledged is to be sent again, in order, before all else."""
        if self.source is not None:
            self._again = deque(self._unacked)

    def acknowledged(self, sequence: int, now_ns: int) -> None:
        if self.acked_sequence < sequence < self.next_sequence:
            for each in range(self.acked_sequence + 1, sequence + 1):
                del self._unacked[each]
            while self._again and self._again[0] <= sequence:
                self._again.popleft()
            self.acked_sequence = sequence
            self.progressed_ns = now_ns

    def fail(self, now_ns: int) -> None:
        """What was to be sent cannot be read, or is not wanted now: nothing more is sent, and it goes stale."""
        self.close()
        self.source = None
        self._again.clear()
        self.progressed_ns = now_ns

    def is_stale(self, now_ns: int) -> bool:
        limit_ns = STALE_NS if self.source is not None else UNAVAILABLE_NS
        return now_ns - self.progressed_ns > limit_ns

    def close(self) -> None:
        if self.source is not None:
            self.source.close()


@dataclass(slots=True)
class SnapshotReceiver:
    """The receiving side: takes chunks in order only."""

    sender: int
    snapshot_id: int
    slot: int
    progressed_ns: int
    next_sequence: int = 0
    stored: int = 0  # of the chunks taken; one for which there was no room never is, and the transfer goes stale
    is_finishing: bool = False  # all is stored, and taking the state's place

    def take(self, sequence: int, now_ns: int) -> bool:
        """Whether this chunk is the next one; if so it counts as taken."""
        if sequence != self.next_sequence:
            return False
        self.next_sequence += 1
        self.progressed_ns = now_ns
        return True

    def is_stale(self, now_ns: int) -> bool:
        return now_ns - self.progressed_ns > STALE_NS

    def keeps_out(self, sender: int, now_ns: int) -> bool:
        """Whether another transfer must wait for the end of this one. One of the same sender need not: who begins anew
        has given up what was under way. But what is complete is brought to its end."""
        return not self.is_stale(now_ns) and (self.is_finishing or sender != self.sender)
