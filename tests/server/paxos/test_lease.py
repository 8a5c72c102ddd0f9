"""Leases: durations only, a margin for drift, a wait after a restart, and epochs that tell grants apart."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.paxos.lease import Grant, LeaseConfig, NodeLeases

CONFIG = LeaseConfig(duration_ns=1000, heartbeat_ns=250, drift_ppm=10_000)
FIRST_LIFE = 1 << 32

CONFIGS = st.builds(
    lambda heartbeat_ns, factor, drift_ppm: LeaseConfig(heartbeat_ns * factor, heartbeat_ns, drift_ppm),
    st.integers(1, 10**9),
    st.integers(2, 20),
    st.integers(0, 499_999),
)


def leases(now_ns: int = 0, boot: int = 1, config: LeaseConfig = CONFIG) -> NodeLeases:
    return NodeLeases(config, boot=boot, is_first_boot=boot == 1, now_ns=now_ns)


@pytest.mark.parametrize(
    ("duration_ns", "heartbeat_ns", "drift_ppm", "sentence"),
    [
        (1000, 501, 0, "a grant must outlast two heartbeats"),
        (1000, 0, 0, "a grant must outlast two heartbeats"),
        (1000, 500, -1, "drift_ppm must be at least 0 and below 500000"),
        (1000, 500, 500_000, "drift_ppm must be at least 0 and below 500000"),
    ],
)
def test_durations_that_cannot_work_are_refused(
    duration_ns: int, heartbeat_ns: int, drift_ppm: int, sentence: str
) -> None:
    """One lost heartbeat must not end a lease; clocks that differ by half are no clocks."""
    with pytest.raises(ValueError, match=sentence):
        LeaseConfig(duration_ns, heartbeat_ns, drift_ppm)


def test_the_defaults() -> None:
    """Two seconds, four heartbeats in them, one per cent of drift either way."""
    config = LeaseConfig()
    assert config.duration_ns == 4 * config.heartbeat_ns == 2_000_000_000
    assert (config.held_ns, config.restart_wait_ns) == (1_980_000_000, 2_020_000_000)


@given(CONFIGS, st.integers(0, 10**12), st.integers(0, 10**9), st.data())
def test_a_grantee_stops_before_the_grantor_is_free(
    config: LeaseConfig, sent_ns: int, delay_ns: int, data: st.DataObject
) -> None:
    """Whatever the two clocks show, and however long the heartbeat takes: while the grantee relies on the grant, the
    grantor is bound, as long as the grantor's clock is not faster than the grantee's by more than the drift."""
    grantor_offset_ns = data.draw(st.integers(0, 10**15))
    rate = Fraction(data.draw(st.integers(500_000, 1_000_000 + config.drift_ppm)), 1_000_000)
    grantee, grantor = leases(config=config), leases(now_ns=grantor_offset_ns, config=config)
    granted_ns = grantor_offset_ns + int((sent_ns + delay_ns) * rate)
    grant = grantor.grant(1, sent_ns, granted_ns)
    assert grant is not None
    grantee.granted(2, grant, sent_ns + delay_ns)
    until_ns, _ = grantee.held(2)
    # The last moment at which the grantee relies on it, in the grantor's time. The floor that rounds a reading of its
    # clock down makes it bound for longer, never shorter.
    last_ns = grantor_offset_ns + int((until_ns - 1) * rate)
    assert grantor.is_bound_to(1, last_ns)


@given(CONFIGS, st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_restarted_node_waits_out_what_it_forgot(
    config: LeaseConfig, granted_ns: int, down_ns: int, waited_ns: int
) -> None:
    """Before everything it may have granted has run out it neither grants nor votes."""
    before = leases(now_ns=0, config=config)
    assert before.grant(2, 0, granted_ns) is not None
    after = leases(now_ns=granted_ns + down_ns, boot=2, config=config)
    now_ns = granted_ns + down_ns + waited_ns
    is_waiting = now_ns < after.votes_from_ns
    assert (after.grant(3, 0, now_ns) is None) == is_waiting
    if not is_waiting:
        assert not before.is_bound_to(2, now_ns)


def test_a_first_life_has_nothing_to_wait_for() -> None:
    """A node that has never run has granted nothing."""
    assert leases(now_ns=7).votes_from_ns == 7
    assert leases(now_ns=7).grant(2, 5, 7) == Grant(5, FIRST_LIFE + 1)
    assert leases(now_ns=7, boot=2).votes_from_ns == 7 + 1010


def test_a_grant_binds_for_its_duration() -> None:
    """To the nanosecond, and to nobody else; a renewal binds from when it was given."""
    grantor = leases()
    assert grantor.bound_until_ns(2) == 0
    assert not grantor.is_bound_to(2, 0)
    grantor.grant(2, 0, 100)
    assert grantor.bound_until_ns(2) == 1100
    assert grantor.is_bound_to(2, 1099)
    assert not grantor.is_bound_to(2, 1100)
    assert not grantor.is_bound_to(3, 500)
    grantor.grant(2, 0, 600)
    assert grantor.is_bound_to(2, 1599)


def test_the_epoch_rises_when_a_grant_has_lapsed() -> None:
    """As long as grants follow each other without a gap, the epoch stays; after a gap, be it of nothing, it rises."""
    grantor = leases()
    assert grantor.epoch_towards(2) == FIRST_LIFE
    epochs = []
    for now_ns in (0, 999, 1998, 2998, 3998, 9000):
        grant = grantor.grant(2, 0, now_ns)
        assert grant is not None
        epochs.append(grant.epoch - FIRST_LIFE)
        assert grantor.epoch_towards(2) == grant.epoch
    assert epochs == [1, 1, 1, 2, 3, 4]
    assert grantor.epoch_towards(3) == FIRST_LIFE, "each grantee has its own"


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2500), st.booleans()), max_size=40),
)
def test_an_epoch_is_one_unbroken_bond(steps: list[tuple[int, int, bool]]) -> None:
    """Two grants to the same node share an epoch exactly if the node was bound all the time in between; epochs never
    fall, neither with a restart."""
    now_ns, boot, grantor = 0, 1, leases()
    last: dict[int, tuple[int, int, int]] = {}  # grantee -> (when, boot, epoch)
    for to, pause_ns, restarts in steps:
        now_ns += pause_ns
        if restarts:
            boot += 1
            grantor = leases(now_ns=now_ns, boot=boot)
        grant = grantor.grant(to, 0, now_ns)
        if grant is None:
            assert boot > 1
            continue
        if to in last:
            then_ns, then_boot, epoch = last[to]
            unbroken = then_boot == boot and now_ns < then_ns + CONFIG.duration_ns
            assert (grant.epoch == epoch) == unbroken
            assert grant.epoch >= epoch
        last[to] = (now_ns, boot, grant.epoch)


def test_a_grantee_keeps_the_best_of_an_epoch() -> None:
    """A grant that arrives late shortens nothing; one of an older epoch is none any more."""
    grantee = leases()
    assert grantee.held(2) == (0, -1)
    assert grantee.granted(2, Grant(500, 5), 1_000) is True
    assert grantee.held(2) == (1490, 5)
    assert grantee.granted(2, Grant(400, 5), 1_000) is False
    assert grantee.held(2) == (1490, 5)
    assert grantee.granted(2, Grant(900, 4), 1_000) is False
    assert grantee.held(2) == (1490, 5)
    assert grantee.granted(2, Grant(600, 5), 1_000) is False
    assert grantee.held(2) == (1590, 5)
    assert grantee.granted(2, Grant(100, 6), 1_000) is True
    assert grantee.held(2) == (1090, 6), "what was held in an older epoch does not count in a new one"
    assert grantee.held(3) == (0, -1)


@pytest.mark.parametrize(("sent_ns", "counts"), [(99, False), (100, True), (500, True), (501, False)])
def test_a_grant_that_a_former_life_asked_for_is_none(sent_ns: int, counts: bool) -> None:
    """After a reboot the clock may begin anew: what was asked for by the old one would hold for years."""
    grantee = leases(now_ns=100)
    assert grantee.granted(2, Grant(sent_ns, 5), 500) is counts
    assert (grantee.held(2) == (0, -1)) is not counts
