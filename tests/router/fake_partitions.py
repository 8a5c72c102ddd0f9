"""Storage nodes as far as transactions go, in memory: what the router's parts of them are tested with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from statorpb import cluster_pb2, partition_pb2, tables_pb2

from router.partition_map_cache import PartitionMapCache
from router.storage_client import FINISH, GET, PREPARE, READ_ITEMS, TRANSACT, UPDATE, PartitionCall, tell
from router.transact import Transactions
from router.transactions.ledger_row import TABLE_NAME, LedgerRow, row_of
from server.expressions.compiled import compiled_condition, compiled_update
from server.model.errors import ConditionalCheckFailedError, ResourceInUseError, StatorError
from server.wire import item_from_bytes, item_to_bytes
from tests.router.fakes import FakeMetadata, FakeStorage, Outcome, route

HOLD = object()
"""The call is not answered; the test has it."""

_Outcome = partition_pb2.ItemOutcome
_Found = partition_pb2.ItemFound
Reply = partition_pb2.PartitionReply


def ledger_route(**members: Any) -> cluster_pb2.TableRoute:
    """Of the ledger, which expires its rows."""
    made = route(TABLE_NAME, number=9, partitions=3, **members)
    made.partition_key.name, made.partition_key.type = "id", "B"
    made.time_to_live_attribute = "expires"
    return made


class LedgerMetadata(FakeMetadata):
    """A metadata service that makes the ledger when it is asked to."""

    def __init__(self, *routes: cluster_pb2.TableRoute) -> None:
        super().__init__(*routes)
        self.made = 0
        self.is_made_by_another = False
        self.activates = True
        self.refusal: StatorError | None = None  # of time to live
        self.expires = asyncio.Event()

    async def CreateTable(self, request: tables_pb2.CreateTableRequest, timeout: float) -> Any:
        self.made += 1
        made = ledger_route(status=tables_pb2.CREATING)
        made.time_to_live_attribute = ""
        self.routes[TABLE_NAME] = made
        asyncio.get_running_loop().call_later(0.02, self._activate)
        if self.is_made_by_another:
            raise ResourceInUseError("Table already exists")
        return tables_pb2.CreateTableResponse()

    def _activate(self) -> None:
        if not self.activates:
            return
        self.slot += 1
        self.routes[TABLE_NAME].status = tables_pb2.ACTIVE

    async def UpdateTimeToLive(self, request: tables_pb2.UpdateTimeToLiveRequest, timeout: float) -> Any:
        assert request.time_to_live.attribute_name == "expires"
        if self.refusal is not None:
            raise self.refusal
        self.expires.set()
        return tables_pb2.UpdateTimeToLiveResponse()


class FakePartitions:
    """Items and marks by encoded key, the ledger among them. What is asked first goes to `special(call)`, which may
    answer it, HOLD it, or say None: then it is answered as a storage node would."""

    def __init__(self) -> None:
        self.items: dict[bytes, bytes] = {}
        self.marks: dict[bytes, tuple[bytes, partition_pb2.TransactionItem]] = {}
        self.ledger_ids: dict[bytes, bytes] = {}  # by attempt
        self.special: Callable[[PartitionCall], Any] = lambda _: None
        self.held: list[PartitionCall] = []
        self.slot = 1
        self.unchanged_ms: dict[bytes, int] = {}  # by key of the first item asked for

    def answer(self, call: PartitionCall) -> Reply | StatorError | None:
        special = self.special(call)
        if special is HOLD:
            self.held.append(call)
            return None
        if isinstance(special, Reply | StatorError):
            return special
        return self.carry_out(call)

    def carry_out(self, call: PartitionCall) -> Reply | StatorError:
        """What a storage node does, as the storage client tells of it."""
        if call.operation == UPDATE:
            return self._update(call)
        if call.operation == GET:
            found = self.items.get(call.table.key_prefix + call.position)
            return Reply(status=partition_pb2.OK if found else partition_pb2.NOT_FOUND, item=found or b"")
        if call.operation == READ_ITEMS:
            return self._read(call)
        details = call.details
        assert isinstance(details, partition_pb2.TransactionDetails)
        if call.operation == FINISH:
            for item in details.items:
                self._finish(item.key, details)
            return Reply()
        assert call.operation in (PREPARE, TRANSACT)
        result = partition_pb2.TransactionResult(items=[self._outcome(each, details) for each in details.items])
        if any(each.code != _Outcome.ACCEPTED for each in result.items):
            return Reply(status=partition_pb2.CANCELLED, transaction=result)
        for item in details.items:
            if call.operation == PREPARE:
                self.marks[item.key] = (details.attempt, item)
                self.ledger_ids[details.attempt] = details.ledger_id
            else:
                self._apply(item)
        return Reply(transaction=result)

    def _update(self, call: PartitionCall) -> Reply | StatorError:
        key = call.table.key_prefix + call.position
        before = item_from_bytes(self.items[key]) if key in self.items else None
        write = call.details
        assert isinstance(write, partition_pb2.WriteDetails)
        if not compiled_condition(write.condition)(before or {}, item_from_bytes(write.condition_values)):
            return ConditionalCheckFailedError(item=self.items.get(key))
        changed = compiled_update(write.update).apply(
            before or item_from_bytes(call.item), item_from_bytes(write.update_values)
        )
        self.items[key] = item_to_bytes(changed)
        return Reply()

    def _outcome(
        self, item: partition_pb2.TransactionItem, details: partition_pb2.TransactionDetails
    ) -> partition_pb2.ItemOutcome:
        if item.key in self.marks:
            is_own = self.ledger_ids.get(self.marks[item.key][0]) == details.ledger_id
            return _Outcome(code=_Outcome.CONFLICT, is_own=is_own)
        before = self.items.get(item.key)
        condition = item.write.condition
        if condition and not compiled_condition(condition)(
            item_from_bytes(before) if before else {}, item_from_bytes(item.write.condition_values)
        ):
            return _Outcome(
                code=_Outcome.CONDITION_FAILED, item=(before or b"") if item.write.returned_on_failure else b""
            )
        return _Outcome(write=partition_pb2.WriteResult(old_bytes=10, new_bytes=20))

    def _finish(self, key: bytes, details: partition_pb2.TransactionDetails) -> None:
        attempt, item = self.marks.get(key, (b"", None))
        if item is not None and attempt == details.attempt:
            del self.marks[key]
            if details.is_committed:
                self._apply(item)

    def _apply(self, item: partition_pb2.TransactionItem) -> None:
        self.slot += 1
        if item.operation == partition_pb2.PUT:
            self.items[item.key] = item.item
        elif item.operation == partition_pb2.DELETE:
            self.items.pop(item.key, None)

    def _read(self, call: PartitionCall) -> Reply:
        wanted = call.details
        assert isinstance(wanted, partition_pb2.ItemsRead)
        unchanged_ms = self.unchanged_ms.get(wanted.items[0].key, 0)
        result = partition_pb2.ItemsResult(slot=self.slot, unchanged_ms=unchanged_ms)
        for each in wanted.items:
            found = result.items.add()
            data = self.items.get(each.key)
            if each.key in self.marks:
                found.code = _Found.MARKED
            elif data is None and not wanted.unchanged_since:
                found.code = _Found.ABSENT
            elif data is not None:
                found.item, found.item_bytes = data, len(data)
        return Reply(items=result)

    def let_go(self, call: PartitionCall) -> None:
        """Answers one that was held."""
        answer = self.carry_out(call)
        if isinstance(answer, StatorError):
            tell(call, None, answer)
        else:
            tell(call, answer, None)

    def rows(self) -> list[LedgerRow]:
        """All that the ledger has."""
        return [row_of(item_from_bytes(item)) for key, item in self.items.items() if key[:8] == bytes(7) + b"\x09"]


class Rig:
    """A router's transactions, on all that."""

    def __init__(self, metadata: LedgerMetadata) -> None:
        self.metadata = metadata
        self.partitions = FakePartitions()
        self.storage = FakeStorage(self.partitions.answer)
        self.cache = PartitionMapCache(metadata)
        self.transactions = Transactions(self.cache, self.storage, metadata)

    async def start(self, request: Any, timeout_s: float = 5.0, token_seed: bytes = b"") -> Outcome:
        """Begins with a request on tables that are looked up first."""
        members = request.writes if hasattr(request, "writes") else request.reads
        tables = {}
        for member in members:
            table = self.cache.get(member.table_name) or await self.cache.fetch(member.table_name, 5.0)
            assert table is not None
            tables[member.table_name] = table
        outcome = Outcome()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        if hasattr(request, "writes"):
            self.transactions.write(request, tables, deadline, token_seed, outcome.done, float("inf"))
        else:
            self.transactions.read(request, tables, deadline, outcome.done)
        return outcome

    async def run(self, request: Any, timeout_s: float = 5.0) -> Any:
        return await (await self.start(request, timeout_s)).wait()

    def asked(self, operation: int) -> list[PartitionCall]:
        """What storage nodes were asked of that kind."""
        return [call for call in self.storage.calls if call.operation == operation]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for what comes about after an answer."""
        async with asyncio.timeout(5.0):
            while not condition():
                await asyncio.sleep(0.01)

    async def until_done(self) -> None:
        """Until the ledger has nothing under way."""
        await self.until(lambda: all(row.is_done for row in self.partitions.rows()))

    def kinds(self) -> list[str]:
        """What they were asked, in order."""
        return [partition_pb2.PartitionOperation.Name(call.operation) for call in self.storage.calls]
