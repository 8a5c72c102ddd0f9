"""The secrets of a local cluster: made once, for their owner only, never made anew behind a cluster's back."""

import re
import stat
from pathlib import Path

import pytest
from stator.local.errors import DamagedFolderError
from stator.local.folder import DataFolder
from stator.local.keys import ROOT_FILE, SECRETS_KEY_FILE, make_keys, root_credentials


def test_keys_are_made_once(tmp_path: Path) -> None:
    """Another start finds them as they were; nobody else can read them."""
    make_keys(tmp_path, may_be_new=True)
    contents = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert contents.keys() == {ROOT_FILE, SECRETS_KEY_FILE}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir())
    assert re.fullmatch(r"[0-9a-f]{64}\n", contents[SECRETS_KEY_FILE])
    root = root_credentials(tmp_path)
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", root.access_key_id) and len(root.secret_access_key) == 40
    for may_be_new in (True, False):
        make_keys(tmp_path, may_be_new=may_be_new)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == contents


def test_two_clusters_share_nothing(tmp_path: Path) -> None:
    """Keys are random."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make_keys(tmp_path / name, may_be_new=True)
    for name in (ROOT_FILE, SECRETS_KEY_FILE):
        assert (tmp_path / "one" / name).read_text() != (tmp_path / "two" / name).read_text()


@pytest.mark.parametrize("name", [ROOT_FILE, SECRETS_KEY_FILE])
def test_a_key_that_was_lost_is_not_made_anew(tmp_path: Path, name: str) -> None:
    """It would look well, and every user's secret would be lost with it."""
    make_keys(tmp_path, may_be_new=True)
    (tmp_path / name).unlink()
    with pytest.raises(DamagedFolderError, match=f"{name} of the cluster in .* cannot be found: put a copy back"):
        make_keys(tmp_path, may_be_new=False)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("content", [None, "", "access_key_id = 'a'", "[", b"\xff"])
def test_a_root_file_that_has_no_access_key(tmp_path: Path, content: str | bytes | None) -> None:
    """Is named."""
    if content is not None:
        (tmp_path / ROOT_FILE).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DamagedFolderError, match=ROOT_FILE):
        root_credentials(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Is an error of the folder's."""
    with pytest.raises(DamagedFolderError, match="cannot be made"):
        make_keys(tmp_path / "nothing", may_be_new=True)


def test_a_start_that_got_no_further_than_the_keys(tmp_path: Path) -> None:
    """Can be tried again: they are no stranger's files."""
    make_keys(tmp_path, may_be_new=True)
    (tmp_path / "secrets.new").touch()
    DataFolder(tmp_path).prepare()
