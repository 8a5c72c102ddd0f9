"""What the log of a group that has come to rest says of how far it is committed."""

from __future__ import annotations

import pytest

from server.codec.record import RecordType, decode_record
from server.paxos.acceptor import Health
from tests.server.runtime.test_replica_host import GROUP, LEASE, Lone


def committed(lone: Lone, count: int) -> int:
    """The member leads, and has committed so many entries more: up to where."""
    leadership = lone.core.leadership
    lone.write(lone.lead() if leadership is None else leadership.ballot, count, 1)
    return lone.core.log.commit_slot


def beats(lone: Lone, count: int) -> list[int]:
    """So many heartbeats: the notes that were made."""
    before = len(lone.wal.records)
    for _ in range(count):
        lone.now_ns += LEASE.heartbeat_ns
        lone.host.tick()
    records = [decode_record(each) for each in lone.wal.records[before:]]
    return [each.commit_slot for each in records if each.type is RecordType.PROMISE and each.commit_slot]


def test_a_group_at_rest_is_noted_once() -> None:
    """At the second heartbeat at which nothing more is committed, and again when it has come to rest anew."""
    lone = Lone()
    slot = committed(lone, 3)
    assert beats(lone, 1) == []
    assert beats(lone, 3) == [slot]
    later = committed(lone, 1)
    assert later == slot + 1
    assert beats(lone, 1) == []
    assert beats(lone, 3) == [later]


def test_what_a_checkpoint_stands_for_needs_no_note() -> None:
    """The state says it."""
    lone = Lone()
    lone.host.groups[GROUP].checkpointed_slot = committed(lone, 3)
    assert beats(lone, 3) == []


@pytest.mark.parametrize("flaw", ["no state", "damaged log"])
def test_who_is_not_whole_notes_nothing(flaw: str) -> None:
    """What it knows may stand for more than its log has."""
    lone = Lone()
    slot = committed(lone, 3)
    lone.core.is_restoring = flaw == "no state"
    lone.core.health = Health.HEALING if flaw == "damaged log" else Health.WHOLE
    assert beats(lone, 3) == []
    lone.core.is_restoring, lone.core.health = False, Health.WHOLE
    assert beats(lone, 1) == [slot]
