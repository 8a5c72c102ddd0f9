"""What some faults need of the machine: Linux, root, a few programs, and namespaces that vanish with the game day."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

_IN_NAMESPACES = "STATOR_GAMEDAY_NAMESPACES"
_UNSHARE = ("unshare", "--net", "--mount")
_TIMEOUT_S = 20.0


class MachineError(Exception):
    """This machine cannot do what a scenario needs. `str(error)` is a sentence."""


def missing(what: str, programs: Mapping[str, str]) -> str:
    """Why `what` cannot be done on this machine, in a sentence; "" if it can. `programs`: the package of each."""
    if sys.platform != "linux":
        return f"{what} needs Linux."
    if os.geteuid() != 0:
        return f"{what} needs root: run the command with sudo, or choose a scenario without it."
    for program, package in {"unshare": "util-linux", "ip": "iproute2", **programs}.items():
        if shutil.which(program) is None:
            return f"{what} needs the program {program}: install the package {package}."
    return ""


def enter_namespaces(arguments: Sequence[str]) -> None:
    """Begins the command anew where it has network and mounts of its own, unless it has. Raises MachineError."""
    if os.environ.get(_IN_NAMESPACES) != "1":
        run([*_UNSHARE, "true"])
        line = [*_UNSHARE, sys.executable, "-m", "stator.cli.main", "gameday", *arguments]
        sys.stdout.flush()
        os.execvpe(line[0], line, {**os.environ, _IN_NAMESPACES: "1"})
    run(["ip", "link", "set", "lo", "up"])


def run(line: Sequence[str], given: str = "") -> None:
    """Runs a program, with `given` as its input; blocks. Raises MachineError with what it said if it fails."""
    try:
        done = subprocess.run(line, input=given, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise MachineError(f"`{' '.join(line)}` has not ended within {_TIMEOUT_S:g} s.") from None
    if done.returncode != 0:
        said = " ".join((done.stderr.strip() or done.stdout.strip()).split())
        raise MachineError(f"`{' '.join(line)}` failed: {said.removesuffix('.')}.")
