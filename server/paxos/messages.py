"""What the members of one group say to each other, and what the core asks of the shell around it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from server.paxos.ballot import Ballot
from server.paxos.quorum import Configuration

NO_OP = b""
"""The payload of an entry that changes nothing: it fills a hole that a former leader left."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Entries of consecutive slots, accepted at one ballot. The unit that is sent, and written to the log."""

    ballot: Ballot
    first_slot: int
    payloads: tuple[bytes, ...]

    @property
    def last_slot(self) -> int:
        return self.first_slot + len(self.payloads) - 1


class RejectReason(IntEnum):
    """Why a message was refused."""

    LOWER_BALLOT = 1  # a higher ballot has been promised
    BOUND_BY_GRANT = 2  # the leader in force still holds this node's grant
    WAITING = 3  # the node has forgotten something: what it granted before a restart, or part of its log
    HOLE = 4  # entries before the offered ones are missing
    NOT_A_MEMBER = 5  # the group has gone on without the sender


# Messages


@dataclass(frozen=True, slots=True)
class Prepare:
    """Phase 1, for every slot from `from_slot` on. `released` is a ballot whose owner let go of it, or ZERO.

    `configuration_slot`: that of the entry which put the candidate's configuration in force; 0: the first one."""

    ballot: Ballot
    from_slot: int
    released: Ballot
    configuration_slot: int = 0


@dataclass(frozen=True, slots=True)
class Promise:
    """The answer to Prepare: what has been accepted from `from_slot` on.

    `log_first_slot` > `from_slot`: earlier entries are committed and trimmed. `is_complete` False: there was more than
    one message holds; the candidate has to catch up before it can lead.
    """

    ballot: Ballot
    from_slot: int
    log_first_slot: int
    commit_slot: int
    runs: tuple[Run, ...]
    is_complete: bool
    grant_epoch: int


@dataclass(frozen=True, slots=True)
class Accept:
    """Phase 2. Everything up to `commit_slot` is committed."""

    run: Run
    commit_slot: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """Everything up to `last_slot` is on this member's disk, as the leader of `ballot` has it."""

    ballot: Ballot
    last_slot: int
    grant_epoch: int


@dataclass(frozen=True, slots=True)
class Reject:
    """A refusal. `last_slot` is the end of what the refuser shares with the leader of `ballot` (for HOLE)."""

    ballot: Ballot
    promised: Ballot
    last_slot: int
    reason: RejectReason


@dataclass(frozen=True, slots=True)
class Commit:
    """Sent when a group falls idle, and to a member that comes back. Answered with Accepted, or Reject for a hole.

    `recovered_slot` is the last slot that the leadership began with: all that was ever chosen before lies at or below
    it. A member that heals waits for it."""

    ballot: Ballot
    commit_slot: int
    recovered_slot: int


@dataclass(frozen=True, slots=True)
class CatchUpRequest:
    """Asks any member for the committed entries from `first_slot` on."""

    first_slot: int


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Committed entries. `ballot` is the sender's leadership, or ZERO when it does not lead."""

    ballot: Ballot
    runs: tuple[Run, ...]
    commit_slot: int


@dataclass(frozen=True, slots=True)
class LogStart:
    """To a log replica: what lies at or below `slot` has been trimmed by the leader, or is about to come as a snapshot;
    its log begins behind that. Answered with Accepted. `is_held`: all of it is on the disks of storage replicas that
    make a majority; otherwise what the log replica has may be the only copy beside the leader's, and only one that has
    nothing may begin there."""

    ballot: Ballot
    slot: int
    is_held: bool


@dataclass(frozen=True, slots=True)
class Release:
    """The holder of `ballot` does not and will not serve under it: grants given to it bind nobody.

    `is_handed_over`: it goes to one member only, which is meant to lead now and stands at once."""

    ballot: Ballot
    is_handed_over: bool = False


@dataclass(frozen=True, slots=True)
class LeadershipQuery:
    """Asks the owner of `ballot` whether it leads under it: the asker promised it that ballot and never heard more.
    Answered with Commit if it does, with Release if it does not and will not."""

    ballot: Ballot


Message: TypeAlias = (
    Prepare
    | Promise
    | Accept
    | Accepted
    | Reject
    | Commit
    | CatchUpRequest
    | CatchUp
    | LogStart
    | Release
    | LeadershipQuery
)


@dataclass(frozen=True, slots=True)
class HandOverRequest:
    """Asks who leads at `ballot` to hand over to the sender: routers reach that one, and not the leader. It is for the
    shell to decide (HandOvers); the core knows nothing of routers."""

    ballot: Ballot


PeerMessage: TypeAlias = Message | HandOverRequest


# Effects: what the shell has to do, in this order


@dataclass(frozen=True, slots=True)
class PromiseRecord:
    """To the log: no ballot below this one will be accepted any more."""

    ballot: Ballot


@dataclass(frozen=True, slots=True)
class ResetRecord:
    """To the log: a snapshot as of `slot` is installed, the log goes on, empty, after it."""

    ballot: Ballot
    slot: int


@dataclass(frozen=True, slots=True)
class HealRecord:
    """To the log: what it says of the group before this is void, because part of it is lost; the log goes on, empty,
    after `slot`. The member is bound by `ballot` and does not vote until there is a HealedRecord."""

    ballot: Ballot
    slot: int


@dataclass(frozen=True, slots=True)
class HealedRecord:
    """To the log: the member has everything again that it may have forgotten, and votes."""

    ballot: Ballot


LogRecord: TypeAlias = Run | PromiseRecord | ResetRecord | HealRecord | HealedRecord


@dataclass(frozen=True, slots=True)
class SendMessage:
    """May leave the node at once."""

    to: int
    message: Message


@dataclass(frozen=True, slots=True)
class Durable:
    """Comes back to the core (an event) once the record that carried it is on disk."""

    ballot: Ballot
    last_slot: int
    is_promise: bool


@dataclass(frozen=True, slots=True)
class PersistRecord:
    """Write `record`; only when it and all before it are on disk, send `then` and give `event` back to the core."""

    record: LogRecord
    then: tuple[SendMessage, ...] = ()
    event: Durable | None = None


@dataclass(frozen=True, slots=True)
class ApplyEntries:
    """Committed and never to change: apply to the state machine, in this order."""

    first_slot: int
    payloads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ApplyConfiguration:
    """The entry of `slot` is committed: from the next slot on `configuration` is in force. For the state machine it is
    an entry like any other, in its place in the order, and has to be kept with its checkpoints and snapshots."""

    slot: int
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class LeadershipChanged:
    """This member has begun (`ballot` is its own) or ceased to lead. In-flight proposals of a leader that ceases have
    an unknown outcome."""

    ballot: Ballot
    is_leader: bool


@dataclass(frozen=True, slots=True)
class SendSnapshot:
    """`to` lacks entries that have been trimmed: it needs the state itself."""

    to: int


Effect: TypeAlias = SendMessage | PersistRecord | ApplyEntries | ApplyConfiguration | LeadershipChanged | SendSnapshot
