"""What a node keeps of what it is told of a partition."""

from __future__ import annotations

from statorpb import cluster_pb2

from server.floor_codec import put_floor
from server.paxos.quorum import NO_FLOOR, Configuration, Member, ReplicaKind
from storage_node.descriptors import configuration_of, is_news, members_in_force, target_of, with_news


def member(node_id: int, address: str = "", *, log_only: bool = False) -> cluster_pb2.Member:
    return cluster_pb2.Member(node_id=node_id, zone="a", address=address or f"host:{node_id}", log_only=log_only)


def descriptor(
    *members: cluster_pb2.Member, peers: tuple[cluster_pb2.Member, ...] = ()
) -> cluster_pb2.PartitionDescriptor:
    return cluster_pb2.PartitionDescriptor(partition_id=100, members=members, peers=peers)


def test_members_there_and_back() -> None:
    """Whom a descriptor names, and what is reported of whom the log names."""
    expected = Configuration((Member(1, "a"), Member(4, "a", ReplicaKind.LOG)))
    assert configuration_of([member(1), member(4, log_only=True)]) == expected
    assert configuration_of(members_in_force(expected)) == expected


def test_the_first_members_stay_and_the_others_addresses_are_kept_beside() -> None:
    """Whose votes count is for the log to say; where its node is has to be known before anybody can be asked."""
    kept = descriptor(member(1), member(2), member(3))
    assert not is_news(kept, descriptor(member(1), member(3)))
    told = descriptor(member(1), member(4, log_only=True), member(3, "elsewhere:3"))
    assert is_news(kept, told)
    new = with_news(kept, told)
    assert [each.node_id for each in new.members] == [1, 2, 3]
    assert [(each.node_id, each.address) for each in new.peers] == [(3, "elsewhere:3"), (4, "host:4")]
    assert not is_news(new, told)
    later = with_news(new, descriptor(member(1), member(5), member(3, "elsewhere:3")))
    assert [each.node_id for each in later.peers] == [3, 4, 5]


def test_a_key_schema_is_news() -> None:
    """Versions before 0.2 did not keep it."""
    told = descriptor(member(1))
    told.partition_key.name = "artist"
    assert is_news(descriptor(member(1)), told)
    assert with_news(descriptor(member(1)), told).partition_key.name == "artist"


def test_where_a_replica_began_is_kept() -> None:
    """Later decisions have other floors, on which other members stand."""
    kept, told = descriptor(member(1)), descriptor(member(1), member(4))
    kept.floor.configuration_slot, told.floor.configuration_slot = 5, 9
    assert with_news(kept, told).floor.configuration_slot == 5


def test_a_target_says_which_members_it_follows() -> None:
    """An older metadata service does not."""
    told = descriptor(member(1))
    assert target_of(told) == (configuration_of(told.members), None)
    put_floor(told.floor, NO_FLOOR)
    assert target_of(told) == (configuration_of(told.members), 0)
