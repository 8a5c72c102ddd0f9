"""Writes that come one by one and leave 25 a request, for the synchronous client."""

from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self

from statorpb import item_pb2

from stator.batch_writer import AsyncBatchWriter
from stator.batches import BATCH_WRITES_MAX

Call = Callable[[Coroutine[Any, Any, None]], None]


class BatchWriter:
    """Gathers writes on one table; made by `batch_writer`, used with `with`, by one thread. See `AsyncBatchWriter`.

    Crosses to the background thread once for 25 writes, so an error may be raised as much later.
    """

    def __init__(self, writer: AsyncBatchWriter, call: Call) -> None:
        self._writer = writer
        self._call = call
        self._gathered: list[tuple[item_pb2.Item, bool]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._hand_over()
        self._call(self._writer.__aexit__(kind, error, trace))

    def put_item(self, item: Any) -> None:
        """Puts a whole item, soon. Raises TypeError and ValidationError for what cannot be stored."""
        self._gather(self._writer.encode_put(item))

    def delete_item(self, key: Mapping[str, Any]) -> None:
        """Deletes the item with this key, soon."""
        self._gather(self._writer.encode_delete(key))

    def flush(self) -> None:
        """Sends what waits, and returns when everything is written. Raises the first error of any request."""
        self._hand_over()
        self._call(self._writer.flush())

    def _gather(self, write: tuple[item_pb2.Item, bool]) -> None:
        self._gathered.append(write)
        if len(self._gathered) >= BATCH_WRITES_MAX:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._call(self._writer.extend(gathered))
