"""The operations on one table's items, which block."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Unpack

from stator.changes import TIMEOUT_S_DEFAULT
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
from stator.sync_batch_writer import BatchWriter
from stator.sync_streams import Changes
from stator.transaction_members import TransactGet

if TYPE_CHECKING:
    from stator.sync_client import Client


class Table(Generic[ItemT]):
    """A table by its name; made by `Client.table`. Its methods are the client's, without the name of the table.

    songs = client.table("music")
    for song in songs.query(key("artist").eq("Nina Simone")):
        print(song)
    """

    def __init__(self, client: "Client", name: str, as_type: Any) -> None:
        self.name: str = name
        self._client = client
        self.as_type: Any = as_type

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def describe(self, *, timeout_s: float | None = None) -> TableDescription:
        """The table's key, state and size. Raises ResourceNotFoundError."""
        return self._client.describe_table(self.name, timeout_s=timeout_s)

    def put_item(self, item: Any, **options: Unpack[WriteOptions]) -> WriteResult:
        """Writes a whole item. See AsyncClient.put_item."""
        return self._client.put_item(self.name, item, **options)

    def update_item(
        self, key: Mapping[str, Any], update: str | Update | None = None, **options: Unpack[WriteOptions]
    ) -> WriteResult:
        """Changes attributes of an item. See AsyncClient.update_item."""
        return self._client.update_item(self.name, key, update, **options)

    def delete_item(self, key: Mapping[str, Any], **options: Unpack[WriteOptions]) -> WriteResult:
        """Deletes the item with this key. See AsyncClient.delete_item."""
        return self._client.delete_item(self.name, key, **options)

    def get_item(self, key: Mapping[str, Any], **options: Unpack[ReadOptions]) -> ItemT | None:
        """The item with this key, or None. See AsyncClient.get_item."""
        found: ItemT | None = self._client.get_item(self.name, key, as_type=self.as_type, **options)
        return found

    def batch_write_item(
        self,
        *,
        put: Iterable[Any] = (),
        delete: Iterable[Mapping[str, Any]] = (),
        on_capacity: Callable[[ConsumedCapacity], object] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Puts items and deletes keys, any number of them. See AsyncClient.batch_write_item."""
        self._client.batch_write_item(self.name, put=put, delete=delete, on_capacity=on_capacity, timeout_s=timeout_s)

    def batch_writer(self, *, timeout_s: float | None = None) -> BatchWriter:
        """Writes that gather and leave 25 a request. See AsyncClient.batch_writer."""
        return self._client.batch_writer(self.name, timeout_s=timeout_s)

    def batch_get_item(self, keys: Iterable[Mapping[str, Any]], **options: Unpack[ReadOptions]) -> list[ItemT | None]:
        """The items of these keys, in their order. See AsyncClient.batch_get_item."""
        found: list[ItemT | None] = self._client.batch_get_item(self.name, keys, as_type=self.as_type, **options)
        return found

    def transact_get_items(
        self,
        keys: Iterable[Mapping[str, Any]],
        *,
        projection: Projection | None = None,
        names: Mapping[str, str] | None = None,
        **options: Unpack[TransactGetOptions],
    ) -> list[ItemT | None]:
        """The items of these keys as they were at one moment, in their order. See AsyncClient.transact_get_items."""
        gets = [TransactGet(self, key, projection=projection, names=names) for key in keys]
        found: list[ItemT | None] = self._client.transact_get_items(gets, **options)
        return found

    def query(
        self, key_condition: str | KeyCondition, *, limit: int | None = None, **options: Unpack[QueryOptions]
    ) -> Iterator[ItemT]:
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
    ) -> Iterator[Page[ItemT]]:
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

    def query_count(self, key_condition: str | KeyCondition, **options: Unpack[CountOptions]) -> int:
        """How many items `query` would give. See AsyncClient.query_count."""
        return self._client.query_count(self.name, key_condition, **options)

    def scan(self, *, limit: int | None = None, **options: Unpack[ScanOptions]) -> Iterator[ItemT]:
        """Every item of the table. See AsyncClient.scan."""
        return self._client.scan(self.name, limit=limit, as_type=self.as_type, **options)

    def scan_pages(
        self,
        *,
        limit: int | None = None,
        select: Select | None = None,
        return_consumed_capacity: ReturnConsumedCapacity = "NONE",
        **options: Unpack[ScanOptions],
    ) -> Iterator[Page[ItemT]]:
        """As `scan`, a `Page` for each request. See AsyncClient.scan_pages."""
        return self._client.scan_pages(
            self.name,
            limit=limit,
            select=select,
            return_consumed_capacity=return_consumed_capacity,
            as_type=self.as_type,
            **options,
        )

    def scan_count(self, **options: Unpack[CountOptions]) -> int:
        """How many items `scan` would give. See AsyncClient.scan_count."""
        return self._client.scan_count(self.name, **options)

    def parallel_scan(
        self, segments: int = SEGMENTS_DEFAULT, **options: Unpack[ParallelScanOptions]
    ) -> Iterator[ItemT]:
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
    ) -> Changes[ItemT]:
        """The changes of the table, as they come; it has to have a stream. See AsyncClient.changes."""
        made: Changes[ItemT] = self._client.changes(
            self.name,
            start,
            checkpoint=checkpoint,
            stream=stream,
            follow=follow,
            as_type=self.as_type,
            timeout_s=timeout_s,
        )
        return made
