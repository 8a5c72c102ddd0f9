"""One snapshot on its way from one member to another: chunks with a window, acknowledged as they are stored."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

WINDOW_CHUNKS = 8
"""Chunks sent and not acknowledged at most."""

STALE_NS = 10_000_000_000
"""A transfer without progress for this long is given up."""

OVERDUE_NS = 2_000_000_000
"""What is not acknowledged for this long is sent once more: it may have been dropped on the way, or damaged."""

SILENT_NS = 3_000_000_000
"""Where nothing has come for this long, although it would have been sent again, the sender may have been restarted: the
leader is asked anew. Who still sends takes no notice."""

SUPERSEDED_NS = 1_000_000_000
"""A transfer of somebody who does not lead makes room for the leader's when nothing has come for this long."""

TOLD_NS = 1_000_000_000
"""How often a receiver says that it is busy making room."""

BURST_NS = 50_000_000
"""What a Pace saves up at most, as time."""

HASTE_MAX = 1_000.0
"""What a transfer may go faster than the pace, where it would otherwise take too long."""

HASTE_MARGIN = 1.25

HASTE_FROM = 8
"""Nothing is concluded before such a part of what may be logged has been."""

UNAVAILABLE_NS = 1_000_000_000
"""How long to wait when the state machine had no snapshot to give, or the receiver took none."""


DECLINED_SEQUENCE = 0xFFFFFFFF
"""Acknowledged instead of a chunk by a member that has no need of the snapshot."""

WAITING_SEQUENCE = 0xFFFFFFFE
"""Acknowledged instead of a chunk by a member that has stored none yet and is getting on: it removes what it had."""


class SnapshotFailedError(Exception):
    """What is stored cannot be read, so it cannot be sent."""


class SnapshotSource(Protocol):
    """A state as of `slot`, read chunk by chunk; about so many bytes in all (0: not known)."""

    slot: int
    total_bytes: int

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
    resent_ns: int = 0
    haste: float = 1.0  # how many times the pace it may have
    began_ns: int = 0
    logged_from: int = 0  # Group.logged_bytes when it began
    sent_bytes: int = 0
    _unacked: dict[int, bytes] = field(default_factory=dict)
    _again: deque[int] = field(default_factory=deque)  # sequences to send once more

    @property
    def slot(self) -> int:
        return self.source.slot if self.source is not None else 0

    @property
    def total_bytes(self) -> int:
        return self.source.total_bytes if self.source is not None else 0

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

    def hasten(self, logged_bytes: int, logged_bytes_max: int, bytes_per_s: int, now_ns: int) -> None:
        """Has all that is left sent, at `haste` times `bytes_per_s`, before more than `logged_bytes_max` are logged,
        where `logged_bytes` are since it began, and as many a second go on to be."""
        left_bytes = self.total_bytes - self.sent_bytes
        if logged_bytes * HASTE_FROM < logged_bytes_max or left_bytes <= 0 or not bytes_per_s:
            return
        left_s = max(logged_bytes_max - logged_bytes, 1) / logged_bytes * (now_ns - self.began_ns) / 1_000_000_000
        needed = HASTE_MARGIN * left_bytes / max(left_s, 1.0) / bytes_per_s
        self.haste = min(max(self.haste, needed), HASTE_MAX)

    def resume(self, now_ns: int, first_sequence: int = 0) -> None:
        """What was not acknowledged, from `first_sequence` on, is to be sent again, in order, before all else."""
        if self.source is not None:
            self._again = deque(each for each in self._unacked if each >= first_sequence)
            self.resent_ns = now_ns

    def is_overdue(self, now_ns: int) -> bool:
        """Whether all has been sent that may be, and too long ago."""
        is_waiting = bool(self._unacked) and not self._again
        return is_waiting and now_ns - max(self.progressed_ns, self.resent_ns) > OVERDUE_NS

    def waited(self, now_ns: int) -> None:
        """The receiver has stored nothing, and gets on nevertheless."""
        if self.source is not None:
            self.progressed_ns = now_ns

    def acknowledged(self, sequence: int, now_ns: int) -> None:
        if self.acked_sequence < sequence < self.next_sequence:
            for each in range(self.acked_sequence + 1, sequence + 1):
                self._unacked.pop(each, None)
            while self._again and self._again[0] <= sequence:
                self._again.popleft()
            self.acked_sequence = sequence
            self.progressed_ns = now_ns

    def fail(self, now_ns: int) -> None:
        """What was to be sent cannot be read, or is not wanted now: nothing more is sent, and it goes stale."""
        self.close()
        self.source = None
        self._again.clear()
        self._unacked.clear()
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
    told_ns: int = 0  # when the sender was last told that nothing is stored yet
    began_ns: int = 0
    stored_bytes: int = 0
    total_bytes: int = 0  # about; 0: not known
    beyond: int = -1  # the last chunk that came although one before it was missing; -1: none since one was taken

    def take(self, sequence: int, now_ns: int) -> bool:
        """Whether this chunk is the next one; if so it counts as taken."""
        if sequence != self.next_sequence:
            return False
        self.next_sequence += 1
        self.beyond = -1
        self.progressed_ns = now_ns
        return True

    def misses(self, sequence: int) -> bool:
        """Whether a chunk that was not taken is the first to show that the next one was lost on the way. What follows
        shows nothing new, until the sender has begun again."""
        is_news = sequence > self.next_sequence and (self.beyond < 0 or sequence <= self.beyond)
        if sequence > self.next_sequence:
            self.beyond = sequence
        return is_news

    def bytes_per_s(self, now_ns: int) -> int:
        """On average since it began."""
        return self.stored_bytes * 1_000_000_000 // max(1, now_ns - self.began_ns)

    def is_silent(self, now_ns: int) -> bool:
        return now_ns - self.progressed_ns > SILENT_NS

    def is_stale(self, now_ns: int) -> bool:
        return now_ns - self.progressed_ns > STALE_NS

    def keeps_out(self, sender: int, leader: int, now_ns: int) -> bool:
        """Whether another transfer must wait for the end of this one. One of the same sender need not: who begins anew
        has given up what was under way. One of the leader waits less long for somebody who does not lead, and may be
        dead. But what is complete is brought to its end."""
        limit_ns = SUPERSEDED_NS if sender == leader != self.sender and not self.is_finishing else STALE_NS
        return now_ns - self.progressed_ns <= limit_ns and (self.is_finishing or sender != self.sender)
