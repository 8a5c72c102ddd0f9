"""Where the programs of the cluster are, and in which environment they run."""

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from stator.local.errors import LocalClusterError
from stator.local.layout import MODULES

# The modules of `pip install 'stator[server]'` that every installation of the servers has.
_SERVER_MODULES = ("uvloop", "lmdb", "crc32c", "structlog", "grpc_health", "grpc_reflection", "httptools", "orjson")

# Set for the command line and the launcher, not for the services.
_OWN_VARIABLES = frozenset({"STATOR_DATA", "STATOR_ENDPOINTS", "STATOR_SERVICES", "STATOR_PARENT_FD"})

# gRPC's event engine hands every message to one more thread. Without it, where processes outnumber cores, requests on
# the session door took a tenth less time.
GRPC_EXPERIMENTS = "-event_engine_client,-event_engine_listener"


def service_folder(environ: Mapping[str, str]) -> Path:
    """The folder that holds the packages metadata, storage_node and router.

    `STATOR_SERVICES` if set; else the copy inside an installed wheel; else the checkout around this file.
    Raises LocalClusterError when none has them.
    """
    package = Path(__file__).resolve().parent.parent
    candidates = [package / "_services", package.parent.parent]
    if "STATOR_SERVICES" in environ:
        candidates = [Path(environ["STATOR_SERVICES"])]
    for folder in candidates:
        if all((folder / module / "__main__.py").is_file() for module in MODULES.values()):
            return folder
    places = " or ".join(str(folder) for folder in candidates)
    raise LocalClusterError(
        f"The servers' programs are not in {places}: install Stator again (pip install 'stator[server]')."
    )


def check_server_packages() -> None:
    """Raises LocalClusterError when what `stator[server]` brings is not installed."""
    missing = [module for module in _SERVER_MODULES if importlib.util.find_spec(module) is None]
    if missing:
        raise LocalClusterError(
            f"A local cluster needs the servers' packages, and {', '.join(missing)} cannot be imported: "
            "pip install 'stator[server]'."
        )


def check_auth_packages() -> None:
    """Raises LocalClusterError when what --auth needs besides is not installed."""
    if importlib.util.find_spec("cryptography") is None:
        raise LocalClusterError(
            "--auth needs the package cryptography, which cannot be imported: pip install 'stator[server]'."
        )


def child_environment(environ: Mapping[str, str], services: Path, log_level: str) -> dict[str, str]:
    """The environment of a service: this one, with the services and the wire messages importable."""
    clean = {name: value for name, value in environ.items() if name not in _OWN_VARIABLES}
    spec = importlib.util.find_spec("statorpb")
    if spec is None or not spec.submodule_search_locations:
        raise LocalClusterError("The package statorpb cannot be imported: install Stator again.")
    folders = [services, Path(__file__).resolve().parents[2], Path(next(iter(spec.submodule_search_locations))).parent]
    path = [str(folder) for folder in folders] + [p for p in environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    clean["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    # `python -m` would look into the current folder first, and a router.py may lie there.
    clean["PYTHONSAFEPATH"] = "1"
    clean["PYTHONUNBUFFERED"] = "1"
    clean.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    clean["STATOR_LOG_LEVEL"] = log_level
    return clean


def command(module: str, arguments: tuple[str, ...]) -> list[str]:
    """The command line that runs a service."""
    return [sys.executable, "-m", module, *arguments]
