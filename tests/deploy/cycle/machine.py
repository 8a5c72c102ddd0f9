"""What the cycle needs of the machine: Debian's packages, and namespaces in which an engine can do as it likes."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

PACKAGES = {
    "dockerd": "docker.io",
    "docker-compose": "docker-compose",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "ip": "iproute2",
}
"""Program -> the package that has it."""
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""The distribution's own programs, which fit each other: not a client of another version from /usr/local."""
CGROUP = "stator-compose"
FREE_BYTES_MIN = 3 << 30

SYSTEMD = Path("/run/systemd/system")
"""Is there where systemd runs."""

_APT_TIMEOUT_S = 300.0
_GONE_S_MAX = 20.0
_POLICY = Path("/usr/sbin/policy-rc.d")
_NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


class SkipError(Exception):
    """It cannot be played here. `str(error)` says why, without a full stop."""


def environment() -> dict[str, str]:
    """This process's environment with the distribution's programs, and no other engine."""
    rest = {
        name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "COMPOSE_", "STATOR_"))
    }
    return {**rest, "PATH": SYSTEM_PATH}


def check_machine() -> None:
    """Raises SkipError where no engine can be had, whatever is installed."""
    if sys.platform != "linux" or not shutil.which("apt-get", path=SYSTEM_PATH):
        raise SkipError("it needs Debian, whose packages it takes the engine from")
    if os.geteuid() != 0:
        raise SkipError("it needs root, for an engine in namespaces of its own")
    done = subprocess.run([*_NAMESPACES, "true"], capture_output=True, text=True, check=False, env=environment())
    if done.returncode != 0:
        raise SkipError(f"there are no namespaces to be had: {done.stderr.strip()}")


def missing_packages() -> list[str]:
    return [package for program, package in PACKAGES.items() if not shutil.which(program, path=SYSTEM_PATH)]


def install(packages: Sequence[str], *, is_systemd: bool, even_for_good: bool) -> None:
    """Installs packages, and lets none of their daemons start. Raises SkipError.

    Where systemd runs, it would start the engine at each boot from then on: there it takes `even_for_good`.
    """
    if not packages:
        return
    if is_systemd and not even_for_good:
        raise SkipError(
            f"{', '.join(packages)} would have to be installed, and systemd would start an engine at each boot; "
            'if that is all right: make compose ARGS="--install"'
        )
    print(f"installing {', '.join(packages)}", flush=True)
    with _no_daemon_starts():
        for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", *packages]):
            done = subprocess.run(
                command,
                env={**environment(), "DEBIAN_FRONTEND": "noninteractive"},
                capture_output=True,
                text=True,
                check=False,
                timeout=_APT_TIMEOUT_S,
            )
            if done.returncode != 0:
                raise SkipError(f"`{' '.join(command)}` failed: {_last_line(done.stderr)}")
    if still := missing_packages():
        raise SkipError(f"{', '.join(still)} cannot be installed here")


def run_apart(command: Sequence[str], timeout_s: float) -> int:
    """Runs a command with a network, mounts and processes of its own; its exit code, or 124 for one that took too long.

    It and everything that it has started is gone afterwards, also if this process is killed: the command is the first
    process of its namespace, and the kernel ends the others with it.
    """
    whole = ["setpriv", "--pdeathsig", "KILL", *_NAMESPACES, "--propagation", "private", *command]
    with subprocess.Popen(whole, env=environment(), stdin=subprocess.DEVNULL) as process:
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            print(f"not at its end after {timeout_s:g} s: it is ended", file=sys.stderr, flush=True)
            return 124
        finally:
            if process.poll() is None:
                # unshare is told of its child's end only when nothing is left in the namespace.
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
                for child in children or [str(process.pid)]:
                    os.kill(int(child), 9)


def remove_traces(work: Path) -> None:
    """Removes the engine's folder, and the groups of processes that the kernel keeps when they are empty; also those of
    a run that was killed. Raises AssertionError if something stays."""
    deadline = time.monotonic() + _GONE_S_MAX
    while True:
        shutil.rmtree(work, ignore_errors=True)
        for group in _groups():
            for folder in sorted((group, *(each for each in group.rglob("*") if each.is_dir())), reverse=True):
                with contextlib.suppress(OSError):  # the kernel may take a moment to let go of the last process
                    folder.rmdir()
        left = [*_groups(), *([work] if work.exists() else [])]
        if not left:
            break
        assert time.monotonic() < deadline, f"left behind: {', '.join(map(str, left))}"
        time.sleep(0.1)
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert str(work) not in mounts, f"mounts in {work} are left behind"


def _groups() -> list[Path]:
    """Of both kinds of hierarchy: one a controller, or one for all."""
    top = Path("/sys/fs/cgroup")
    return [folder for folder in (*top.glob(f"*/{CGROUP}"), top / CGROUP) if folder.is_dir()]


@contextlib.contextmanager
def _no_daemon_starts() -> Iterator[None]:
    """Debian's packages ask policy-rc.d whether to start what they install; 101 is no."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it says nothing"])[-1]
