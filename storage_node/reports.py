"""What a node tells the metadata service of its partitions."""

from __future__ import annotations

from collections.abc import Mapping

from statorpb import cluster_pb2

from server.model.key_encoding import NO_INDEXES
from server.runtime.replica_host import ReplicaHost
from storage_node.descriptors import members_in_force
from storage_node.replica import PartitionReplica
from storage_node.store import CorruptValueError, Store, StoreError


def leader_reports(host: ReplicaHost, replicas: Mapping[int, PartitionReplica]) -> list[cluster_pb2.LeaderReport]:
    """The partitions that this node leads and has recovered."""
    return [
        cluster_pb2.LeaderReport(
            partition_id=group_id,
            leader_node_id=host.node_id,
            ballot_round=group.core.promised.round,
            configuration_slot=group.core.configuration_slot,
            members=members_in_force(group.core.configuration) if group.core.is_configuration_known else (),
            feeds=replicas[group_id].changes.reports() if group_id in replicas else (),
            streams=_stream_reports(replicas[group_id]) if group_id in replicas else (),
        )
        for group_id, group in host.groups.items()
        if group.is_serving
    ]


def _stream_reports(replica: PartitionReplica) -> list[cluster_pb2.StreamReport]:
    try:
        return replica.streams.reports()
    except (CorruptValueError, StoreError) as error:
        replica.note_rotten(str(error))
        return []


def partition_sizes(store: Store, replicas: Mapping[int, PartitionReplica]) -> list[cluster_pb2.PartitionSize]:
    """Items and bytes of each partition, as of the last checkpoint."""
    found = []
    for partition_id in replicas:
        items, size = store.size(partition_id)
        found.append(cluster_pb2.PartitionSize(partition_id=partition_id, items=items, bytes=size))
        for number, (entries, entry_bytes) in store.sizes(partition_id).items():
            if number not in NO_INDEXES:
                found[-1].indexes.add(number=number, items=entries, bytes=entry_bytes)
    return found
