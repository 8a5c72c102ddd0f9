"""Reading the state of a local cluster, running or not, and stopping it: what the command line shares with scripts."""

import time
from collections.abc import Sequence
from typing import Any

from stator.local.child import State
from stator.local.control import ask
from stator.local.errors import LocalClusterError, NotRunningError
from stator.local.folder import DataFolder
from stator.local.layout import Role, frames_of, node_names, select

_DOWN_TIMEOUT_S = 20.0
_POLL_S = 0.05


def read_status(folder: DataFolder, words: Sequence[str] = ("all",)) -> tuple[bool, list[dict[str, Any]]]:
    """(whether the cluster runs, an entry a process). Raises NotRunningError when none was ever started here."""
    try:
        return True, list(ask(folder, "status", words)["processes"])
    except NotRunningError:
        cluster = folder.read()
    names = node_names(cluster.nodes_per_zone)
    known = [(name, role, zone) for name, (role, zone) in names.items()]
    ports: dict[str, list[dict[str, Any]]] = {
        name: [{"kind": "grpc", "port": port}] for name, port in cluster.internal_ports.items() if name in names
    }
    for name in names:
        if frames_of(name) in cluster.internal_ports:
            ports[name].append({"kind": "frames", "port": cluster.internal_ports[frames_of(name)]})
    for index, (http, grpc) in enumerate(zip(cluster.http_ports, cluster.grpc_ports, strict=True), 1):
        ports[f"router-{index}"] = [{"kind": "http", "port": http}, {"kind": "grpc", "port": grpc}]
    return False, [
        {
            "name": name,
            "role": str(Role(names[name][0])),
            "zone": names[name][1],
            "pid": None,
            "state": str(State.STOPPED),
            "ports": ports.get(name, []),
            "exit_code": None,
            "log": str(folder.log_path(name)),
        }
        for name in select(words, known)
    ]


def stop_cluster(folder: DataFolder) -> None:
    """Stops the cluster and returns once every process is gone. Raises NotRunningError, LocalClusterError."""
    ask(folder, "down")
    deadline = time.monotonic() + _DOWN_TIMEOUT_S
    while folder.is_locked():
        if time.monotonic() > deadline:
            raise LocalClusterError(
                f"The cluster has not stopped within {_DOWN_TIMEOUT_S:g} s; see {folder.log_path('supervisor')}."
            )
        time.sleep(_POLL_S)


def local_endpoints(folder: DataFolder) -> list[str] | None:
    """The routers' gRPC addresses of the cluster in `folder`; None if none runs there."""
    if not folder.exists():
        return None
    cluster = folder.read()
    if cluster.supervisor is None:
        return None
    return [f"127.0.0.1:{port}" for port in cluster.grpc_ports]
