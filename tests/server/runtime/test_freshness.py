"""How old a member's state may be: from when its node asked, and only once it has applied what the leader told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.runtime.freshness import Freshness

AGE_NS = 1_000


def test_what_is_applied_counts_from_when_it_was_asked() -> None:
    """Not from when the answer came, which is nowhere looked at."""
    fresh = Freshness(AGE_NS)
    assert fresh.until_ns == 0
    fresh.tell(7, 500, applied_slot=7)
    assert (fresh.complete_ns, fresh.until_ns) == (500, 500 + AGE_NS)
    fresh.tell(6, 400, applied_slot=7)  # an answer that was late
    assert fresh.until_ns == 500 + AGE_NS


def test_what_is_not_applied_yet_counts_once_it_is() -> None:
    """For as long as it lags nothing counts; later answers do not move what is waited for."""
    fresh = Freshness(AGE_NS)
    fresh.tell(7, 500, applied_slot=3)
    fresh.tell(9, 900, applied_slot=3)
    fresh.applied(6)
    assert fresh.until_ns == 0
    fresh.applied(8)
    assert fresh.until_ns == 500 + AGE_NS
    assert not fresh.told_slot
    fresh.applied(9)
    assert fresh.until_ns == 500 + AGE_NS
    fresh.tell(9, 950, applied_slot=9)
    assert fresh.until_ns == 950 + AGE_NS


def test_a_state_that_is_replaced_is_not_fresh() -> None:
    """Nor does what was waited for before it count for the next one."""
    fresh = Freshness(AGE_NS)
    fresh.complete(800)
    fresh.tell(7, 900, applied_slot=3)
    fresh.void()
    fresh.applied(9)
    assert fresh.until_ns == 0


STEPS = st.lists(
    st.tuples(st.sampled_from(("commit", "ask", "answer", "apply", "void")), st.integers(1, 3)), max_size=60
)


@given(STEPS)
def test_it_never_promises_too_much(steps: list[tuple[str, int]]) -> None:
    """Whatever the order of commits, questions, answers (late, or twice) and applying: what was committed before
    `complete_ns` is applied."""
    fresh = Freshness(AGE_NS)
    committed = applied = 0
    committed_at: list[int] = []  # when each slot was, from slot 1 on
    asked: list[int] = []
    answers: list[tuple[int, int]] = []
    for now_ns, (step, number) in enumerate(steps, 1):
        if step == "commit":
            committed += number
            committed_at += [now_ns] * number
        elif step == "ask":
            asked.append(now_ns)
        elif step == "answer" and asked:
            answers.append((committed, asked[-number % len(asked)]))
            fresh.tell(*answers[-number % len(answers)], applied)
        elif step == "apply":
            applied = min(committed, applied + number)
            fresh.applied(applied)
        elif step == "void":
            applied = 0
            fresh.void()
        assert all(at >= fresh.complete_ns for at in committed_at[applied:])
