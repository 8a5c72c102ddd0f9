"""What a replica host does while the members of a group change."""

from __future__ import annotations

import pytest

from server.paxos.ballot import Ballot
from server.paxos.lease import Grant
from server.paxos.messages import Accepted
from server.paxos.quorum import Configuration, Floor, Member, ReplicaKind
from server.runtime.replica_host import Outcome, OutcomeKind
from tests.server.runtime.test_replica_host import GROUP, LEASE, MEMBERS, Lone


@pytest.mark.parametrize(("known", "expected_slot"), [(None, 20), (10, 20), (25, 25)])
def test_what_the_group_had_reached_counts_until_the_state_is_beyond_it(known: int | None, expected_slot: int) -> None:
    """A snapshot may be of before a member was to join: whom it names is not in force any more."""
    target, named = Configuration(MEMBERS.members[:1]), Configuration(MEMBERS.members[:2])
    lone, floor = Lone(), Floor(20, Ballot(7, 3))
    lone.host.close_group(GROUP)
    lone.machine.configuration = None if known is None else (known, named)
    lone.host.open_group(GROUP, target, lone.machine, None, 0, floor=floor)
    assert lone.host.configuration_of(GROUP) == (expected_slot, named if expected_slot == 25 else target)
    assert (lone.core.promised, lone.core.floor) == (floor.ballot, floor)


def test_proposals_wait_until_the_new_members_are_in_force() -> None:
    """They are proposed then, without being asked again; and the machine is told of the members in its turn."""
    lone = Lone()
    ballot = lone.lead()
    lone.write(ballot, 1, 10)
    successor = Configuration((Member(1, "a"), Member(2, "b"), Member(4, "c", ReplicaKind.LOG)))
    assert not lone.host.configure(GROUP, successor), "who joins does not follow yet"
    lone.now_ns += LEASE.heartbeat_ns
    lone.host.tick()
    assert 4 in lone.transport.asked, "its grant is needed too"
    lone.receive(4, Accepted(ballot, 1, 1))
    lone.host.receive_grant(4, Grant(lone.now_ns, 1), ())
    assert lone.host.configure(GROUP, successor)
    assert not lone.host.configure(GROUP, successor), "one at a time"
    outcomes: list[Outcome] = []
    lone.host.propose(GROUP, b"later", outcomes.append)
    assert lone.core.log.last_slot == 2
    lone.receive(2, Accepted(ballot, 2, 1))
    assert lone.host.configuration_of(GROUP) == (2, successor)
    assert lone.machine.configuration == (2, successor)
    assert lone.core.log.payloads(3, 4) == (b"", b"later")
    lone.receive(2, Accepted(ballot, 4, 1))
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.COMMITTED]
    assert not lone.host.configure(99, successor), "no such group here"


def test_who_is_not_to_join_after_all_is_let_go() -> None:
    """The members are to stay as they are again."""
    lone = Lone()
    lone.lead()
    successor = Configuration((Member(1, "a"), Member(2, "b"), Member(4, "c", ReplicaKind.LOG)))
    lone.host.configure(GROUP, successor)
    assert lone.core.leadership is not None
    assert 4 in lone.core.leadership.progress
    assert not lone.host.configure(GROUP, MEMBERS)
    assert 4 not in lone.core.leadership.progress
    assert not lone.host.configure(GROUP, MEMBERS)
