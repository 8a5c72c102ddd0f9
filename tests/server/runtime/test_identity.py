"""Identity: the same across lives, never by accident another's, and a folder has one process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.runtime.identity import FILE_NAME, Identity, IdentityError, make_directory, release, write_atomically


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "some" / "data"


@pytest.fixture
def identity(folder: Path) -> Iterator[Identity]:
    """A new one, its folder held."""
    identity = Identity.load_or_create(folder, "storage-1")
    yield identity
    release(folder)


def again(folder: Path, name: str = "storage-1", node_id: int = 0) -> Identity:
    """The next life in a folder that the last one has given up."""
    identity = Identity.load_or_create(folder, name, node_id=node_id, may_create=False)
    release(folder)
    return identity


def test_each_life_counts(folder: Path) -> None:
    """The boot count goes up by one, everything else stays."""
    first = Identity.load_or_create(folder, "storage-1")
    release(folder)
    assert (first.name, first.node_id, first.cluster_id, first.boot) == ("storage-1", 0, "", 1)
    second, third = again(folder), again(folder)
    assert (second.boot, third.boot) == (2, 3)
    assert first.data_id == second.data_id == third.data_id != ""


def test_what_the_cluster_assigned_stays(identity: Identity, folder: Path) -> None:
    """Node id and cluster id are on disk when `joined` returns."""
    joined = identity.joined(7, "cluster")
    release(folder)
    later = again(folder)
    assert (joined.node_id, joined.cluster_id) == (later.node_id, later.cluster_id) == (7, "cluster")
    Identity.load_or_create(folder, "storage-1")


def test_folders_have_ids_of_their_own(tmp_path: Path) -> None:
    """A folder made again is another one."""
    ids = {Identity.load_or_create(tmp_path / name, "storage-1").data_id for name in ("one", "two")}
    for name in ("one", "two"):
        release(tmp_path / name)
    assert len(ids) == 2


def test_an_empty_folder_where_there_should_be_data(folder: Path) -> None:
    """Is refused, and refused again: the attempt leaves no identity behind."""
    for _ in range(2):
        with pytest.raises(IdentityError, match="is empty, but the cluster exists already"):
            Identity.load_or_create(folder, "metadata-1", may_create=False)


@pytest.mark.parametrize(("name", "node_id"), [("storage-2", 0), ("storage-1", 8)])
def test_anothers_folder(folder: Path, name: str, node_id: int) -> None:
    """A process started on the wrong folder says whose it is, and does not count a life."""
    Identity.load_or_create(folder, "storage-1", node_id=7)
    release(folder)
    with pytest.raises(IdentityError, match=rf"belongs to storage-1 \(node 7\), not to {name}"):
        again(folder, name, node_id)
    assert again(folder).boot == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"name": "storage-1"}', '{"boot": "x"}'])
def test_a_damaged_file(folder: Path, content: str) -> None:
    """Is never taken for an empty folder."""
    Identity.load_or_create(folder, "storage-1")
    release(folder)
    (folder / FILE_NAME).write_text(content)
    with pytest.raises(IdentityError, match=r"identity\.json is damaged"):
        Identity.load_or_create(folder, "storage-1")


def test_a_folder_of_another_version(folder: Path) -> None:
    """Says so, and is not taken for damaged."""
    Identity.load_or_create(folder, "storage-1")
    release(folder)
    path = folder / FILE_NAME
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(IdentityError, match="has format version 2, this program knows version 1"):
        Identity.load_or_create(folder, "storage-1")


@pytest.mark.usefixtures("identity")
def test_one_process_a_folder(folder: Path) -> None:
    """Two processes on one folder would promise each other's opposite: the second is turned away."""
    program = (
        "import sys; from pathlib import Path; from server.runtime.identity import Identity\n"
        "Identity.load_or_create(Path(sys.argv[1]), 'storage-1')"
    )
    command = [sys.executable, "-c", program, str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert f"the data folder {folder} is in use by another process" in ended.stderr


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Ends in a sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(IdentityError, match="cannot be used"):
        Identity.load_or_create(tmp_path / "file" / "data", "storage-1")


def test_writing_atomically(tmp_path: Path) -> None:
    """Replaces the content and leaves nothing else behind."""
    path = tmp_path / "file.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_making_directories_twice(tmp_path: Path) -> None:
    """Folders that are there stay as they are."""
    for _ in range(2):
        make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
