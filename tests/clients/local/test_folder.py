"""The data folder: what is kept, what is locked, what is refused."""

import json
import os
import stat
from pathlib import Path

import pytest
from stator.local.errors import DamagedFolderError, FolderInUseError, NotRunningError
from stator.local.folder import ClusterFile, DataFolder, SupervisorAddress, default_data_folder


def test_the_default_folder() -> None:
    """$STATOR_DATA, else a folder of the user's."""
    assert default_data_folder({"STATOR_DATA": "/somewhere"}) == Path("/somewhere")
    assert default_data_folder({}) == Path.home() / ".stator" / "local"


def test_cluster_json_is_kept_and_private(tmp_path: Path) -> None:
    """What was written is read again; nobody else may read the token."""
    folder = DataFolder(tmp_path)
    cluster = ClusterFile(2, bootstrapped=True, http_ports=[1, 2, 3], supervisor=SupervisorAddress(1, 2, "secret"))
    folder.write(cluster)
    assert folder.read() == cluster
    assert stat.S_IMODE(folder.cluster_path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"nodes_per_zone": 1}',
        '{"format": 1}',
        '{"format": 1, "nodes_per_zone": "x"}',
        '{"format": 1, "nodes_per_zone": 0}',
        '{"format": 1, "nodes_per_zone": 1, "bootstrapped": 1}',
        '{"format": 1, "nodes_per_zone": 1, "auth": "yes"}',
        '{"format": 1, "nodes_per_zone": 1, "colour": "red"}',
        '{"format": 1, "nodes_per_zone": 1, "http_ports": ["x"]}',
        '{"format": 1, "nodes_per_zone": 1, "http_ports": 5}',
        '{"format": 1, "nodes_per_zone": 1, "supervisor": {"pid": 1}}',
    ],
)
def test_a_damaged_cluster_json_is_told(tmp_path: Path, text: str) -> None:
    """Whatever is wrong with it, the error names the file and says what to do."""
    folder = DataFolder(tmp_path)
    folder.cluster_path.write_text(text)
    with pytest.raises(DamagedFolderError, match="move"):
        folder.read()


def test_another_version_s_folder_is_not_damaged(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.cluster_path.write_text('{"format": 2, "nodes_per_zone": 1}')
    with pytest.raises(
        DamagedFolderError, match="another version of Stator: its format is 2, and this version knows 1"
    ):
        folder.read()


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    """A folder with other files is not taken over; neither is a file."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(DamagedFolderError, match="--data"):
        DataFolder(tmp_path).prepare()
    with pytest.raises(DamagedFolderError, match="--data"):
        DataFolder(tmp_path / "thesis.tex").prepare()


def test_no_cluster_yet(tmp_path: Path) -> None:
    """Reading before anything was started says how to start."""
    with pytest.raises(NotRunningError, match="stator local up"):
        DataFolder(tmp_path).read()


def test_one_cluster_a_folder(tmp_path: Path) -> None:
    """The second to lock is told the pid of the first; after unlocking the folder is free."""
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.prepare()
    assert not second.is_locked()
    first.lock()
    assert second.is_locked()
    with pytest.raises(FolderInUseError, match=str(os.getpid())) as caught:
        second.lock()
    assert caught.value.pid == os.getpid()
    second.unlock()
    first.unlock()
    second.lock()
    second.unlock()


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    """A half-written new file is neither read nor in the way."""
    folder = DataFolder(tmp_path)
    folder.write(ClusterFile(1))
    (tmp_path / "cluster.json.new").write_text("{")
    assert folder.read() == ClusterFile(1)
    folder.write(ClusterFile(2))
    assert json.loads(folder.cluster_path.read_text())["nodes_per_zone"] == 2


@pytest.mark.parametrize(
    ("http", "grpc", "last"),
    [
        ([18000, 18001, 18002], [19000, 19001, 19002], (18000, 19000)),
        ([41000, 35000, 52000], [19000, 19001, 19002], (0, 19000)),
        ([], [], (8000, 9000)),
    ],
)
def test_a_cluster_comes_back_on_its_ports(
    tmp_path: Path, http: list[int], grpc: list[int], last: tuple[int, int]
) -> None:
    """Those that were chosen; any free ones where those were asked for; the defaults for a new folder."""
    folder = DataFolder(tmp_path / "data")
    assert folder.last_ports() == (8000, 9000)
    folder.prepare()
    folder.write(ClusterFile(1, http_ports=http, grpc_ports=grpc))
    assert folder.last_ports() == last
