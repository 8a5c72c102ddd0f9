"""The data folder of a local cluster: cluster.json, the locks, the logs."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from stator.local.errors import DamagedFolderError, FolderInUseError, NotRunningError
from stator.local.keys import KEY_FILES
from stator.local.layout import GRPC_PORT_DEFAULT, HTTP_PORT_DEFAULT

FORMAT = 1
_LEFTOVER_WAIT_S = 8.0
_INSTANT_S = 0.3
_POLL_S = 0.05


def default_data_folder(environ: Mapping[str, str]) -> Path:
    """$STATOR_DATA, else ~/.stator/local."""
    named = environ.get("STATOR_DATA")
    return Path(named).expanduser().absolute() if named else Path.home() / ".stator" / "local"


def data_flag(path: Path) -> str:
    """What a command that is meant for the cluster in `path` needs: nothing where it would be found anyway."""
    return "" if path == default_data_folder(os.environ) else f" --data {path}"


@dataclass(frozen=True, slots=True)
class SupervisorAddress:
    """How to reach the supervisor: JSON lines over TCP on the loopback address, with a secret."""

    pid: int
    control_port: int
    token: str


@dataclass(slots=True)
class ClusterFile:
    """The contents of cluster.json.

    `bootstrapped` is set once every metadata process had served: from then on an empty metadata folder is damage, not a
    beginning. `auth`: the doors verify signatures, as the last `up` was asked to. `supervisor` is None, and `pids` is
    empty, while the cluster is stopped.
    """

    nodes_per_zone: int
    format: int = FORMAT
    bootstrapped: bool = False
    auth: bool = False
    http_ports: list[int] = field(default_factory=list)
    grpc_ports: list[int] = field(default_factory=list)
    internal_ports: dict[str, int] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    supervisor: SupervisorAddress | None = None


class DataFolder:
    """One cluster's folder. Reading needs no lock; `lock` must be held to write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cluster_path = path / "cluster.json"
        self.log_folder = path / "logs"
        self._locks = contextlib.ExitStack()
        self.process_lock_fd = -1

    def log_path(self, name: str) -> Path:
        """Where a process, or "supervisor", writes."""
        return self.log_folder / f"{name}.log"

    def exists(self) -> bool:
        """Whether a cluster was ever started here."""
        return self.cluster_path.exists()

    def read(self) -> ClusterFile:
        """cluster.json. Raises NotRunningError if there is none, DamagedFolderError if it cannot be trusted."""
        try:
            text = self.cluster_path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise NotRunningError(
                f"There is no cluster in {self.path}: start one with `stator local up`, or name another folder "
                "with --data."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise DamagedFolderError(f"{self.cluster_path} cannot be read ({error}).") from error
        try:
            document = json.loads(text)
            if isinstance(document, dict) and document.get("format", FORMAT) != FORMAT:
                raise DamagedFolderError(
                    f"{self.cluster_path} was written by another version of Stator: its format is "
                    f"{document['format']!r}, and this version knows {FORMAT}."
                )
            return _parse(document)
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedFolderError(
                f"{self.cluster_path} is damaged ({error}). Put a copy back, or move {self.path} away to begin anew."
            ) from error

    def write(self, cluster: ClusterFile) -> None:
        """Replaces cluster.json in one step that survives a power cut; only its owner can read it."""
        temporary = self.path / "cluster.json.new"
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(cluster), file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(descriptor)
        temporary.replace(self.cluster_path)
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def prepare(self) -> None:
        """Makes the folder. Raises DamagedFolderError when it holds something else than a cluster."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            entries = {entry.name for entry in self.path.iterdir()}
            early = {"lock", "processes.lock", "logs", "cluster.json.new", *KEY_FILES}
            if entries - early and "cluster.json" not in entries:
                raise DamagedFolderError(
                    f"{self.path} has files in it but no cluster.json: it is not a cluster's data folder, or it is "
                    "damaged. Name an empty or a new folder with --data, or put its cluster.json back."
                )
            self.log_folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise DamagedFolderError(
                f"{self.path} cannot be used as data folder ({error.strerror or error}). Name another one with --data."
            ) from error

    def last_ports(self) -> tuple[int, int]:
        """The first HTTP and the first gRPC port that the routers had the last time; 0 where they were any free ones;
        the defaults for a new folder. Raises DamagedFolderError."""
        cluster = self.read() if self.exists() else ClusterFile(1)

        def first(ports: list[int], default: int) -> int:
            if not ports:
                return default
            return ports[0] if ports == [*range(ports[0], ports[0] + len(ports))] else 0

        return first(cluster.http_ports, HTTP_PORT_DEFAULT), first(cluster.grpc_ports, GRPC_PORT_DEFAULT)

    def lock(self) -> None:
        """Takes the folder for this process. Raises FolderInUseError.

        Two locks: one is the supervisor's; the other is inherited by every process of the cluster, and so shows when
        the last process of a cluster whose supervisor was killed has ended.
        """
        own = self._open_lock("lock")
        # `is_locked` of another process may hold it for an instant.
        if not _poll_lock(own, _INSTANT_S):
            text = os.pread(own, 32, 0).decode("ascii", "replace").strip()
            pid = int(text) if text.isdigit() else 0
            flag = data_flag(self.path)
            raise FolderInUseError(
                f"The data folder {self.path} is in use by a running cluster (supervisor pid {pid or 'unknown'}). "
                f"See `stator local status{flag}`, stop it with `stator local down{flag}`, or name another folder "
                "with --data.",
                pid,
            )
        os.ftruncate(own, 0)
        os.pwrite(own, f"{os.getpid()}\n".encode(), 0)
        self.process_lock_fd = self._open_lock("processes.lock")
        self._wait_leftovers_gone()

    def unlock(self) -> None:
        """Gives the folder back."""
        self._locks.close()

    def is_locked(self) -> bool:
        """Whether a supervisor, or a process of its cluster, is alive. Never keeps a lock."""
        for name in ("lock", "processes.lock"):
            try:
                descriptor = os.open(self.path / name, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                if not _try_lock(descriptor):
                    return True
            finally:
                os.close(descriptor)
        return False

    def _open_lock(self, name: str) -> int:
        descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT, 0o600)
        self._locks.callback(os.close, descriptor)
        return descriptor

    def _wait_leftovers_gone(self) -> None:
        """Processes whose supervisor was killed end by themselves; one that hangs is killed after a while."""
        if _poll_lock(self.process_lock_fd, _LEFTOVER_WAIT_S):
            return
        for pid in self._leftover_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not _poll_lock(self.process_lock_fd, _LEFTOVER_WAIT_S / 4):
            raise FolderInUseError(
                f"Processes of an earlier cluster in {self.path} are still running, and their supervisor is gone. "
                f"Find them with `ps -ef | grep {self.path}` and end them.",
                0,
            )

    def _leftover_pids(self) -> list[int]:
        """The recorded processes that are still this cluster's: pids are used again, command lines tell."""
        if not self.exists():
            return []
        return [pid for pid in self.read().pids.values() if str(self.path) in _command_line(pid)]


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _poll_lock(descriptor: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _command_line(pid: int) -> str:
    process_file = Path(f"/proc/{pid}/cmdline")
    if process_file.exists():
        return process_file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    listing = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listing.stdout


def _parse(document: Any) -> ClusterFile:
    if not isinstance(document, dict):
        raise TypeError("it is not a JSON object")
    version = document.get("format")
    if version != FORMAT:
        raise ValueError("it does not say its format")
    unknown = set(document) - {known.name for known in fields(ClusterFile)}
    if unknown:
        raise ValueError(f"it has unknown fields: {', '.join(sorted(unknown))}")
    supervisor = document.pop("supervisor", None)
    cluster = ClusterFile(**document)
    if supervisor is not None:
        cluster.supervisor = SupervisorAddress(**supervisor)
    ports = [*cluster.http_ports, *cluster.grpc_ports, *cluster.internal_ports.values(), *cluster.pids.values()]
    if not all(type(number) is int for number in [cluster.nodes_per_zone, *ports]) or cluster.nodes_per_zone < 1:
        raise ValueError("a port, a pid or nodes_per_zone is not a number")
    if type(cluster.bootstrapped) is not bool or type(cluster.auth) is not bool:
        raise ValueError("bootstrapped or auth is neither true nor false")
    return cluster
