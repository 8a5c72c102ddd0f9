"""Commands and snapshots as bytes: they come back as they went."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statorpb import cluster_pb2

from metadata.catalog.catalog import Catalog
from metadata.catalog.commands import Command, CreateTable, FoundCluster
from metadata.catalog.settings import TableSettings
from metadata.catalog_codec import (
    CorruptCatalogError,
    decode_command,
    decode_snapshot,
    encode_command,
    encode_snapshot,
)
from server.model.table import KeyAttribute, KeySchema
from tests.metadata import strategies
from tests.metadata.catalog.test_indexes import music_with
from tests.metadata.catalog.test_streams import music_with_stream


@given(strategies.commands)
def test_a_command_comes_back(command: Command) -> None:
    """Decoding is the inverse of encoding, and an encoding is never empty: empty entries are no-ops."""
    encoded = encode_command(command)
    assert encoded
    assert decode_command(encoded) == command


@given(st.lists(strategies.commands, max_size=30))
def test_a_catalog_comes_back(commands: list[Command]) -> None:
    """A snapshot holds everything: a catalog restored from it goes on like the original."""
    catalog = Catalog()
    for command in commands:
        catalog.apply(command)
    content = encode_snapshot(catalog)
    restored = decode_snapshot(content)
    assert restored == catalog
    assert encode_snapshot(restored) == content
    for command in commands:
        assert repr(restored.apply(command)) == repr(catalog.apply(command))
    assert restored == catalog


@given(st.lists(strategies.commands, max_size=20))
def test_equal_logs_give_equal_snapshots(commands: list[Command]) -> None:
    """Members that applied the same commands, one of them over a snapshot in between, have equal bytes."""
    one, two = Catalog(), Catalog()
    for index, command in enumerate(commands):
        one.apply(command)
        two.apply(decode_command(encode_command(command)))
        if index == len(commands) // 2:
            two = decode_snapshot(encode_snapshot(two))
    assert encode_snapshot(one) == encode_snapshot(two)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "a kind that this version does not know"),
        (b"\xba\x3e\x01x", "a kind that this version does not know"),
        (b"\x12\x7f", "the command is no protobuf message"),
    ],
)
def test_an_unknown_command_is_refused(data: bytes, sentence: str) -> None:
    """A member never passes over an entry that it does not understand."""
    with pytest.raises(CorruptCatalogError, match=sentence):
        decode_command(data)


def test_an_unknown_snapshot_is_refused() -> None:
    """Neither another version nor garbage is taken for a catalog."""
    with pytest.raises(CorruptCatalogError, match="version 9, not one of 1, 2, 3"):
        decode_snapshot(cluster_pb2.CatalogSnapshot(format_version=9).SerializeToString())
    with pytest.raises(CorruptCatalogError, match="no protobuf message"):
        decode_snapshot(b"\x12\x7f")


def test_what_older_versions_wrote_is_read() -> None:
    """A table that knows no indexes and no stream has none."""
    create = b"\x0a\x05music\x12\x06\x0a\x01a\x12\x01S"
    assert decode_command(b"\x1a" + bytes([len(create)]) + create) == CreateTable(
        "music", KeySchema(KeyAttribute("a", "S")), TableSettings(), "", 0, ()
    )


def test_a_version_for_what_older_ones_do_not_know() -> None:
    """A version that does not know streams must not read past them; without them, it reads everything."""
    seen = []
    for catalog in (music_with(), music_with("by-label"), music_with_stream(), Catalog()):
        content = encode_snapshot(catalog)
        seen.append(cluster_pb2.CatalogSnapshot.FromString(content).format_version)
        assert decode_snapshot(content) == catalog
    assert seen == [1, 2, 3, 1]


def test_the_example_of_the_format() -> None:
    """metadata/store.py gives these bytes as its example."""
    catalog = Catalog()
    catalog.apply(FoundCluster("c"))
    assert encode_snapshot(catalog).hex(" ").upper() == "08 01 10 01 18 64 20 01 2A 01 63"
