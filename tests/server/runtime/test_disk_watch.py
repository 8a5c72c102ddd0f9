"""Disks that are slow, and others that are not."""

from __future__ import annotations

from server.runtime.disk_watch import FASTER, SAMPLES, SLOW_NS, DiskWatch, Fitness

MS = 1_000_000


def test_a_disk_is_slow_when_every_write_was_for_a_while() -> None:
    """One fast write in between, and it begins anew; once it is fast it is not slow any more. Each is told once."""
    watch = DiskWatch()
    told: list[bool] = []
    watch.on_change = told.append
    for write_ns in (SLOW_NS, SLOW_NS, SLOW_NS, SLOW_NS - 1, SLOW_NS, SLOW_NS, SLOW_NS):
        watch.sample(write_ns, 0)
        assert not watch.is_slow
    watch.sample(2 * SLOW_NS, 0)
    watch.sample(2 * SLOW_NS, 0)
    assert (watch.is_slow, watch.write_ns) == (True, 2 * SLOW_NS)
    watch.sample(1 * MS, 0)
    assert (watch.is_slow, watch.write_ns, told) == (False, 1 * MS, [True, False])


def test_a_write_in_flight_counts_once_it_is_slow() -> None:
    """Where none has ended. One that has only begun says nothing, and nor does a log that is idle."""
    watch = DiskWatch()
    for _ in range(SAMPLES):
        watch.sample(0, SLOW_NS)
        watch.sample(0, SLOW_NS - 1)
        watch.sample(0, 0)
    assert watch.is_slow
    watch.sample(2 * MS, 3 * SLOW_NS)
    assert not watch.is_slow, "what has ended says more"


def test_no_disk_is_slow_if_none_should_be() -> None:
    watch = DiskWatch(0)
    for _ in range(SAMPLES):
        watch.sample(10 * SLOW_NS, 10 * SLOW_NS)
    watch.note(2, Fitness(10 * SLOW_NS), 0)
    assert (watch.is_slow, watch.write_ns, watch.worse_node_ids()) == (False, 0, frozenset())


def test_who_would_be_no_better() -> None:
    """As long as this disk is well, those whose is slow; then all that are not much faster. Nobody knows of node 4."""
    watch = DiskWatch()
    for node_id, write_ns in ((2, SLOW_NS), (3, SLOW_NS - 1), (4, 0), (5, SLOW_NS // FASTER - 1)):
        watch.note(node_id, Fitness(write_ns), 0)
    assert watch.worse_node_ids() == {2}
    for _ in range(SAMPLES):
        watch.sample(SLOW_NS, 0)
    assert watch.worse_node_ids() == {2, 3}
    watch.note(3, Fitness(1 * MS), 0)
    assert watch.worse_node_ids() == {2}
    for _ in range(SAMPLES):
        watch.sample(100 * SLOW_NS, 0)
    assert watch.worse_node_ids() == {2}, "slow is slow, however slow this one is"


def test_who_is_full_is_worse_than_who_is_slow() -> None:
    """It takes no writes at all; of two that are full neither is better."""
    watch = DiskWatch()
    for node_id, fitness in ((2, Fitness(1 * MS, is_full=True)), (3, Fitness(SLOW_NS)), (4, Fitness(1 * MS))):
        watch.note(node_id, fitness, 0)
    for is_full, is_slow, worse in ((False, False, {2, 3}), (True, False, {2}), (False, True, {2, 3})):
        watch.is_full = is_full
        for _ in range(SAMPLES):
            watch.sample(SLOW_NS if is_slow else 1 * MS, 0)
        assert watch.worse_node_ids() == worse
        assert watch.is_unwell == (is_full or is_slow)


def test_who_must_not_lead_a_group() -> None:
    """It says so itself, and says so no more when it may."""
    watch = DiskWatch()
    watch.note(2, Fitness(unfit_group_ids=frozenset({7})), 0)
    assert watch.unfit_node_ids(7) == {2}
    assert watch.unfit_node_ids(8) == frozenset()
    watch.note(2, Fitness(), 0)
    assert watch.unfit_node_ids(7) == frozenset()


def test_who_has_said_nothing_for_a_while() -> None:
    """Nobody knows anything of a node that has never said anything."""
    watch = DiskWatch()
    watch.note(2, Fitness(), 10)
    watch.note(3, Fitness(), 20)
    assert watch.silent_node_ids(10) == frozenset()
    assert watch.silent_node_ids(11) == {2}
    watch.note(2, Fitness(), 30)
    assert watch.silent_node_ids(21) == {3}
