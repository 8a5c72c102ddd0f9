"""TransactGetItems: items as of one moment, without a word written.

They are read, each partition's at its leader; then it is looked whether they are still as they were, and no transaction
is under way on one of them. If so, they were all so at once, in between. Items of one partition need one look.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from statorpb import partition_pb2

from router.partition_map_cache import Table
from router.requests.get_item import GetItemRequest
from router.requests.transact_get_items import TransactGetItemsRequest
from router.requests.transactions import check_distinct
from router.results import TransactRead
from router.routing.decision import backoff_ms
from router.storage_client import READ_ITEMS, PartitionCall, StorageClient
from router.transact_calls import Participant, participants_of
from router.transact_results import conflict, read_capacity
from server.expressions.codec import encode
from server.model.errors import StatorError
from server.model.key_encoding import encode_position
from server.model.table import check_key_only, check_paths

PATIENCE_S = 1.0
"""For how long items are read again that others write."""

_Found = partition_pb2.ItemFound
ReadDone = Callable[[TransactRead | None, StatorError | None], None]
_Answered = Callable[[Mapping[int, partition_pb2.ItemsResult], StatorError | None], None]


class ItemsRead:
    """One round of questions to all participants."""

    def __init__(
        self, storage: StorageClient, participants: Sequence[Participant], deadline: float, done: _Answered
    ) -> None:
        self._storage = storage
        self._participants = participants
        self._deadline = deadline
        self._done = done
        self._left = len(participants)
        self._results: dict[int, partition_pb2.ItemsResult] = {}
        self._error: StatorError | None = None

    def ask(self, projections: Mapping[int, bytes], since: Mapping[int, partition_pb2.ItemsResult] | None) -> None:
        """`projections`: by the items' numbers. `since`: what was read, of which it is to be looked whether it is still
        so; None: they are to be read."""
        for index, participant in enumerate(self._participants):
            details = partition_pb2.ItemsRead(unchanged_since=since[index].slot if since is not None else 0)
            for number, key in zip(participant.numbers, participant.keys, strict=True):
                details.items.add(key=key, projection=projections.get(number, b"") if since is None else b"")
            self._ask_one(index, participant, details)

    def _ask_one(self, index: int, participant: Participant, details: partition_pb2.ItemsRead) -> None:
        def answered(reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
            self._left -= 1
            if reply is not None:
                self._results[index] = reply.items
            else:
                self._error = self._error or error
            if not self._left:
                self._done(self._results, self._error)

        first = participant.positions[0]
        call = PartitionCall(participant.table, READ_ITEMS, first, self._deadline, answered, details=details)
        self._storage.submit(call)


@dataclass(slots=True)
class TransactionalRead:
    """One TransactGetItems under way. `projections`: encoded, by the items' numbers."""

    storage: StorageClient
    request: TransactGetItemsRequest
    participants: Sequence[Participant]
    projections: Mapping[int, bytes]
    deadline: float
    done: ReadDone
    rng: random.Random
    patience_ends: float
    attempt: int = 0

    def start(self) -> None:
        """Reads the items."""
        ItemsRead(self.storage, self.participants, self.deadline, self._read).ask(self.projections, None)

    def _read(self, results: Mapping[int, partition_pb2.ItemsResult], error: StatorError | None) -> None:
        if error is not None:
            self.done(None, error)
        elif busy := self._busy(results):
            self._again(busy)
        elif len(self.participants) == 1:
            self._finish(results)
        else:

            def looked(again: Mapping[int, partition_pb2.ItemsResult], error: StatorError | None) -> None:
                if error is not None:
                    self.done(None, error)
                elif busy := self._busy(again):
                    self._again(busy)
                else:
                    self._finish(results)

            ItemsRead(self.storage, self.participants, self.deadline, looked).ask({}, results)

    def _busy(self, results: Mapping[int, partition_pb2.ItemsResult]) -> set[int]:
        """The numbers of items that others are at."""
        return {
            number
            for index, participant in enumerate(self.participants)
            for number, found in zip(participant.numbers, results[index].items, strict=True)
            if found.code in (_Found.MARKED, _Found.CHANGED)
        }

    def _again(self, busy: set[int]) -> None:
        loop = asyncio.get_running_loop()
        delay_s = backoff_ms(self.attempt, self.rng.random()) / 1000
        self.attempt += 1
        if loop.time() + delay_s >= min(self.patience_ends, self.deadline):
            self.done(None, conflict(len(self.request.reads), busy))
        else:
            loop.call_later(delay_s, self.start)

    def _finish(self, results: Mapping[int, partition_pb2.ItemsResult]) -> None:
        items: list[bytes | None] = [None] * len(self.request.reads)
        sizes = [0] * len(items)
        for index, participant in enumerate(self.participants):
            for number, found in zip(participant.numbers, results[index].items, strict=True):
                if found.code == _Found.FOUND:
                    items[number], sizes[number] = found.item, found.item_bytes
        names = [read.table_name for read in self.request.reads]
        capacity = read_capacity(list(zip(names, sizes, strict=True)), self.request.capacity)
        self.done(TransactRead(items, capacity), None)


def transactional_read(
    storage: StorageClient,
    request: TransactGetItemsRequest,
    tables: Mapping[str, Table],
    deadline: float,
    done: ReadDone,
    rng: random.Random,
) -> TransactionalRead:
    """The read that is asked for. Raises ValidationError."""
    places = [(tables[read.table_name], _position(read, tables[read.table_name])) for read in request.reads]
    check_distinct([(table.name, position) for table, position in places])
    projections = {
        number: encode(read.projection.tree) for number, read in enumerate(request.reads) if read.projection is not None
    }
    patience_ends = asyncio.get_running_loop().time() + PATIENCE_S
    participants = participants_of(places)
    return TransactionalRead(storage, request, participants, projections, deadline, done, rng, patience_ends)


def _position(read: GetItemRequest, table: Table) -> bytes:
    check_key_only(read.key, table.schema)
    if read.projection is not None:
        check_paths(read.projection.paths, table.schema, table.all_indexes)
    return encode_position(table.schema, read.key)
