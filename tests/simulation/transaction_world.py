"""Transactions, of one seed: tables and the ledger on three nodes, and routers that coordinate, under attack, on
simulated clocks, logs and network.

What runs is real: on the nodes marks and all that is under them, in the routers coordinators, recoveries, the ledger,
and the client of the nodes. First chaos: nodes and routers crash at any moment, links are cut or stall, messages are
lost or late, leaders hand over, replicas are rebuilt; clients transfer money, append to lists and read, and send again
what has no answer. Then everything is healed, and soon nothing is under way any more: no mark, no row of the ledger.
What clients were told fits one order of their transactions, and the bank has what its receipts say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from stator.gameday.bank import Bank
from stator.gameday.serializability import Transaction, find_anomalies
from statorpb import cluster_pb2, partition_pb2

from router.partition_map_cache import Partition, Table
from router.routing.decision import Replica
from router.transact import Transactions
from router.transactions.ledger_row import TABLE_NAME, LedgerRow, row_of
from server.model.key_encoding import prefix
from server.model.partition_map import PartitionMap
from server.model.table import KeyAttribute, KeySchema
from server.runtime.replica_host import ReplicaHost
from server.wire import item_from_bytes
from storage_node.nudges import Tell
from tests.simulation import storage_nodes
from tests.simulation.event_loop import SimulatedLoop
from tests.simulation.machine import InvariantError
from tests.simulation.network import Network, NetworkFaults
from tests.simulation.node_world import NODE_IDS, NodeWorld
from tests.simulation.routers import Router, Streams
from tests.simulation.storage_nodes import Node
from tests.simulation.transaction_clients import OPENING, Client, Record, balance_of, values_of

MS = 1_000_000
STARTS = (b"", b"\x80")
NAMES = ("money", "things", TABLE_NAME)
ROUTER_IDS = (11, 12, 13)
LATE_NS = 4_000 * MS


@dataclass
class Broken(storage_nodes.Broken):
    """Deliberate breakages, one at a time; of nodes, and of routers."""

    streams: type[Streams] = Streams
    transactions: type[Transactions] = Transactions


class TransactionWorld(NodeWorld):
    """Everything of one seed."""

    events_max = 1_500_000

    def __init__(self, seed: int, directory: Path, chaos_ns: int = 6_000 * MS, broken: Broken | None = None) -> None:
        self.broken: Broken = broken or Broken()
        self.told: Counter[str] = Counter()  # to clients, by what it was
        self.doubts = 0  # that routers had of writes of theirs
        self.router_crashes = 0
        self.routers: list[Router] = []
        super().__init__(seed, directory, chaos_ns, self.broken)
        for router in self.routers:
            router.boot()
        self._loop = SimulatedLoop(self.scheduler)
        self._playing = self.rng.randint(3, 12)
        self._is_closing = self._is_closed = False
        for number in range(self._playing):
            self._loop.create_task(Client(self, number).run()).add_done_callback(self._ended)
        self.scheduler.schedule(1_000 * MS, self._strike)

    # What there is

    def lay_out(self) -> dict[int, cluster_pb2.PartitionDescriptor]:
        """Two tables, of one or two partitions each, and the ledger."""
        descriptors: dict[int, cluster_pb2.PartitionDescriptor] = {}
        self._maps: dict[str, PartitionMap] = {}
        for number, name in enumerate(NAMES, 1):
            starts = STARTS[: self.rng.randint(1, 2)]
            self._maps[name] = PartitionMap(starts, tuple(number * 100 + place for place in range(len(starts))))
            key = _schema(name).partition_key
            for place, partition_id in enumerate(self._maps[name].partition_ids):
                start, end = self._maps[name].range_of(place)
                descriptors[partition_id] = cluster_pb2.PartitionDescriptor(
                    partition_id=partition_id,
                    table_number=number,
                    partition_key=cluster_pb2.KeyAttribute(name=key.name, type=key.type),
                    range_start=start,
                    range_end=end,
                )
        return descriptors

    def prepare(self) -> None:
        """Routers, and what clients use."""
        rng = self.rng
        faults = replace(self.network.faults, duplication=0)
        self.ways = Network(self.scheduler, rng, faults, lambda _: cast(ReplicaHost, self))
        self.late = rng.choice((0, 0, 0.003))
        self.client_loss = rng.choice((0, 0.02))
        self.pause_s = rng.choice((0.005, 0.02, 0.1))
        self.accounts = [f"account {number}" for number in range(rng.randint(2, 6))]
        self.lists = [f"list {number}" for number in range(rng.randint(2, 6))]
        self.record = Record(Bank(self.accounts, OPENING))
        ahead_ms = rng.choice((0, 50, 5_000))
        for router_id in ROUTER_IDS[: rng.randint(2, 3)]:
            self.routers.append(Router(self, router_id, rng.randint(-ahead_ms, ahead_ms)))

    def table_of(self, key: str) -> str:
        """The table that an item is in: half of each kind in either."""
        return NAMES[int(key.rpartition(" ")[2].rpartition(".")[2]) % 2]

    def tables(self) -> Mapping[str, Table]:
        """What a router that begins knows of them: not who leads."""
        replicas = tuple(Replica(node_id, f"zone-{node_id}", str(node_id)) for node_id in NODE_IDS)
        return {
            name: Table(
                name=name,
                number=number,
                key_prefix=prefix(number),
                schema=_schema(name),
                is_active=True,
                map=self._maps[name],
                partitions=[Partition(each, replicas, 0, 0) for each in self._maps[name].partition_ids],
                catalog_slot=1,
                time_to_live_attribute="expires" if name == TABLE_NAME else "",
            )
            for number, name in enumerate(NAMES, 1)
        }

    # Between routers and nodes, and clients

    def between(self, one: int, two: int, arrive: Callable[[], None]) -> None:
        """A message from a router to a node, or back; now and then it is late, and what is behind it, so that perhaps
        nobody waits for it any more."""
        if not self.is_healing and self.rng.random() < self.late:
            self._stall(one, two)
        self.ways.send(one, two, lambda _: arrive(), is_in_order=True)

    def _stall(self, one: int, two: int) -> None:
        self.ways.clog((one, two))
        self.scheduler.schedule(self.rng.randrange(100 * MS, LATE_NS), partial(self.ways.let_go, (one, two)))

    def nudged(self, node: Node) -> Sequence[Tell]:
        """Each router that runs by then."""
        return [partial(self._nudge, node.node_id, router) for router in self.routers]

    def _nudge(self, node_id: int, router: Router, marks: Sequence[partition_pb2.StaleMark]) -> None:
        def arrive() -> None:
            for mark in marks if router.life is not None else ():
                router.life.nudge(mark)  # type: ignore[union-attr]

        self.between(node_id, router.router_id, arrive)

    def to_client(self, tell: Callable[[], None]) -> None:
        """An answer, which may get lost."""
        if self.is_healing or self.rng.random() >= self.client_loss:
            self.scheduler.schedule(self.rng.randrange(MS), partial(self._loop.inside, tell))

    # Faults

    def _strike(self) -> None:
        """Something goes wrong, and something else soon."""
        if self.is_healing:
            return
        rng, roll = self.rng, self.rng.random()
        node, partition_id = self.nodes[rng.choice(NODE_IDS)], rng.choice(list(self.descriptors))
        router, leader = rng.choice(self.routers), self.leader(partition_id)
        if roll < 0.25:
            self._crash_router(router)
        elif roll < 0.35:
            self.crash_for_a_while(node)
        elif roll < 0.45:
            self.crash_leader(partition_id)
        elif roll < 0.48:
            self.crash_all()
        elif roll < 0.56:
            self.ways.cuts.add(rng.choice([(router.router_id, node.node_id), (node.node_id, router.router_id)]))
        elif roll < 0.62 and leader is not None:
            self.cut_off(leader.node)
        elif roll < 0.7:
            self._halt(router)
        elif roll < 0.78 and leader is not None:
            leader.host.hand_over(partition_id)
        elif roll < 0.84 and leader is not None and node.life is not None:
            self.rebuild(node.life, partition_id, leader)
        elif roll < 0.88 and node.life is not None:
            node.life.checkpoint()
        else:
            self.mend_links()
        self.scheduler.schedule(rng.randrange(50 * MS, 1_500 * MS), self._strike)

    def _crash_router(self, router: Router) -> None:
        self.router_crashes += 1
        router.crash()
        self.scheduler.schedule(self.rng.randrange(10 * MS, 3_000 * MS), router.boot)

    def _halt(self, router: Router) -> None:
        """What it says arrives later, and all at once."""
        for node_id in NODE_IDS:
            self._stall(router.router_id, node_id)

    def mend_links(self) -> None:
        super().mend_links()
        self.ways.cuts = set()

    def heal(self) -> None:
        super().heal()
        self.ways.faults = NetworkFaults()
        self.ways.let_all_go()
        for router in self.routers:
            router.boot()

    def close(self) -> None:
        self._loop.end()
        for router in self.routers:
            router.crash()
        super().close()

    # What must hold

    def _ended(self, task: object) -> None:
        """Of a client."""
        task.result()  # type: ignore[attr-defined]
        self._playing -= 1
        self._is_closed = self._is_closing and not self._playing

    def unrest(self) -> str:
        """Once clients have ended, and nothing is left of what they began, another one makes sure that all goes on."""
        if self._playing:
            return f"{self._playing} clients wait"
        if left := self.lagging() or self._left():
            return left
        if not self._is_closing:
            self._is_closing = True
            self._playing = 1
            self._loop.create_task(Client(self, 99).close()).add_done_callback(self._ended)
        return "" if self._is_closed else "nobody has written everywhere"

    def _left(self) -> str:
        """Of transactions."""
        for life in self.living():
            for partition_id, replica in life.replicas.items():
                if replica.transactions.marks:
                    return f"node {life.node.node_id} has {len(replica.transactions.marks)} marks in {partition_id}"
        rows = [row for row in self._ledger_rows() if row.attempt and not row.is_done]
        return f"{len(rows)} transactions are not done in the ledger" if rows else ""

    def _ledger_rows(self) -> list[LedgerRow]:
        life = self.living()[0]
        return [
            row_of(item_from_bytes(data))
            for partition_id in self._maps[TABLE_NAME].partition_ids
            for data in self.stored(life, partition_id).values()
        ]

    def check(self) -> None:
        """The history, the bank, and that all nodes have the same."""
        contents = [{each: self.stored(life, each) for each in self.descriptors} for life in self.living()]
        if any(each != contents[0] for each in contents):
            raise InvariantError("nodes at the same slots hold different items")
        items = {
            item_from_bytes(data)["pk"]["S"]: item_from_bytes(data)
            for name in NAMES[:2]
            for partition_id in self._maps[name].partition_ids
            for data in contents[0][partition_id].values()
        }
        now_ns = self.scheduler.now_ns
        end = Transaction("end", reads={key: values_of(items.get(key, {})) for key in self.lists}, invoked_ns=now_ns)
        for finding in find_anomalies([*self.record.transactions, end], is_strict=True):
            raise InvariantError(f"{finding.anomaly}: {finding.text}")
        receipts = items.keys() - {*self.accounts, *self.lists}
        balances = {key: balance_of(items.get(key, {})) for key in self.accounts}
        bank = self.record.bank
        for sentence in bank.wrong_audits(self.record.audits) + bank.wrong_at_rest(
            self.record.transfers, receipts, balances
        ):
            raise InvariantError(f"the bank: {sentence}")
        self.note(sorted(self.told.items()), len(self.record.transactions))


def _schema(name: str) -> KeySchema:
    return KeySchema(KeyAttribute("id", "B") if name == TABLE_NAME else KeyAttribute("pk", "S"))
