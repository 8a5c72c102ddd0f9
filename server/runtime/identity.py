"""Who a process with a data folder is, across its lives."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "identity.json"
FORMAT_VERSION = 1
LOCK_NAME = "lock"

_locks: dict[Path, int] = {}  # held until the process ends, or `release`


class IdentityError(Exception):
    """The data folder cannot be used; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """`data_id` names the folder: one that was lost and made again has another, and must not vote as the old one.
    `boot` counts the process's lives; grants of an earlier one are told from those of a later one by it."""

    directory: Path
    name: str
    node_id: int  # 0: not known yet
    cluster_id: str  # empty: not known yet
    data_id: str
    boot: int

    @classmethod
    def load_or_create(cls, directory: Path, name: str, *, node_id: int = 0, may_create: bool = True) -> Identity:
        """Takes the folder for this process, and counts this life. Raises IdentityError."""
        try:
            make_directory(directory)
            _lock(directory)
        except OSError as error:
            raise IdentityError(f"the data folder {directory} cannot be used: {error.strerror}") from error
        try:
            path = directory / FILE_NAME
            if path.exists():
                identity = cls._read(directory, path)
            elif not may_create:
                raise IdentityError(
                    f"the data folder {directory} is empty, but the cluster exists already: a node that has lost its "
                    "data must not come back under its old identity (for a cluster's very first start, set bootstrap)"
                )
            else:
                identity = cls(directory, name, node_id, "", str(uuid.uuid4()), 0)
            if identity.name != name or (node_id and identity.node_id != node_id):
                raise IdentityError(
                    f"the data folder {directory} belongs to {identity.name} (node {identity.node_id}), not to {name}"
                )
            identity = dataclasses.replace(identity, boot=identity.boot + 1)
            identity._write()
        except (OSError, IdentityError) as error:
            release(directory)
            if isinstance(error, IdentityError):
                raise
            raise IdentityError(f"the data folder {directory} cannot be used: {error.strerror}") from error
        return identity

    def joined(self, node_id: int, cluster_id: str) -> Identity:
        """The same identity with what the cluster assigned, on disk."""
        identity = dataclasses.replace(self, node_id=node_id, cluster_id=cluster_id)
        identity._write()
        return identity

    @classmethod
    def _read(cls, directory: Path, path: Path) -> Identity:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format_version"] != FORMAT_VERSION:
                raise IdentityError(
                    f"{path} has format version {content['format_version']}, this program knows version "
                    f"{FORMAT_VERSION}: another version of it has written the data folder"
                )
            return cls(
                directory,
                str(content["name"]),
                int(content["node_id"]),
                str(content["cluster_id"]),
                str(content["data_id"]),
                int(content["boot"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise IdentityError(f"{path} is damaged: {error}") from error

    def _write(self) -> None:
        content = {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "node_id": self.node_id,
            "cluster_id": self.cluster_id,
            "data_id": self.data_id,
            "boot": self.boot,
        }
        write_atomically(self.directory / FILE_NAME, json.dumps(content, indent=2).encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file so that after any crash it holds the old content or the new."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Makes creations, renames and removals in a folder durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Makes a folder and those above it, durably: what is stored in it must not go with its name at a power cut."""
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)


def release(directory: Path) -> None:
    """Gives a folder up to other processes before this one ends."""
    os.close(_locks.pop(directory))


def _lock(directory: Path) -> None:
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise IdentityError(f"the data folder {directory} is in use by another process") from error
    _locks[directory] = descriptor
