"""A network that loses, delays, repeats and reorders messages, and whose links can be cut in either direction."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from server.paxos.lease import Grant
from server.paxos.messages import PeerMessage
from server.runtime.disk_watch import Fitness
from server.runtime.replica_host import ReplicaHost
from tests.simulation.clock import Scheduler

Delivery = Callable[[ReplicaHost], None]


@dataclass
class NetworkFaults:
    """Chances are of one message; delays in nanoseconds."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_mean_ns: int = 500_000
    spike: float = 0.0
    spike_ns: int = 100_000_000


@dataclass
class Network:
    """Carries calls from host to host. `host_of(node)` is the host that runs now, or None."""

    scheduler: Scheduler
    rng: random.Random
    faults: NetworkFaults
    host_of: Callable[[int], ReplicaHost | None]
    cuts: set[tuple[int, int]] = field(default_factory=set)
    _clogged: dict[tuple[int, int], list[Delivery]] = field(default_factory=dict)
    _in_order_ns: dict[tuple[int, int], int] = field(default_factory=dict)

    def send(self, sender: int, to: int, delivery: Delivery, *, is_in_order: bool = False) -> None:
        """`is_in_order`: not before what was sent before it likewise, as on the streams between real nodes."""
        copies = 2 if self.rng.random() < self.faults.duplication else 1
        for _ in range(copies):
            if (sender, to) in self.cuts or self.rng.random() < self.faults.loss:
                continue
            delay_ns = int(self.rng.expovariate(1 / self.faults.delay_mean_ns)) + 50_000
            if self.rng.random() < self.faults.spike:
                delay_ns += self.rng.randrange(self.faults.spike_ns)
            if is_in_order:
                at_ns = max(self.scheduler.now_ns + delay_ns, self._in_order_ns.get((sender, to), 0) + 1)
                self._in_order_ns[sender, to] = at_ns
                delay_ns = at_ns - self.scheduler.now_ns
            self.scheduler.schedule(delay_ns, lambda: self._deliver(sender, to, delivery))

    def _deliver(self, sender: int, to: int, delivery: Delivery) -> None:
        host = self.host_of(to)
        if (sender, to) in self._clogged:
            self._clogged[sender, to].append(delivery)
        elif host is not None and (sender, to) not in self.cuts:
            delivery(host)

    def clog(self, link: tuple[int, int]) -> None:
        """What is said on a link waits, as in a connection that has stalled."""
        self._clogged.setdefault(link, [])

    def let_go(self, link: tuple[int, int]) -> None:
        """What has waited on a link arrives, in its order."""
        for number, delivery in enumerate(self._clogged.pop(link, ())):
            self.scheduler.schedule(number + 1, partial(self._deliver, *link, delivery))

    def let_all_go(self) -> None:
        for link in sorted(self._clogged):
            self.let_go(link)


class SimulatedTransport:
    """One node's Transport."""

    def __init__(self, node_id: int, network: Network) -> None:
        self._node_id = node_id
        self._network = network
        self.on_send: Callable[[PeerMessage], None] = lambda message: None

    def send(self, to: int, group_id: int, message: PeerMessage, record: bytes | None) -> None:
        self.on_send(message)

        def receive(host: ReplicaHost) -> None:
            host.receive(self._node_id, group_id, message, record)
            host.received_all()

        self._network.send(self._node_id, to, receive)

    def send_heartbeat(self, to: int, sent_ns: int, fitness: Fitness) -> None:
        self._network.send(self._node_id, to, lambda host: host.receive_heartbeat(self._node_id, sent_ns, fitness))

    def send_grant(self, to: int, grant: Grant, duration_ns: int, committed: Sequence[tuple[int, int]]) -> None:
        self._network.send(self._node_id, to, lambda host: host.receive_grant(self._node_id, grant, committed))

    def send_snapshot_chunk(
        self,
        to: int,
        group_id: int,
        snapshot_id: int,
        slot: int,
        sequence: int,
        body: bytes,
        is_last: bool,
        total_bytes: int,
    ) -> None:
        self._network.send(
            self._node_id,
            to,
            lambda host: host.snapshots.receive_chunk(
                self._node_id, group_id, snapshot_id, slot, sequence, body, is_last, total_bytes
            ),
            is_in_order=True,  # a first chunk behind another is none of a transfer that is known
        )

    def send_snapshot_ack(self, to: int, group_id: int, snapshot_id: int, sequence: int, missing: int = 0) -> None:
        self._network.send(
            self._node_id,
            to,
            lambda host: host.snapshots.receive_ack(self._node_id, group_id, snapshot_id, sequence, missing),
        )
