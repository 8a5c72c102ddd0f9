"""Members of one partition over real stores, whose log the test commits, loses and brings back as it likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from statorpb import cluster_pb2, partition_pb2

from server.paxos.ballot import ZERO, Ballot
from server.runtime.host_surroundings import COMMITTED, UNKNOWN, Done, Outcome, OutcomeKind
from storage_node.host import NodeHost
from storage_node.replica import PartitionReplica
from storage_node.store import Store
from tests.storage_node.nodes import PARTITION, TABLE

MIB = 1024 * 1024


class FakeHost:
    """What a replica sees of its host. Entries wait in `log` of the group until they are committed."""

    def __init__(self, group: Group, node_id: int) -> None:
        self.node_id = node_id
        self.hand_overs = self
        self.told_committed = 0
        self.flushes = 0
        self._group = group

    def is_serving_leader(self, group_id: int) -> bool:
        return self._group.leader is not None and self._group.leader.host is self

    def leader_ballot(self, group_id: int) -> Ballot:
        return self._group.ballot if self.is_serving_leader(group_id) else ZERO

    def leader_of(self, group_id: int) -> tuple[int, int]:
        leader = self._group.leader
        return (leader.host.node_id, self._group.ballot.round) if leader is not None else (0, 0)

    def is_under_way(self, group_id: int) -> bool:
        return False

    def tell_committed(self, group_id: int) -> None:
        self.told_committed += 1

    def flush_soon(self) -> None:
        self.flushes += 1

    def propose(self, group_id: int, payload: bytes, done: Done) -> None:
        if self.is_serving_leader(group_id):
            self._group.proposed.append((payload, done))
        else:
            done(Outcome(OutcomeKind.NOT_LEADER, None, 0))


class Member:
    """A store and the replica over it."""

    def __init__(self, group: Group, directory: Path, node_id: int) -> None:
        self.host = FakeHost(group, node_id)
        self.directory = directory
        self.rotten: list[str] = []
        self._group = group
        self.open()

    def open(self) -> None:
        """In a new life: what is in the B-tree is there, the rest is applied from the log."""
        self.store = Store(self.directory, map_bytes=4 * MIB, memtable_bytes=64 * MIB)
        self.store.open()
        self.replica = PartitionReplica(
            self._group.descriptor,
            self.store,
            cast(NodeHost, self.host),
            self._run,
            lambda partition_id, sentence: self.rotten.append(sentence),
        )

    def crash(self) -> None:
        self.store.close()
        self.open()

    def catch_up(self, slot: int) -> None:
        """Applies the log up to a slot."""
        for each in range(self.store.applied_slot(self.replica.partition_id) + 1, slot + 1):
            self.replica.apply(each, self._group.log[each - 1])

    def checkpoint(self) -> None:
        checkpoint = self.store.freeze_for_checkpoint()
        if checkpoint is not None:
            self.store.write_checkpoint(checkpoint)
            self.store.finish_checkpoint(checkpoint)

    def restore_from(self, other: Member) -> None:
        """Takes the state of another member as of its last checkpoint, in the place of its own."""
        snapshot = other.replica.open_snapshot()
        assert snapshot is not None
        self.replica.begin_restore(snapshot.slot, lambda: None)
        while (chunk := snapshot.next_chunk()) is not None:
            self.replica.restore_chunk(chunk, lambda: None)
        self.replica.finish_restore(snapshot.slot, lambda: None)
        snapshot.close()
        assert not self.replica.is_restoring

    @staticmethod
    def _run(work: Callable[[], None], done: Callable[[], object]) -> None:
        work()
        done()


class Group:
    """The members of a partition (100 of table 1), one of which leads. `log`: committed, from slot 1 on; `lost`: what
    was proposed and did not survive a change of leaders."""

    def __init__(self, directory: Path, count: int = 2, **described: Any) -> None:
        key = cluster_pb2.KeyAttribute(name="pk", type="S")
        described = {"partition_id": PARTITION, "table_number": TABLE, "partition_key": key, **described}
        self.descriptor = cluster_pb2.PartitionDescriptor(**described)
        self.log: list[bytes] = []
        self.lost: list[bytes] = []
        self.proposed: list[tuple[bytes, Done]] = []
        self.ballot = ZERO
        self.leader: Member | None = None
        self.members = [Member(self, directory / f"btree-{each}", each) for each in range(1, count + 1)]
        self.lead(self.members[0])

    @property
    def leading(self) -> Member:
        assert self.leader is not None
        return self.leader

    def commit(self, count: int | None = None) -> None:
        """Commits the first few of what is proposed (None: all, and what is proposed meanwhile)."""
        done_so_far = 0
        while self.proposed and (count is None or done_so_far < count):
            payload, done = self.proposed.pop(0)
            self.log.append(payload)
            self.leading.catch_up(len(self.log))
            done(COMMITTED)
            done_so_far += 1

    def lead(self, member: Member, surviving: int = 0, revived: Sequence[bytes] = ()) -> None:
        """Another leadership; the first few of what was proposed are committed all the same, without a word to those
        that proposed them. `revived`: what a former leader had in its log, which comes back behind that."""
        proposed, self.proposed, self.leader = self.proposed, [], None
        self.log += [payload for payload, _ in proposed[:surviving]]
        self.log += revived
        self.lost += [payload for payload, _ in proposed[surviving:]]
        for _, done in reversed(proposed):
            done(UNKNOWN)
        self.ballot = Ballot(self.ballot.round + 1, member.host.node_id)
        self.log.append(member.replica.opening(self.ballot))
        member.catch_up(len(self.log))
        self.leader = member

    def ask(
        self, request: partition_pb2.PartitionRequest, member: Member | None = None
    ) -> list[partition_pb2.PartitionReply]:
        """The answers so far, one at most, of a member (None: of the leader); they come into the list."""
        answers: list[partition_pb2.PartitionReply] = []

        def reply(
            request_id: int,
            status: partition_pb2.PartitionStatusCode.ValueType,
            item: bytes = b"",
            leader_node_id: int = 0,
            message: str = "",
            extra_bytes: int = 0,
        ) -> partition_pb2.PartitionReply:
            answer = partition_pb2.PartitionReply(
                id=request_id, status=status, item=item, message=message, leader_node_id=leader_node_id
            )
            answers.append(answer)
            return answer

        (member or self.leading).replica.serve(request, reply, is_full=False)
        return answers

    def close(self) -> None:
        for each in self.members:
            each.store.close()
