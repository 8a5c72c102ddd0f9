"""router/routing/node_silence.py: who says nothing, and who is not heard."""

from __future__ import annotations

from router.routing.node_silence import PATIENCE_S, NodeSilence

LATE_S = 10.0 + PATIENCE_S


def test_who_says_nothing_is_silent() -> None:
    silence = NodeSilence()
    silence.heard(10.0, 0)
    assert not silence.is_silent(LATE_S - 0.01)
    assert silence.is_silent(LATE_S)
    silence.heard(LATE_S, 0)
    assert not silence.is_silent(LATE_S)


def test_who_has_read_all_and_answers_nothing_is_not_silent() -> None:
    silence = NodeSilence()
    silence.heard(9.0, 0)
    silence.sent(10.0)
    silence.sent(10.1)
    for now_s in (10.3, 10.7, 11.1, 11.5):
        silence.heard(now_s, 2)
        assert not silence.is_silent(now_s)


def test_who_waits_for_what_was_sent_is_not_reached() -> None:
    """The first of two frames was read."""
    silence = NodeSilence()
    silence.heard(9.0, 0)
    silence.sent(9.5)
    silence.sent(10.0)
    silence.heard(LATE_S - 0.1, 1)
    assert not silence.is_silent(LATE_S - 0.01)
    assert silence.is_silent(LATE_S)
    silence.heard(LATE_S, 2)
    assert not silence.is_silent(LATE_S)


def test_who_is_at_work_is_reached() -> None:
    """What comes behind a long frame is not read yet."""
    silence = NodeSilence()
    silence.heard(9.0, 0)
    silence.sent(10.0)
    silence.sent(10.0)
    silence.heard(LATE_S, None)
    assert not silence.is_silent(LATE_S)


def test_an_older_node_does_not_count() -> None:
    silence = NodeSilence()
    silence.heard(9.0, None)
    silence.sent(9.0)
    silence.heard(LATE_S, None)
    assert not silence.is_silent(LATE_S)
    assert silence.is_silent(LATE_S + PATIENCE_S)


def test_frames_of_before_it_counted() -> None:
    """They are among those that it says it has read."""
    silence = NodeSilence()
    silence.sent(9.0)
    silence.heard(9.1, 1)
    silence.sent(10.0)
    silence.heard(LATE_S, 1)
    assert silence.is_silent(LATE_S)
    silence.heard(LATE_S, 2)
    assert not silence.is_silent(LATE_S)
