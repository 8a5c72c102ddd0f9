"""What a node says of partitions that it cannot speak for any more."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from server.paxos.ballot import ABOVE_ALL, Ballot
from server.paxos.lease import Grant, NodeLeases
from server.paxos.messages import Accepted, Commit, LeadershipQuery, PeerMessage, Promise, Release
from storage_node.host import NodeHost
from tests.server.runtime.test_replica_host import GROUP, LEASE, MEMBERS, FakeMachine, FakeTransport, FakeWal


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def host(transport: FakeTransport) -> NodeHost:
    """Node 1, with a group of which it knows no leader."""
    leases = NodeLeases(LEASE, boot=1, is_first_boot=True, now_ns=0)
    host = NodeHost(1, FakeWal(), transport, leases, random.Random(1), lambda: 0, lambda callback: callback())
    host.open_group(GROUP, MEMBERS, FakeMachine(), None, 0)
    return host


def told(transport: FakeTransport, node_id: int) -> list[PeerMessage]:
    return [message for to, message in transport.messages if to == node_id]


def test_peers_are_told_of_what_should_be_here(host: NodeHost, transport: FakeTransport) -> None:
    """Whoever is connected, and whoever comes: this node may have led it."""
    host.set_absent({GROUP + 1}, [2])
    host.peer_connected(3)
    host.set_absent({GROUP + 1}, [2])
    for node_id in (2, 3):
        assert [each for each in told(transport, node_id) if isinstance(each, Release)] == [
            Release(Ballot(ABOVE_ALL, 1))
        ]


@pytest.mark.parametrize("is_absent", [True, False], ids=["should be here", "given up"])
def test_who_asks_may_go_on(host: NodeHost, transport: FakeTransport, is_absent: bool) -> None:
    """It promised this node a ballot, and waits for what comes of it, as long as it grants to this node."""
    group = GROUP + 1
    if is_absent:
        host.set_absent({group}, [])
    else:
        host.open_group(group, MEMBERS, FakeMachine(), None, 0)
        host.close_group(group)
    transport.messages.clear()
    host.receive(2, group, LeadershipQuery(Ballot(5, 1)), None)
    host.receive(2, group, LeadershipQuery(Ballot(6, 3)), None)  # that one is another node's to answer for
    host.receive(2, group, Commit(Ballot(5, 3), 9, 0), None)
    assert transport.messages == [(2, Release(Ballot(5, 1)))]


def test_followers_are_told_what_is_committed(transport: FakeTransport) -> None:
    """A moment later, once, and only where no entry has told them by then; nothing where this node does not lead."""
    now_ns, later = 0, list[Callable[[], None]]()

    def moment() -> list[tuple[int, PeerMessage]]:
        transport.messages.clear()
        while later:
            later.pop(0)()
        return transport.messages

    leases = NodeLeases(LEASE, boot=1, is_first_boot=True, now_ns=0)
    host = NodeHost(
        1, FakeWal(), transport, leases, random.Random(1), lambda: now_ns, lambda done: done(), None, later.append
    )
    for group_id in (GROUP, GROUP + 1):
        host.open_group(group_id, MEMBERS, FakeMachine(), None, 0)
    now_ns = 10_000_000_000
    host.tick()
    core = host.groups[GROUP].core
    assert core.candidacy is not None
    ballot = core.candidacy.ballot
    host.receive(2, GROUP, Promise(ballot, 1, 1, 0, (), True, 1), None)
    host.receive_grant(2, Grant(now_ns, 1), ())

    def commit() -> None:
        host.propose(GROUP, b"entry", lambda outcome: None)
        host.receive(2, GROUP, Accepted(ballot, core.log.last_slot, 1), None)
        host.tell_committed(GROUP)

    commit()
    host.tell_committed(GROUP)
    host.tell_committed(GROUP + 1)
    host.tell_committed(GROUP + 2)
    assert moment() == [(each, Commit(ballot, 1, 0)) for each in (2, 3)]
    host.tell_committed(GROUP)
    assert moment() == []
    commit()
    host.propose(GROUP, b"next", lambda outcome: None)
    assert moment() == []
