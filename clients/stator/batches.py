"""Cutting long lists into the batches that one request may carry."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from google.protobuf.message import Message
from statorpb import item_pb2

BATCH_WRITES_MAX = 25
BATCH_GET_KEYS_MAX = 100
BATCH_BYTES_MAX = 8 * 1024 * 1024
BATCHES_AT_ONCE = 8

MessageT = TypeVar("MessageT", bound=Message)


def batches(parts: Iterable[MessageT], parts_max: int) -> Iterator[list[MessageT]]:
    """Lists of at most `parts_max` messages and about BATCH_BYTES_MAX bytes, in order; every part in one of them."""
    batch: list[MessageT] = []
    batch_bytes = 0
    for part in parts:
        part_bytes = part.ByteSize()
        if batch and (len(batch) == parts_max or batch_bytes + part_bytes > BATCH_BYTES_MAX):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(part)
        batch_bytes += part_bytes
    if batch:
        yield batch


def key_identity(attributes: Mapping[str, item_pb2.AttributeValue]) -> frozenset[tuple[str, bytes]]:
    """Equal for equal keys, whatever the order of their attributes. Numbers must be in canonical text."""
    return frozenset((name, value.SerializeToString(deterministic=True)) for name, value in attributes.items())
