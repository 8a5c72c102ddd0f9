"""Linearizability of one register, decided and never guessed: Wing and Gong's search with Lowe's memory of states."""

from collections.abc import Sequence
from dataclasses import dataclass

NEVER_NS = 1 << 62
"""The return time of an operation whose outcome nobody learned: it may take effect at any later time, or not at all."""

ANYTHING = "anything"
"""What a write replaces that did not look."""

STATES_MAX = 200_000

# How many of the required operations are done without a gap, which of those behind are (bit 0 is the first that is
# not), which of the optional ones are, and the register's value.
_State = tuple[int, int, int, str | None]


@dataclass(slots=True)
class Operation:
    """One operation on one key. `value` is what a write wrote or a read returned (None: no item). `found`: what a write
    replaces, as it was told."""

    invoked_ns: int
    returned_ns: int
    is_write: bool
    value: str | None
    found: str | None = ANYTHING


class UndecidedError(Exception):
    """The search ran out of its budget: that is a failure to decide, not a pass."""


def is_linearizable(operations: Sequence[Operation], states_max: int = STATES_MAX) -> bool:
    """Whether some order of the operations, each at a moment between its invocation and its return, explains every
    read and everything that was found. The register begins empty; written values differ. Raises UndecidedError."""
    return first_unexplained(operations, states_max) is None


def first_unexplained(operations: Sequence[Operation], states_max: int = STATES_MAX) -> Operation | None:
    """None if the operations are linearizable; else the one that no order explains together with all before it.

    What cannot matter is left out: reads without a known return, and writes without one whose value nobody read or
    replaced. A read that the present value explains is taken at once: that never hinders what comes later.

    Raises UndecidedError when more than `states_max` states would have to be looked at.
    """
    observed = {op.value for op in operations if not op.is_write and op.returned_ns < NEVER_NS}
    observed |= {op.found for op in operations if op.found != ANYTHING}
    by_invocation = sorted(operations, key=lambda op: op.invoked_ns)
    required = [op for op in by_invocation if op.returned_ns < NEVER_NS]
    optional = [op for op in by_invocation if op.returned_ns >= NEVER_NS and op.is_write and op.value in observed]
    seen: set[_State] = set()
    stack: list[_State] = [(0, 0, 0, None)]
    furthest = 0
    while stack:
        base, bits, taken, value = stack.pop()
        base, bits, horizon_ns, writes = _advance(required, base, bits, value)
        if base == len(required):
            return None
        furthest = max(furthest, base)
        following = [(*_shift(base, bits | 1 << index), taken, required[base + index].value) for index in writes]
        for index, op in enumerate(optional):
            if op.invoked_ns > horizon_ns:
                break
            if not taken >> index & 1 and op.found in (ANYTHING, value):
                following.append((base, bits, taken | 1 << index, op.value))
        for state in following:
            if state not in seen:
                seen.add(state)
                stack.append(state)
        if len(seen) > states_max:
            raise UndecidedError(f"more than {states_max} states for {len(required) + len(optional)} operations")
    return required[furthest]


def _advance(ops: Sequence[Operation], base: int, bits: int, value: str | None) -> tuple[int, int, int, list[int]]:
    """(base and bits once every read that `value` explains now is taken, before when whatever comes next was invoked,
    the writes among `ops` that may come next, counted from the new base).

    Whatever comes next was invoked before the earliest return among those still to come.
    """
    while True:
        horizon_ns = NEVER_NS
        writes: list[int] = []
        done = bits
        for index in range(base, len(ops)):
            op = ops[index]
            if op.invoked_ns > horizon_ns:
                break
            if bits >> (index - base) & 1:
                continue
            horizon_ns = min(horizon_ns, op.returned_ns)
            if op.is_write:
                if op.found in (ANYTHING, value):
                    writes.append(index - base)
            elif op.value == value:
                done |= 1 << (index - base)
        if done == bits:
            return base, bits, horizon_ns, writes
        base, bits = _shift(base, done)


def _shift(base: int, bits: int) -> tuple[int, int]:
    """The same with every operation that is done without a gap counted by `base`."""
    gapless = (~bits & (bits + 1)).bit_length() - 1
    return base + gapless, bits >> gapless
