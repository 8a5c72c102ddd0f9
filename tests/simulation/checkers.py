"""What must hold of a history: linearizability of one register, as `stator gameday` judges real processes by it."""

from __future__ import annotations

from stator.gameday.linearizability import ANYTHING, NEVER_NS, Operation, UndecidedError, is_linearizable

__all__ = ["ANYTHING", "NEVER_NS", "Operation", "UndecidedError", "is_linearizable"]
