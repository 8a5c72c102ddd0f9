"""Which member of another partition is asked next, and when: the one that is thought to lead it, else each in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BACKOFF_S_MIN: Final = 0.01
BACKOFF_S_MAX: Final = 1.0


class Aim:
    """At one partition; node ids, as everywhere 0: unknown. Several who ask the same partition share it: what one of
    them learns holds for all, and who asked before that learns nothing new by it."""

    def __init__(self, node_ids: Sequence[int], leader_node_id: int = 0) -> None:
        self.node_ids = tuple(node_ids)
        self.node_id = leader_node_id if leader_node_id in self.node_ids else self.node_ids[0]
        self._failures = 0
        self._is_hint = False  # it was named by another member, and not asked since

    def hit(self, asked_node_id: int) -> None:
        """Who was asked did it."""
        self._failures = 0
        self._is_hint = False
        if asked_node_id in self.node_ids:
            self.node_id = asked_node_id

    def missed(self, asked_node_id: int, failures: int, hint_node_id: int = 0, *, may_be_another: bool = True) -> float:
        """Who was asked did not do it, and says that `hint_node_id` leads. Returns after how many seconds to ask again:
        at once where it is known who leads, unless nothing has come of that for a while. `failures`: of who asked, in a
        row, with this one."""
        self._failures += 1
        is_hint = hint_node_id in self.node_ids and hint_node_id != asked_node_id
        if self.node_id != asked_node_id:
            is_known = True  # another has learned something meanwhile
        elif is_hint:
            self.node_id, self._is_hint, is_known = hint_node_id, True, True
        else:
            self._is_hint = is_known = False
            if may_be_another:
                self.node_id = self.node_ids[(self.node_ids.index(self.node_id) + 1) % len(self.node_ids)]
        if is_known and failures <= len(self.node_ids):
            return 0.0
        return min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2.0 ** min(failures, 20))

    def move(self, node_ids: Sequence[int], leader_node_id: int) -> None:
        """The partition has these members now, of which one is reported to lead. That counts only where all have been
        asked in vain, and none of them has just said better: it is old."""
        self.node_ids = tuple(node_ids)
        is_lost = self._failures > len(self.node_ids) and not self._is_hint
        if self.node_id not in self.node_ids or is_lost:
            self._is_hint = False
            self.node_id = leader_node_id if leader_node_id in self.node_ids else self.node_ids[0]
