"""router/routing/node_clock.py against two clocks of which both are known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.routing.node_clock import DRIFT_MAX, NodeClock

RATES = st.floats(1 - DRIFT_MAX / 2, 1 + DRIFT_MAX / 2)


@given(
    offset_ms=st.integers(0, 10**11),
    rate=RATES,
    told_s=st.floats(0, 10**6),
    way_s=st.floats(0, 100),
    later_s=st.floats(0, 10**5),
    ago_s=st.floats(0, 60),
)
def test_what_it_says_is_never_ahead(
    offset_ms: int, rate: float, told_s: float, way_s: float, later_s: float, ago_s: float
) -> None:
    """However long the clock's message took, and however long ago that was; and behind by no more than that."""

    def true_ms(time_s: float) -> float:
        return offset_ms + time_s * 1000 * rate

    clock = NodeClock()
    heard_s = told_s + way_s
    clock.heard(int(true_ms(told_s)), heard_s)
    now_s = heard_s + later_s
    time_s = max(0.0, now_s - ago_s)
    said_ms = clock.at(time_s, now_s)
    # Between the hearing and `time_s` the rates count; before the hearing, for `ago_s` only.
    assert said_ms <= true_ms(time_s) + ago_s * 1000 * DRIFT_MAX
    assert said_ms >= true_ms(time_s) - way_s * 1000 * rate - (later_s + ago_s) * 1000 * 2 * DRIFT_MAX - 3


def test_the_last_that_was_heard_counts() -> None:
    """What drifted in between is forgotten."""
    clock = NodeClock()
    clock.heard(1_000_000, 50.0)
    assert clock.at(10_050.0, 10_050.0) == 11_000_000 - 10_000 - 1
    clock.heard(11_000_100, 10_050.0)
    assert clock.at(10_050.0, 10_050.0) == 11_000_100 - 1
