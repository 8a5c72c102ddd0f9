"""The supervisor with fake services: real processes, whole life."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from stator.local.child import State
from stator.local.control import ask
from stator.local.daemon import start_detached
from stator.local.errors import (
    DamagedFolderError,
    FolderInUseError,
    LocalClusterError,
    NotRunningError,
    PortInUseError,
    StartFailedError,
    UnknownProcessError,
)
from stator.local.folder import DataFolder
from stator.local.layout import ClusterOptions
from stator.local.status import local_endpoints, read_status, stop_cluster
from stator.local.supervisor import IN_STEP_S, ClusterReady, Event, ProcessDied, StateChanged, Supervisor

from tests.clients.local.fake_service import options as given_options
from tests.clients.waiting import until, until_blocking


@dataclass
class Running:
    """A cluster under a supervisor in this process."""

    folder: DataFolder
    events: list[Event]
    stop: asyncio.Event
    task: "asyncio.Task[None]"

    async def ask(self, command: str, *names: str) -> list[dict[str, Any]]:
        answer = await asyncio.to_thread(ask, self.folder, command, names)
        return list(answer["processes"])

    async def states(self) -> dict[str, str]:
        return {entry["name"]: entry["state"] for entry in await self.ask("status", "all")}

    async def pid(self, name: str) -> int:
        (entry,) = await self.ask("status", name)
        return int(entry["pid"])

    def is_ready(self) -> bool:
        return any(isinstance(event, ClusterReady) for event in self.events)

    def deaths(self) -> list[ProcessDied]:
        return [event for event in self.events if isinstance(event, ProcessDied)]


Start = Callable[..., Any]


@pytest.fixture
def environ(services: Path) -> dict[str, str]:
    return {**os.environ, "STATOR_SERVICES": str(services)}


@pytest.fixture
def cluster_options(tmp_path: Path) -> Iterator[ClusterOptions]:
    """Of a cluster that is down when the test has ended, however it ended."""
    options = ClusterOptions(tmp_path / "data", http_port=0, grpc_port=0, ready_timeout_s=30)
    yield options
    folder = DataFolder(options.data)
    if folder.is_locked():
        stop_cluster(folder)


@asynccontextmanager
async def running(
    options: ClusterOptions, environ: dict[str, str], in_step_s: float = IN_STEP_S
) -> AsyncIterator[Running]:
    """A cluster that is ready; at the end it is stopped and nothing may be left of it."""
    events: list[Event] = []
    stop = asyncio.Event()
    task = asyncio.create_task(Supervisor(options, environ, events.append, in_step_s=in_step_s).run(stop))
    cluster = Running(DataFolder(options.data), events, stop, task)
    try:
        await until(lambda: cluster.is_ready() or task.done())
        if task.done():
            task.result()
        yield cluster
    finally:
        stop.set()
        await asyncio.gather(task, return_exceptions=True)
    assert not cluster.folder.is_locked()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child that has ended and that nobody has waited for yet is as good as gone.
    stat_file = Path(f"/proc/{pid}/stat")
    try:
        return stat_file.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return stat_file.parent.parent.joinpath("self").exists() is False


async def test_nine_processes_become_ready_and_end(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """Every process of the layout is ready, is listed with what scripts need, and is gone after the stop."""
    async with running(cluster_options, environ) as cluster:
        entries = await cluster.ask("status", "all")
        assert len(entries) == 9
        assert {entry["state"] for entry in entries} == {"ready"}
        assert all(is_alive(entry["pid"]) for entry in entries)
        (router,) = await cluster.ask("status", "router-2")
        assert (router["name"], router["role"], router["zone"], router["exit_code"]) == (
            "router-2",
            "router",
            "zone-2",
            None,
        )
        assert [port["kind"] for port in router["ports"]] == ["http", "grpc"]
        ready = next(event for event in cluster.events if isinstance(event, ClusterReady))
        assert router["ports"][0]["port"] == ready.http_ports[1]
        assert local_endpoints(cluster.folder) == [f"127.0.0.1:{port}" for port in ready.grpc_ports]
        assert stat.S_IMODE(cluster.folder.cluster_path.stat().st_mode) == 0o600
    assert not any(is_alive(entry["pid"]) for entry in entries)
    is_running, entries = read_status(cluster.folder)
    assert not is_running
    assert {entry["state"] for entry in entries} == {"stopped"}
    assert local_endpoints(cluster.folder) is None
    with pytest.raises(NotRunningError, match="stator local up"):
        await cluster.ask("status", "all")


async def test_routers_stop_first_and_metadata_last(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """Nobody is asked by a process that outlives it."""
    async with running(cluster_options, environ) as cluster:
        pass
    stopped = [event.name for event in cluster.events if isinstance(event, StateChanged) and event.state == "stopped"]
    assert [name.split("-")[0] for name in stopped] == ["router"] * 3 + ["storage"] * 3 + ["metadata"] * 3


async def test_only_the_first_start_bootstraps(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """Ports and folders are kept; after a first start that got ready, metadata is never told to begin anew."""

    def arguments() -> dict[str, str]:
        text = (cluster_options.data / "metadata-1" / "arguments").read_text()
        return given_options(text.split())

    async with running(cluster_options, environ) as cluster:
        first = arguments()
        assert cluster.folder.read().bootstrapped
    assert first["bootstrap"] == "true"
    async with running(cluster_options, environ):
        second = arguments()
    assert "bootstrap" not in second
    assert second["listen"] == first["listen"]


async def test_an_interrupted_first_start_is_repeated(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """A first start that failed before metadata served counts for nothing: the next one bootstraps again."""
    silent = {"FAKE_METADATA_1": "never-ready", "FAKE_METADATA_3": "never-ready"}
    broken = {**environ, **silent, "FAKE_METADATA_2": "exit:2"}
    with pytest.raises(StartFailedError, match=r"metadata-2 .*configuration was refused(.|\n)*cannot go on"):
        async with running(cluster_options, broken):
            pass
    assert not DataFolder(cluster_options.data).read().bootstrapped
    async with running(cluster_options, environ) as cluster:
        assert cluster.folder.read().bootstrapped


async def test_kill_and_start(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """A killed process is gone when the command returns, is no surprise, and serves again once started."""
    async with running(cluster_options, environ) as cluster:
        pid = await cluster.pid("storage-1")
        (entry,) = await cluster.ask("kill", "storage-1")
        assert (entry["state"], entry["exit_code"], entry["pid"]) == ("stopped", -signal.SIGKILL, None)
        assert not is_alive(pid)
        (entry,) = await cluster.ask("start", "storage-1")
        assert entry["state"] == "ready"
        assert entry["pid"] != pid
        assert not cluster.deaths()
        assert {entry["state"] for entry in await cluster.ask("kill", "zone-2")} == {"stopped"}
        assert len(await cluster.ask("start", "all")) == 9


async def test_stop_and_start(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """A process that is stopped ends as it does with the whole cluster; the others go on."""
    async with running(cluster_options, environ) as cluster:
        (entry,) = await cluster.ask("stop", "storage-1")
        assert (entry["state"], entry["exit_code"], entry["pid"]) == ("stopped", 0, None)
        assert sorted((await cluster.states()).values()) == ["ready"] * 8 + ["stopped"]
        assert not cluster.deaths()
        (entry,) = await cluster.ask("start", "storage-1")
        assert entry["state"] == "ready"


async def test_pause_and_resume(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """A paused process is stopped by the kernel and goes on when resumed."""
    async with running(cluster_options, environ) as cluster:
        pid = await cluster.pid("storage-2")
        (entry,) = await cluster.ask("pause", "storage-2")
        assert entry["state"] == "paused"
        with pytest.raises(LocalClusterError, match="stator local resume storage-2"):
            await cluster.ask("start", "storage-2")
        await until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        (entry,) = await cluster.ask("resume", "storage-2")
        assert entry["state"] == "ready"
        await cluster.ask("pause", "zone-3")
    # And paused processes end with the others.
    assert cluster.task.exception() is None


async def test_processes_are_restarted_one_after_the_other(
    cluster_options: ClusterOptions, environ: dict[str, str]
) -> None:
    """Each ends cleanly and is a new process; never is more than one of them away."""
    async with running(cluster_options, environ) as cluster:
        before = [await cluster.pid(f"storage-{number}") for number in (1, 2, 3)]
        seen = len(cluster.events)
        entries = await cluster.ask("restart", "storage")
        assert [(entry["name"], entry["state"]) for entry in entries] == [
            (f"storage-{number}", "ready") for number in (1, 2, 3)
        ]
        assert not {entry["pid"] for entry in entries} & set(before)
        changes = [(event.name, event.state) for event in cluster.events[seen:] if isinstance(event, StateChanged)]
        assert changes == [
            (f"storage-{number}", state)
            for number in (1, 2, 3)
            for state in (State.STOPPED, State.STARTING, State.READY)
        ]


async def test_nobody_is_restarted_whom_the_others_cannot_do_without(
    cluster_options: ClusterOptions, environ: dict[str, str]
) -> None:
    """Another of its role is down, or serves and has not caught up. Other roles do not count."""
    async with running(cluster_options, {**environ, "FAKE_METADATA_3": "behind"}, in_step_s=0.5) as cluster:
        await cluster.ask("kill", "storage-2")
        pid = await cluster.pid("storage-1")
        with pytest.raises(
            LocalClusterError, match=r"^storage-2 does not run: it is stopped\. So storage-1 was not restarted"
        ):
            await cluster.ask("restart", "storage-1")
        await cluster.ask("start", "storage-2")
        await cluster.ask("pause", "storage-2")
        with pytest.raises(LocalClusterError, match=r"^storage-2 does not run: it is paused"):
            await cluster.ask("restart", "storage-1")
        with pytest.raises(LocalClusterError, match=r"^metadata-3 cannot be counted on: after 0.5 s"):
            await cluster.ask("restart", "metadata-1")
        with pytest.raises(LocalClusterError, match=r"caught up; its log is .*metadata-3.log\.$"):
            await cluster.ask("restart", "metadata-3")
        assert await cluster.pid("storage-1") == pid
        await cluster.ask("resume", "storage-2")
        (entry,) = await cluster.ask("restart", "storage-1")
        assert entry["pid"] != pid


async def test_an_unexpected_death_is_loud(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """It is reported with the end of the log and with what to do, and is not undone."""
    async with running(cluster_options, environ) as cluster:
        os.kill(await cluster.pid("storage-3"), signal.SIGKILL)
        await until(cluster.deaths)
        (death,) = cluster.deaths()
        assert "stator local start storage-3" in death.sentence
        assert "storage-3 serves" in death.log_tail
        assert (await cluster.states())["storage-3"] == "exited"
        (entry,) = await cluster.ask("start", "storage-3")
        assert entry["state"] == "ready"


async def test_damaged_data_of_one_node_does_not_stop_the_rest(
    cluster_options: ClusterOptions, environ: dict[str, str]
) -> None:
    """A node that refuses its data is reported; the cluster starts with the others."""
    async with running(cluster_options, {**environ, "FAKE_STORAGE_1": "exit:3"}) as cluster:
        (death,) = cluster.deaths()
        assert "its data is damaged" in death.sentence
        states = await cluster.states()
        assert (states.pop("storage-1"), set(states.values())) == ("exited", {"ready"})
        with pytest.raises(LocalClusterError, match="cannot go on"):
            await cluster.ask("start", "storage-1")


async def test_a_removed_node_does_not_stop_the_rest(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """What its end says is how it may come anew."""
    async with running(cluster_options, {**environ, "FAKE_STORAGE_2": "exit:6"}) as cluster:
        (death,) = cluster.deaths()
        assert "it was removed from the cluster" in death.sentence
        assert f"delete {cluster_options.data / 'storage-2'}, then `stator local start storage-2`" in death.sentence
        assert (await cluster.states())["storage-2"] == "removed"
        with pytest.raises(LocalClusterError, match=r"^storage-2 was removed from the cluster\. It may join anew"):
            await cluster.ask("start", "storage-2")
        assert {entry["state"] for entry in await cluster.ask("start", "all")} == {"ready", "removed"}
        assert [entry["state"] for entry in await cluster.ask("restart", "storage-1")] == ["ready"]
        shutil.rmtree(cluster_options.data / "storage-2")
        with pytest.raises(LocalClusterError, match="ended by itself"):
            await cluster.ask("start", "storage-2")


async def test_who_ends_is_not_waited_for(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """What it says of the state is true, and comes at once."""
    async with running(cluster_options, {**environ, "FAKE_METADATA_3": "behind"}, in_step_s=3_600) as cluster:
        restart = asyncio.create_task(cluster.ask("restart", "metadata-1"))
        await until(lambda: [task for task in asyncio.all_tasks() if task.get_name() == "end of metadata-3"])
        os.kill(await cluster.pid("metadata-3"), signal.SIGKILL)
        with pytest.raises(LocalClusterError, match=r"^metadata-3 does not run: it is exited\. So metadata-1"):
            await restart


async def test_what_does_not_come_to_serve_is_named(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """After the time for getting ready, the start fails and nothing stays behind."""
    options = replace(cluster_options, ready_timeout_s=3)
    with pytest.raises(StartFailedError, match="router-3 did not come to serve"):
        async with running(options, {**environ, "FAKE_ROUTER_3": "never-ready"}):
            pass


async def test_a_stubborn_process_is_killed(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """Stopping takes less than five seconds, whatever a process does."""
    loop = asyncio.get_running_loop()
    stubborn = {"FAKE_ROUTER_1": "stubborn", "FAKE_STORAGE_1": "stubborn", "FAKE_METADATA_1": "stubborn"}
    async with running(cluster_options, {**environ, **stubborn}) as cluster:
        entries = await cluster.ask("status", "all")
        began = loop.time()
    assert loop.time() - began < 5
    assert not any(is_alive(entry["pid"]) for entry in entries)


async def test_unknown_names_and_commands(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """They are refused with a sentence, and so is a wrong token."""
    async with running(cluster_options, environ) as cluster:
        with pytest.raises(LocalClusterError, match="no process 'storage-7'"):
            await cluster.ask("kill", "storage-7")
        with pytest.raises(LocalClusterError, match="no command 'dance'"):
            await cluster.ask("dance", "all")
        contents = cluster.folder.read()
        assert contents.supervisor is not None
        contents.supervisor = replace(contents.supervisor, token="guess")
        cluster.folder.write(contents)
        with pytest.raises(LocalClusterError, match="token"):
            await cluster.ask("kill", "all")
        assert set(await asyncio.to_thread(_raw, contents.supervisor.control_port, b"{}\n")) == {"error"}


def _raw(port: int, line: bytes) -> dict[str, Any]:
    import json

    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(line)
        return dict(json.loads(connection.makefile().readline()))


async def test_one_cluster_a_folder(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """The second is told the pid of the first supervisor, and the first goes on."""
    async with running(cluster_options, environ) as cluster:
        with pytest.raises(FolderInUseError, match=str(os.getpid())):
            await Supervisor(cluster_options, environ, lambda event: None).run(asyncio.Event())
        assert set((await cluster.states()).values()) == {"ready"}


async def test_a_port_in_use_is_told_before_anything_starts(
    cluster_options: ClusterOptions, environ: dict[str, str]
) -> None:
    """The error names port and flag; no process was started."""
    events: list[Event] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        options = replace(cluster_options, grpc_port=min(port, 65_533))
        with pytest.raises(PortInUseError, match=r"--grpc-port"):
            await Supervisor(options, environ, events.append).run(asyncio.Event())
    assert events == []


async def test_a_damaged_folder_is_told(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """Nothing starts on a cluster.json that cannot be trusted, and it is left as it is."""
    cluster_options.data.mkdir()
    (cluster_options.data / "cluster.json").write_text("{")
    with pytest.raises(DamagedFolderError):
        await Supervisor(cluster_options, environ, lambda event: None).run(asyncio.Event())
    assert (cluster_options.data / "cluster.json").read_text() == "{"


async def test_nodes_can_be_added_but_not_dropped(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """More nodes a zone next time are started; fewer would leave replicas behind."""
    async with running(cluster_options, environ):
        pass
    async with running(replace(cluster_options, nodes_per_zone=2), environ) as cluster:
        assert len(await cluster.states()) == 12
    async with running(cluster_options, environ) as cluster:
        assert len(await cluster.states()) == 12
    with pytest.raises(LocalClusterError, match="hold replicas"):
        await Supervisor(replace(cluster_options, nodes_per_zone=1), environ, lambda event: None).run(asyncio.Event())


async def test_logs_begin_anew_and_one_earlier_is_kept(
    cluster_options: ClusterOptions, environ: dict[str, str]
) -> None:
    """Each start of the cluster begins a log; starting one process again goes on in it."""
    async with running(cluster_options, environ) as cluster:
        await cluster.ask("kill", "router-1")
        await cluster.ask("start", "router-1")
        log = cluster.folder.log_path("router-1")
        assert log.read_text().count("router-1 serves") == 2
    async with running(cluster_options, environ):
        await until(lambda: log.read_text().count("router-1 serves") == 1)
        assert log.with_suffix(".log.1").read_text().count("router-1 serves") == 2


def detached(options: ClusterOptions, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return list(start_detached(options))


def test_a_detached_cluster_outlives_its_starter_and_goes_down(
    cluster_options: ClusterOptions, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The starter hears of every step until the cluster is ready; `down` returns when everything is gone."""
    events = detached(cluster_options, environ, monkeypatch)
    assert isinstance(events[-1], ClusterReady)
    folder = DataFolder(cluster_options.data)
    is_running, entries = read_status(folder)
    assert is_running
    assert {entry["state"] for entry in entries} == {"ready"}
    stop_cluster(folder)
    assert not any(is_alive(entry["pid"]) for entry in entries)
    with pytest.raises(NotRunningError):
        stop_cluster(folder)


@pytest.mark.parametrize("death", ["exit:1", "exit-late:1"])
def test_a_detached_start_that_fails_says_why(
    death: str, cluster_options: ClusterOptions, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence comes from the supervisor, with the log of the process that failed, were it the last to settle."""
    with pytest.raises(LocalClusterError, match=r"storage-2(.|\n)*cannot go on"):
        detached(cluster_options, {**environ, "FAKE_STORAGE_2": death}, monkeypatch)
    until_blocking(lambda: not DataFolder(cluster_options.data).is_locked())


def test_nothing_outlives_a_killed_supervisor(
    cluster_options: ClusterOptions, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a process that was paused; and the next start is not in the way of what is still ending."""
    detached(cluster_options, environ, monkeypatch)
    folder = DataFolder(cluster_options.data)
    _, entries = read_status(folder)
    ask(folder, "pause", ["storage-1"])
    supervisor = folder.read().supervisor
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    assert isinstance(detached(cluster_options, environ, monkeypatch)[-1], ClusterReady)
    assert not any(is_alive(entry["pid"]) for entry in entries)
    stop_cluster(folder)


def test_ctrl_c_stops_the_cluster(cluster_options: ClusterOptions, environ: dict[str, str]) -> None:
    """In the foreground, SIGINT ends everything and the command ends well."""
    line = [sys.executable, "-m", "stator.cli.main", "local", "up", "--http-port", "0", "--grpc-port", "0"]
    line += ["--data", str(cluster_options.data)]
    with subprocess.Popen(line, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "Stator is ready" in first
        _, entries = read_status(DataFolder(cluster_options.data))
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "Stopped" in output
    assert not any(is_alive(entry["pid"]) for entry in entries)


def test_unknown_process_when_stopped(cluster_options: ClusterOptions) -> None:
    """Names are checked without a supervisor too."""
    folder = DataFolder(cluster_options.data)
    folder.prepare()
    from stator.local.folder import ClusterFile

    folder.write(ClusterFile(1))
    with pytest.raises(UnknownProcessError):
        read_status(folder, ["storage-5"])
    assert read_status(folder, ["storage-1"])[1][0]["state"] == State.STOPPED
