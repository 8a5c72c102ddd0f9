"""How a request is answered."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from statorpb import partition_pb2

Status: TypeAlias = partition_pb2.PartitionStatusCode.ValueType


class Reply(Protocol):
    """Adds one reply to the stream that the request came on; `extra_bytes`: what the caller will add to it, about."""

    def __call__(
        self,
        request_id: int,
        status: Status,
        item: bytes = b"",
        leader_node_id: int = 0,
        message: str = "",
        extra_bytes: int = 0,
    ) -> partition_pb2.PartitionReply: ...
