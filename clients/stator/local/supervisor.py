"""The supervisor: starts the processes of a local cluster, watches them, and ends with none of them left."""

import asyncio
import contextlib
import os
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stator.local.child import ALIVE, EXIT_REMOVED, Child, State, rotate, shorten
from stator.local.control import ControlServer
from stator.local.errors import LocalClusterError, StartFailedError
from stator.local.folder import ClusterFile, DataFolder, SupervisorAddress
from stator.local.keys import make_keys
from stator.local.layout import ClusterOptions, ProcessPlan, Role, internal_names, plan_cluster, select
from stator.local.ports import Ports
from stator.local.services import check_auth_packages, check_server_packages, child_environment, command, service_folder

# Together less than the five seconds in which Ctrl-C must be done.
_GRACE_S = {Role.ROUTER: 0.8, Role.STORAGE: 2.0, Role.METADATA: 1.0}
_STOP_GRACE_S = 30.0
"""Of processes that are stopped alone: nobody waits, and what they lead is to be handed over."""
_HOUSEKEEPING_S = 30.0
_START_READY_S = 30.0
IN_STEP_S = 300.0
"""How long a process that was restarted may take to catch up."""

# The exit codes of the services that name a cause in `_CAUSES`; see server/runtime/lifecycle.py.
EXIT_DAMAGED_DATA = 3
_CAUSES = {
    2: "its configuration was refused",
    EXIT_DAMAGED_DATA: "its data is damaged",
    4: "its address is in use",
    5: "its disk failed",
    EXIT_REMOVED: "it was removed from the cluster",
}
_LEFT_OUT = frozenset({EXIT_DAMAGED_DATA, EXIT_REMOVED})
"""Who ends with one of these does not keep the others from starting."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A process changed its state."""

    name: str
    zone: str
    state: State


@dataclass(frozen=True, slots=True)
class ProcessDied:
    """A process ended of its own accord. `log_tail` is what it wrote last."""

    name: str
    zone: str
    exit_code: int
    sentence: str
    log_tail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClusterReady:
    """Every process serves."""

    http_ports: tuple[int, ...]
    grpc_ports: tuple[int, ...]
    start_s: float
    auth: bool = False


@dataclass(frozen=True, slots=True)
class ClusterStopping:
    """The processes are being ended."""


Event = StateChanged | ProcessDied | ClusterReady | ClusterStopping


class Supervisor:
    """A local cluster from the first process to the last. `on_event` hears what happens, on the loop; `prefix` is what
    comes before the command of a process; `in_step_s`: how long one that was restarted may take to catch up.
    `is_daemon`: this process ends with the cluster, and gives the data folder back by that: what it has open there is
    closed by then."""

    def __init__(
        self,
        options: ClusterOptions,
        environ: Mapping[str, str],
        on_event: Callable[[Event], None],
        prefix: Callable[[ProcessPlan], Sequence[str]] = lambda plan: (),
        in_step_s: float = IN_STEP_S,
        *,
        is_daemon: bool = False,
    ) -> None:
        self._options = options
        self._environ = environ
        self._on_event = on_event
        self._prefix = prefix
        self._in_step_s = in_step_s
        self._is_daemon = is_daemon
        self._folder = DataFolder(options.data)
        self._cluster = ClusterFile(nodes_per_zone=1)
        self._children: dict[str, Child] = {}
        self._services = options.data
        self._environment: dict[str, str] = {}
        self._inherited_fds: tuple[int, int] = (-1, -1)
        self._is_starting = False
        self._is_stopping = False
        self._stop = asyncio.Event()
        self._died = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """The cluster's whole life: returns once `stop` is set, or `stator local down` came, and every process is gone.

        Raises LocalClusterError if it cannot start; nothing is left running then either.
        """
        self._stop = stop
        check_server_packages()
        self._services = service_folder(self._environ)
        self._environment = child_environment(self._environ, self._services, self._options.log_level)
        self._folder.prepare()
        with contextlib.ExitStack() as held:
            if not self._is_daemon:
                held.callback(self._folder.unlock)
            await asyncio.to_thread(self._folder.lock)
            self._plan(held.enter_context(Ports(random.Random())))
            # Only this process keeps the writing end: that it is closed tells the children that this process is gone.
            read_end, write_end = os.pipe()
            held.callback(os.close, read_end)
            held.callback(os.close, write_end)
            self._inherited_fds = (read_end, self._folder.process_lock_fd)
            await self._live()

    def _plan(self, ports: Ports) -> None:
        """Settles nodes and ports, before anything starts. Raises LocalClusterError."""
        if self._folder.exists():
            self._cluster = self._folder.read()
        wanted = self._options.nodes_per_zone or self._cluster.nodes_per_zone
        if wanted < self._cluster.nodes_per_zone:
            raise LocalClusterError(
                f"The cluster in {self._folder.path} has {self._cluster.nodes_per_zone} storage nodes a zone, and they "
                f"hold replicas: it cannot be started with --nodes-per-zone {wanted}."
            )
        cluster = self._cluster
        cluster.nodes_per_zone = wanted
        had_auth = cluster.auth
        cluster.auth = had_auth if self._options.auth is None else self._options.auth
        if cluster.auth:
            check_auth_packages()
            make_keys(self._folder.path, may_be_new=not had_auth)
        cluster.http_ports = ports.doors(self._options.http_port, "--http-port", cluster.http_ports)
        cluster.grpc_ports = ports.doors(self._options.grpc_port, "--grpc-port", cluster.grpc_ports)
        cluster.internal_ports = ports.internal(internal_names(wanted), cluster.internal_ports)
        plans = plan_cluster(
            self._folder.path,
            nodes_per_zone=wanted,
            http_ports=cluster.http_ports,
            grpc_ports=cluster.grpc_ports,
            internal_ports=cluster.internal_ports,
            is_first_start=not cluster.bootstrapped,
            auth=cluster.auth,
        )
        for plan in plans:
            rotate(self._folder.log_path(plan.name))
            self._children[plan.name] = Child(plan, self._folder.log_path(plan.name), self._child_changed)

    async def _live(self) -> None:
        control = ControlServer(secrets.token_urlsafe(24), self._carry_out)
        port = await control.start()
        self._cluster.supervisor = SupervisorAddress(os.getpid(), port, control.token)
        self._folder.write(self._cluster)
        housekeeping = asyncio.create_task(self._keep_house(), name="housekeeping")
        try:
            await self._start_all()
            await self._stop.wait()
        finally:
            housekeeping.cancel()
            await self._stop_all()
            self._cluster.supervisor = None
            self._cluster.pids = {}
            self._folder.write(self._cluster)
            await control.close()

    async def _start_all(self) -> None:
        """Starts every process at once, and returns when all of them serve or `stop` is set."""
        began = time.monotonic()
        self._is_starting = True
        for child in self._children.values():
            await self._start(child)
        self._folder.write(self._cluster)
        ready = asyncio.create_task(self._wait_ready(), name="ready")
        waits = [ready, asyncio.create_task(self._stop.wait()), asyncio.create_task(self._died.wait())]
        try:
            await asyncio.wait(waits, timeout=self._options.ready_timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set():
                return
            # Whoever died last has settled all: then both are done at once.
            if self._died.is_set() or not ready.done():
                raise self._start_failure()
            await ready
        finally:
            for wait in waits:
                wait.cancel()
        self._is_starting = False
        self._on_event(
            ClusterReady(
                tuple(self._cluster.http_ports),
                tuple(self._cluster.grpc_ports),
                time.monotonic() - began,
                self._cluster.auth,
            )
        )

    async def _wait_ready(self) -> None:
        by_role = [[c for c in self._children.values() if c.plan.role is role] for role in Role]
        for children in by_role:
            for child in children:
                while not await child.wait_settled(self._options.ready_timeout_s):
                    continue
            # The folders of all metadata processes hold data now: an empty one is damage from here on.
            if not self._cluster.bootstrapped and all(child.state is State.READY for child in children):
                self._cluster.bootstrapped = True
                self._folder.write(self._cluster)

    def _start_failure(self) -> StartFailedError:
        for child in self._children.values():
            if child.state is State.EXITED and child.exit_code not in _LEFT_OUT:
                return StartFailedError(f"{self._death_sentence(child)} It wrote:\n" + _indented(child.log_tail()))
        late = [child for child in self._children.values() if child.state in ALIVE and child.state is not State.READY]
        names = ", ".join(child.plan.name for child in late)
        tails = "\n".join(f"{child.log_path}:\n" + _indented(child.log_tail(5)) for child in late)
        return StartFailedError(
            f"The cluster was not ready within {self._options.ready_timeout_s:g} s: {names} did not come to serve.\n"
            f"{tails}"
        )

    async def _start(self, child: Child) -> None:
        line = [*self._prefix(child.plan), *command(child.plan.module, child.plan.arguments)]
        await child.start(line, self._environment, self._inherited_fds, self._folder.path)
        assert child.pid is not None
        self._cluster.pids[child.plan.name] = child.pid

    async def _stop_all(self) -> None:
        """Routers first, so that nothing is asked of those that stop next."""
        self._is_stopping = True
        self._on_event(ClusterStopping())
        for role in reversed(Role):
            children = [child for child in self._children.values() if child.plan.role is role]
            await asyncio.gather(*(child.stop(_GRACE_S[role]) for child in children))

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            for child in self._children.values():
                shorten(child.log_path)

    def _child_changed(self, child: Child) -> None:
        self._on_event(StateChanged(child.plan.name, child.plan.zone, child.state))
        if child.state not in (State.EXITED, State.REMOVED) or self._is_stopping:
            return
        assert child.exit_code is not None
        if self._is_starting and child.exit_code not in _LEFT_OUT:
            self._died.set()
            return
        what_to_do = f"Start it again with `stator local start {child.plan.name}`."
        if child.state is State.REMOVED:
            what_to_do = self._how_to_join(child)
        sentence = f"{self._death_sentence(child)} {what_to_do}"
        tail = tuple(child.log_tail())
        self._on_event(ProcessDied(child.plan.name, child.plan.zone, child.exit_code, sentence, tail))

    def _how_to_join(self, child: Child) -> str:
        """What a storage node that was removed needs to come anew."""
        name = child.plan.name
        return (
            f"It may join anew with an empty data folder: delete {self._folder.path / name}, then "
            f"`stator local start {name}`."
        )

    def _death_sentence(self, child: Child) -> str:
        code = child.exit_code or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        cause = f": {_CAUSES[code]}" if code in _CAUSES else ""
        return f"{child.plan.name} ({child.plan.zone}) ended by itself ({how}{cause}); its log is {child.log_path}."

    async def _carry_out(self, name: str, words: Sequence[str]) -> dict[str, Any]:
        """One command from the control socket; answers the state of the processes it concerned."""
        if name == "status":
            return {"processes": self.status(words or ["all"])}
        if name == "down":
            self._stop.set()
            return {"processes": []}
        children = [self._children[known] for known in self._select(words)]
        if self._is_stopping:
            raise LocalClusterError("The cluster is stopping.")
        if name == "kill":
            await asyncio.gather(*(child.kill() for child in children))
        elif name == "stop":
            await asyncio.gather(*(child.stop(_STOP_GRACE_S) for child in children))
        elif name == "pause":
            for child in children:
                child.pause()
        elif name == "resume":
            for child in children:
                child.resume()
        elif name == "start":
            await self._start_again(children)
        elif name == "restart":
            await self._restart(children)
        else:
            raise LocalClusterError(f"There is no command {name!r}.")
        return {"processes": self.status(words)}

    async def _start_again(self, children: Sequence[Child]) -> None:
        """Starts those that are not alive and waits until all serve. Raises StartFailedError."""
        paused = [child.plan.name for child in children if child.state is State.PAUSED]
        if paused:
            raise LocalClusterError(f"{paused[0]} is paused: `stator local resume {paused[0]}` lets it go on.")
        removed = [
            child
            for child in children
            if child.state is State.REMOVED and (self._folder.path / child.plan.name).exists()
        ]
        if removed and len(removed) == len(children):
            name = removed[0].plan.name
            raise LocalClusterError(f"{name} was removed from the cluster. {self._how_to_join(removed[0])}")
        children = [child for child in children if child not in removed]
        for child in children:
            if child.state not in ALIVE:
                await self._start(child)
        self._folder.write(self._cluster)
        for child in children:
            is_settled = await child.wait_settled(_START_READY_S)
            if child.state in (State.EXITED, State.REMOVED):
                raise StartFailedError(f"{self._death_sentence(child)} It wrote:\n" + _indented(child.log_tail()))
            if not is_settled:
                raise StartFailedError(
                    f"{child.plan.name} runs but does not serve after {_START_READY_S:g} s; "
                    f"its log is {child.log_path}."
                )

    async def _restart(self, children: Sequence[Child]) -> None:
        """One after the other, each when the others of its role can be counted on. Raises LocalClusterError, also for
        one that does not come back."""
        for child in children:
            for other in self._children.values():
                if other.plan.role is child.plan.role and other is not child and other.state is not State.REMOVED:
                    await self._wait_in_step(
                        other, f" So {child.plan.name} was not restarted: two of a role are not away at once."
                    )
            await child.stop(_STOP_GRACE_S)
            await self._start_again([child])
            await self._wait_in_step(child)

    async def _wait_in_step(self, child: Child, consequence: str = "") -> None:
        runs = child.state in ALIVE and child.state is not State.PAUSED
        is_in_step = runs and await child.wait_in_step(self._in_step_s)
        if child.state is State.PAUSED or child.state not in ALIVE:
            raise LocalClusterError(f"{child.plan.name} does not run: it is {child.state}.{consequence}")
        if not is_in_step:
            raise LocalClusterError(
                f"{child.plan.name} cannot be counted on: after {self._in_step_s:g} s it does not vote, or has not "
                f"caught up; its log is {child.log_path}.{consequence}"
            )

    def _select(self, words: Sequence[str]) -> list[str]:
        return select(words, [(child.plan.name, child.plan.role, child.plan.zone) for child in self._children.values()])

    def status(self, words: Sequence[str]) -> list[dict[str, Any]]:
        """What `stator local status --output json` prints, for the processes that `words` mean."""
        return [describe(self._children[name]) for name in self._select(words)]


def describe(child: Child) -> dict[str, Any]:
    """One entry of `stator local status --output json`."""
    return {
        "name": child.plan.name,
        "role": str(child.plan.role),
        "zone": child.plan.zone,
        "pid": child.pid,
        "state": str(child.state),
        "ports": [{"kind": port.kind, "port": port.port} for port in child.plan.ports],
        "exit_code": child.exit_code,
        "log": str(child.log_path),
    }


def _indented(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}" for line in lines) or "    (nothing)"
