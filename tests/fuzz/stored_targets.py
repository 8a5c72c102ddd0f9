"""Targets: what storage nodes decode that they have written down, or have been sent by each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from server.model.table import GlobalIndex, KeyAttribute
from server.paxos.ballot import Ballot
from server.wire import item_to_bytes
from storage_node.codec.change import Change, CorruptChangeError, EntryChange, decode_change, encode_change
from storage_node.codec.index_batch import BatchEntry, CorruptBatchError, IndexBatch, decode_batch, encode_batch
from storage_node.codec.mutation import CorruptMutationError, Mutation, decode_mutation, encode_mutation
from storage_node.codec.stream_record import (
    CorruptStreamRecordError,
    Event,
    StreamRecord,
    decode_stream_record,
    encode_stream_record,
)
from storage_node.partition.feeds import CorruptFeedError, Feed, decode_feed, encode_feed
from storage_node.partition.streams import VIEW_TYPES, CorruptStreamError, Stream, decode_stream, encode_stream

_ITEM = item_to_bytes({"pk": {"S": "a"}, "n": {"N": "5"}})
_KEYS = item_to_bytes({"pk": {"S": "a"}})
_RECORDS = (
    StreamRecord(60, Event.INSERT, 1, 2, 8, _KEYS, None, _ITEM),
    StreamRecord(61, Event.MODIFY, 2**63, 2**63, 8, _KEYS, b"old", _ITEM),
    StreamRecord(62, Event.REMOVE, 1, 2, 8, _KEYS, _ITEM, None, is_by_time_to_live=True),
    StreamRecord(63, Event.MODIFY, 1, 2, 8, _KEYS),
)
_ENTRIES = (EntryChange(50, b"at", _ITEM), EntryChange(50, b"other", b"other"), EntryChange(51, b"at", None))


def _target(
    decode: Callable[[bytes], Any],
    encode: Callable[[Any], bytes],
    error: type[Exception],
    *,
    has_one_form: bool = False,
) -> Callable[[bytes], None]:
    """What is decoded is what its encoding says as well; all else is told by one error. `has_one_form`: there is no
    other way to write it."""

    def run(data: bytes) -> None:
        try:
            decoded = decode(data)
        except error:
            return
        again = encode(decoded)
        assert decode(again) == decoded
        assert again == data or not has_one_form

    return run


batches = _target(decode_batch, encode_batch, CorruptBatchError)
changes = _target(decode_change, encode_change, CorruptChangeError)
feeds = _target(decode_feed, encode_feed, CorruptFeedError, has_one_form=True)
mutations = _target(decode_mutation, encode_mutation, CorruptMutationError)
_rows = _target(decode_stream, encode_stream, CorruptStreamError, has_one_form=True)
_records = _target(decode_stream_record, encode_stream_record, CorruptStreamRecordError, has_one_form=True)
_item_records = _target(
    lambda data: decode_stream_record(data, _ITEM),
    lambda record: encode_stream_record(record, _ITEM),
    CorruptStreamRecordError,
)


def streams(data: bytes) -> None:
    """A stream's row, and a record: by itself, and in a mutation, where it may lack what it shares with that."""
    for run in (_rows, _records, _item_records):
        run(data)


def batch_seeds() -> Iterator[bytes]:
    entries = (BatchEntry(3, b"at", _ITEM), BatchEntry(4, b"at", None), BatchEntry(2**64 - 1, b"", b""))
    for count in range(len(entries) + 1):
        yield encode_batch(IndexBatch(7, 2**64 - 1, entries[:count]))


def change_seeds() -> Iterator[bytes]:
    for count in range(len(_ENTRIES) + 1):
        yield encode_change(Change(5, _ENTRIES[:count]))


def feed_seeds() -> Iterator[bytes]:
    x, y = KeyAttribute("x", "S"), KeyAttribute("y", "N")
    for index in (GlobalIndex(50, "by-x", (x,), (), "ALL"), GlobalIndex(51, "b", (x, y), (y,), "INCLUDE", ("v", "w"))):
        yield encode_feed(Feed(index))
        yield encode_feed(Feed(index, 2**64 - 1, b"position", 7, False))
        yield encode_feed(Feed(index, 3, None, 7, True))


def mutation_seeds() -> Iterator[bytes]:
    token, origin, more = bytes(range(16)), Ballot(2, 1), ((b"row", _ITEM), (b"gone", None), (b"other", b"other"))
    for item in (_ITEM, None):
        plain = Mutation(token, b"key", item, 5, origin)
        yield encode_mutation(plain)
        yield encode_mutation(plain._replace(token=b""))
        yield encode_mutation(plain._replace(more=more, result=b"result"))
        for records in ((), _RECORDS[:1], _RECORDS):
            for change in (None, Change(5, _ENTRIES)):
                yield encode_mutation(plain._replace(more=more, records=records, change=change))


def stream_seeds() -> Iterator[bytes]:
    for view_type in VIEW_TYPES:
        yield encode_stream(Stream(60, view_type, 1_000))
    yield encode_stream(Stream(2**64 - 1, VIEW_TYPES[0], 2**64 - 1, True, 2**64 - 1))
    for record in _RECORDS:
        yield encode_stream_record(record)
        yield encode_stream_record(record, _ITEM)
