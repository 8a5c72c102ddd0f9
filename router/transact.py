"""TransactWriteItems and TransactGetItems on tables that are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from router.partition_map_cache import MetadataClient, PartitionMapCache, Table
from router.requests.transact_get_items import TransactGetItemsRequest
from router.requests.transact_write_items import TransactWriteItemsRequest
from router.results import TransactRead, TransactWritten
from router.storage_client import StorageClient
from server.model.errors import StatorError, UnknownOperationError

WriteDone = Callable[[TransactWritten | None, StatorError | None], None]
ReadDone = Callable[[TransactRead | None, StatorError | None], None]


class Transactions:
    """Carries out transactions. Every `done(result, error)` is called exactly once, with one of the two."""

    def __init__(self, cache: PartitionMapCache, storage: StorageClient, metadata: MetadataClient) -> None:
        self._cache = cache
        self._storage = storage
        self._metadata = metadata

    def write(
        self,
        request: TransactWriteItemsRequest,
        tables: Mapping[str, Table],
        deadline: float,
        token_seed: bytes,
        done: WriteDone,
        begun: float,
    ) -> None:
        """`deadline`, `token_seed` and `begun` as in Dispatcher.submit."""
        raise UnknownOperationError("TransactWriteItems is not supported")

    def read(
        self, request: TransactGetItemsRequest, tables: Mapping[str, Table], deadline: float, done: ReadDone
    ) -> None:
        """`deadline`: loop time in seconds."""
        raise UnknownOperationError("TransactGetItems is not supported")
