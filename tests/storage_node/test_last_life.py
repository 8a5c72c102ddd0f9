"""What a life that ended by a fatal signal leaves to the next, and what that makes of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from statorpb import cluster_pb2

from storage_node.btree import BTree
from storage_node.btree_check import check
from storage_node.config import MIB
from storage_node.last_life import LastLife
from storage_node.overflow import Transaction
from tests.storage_node.nodes import NodeSet, get, put, wait_until

PAGE_BYTES = 4096
ENTRIES = 2000
PAGE_KIND = slice(10, 12)
"""Where LMDB has the flags of a page."""

WATCH_AND = """
import sys
from pathlib import Path
from storage_node.last_life import LastLife
LastLife(Path(sys.argv[1]), Path(sys.argv[1]) / "btree").watch()
"""


def run(directory: Path, program: str) -> int:
    """The exit code of a process that watches, and then does as it is told."""
    process = subprocess.run(
        [sys.executable, "-c", WATCH_AND + program, str(directory)], check=False, capture_output=True, timeout=60
    )
    return process.returncode


@pytest.mark.parametrize("number", ["SIGABRT", "SIGSEGV", "SIGBUS"])
def test_a_fatal_signal_leaves_a_note(tmp_path: Path, number: str) -> None:
    life = LastLife(tmp_path, tmp_path / "btree")
    assert life.note() == ""
    life.settle()  # there is nothing
    code = run(tmp_path, f"import os, signal\nos.kill(os.getpid(), signal.{number})")
    assert code == -signal.Signals[number]
    assert life.note().startswith("Fatal Python error")
    assert life.damage() == ""  # there is no B-tree
    life.settle()
    assert life.note() == ""


@pytest.mark.parametrize("end", ["", "raise SystemExit(5)", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"])
def test_any_other_end_leaves_none(tmp_path: Path, end: str) -> None:
    """A process that was killed from outside says nothing of its B-tree."""
    run(tmp_path, end)
    assert LastLife(tmp_path, tmp_path / "btree").note() == ""


def test_a_note_is_kept_until_it_has_been_dealt_with(tmp_path: Path) -> None:
    life = LastLife(tmp_path, tmp_path / "btree")
    run(tmp_path, "import os\nos.abort()")
    first = life.note()
    run(tmp_path, "pass")
    assert life.note() == first
    life.settle()
    # Who watches when it is settled leaves the next one in the same file.
    run(tmp_path, "LastLife(Path(sys.argv[1]), Path()).settle()\nimport os\nos.abort()")
    assert life.note().startswith("Fatal Python error")


def test_without_room_for_a_note_the_process_goes_on(tmp_path: Path) -> None:
    (tmp_path / "fatal-signal.txt").mkdir()  # cannot be opened
    assert run(tmp_path, "raise SystemExit(7)") == 7


def made(directory: Path) -> Path:
    """The file of a B-tree with small and with large entries."""
    btree = BTree(directory, map_bytes=16 * MIB)
    btree.open()

    def fill(txn: Transaction) -> None:
        for number in range(ENTRIES):
            btree.keys.put(txn, b"%08d" % number, b"entry %08d." % number)
        btree.keys.put(txn, b"large", bytes(range(256)) * 400)

    btree.write(fill)
    btree.close()
    return directory / "data.mdb"


def kind_of(path: Path, needle: bytes, kind: bytes) -> None:
    """Makes the pages that hold this of another kind; some may be of former versions."""
    data = bytearray(path.read_bytes())
    position = data.find(needle)
    assert position > 0
    while position >= 0:
        page = position // PAGE_BYTES * PAGE_BYTES
        data[page + PAGE_KIND.start : page + PAGE_KIND.stop] = kind
        position = data.find(needle, page + PAGE_BYTES)
    path.write_bytes(data)


def no_kind(path: Path) -> None:
    kind_of(path, b"entry 00001000.", b"\x40\x00")


def a_branch_without_branches(path: Path) -> None:
    kind_of(path, b"entry 00001000.", b"\x01\x00")


def cut_off(path: Path) -> None:
    """What is mapped behind the end of the file is nowhere."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def test_a_whole_b_tree_is_found_to_be_whole(tmp_path: Path) -> None:
    made(tmp_path / "btree")
    assert check(str(tmp_path / "btree")) == ""
    assert LastLife(tmp_path, tmp_path / "btree").damage() == ""


@pytest.mark.parametrize("damage", [no_kind, a_branch_without_branches, cut_off, emptied])
def test_a_damaged_b_tree_is_found(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = made(tmp_path / "btree")
    damage(path)
    found = LastLife(tmp_path, tmp_path / "btree").damage()
    print(found)
    assert found


@pytest.mark.parametrize("is_damaged", [True, False])
async def test_a_node_that_its_b_tree_has_ended_is_rebuilt(three: NodeSet, is_damaged: bool) -> None:
    """Without an operator; and one that something else has ended goes on with what it has."""
    await three.found()
    for number in range(400):
        await three.do(put(f"k{number}", b"item %d." % number))
    victim = three.nodes[2]
    await victim.node.checkpoint()
    await victim.stop()
    if is_damaged:
        kind_of(victim.directory / "btree" / "data.mdb", b"item 10.", b"\x40\x00")
    (victim.directory / "fatal-signal.txt").write_text("Fatal Python error: Aborted\n")
    await victim.start()
    assert (victim.directory / "btree-damaged").exists() == is_damaged
    assert victim.node.last_life.note() == ""
    if is_damaged:
        await victim.node.assign(cluster_pb2.NodeAssignments(partitions=[three.descriptor()]))
    await wait_until(lambda: victim.node.note == "" and not victim.node.restoring())
    assert victim.node.healed == is_damaged
    await three.nodes[0].stop()
    for number in range(0, 400, 10):
        assert (await three.do(get(f"k{number}"))).item == b"item %d." % number
