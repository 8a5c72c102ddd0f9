"""What can be done to the links between processes of a local cluster, in one direction or both: Linux, as root.

Every process gets a control group of its own, in which it is born, so that each of its sockets tells whose it is.
Packets between two processes are then told apart, although all go over the loopback interface: what a process sends to
a port that another listens on, and what it answers on a connection that the other has opened (which a mark on the
connection remembers). Rules live in a network namespace of this game day alone, and vanish with it.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from stator.gameday.machine import MachineError, missing, run
from stator.local.layout import ProcessPlan

_WHAT = "a fault of a link between processes"
_PROGRAMS = {"iptables": "iptables", "iptables-restore": "iptables"}
_CHAIN = "STATOR_LINKS"

DROP = ("-j", "DROP")
"""A target: nothing arrives."""


class Change(StrEnum):
    """What is done to rules."""

    ADD = "A"
    REMOVE = "D"


def why_not() -> str:
    """Why nothing can be done to links on this machine, in a sentence; "" if they can."""
    sentence = missing(_WHAT, _PROGRAMS)
    if not sentence and control_groups() is None:
        sentence = f"{_WHAT} needs control groups of version 2, and none are mounted here."
    return sentence


def control_groups(mounts: Path = Path("/proc/self/mounts")) -> Path | None:
    """Where control groups of version 2 are mounted."""
    for line in mounts.read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


class Links:
    """The links between the processes of one cluster. Use it as a context: it takes its control groups away again.

    `prefix` belongs before the command line of each process; `ports` are where each listens. Its calls block for some
    milliseconds.
    """

    def __init__(self) -> None:
        root = control_groups()
        assert root is not None, "why_not has looked"
        self._root = root
        self._run_name = f"gameday-{os.getpid()}"
        self._marks: dict[str, int] = {}

    def __enter__(self) -> "Links":
        # Before all other rules, and for every packet: also those of connections that have been there for long.
        run(["iptables", "-N", _CHAIN])
        run(["iptables", "-I", "OUTPUT", "-j", _CHAIN])
        return self

    def __exit__(self, *raised: object) -> None:
        for name in self._marks:
            # Whoever is still in it is on its way out; the group of an ended process is only a name.
            with contextlib.suppress(OSError):
                (self._root / self._group(name)).rmdir()

    def prefix(self, plan: ProcessPlan) -> list[str]:
        """What to put before the command of a process, so that it begins in its group. Raises MachineError."""
        if plan.name not in self._marks:
            group = self._root / self._group(plan.name)
            try:
                group.mkdir()
            except OSError as error:
                raise MachineError(f"the control group {group} cannot be made: {error}.") from None
            mark = self._marks[plan.name] = len(self._marks) + 1
            own = ["-m", "cgroup", "--path", self._group(plan.name)]
            opened = ["-m", "conntrack", "--ctstate", "NEW", "-j", "CONNMARK", "--set-mark", str(mark)]
            run(["iptables", "-t", "mangle", "-A", "OUTPUT", "-p", "tcp", *own, *opened])
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._root / self._group(plan.name) / "cgroup.procs")]

    def change(
        self,
        change: Change,
        target: Sequence[str],
        senders: Sequence[str],
        receivers: Sequence[str],
        ports: Mapping[str, Sequence[int]],
    ) -> None:
        """From now on (or, to remove a rule, no more) `target` is what becomes of everything that `senders` send to
        `receivers`. Raises MachineError."""
        found = rules(self._groups(), self._marks, senders, receivers, ports)
        lines = [f"-{change} {_CHAIN} {' '.join([*rule, *target])}" for rule in found]
        run(["iptables-restore", "--noflush"], "\n".join(["*filter", *lines, "COMMIT", ""]))

    def _group(self, name: str) -> str:
        return f"stator-{self._run_name}-{name}"

    def _groups(self) -> dict[str, str]:
        return {name: self._group(name) for name in self._marks}


def rules(
    groups: Mapping[str, str],
    marks: Mapping[str, int],
    senders: Iterable[str],
    receivers: Iterable[str],
    ports: Mapping[str, Sequence[int]],
) -> list[list[str]]:
    """Which packets go from one to the other: those to a port of the receiver, and those of connections that the
    receiver has opened. Nothing is done between a process and itself."""
    found = []
    for sender in senders:
        own = ["-p", "tcp", "-m", "cgroup", "--path", groups[sender]]
        for receiver in receivers:
            if sender != receiver:
                found += [[*own, "--dport", str(port)] for port in ports[receiver]]
                answers = ["-m", "connmark", "--mark", str(marks[receiver])]
                found += [[*own, "--sport", str(port), *answers] for port in ports[sender]]
    return found


def losing(percent: float) -> list[str]:
    """A target: so many of the packets are dropped, at random."""
    return ["-m", "statistic", "--mode", "random", "--probability", f"{percent / 100:.4f}", *DROP]


def queued(number: int) -> list[str]:
    """A target: packets wait in a queue."""
    return ["-j", "NFQUEUE", "--queue-num", str(number)]
