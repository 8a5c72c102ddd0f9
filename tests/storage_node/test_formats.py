"""FORMATS.md shows what the code writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from metadata.catalog.catalog import Catalog
from metadata.catalog.commands import FoundCluster
from metadata.catalog_codec import encode_command, encode_snapshot
from metadata.store import write_snapshot
from server.codec.frame import SegmentHeader, encode_frame, encode_segment_header, encode_sync_mark
from server.codec.record import Record, RecordType, encode_record, record_crc
from server.model.table import GlobalIndex, KeyAttribute
from server.paxos.ballot import ZERO, Ballot
from server.paxos.quorum import Configuration, Member, ReplicaKind, encode_configuration
from server.runtime.identity import Identity, release
from storage_node.btree import BTree
from storage_node.codec.change import Change, EntryChange, encode_change
from storage_node.codec.mark import Mark, MarkKind, encode_mark
from storage_node.codec.mutation import Mutation, encode_mutation
from storage_node.codec.snapshot import ChunkKind, encode_chunk
from storage_node.codec.stream_record import Event, StreamRecord, encode_stream_record
from storage_node.codec.value import GroupRow, encode_group_row, encode_value
from storage_node.disk import DiskSpace
from storage_node.overflow import NEXT_BUCKET
from storage_node.partition.feeds import Feed, encode_feed
from storage_node.partition.recent_writes import RecentWrites
from storage_node.partition.streams import Stream, encode_stream
from storage_node.store import Store

FORMATS = Path(__file__).resolve().parents[2] / "storage_node" / "FORMATS.md"


def examples() -> dict[str, bytes]:
    token = bytes(range(16))
    segment = SegmentHeader(node_id=3, number=1, salt=0x0123456789ABCDEF, segment_bytes=64 * 1024 * 1024)
    mutation = encode_mutation(Mutation(token, b"key", b"item", 1_700_000_000_000, Ballot(2, 3)))
    record = encode_record(Record(RecordType.ENTRIES, 100, Ballot(2, 3), 7, 6, (mutation,)))
    recent = RecentWrites()
    recent.admit(token, 7, 1_700_000_000_000, Ballot(2, 3))
    change = Change(1_700_000_000_000, (EntryChange(5, b"new", b"item"), EntryChange(5, b"old", None)))
    stream_record = StreamRecord(6, Event.MODIFY, 1_700_000_000_000, 9, 4, b"keys", b"old", b"item")
    index = GlobalIndex(5, "by-x", (KeyAttribute("x", "S"),), (KeyAttribute("y", "N"),), "INCLUDE", ("v",))
    return {
        "segment": encode_segment_header(segment),
        "frame": encode_frame(len(record), 9, 8, 100, record_crc(record), segment.seed),
        "mark": encode_sync_mark(10, segment.seed),
        "record": record,
        "mutation": mutation,
        "mutation with a change": encode_mutation(
            Mutation(token, b"key", b"item", 1_700_000_000_000, Ballot(2, 3), change=change)
        ),
        "mutation with a stream record": encode_mutation(
            Mutation(token, b"key", b"item", 1_700_000_000_000, Ballot(2, 3), records=(stream_record,))
        ),
        "stream record": encode_stream_record(stream_record),
        "stream": encode_stream(Stream(6, "NEW_AND_OLD_IMAGES", 7_000, is_closed=True, trimmed_sequence=9_000)),
        "change": encode_change(change),
        "mark of a transaction": encode_mark(
            Mark(token, token[::-1], 1_800_000_000_000_000, 9_000, "t", MarkKind.PUT, b"item")
        ),
        "feed": encode_feed(Feed(index, 7, b"next", 2)),
        "value": encode_value(b"key", b"item"),
        "row": encode_group_row(GroupRow(7, {0: (1, 7), 2: (3, 9)})),
        "recent": recent.encode(),
        "configuration": encode_configuration(
            Configuration((Member(1, "zone-1"), Member(4, "zone-2", ReplicaKind.LOG)))
        ),
        "chunk": encode_chunk(ChunkKind.ITEMS, [(b"key", b"item")]),
    }


def examples_of_files(directory: Path) -> dict[str, bytes]:
    """What code leaves in a folder."""
    ballot = Ballot(2, 3)
    Identity(directory, "storage-3", 3, "c", "0f3c9f0e-5a4b-4a52-9d0c-2f7f3f6f2a11", 2)._write()
    command = FoundCluster("c")
    catalog = Catalog()
    catalog.apply(command)
    write_snapshot(directory, 3, encode_snapshot(catalog))
    btree = BTree(directory / "btree", map_bytes=1 << 22)
    btree.open()
    long_key = b"k" * 511 + b"rest"
    btree.write(lambda txn: btree.keys.put(txn, long_key, b"item"))
    ((pointer_key, pointer),) = btree.read(lambda txn: list(txn.cursor(db=btree.items).iternext()))
    ((overflow_key, overflow),) = btree.read(lambda txn: list(txn.cursor(db=btree.overflow).iternext()))
    next_bucket = btree.read(lambda txn: txn.get(NEXT_BUCKET, db=btree.meta))
    btree.close()
    assert pointer_key == b"k" * 511
    return {
        "promise": encode_record(Record(RecordType.PROMISE, 100, ballot, 0, 6, ())),
        "reset": encode_record(Record(RecordType.RESET, 100, ballot, 8, 7, ())),
        "heal": encode_record(Record(RecordType.HEAL, 100, Ballot((1 << 32) + 2, 3), 8, 7, ())),
        "healed": encode_record(Record(RecordType.HEALED, 100, Ballot((1 << 32) + 3, 1), 0, 0, ())),
        "forget": encode_record(Record(RecordType.FORGET, 100, ZERO, 0, 0, ())),
        "pointer": pointer,
        "overflow key": overflow_key,
        "overflow value": overflow,
        "next bucket": next_bucket,
        "identity": (directory / "identity.json").read_bytes(),
        "command": encode_command(command),
        "snapshot": (directory / "catalog-00000000000000000003.snapshot").read_bytes(),
    }


EXAMPLES = examples()


def dump(data: bytes) -> str:
    """Offset and bytes, sixteen a line."""
    return "\n".join(f"{start:04x}  {data[start : start + 16].hex(' ')}" for start in range(0, len(data), 16))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_what_the_code_writes(name: str) -> None:
    """Each example in the document is byte for byte what is encoded."""
    assert dump(EXAMPLES[name]) in FORMATS.read_text()


def test_the_examples_of_files_are_what_the_code_leaves(tmp_path: Path) -> None:
    """Likewise for what is told of whole files and of the B-tree's databases."""
    text = FORMATS.read_text()
    for name, data in examples_of_files(tmp_path).items():
        shown = data.decode() if name == "identity" else dump(data)
        assert f"```\n{shown}\n```" in text, name


def test_every_record_type_and_file_is_in_the_document(tmp_path: Path) -> None:
    """Nothing that a node leaves in its folder is silently missing."""
    text = FORMATS.read_text()
    for each in RecordType:
        assert f"- *{each.name.lower()}*:" in text
        assert f"{each.value} {each.name.lower()}" in text
    node = Identity.load_or_create(tmp_path / "node", "storage-1").joined(1, "c")
    DiskSpace(node.directory, 0).prepare()
    store = Store(node.directory / "btree", map_bytes=1 << 22, memtable_bytes=1 << 20)
    store.open()
    databases = store._btree.read(lambda txn: [bytes(key).decode() for key, _ in txn.cursor().iternext()])
    store.close()
    release(node.directory)
    for path in node.directory.rglob("*"):
        if path.is_file():
            assert f"`{path.relative_to(node.directory)}`" in text, path
    assert len(databases) == 7
    for database in databases:
        assert f"| `{database}` |" in text, database
