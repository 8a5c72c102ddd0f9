"""What must hold of a history: linearizability of one register, decided and never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NEVER_NS = 1 << 62
"""The return time of an operation whose outcome nobody learned: it may take effect at any later time, or not at all."""


@dataclass(slots=True)
class Operation:
    """One operation on one key. `value` is what a write wrote or a read returned (None: no item)."""

    invoked_ns: int
    returned_ns: int
    is_write: bool
    value: str | None


class UndecidedError(Exception):
    """The checker ran out of its budget: that is a failure to decide, not a pass."""


def is_linearizable(operations: Sequence[Operation], states_max: int = 500_000) -> bool:
    """Whether some order of the operations, each at a moment between its invocation and its return, explains every
    read (Wing and Gong's search, with Lowe's memory of states seen). The register begins empty.

    A read without a known return says nothing and is left out; a write without one may be left out of the order."""
    ops = sorted(
        (op for op in operations if op.is_write or op.returned_ns < NEVER_NS), key=lambda op: op.invoked_ns
    )
    required = sum(1 << index for index, op in enumerate(ops) if op.returned_ns < NEVER_NS)
    seen: set[tuple[int, str | None]] = {(0, None)}
    stack: list[tuple[int, str | None]] = [(0, None)]
    while stack:
        done, value = stack.pop()
        if done & required == required:
            return True
        if len(seen) > states_max:
            raise UndecidedError(f"more than {states_max} states for {len(ops)} operations")
        # Whatever comes next was invoked before the earliest return among those still to come.
        horizon_ns = min(op.returned_ns for index, op in enumerate(ops) if not done >> index & 1)
        for index, op in enumerate(ops):
            if op.invoked_ns > horizon_ns:
                break
            if done >> index & 1 or (not op.is_write and op.value != value):
                continue
            state = (done | 1 << index, op.value if op.is_write else value)
            if state not in seen:
                seen.add(state)
                stack.append(state)
    return False
