"""From the command line to a client: which endpoints, and whether anything is there."""

import contextlib
import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from stator.cli.exits import UNREACHABLE, UsageError, expected_errors, fail

if TYPE_CHECKING:
    from stator.client import AsyncClient
    from stator.credentials import Credentials
    from stator.sync_client import Client

_PROBE_TIMEOUT_S = 1.0

EndpointOption = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        metavar="HOST:PORT",
        help="A router's gRPC address; may be repeated. Default: $STATOR_ENDPOINTS, else the local cluster's, "
        "else 127.0.0.1:9000 to 9002.",
    ),
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", help="Seconds a request may take, retries included.", min=0.001, max=3600.0)
]


def resolve_endpoints(given: Sequence[str] | None, environ: Mapping[str, str]) -> list[str]:
    """The routers to talk to: from the flags, the environment, the local cluster, or the defaults.

    Raises UsageError for what is no address, and NotRunningError where there is a local cluster that does not run: that
    one is meant, and nobody else's that happens to listen at the default ports.
    """
    from stator.connection import DEFAULT_ENDPOINTS, split_endpoints
    from stator.local.errors import DamagedFolderError, NotRunningError
    from stator.local.folder import DataFolder, data_flag, default_data_folder
    from stator.local.status import local_endpoints

    addresses = [*split_endpoints(",".join(given or ()) or environ.get("STATOR_ENDPOINTS", ""))]
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
            raise UsageError(f"{address!r} is not an endpoint: write HOST:PORT, for example 127.0.0.1:9000.")
    if addresses:
        return addresses
    folder = DataFolder(default_data_folder(environ))
    try:
        local = local_endpoints(folder)
    except DamagedFolderError:
        # That is `stator local`'s business; another cluster may still be meant.
        return list(DEFAULT_ENDPOINTS)
    if local is None and (folder.exists() or environ.get("STATOR_DATA")):
        raise NotRunningError(
            f"No cluster runs in {folder.path}: start it with `stator local up --detach{data_flag(folder.path)}`, "
            "or name a router with --endpoint HOST:PORT."
        )
    return local or list(DEFAULT_ENDPOINTS)


def _check_reachable(addresses: Sequence[str]) -> None:
    """Fails at once, instead of after the retries of a call, when nothing listens anywhere."""
    unknown = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_TIMEOUT_S):
                return
        except socket.gaierror:
            unknown.append(host)
        except OSError:
            continue
    if unknown:
        fail(f"no cluster answers at {', '.join(addresses)}: no host is known as {', '.join(unknown)}.", UNREACHABLE)
    fail(
        f"no cluster answers at {', '.join(addresses)}: start one with `stator local up --detach`, "
        "or name a router with --endpoint HOST:PORT.",
        UNREACHABLE,
    )


def _credentials(addresses: Sequence[str], environ: Mapping[str, str], *, is_root: bool) -> "Credentials | None":
    """The access key to sign with: that of the environment, which the client finds by itself (None), or, where there is
    none or `is_root`, the root access key of the local cluster that has these routers. Raises DamagedFolderError."""
    from stator.credentials import Credentials
    from stator.local.errors import LocalClusterError
    from stator.local.folder import DataFolder, default_data_folder
    from stator.local.keys import root_credentials
    from stator.local.status import local_endpoints

    if Credentials.from_environment(environ) is not None and not is_root:
        return None
    folder = DataFolder(default_data_folder(environ))
    try:
        is_local = set(addresses) <= set(local_endpoints(folder) or ()) and folder.read().auth
    except LocalClusterError:
        return None  # another cluster is meant
    return root_credentials(folder.path) if is_local else None


@contextlib.contextmanager
def connected(given: Sequence[str] | None, timeout_s: float, *, is_root: bool = False) -> "Iterator[Client]":
    """A synchronous client; errors of the block become sentences and exit codes. `is_root`: with the root access key of
    the local cluster, if that is the one that is meant and it verifies signatures."""
    from stator.sync_client import Client

    with expected_errors():
        if not math.isfinite(timeout_s):
            raise UsageError(f"{timeout_s} is no number of seconds.")
        addresses = resolve_endpoints(given, os.environ)
        _check_reachable(addresses)
        credentials = _credentials(addresses, os.environ, is_root=is_root)
        with Client(addresses, timeout_s=timeout_s, credentials=credentials) as client:
            yield client


def async_client(given: Sequence[str] | None, timeout_s: float) -> "AsyncClient":
    """An asynchronous client, for commands that keep many requests under way. Call it inside `expected_errors`."""
    from stator.client import AsyncClient

    addresses = resolve_endpoints(given, os.environ)
    _check_reachable(addresses)
    credentials = _credentials(addresses, os.environ, is_root=False)
    return AsyncClient(addresses, timeout_s=timeout_s, credentials=credentials)
