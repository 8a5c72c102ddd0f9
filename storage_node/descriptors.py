"""What a storage node is told of a partition, and what it keeps of that."""

from __future__ import annotations

from collections.abc import Iterable

from statorpb import cluster_pb2

from server.paxos.quorum import Configuration, Member, ReplicaKind


def configuration_of(members: Iterable[cluster_pb2.Member]) -> Configuration:
    """The members that a descriptor names."""
    return Configuration(
        tuple(
            Member(each.node_id, each.zone, ReplicaKind.LOG if each.log_only else ReplicaKind.STORAGE)
            for each in members
        )
    )


def target_of(told: cluster_pb2.PartitionDescriptor) -> tuple[Configuration, int | None]:
    """Whom a group is to have as members, and the slot of the configuration that they are to follow (None: a metadata
    service of a version that does not say)."""
    return configuration_of(told.members), told.floor.configuration_slot if told.HasField("floor") else None


def members_in_force(configuration: Configuration) -> list[cluster_pb2.Member]:
    """The same the other way, for a report."""
    return [
        cluster_pb2.Member(node_id=each.node_id, zone=each.zone, log_only=each.kind == ReplicaKind.LOG)
        for each in configuration.members
    ]


def is_news(kept: cluster_pb2.PartitionDescriptor, told: cluster_pb2.PartitionDescriptor) -> bool:
    """Whether a node is told something that it should have on disk: the key schema, which versions before 0.2 did not
    keep; where members are that it did not know."""
    known = {each.node_id: each.address for each in (*kept.members, *kept.peers)}
    has_schema_news = told.HasField("partition_key") and not kept.HasField("partition_key")
    return has_schema_news or any(known.get(each.node_id) != each.address for each in told.members)


def with_news(
    kept: cluster_pb2.PartitionDescriptor, told: cluster_pb2.PartitionDescriptor
) -> cluster_pb2.PartitionDescriptor:
    """What to keep after having been told. The members stay those that the group had when the replica was made: who
    came later is for the group's log to say, or a member could count votes that do not count yet. So does the floor
    that they stand on. Where the others are is kept beside."""
    new = cluster_pb2.PartitionDescriptor()
    new.CopyFrom(told)
    del new.members[:]
    new.members.extend(kept.members)
    new.ClearField("floor")
    if kept.HasField("floor"):
        new.floor.CopyFrom(kept.floor)
    first = {each.node_id: each.address for each in kept.members}
    peers = {each.node_id: each for each in (*kept.peers, *told.members)}
    del new.peers[:]
    new.peers.extend(peers[each] for each in sorted(peers) if first.get(each) != peers[each].address)
    return new
