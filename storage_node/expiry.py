"""Deletes expired items: those whose time-to-live attribute says that their time is over.

A slow walk through the partitions that this node leads, in turns. It takes a small, fixed share of the event loop's
time, so the more items there are, the longer a round takes. Each deletion is a conditional write like any other: an
item that has been given more time meanwhile stays.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping

import structlog
from google.protobuf.message import DecodeError
from statorpb import partition_pb2

from server.expressions.codec import encode
from server.expressions.legacy import filter_condition
from server.wire import item_from_bytes, item_to_bytes
from storage_node.partition.expiration import FORGOTTEN_AFTER_S, has_expired
from storage_node.replica import PartitionReplica
from storage_node.store import CorruptValueError, Store, StoreError
from storage_node.writes import TOKEN_BYTES

SLICE_ITEMS = 100
SLICE_BYTES = 1024 * 1024
"""As stored; of the items that are looked at before others get their turn."""

DELETIONS_MAX = 32
"""In flight at once."""

ROUND_S = 5.0
"""A round through all partitions takes so long at least."""

SHARE = 0.02
"""Of the event loop's time, at most."""

DELETION_TIMEOUT_MS = 5_000

log = structlog.get_logger()


class Expiry:
    """The walk. `attributes`: partition id -> time-to-live attribute, read anew for every partition."""

    def __init__(self, store: Store, replicas: Mapping[int, PartitionReplica]) -> None:
        self.attributes: Mapping[int, str] = {}
        self.deleted = 0  # items, in this process's life
        self.rounds = 0
        self._store = store
        self._replicas = replicas

    async def run(self) -> None:
        """Goes round for ever."""
        while True:
            begun = time.monotonic()
            for partition_id in tuple(self.attributes):
                await self.sweep(partition_id)
            self.rounds += 1
            await asyncio.sleep(max(0.0, begun + ROUND_S - time.monotonic()))

    async def sweep(self, partition_id: int) -> None:
        """Goes through one partition, as far as this node leads it."""
        replica = self._replicas.get(partition_id)
        position = replica.first_key if replica is not None else b""
        while replica is not None and replica.is_leading and (attribute := self.attributes.get(partition_id)):
            begun = time.monotonic()
            now_s = int(time.time())
            try:
                expired, position = self._slice(replica, position, attribute, now_s)
            except (CorruptValueError, StoreError, DecodeError) as error:
                log.warning("expired items cannot be looked for", partition_id=partition_id, reason=str(error))
                return
            await self._delete(replica, expired, attribute, now_s)
            if not position:
                return
            await asyncio.sleep((time.monotonic() - begun) / SHARE)

    def _slice(self, replica: PartitionReplica, start: bytes, attribute: str, now_s: int) -> tuple[list[bytes], bytes]:
        """(keys of the expired items of the next few, where to go on; empty: that was all)."""
        expired: list[bytes] = []
        size = 0
        for count, (key, data) in enumerate(self._store.scan(start, replica.end_key)):
            if count == SLICE_ITEMS or size >= SLICE_BYTES:
                return expired, key
            size += len(data)
            if has_expired(item_from_bytes(data), attribute, now_s):
                expired.append(key)
        return expired, b""

    async def _delete(self, replica: PartitionReplica, keys: list[bytes], attribute: str, now_s: int) -> None:
        details = _still_expired(attribute, now_s)
        for begin in range(0, len(keys), DELETIONS_MAX):
            waiting = [self._delete_one(replica, key, details) for key in keys[begin : begin + DELETIONS_MAX]]
            done, _ = await asyncio.wait(waiting, timeout=DELETION_TIMEOUT_MS / 1000)
            self.deleted += sum(each.result() == partition_pb2.OK for each in done)

    def _delete_one(
        self, replica: PartitionReplica, key: bytes, details: partition_pb2.WriteDetails
    ) -> asyncio.Future[partition_pb2.PartitionStatusCode.ValueType]:
        answered: asyncio.Future[partition_pb2.PartitionStatusCode.ValueType]
        answered = asyncio.get_running_loop().create_future()

        def reply(
            request_id: int,
            status: partition_pb2.PartitionStatusCode.ValueType,
            item: bytes = b"",
            leader_node_id: int = 0,
            message: str = "",
            extra_bytes: int = 0,
        ) -> partition_pb2.PartitionReply:
            if not answered.done():
                answered.set_result(status)
            return partition_pb2.PartitionReply()

        request = partition_pb2.PartitionRequest(
            operation=partition_pb2.DELETE,
            key=key,
            token=os.urandom(TOKEN_BYTES),
            timeout_ms=DELETION_TIMEOUT_MS,
            write=details,
        )
        replica.serve(request, reply, is_full=False)
        return answered


def _still_expired(attribute: str, now_s: int) -> partition_pb2.WriteDetails:
    """The condition that an item's time is over, and not for so long that it is taken for a mistake."""
    between = {
        "ComparisonOperator": "BETWEEN",
        "AttributeValueList": [{"N": str(now_s - FORGOTTEN_AFTER_S)}, {"N": str(now_s)}],
    }
    condition = filter_condition({attribute: between}, None, "ScanFilter")
    assert condition is not None
    return partition_pb2.WriteDetails(
        condition=encode(condition.tree), condition_values=item_to_bytes(condition.values), by_time_to_live=True
    )
