"""The operations on one table's items, for asyncio."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Unpack

from stator.batch_writer import AsyncBatchWriter
from stator.changes import TIMEOUT_S_DEFAULT, AsyncChanges
from stator.checkpoints import CheckpointStore
from stator.descriptions import TableDescription
from stator.expressions import KeyCondition, Update
from stator.items import SEGMENTS_DEFAULT
from stator.options import (
    CountOptions,
    ParallelScanOptions,
    Projection,
    QueryOptions,
    ReadOptions,
    ReturnConsumedCapacity,
    ScanOptions,
    Select,
    TransactGetOptions,
    WriteOptions,
)
from stator.results import ConsumedCapacity, ItemT, Page, WriteResult
from stator.stream_progress import Start
from stator.transaction_members import TransactGet

if TYPE_CHECKING:
    from stator.client import AsyncClient


class AsyncTable(Generic[ItemT]):
    """A table by its name; made by `AsyncClient.table`. Its methods are the client's, without the name of the table.

    songs = client.table("music")
    async for song in songs.query(key("artist").eq("Nina Simone")):
        print(song)
    """

    def __init__(self, client: "AsyncClient", name: str, as_type: Any) -> None:
        self.name: str = name
        self._client = client
        self.as_type: Any = as_type

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    async def describe(self, *, timeout_s: float | None = None) -> TableDescription:
        """The table's key, state and size. Raises ResourceNotFoundError."""
        return await self._client.describe_table(self.name, timeout_s=timeout_s)

    async def put_item(self, item: Any, **options: Unpack[WriteOptions]) -> WriteResult:
        """Writes a whole item. See AsyncClient.put_item."""
        return await self._client.put_item(self.name, item, **options)

    async def update_item(
        self, key: Mapping[str, Any], update: str | Update | None = None, **options: Unpack[WriteOptions]
    ) -> WriteResult:
        """Changes attributes of an item. See AsyncClient.update_item."""
        return await self._client.update_item(self.name, key, update, **options)

    async def delete_item(self, key: Mapping[str, Any], **options: Unpack[WriteOptions]) -> WriteResult:
        """Deletes the item with this key. See AsyncClient.delete_item."""
        return await self._client.delete_item(self.name, key, **options)

    async def get_item(self, key: Mapping[str, Any], **options: Unpack[ReadOptions]) -> ItemT | None:
        """The item with this key, or None. See AsyncClient.get_item."""
        found: ItemT | None = await self._client.get_item(self.name, key, as_type=self.as_type, **options)
        return found

    async def batch_write_item(
        self,
        *,
        put: Iterable[Any] = (),
        delete: Iterable[Mapping[str, Any]] = (),
        on_capacity: Callable[[ConsumedCapacity], object] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Puts items and deletes keys, any number of them. See AsyncClient.batch_write_item."""
        await self._client.batch_write_item(
            self.name, put=put, delete=delete, on_capacity=on_capacity, timeout_s=timeout_s
        )

    def batch_writer(self, *, timeout_s: float | None = None) -> AsyncBatchWriter:
        """Writes that gather and leave 25 a request. See AsyncClient.batch_writer."""
        return self._client.batch_writer(self.name, timeout_s=timeout_s)

    async def batch_get_item(
        self, keys: Iterable[Mapping[str, Any]], **options: Unpack[ReadOptions]
    ) -> list[ItemT | None]:
        """The items of these keys, in their order. See AsyncClient.batch_get_item."""
        found: list[ItemT | None] = await self._client.batch_get_item(self.name, keys, as_type=self.as_type, **options)
        return found

    async def transact_get_items(
        self,
        keys: Iterable[Mapping[str, Any]],
        *,
        projection: Projection | None = None,
        names: Mapping[str, str] | None = None,
        **options: Unpack[TransactGetOptions],
    ) -> list[ItemT | None]:
        """The items of these keys as they were at one moment, in their order. See AsyncClient.transact_get_items."""
        gets = [TransactGet(self, key, projection=projection, names=names) for key in keys]
        found: list[ItemT | None] = await self._client.transact_get_items(gets, **options)
        return found

    def query(
        self, key_condition: str | KeyCondition, *, limit: int | None = None, **options: Unpack[QueryOptions]
    ) -> AsyncIterator[ItemT]:
        """The items of one partition key, by their sort key. See AsyncClient.query."""
        return self._client.query(self.name, key_condition, limit=limit, as_type=self.as_type, **options)

    def query_pages(
        self,
        key_condition: str | KeyCondition,
        *,
        limit: int | None = None,
        select: Select | None = None,
        return_consumed_capacity: ReturnConsumedCapacity = "NONE",
        **options: Unpack[QueryOptions],
    ) -> AsyncGenerator[Page[ItemT], None]:
        """As `query`, a `Page` for each request. See AsyncClient.query_pages."""
        return self._client.query_pages(
            self.name,
            key_condition,
            limit=limit,
            select=select,
            return_consumed_capacity=return_consumed_capacity,
            as_type=self.as_type,
            **options,
        )

    async def query_count(self, key_condition: str | KeyCondition, **options: Unpack[CountOptions]) -> int:
        """How many items `query` would give. See AsyncClient.query_count."""
        return await self._client.query_count(self.name, key_condition, **options)

    def scan(self, *, limit: int | None = None, **options: Unpack[ScanOptions]) -> AsyncIterator[ItemT]:
        """Every item of the table. See AsyncClient.scan."""
        return self._client.scan(self.name, limit=limit, as_type=self.as_type, **options)

    def scan_pages(
        self,
        *,
        limit: int | None = None,
        select: Select | None = None,
        return_consumed_capacity: ReturnConsumedCapacity = "NONE",
        **options: Unpack[ScanOptions],
    ) -> AsyncGenerator[Page[ItemT], None]:
        """As `scan`, a `Page` for each request. See AsyncClient.scan_pages."""
        return self._client.scan_pages(
            self.name,
            limit=limit,
            select=select,
            return_consumed_capacity=return_consumed_capacity,
            as_type=self.as_type,
            **options,
        )

    async def scan_count(self, **options: Unpack[CountOptions]) -> int:
        """How many items `scan` would give. See AsyncClient.scan_count."""
        return await self._client.scan_count(self.name, **options)

    def parallel_scan(
        self, segments: int = SEGMENTS_DEFAULT, **options: Unpack[ParallelScanOptions]
    ) -> AsyncIterator[ItemT]:
        """Every item of the table, many parts at once. See AsyncClient.parallel_scan."""
        return self._client.parallel_scan(self.name, segments, as_type=self.as_type, **options)

    def changes(
        self,
        start: Start = "oldest",
        *,
        checkpoint: CheckpointStore | None = None,
        stream: str | None = None,
        follow: bool = True,
        timeout_s: float = TIMEOUT_S_DEFAULT,
    ) -> AsyncChanges[ItemT]:
        """The changes of the table, as they come; it has to have a stream. See AsyncClient.changes."""
        made: AsyncChanges[ItemT] = self._client.changes(
            self.name,
            start,
            checkpoint=checkpoint,
            stream=stream,
            follow=follow,
            as_type=self.as_type,
            timeout_s=timeout_s,
        )
        return made
