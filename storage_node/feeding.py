"""The feeds and streams of a node's partitions: what the metadata service wants of them, and what becomes due of them
with time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from statorpb import cluster_pb2

from server.table_codec import global_index
from storage_node.backfill import BackFill
from storage_node.changes import WantedFeed
from storage_node.codec.stream_record import CorruptStreamRecordError
from storage_node.partition.streams import CorruptStreamError
from storage_node.replica import PartitionReplica
from storage_node.store import CorruptValueError, Store, StoreError
from storage_node.stream_log import wanted_streams

TEND_S = 0.05


class Feeding:
    """Of one node. `back_fill`: the walk that passes on what was there before a feed."""

    def __init__(self, store: Store, replicas: Mapping[int, PartitionReplica]) -> None:
        self.back_fill = BackFill(store, replicas)
        self._replicas = replicas

    def want(self, partitions: Iterable[cluster_pb2.PartitionDescriptor], next_number: int = 0) -> None:
        """Takes the feeds and streams that the partitions here are to have. Indexes and streams with numbers below
        `next_number` that are not among them are no more."""
        for descriptor in partitions:
            replica = self._replicas.get(descriptor.partition_id)
            if replica is not None:
                wanted = [WantedFeed(global_index(each.index), each.removed) for each in descriptor.feeds]
                replica.changes.want(wanted, next_number)
                replica.streams.want(wanted_streams(descriptor), next_number)

    def overloaded(self) -> list[int]:
        """The partitions led here whose indexes do not keep up, so that nothing more is to be written."""
        found = self._replicas.items()
        return sorted(each for each, replica in found if replica.changes.is_overloaded and replica.is_leading)

    async def run(self) -> None:
        """Proposes what is due, for ever, where this node leads."""
        while True:
            for replica in tuple(self._replicas.values()):
                if replica.changes.needs_tending or replica.streams.needs_tending or replica.transactions.needs_tending:
                    try:
                        replica.changes.tend()
                        replica.streams.tend()
                        replica.transactions.tend()
                    except (CorruptValueError, StoreError, CorruptStreamError, CorruptStreamRecordError) as error:
                        replica.note_rotten(str(error))
                    # To look through records that are old takes milliseconds, of each partition.
                    await asyncio.sleep(0)
            await asyncio.sleep(TEND_S)
