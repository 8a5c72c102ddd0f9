"""What is printed."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stator.cli.connect import resolve_endpoints
from stator.cli.exits import UsageError
from stator.cli.output import format_bytes, print_table, to_json
from stator.local.errors import NotRunningError
from stator.local.folder import ClusterFile, DataFolder, SupervisorAddress

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(plain, st.sampled_from([None, 2]))
def test_json_is_json(value: object, indent: int | None) -> None:
    """Whatever is printed is read again as it was."""
    assert json.loads(to_json(value, indent)) == value


def test_json_of_what_json_does_not_have() -> None:
    """Decimals keep every digit, bytes are base64, sets are lists in order."""
    assert to_json(Decimal("1.10")) == "1.10"
    assert to_json({"b": b"\x01", "s": {"b", "a"}}) == '{"b": "AQ==", "s": ["a", "b"]}'


def test_tables_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are as wide as their widest cell; numbers may stand to the right."""
    print_table(["name", "n"], [["a", 1], ["longer", 100]], right=["n"])
    assert capsys.readouterr().out == "NAME      N\na         1\nlonger  100\n"
    assert [format_bytes(count) for count in (5, 2048, 5 * 1024**4)] == ["5 B", "2.0 KB", "5.0 TB"]


def test_where_endpoints_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags, then the environment, then the running local cluster, then, if there is no local cluster, the defaults."""
    data = tmp_path / "data"
    environ = {"STATOR_DATA": str(data)}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_endpoints(None, {})[0] == "127.0.0.1:9000"
    with pytest.raises(NotRunningError, match=f"stator local up --detach --data {data}"):
        resolve_endpoints(None, environ)
    folder = DataFolder(data)
    folder.prepare()
    folder.write(ClusterFile(1, grpc_ports=[1, 2, 3]))
    with pytest.raises(NotRunningError, match="No cluster runs in"):
        resolve_endpoints(None, environ)
    folder.write(ClusterFile(1, grpc_ports=[1, 2, 3], supervisor=SupervisorAddress(1, 2, "x")))
    assert resolve_endpoints(None, environ) == ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]
    environ["STATOR_ENDPOINTS"] = "a:1, b:2"
    assert resolve_endpoints(None, environ) == ["a:1", "b:2"]
    assert resolve_endpoints(["c:3,d:4", "[::1]:5"], environ) == ["c:3", "d:4", "[::1]:5"]
    for wrong in ("c", "http://c:9000", "c:0", "c:65536", ":9000"):
        with pytest.raises(UsageError, match="HOST:PORT"):
            resolve_endpoints([wrong], environ)


def test_a_damaged_local_folder_is_not_in_the_way(tmp_path: Path) -> None:
    """Other clusters can be used all the same."""
    (tmp_path / "cluster.json").write_text("{")
    assert resolve_endpoints(None, {"STATOR_DATA": str(tmp_path)})[0] == "127.0.0.1:9000"
