"""`stator local` with fake services."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.cli.conftest import CommandLine
from tests.clients.local.conftest import make_services


def open_below(folder: Path) -> list[str]:
    """What processes have open there, where the system tells."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):  # it is another user's, or closed meanwhile
            if (target := str(link.readlink())).startswith(f"{folder}/"):
                found.append(f"{link}: {target}")
    return found


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The command, with a local cluster that runs."""
    folder = tmp_path_factory.mktemp("local")
    environ: dict[str, str | None] = {
        "STATOR_DATA": str(folder / "data"),
        "STATOR_SERVICES": str(make_services(folder / "services")),
        "STATOR_ENDPOINTS": None,
    }
    command = CommandLine(environ)
    done = command("local", "up", "--detach", "--http-port", "0", "--grpc-port", "0")
    assert "Stator is ready" in done.out
    assert "9 processes in 3 zones" in done.out
    assert "stator table create music --partition-key artist:S\n" in done.out
    yield command
    assert "Stopped" in command("local", "down").out
    assert not open_below(folder), "whoever unmounts it now is told that it is busy"
    command("local", "down", code=3)
    assert "not running" in command("local", "status", code=3).err


def test_status_for_scripts(up: CommandLine) -> None:
    """A list with an object for each process."""
    processes = up("local", "status", "--output", "json").json
    assert len(processes) == 9
    for process in processes:
        assert set(process) >= {"name", "role", "zone", "pid", "state", "ports", "exit_code"}
        assert process["state"] == "ready"
        assert all(set(port) == {"kind", "port"} for port in process["ports"])
    assert {process["role"] for process in processes} == {"metadata", "storage", "router"}


def test_kill_start_pause_resume(up: CommandLine) -> None:
    """Each prints what became of the processes."""
    assert up("local", "kill", "storage-1", "--output", "json").json[0]["state"] == "stopped"
    assert any(
        line.split()[:3] == ["storage-1", "zone-1", "stopped"] for line in up("local", "status").out.splitlines()
    )
    assert "there is nothing to pause: storage-1 is stopped." in up("local", "pause", "storage-1", code=1).err
    assert up("local", "start", "storage-1", "--output", "json").json[0]["state"] == "ready"
    assert {p["state"] for p in up("local", "pause", "zone-2", "--output", "json").json} == {"paused"}
    assert {p["state"] for p in up("local", "resume", "zone-2", "--output", "json").json} == {"ready"}
    assert (
        "nothing to resume: storage-2 is ready, router-2 is ready"
        in up("local", "resume", "storage-2", "router-2", code=1).err
    )
    assert "no process 'storage-9'" in up("local", "kill", "storage-9", code=2).err


def test_restart(up: CommandLine) -> None:
    """A line for each process, when it is over."""
    lines = up("local", "restart", "zone-1").out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"{name} (zone-1) was restarted" for name in ("metadata-1", "storage-1", "router-1")
    ]
    assert "no process 'storage-9'" in up("local", "restart", "storage-9", code=2).err


def test_logs(up: CommandLine) -> None:
    """Of one process or of all, each line with its name; an unknown name is an error that lists the names."""
    assert "router-1 serves" in up("local", "logs", "router-1").out
    assert "storage-2" in up("local", "logs", "--lines", "1").out
    assert "storage-1" in up("local", "logs", "dance", code=2).err


def test_the_folder_is_taken(up: CommandLine) -> None:
    """A second cluster on the folder is refused with the pid of the first."""
    assert "supervisor pid" in up("local", "up", "--http-port", "0", "--grpc-port", "0", code=1).err


def test_commands_find_the_local_cluster(up: CommandLine) -> None:
    """Without endpoints, the running local cluster's are used: the fake answers, though it knows no tables."""
    assert "127.0.0.1:9000" not in up("table", "list", "--timeout", "1", code=1).err


def test_no_negative_lines(up: CommandLine) -> None:
    """Wrong usage, not a traceback."""
    up("local", "logs", "--lines", "-1", code=2)


def test_a_cluster_elsewhere_is_told_how_to_be_found(tmp_path: Path) -> None:
    """What to try, and what is said of it later, names the folder where the commands would not find it, and the ports
    where the SDK would not."""
    environ: dict[str, str | None] = {"STATOR_SERVICES": str(make_services(tmp_path / "services"))}
    command, folder = CommandLine({**environ, "STATOR_DATA": str(tmp_path / "default")}), str(tmp_path / "other")
    done = command("local", "up", "--detach", "--http-port", "0", "--grpc-port", "0", "--data", folder)
    try:
        assert f"export STATOR_DATA={folder}" in done.out
        (ports,) = re.findall(r"gRPC .*? (127\S.*)\n", done.out)
        assert f"export STATOR_ENDPOINTS={ports.replace(' ', '')}   # for" in done.out
        taken = command("local", "up", "--data", folder, "--http-port", "0", "--grpc-port", "0", code=1)
        assert f"`stator local down --data {folder}`" in taken.err
    finally:
        command("local", "down", "--data", folder)


def test_a_reader_that_goes_away_does_not_end_the_cluster(tmp_path: Path) -> None:
    """`stator local up --detach | true` starts a cluster as any other does."""
    environ = {
        "STATOR_DATA": str(tmp_path / "data"),
        "STATOR_SERVICES": str(make_services(tmp_path / "services")),
    }
    line = f"{sys.executable} -m stator.cli.main local up --detach --http-port 0 --grpc-port 0"
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        subprocess.run(line.split(), stdout=write_end, check=True, env={**os.environ, **environ})
    finally:
        os.close(write_end)
    command = CommandLine(dict(environ))
    assert {process["state"] for process in command("local", "status", "--output", "json").json} == {"ready"}
    command("local", "down")


def test_no_cluster_yet(tmp_path: Path) -> None:
    """Status and down of a folder that never had a cluster say how to start one."""
    command = CommandLine({"STATOR_DATA": str(tmp_path / "data")})
    for word in ("status", "down"):
        assert "stator local up" in command("local", word, code=3).err
