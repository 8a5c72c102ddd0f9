"""Scenario files: what they mean, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from stator.gameday.faults import KINDS
from stator.gameday.scenario import (
    FAULTS,
    Fault,
    Need,
    Scenario,
    ScenarioError,
    load_scenario,
    parse_scenario,
    shipped_scenarios,
)

WHOLE = """
description = "Everything that can be said."
duration = 60
clients = 16
operations_per_second = 1000.5
item_bytes = 1000
partitions = 6
nodes_per_zone = 2
timeout = 2.5
eventual_within = 3

[[fault]]
at = 20
do = "pause"
process = ["zone-1", "storage-6"]
for = 10.5

[[fault]]
at = 5
do = "kill"
process = "leader"

[[fault]]
at = 40
do = "cut"
process = "leader"
to = "follower"
one_way = true
for = 2

[[fault]]
at = 41
do = "lose"
process = "zone-1"
to = "storage"
percent = 2.5

[[fault]]
at = 42
do = "delay"
process = "storage-1"
to = "storage-2"
ms = 20

[[fault]]
at = 43
do = "clock-rate"
process = "storage-1"
percent = -0.5

[[fault]]
at = 45
do = "fail-disk"
process = "zone-2"

[expect]
longest_gap = 3
longest_gap_of_reads = 2
errors = 0
elections = 4
"""


def test_everything_that_can_be_said() -> None:
    """Faults come in the order of their times."""
    assert parse_scenario(WHOLE, "folder/whole.toml") == Scenario(
        name="whole",
        description="Everything that can be said.",
        duration_s=60.0,
        clients=16,
        operations_per_second=1000.5,
        item_bytes=1000,
        partitions=6,
        nodes_per_zone=2,
        timeout_s=2.5,
        eventual_within_s=3.0,
        faults=(
            Fault(5, "kill", ("leader",)),
            Fault(20, "pause", ("zone-1", "storage-6"), 10.5),
            Fault(40, "cut", ("leader",), 2, ("follower",), True),
            Fault(41, "lose", ("zone-1",), to=("storage",), percent=2.5),
            Fault(42, "delay", ("storage-1",), to=("storage-2",), ms=20),
            Fault(43, "clock-rate", ("storage-1",), percent=-0.5),
            Fault(45, "fail-disk", ("zone-2",)),
        ),
        longest_gap_s=3,
        errors_max=0,
        longest_read_gap_s=2,
        elections_max=4,
    )


def test_a_duration_is_enough() -> None:
    """A load without faults is a scenario."""
    scenario = parse_scenario("duration = 2", "plain.toml")
    assert (scenario.clients, scenario.faults, scenario.errors_max, scenario.longest_gap_s) == (8, (), None, None)


FAULT = "duration = 30\n[[fault]]\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("duration = ", "s.toml is not TOML: invalid value (at end of document)."),
        ("", "s.toml: it does not say how many seconds it takes: write, for example, duration = 30."),
        ("duration = 0", "s.toml: duration must be 1 to 86400, not 0."),
        ("duration = true", "s.toml: duration must be a number, not True."),
        ('duration = "30"', "s.toml: duration must be a number, not '30'."),
        ("duration = nan", "s.toml: duration must be 1 to 86400, not nan."),
        ("duration = 30\nclients = 4", "s.toml: clients must be 8 to 512, not 4."),
        ("duration = 30\nclients = 8.5", "s.toml: clients must be a whole number, not 8.5."),
        ("duration = 30\nclient = 8", "s.toml: there is no `client`; did you mean `clients`?"),
        (
            "duration = 30\nxyz = 8",
            "s.toml: there is no `xyz`; there are description, index, duration, clients, operations_per_second, "
            "item_bytes, partitions, nodes_per_zone, timeout, eventual_within, expect, fault.",
        ),
        ("duration = 30\nindex = 1", "s.toml: index must be true or false, not 1."),
        (
            "duration = 30\nindex = false\n"
            + FAULT.removeprefix("duration = 30\n")
            + 'at = 1\ndo = "kill"\nprocess = "index-leader"',
            "s.toml: nobody is an index-leader where there is no index: write index = true.",
        ),
        ("duration = 30\ndescription = 1", "s.toml: description must be a text, not 1."),
        ("duration = 30\nexpect = 1", "s.toml: expect must be a table: write [expect] on a line of its own."),
        (
            "duration = 30\n[expect]\ngap = 1",
            "s.toml: expect: there is no `gap`; there are longest_gap, longest_gap_of_reads, errors, elections.",
        ),
        ("duration = 30\n[expect]\nerrors = -1", "s.toml: expect: errors must be 0 to 1e+09, not -1."),
        ("duration = 30\n[fault]\nat = 1", "s.toml: each fault begins with [[fault]], in double brackets."),
        ("duration = 30\nfault = [1]", "s.toml: fault 1: each fault begins with [[fault]], in double brackets."),
        (FAULT + 'do = "kill"\nprocess = "all"', "s.toml: fault 1: it lacks `at`."),
        (FAULT + 'at = 1\nprocess = "all"', "s.toml: fault 1: it lacks `do`."),
        (FAULT + 'at = 1\ndo = "kill"', "s.toml: fault 1: it lacks `process`."),
        (
            FAULT + 'at = 1\ndo = "kil"\nprocess = "all"',
            "s.toml: fault 1: 'kil' is nothing that can be done: choose one of kill, start, stop, restart, drain, "
            "pause, resume, flip-bit, cut, lose, delay, fill-disk, hang-disk, fail-disk, "
            "clock-rate, cut-power.",
        ),
        (FAULT + 'at = -1\ndo = "kill"\nprocess = "all"', "s.toml: fault 1: at must be 0 to 1e+09, not -1."),
        (
            FAULT + 'at = 31\ndo = "kill"\nprocess = "all"',
            "s.toml: fault 1: it comes at 31 s, and the run ends at 30 s.",
        ),
        (
            FAULT + 'at = 21\ndo = "kill"\nprocess = "all"\nfor = 10',
            "s.toml: fault 1: it lasts until 31 s, and the run ends at 30 s.",
        ),
        (
            FAULT + 'at = 1\ndo = "start"\nprocess = "all"\nfor = 10',
            "s.toml: fault 1: `for` does not go with start, which is done once and for all.",
        ),
        (
            FAULT + 'at = 1\ndo = "kill"\nprocess = "all"\nfro = 10',
            "s.toml: fault 1: there is no `fro`; did you mean `for`?",
        ),
        (
            FAULT + 'at = 1\ndo = "kill"\nprocess = "all"\nto = "all"',
            "s.toml: fault 1: `to` does not go with kill, which is done to processes.",
        ),
        (
            FAULT + 'at = 1\ndo = "cut"\nprocess = "all"',
            "s.toml: fault 1: it lacks `to`: where does what is sent go?",
        ),
        (
            FAULT + 'at = 1\ndo = "cut"\nprocess = "all"\nto = "all"\none_way = 1',
            "s.toml: fault 1: one_way must be true or false, not 1.",
        ),
        (
            FAULT + 'at = 1\ndo = "cut"\nprocess = "all"\nto = 1',
            "s.toml: fault 1: to must be a name or a list of names, not 1.",
        ),
        (
            FAULT + 'at = 1\ndo = "kill"\nprocess = []',
            "s.toml: fault 1: process must be a name or a list of names, not [].",
        ),
        (
            FAULT + 'at = 1\ndo = "kill"\nprocess = ["all", 3]',
            "s.toml: fault 1: process must be a name or a list of names, not ['all', 3].",
        ),
        (
            FAULT + 'at = 1\ndo = "kill"\nprocess = "storage-4"',
            "s.toml: fault 1: there is no process 'storage-4'. Say one of metadata-1, metadata-2, metadata-3, "
            "storage-1, storage-2, storage-3, router-1, router-2, router-3, a zone (zone-1, zone-2, zone-3), a "
            "role (metadata, storage, router) or all, leader, follower or index-leader.",
        ),
        (
            FAULT + 'at = 1\ndo = "fill-disk"\nprocess = ["leader", "metadata"]',
            "s.toml: fault 1: fill-disk is done to storage processes, and 'metadata' means none of these.",
        ),
        (
            FAULT + 'at = 1\ndo = "fail-disk"\nprocess = "router-2"',
            "s.toml: fault 1: fail-disk is done to metadata and storage processes, and 'router-2' means none of these.",
        ),
        (
            FAULT + 'at = 1\ndo = "drain"\nprocess = "leader"',
            "s.toml: fault 1: a zone has to have another storage node to drain one: write nodes_per_zone = 2.",
        ),
        (
            FAULT + 'at = 1\ndo = "lose"\nprocess = "all"\nto = "all"',
            "s.toml: fault 1: it lacks `percent`.",
        ),
        (
            FAULT + 'at = 1\ndo = "lose"\nprocess = "all"\nto = "all"\npercent = 101',
            "s.toml: fault 1: percent must be 0.01 to 100, not 101.",
        ),
        (
            FAULT + 'at = 1\ndo = "cut"\nprocess = "all"\nto = "all"\npercent = 10',
            "s.toml: fault 1: `percent` does not go with cut.",
        ),
        (
            FAULT + 'at = 1\ndo = "delay"\nprocess = "all"\nto = "all"\njitter_ms = 10',
            "s.toml: fault 1: it lacks `ms`.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text: str, sentence: str) -> None:
    """What, and where."""
    with pytest.raises(ScenarioError) as raised:
        parse_scenario(text, "s.toml")
    assert str(raised.value) == sentence


EXTRA = {"cut": "to = 'all'\n", "clock-rate": "percent = 1\n"}


@pytest.mark.parametrize(
    ("faults", "needs", "disks"),
    [
        ([("kill", "all"), ("pause", "leader"), ("flip-bit", "leader")], set(), []),
        ([("fill-disk", "zone-2")], {Need.DISKS}, ["storage-2"]),
        ([("fail-disk", "zone-2")], {Need.DISKS}, ["metadata-2", "storage-2"]),
        ([("fail-disk", "follower"), ("kill", "all")], {Need.DISKS}, ["storage-1", "storage-2", "storage-3"]),
        ([("cut-power", "router")], {Need.DISKS}, []),
        ([("cut-power", "zone-1"), ("fill-disk", "storage-3")], {Need.DISKS}, ["metadata-1", "storage-1", "storage-3"]),
        ([("cut", "leader")], {Need.LINKS}, []),
        ([("clock-rate", "leader")], {Need.CLOCKS}, []),
    ],
)
def test_what_is_needed(faults: list[tuple[str, str]], needs: set[Need], disks: list[str]) -> None:
    """Of the machine; and a disk for everybody whose disk may be meant, no more: each is a file system."""
    text = "duration = 9\n"
    for do, process in faults:
        text += f"[[fault]]\nat = 1\ndo = '{do}'\nprocess = '{process}'\n" + EXTRA.get(do, "")
    scenario = parse_scenario(text, "s.toml")
    assert (set(scenario.needs), scenario.disks) == (needs, disks)


def test_every_shipped_scenario_is_right_and_described() -> None:
    """They are read from the package, by name."""
    names = list(shipped_scenarios())
    assert "leader-killed" in names
    for name in names:
        scenario = load_scenario(name)
        assert scenario.name == name
        assert scenario.description
        assert scenario.faults


def test_every_fault_that_can_be_written_can_be_done() -> None:
    """The file's words and the injections are the same."""
    assert set(FAULTS) == set(KINDS)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    """A path is a scenario, too; a name that is none is told, with what may have been meant."""
    path = tmp_path / "mine.toml"
    path.write_text("duration = 3\n")
    assert load_scenario(str(path)).name == "mine"
    with pytest.raises(ScenarioError, match=r"did you mean leader-killed\?"):
        load_scenario("leader-kiled")
    with pytest.raises(ScenarioError, match="--list"):
        load_scenario("xyz")
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_scenario(str(tmp_path))
    path.write_bytes(b"\xff")
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_scenario(str(path))
