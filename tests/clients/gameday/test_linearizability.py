"""The search for an order against the plainest one there is, and against histories of a known kind."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stator.gameday.linearizability import (
    ANYTHING,
    NEVER_NS,
    Operation,
    UndecidedError,
    first_unexplained,
    is_linearizable,
)


def explains(order: tuple[Operation, ...]) -> bool:
    """Whether an order of operations keeps to the register and to time."""
    value = None
    for index, op in enumerate(order):
        if any(later.returned_ns < op.invoked_ns for later in order[index + 1 :]):
            return False
        if op.is_write:
            if op.found not in (ANYTHING, value):
                return False
            value = op.value
        elif op.value != value:
            return False
    return True


def is_linearizable_by_hand(operations: list[Operation]) -> bool:
    """Every order of everything that was answered with every subset of what was not."""
    answered = [op for op in operations if op.returned_ns < NEVER_NS]
    open_writes = [op for op in operations if op.returned_ns == NEVER_NS and op.is_write]
    for bits in range(1 << len(open_writes)):
        chosen = [op for index, op in enumerate(open_writes) if bits >> index & 1]
        if any(explains(order) for order in permutations(answered + chosen)):
            return True
    return False


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Up to six operations with values that may or may not make sense."""
    operations = []
    for index in range(draw(st.integers(1, 6))):
        invoked = draw(st.integers(0, 12))
        is_write = draw(st.booleans())
        values = ["v0", "v1", "v2", "v3", "v4", "v5", None]
        value = draw(st.sampled_from([f"v{index}", f"v{index}", None] if is_write else values))
        found = draw(st.sampled_from([ANYTHING, ANYTHING, *values])) if is_write else ANYTHING
        returned = NEVER_NS if is_write and draw(st.integers(0, 3)) == 0 else invoked + draw(st.integers(1, 8))
        operations.append(Operation(invoked, returned, is_write, value, found))
    return operations


@settings(max_examples=400, deadline=None)
@given(histories())
def test_it_decides_as_trying_every_order_does(operations: list[Operation]) -> None:
    """For small histories of any kind, deletions, conditions and unknown outcomes among them."""
    assert is_linearizable(operations) is is_linearizable_by_hand(operations)


def played(seed: int, operations: int, clients: int) -> list[Operation]:
    """What clients see of a real register: each operation takes effect somewhere inside its time; 2 % are not told."""
    rng = random.Random(seed)
    free_at = [0] * clients
    planned = []
    for number in range(operations):
        client = min(range(clients), key=lambda each: free_at[each])
        invoked = free_at[client] + rng.randrange(1, 5)
        returned = invoked + rng.randrange(2, 200)
        free_at[client] = returned
        planned.append((rng.randrange(invoked, returned), invoked, returned, number))
    value = None
    history = []
    for _, invoked, returned, number in sorted(planned):
        if rng.random() < 0.5:
            found = value if rng.random() < 0.3 else ANYTHING
            value = None if rng.random() < 0.1 else f"v{number}"
            history.append(Operation(invoked, NEVER_NS if rng.random() < 0.02 else returned, True, value, found))
        else:
            history.append(Operation(invoked, returned, False, value))
    return history


@pytest.mark.parametrize("seed", range(5))
def test_a_long_history_of_a_real_register_is_decided(seed: int) -> None:
    """2,000 operations of 8 clients on one key, as game days have them, are decided within the budget."""
    assert is_linearizable(played(seed, 2_000, 8))


@pytest.mark.parametrize("seed", range(5))
def test_a_stale_read_in_a_long_history_is_named(seed: int) -> None:
    """One read that returns what was there long before, in the middle of 2,000 operations, is the one that is told."""
    history = played(seed, 2_000, 8)
    reads = sorted((op for op in history if not op.is_write and op.value is not None), key=lambda op: op.invoked_ns)
    stale = reads[len(reads) // 2]
    stale.value = next(op.value for op in reads if op.value is not None)
    stuck = first_unexplained(history, states_max=2_000_000)
    assert stuck is not None
    assert abs(stuck.invoked_ns - stale.invoked_ns) < 1_000


def test_it_does_not_guess() -> None:
    """Running out of budget is an error, never a pass."""
    many = [Operation(0, 100, True, f"v{index}") for index in range(14)] + [Operation(101, 102, False, "another")]
    with pytest.raises(UndecidedError, match="1000 states for 15"):
        is_linearizable(many, states_max=1_000)
