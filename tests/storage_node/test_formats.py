"""FORMATS.md shows what the code writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.codec.frame import SegmentHeader, encode_frame, encode_segment_header, encode_sync_mark
from server.codec.record import Record, RecordType, encode_record, record_crc
from server.paxos.ballot import Ballot
from storage_node.codec.mutation import Mutation, encode_mutation
from storage_node.codec.snapshot import ChunkKind, encode_chunk
from storage_node.codec.value import GroupRow, encode_group_row, encode_value
from storage_node.partition.recent_writes import RecentWrites

FORMATS = Path(__file__).resolve().parents[2] / "storage_node" / "FORMATS.md"


def examples() -> dict[str, bytes]:
    token = bytes(range(16))
    segment = SegmentHeader(node_id=3, number=1, salt=0x0123456789ABCDEF, segment_bytes=64 * 1024 * 1024)
    mutation = encode_mutation(Mutation(token, b"key", b"item"))
    record = encode_record(Record(RecordType.ENTRIES, 100, Ballot(2, 3), 7, 6, (mutation,)))
    recent = RecentWrites()
    recent.remember(token, 0)
    return {
        "segment": encode_segment_header(segment),
        "frame": encode_frame(len(record), 9, 8, 100, record_crc(record), segment.seed),
        "mark": encode_sync_mark(10, segment.seed),
        "record": record,
        "mutation": mutation,
        "value": encode_value(b"key", b"item"),
        "row": encode_group_row(GroupRow(7, 1, 7)),
        "recent": recent.encode(),
        "chunk": encode_chunk(ChunkKind.ITEMS, [(b"key", b"item")]),
    }


EXAMPLES = examples()


def dump(data: bytes) -> str:
    """Offset and bytes, sixteen a line."""
    return "\n".join(f"{start:04x}  {data[start : start + 16].hex(' ')}" for start in range(0, len(data), 16))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_what_the_code_writes(name: str) -> None:
    """Each example in the document is byte for byte what is encoded."""
    assert dump(EXAMPLES[name]) in FORMATS.read_text()
