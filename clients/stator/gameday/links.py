"""Cutting the links between processes of a local cluster, in one direction or both: Linux, as root.

Every process gets a control group of its own, in which it is born, so that each of its sockets tells whose it is.
Packets between two processes are then told apart, although all go over the loopback interface: what a process sends to
a port that another listens on, and what it answers on a connection that the other has opened (which a mark on the
connection remembers). Rules live in a network namespace of this game day alone, and vanish with it.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from stator.local.layout import ProcessPlan

_IN_NAMESPACE = "STATOR_GAMEDAY_NAMESPACE"
_PROGRAMS = {"iptables": "iptables", "ip": "iproute2", "unshare": "util-linux"}
_TIMEOUT_S = 10.0
_CHAIN = "STATOR_CUT"


class LinksError(Exception):
    """Links cannot be cut here. `str(error)` is a sentence."""


def missing() -> str:
    """Why links cannot be cut on this machine, in a sentence; "" if they can."""
    if sys.platform != "linux":
        return "cuts between processes need Linux."
    if os.geteuid() != 0:
        return "cuts between processes need root: run the command with sudo, or choose a scenario without `cut`."
    for program, package in _PROGRAMS.items():
        if shutil.which(program) is None:
            return f"cuts between processes need the program {program}: install the package {package}."
    if control_groups() is None:
        return "cuts between processes need control groups of version 2, and none are mounted here."
    return ""


def control_groups(mounts: Path = Path("/proc/self/mounts")) -> Path | None:
    """Where control groups of version 2 are mounted."""
    for line in mounts.read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def enter_namespace(arguments: Sequence[str]) -> None:
    """Begins the command anew in a network namespace of its own, unless it is in one. Raises LinksError."""
    why_not = missing()
    if why_not:
        raise LinksError(why_not)
    if os.environ.get(_IN_NAMESPACE) != "1":
        line = ["unshare", "--net", sys.executable, "-m", "stator.cli.main", "gameday", *arguments]
        sys.stdout.flush()
        os.execvpe(line[0], line, {**os.environ, _IN_NAMESPACE: "1"})
    _run(["ip", "link", "set", "lo", "up"])


class Links:
    """The links between the processes of one cluster. Use it as a context: it takes its control groups away again.

    `prefix` belongs before the command line of each process; `ports` are where each listens. Its calls block for some
    milliseconds.
    """

    def __init__(self) -> None:
        root = control_groups()
        assert root is not None, "enter_namespace has looked"
        self._root = root
        self._run_name = f"gameday-{os.getpid()}"
        self._marks: dict[str, int] = {}

    def __enter__(self) -> "Links":
        # Cut first, and for every packet: also those of connections that have been there for long.
        _run(["iptables", "-N", _CHAIN])
        _run(["iptables", "-I", "OUTPUT", "-j", _CHAIN])
        return self

    def __exit__(self, *raised: object) -> None:
        for name in self._marks:
            # Whoever is still in it is on its way out; the group of an ended process is only a name.
            with contextlib.suppress(OSError):
                (self._root / self._group(name)).rmdir()

    def prefix(self, plan: ProcessPlan) -> list[str]:
        """What to put before the command of a process, so that it begins in its group. Raises LinksError."""
        if plan.name not in self._marks:
            group = self._root / self._group(plan.name)
            try:
                group.mkdir()
            except OSError as error:
                raise LinksError(f"the control group {group} cannot be made: {error}.") from None
            mark = self._marks[plan.name] = len(self._marks) + 1
            own = ["-m", "cgroup", "--path", self._group(plan.name)]
            opened = ["-m", "conntrack", "--ctstate", "NEW", "-j", "CONNMARK", "--set-mark", str(mark)]
            _run(["iptables", "-t", "mangle", "-A", "OUTPUT", "-p", "tcp", *own, *opened])
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._root / self._group(plan.name) / "cgroup.procs")]

    def cut(self, senders: Iterable[str], receivers: Iterable[str], ports: Mapping[str, Sequence[int]]) -> None:
        """From now on nothing that `senders` send arrives at `receivers`. Raises LinksError."""
        for rule in cut_rules(self._groups(), self._marks, senders, receivers, ports):
            _run(["iptables", "-A", _CHAIN, *rule])

    def mend(self, senders: Iterable[str], receivers: Iterable[str], ports: Mapping[str, Sequence[int]]) -> None:
        """Undoes one `cut` of the same. Raises LinksError."""
        for rule in cut_rules(self._groups(), self._marks, senders, receivers, ports):
            _run(["iptables", "-D", _CHAIN, *rule])

    def _group(self, name: str) -> str:
        return f"stator-{self._run_name}-{name}"

    def _groups(self) -> dict[str, str]:
        return {name: self._group(name) for name in self._marks}


def cut_rules(
    groups: Mapping[str, str],
    marks: Mapping[str, int],
    senders: Iterable[str],
    receivers: Iterable[str],
    ports: Mapping[str, Sequence[int]],
) -> list[list[str]]:
    """Which packets to drop, so that nothing gets from one to the other: those to a port of the receiver, and those of
    connections that the receiver has opened. A process is never cut off from itself."""
    rules = []
    for sender in senders:
        own = ["-p", "tcp", "-m", "cgroup", "--path", groups[sender]]
        for receiver in receivers:
            if sender != receiver:
                rules += [[*own, "--dport", str(port), "-j", "DROP"] for port in ports[receiver]]
                answers = ["-m", "connmark", "--mark", str(marks[receiver]), "-j", "DROP"]
                rules += [[*own, "--sport", str(port), *answers] for port in ports[sender]]
    return rules


def _run(line: Sequence[str]) -> None:
    done = subprocess.run(line, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise LinksError(f"`{' '.join(line)}` failed: {done.stderr.strip() or done.stdout.strip()}.")
