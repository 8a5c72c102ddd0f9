"""The synchronous client's operations on items."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Unpack, overload

from stator.blocking import Blocking
from stator.descriptions import TableDescription
from stator.expressions import KeyCondition, Update
from stator.items import SEGMENTS_DEFAULT
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
from stator.results import ConsumedCapacity, Page, WriteResult
from stator.sync_batch_writer import BatchWriter
from stator.typed_items import ObjectT
from stator.values import Item


class SyncItemOperations(Blocking):
    """Items: one at a time, in batches, and as queries and scans find them. See ItemOperations for what each does."""

    @abstractmethod
    def describe_table(self, name: str, *, timeout_s: float | None = None) -> TableDescription: ...

    def put_item(self, table: str, item: Any, **options: Unpack[WriteOptions]) -> WriteResult:
        """Writes a whole item, in place of any that has its key. See AsyncClient.put_item."""
        return self._call(self._client.put_item(table, item, **options))

    def update_item(
        self, table: str, key: Mapping[str, Any], update: str | Update | None = None, **options: Unpack[WriteOptions]
    ) -> WriteResult:
        """Changes attributes of the item with this key, which is made if there is none. See AsyncClient.update_item."""
        return self._call(self._client.update_item(table, key, update, **options))

    def delete_item(self, table: str, key: Mapping[str, Any], **options: Unpack[WriteOptions]) -> WriteResult:
        """Deletes the item with this key; nothing happens if there is none. See AsyncClient.delete_item."""
        return self._call(self._client.delete_item(table, key, **options))

    @overload
    def get_item(
        self, table: str, key: Mapping[str, Any], *, as_type: None = None, **options: Unpack[ReadOptions]
    ) -> Item | None: ...

    @overload
    def get_item(
        self, table: str, key: Mapping[str, Any], *, as_type: type[ObjectT], **options: Unpack[ReadOptions]
    ) -> ObjectT | None: ...

    def get_item(
        self, table: str, key: Mapping[str, Any], *, as_type: Any = None, **options: Unpack[ReadOptions]
    ) -> Any:
        """The item with this key, or None. See AsyncClient.get_item."""
        return self._call(self._client.get_item(table, key, as_type=as_type, **options))

    def batch_write_item(
        self,
        table: str,
        *,
        put: Iterable[Any] = (),
        delete: Iterable[Mapping[str, Any]] = (),
        on_capacity: Callable[[ConsumedCapacity], object] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Puts items and deletes keys, any number of them. See AsyncClient.batch_write_item.

        The iterables are read on the background thread: they must not use a synchronous client themselves.
        """
        self._call(
            self._client.batch_write_item(table, put=put, delete=delete, on_capacity=on_capacity, timeout_s=timeout_s)
        )

    def batch_writer(self, table: str, *, timeout_s: float | None = None) -> BatchWriter:
        """Writes that gather and leave 25 a request, for when they come one by one. See AsyncClient.batch_writer."""
        return BatchWriter(self._client.batch_writer(table, timeout_s=timeout_s), self._call)

    @overload
    def batch_get_item(
        self,
        table: str,
        keys: Iterable[Mapping[str, Any]],
        *,
        as_type: None = None,
        **options: Unpack[ReadOptions],
    ) -> list[Item | None]: ...

    @overload
    def batch_get_item(
        self,
        table: str,
        keys: Iterable[Mapping[str, Any]],
        *,
        as_type: type[ObjectT],
        **options: Unpack[ReadOptions],
    ) -> list[ObjectT | None]: ...

    def batch_get_item(
        self,
        table: str,
        keys: Iterable[Mapping[str, Any]],
        *,
        as_type: Any = None,
        **options: Unpack[ReadOptions],
    ) -> list[Any]:
        """The items of these keys, in their order; None where there is none. See AsyncClient.batch_get_item."""
        return self._call(self._client.batch_get_item(table, keys, as_type=as_type, **options))

    @overload
    def query(
        self,
        table: str,
        key_condition: str | KeyCondition,
        *,
        limit: int | None = None,
        as_type: None = None,
        **options: Unpack[QueryOptions],
    ) -> Iterator[Item]: ...

    @overload
    def query(
        self,
        table: str,
        key_condition: str | KeyCondition,
        *,
        limit: int | None = None,
        as_type: type[ObjectT],
        **options: Unpack[QueryOptions],
    ) -> Iterator[ObjectT]: ...

    def query(
        self,
        table: str,
        key_condition: str | KeyCondition,
        *,
        limit: int | None = None,
        as_type: Any = None,
        **options: Unpack[QueryOptions],
    ) -> Iterator[Any]:
        """The items of one partition key, by their sort key; at most `limit`. See AsyncClient.query."""
        return self._iterate(self._client._query_items(table, key_condition, limit=limit, as_type=as_type, **options))

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
    ) -> Iterator[Page[Item]]: ...

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
    ) -> Iterator[Page[ObjectT]]: ...

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
    ) -> Iterator[Page[Any]]:
        """As `query`, a `Page` for each request. See AsyncClient.query_pages."""
        return self._iterate_pages(
            self._client.query_pages(
                table,
                key_condition,
                limit=limit,
                select=select,
                return_consumed_capacity=return_consumed_capacity,
                as_type=as_type,
                **options,
            )
        )

    def query_count(self, table: str, key_condition: str | KeyCondition, **options: Unpack[CountOptions]) -> int:
        """How many items `query` would give; none is sent. See AsyncClient.query_count."""
        return self._call(self._client.query_count(table, key_condition, **options))

    @overload
    def scan(
        self, table: str, *, limit: int | None = None, as_type: None = None, **options: Unpack[ScanOptions]
    ) -> Iterator[Item]: ...

    @overload
    def scan(
        self, table: str, *, limit: int | None = None, as_type: type[ObjectT], **options: Unpack[ScanOptions]
    ) -> Iterator[ObjectT]: ...

    def scan(
        self, table: str, *, limit: int | None = None, as_type: Any = None, **options: Unpack[ScanOptions]
    ) -> Iterator[Any]:
        """Every item of a table, in no useful order; at most `limit` of them. See AsyncClient.scan."""
        return self._iterate(self._client._scan_items(table, limit=limit, as_type=as_type, **options))

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
    ) -> Iterator[Page[Item]]: ...

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
    ) -> Iterator[Page[ObjectT]]: ...

    def scan_pages(
        self,
        table: str,
        *,
        limit: int | None = None,
        select: Select | None = None,
        return_consumed_capacity: ReturnConsumedCapacity = "NONE",
        as_type: Any = None,
        **options: Unpack[ScanOptions],
    ) -> Iterator[Page[Any]]:
        """As `scan`, a `Page` for each request. See AsyncClient.scan_pages."""
        return self._iterate_pages(
            self._client.scan_pages(
                table,
                limit=limit,
                select=select,
                return_consumed_capacity=return_consumed_capacity,
                as_type=as_type,
                **options,
            )
        )

    def scan_count(self, table: str, **options: Unpack[CountOptions]) -> int:
        """How many items `scan` would give; none is sent. See AsyncClient.scan_count."""
        return self._call(self._client.scan_count(table, **options))

    @overload
    def parallel_scan(
        self,
        table: str,
        segments: int = SEGMENTS_DEFAULT,
        *,
        as_type: None = None,
        **options: Unpack[ParallelScanOptions],
    ) -> Iterator[Item]: ...

    @overload
    def parallel_scan(
        self,
        table: str,
        segments: int = SEGMENTS_DEFAULT,
        *,
        as_type: type[ObjectT],
        **options: Unpack[ParallelScanOptions],
    ) -> Iterator[ObjectT]: ...

    def parallel_scan(
        self,
        table: str,
        segments: int = SEGMENTS_DEFAULT,
        *,
        as_type: Any = None,
        **options: Unpack[ParallelScanOptions],
    ) -> Iterator[Any]:
        """Every item of a table, many parts at once. See AsyncClient.parallel_scan."""
        return self._iterate(self._client._parallel_items(table, segments, as_type=as_type, **options))
