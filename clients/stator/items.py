"""The asynchronous client's operations on items."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Unpack, overload

from statorpb import passthrough_pb2

from stator.batch_calls import BatchCalls
from stator.batch_writer import AsyncBatchWriter
from stator.connection import Connection
from stator.descriptions import TableDescription
from stator.expressions import KeyCondition, Update
from stator.item_requests import ItemRequests, PageParts, Request, page_of, write_result
from stator.options import (
    CountOptions,
    ParallelScanOptions,
    QueryOptions,
    ReadOptions,
    ReturnConsumedCapacity,
    ScanOptions,
    Select,
    WriteOptions,
)
from stator.results import ConsumedCapacity, Page, WriteResult, consumed_capacity
from stator.typed_items import ObjectT, reader_of
from stator.values import Item, decode_item

SEGMENTS_DEFAULT = 8
_SEGMENTS_AT_ONCE_MAX = 64

ItemPages = AsyncGenerator[Page[Any], None]


class ItemOperations(ABC):
    """Items: one at a time, in batches, and as queries and scans find them.

    Besides the arguments named here, calls take those of `stator.options`, by keyword. An item may be a dict, a
    dataclass object or a model of pydantic, and with `as_type` comes back as one: see `stator.typed_items`.
    """

    _connection: Connection
    _requests: ItemRequests

    @abstractmethod
    async def describe_table(self, name: str, *, timeout_s: float | None = None) -> TableDescription: ...

    async def put_item(self, table: str, item: Any, **options: Unpack[WriteOptions]) -> WriteResult:
        """Writes a whole item, in place of any that has its key. Durable in two zones when it returns.

        Options: condition, names, values, return_values ("ALL_OLD"), return_values_on_condition_check_failure,
        return_consumed_capacity, return_item_collection_metrics, conflict_attempts, timeout_s. See
        `stator.options.WriteOptions`.

        Raises ConditionalCheckFailedError, ValidationError (key missing or of the wrong type, item above 400 KB, ...),
        ResourceNotFoundError, TransactionConflictError (a transaction was at work on the item each time), TypeError for
        a value that cannot be stored.

            await client.put_item("music", {"artist": "Nina Simone", "year": 1964}, condition=~attr("artist").exists())
        """
        reply = await self._write(self._requests.put(table, item, options), options)
        return write_result(reply.put_item)

    async def update_item(
        self, table: str, key: Mapping[str, Any], update: str | Update | None = None, **options: Unpack[WriteOptions]
    ) -> WriteResult:
        """Changes attributes of the item with this key, which is made if there is none. No update: makes it, no more.

        Options: those of put_item; return_values may be "ALL_OLD", "UPDATED_OLD", "ALL_NEW" or "UPDATED_NEW".

        Raises as put_item, and ValidationError for an update that does not fit the item.

            song = {"artist": "Nina Simone", "year": 1964}
            result = await client.update_item("music", song, update().add("plays", 1), return_values="UPDATED_NEW")
            result.attributes  # {"plays": 1}
            await client.update_item("music", song, "SET title = :t", values={":t": "I Put a Spell on You"})
        """
        reply = await self._write(self._requests.update(table, key, update, options), options)
        return write_result(reply.update_item)

    async def delete_item(self, table: str, key: Mapping[str, Any], **options: Unpack[WriteOptions]) -> WriteResult:
        """Deletes the item with this key; nothing happens if there is none.

        Options and errors: those of put_item.

            await client.delete_item("music", {"artist": "Nina Simone", "year": 1964}, condition=attr("plays").eq(0))
        """
        reply = await self._write(self._requests.delete(table, key, options), options)
        return write_result(reply.delete_item)

    @overload
    async def get_item(
        self, table: str, key: Mapping[str, Any], *, as_type: None = None, **options: Unpack[ReadOptions]
    ) -> Item | None: ...

    @overload
    async def get_item(
        self, table: str, key: Mapping[str, Any], *, as_type: type[ObjectT], **options: Unpack[ReadOptions]
    ) -> ObjectT | None: ...

    async def get_item(
        self, table: str, key: Mapping[str, Any], *, as_type: Any = None, **options: Unpack[ReadOptions]
    ) -> Any:
        """The item with this key, or None.

        Options: consistent_read, projection, names, on_capacity, timeout_s. See `stator.options.ReadOptions`.
        With `consistent_read` it reflects every write that was acknowledged before; without, it may be a little behind,
        and is answered by any replica.

            item = await client.get_item("music", {"artist": "Nina Simone", "year": 1964}, consistent_read=True)
        """
        on_capacity = options.get("on_capacity")
        read = _reader(as_type)
        request = self._requests.get(table, key, options)
        found = (await self._connection.send(request, options.get("timeout_s"))).get_item
        if on_capacity is not None:
            on_capacity(consumed_capacity(found.consumed_capacity))
        if not found.HasField("item"):
            return None
        item = decode_item(found.item)
        return item if read is None else read(item)

    # ---- batches

    async def batch_write_item(
        self,
        table: str,
        *,
        put: Iterable[Any] = (),
        delete: Iterable[Mapping[str, Any]] = (),
        on_capacity: Callable[[ConsumedCapacity], object] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Puts items and deletes keys, any number of them, 25 a request; what the server leaves over is sent again.

        Not a transaction: on an error some writes may have been carried out. `timeout_s` bounds each request of 25;
        `on_capacity` is called with what each consumed. Naming one key twice is a ValidationError if both fall into one
        request: `batch_writer` takes them.

            await client.batch_write_item("music", put=[{"id": number} for number in range(1000)])
        """
        await self._batches(table, on_capacity, timeout_s).write(put, delete)

    def batch_writer(self, table: str, *, timeout_s: float | None = None) -> AsyncBatchWriter:
        """Writes that gather and leave 25 a request, for when they come one by one. `timeout_s` bounds each request.

            async with client.batch_writer("music") as batch:
                for song in songs:
                    await batch.put_item(song)

        Writes of one key happen in their order. See `AsyncBatchWriter`.
        """

        async def key_names() -> tuple[str, ...]:
            described = await self.describe_table(table)
            return tuple(each.name for each in (described.partition_key, described.sort_key) if each is not None)

        return AsyncBatchWriter(self._batches(table, None, timeout_s), key_names)

    @overload
    async def batch_get_item(
        self,
        table: str,
        keys: Iterable[Mapping[str, Any]],
        *,
        as_type: None = None,
        **options: Unpack[ReadOptions],
    ) -> list[Item | None]: ...

    @overload
    async def batch_get_item(
        self,
        table: str,
        keys: Iterable[Mapping[str, Any]],
        *,
        as_type: type[ObjectT],
        **options: Unpack[ReadOptions],
    ) -> list[ObjectT | None]: ...

    async def batch_get_item(
        self,
        table: str,
        keys: Iterable[Mapping[str, Any]],
        *,
        as_type: Any = None,
        **options: Unpack[ReadOptions],
    ) -> list[Any]:
        """The items of these keys, in their order; None where there is none. Any number, 100 a request.

        A key may be named twice. Options: those of get_item; `timeout_s` bounds each request of 100.

            items = await client.batch_get_item("users", [{"id": 1}, {"id": 2}])
        """
        read = _reader(as_type)
        batches = self._batches(table, options.get("on_capacity"), options.get("timeout_s"))
        items = await batches.read(keys, options)
        return items if read is None else [None if item is None else read(item) for item in items]

    # ---- many items

    @overload
    def query(
        self,
        table: str,
        key_condition: str | KeyCondition,
        *,
        limit: int | None = None,
        as_type: None = None,
        **options: Unpack[QueryOptions],
    ) -> AsyncIterator[Item]: ...

    @overload
    def query(
        self,
        table: str,
        key_condition: str | KeyCondition,
        *,
        limit: int | None = None,
        as_type: type[ObjectT],
        **options: Unpack[QueryOptions],
    ) -> AsyncIterator[ObjectT]: ...

    def query(
        self,
        table: str,
        key_condition: str | KeyCondition,
        *,
        limit: int | None = None,
        as_type: Any = None,
        **options: Unpack[QueryOptions],
    ) -> AsyncIterator[Any]:
        """The items of one partition key, by their sort key, page by page as they are asked for; at most `limit`.

        Options: index, filter, projection, names, values, descending, consistent_read, page_items, start_key,
        timeout_s (of each page). See `stator.options.QueryOptions`.

            condition = key("artist").eq("Nina Simone") & key("year").ge(1960)
            async for item in client.query("music", condition, filter=attr("plays").gt(9), descending=True):
                print(item)
        """
        return _flat(self._query_items(table, key_condition, limit=limit, as_type=as_type, **options))

    @overload
    def query_pages(
        self,
        table: str,
        key_condition: str | KeyCondition,
        *,
        limit: int | None = None,
        select: Select | None = None,
        return_consumed_capacity: ReturnConsumedCapacity = "NONE",
        as_type: None = None,
        **options: Unpack[QueryOptions],
    ) -> AsyncGenerator[Page[Item], None]: ...

    @overload
    def query_pages(
        self,
        table: str,
        key_condition: str | KeyCondition,
        *,
        limit: int | None = None,
        select: Select | None = None,
        return_consumed_capacity: ReturnConsumedCapacity = "NONE",
        as_type: type[ObjectT],
        **options: Unpack[QueryOptions],
    ) -> AsyncGenerator[Page[ObjectT], None]: ...

    def query_pages(
        self,
        table: str,
        key_condition: str | KeyCondition,
        *,
        limit: int | None = None,
        select: Select | None = None,
        return_consumed_capacity: ReturnConsumedCapacity = "NONE",
        as_type: Any = None,
        **options: Unpack[QueryOptions],
    ) -> ItemPages:
        """As `query`, a `Page` for each request: with its counts, where to go on, and what it consumed.

        With a filter and a `limit`, no request looks at more items than are still wanted, so that `last_evaluated_key`
        is exact: there may be many requests.

            async for page in client.query_pages("music", key("artist").eq("Nina Simone"), page_items=100):
                print(page.count, page.scanned_count, page.last_evaluated_key)
        """
        pages: PageParts = {"select": select, "return_consumed_capacity": return_consumed_capacity}
        request = self._requests.query(table, key_condition, options, pages)
        return self._pages(request, _asks(limit, options), options, _reader(as_type))

    async def query_count(self, table: str, key_condition: str | KeyCondition, **options: Unpack[CountOptions]) -> int:
        """How many items `query` would give; none is sent. Options: index, filter, names, values, consistent_read."""
        return await _count(self.query_pages(table, key_condition, select="COUNT", **options))

    @overload
    def scan(
        self, table: str, *, limit: int | None = None, as_type: None = None, **options: Unpack[ScanOptions]
    ) -> AsyncIterator[Item]: ...

    @overload
    def scan(
        self, table: str, *, limit: int | None = None, as_type: type[ObjectT], **options: Unpack[ScanOptions]
    ) -> AsyncIterator[ObjectT]: ...

    def scan(
        self, table: str, *, limit: int | None = None, as_type: Any = None, **options: Unpack[ScanOptions]
    ) -> AsyncIterator[Any]:
        """Every item of a table, in no useful order, page by page as they are asked for; at most `limit` of them.

        Options: index, filter, projection, names, values, consistent_read, page_items, start_key, segment,
        total_segments, timeout_s (of each page). See `stator.options.ScanOptions`.

            async for item in client.scan("music", filter=attr("plays").gt(100)):
                print(item)
        """
        return _flat(self._scan_items(table, limit=limit, as_type=as_type, **options))

    @overload
    def scan_pages(
        self,
        table: str,
        *,
        limit: int | None = None,
        select: Select | None = None,
        return_consumed_capacity: ReturnConsumedCapacity = "NONE",
        as_type: None = None,
        **options: Unpack[ScanOptions],
    ) -> AsyncGenerator[Page[Item], None]: ...

    @overload
    def scan_pages(
        self,
        table: str,
        *,
        limit: int | None = None,
        select: Select | None = None,
        return_consumed_capacity: ReturnConsumedCapacity = "NONE",
        as_type: type[ObjectT],
        **options: Unpack[ScanOptions],
    ) -> AsyncGenerator[Page[ObjectT], None]: ...

    def scan_pages(
        self,
        table: str,
        *,
        limit: int | None = None,
        select: Select | None = None,
        return_consumed_capacity: ReturnConsumedCapacity = "NONE",
        as_type: Any = None,
        **options: Unpack[ScanOptions],
    ) -> ItemPages:
        """As `scan`, a `Page` for each request. See `query_pages`."""
        pages: PageParts = {"select": select, "return_consumed_capacity": return_consumed_capacity}
        request = self._requests.scan(table, options, pages)
        return self._pages(request, _asks(limit, options), options, _reader(as_type))

    async def scan_count(self, table: str, **options: Unpack[CountOptions]) -> int:
        """How many items `scan` would give; none is sent. Options: index, filter, names, values, consistent_read."""
        return await _count(self.scan_pages(table, select="COUNT", **options))

    @overload
    def parallel_scan(
        self,
        table: str,
        segments: int = SEGMENTS_DEFAULT,
        *,
        as_type: None = None,
        **options: Unpack[ParallelScanOptions],
    ) -> AsyncIterator[Item]: ...

    @overload
    def parallel_scan(
        self,
        table: str,
        segments: int = SEGMENTS_DEFAULT,
        *,
        as_type: type[ObjectT],
        **options: Unpack[ParallelScanOptions],
    ) -> AsyncIterator[ObjectT]: ...

    def parallel_scan(
        self,
        table: str,
        segments: int = SEGMENTS_DEFAULT,
        *,
        as_type: Any = None,
        **options: Unpack[ParallelScanOptions],
    ) -> AsyncIterator[Any]:
        """Every item of a table, read as so many parts at once, 64 at most at a time: faster, and in no order at all.

        Options: index, filter, projection, names, values, consistent_read, page_items, timeout_s (of each page).

            async for item in client.parallel_scan("music", segments=8):
                print(item)
        """
        return _flat(self._parallel_items(table, segments, as_type=as_type, **options))

    # ---- inside

    async def _write(self, request: Request, options: WriteOptions) -> passthrough_pb2.RawSessionReply:
        return await self._connection.send(request, options.get("timeout_s"), options.get("conflict_attempts"))

    def _batches(
        self, table: str, on_capacity: Callable[[ConsumedCapacity], object] | None, timeout_s: float | None
    ) -> BatchCalls:
        return BatchCalls(self._connection, table, on_capacity, self._connection.limit_s(timeout_s))

    def _query_items(
        self,
        table: str,
        key_condition: str | KeyCondition,
        *,
        limit: int | None,
        as_type: Any,
        **options: Unpack[QueryOptions],
    ) -> ItemPages:
        request = self._requests.query(table, key_condition, options, {})
        return _first(limit, self._pages(request, _asks_freely(limit, options), options, _reader(as_type)))

    def _scan_items(self, table: str, *, limit: int | None, as_type: Any, **options: Unpack[ScanOptions]) -> ItemPages:
        request = self._requests.scan(table, options, {})
        return _first(limit, self._pages(request, _asks_freely(limit, options), options, _reader(as_type)))

    def _parallel_items(
        self, table: str, segments: int, *, as_type: Any, **options: Unpack[ParallelScanOptions]
    ) -> ItemPages:
        if segments < 1:
            raise ValueError(f"a scan has 1 segment or more, not {segments}")
        parts = (
            self._scan_items(table, limit=None, as_type=as_type, segment=segment, total_segments=segments, **options)
            for segment in range(segments)
        )
        return _merged(parts, min(segments, _SEGMENTS_AT_ONCE_MAX))

    async def _pages(
        self,
        request: Request,
        ask: Callable[[int], int | None],
        options: QueryOptions | ScanOptions,
        read: Callable[[Item], Any] | None,
    ) -> ItemPages:
        """`ask` says how many items the next request shall look at, given how many were returned; None ends."""
        operation = request.WhichOneof("operation")
        wire = request.query if operation == "query" else request.scan
        returned = 0
        while (limit := ask(returned)) is not None:
            wire.limit = limit
            reply = await self._connection.send(request, options.get("timeout_s"))
            answer = reply.query if operation == "query" else reply.scan
            page = page_of(answer)
            returned += page.count
            yield page if read is None else _read_page(page, read)
            if not answer.HasField("last_evaluated_key"):
                return
            wire.exclusive_start_key = answer.last_evaluated_key


def _reader(as_type: Any) -> Callable[[Item], Any] | None:
    return None if as_type is None else reader_of(as_type)


def _read_page(page: Page[Item], read: Callable[[Item], Any]) -> Page[Any]:
    items = [read(item) for item in page.items]
    return Page(items, page.count, page.scanned_count, page.last_evaluated_key, page.consumed_capacity)


def _asks(limit: int | None, options: QueryOptions | ScanOptions) -> Callable[[int], int | None]:
    """Never more than are still wanted: what is read is returned, or did not pass the filter."""
    page_items = options.get("page_items", 0)
    if limit is not None and limit < 0:
        raise ValueError(f"limit is None or a number of items, not {limit}")

    def ask(returned: int) -> int | None:
        if limit is None:
            return page_items
        left = limit - returned
        return min(left, page_items or left) if left > 0 else None

    return ask


def _asks_freely(limit: int | None, options: QueryOptions | ScanOptions) -> Callable[[int], int | None]:
    """With a filter whole pages: nobody sees where the last one was left."""
    exact = _asks(limit, options)
    if options.get("filter") is None:
        return exact
    page_items = options.get("page_items", 0)
    return lambda returned: None if exact(returned) is None else page_items


async def _first(limit: int | None, pages: ItemPages) -> ItemPages:
    """Pages without what is more than `limit`."""
    left = limit
    async with aclosing(pages):
        async for page in pages:
            if left is not None and len(page.items) > left:
                del page.items[left:]
            yield page
            if left is not None:
                left -= len(page.items)


async def _flat(pages: ItemPages) -> AsyncIterator[Any]:
    async with aclosing(pages):
        async for page in pages:
            for item in page.items:
                yield item


async def _count(pages: ItemPages) -> int:
    return sum([page.count async for page in pages])


async def _merged(parts: Iterable[ItemPages], at_once: int) -> ItemPages:
    """The pages of many generators as they come; `at_once` run, and as many pages wait. The first error ends all."""
    ready: asyncio.Queue[Page[Any] | None] = asyncio.Queue()
    room = asyncio.Semaphore(at_once)
    waiting = iter(parts)

    async def work() -> None:
        for pages in waiting:
            async with aclosing(pages):
                async for page in pages:
                    await room.acquire()
                    ready.put_nowait(page)

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())

    runner = asyncio.ensure_future(run())
    runner.add_done_callback(lambda _: ready.put_nowait(None))
    try:
        while (page := await ready.get()) is not None:
            room.release()
            yield page
        try:
            await runner
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
    finally:
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)
