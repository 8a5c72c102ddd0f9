"""Decisions on members and what a group makes of them, in every order: who is told to remove what it has is not, and
never again comes to be, a member by a decision of before.

The group is a list of the configurations that its log has brought into force. A leader that serves knows all of them.
It carries out any decision that was ever made, as it may have missed what came after that, but only from the
configuration that the decision is based on (storage_node/node.py). Everybody else may be late: the metadata service's
leader decides by a report that may be old, and by a catalog that may have changed when its command is applied.
"""

from __future__ import annotations

from dataclasses import replace

from metadata.catalog.commands import AdoptMembers, MemberCommand, MemberReplaced, ReplaceMember, WithdrawMember
from metadata.catalog.members import Partition, with_member
from server.paxos.quorum import Floor

FIRST = Partition(100, b"", b"", (1, 2, 3))
SPARES = (4, 5)
CHANGES_MAX = 2  # configurations after the first
DECISIONS_MAX = 3

Group = tuple[frozenset[int], ...]
"""The members of each configuration; the slot of one is its index."""

State = tuple[Group, Partition, frozenset[tuple[frozenset[int], int]], frozenset[int], MemberCommand | None]
"""The group, the catalog, the decisions (members, slot that they are based on), who was told to remove what it has, and
a command that is on its way."""


def proposals(group: Group, partition: Partition) -> set[MemberCommand]:
    """What a metadata leader may propose that knows this of the catalog, by any report that it may have."""
    found: set[MemberCommand] = set()
    for slot, members in enumerate(group):
        floor, decided_on = Floor(slot), partition.floor.configuration_slot
        if slot > decided_on and partition.withdrawn_node_ids:
            found.add(AdoptMembers(100, tuple(sorted(members)), 0, floor))
        elif slot > decided_on and partition.leaving_node_id and members == set(partition.node_ids):
            found.add(MemberReplaced(100, partition.leaving_node_id, floor))
        elif slot == decided_on and members == set(partition.former_node_ids):
            for leaving in sorted(members):
                for joining in SPARES:
                    if partition.leaving_node_id:
                        found.add(WithdrawMember(100, partition.log_node_id, leaving, joining, floor))
                    else:
                        found.add(ReplaceMember(100, leaving, joining, floor))
    return found


def successors(state: State) -> list[State]:
    """What may happen next. Roles are left out: who joined has the state at once."""
    group, partition, decisions, emptied, late = state
    following: list[State] = []
    if late is None:
        following += [(*state[:4], command) for command in proposals(group, partition)]
    known = proposals(group, partition)
    for command in known if late is None else known | {late}:
        changed = with_member(replace(partition), command, ())
        if changed is None:
            continue
        wanted = (frozenset(changed.node_ids), changed.floor.configuration_slot)
        is_decision = isinstance(command, ReplaceMember | WithdrawMember)
        if is_decision and len(decisions) == DECISIONS_MAX:
            continue
        gone = set(partition.holders) - set(changed.holders)
        changed = changed if changed.leaving_node_id else replace(changed, log_node_id=0)
        following.append(
            (
                group,
                changed,
                decisions | {wanted} if is_decision else decisions,
                (emptied | gone) - set(changed.node_ids),
                None if command is late else late,
            )
        )
    for members, slot in decisions:
        if slot == len(group) - 1 and members != group[-1] and len(group) <= CHANGES_MAX:
            following.append(((*group, members), partition, decisions, emptied, late))
    return following


def test_no_member_is_emptied_and_one_changes_at_a_time() -> None:
    """Whatever is late, repeated or overtaken."""
    first: State = ((frozenset(FIRST.node_ids),), FIRST, frozenset(), frozenset(), None)
    seen, todo = {first}, [first]
    adopted = 0
    while todo:
        for state in successors(todo.pop()):
            group, partition, _, emptied, _ = state
            if state in seen:
                continue
            assert not group[-1] & emptied, state
            assert group[-1] <= set(partition.holders), state
            assert len(group) == 1 or len(group[-1] - group[-2]) == 1, state
            adopted += len(group) > 1
            seen.add(state)
            todo.append(state)
    assert adopted > 1000
