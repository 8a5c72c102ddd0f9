"""The node's replica host, which also speaks for partitions that should be here, or were, and cannot take part."""

from __future__ import annotations

from collections.abc import Iterable

from server.paxos.ballot import ABOVE_ALL, Ballot
from server.paxos.messages import LeadershipQuery, PeerMessage, Release
from server.runtime.replica_host import ReplicaHost


class NodeHost(ReplicaHost):
    """Requires that `absent` holds no group that is open here, and that what is here is open before anything is
    received.

    Grants are between nodes: as long as this node leads anything, its peers grant to it, and would wait for ever for a
    group that it led in a former life and cannot open now. So they are told to ask, and answered that they may go on.
    Likewise those who ask about a group whose replica this node has given up, and who have not heard of anybody else.
    """

    absent: frozenset[int] = frozenset()
    _untold: frozenset[int] = frozenset()

    def tell_committed(self, group_id: int) -> None:
        """Tells the followers of a group, if this node leads it, what is committed: in a moment, when entries that
        carry word of it may be on their way, and not when the group has been idle for long."""
        if not self._untold:
            self._later(self._tell_committed)
        self._untold |= {group_id}

    def _tell_committed(self) -> None:
        untold, self._untold = self._untold, frozenset()
        now_ns = self._now_ns()
        for group_id in sorted(untold):
            group = self.groups.get(group_id)
            if group is not None and group.core.leadership is not None:
                group.core.leadership.flush_soon(now_ns)
                self._carry_out(group, group.core.tick(now_ns))

    def set_absent(self, group_ids: Iterable[int], connected_node_ids: Iterable[int]) -> None:
        """Which groups should be here and are not open."""
        fresh = frozenset(group_ids) - self.absent
        self.absent = frozenset(group_ids)
        for node_id in connected_node_ids:
            self._disclaim(node_id, fresh)

    def peer_connected(self, node_id: int) -> None:
        super().peer_connected(node_id)
        self._disclaim(node_id, self.absent)

    def _disclaim(self, node_id: int, group_ids: frozenset[int]) -> None:
        # Which ballot it led at may be lost. A release of a later one makes the peer ask about the one it knows.
        for group_id in sorted(group_ids):
            self._transport.send(node_id, group_id, Release(Ballot(ABOVE_ALL, self.node_id)), None)

    def receive(self, sender: int, group_id: int, message: PeerMessage, record: bytes | None) -> None:
        if group_id in self.groups:
            super().receive(sender, group_id, message, record)
        elif isinstance(message, LeadershipQuery) and message.ballot.node_id == self.node_id:
            self._transport.send(sender, group_id, Release(message.ballot), None)
