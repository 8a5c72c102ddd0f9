"""The catalog on disk: whole, the newest, and never silently wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from metadata.catalog.commands import FoundCluster
from metadata.catalog_codec import CorruptCatalogError, encode_command, encode_snapshot
from metadata.store import CHUNK_BYTES, CatalogMachine, read_snapshot, write_snapshot
from tests.metadata.catalog.test_catalog import create
from tests.metadata.fake_group import FatalError, fail


def restore(machine: CatalogMachine, slot: int, chunks: list[bytes]) -> bool:
    """What a member does that is sent a snapshot; returns whether it was reported durable."""
    done: list[str] = []
    machine.begin_restore(slot, lambda: None)
    for chunk in chunks:
        machine.restore_chunk(chunk, lambda: done.append("chunk"))
    machine.finish_restore(slot, lambda: done.append("all"))
    return done == ["chunk"] * len(chunks) + ["all"]


def filled(directory: Path) -> CatalogMachine:
    """A machine that has applied two commands and a no-op."""
    machine = CatalogMachine(directory, fail)
    machine.apply(1, encode_command(FoundCluster("c")))
    machine.applied_no_op(2)
    machine.apply(3, encode_command(create()))
    return machine


class TestFiles:
    def test_the_newest_stays(self, tmp_path: Path) -> None:
        """A later snapshot replaces the earlier ones; what a crash left half written is swept away."""
        assert read_snapshot(tmp_path) is None
        write_snapshot(tmp_path, 9, b"nine")
        write_snapshot(tmp_path, 10, b"ten")
        (tmp_path / "catalog-00000000000000000011.tmp").write_bytes(b"half")
        assert read_snapshot(tmp_path) == (10, b"ten")
        assert [path.name for path in tmp_path.iterdir()] == ["catalog-00000000000000000010.snapshot"]

    def test_every_damaged_bit_is_seen(self, tmp_path: Path) -> None:
        """In the header as in the content; and an older snapshot never stands in for a damaged one."""
        write_snapshot(tmp_path, 7, b"content")
        path = next(tmp_path.iterdir())
        whole = path.read_bytes()
        for position in range(len(whole)):
            for bit in range(8):
                damaged = bytearray(whole)
                damaged[position] ^= 1 << bit
                path.write_bytes(damaged)
                with pytest.raises(CorruptCatalogError):
                    read_snapshot(tmp_path)
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(CorruptCatalogError, match=r"is cut off|is damaged"):
                read_snapshot(tmp_path)
        path.write_bytes(whole)
        assert read_snapshot(tmp_path) == (7, b"content")


class TestMachine:
    def test_a_restart_goes_on_from_the_snapshot(self, tmp_path: Path) -> None:
        """What was captured is what is loaded, slot and content."""
        machine = filled(tmp_path)
        assert machine.open_snapshot() is None
        slot, content = machine.capture()
        assert slot == 3
        write_snapshot(tmp_path, slot, content)
        machine.captured(slot, content)
        again = CatalogMachine(tmp_path, fail)
        assert again.load() == 3
        assert again.slot == 3
        assert again.catalog == machine.catalog
        assert again.open_snapshot() is not None

    def test_an_empty_folder_is_an_empty_catalog(self, tmp_path: Path) -> None:
        """Slot 0: everything comes from the log."""
        machine = CatalogMachine(tmp_path, fail)
        assert machine.load() == 0
        assert machine.catalog.tables == {}

    def test_what_is_captured_is_of_its_slot(self, tmp_path: Path) -> None:
        """Commands applied while a capture is being written are not in it: it must not claim their slots."""
        machine = filled(tmp_path)
        slot, content = machine.capture()
        before = encode_snapshot(machine.catalog)
        machine.apply(4, encode_command(create("books")))
        write_snapshot(tmp_path, slot, content)
        assert read_snapshot(tmp_path) == (3, before)

    def test_an_older_capture_does_not_replace_a_newer_one(self, tmp_path: Path) -> None:
        """The log may reach back to the newer one only."""
        machine = filled(tmp_path)
        machine.captured(3, b"three")
        machine.captured(2, b"two")
        source = machine.open_snapshot()
        assert source is not None
        assert source.slot == 3

    def test_another_member_catches_up(self, tmp_path: Path) -> None:
        """The chunks of a snapshot make an equal catalog, on disk before `done`, and `on_change` is called."""
        machine = filled(tmp_path)
        machine.captured(*machine.capture())
        source = machine.open_snapshot()
        assert source is not None
        chunks = []
        while (chunk := source.next_chunk()) is not None:
            chunks.append(chunk)
        source.close()
        assert source.next_chunk() is None
        folder = tmp_path / "other"
        folder.mkdir()
        other = CatalogMachine(folder, fail)
        changes: list[int] = []
        other.on_change = lambda: changes.append(other.slot)
        assert restore(other, 3, chunks)
        assert changes == [3]
        assert other.catalog == machine.catalog
        assert CatalogMachine(folder, fail).load() == 3

    def test_large_snapshots_go_in_chunks(self, tmp_path: Path) -> None:
        """No chunk exceeds the limit, and together they are the content."""
        machine = CatalogMachine(tmp_path, fail)
        content = bytes(range(256)) * (CHUNK_BYTES // 100)
        machine.captured(1, content)
        source = machine.open_snapshot()
        assert source is not None
        chunks = []
        while (chunk := source.next_chunk()) is not None:
            assert len(chunk) <= CHUNK_BYTES
            chunks.append(chunk)
        assert b"".join(chunks) == content

    def test_an_unknown_command_is_fatal(self, tmp_path: Path) -> None:
        """A member that cannot apply an entry must not go on without it."""
        machine = CatalogMachine(tmp_path, fail)
        with pytest.raises(FatalError, match="slot 1 of the catalog's log cannot be applied"):
            machine.apply(1, b"\x12\x7f")
        assert machine.slot == 0

    def test_a_snapshot_that_is_none_is_fatal(self, tmp_path: Path) -> None:
        """The catalog stays as it was, in memory and on disk."""
        machine = filled(tmp_path)
        with pytest.raises(FatalError, match="the catalog's snapshot of slot 9 cannot be stored"):
            restore(machine, 9, [b"\x12\x7f"])
        assert machine.slot == 3
        assert read_snapshot(tmp_path) is None

    def test_a_disk_that_takes_no_snapshot_is_fatal(self, tmp_path: Path) -> None:
        """A restored state is durable, or the member has none."""
        machine = CatalogMachine(tmp_path / "gone", fail)
        _, content = filled(tmp_path).capture()
        with pytest.raises(FatalError, match="cannot be stored"):
            restore(machine, 9, [content])
        assert machine.slot == 0
