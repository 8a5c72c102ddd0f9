"""`stator user`, and which access key commands sign with."""

import os
from pathlib import Path

import pytest
from stator.cli.connect import _credentials
from stator.credentials import Credentials
from stator.local.errors import DamagedFolderError
from stator.local.folder import ClusterFile, DataFolder, SupervisorAddress
from stator.local.keys import make_keys, root_credentials

from tests.clients.cli.conftest import CommandLine

OWN = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "s"}


def test_a_user_from_creation_to_the_end(stator: CommandLine) -> None:
    """Create shows the secret and how to use it; list and disable never do."""
    text = stator("user", "create", "ann").out
    assert "export AWS_ACCESS_KEY_ID=AKIA1\n" in text and "export AWS_SECRET_ACCESS_KEY=secret/of+it\n" in text
    made = stator("user", "create", "bob", "--output", "json").json
    assert made == {"name": "bob", "access_key_id": "AKIA1", "secret_access_key": "secret/of+it"}
    text = stator("user", "list").out
    assert "ann" in text and "1970-01-01 00:00:01 UTC" in text and "secret" not in text
    assert "bob (AKIA1) is disabled" in stator("user", "disable", "bob").out
    listed = stator("user", "list", "--output", "json").json
    assert [(each["name"], each["is_disabled"]) for each in listed] == [("ann", False), ("bob", True)]
    assert "secret" not in str(listed)


@pytest.fixture
def local(tmp_path: Path) -> DataFolder:
    """A cluster that verifies signatures, as its folder has it."""
    folder = DataFolder(tmp_path)
    folder.write(ClusterFile(1, auth=True, grpc_ports=[9000, 9001], supervisor=SupervisorAddress(os.getpid(), 1, "")))
    make_keys(tmp_path, may_be_new=True)
    return folder


LOCAL = ["127.0.0.1:9000"]


def test_root_of_the_local_cluster(local: DataFolder) -> None:
    """Signs where there is no other access key, and always for `stator user`."""
    environ = {"STATOR_DATA": str(local.path)}
    root = root_credentials(local.path)
    assert _credentials(LOCAL, environ, is_root=False) == _credentials(LOCAL, environ, is_root=True) == root
    assert _credentials(LOCAL, environ | OWN, is_root=True) == root
    assert _credentials(LOCAL, environ | OWN, is_root=False) is None
    assert Credentials.from_environment(OWN) == Credentials("AKIA1", "s")


def test_root_is_for_no_other_cluster(local: DataFolder, tmp_path: Path) -> None:
    """Another router is meant; or nothing verifies signatures; or there is no cluster."""
    environ = {"STATOR_DATA": str(local.path)}
    assert _credentials(["elsewhere:9000"], environ, is_root=True) is None
    assert _credentials([*LOCAL, "elsewhere:9000"], environ, is_root=True) is None
    assert _credentials(LOCAL, {"STATOR_DATA": str(tmp_path / "none")}, is_root=True) is None
    cluster = local.read()
    cluster.auth = False
    local.write(cluster)
    assert _credentials(LOCAL, environ, is_root=True) is None


def test_a_root_file_that_is_gone(local: DataFolder) -> None:
    """Is told, instead of a refusal that nobody understands."""
    (local.path / "root_credentials.toml").unlink()
    with pytest.raises(DamagedFolderError):
        _credentials(LOCAL, {"STATOR_DATA": str(local.path)}, is_root=True)
