"""Writes that come one by one and leave 25 a request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from statorpb import item_pb2

from stator.batch_calls import BatchCalls, Write
from stator.batches import BATCH_BYTES_MAX, BATCH_WRITES_MAX, BATCHES_AT_ONCE, key_identity
from stator.typed_items import to_item

KeyNames = Callable[[], Awaitable[tuple[str, ...]]]


class AsyncBatchWriter:
    """Gathers writes on one table; made by `batch_writer`, used with `async with`.

    When 25 have gathered they are sent, while more may come: 8 requests are under way at most, then `put_item` and
    `delete_item` wait. What the server leaves over is sent again. Writes of one key happen in their order: a later one
    takes the place of one that still waits, and is not sent before an earlier one has ended.

    The end of the block sends the rest and waits for all. The first error of a request is raised there or by the next
    write; writes before and after it may or may not have been carried out. If the block itself ends with an error,
    what waits is not sent.
    """

    def __init__(self, calls: BatchCalls, key_names: KeyNames) -> None:
        self._calls = calls
        self._find_key_names = key_names
        self._key_names: tuple[str, ...] | None = None
        self._waiting: dict[Any, Write] = {}
        self._waiting_bytes = 0
        self._under_way: dict[asyncio.Task[None], frozenset[Any]] = {}
        self._error: BaseException | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.flush()
        else:
            await self._wait_all()

    async def put_item(self, item: Any) -> None:
        """Puts a whole item, soon. Raises TypeError and ValidationError for what cannot be stored."""
        await self.extend([self.encode_put(item)])

    async def delete_item(self, key: Mapping[str, Any]) -> None:
        """Deletes the item with this key, soon."""
        await self.extend([self.encode_delete(key)])

    async def flush(self) -> None:
        """Sends what waits, and returns when everything is written. Raises the first error of any request."""
        if self._waiting:
            await self._send_waiting()
        await self._wait_all()
        self._raise_error()

    def encode_put(self, item: Any) -> tuple[item_pb2.Item, bool]:
        """For `extend`."""
        wire = item_pb2.Item()
        self._calls.encoder.fill_item(wire, to_item(item))
        return wire, True

    def encode_delete(self, key: Mapping[str, Any]) -> tuple[item_pb2.Item, bool]:
        """For `extend`."""
        wire = item_pb2.Item()
        self._calls.encoder.fill_item(wire, key)
        return wire, False

    async def extend(self, writes: list[tuple[item_pb2.Item, bool]]) -> None:
        """Takes many writes: (item or key, whether it is put)."""
        if self._key_names is None:
            self._key_names = await self._find_key_names()
        for wire, is_put in writes:
            self._raise_error()
            present = [name for name in self._key_names if name in wire.attributes]
            identity = key_identity({name: wire.attributes[name] for name in present})
            data = wire.SerializeToString()
            replaced = self._waiting.pop(identity, None)
            if replaced is not None:
                self._waiting_bytes -= replaced.ByteSize()
            write = Write(put=data) if is_put else Write(delete_key=data)
            self._waiting[identity] = write
            self._waiting_bytes += write.ByteSize()
            if len(self._waiting) >= BATCH_WRITES_MAX or self._waiting_bytes >= BATCH_BYTES_MAX:
                await self._send_waiting()

    async def _send_waiting(self) -> None:
        keys = frozenset(self._waiting)
        while len(self._under_way) >= BATCHES_AT_ONCE or any(keys & others for others in self._under_way.values()):
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        self._raise_error()
        writes, self._waiting, self._waiting_bytes = list(self._waiting.values()), {}, 0
        task = asyncio.ensure_future(self._calls.write_batch(writes))
        self._under_way[task] = keys
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        del self._under_way[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = self._error or error

    async def _wait_all(self) -> None:
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
