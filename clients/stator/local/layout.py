"""Which processes a local cluster is made of, and with which command lines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from stator.local.errors import UnknownProcessError
from stator.local.keys import ROOT_FILE, SECRETS_KEY_FILE

LOOPBACK = "127.0.0.1"
ZONES = ("zone-1", "zone-2", "zone-3")
NODES_PER_ZONE_MAX = 16
HTTP_PORT_DEFAULT = 8000
GRPC_PORT_DEFAULT = 9000
LOG_LEVELS = ("debug", "info", "warning", "error")


class Role(StrEnum):
    """What a process does. The order is the order of starting; stopping goes backwards."""

    METADATA = "metadata"
    STORAGE = "storage"
    ROUTER = "router"


MODULES = {Role.METADATA: "metadata", Role.STORAGE: "storage_node", Role.ROUTER: "router"}


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What `stator local up` was asked for.

    `http_port` and `grpc_port` are the first of three consecutive ports; 0 means any free ones.
    `nodes_per_zone` None means: as the data folder has it, one for a new folder. `auth`: whether the doors verify
    signatures; None: as the last time, not at first.
    """

    data: Path
    http_port: int = HTTP_PORT_DEFAULT
    grpc_port: int = GRPC_PORT_DEFAULT
    nodes_per_zone: int | None = None
    log_level: str = "info"
    ready_timeout_s: float = 60.0
    auth: bool | None = None

    def problems(self) -> list[str]:
        """One sentence for each option that cannot be."""
        found = []
        for flag, port in (("--http-port", self.http_port), ("--grpc-port", self.grpc_port)):
            if not 0 <= port <= 65_535 - len(ZONES) + 1:
                found.append(f"{flag} {port} is out of range: it must be 0 (any free ports) or 1 to 65533.")
        apart = abs(self.http_port - self.grpc_port)
        if self.http_port and self.grpc_port and apart < len(ZONES):
            found.append(
                f"--http-port {self.http_port} and --grpc-port {self.grpc_port} overlap: "
                "each needs three ports in a row."
            )
        if self.nodes_per_zone is not None and not 1 <= self.nodes_per_zone <= NODES_PER_ZONE_MAX:
            found.append(f"--nodes-per-zone must be 1 to {NODES_PER_ZONE_MAX}, not {self.nodes_per_zone}.")
        if self.log_level not in LOG_LEVELS:
            found.append(f"--log-level must be one of {', '.join(LOG_LEVELS)}, not {self.log_level!r}.")
        if self.ready_timeout_s <= 0:
            found.append("--ready-timeout must be more than 0 seconds.")
        return found


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a process; `kind` is "http", "grpc" or "frames"."""

    kind: str
    port: int


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """One process to start: `python -m MODULE ARGUMENTS`."""

    name: str
    role: Role
    zone: str
    ports: tuple[Port, ...]
    arguments: tuple[str, ...]

    @property
    def module(self) -> str:
        """The service to run."""
        return MODULES[self.role]

    @property
    def grpc_port(self) -> int:
        """Where the process answers gRPC, health checks included."""
        return next(port.port for port in self.ports if port.kind == "grpc")


def node_names(nodes_per_zone: int) -> dict[str, tuple[Role, str]]:
    """Name -> (role, zone) of every process, in the order of starting.

    Storage nodes are dealt to the zones in turn, so that storage-1 to storage-3 keep their zones when more are added.
    """
    names = {f"metadata-{index}": (Role.METADATA, zone) for index, zone in enumerate(ZONES, 1)}
    for index in range(len(ZONES) * nodes_per_zone):
        names[f"storage-{index + 1}"] = (Role.STORAGE, ZONES[index % len(ZONES)])
    names |= {f"router-{index}": (Role.ROUTER, zone) for index, zone in enumerate(ZONES, 1)}
    return names


def internal_names(nodes_per_zone: int) -> list[str]:
    """What an internal port each is for: metadata processes, storage nodes, and frame connections of these."""
    roles = node_names(nodes_per_zone).items()
    names = [name for name, (role, _) in roles if role is not Role.ROUTER]
    return names + [frames_of(name) for name, (role, _) in roles if role is Role.STORAGE]


def frames_of(node: str) -> str:
    """The name of the port that a storage node's frame connections go to."""
    return f"{node}-frames"


def plan_cluster(
    data: Path,
    *,
    nodes_per_zone: int,
    http_ports: Sequence[int],
    grpc_ports: Sequence[int],
    internal_ports: Mapping[str, int],
    is_first_start: bool,
    auth: bool = False,
) -> tuple[ProcessPlan, ...]:
    """The processes of the cluster in `data`, in the order of starting.

    `internal_ports` must hold a port for each of `internal_names(nodes_per_zone)`.
    """
    addresses = [f"{LOOPBACK}:{internal_ports[f'metadata-{index}']}" for index in range(1, len(ZONES) + 1)]
    members = ",".join(f"{index}@{zone}={addresses[index - 1]}" for index, zone in enumerate(ZONES, 1))
    plans = []
    for name, (role, zone) in node_names(nodes_per_zone).items():
        common = ("--name", name, "--zone", zone)
        if role is Role.ROUTER:
            index = ZONES.index(zone)
            ports: tuple[Port, ...] = (Port("http", http_ports[index]), Port("grpc", grpc_ports[index]))
            own: tuple[str, ...] = (
                *(
                    "--http-listen",
                    f"{LOOPBACK}:{http_ports[index]}",
                    "--grpc-listen",
                    f"{LOOPBACK}:{grpc_ports[index]}",
                ),
                *("--metadata", ",".join(addresses)),
                *(("--auth", "true", "--root-credentials-file", str(data / ROOT_FILE)) if auth else ()),
            )
        else:
            ports = (Port("grpc", internal_ports[name]),)
            own = ("--listen", f"{LOOPBACK}:{internal_ports[name]}", "--data", str(data / name))
            if role is Role.METADATA:
                own += ("--node-id", name.removeprefix("metadata-"), "--members", members)
                own += ("--bootstrap", "true") if is_first_start else ()
                own += ("--secrets-key-file", str(data / SECRETS_KEY_FILE)) if auth else ()
            else:
                frames = internal_ports[frames_of(name)]
                ports += (Port("frames", frames),)
                own += ("--frame-listen", f"{LOOPBACK}:{frames}", "--metadata", ",".join(addresses))
        plans.append(ProcessPlan(name, role, zone, ports, common + own))
    return tuple(plans)


def select(words: Iterable[str], processes: Iterable[tuple[str, Role, str]]) -> list[str]:
    """The names that `words` mean: process names, zones ("zone-1"), roles ("storage"), or "all". In cluster order.

    Raises UnknownProcessError.
    """
    known = list(processes)
    chosen: set[str] = set()
    for word in words:
        matching = {name for name, role, zone in known if word in (name, zone, str(role), "all")}
        if not matching:
            names = ", ".join(name for name, _, _ in known)
            raise UnknownProcessError(
                f"There is no process {word!r}. Say one of {names}, a zone ({', '.join(ZONES)}), "
                f"a role ({', '.join(Role)}) or all."
            )
        chosen |= matching
    return [name for name, _, _ in known if name in chosen]
