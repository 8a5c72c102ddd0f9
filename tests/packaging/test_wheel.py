"""The wheel works where there is no checkout: `pip install 'stator[server]'`, then `stator local up`."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.wheel import REPOSITORY, build_wheel, clean_environment, make_environment, run

pytestmark = pytest.mark.cluster

TOP_LEVEL = {"stator", "statorpb"}
ITEM = {"artist": "Nina Simone", "year": 1964, "title": "I Put a Spell on You"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(REPOSITORY, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment that has the wheel."""
    return make_environment(tmp_path_factory.mktemp("environment") / "venv", wheel)


class Installed:
    """The installed `stator` command, run in a folder outside the checkout, for a cluster of its own."""

    def __init__(self, command: Path, folder: Path) -> None:
        self._command = str(command)
        self._folder = folder
        self._environment = {**clean_environment(), "STATOR_DATA": str(folder / "data")}

    def __call__(self, *arguments: str) -> str:
        return run([self._command, *arguments], self._folder, self._environment)


@pytest.fixture
def stator(commands: Path, tmp_path: Path) -> Iterator[Installed]:
    """With a cluster that is up, and stopped afterwards whatever happens."""
    installed = Installed(commands / "stator", tmp_path)
    installed("local", "up", "--detach", "--http-port", "0", "--grpc-port", "0")
    try:
        yield installed
    finally:
        installed("local", "down")


def test_the_wheel_puts_nothing_else_on_the_import_path(wheel: Path) -> None:
    """`server` and `router` are names that others use too: the services travel inside the package."""
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == TOP_LEVEL
    for service in ("metadata", "router", "storage_node"):
        assert f"stator/_services/{service}/__main__.py" in names
    assert "stator/py.typed" in names
    assert "stator/gameday/scenarios/mixed.toml" in names
    assert not [name for name in names if "tests" in name.split("/") or "__pycache__" in name]


def test_the_environment_has_the_wheel_and_not_the_checkout(commands: Path, tmp_path: Path) -> None:
    """Else everything below would test the wrong code."""
    code = "import stator, statorpb, sys, json; print(json.dumps([stator.__file__, statorpb.__file__, *sys.path]))"
    places = json.loads(run([str(commands / "python"), "-c", code], tmp_path))
    assert all(place.startswith(str(commands.parent)) for place in places[:2])
    checkout = {str(REPOSITORY), str(REPOSITORY / "clients"), str(REPOSITORY / "proto")}
    assert not checkout & set(places)
    for service in ("server", "router", "metadata", "storage_node"):
        code = f"import importlib.util; print(importlib.util.find_spec({service!r}))"
        assert run([str(commands / "python"), "-c", code], tmp_path).strip() == "None"


def test_a_cluster_of_the_installed_wheel_works(stator: Installed) -> None:
    """Up, a table, an item written and read back, down: from a folder outside the checkout."""
    processes = json.loads(stator("local", "status", "--output", "json"))
    assert {process["state"] for process in processes} == {"ready"}
    stator("table", "create", "music", "--partition-key", "artist:S", "--sort-key", "year:N")
    stator("put", "music", json.dumps(ITEM))
    key = json.dumps({"artist": ITEM["artist"], "year": ITEM["year"]})
    assert json.loads(stator("get", "music", key, "--consistent")) == ITEM


def test_the_shipped_scenarios_are_in_the_wheel(stator: Installed) -> None:
    """And are found by name."""
    assert "leader-killed" in stator("gameday", "--list")
    assert "[[fault]]" in stator("gameday", "--show", "leader-killed")


def test_the_services_ran_from_the_wheel(stator: Installed, commands: Path) -> None:
    """The processes of the cluster have the installed services' folder as the first on their path."""
    (process, *_) = json.loads(stator("local", "status", "--output", "json"))
    environment = Path(f"/proc/{process['pid']}/environ")
    if not environment.exists():
        pytest.skip("this system does not show the environments of processes")
    variables = dict(line.split("=", 1) for line in environment.read_text().split("\0") if "=" in line)
    first = variables["PYTHONPATH"].split(":")[0]
    assert first.startswith(str(commands.parent))
    assert first.endswith("stator/_services")
