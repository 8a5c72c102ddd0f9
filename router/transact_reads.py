"""TransactGetItems: items as of one moment, without a word written.

They are read, each partition's at its leader, who says for how long they had been as they were, with no transaction
under way on one of them. If all had been when the first question was sent, they were all so at once, then. Otherwise it
is looked once more: if they are still as they were, they were all so at once in between. Items of one partition need
one look.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from statorpb import partition_pb2

from router.partition_map_cache import Table
from router.requests.transact_get_items import TransactGetItemsRequest
from router.requests.transactions import check_size
from router.results import TransactRead
from router.routing.decision import backoff_ms
from router.storage_client import READ_ITEMS, PartitionCall, StorageClient
from router.transact_calls import Participant, guarded, participants_of
from router.transact_reasons import conflict
from router.transaction_items import PreparedRead, prepared_reads, read
from server.model.errors import StatorError, ValidationError

PATIENCE_S = 1.0
"""For how long items are read again that others write."""

CLOCK_DRIFT = 0.01
"""How much faster a node's clock may be than this router's. Only durations of the two are compared, of milliseconds."""

_Found = partition_pb2.ItemFound
ReadDone = Callable[[TransactRead | None, StatorError | None], None]


@dataclass(slots=True)
class _Round:
    """One question to each participant. `left`: who has not answered it; `begun`: loop time; `found`: by the items'
    numbers; `were_so`: whether all items, as far as they have been read, were as they are now when it was begun."""

    left: set[int]
    begun: float
    were_so: bool = True
    found: dict[int, partition_pb2.ItemFound] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)
    error: StatorError | None = None

    @property
    def busy(self) -> set[int]:
        """The numbers of items that others are at."""
        return {number for number, found in self.found.items() if found.code in (_Found.MARKED, _Found.CHANGED)}


@dataclass(slots=True)
class TransactionalRead:
    """One TransactGetItems under way; `done` is called exactly once. `patience_ends`: loop time."""

    storage: StorageClient
    request: TransactGetItemsRequest
    prepared: Sequence[PreparedRead]
    participants: Sequence[Participant]
    deadline: float
    done: ReadDone
    rng: random.Random
    patience_ends: float
    attempt: int = 0
    is_ended: bool = False

    def start(self) -> None:
        """Reads the items."""
        self._ask(None, self._read)

    def _ask(self, before: _Round | None, answered: Callable[[_Round], None]) -> None:
        """Reads the items, or looks whether they are as they were `before`."""
        round_ = _Round(set(range(len(self.participants))), asyncio.get_running_loop().time())
        for index, participant in enumerate(self.participants):
            details = partition_pb2.ItemsRead(unchanged_since=before.slots[index] if before is not None else 0)
            for number, key in zip(participant.numbers, participant.keys, strict=True):
                projection = self.prepared[number].projection if before is None else b""
                details.items.add(key=key, projection=projection)
            self._ask_one(index, details, round_, answered)

    def _ask_one(
        self, index: int, details: partition_pb2.ItemsRead, round_: _Round, answered: Callable[[_Round], None]
    ) -> None:
        participant = self.participants[index]

        def done(reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
            if index not in round_.left:
                self._end(None, error)  # what came before could not be used
                return
            round_.left.discard(index)
            if reply is not None:
                round_.slots[index] = reply.items.slot
                # They were read before this; so it is, if anything, longer ago than it was then.
                begun_s_ago = asyncio.get_running_loop().time() - round_.begun
                round_.were_so &= reply.items.unchanged_ms >= begun_s_ago * 1000 * (1 + CLOCK_DRIFT)
                round_.found.update(zip(participant.numbers, reply.items.items, strict=True))
            else:
                round_.error = round_.error or error
            if round_.left or self.is_ended:
                return
            if round_.error is not None:
                self._end(None, round_.error)
            elif round_.busy:
                self._again(round_.busy)
            else:
                answered(round_)

        first = participant.positions[0]
        call = PartitionCall(participant.table, READ_ITEMS, first, self.deadline, done, details=details)
        self.storage.submit(call)

    def _read(self, round_: _Round) -> None:
        if len(self.participants) == 1 or round_.were_so:
            self._finish(round_)
        else:
            self._ask(round_, lambda _: self._finish(round_))

    def _again(self, busy: set[int]) -> None:
        loop = asyncio.get_running_loop()
        delay_s = backoff_ms(self.attempt, self.rng.random()) / 1000
        self.attempt += 1
        if loop.time() + delay_s >= min(self.patience_ends, self.deadline):
            self._end(None, conflict(len(self.request.reads), busy))
        else:
            loop.call_later(delay_s, guarded, self.start, self._end)

    def _finish(self, round_: _Round) -> None:
        found = [round_.found[number] for number in range(len(self.request.reads))]
        try:
            check_size(sum(one.item_bytes for one in found))
        except ValidationError as error:
            self._end(None, error)
        else:
            self._end(read(self.request, found), None)

    def _end(self, result: TransactRead | None, error: StatorError | None) -> None:
        if not self.is_ended:
            self.is_ended = True
            self.done(result, error)


def transactional_read(
    storage: StorageClient,
    request: TransactGetItemsRequest,
    tables: Mapping[str, Table],
    deadline: float,
    done: ReadDone,
    rng: random.Random,
) -> TransactionalRead:
    """The read that is asked for. Raises ValidationError or TransactionCanceledError."""
    prepared = prepared_reads(request, tables)
    places = [(tables[one.table_name], each.position) for one, each in zip(request.reads, prepared, strict=True)]
    patience_ends = asyncio.get_running_loop().time() + PATIENCE_S
    return TransactionalRead(storage, request, prepared, participants_of(places), deadline, done, rng, patience_ends)
