"""Which snapshots a node asks for: a few at a time, and each in its turn."""

from __future__ import annotations

import random

from server.paxos.ballot import Ballot
from server.paxos.core import PaxosCore
from server.paxos.lease import LeaseConfig, NodeLeases
from server.paxos.quorum import Configuration, Member
from server.runtime.group import SNAPSHOT_REQUEST_NS, SNAPSHOTS_RECEIVED_MAX, Group, due_snapshot_requests
from server.runtime.snapshot_transfer import SILENT_NS, SnapshotReceiver
from tests.server.runtime.test_replica_host import FakeMachine

NOW_NS = 10**12


def member(group_id: int, *, leader: int = 2, is_restoring: bool = True, receiving: bool = False) -> Group:
    """Node 1's, of a group that node `leader` leads."""
    leases = NodeLeases(LeaseConfig(2_000_000_000, 500_000_000, 0), boot=1, is_first_boot=True, now_ns=0)
    configuration = Configuration(tuple(Member(node_id, f"zone-{node_id}") for node_id in (1, 2, 3)))
    core = PaxosCore(1, configuration, leases, random.Random(1), 0)
    core.promised, core.is_restoring = Ballot(int(leader > 0), leader), is_restoring
    group = Group(group_id, core, FakeMachine(), 0)
    if receiving:
        group.receiver = SnapshotReceiver(leader, 7, 5, NOW_NS)
    return group


def due(groups: list[Group], now_ns: int = NOW_NS) -> list[int]:
    """Whose snapshots are asked for; noted as the replica host does."""
    found = due_snapshot_requests(groups, now_ns)
    for group in found:
        group.request_snapshot_at_ns = now_ns + SNAPSHOT_REQUEST_NS
    return [group.group_id for group in found]


def test_who_needs_one_asks() -> None:
    """Who has its state does not, nor who knows no leader, or is taken for it."""
    groups = [member(1, is_restoring=False), member(2, leader=0), member(3, leader=1), member(4)]
    assert due(groups) == [4]


def test_a_few_at_a_time() -> None:
    """One that arrives makes room for the next; so does one of which nothing comes any more."""
    assert SNAPSHOTS_RECEIVED_MAX == 2
    groups = [member(1, receiving=True), *(member(number) for number in (2, 3, 4))]
    assert due(groups) == [2]
    assert due(groups) == [], "its first chunk is awaited"
    groups[0].receiver, groups[0].core.is_restoring = None, False
    assert due(groups) == [3]
    groups[1].receiver = groups[2].receiver = SnapshotReceiver(2, 8, 5, NOW_NS)
    assert due(groups, NOW_NS + SILENT_NS) == []
    assert due(groups, NOW_NS + SILENT_NS + 1) == [4, 2]


def test_each_in_its_turn() -> None:
    """Leaders that have none to give do not keep others from being asked."""
    groups = [member(number) for number in (1, 2, 3, 4, 5)]
    asked = [due(groups, NOW_NS + round_ * SNAPSHOT_REQUEST_NS) for round_ in range(3)]
    assert asked[:2] == [[1, 2], [3, 4]]
    assert asked[2][0] == 5
