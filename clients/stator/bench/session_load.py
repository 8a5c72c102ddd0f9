"""A closed loop on the session door: the SDK's own streams, with many requests under way on each."""

import asyncio
import os
import random
from collections.abc import Sequence

from statorpb import items_pb2, passthrough_pb2

from stator.bench.measurement import MISSING, Measurement, now
from stator.bench.workload import (
    COLLECTION_ITEMS,
    FIELD,
    PARTITION_KEY,
    QUERY,
    UPDATE,
    KeyChooser,
    Workload,
    key,
)
from stator.errors import StatorError
from stator.transport import Endpoint

_TIMEOUT_S = 10.0
_RECONNECT_S = 0.1
_TOKEN_HEAD = b"\x1a\x10"  # SessionRequest.token, 16 bytes


class SessionLoad:
    """`lanes` requests under way, spread over a session to each endpoint."""

    def __init__(
        self, endpoints: Sequence[str], lanes: int, workload: Workload, measurement: Measurement, rng: random.Random
    ) -> None:
        self._measurement = measurement
        self._lanes = lanes
        self._endpoints = [Endpoint(address) for address in endpoints]
        self._is_stopping = False
        self._random = rng.random
        self._read_fraction = workload.read_fraction
        self._keys = KeyChooser(workload.keys, workload.distribution, rng)
        put, get = items_pb2.SessionRequest(), items_pb2.SessionRequest()
        put.put_item.table_name = get.get_item.table_name = workload.table
        put.put_item.item.attributes[PARTITION_KEY].s = get.get_item.key.attributes[PARTITION_KEY].s = key(0)
        put.put_item.item.attributes[FIELD].s = workload.value()
        get.get_item.consistent_read = workload.is_consistent
        self._other_head, self._other_tail = _other(workload, put).SerializeToString().split(key(0).encode())
        self._get_head, self._get_tail = get.SerializeToString().split(key(0).encode())

    async def start(self) -> None:
        for lane in range(self._lanes):
            self._send(lane)

    async def stop(self) -> None:
        self._is_stopping = True
        for endpoint in self._endpoints:
            await endpoint.close()

    def _send(self, lane: int) -> None:
        if self._is_stopping:
            return
        name = key(self._keys.next()).encode()
        if self._random() < self._read_fraction:
            body = self._get_head + name + self._get_tail
        else:
            body = _TOKEN_HEAD + os.urandom(16) + self._other_head + name + self._other_tail
        began = now()
        future = self._endpoints[lane % len(self._endpoints)].session.send(body, _TIMEOUT_S)
        future.add_done_callback(lambda done: self._answered(lane, began, done))

    def _answered(self, lane: int, began: float, done: "asyncio.Future[passthrough_pb2.RawSessionReply]") -> None:
        error = done.exception()
        if error is None:
            reply = done.result()
            if reply.HasField("error"):
                self._measurement.note_error(reply.error.code)
            elif _is_short(reply):
                self._measurement.note_error(MISSING)
            else:
                self._measurement.note(began)
            self._send(lane)
            return
        if not isinstance(error, StatorError):
            raise error
        self._measurement.note_error(type(error).__name__)
        # The lane moves on to the next router, after a moment.
        asyncio.get_running_loop().call_later(_RECONNECT_S, self._send, lane + 1)


def _is_short(reply: passthrough_pb2.RawSessionReply) -> bool:
    """Whether an answer lacks what was to be read."""
    if reply.HasField("query"):
        return reply.query.count < COLLECTION_ITEMS
    return reply.HasField("get_item") and not reply.get_item.HasField("item")


def _other(workload: Workload, put: items_pb2.SessionRequest) -> items_pb2.SessionRequest:
    """What is asked for where it is not a read of one item."""
    request = items_pb2.SessionRequest()
    if workload.name == UPDATE:
        update = request.update_item
        update.table_name = workload.table
        update.key.attributes[PARTITION_KEY].s = key(0)
        update.update_expression = "SET hits = if_not_exists(hits, :none) + :one"
        update.condition_expression = f"attribute_exists({PARTITION_KEY})"
        update.expression_attribute_values.attributes[":none"].n = "0"
        update.expression_attribute_values.attributes[":one"].n = "1"
    elif workload.name == QUERY:
        query = request.query
        query.table_name = workload.table
        query.key_condition_expression = f"{PARTITION_KEY} = :pk"
        query.expression_attribute_values.attributes[":pk"].s = key(0)
        query.consistent_read = workload.is_consistent
    else:
        return put
    return request
