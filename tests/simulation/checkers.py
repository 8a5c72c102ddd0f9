"""What must hold of a history: linearizability of one register, decided and never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NEVER_NS = 1 << 62
"""The return time of an operation whose outcome nobody learned: it may take effect at any later time, or not at all."""


ANYTHING = "anything"
"""What a write replaces that did not look."""


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
    """The checker ran out of its budget: that is a failure to decide, not a pass."""


def is_linearizable(operations: Sequence[Operation], states_max: int = 200_000) -> bool:
    """Whether some order of the operations, each at a moment between its invocation and its return, explains every
    read (Wing and Gong's search, with Lowe's memory of states seen). The register begins empty; written values differ.

    What cannot matter is left out: reads without a known return, and writes without one whose value nobody read or
    replaced. A read
    that the present value explains is taken at once: that never hinders what comes later."""
    values_read = {op.value for op in operations if not op.is_write and op.returned_ns < NEVER_NS}
    values_read |= {op.found for op in operations if op.found != ANYTHING}
    ops = sorted(
        (op for op in operations if op.returned_ns < NEVER_NS or (op.is_write and op.value in values_read)),
        key=lambda op: op.invoked_ns,
    )
    required = sum(1 << index for index, op in enumerate(ops) if op.returned_ns < NEVER_NS)
    seen: set[tuple[int, str | None]] = {(0, None)}
    stack: list[tuple[int, str | None]] = [(0, None)]
    while stack:
        done, value = stack.pop()
        done, writes = _eligible(ops, done, value)
        if done & required == required:
            return True
        for index in writes:
            state = (done | 1 << index, ops[index].value)
            if state not in seen:
                seen.add(state)
                stack.append(state)
        if len(seen) > states_max:
            raise UndecidedError(f"more than {states_max} states for {len(ops)} operations")
    return False


def _eligible(ops: Sequence[Operation], done: int, value: str | None) -> tuple[int, list[int]]:
    """(what is done once every read that `value` explains now is taken, the writes that may come next).

    Whatever comes next was invoked before the earliest return among those still to come."""
    while True:
        index = (~done & (done + 1)).bit_length() - 1  # the first that is not done
        horizon_ns = NEVER_NS
        writes: list[int] = []
        taken = done
        while index < len(ops) and ops[index].invoked_ns <= horizon_ns:
            if not done >> index & 1:
                op = ops[index]
                horizon_ns = min(horizon_ns, op.returned_ns)
                if op.is_write:
                    if op.found in (ANYTHING, value):
                        writes.append(index)
                elif op.value == value:
                    taken |= 1 << index
            index += 1
        if taken == done:
            return done, writes
        done = taken
