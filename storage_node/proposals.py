"""What a leader proposes to its partition's log, and what the partition will hold once all of that is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from server.model.key_encoding import COLLECTIONS, prefix
from server.paxos.ballot import ZERO, Ballot
from server.runtime.clock import now_ms, wall_ms
from server.runtime.replica_host import Outcome, OutcomeKind, ReplicaHost
from storage_node.codec.change import Change, EntryChange
from storage_node.codec.mutation import Mutation, Write, encode_mutation
from storage_node.codec.stream_record import StreamRecord
from storage_node.partition.in_flight import InFlight, InFlightWrites
from storage_node.store import Store


class State:
    """What the leader knows to be stored once everything in flight is, and what it has decided to write besides.

    `basis`: the newest write in flight of those that it was read from. They end in their order: once that one is
    committed, the others are."""

    __slots__ = ("_in_flight", "_store", "basis", "writes")

    def __init__(self, store: Store, in_flight: InFlightWrites) -> None:
        self._store = store
        self._in_flight = in_flight
        self.basis: InFlight | None = None
        self.writes: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """The key's newest item. Raises CorruptValueError, StoreError."""
        if self.writes and key in self.writes:
            return self.writes[key]
        newest = self._in_flight.newest(key)
        if newest is None:
            return self._store.get(key)
        item, basis = newest
        self.depend_on(basis)
        return item

    def depend_on(self, basis: InFlight) -> None:
        """What is decided was decided on what this write stores."""
        if self.basis is None or basis.number > self.basis.number:
            self.basis = basis

    def put(self, writes: Iterable[Write]) -> None:
        """What is decided next is decided behind these."""
        self.writes.update(writes)


class Proposals:
    """Of one partition. `wall_ms`: what changes are dated with; `now_ms`: what the log's time goes by."""

    def __init__(self, partition_id: int, table_number: int, store: Store, host: ReplicaHost) -> None:
        self.in_flight = InFlightWrites()
        self.wall_ms: Callable[[], int] = wall_ms
        self.now_ms: Callable[[], int] = now_ms
        self._partition_id = partition_id
        self.nothing: Write = (prefix(table_number, COLLECTIONS), None)
        """The first write of a mutation that writes no item."""
        self._store = store
        self._host = host
        self._timed_leadership = ZERO
        self._log_ahead_ms = 0  # the log's time less this node's clock, in that leadership

    def state(self) -> State:
        """What decisions are to be made on: to be proposed in the same turn of the loop, or not at all."""
        return State(self._store, self.in_flight)

    def propose(
        self,
        writes: tuple[Write, ...],
        done: Callable[[Outcome], None],
        *,
        token: bytes = b"",
        result: bytes | None = None,
        entries: tuple[EntryChange, ...] = (),
        records: tuple[StreamRecord, ...] = (),
    ) -> None:
        """Proposes one mutation: at least one write, what is to be passed on to indexes, and what a stream keeps.
        `done` is called with its outcome, perhaps at once, before those whose decisions depend on it are told."""
        in_flight = self.in_flight.add(writes)

        def finish(outcome: Outcome) -> None:
            done(outcome)
            self.in_flight.end(in_flight, is_committed=outcome.kind == OutcomeKind.COMMITTED)

        (key, item), *more = writes
        origin = self._host.leader_ballot(self._partition_id)
        change = Change(self.wall_ms(), entries) if entries else None
        mutation = Mutation(token, key, item, self.log_time_ms(origin), origin, tuple(more), result, change, records)
        self._host.propose(self._partition_id, encode_mutation(mutation), finish)

    def propose_rows(
        self, rows: tuple[Write, ...], done: Callable[[Outcome], None], entries: tuple[EntryChange, ...] = ()
    ) -> None:
        """As `propose`, where no item of the table is written: all of `rows` are the mutation's further writes."""
        self.propose((self.nothing, *rows), done, entries=entries)

    def log_time_ms(self, leadership: Ballot) -> int:
        """The log's time: it goes on from where the last leader's writes left it, as this node's clock goes. So tokens
        are remembered for as long as they are meant to be, whatever the leaders' clocks show."""
        if leadership != self._timed_leadership:
            # What earlier leaders left behind is applied: before that, nothing is decided.
            self._timed_leadership = leadership
            self._log_ahead_ms = self._store.recent_writes(self._partition_id).now_ms - self.now_ms()
        return self.now_ms() + self._log_ahead_ms
