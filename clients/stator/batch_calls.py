"""BatchWriteItem and BatchGetItem on one table, with any number of writes and keys."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from statorpb import item_pb2, items_pb2, passthrough_pb2

from stator.batches import BATCH_GET_KEYS_MAX, BATCH_WRITES_MAX, BATCHES_AT_ONCE, batches, key_identity
from stator.connection import Connection
from stator.expressions import Attribute, Placeholders, projection_text
from stator.item_requests import TOKEN_BYTES, Request, check_names
from stator.options import Projection, ReadOptions
from stator.results import ConsumedCapacity, consumed_capacity
from stator.typed_items import to_item
from stator.values import Item, item_value, parse_item

BatchT = TypeVar("BatchT")
Write = passthrough_pb2.RawWriteRequest


class BatchCalls:
    """The requests of one batch call: 25 writes or 100 keys each, what the server leaves over sent again.

    `timeout_s` bounds each request with its repetitions; `on_capacity` is called with what each consumed.
    """

    def __init__(
        self,
        connection: Connection,
        table: str,
        on_capacity: Callable[[ConsumedCapacity], object] | None,
        timeout_s: float,
    ) -> None:
        self.table = table
        self.encoder = connection.encoder
        self._connection = connection
        self._on_capacity = on_capacity
        self._timeout_s = timeout_s

    async def write(self, put: Iterable[Any], delete: Iterable[Mapping[str, Any]]) -> None:
        """Puts, then deletes, each made only when it can be sent."""

        def writes() -> Iterable[Write]:
            for item in put:
                yield Write(put=self.encoder.encode_item(to_item(item)))
            for key in delete:
                yield Write(delete_key=self.encoder.encode_item(key))

        await _run_batches(batches(writes(), BATCH_WRITES_MAX), self.write_batch)

    async def read(self, keys: Iterable[Mapping[str, Any]], options: ReadOptions) -> list[Item | None]:
        """The items, in the order of the keys."""
        check_names(options, ReadOptions)
        wires: dict[Any, item_pb2.Item] = {}
        identities = []
        key_names: set[str] = set()
        for key in keys:
            wire = item_pb2.Item()
            self.encoder.fill_item(wire, key)
            identity = key_identity(wire.attributes)
            identities.append(identity)
            wires[identity] = wire
            key_names.update(wire.attributes)
        asked, only_for_us = _with_key(options.get("projection"), options.get("names"), sorted(key_names))
        asked.consistent_read = options.get("consistent_read", False)
        asked.table_name = self.table
        found: dict[Any, Item] = {}

        def take(data: bytes) -> None:
            item = parse_item(data)
            key_part = {name: value for name, value in item.attributes.items() if name in key_names}
            identity = key_identity(key_part)
            for name in only_for_us:
                del item.attributes[name]
            found[identity] = item_value(item)

        async def send(batch: list[item_pb2.Item]) -> None:
            await self._read_batch(asked, [key.SerializeToString() for key in batch], take)

        await _run_batches(batches(wires.values(), BATCH_GET_KEYS_MAX), send)
        return [found.get(identity) for identity in identities]

    async def write_batch(self, writes: list[Write]) -> None:
        """Up to 25 writes. Raises UnavailableError if some are left over each time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        attempt = 0
        while writes:
            # A new token each time: a token names a whole request, and what is left over is another one.
            request = Request(token=os.urandom(TOKEN_BYTES))
            request.batch_write_item.tables.add(table_name=self.table, writes=writes)
            if self._on_capacity is not None:
                request.batch_write_item.return_consumed_capacity = items_pb2.RETURN_CONSUMED_CAPACITY_INDEXES
            answer = (await self._connection.send(request, max(0.001, deadline - loop.time()))).batch_write_item
            self._tell_capacity(answer.consumed_capacity)
            writes = [write for unprocessed in answer.unprocessed for write in unprocessed.writes]
            if writes:
                await self._connection.wait_unprocessed(attempt, deadline, len(writes))
                attempt += 1

    async def _read_batch(
        self, asked: passthrough_pb2.RawTableKeys, keys: list[bytes], take: Callable[[bytes], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        attempt = 0
        while keys:
            request = Request()
            table = request.batch_get_item.tables.add()
            table.CopyFrom(asked)
            table.keys.extend(keys)
            if self._on_capacity is not None:
                request.batch_get_item.return_consumed_capacity = items_pb2.RETURN_CONSUMED_CAPACITY_INDEXES
            answer = (await self._connection.send(request, max(0.001, deadline - loop.time()))).batch_get_item
            self._tell_capacity(answer.consumed_capacity)
            for answered in answer.tables:
                for item in answered.items:
                    take(item)
            keys = [key for unprocessed in answer.unprocessed for key in unprocessed.keys]
            if keys:
                await self._connection.wait_unprocessed(attempt, deadline, len(keys))
                attempt += 1

    def _tell_capacity(self, consumed: Iterable[items_pb2.ConsumedCapacity]) -> None:
        if self._on_capacity is not None:
            for each in consumed:
                self._on_capacity(consumed_capacity(each))


def _with_key(
    projection: Projection | None, names: Mapping[str, str] | None, key_names: list[str]
) -> tuple[passthrough_pb2.RawTableKeys, list[str]]:
    """A projection that has the key, by which answers are told apart; and what of the key was not asked for."""
    placeholders = Placeholders(names)
    if projection is None:
        return passthrough_pb2.RawTableKeys(expression_attribute_names=placeholders.names), []
    paths = projection if isinstance(projection, str) else list(projection)
    text = projection_text(paths, placeholders)
    if isinstance(paths, str):
        parts = (part.strip() for part in paths.split(","))
        asked = {placeholders.names.get(part, part) for part in parts}
    else:
        asked = {str(path[0]) for path in (Attribute(each).path for each in paths) if len(path) == 1}
    missing = [name for name in key_names if name not in asked]
    text = ", ".join([text, *(placeholders.name(name) for name in missing)])
    table = passthrough_pb2.RawTableKeys(projection_expression=text, expression_attribute_names=placeholders.names)
    return table, missing


async def _run_batches(made: Iterable[list[BatchT]], send: Callable[[list[BatchT]], Awaitable[None]]) -> None:
    """Sends batches, BATCHES_AT_ONCE at a time, each made only when it can be sent; the first error ends it."""
    iterator = iter(made)

    async def work() -> None:
        for batch in iterator:
            await send(batch)

    workers = [asyncio.ensure_future(work()) for _ in range(BATCHES_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
