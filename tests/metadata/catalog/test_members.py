"""Who holds a partition: one member is replaced at a time, by steps that may come twice or too late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metadata.catalog.catalog import Catalog
from metadata.catalog.commands import (
    ActivateTable,
    AdoptMembers,
    DeleteTable,
    DrainNode,
    MemberCommand,
    MemberReplaced,
    NoteFloor,
    PartitionsDropped,
    PromoteMember,
    RegisterNode,
    RemoveTable,
    ReplaceMember,
    WithdrawMember,
)
from metadata.catalog.members import Partition, with_member
from server.paxos.ballot import Ballot
from server.paxos.quorum import Floor
from tests.metadata.catalog.test_catalog import create

WHOLE = Partition(100, b"", b"", (1, 2, 3))
JOINING = Partition(100, b"", b"", (1, 4, 3), log_node_id=4, leaving_node_id=2)
JOINED = Partition(100, b"", b"", (1, 4, 3), log_node_id=4)
REPLACED = Partition(100, b"", b"", (1, 4, 3))
ANEW = Partition(100, b"", b"", (1, 5, 3), log_node_id=5, leaving_node_id=2, withdrawn_node_ids=(4,))
LOW, HIGH = Floor(5, Ballot(2, 1)), Floor(9, Ballot(3, 1))


@pytest.mark.parametrize(
    ("before", "command", "after"),
    [
        (WHOLE, ReplaceMember(100, 2, 4), JOINING),
        (JOINING, MemberReplaced(100, 2), JOINED),
        (JOINED, PromoteMember(100, 4), REPLACED),
        # A log replica that dies before it has the state is replaced in its turn.
        (JOINED, ReplaceMember(100, 4, 5), Partition(100, b"", b"", (1, 5, 3), 5, 4)),
        # What the group has reached only ever rises.
        (replace(WHOLE, floor=LOW), ReplaceMember(100, 2, 4, HIGH), replace(JOINING, floor=HIGH)),
        (replace(JOINING, floor=LOW), MemberReplaced(100, 2, HIGH), replace(JOINED, floor=HIGH)),
        (replace(JOINING, floor=HIGH), MemberReplaced(100, 2, LOW), replace(JOINED, floor=HIGH)),
        (replace(JOINING, floor=LOW), NoteFloor(100, HIGH), replace(JOINING, floor=HIGH)),
        (replace(JOINING, floor=HIGH), NoteFloor(100, LOW), None),
        # Who was to join is given up: another takes the place of the same member, or that of one that has died since.
        (JOINING, WithdrawMember(100, 4, 2, 5), ANEW),
        (JOINING, WithdrawMember(100, 4, 1, 5), Partition(100, b"", b"", (5, 2, 3), 5, 1, withdrawn_node_ids=(4,))),
        (ANEW, WithdrawMember(100, 5, 2, 6), Partition(100, b"", b"", (1, 6, 3), 6, 2, withdrawn_node_ids=(4, 5))),
        # Not where there is nothing to withdraw, or it has come true, or been withdrawn, or the group has gone on.
        (WHOLE, WithdrawMember(100, 0, 2, 5), None),
        (JOINED, WithdrawMember(100, 4, 2, 5), None),
        (ANEW, WithdrawMember(100, 4, 2, 6), None),
        (replace(JOINING, floor=HIGH), WithdrawMember(100, 4, 2, 5, LOW), None),
        (replace(JOINING, floor=LOW), WithdrawMember(100, 4, 2, 5, HIGH), None),
        # Who has been given up, or owes the removal of what it has, does not join; who is no member does not leave.
        (ANEW, WithdrawMember(100, 5, 2, 4), None),
        (JOINING, WithdrawMember(100, 4, 2, 7), None),
        (JOINING, WithdrawMember(100, 4, 4, 5), None),
        # Which decision has come true the leader says; until it has, nothing is concluded from less.
        (ANEW, AdoptMembers(100, (1, 5, 3), 5, HIGH), Partition(100, b"", b"", (1, 5, 3), 5, floor=HIGH)),
        (ANEW, AdoptMembers(100, (1, 4, 3), 4, HIGH), Partition(100, b"", b"", (1, 4, 3), 4, floor=HIGH)),
        (ANEW, AdoptMembers(100, (1, 2, 3), 0, HIGH), replace(WHOLE, floor=HIGH)),
        (replace(ANEW, floor=HIGH), AdoptMembers(100, (1, 4, 3), 4, HIGH), None),
        (ANEW, AdoptMembers(100, (1, 8, 3), 8, HIGH), None),
        (WHOLE, AdoptMembers(100, (1, 2, 3), 0, HIGH), None),
        (ANEW, MemberReplaced(100, 2, HIGH), None),
        (ANEW, NoteFloor(100, HIGH), None),
        # Twice, or too late.
        (JOINING, ReplaceMember(100, 2, 4), None),
        (JOINED, MemberReplaced(100, 2), None),
        (REPLACED, PromoteMember(100, 4), None),
        (WHOLE, PromoteMember(100, 2), None),
        # Too early: the one that leaves may still be a member.
        (JOINING, PromoteMember(100, 4), None),
        # One at a time.
        (JOINING, ReplaceMember(100, 1, 5), None),
        (JOINED, ReplaceMember(100, 1, 5), None),
        # Who is no member cannot leave; who is one, or has not removed what it had, cannot join.
        (WHOLE, ReplaceMember(100, 9, 4), None),
        (WHOLE, ReplaceMember(100, 2, 3), None),
        (WHOLE, ReplaceMember(100, 2, 7), None),
    ],
)
def test_a_step(before: Partition, command: MemberCommand, after: Partition | None) -> None:
    """Node 7 owes the removal of what it has."""
    assert with_member(before, command, {7}) == after


def test_who_may_have_something_and_who_has_the_state() -> None:
    """The one that leaves is asked to remove it; a log replica is not asked for items."""
    assert (WHOLE.holders, JOINING.holders, ANEW.holders) == ((1, 2, 3), (1, 4, 3, 2), (1, 5, 3, 2, 4))
    assert (WHOLE.former_node_ids, JOINING.former_node_ids, ANEW.former_node_ids) == ((1, 2, 3),) * 3
    assert (JOINING.storage_node_ids, REPLACED.storage_node_ids) == ((1, 3), (1, 4, 3))
    assert [JOINING.state_of(node_id) for node_id in (1, 4, 2)] == ["", "log", "leaving"]
    assert ANEW.state_of(4) == "leaving", "whoever asks need not know why"


def test_what_was_left_behind_is_garbage() -> None:
    """From when the group has gone on until the node has removed it; and it is garbage still if the table goes too."""
    catalog = Catalog()
    catalog.apply(create())
    assert catalog.apply(ReplaceMember(100, 2, 4)) is None, "the table is not active yet"
    catalog.apply(ActivateTable(1))
    catalog.apply(ReplaceMember(100, 2, 4))
    found = catalog.partition_of(100)
    assert found is not None
    assert found[1].node_ids == (1, 4, 3)
    assert catalog.garbage == {}
    catalog.apply(MemberReplaced(100, 2))
    assert catalog.garbage == {100: {2}}
    assert catalog.apply(ReplaceMember(100, 1, 2)) is None, "it owes the removal of what it has"
    catalog.apply(PromoteMember(100, 4))
    catalog.apply(DeleteTable("music"))
    catalog.apply(RemoveTable(1, ((100, (3,)),)))
    assert catalog.garbage == {100: {2, 3}}
    catalog.apply(PartitionsDropped(2, (100,)))
    assert catalog.garbage == {100: {3}}


def test_a_partition_is_found_in_whichever_table() -> None:
    """Ids are those of the cluster, not of a table."""
    catalog = Catalog()
    for name in ("music", "films"):
        catalog.apply(create(name))
    tables = list(catalog.tables.values())
    ids = [partition.partition_id for table in tables for partition in table.partitions]
    assert len(ids) == 4
    for partition_id in ids:
        found = catalog.partition_of(partition_id)
        assert found is not None and found[1] in found[0].partitions and found[1].partition_id == partition_id


def test_a_partition_that_is_not_there_changes_nothing() -> None:
    """Its table has gone."""
    catalog = Catalog()
    assert catalog.partition_of(100) is None
    assert catalog.apply(PromoteMember(100, 4)) is None


def test_what_other_decisions_have_left_behind_is_garbage() -> None:
    """Of all of them, whichever has come true; and a node that is drained is not decided for."""
    catalog = Catalog()
    for node_id in range(1, 7):
        catalog.apply(RegisterNode(f"storage-{node_id}", f"zone-{node_id % 3}", f"a:{node_id}", f"d{node_id}"))
    catalog.apply(create())
    catalog.apply(ActivateTable(1))
    catalog.apply(ReplaceMember(100, 2, 4))
    catalog.apply(DrainNode("storage-5"))
    assert catalog.apply(WithdrawMember(100, 4, 2, 5)) is None
    catalog.apply(DrainNode("storage-5", is_cancelled=True))
    assert catalog.apply(WithdrawMember(100, 4, 2, 5)) is not None
    assert catalog.garbage == {}
    catalog.apply(AdoptMembers(100, (1, 4, 3), 4, HIGH))
    assert catalog.garbage == {100: {2, 5}}
