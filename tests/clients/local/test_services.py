"""Where the services are found and how they are started."""

import os
import sys
from pathlib import Path

import pytest
from stator.local.errors import LocalClusterError
from stator.local.services import check_server_packages, child_environment, command, service_folder


def test_the_checkout_or_a_named_folder(services: Path, tmp_path: Path) -> None:
    """In a checkout the services are beside clients/; STATOR_SERVICES names another place; a wrong one is an error."""
    assert (service_folder({}) / "router" / "__main__.py").is_file()
    assert service_folder({"STATOR_SERVICES": str(services)}) == services
    with pytest.raises(LocalClusterError, match=r"stator\[server\]"):
        service_folder({"STATOR_SERVICES": str(tmp_path)})


def test_server_packages_are_there() -> None:
    """They are installed where tests run."""
    check_server_packages()


def test_the_environment_of_a_service(services: Path) -> None:
    """Services come first on the path; what is the launcher's own does not reach them; the rest does."""
    environ = {
        "STATOR_DATA": "/x",
        "STATOR_ENDPOINTS": "a:1",
        "STATOR_X": "5",
        "HOME": "/h",
        "PYTHONPATH": "/p",
    }
    child = child_environment(environ, services, "debug")
    path = child["PYTHONPATH"].split(os.pathsep)
    assert path[0] == str(services)
    assert path[-1] == "/p"
    assert any((Path(folder) / "statorpb").is_dir() for folder in path)
    assert "STATOR_DATA" not in child
    assert "STATOR_ENDPOINTS" not in child
    assert (child["STATOR_X"], child["HOME"], child["STATOR_LOG_LEVEL"]) == ("5", "/h", "debug")


def test_the_command() -> None:
    """The same interpreter runs everything."""
    assert command("router", ("--name", "router-1")) == [sys.executable, "-m", "router", "--name", "router-1"]
