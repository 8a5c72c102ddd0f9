"""Disks that fill up, hang, fail, and lose their power: Linux, as root.

The data of a process is on a file system of its own, in a file, so that a fault concerns this process alone. It is the
file system itself that is shut down (the ioctl of ext4 and xfs for that): from then on every write and sync fails, and
what had not been synced is gone when it is mounted anew, as after a power cut. Mounts are seen by this game day alone,
and vanish with it.
"""

import contextlib
import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from stator.gameday.machine import MachineError, missing, run
from stator.local.layout import ProcessPlan

DISK_MIB = 512
SETTINGS: Mapping[str, str] = {
    "STATOR_WAL_SEGMENT_BYTES": str(16 << 20),
    "STATOR_MEMTABLE_BYTES": str(1 << 20),
    "STATOR_DISK_RESERVE_BYTES": str(128 << 20),
}
"""Of processes with so small a disk."""
IMAGES_FOLDER = "disks"

_WHAT = "a disk for each process"
_PROGRAMS = {"mkfs.ext4": "e2fsprogs", "mount": "mount", "umount": "mount", "fsfreeze": "util-linux"}
_LOOP_CONTROL = Path("/dev/loop-control")
_FILLER = "filler"
_WITNESS = "witness"
_WITNESS_BYTES = b"not synced" * 100
_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
_WITHOUT_FLUSHING_THE_LOG = 2
_BLOCK_BYTES = 4096
_FREEZE = 'fsfreeze --freeze "$0" && echo frozen && read _; fsfreeze --unfreeze "$0"'
# Nothing is written back sooner than it is synced, or nearly so: a power cut takes more with it.
_MOUNT = ("mount", "-o", "loop,commit=300")


def why_not() -> str:
    """Why processes cannot have disks of their own on this machine, in a sentence; "" if they can."""
    sentence = missing(_WHAT, _PROGRAMS)
    if not sentence and not _LOOP_CONTROL.exists():
        sentence = f"{_WHAT} needs loop devices, and there is no {_LOOP_CONTROL} here."
    return sentence


class Disks:
    """The file systems of some processes. Use it as a context: it unmounts them. All of its calls block."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._places: dict[str, Path] = {}
        self._freezers: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Disks":
        return self

    def __exit__(self, *raised: object) -> None:
        for name in tuple(self._freezers):
            self.thaw(name)
        for place in self._places.values():
            # What cannot be unmounted goes with the namespace.
            with contextlib.suppress(MachineError):
                run(["umount", str(place)])

    def prepare(self, plan: ProcessPlan, folder: Path) -> None:
        """Before a process starts for the first time: makes and mounts its file system where its data will be, if it is
        one of those. Raises MachineError."""
        if plan.name not in self.names or plan.name in self._places:
            return
        image, place = folder / IMAGES_FOLDER / f"{plan.name}.img", folder / plan.name
        image.parent.mkdir(exist_ok=True)
        with image.open("wb") as file:
            file.truncate(DISK_MIB << 20)
        place.mkdir()
        run(["mkfs.ext4", "-q", "-F", "-m", "0", "-b", str(_BLOCK_BYTES), str(image)])
        run([*_MOUNT, str(image), str(place)])
        self._places[plan.name] = place
        (place / "lost+found").rmdir()

    def fill(self, name: str) -> None:
        """Until not a block is left."""
        descriptor = os.open(self._places[name] / _FILLER, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            end, chunk = 0, DISK_MIB << 20
            while chunk >= _BLOCK_BYTES:
                try:
                    os.posix_fallocate(descriptor, end, chunk)
                    end += chunk
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    chunk //= 2
        finally:
            os.close(descriptor)

    def make_room(self, name: str) -> None:
        """Undoes `fill`."""
        (self._places[name] / _FILLER).unlink()

    def freeze(self, name: str) -> None:
        """From now on every write and sync waits. Raises MachineError."""
        # Whoever waits for such a disk cannot even be killed. So it is another process that thaws it, in a session of
        # its own: when it is told to, and also when this one ends without a word.
        line = ["sh", "-c", _FREEZE, str(self._places[name])]
        freezer = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert freezer.stdin is not None
        assert freezer.stdout is not None
        self._freezers[name] = freezer
        if not freezer.stdout.readline():
            self.thaw(name)
            raise MachineError(f"{self._places[name]} cannot be frozen.")

    def thaw(self, name: str) -> None:
        """Undoes `freeze`."""
        freezer = self._freezers.pop(name)
        freezer.communicate()

    def shut_down(self, name: str) -> None:
        """From now on nothing can be written or synced; what was not synced before is lost, and a file that was not is
        left behind to prove it."""
        (self._places[name] / _WITNESS).write_bytes(_WITNESS_BYTES)
        descriptor = os.open(self._places[name], os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING_THE_LOG))
        finally:
            os.close(descriptor)

    def mount_anew(self, name: str) -> bool:
        """After `shut_down`, once nobody has a file of it open; whether what had not been synced is gone. Raises
        MachineError."""
        place = self._places[name]
        run(["umount", str(place)])
        run([*_MOUNT, str(place.parent / IMAGES_FOLDER / f"{name}.img"), str(place)])
        witness = place / _WITNESS
        is_lost = not witness.exists() or witness.read_bytes() != _WITNESS_BYTES
        witness.unlink(missing_ok=True)
        return is_lost
