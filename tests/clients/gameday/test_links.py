"""Which packets a fault of a link concerns, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

from stator.gameday.links import control_groups, losing, rules

GROUPS = {"a": "group-a", "b": "group-b", "c": "group-c"}
MARKS = {"a": 1, "b": 2, "c": 3}
PORTS = {"a": [10], "b": [20, 21], "c": [30]}


def test_one_way_between_two() -> None:
    """What the sender sends to a port of the receiver, and what it answers on connections that the receiver opened."""
    own = ["-p", "tcp", "-m", "cgroup", "--path", "group-a"]
    assert rules(GROUPS, MARKS, ["a"], ["b"], PORTS) == [
        [*own, "--dport", "20"],
        [*own, "--dport", "21"],
        [*own, "--sport", "10", "-m", "connmark", "--mark", "2"],
    ]


def test_between_sets() -> None:
    """Every pair of them, but nobody is cut off from itself."""
    found = rules(GROUPS, MARKS, ["a", "b"], ["b", "c"], PORTS)
    ways = {(rule[5], rule[7]) for rule in found if rule[6] == "--dport"}
    assert ways == {("group-a", "20"), ("group-a", "21"), ("group-a", "30"), ("group-b", "30")}
    assert rules(GROUPS, MARKS, ["a"], ["a"], PORTS) == []


def test_how_many_are_lost() -> None:
    """The kernel takes a probability."""
    assert losing(2.5) == ["-m", "statistic", "--mode", "random", "--probability", "0.0250", "-j", "DROP"]


def test_where_control_groups_are(tmp_path: Path) -> None:
    """Only those of version 2 know which sockets are whose."""
    mounts = tmp_path / "mounts"
    mounts.write_text("proc /proc proc rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n")
    assert control_groups(mounts) is None
    mounts.write_text(mounts.read_text() + "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n")
    assert control_groups(mounts) == Path("/sys/fs/cgroup/unified")
