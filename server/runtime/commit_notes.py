"""How far a group that has come to rest is committed, in each member's own log.

A record of entries says how far the group was committed when it was made; of its own entries the next record does.
Where none follows, a member that comes back after a crash has entries and does not know that they are committed. A
leader that has the state, and these entries no more, can tell it nothing of them: it sends the state, for which the
member first gives up its own. After a power cut all members of a group at rest may do so for one of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from server.codec.record import Record, RecordType, encode_record
from server.paxos.acceptor import Health
from server.runtime.group import Group
from server.runtime.host_surroundings import LogWriter

NOTES_MAX = 200
"""At one heartbeat: a load on thousands of groups may end at once."""


class CommitNotes:
    """Of all groups of a host."""

    def __init__(self, groups: Mapping[int, Group], wal: LogWriter) -> None:
        self._groups = groups
        self._wal = wal

    def tend(self) -> None:
        """To be called with each heartbeat: where nothing more has been committed since the last one, the log is told,
        once, unless a checkpoint stands for all of it. The note is behind the entries that it speaks of: what is torn
        off the end of a log takes the note with it."""
        left = NOTES_MAX
        for group_id, group in self._groups.items():
            commit_slot = group.core.log.commit_slot
            if commit_slot != group.seen_commit_slot:
                group.seen_commit_slot = commit_slot
            elif left and commit_slot > group.noted_commit_slot and self._note(group_id, group, commit_slot):
                left -= 1

    def _note(self, group_id: int, group: Group, commit_slot: int) -> bool:
        core = group.core
        if commit_slot <= group.checkpointed_slot or core.health != Health.WHOLE or core.is_restoring:
            return False
        group.noted_commit_slot = commit_slot
        record = Record(RecordType.PROMISE, group_id, core.promised, 0, commit_slot, ())
        self._wal.append(encode_record(record), group_id, 0, None)
        return True
