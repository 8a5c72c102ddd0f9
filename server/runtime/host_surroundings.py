"""What a replica host needs of its surroundings, and how a proposal ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from server.paxos.ballot import Ballot
from server.paxos.lease import Grant
from server.paxos.messages import PeerMessage
from server.paxos.quorum import Configuration
from server.runtime.disk_watch import Fitness
from server.runtime.snapshot_transfer import SnapshotSource


class StateMachine(Protocol):
    """What a group replicates. Everything is called on the host's thread."""

    is_restoring: bool  # a restore was interrupted: what it holds is not the state as of any slot

    @property
    def holds_back(self) -> bool:
        """Whether what has gathered is not to be proposed yet, but to go on gathering: for milliseconds."""

    def apply(self, slot: int, payload: bytes) -> object:
        """Carries out one entry; deterministic. What it returns goes to whoever proposed the entry here."""

    def applied_no_op(self, slot: int) -> None: ...

    def apply_configuration(self, slot: int, configuration: Configuration) -> None:
        """An entry as well: what it says is part of the state, of its checkpoints and its snapshots."""

    @property
    def configuration(self) -> tuple[int, Configuration] | None:
        """(slot, configuration) of the last `apply_configuration` that is in the state; None: there was none."""

    @property
    def opening(self) -> Callable[[Ballot], bytes] | None:
        """Makes the entry that a leadership begins with; None: it begins with none. Nothing is served before it is
        applied."""

    def open_snapshot(self) -> SnapshotSource | None:
        """The state as of the last checkpoint, for another member; None: not possible now. It and its chunks raise
        SnapshotFailedError where what is stored cannot be read."""

    def begin_restore(self, slot: int, progressed: Callable[[], None]) -> None:
        """Makes room for a snapshot, the chunks of which may come at once; calls `progressed` from time to time while
        that goes on. What had been begun before ends."""

    def restore_chunk(self, body: bytes, done: Callable[[], None]) -> None: ...

    def finish_restore(self, slot: int, done: Callable[[], None]) -> None:
        """Calls `done` once the restored state is durable."""


class LogWriter(Protocol):
    """The part of the write-ahead log that the host uses (server/wal.py)."""

    on_idle: Callable[[], None] | None

    bytes_queued: int

    @property
    def is_idle(self) -> bool: ...

    def writing_ns(self) -> int:
        """For how long the write in flight has been; 0: there is none."""

    def stalled_ns(self) -> int:
        """The same, or for how long what is to be written has waited for room; 0: neither is."""

    def take_write_ns(self) -> int:
        """What the shortest write has taken that has ended since this was asked last; 0: none has."""

    def append(self, record: bytes, group_id: int, last_slot: int, done: Callable[[], None] | None) -> None: ...

    def flush(self) -> None:
        """Begins to write what was appended at once, unless a write is in flight: nothing more is about to come."""


class Transport(Protocol):
    """Says things to other nodes; may lose them, never delays the caller (server/runtime/peers.py)."""

    def send(self, to: int, group_id: int, message: PeerMessage, record: bytes | None) -> None: ...

    def send_heartbeat(self, to: int, sent_ns: int, fitness: Fitness) -> None: ...

    def send_grant(self, to: int, grant: Grant, duration_ns: int, committed: Sequence[tuple[int, int]]) -> None:
        """`committed`: (group id, last slot that is committed) of the groups that this node leads, with a lease."""

    def send_snapshot_chunk(
        self,
        to: int,
        group_id: int,
        snapshot_id: int,
        slot: int,
        sequence: int,
        body: bytes,
        is_last: bool,
        total_bytes: int,
    ) -> None: ...

    def send_snapshot_ack(self, to: int, group_id: int, snapshot_id: int, sequence: int, missing: int = 0) -> None:
        """`missing`: a chunk that was lost on the way, with what was sent behind it; 0: none that is known of."""


class RecoveredLog(Protocol):
    """What the log held of one group (server/wal.py)."""

    promised: Ballot
    first_slot: int
    entries: list[tuple[Ballot, bytes]]
    commit_slot: int
    is_healing: bool


class OutcomeKind(IntEnum):
    """How a proposal ended."""

    COMMITTED = 1
    NOT_LEADER = 2  # not executed
    UNKNOWN = 3  # leadership was lost while it was in flight
    OVERLOADED = 4  # not executed
    TOO_LARGE = 5  # not executed: it has more bytes than may be in flight together


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a proposal. `result` is what the state machine returned; `leader_node_id` a hint, 0: unknown."""

    kind: OutcomeKind
    result: object = None
    leader_node_id: int = 0


COMMITTED = Outcome(OutcomeKind.COMMITTED)
OVERLOADED = Outcome(OutcomeKind.OVERLOADED)
TOO_LARGE = Outcome(OutcomeKind.TOO_LARGE)
UNKNOWN = Outcome(OutcomeKind.UNKNOWN)

Done = Callable[[Outcome], None]
