"""A closed loop on the HTTP door: connections that each keep one request under way, as AWS SDKs do.

Requests are put together from parts made beforehand and answers are read just far enough to know whether they are
good, so that the load generator leaves the processors to what it measures.
"""

import asyncio
import json
import random
import re
from collections.abc import Sequence

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

_RECONNECT_S = 0.1
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ERROR_NAME = re.compile(rb'"__type" *: *"[^"]*?([A-Za-z]+)"')


class HttpLoad:
    """`lanes` connections, spread over the endpoints."""

    def __init__(
        self, endpoints: Sequence[str], lanes: int, workload: Workload, measurement: Measurement, rng: random.Random
    ) -> None:
        self.measurement = measurement
        self.is_stopping = False
        self.requests = _Requests(workload, rng)
        self._endpoints = endpoints
        self._connections = [_Connection(self, lane) for lane in range(lanes)]

    async def start(self) -> None:
        """Connects every lane and sends its first request. Raises OSError."""
        await asyncio.gather(*(connection.connect() for connection in self._connections))

    async def stop(self) -> None:
        self.is_stopping = True
        for connection in self._connections:
            connection.close()

    def address(self, lane: int) -> tuple[str, int]:
        host, _, port = self._endpoints[lane % len(self._endpoints)].rpartition(":")
        return host, int(port)


class _Requests:
    """Makes requests; each is one concatenation."""

    def __init__(self, workload: Workload, rng: random.Random) -> None:
        self._random = rng.random
        self._keys = KeyChooser(workload.keys, workload.distribution, rng)
        placeholder = key(0)
        name = {PARTITION_KEY: {"S": placeholder}}
        table = {"TableName": workload.table}
        put = {**table, "Item": {**name, FIELD: {"S": workload.value()}}}
        get = {**table, "Key": name, "ConsistentRead": workload.is_consistent}
        update = {
            **table,
            "Key": name,
            "UpdateExpression": "SET hits = if_not_exists(hits, :none) + :one",
            "ConditionExpression": f"attribute_exists({PARTITION_KEY})",
            "ExpressionAttributeValues": {":none": {"N": "0"}, ":one": {"N": "1"}},
        }
        query = {
            **table,
            "KeyConditionExpression": f"{PARTITION_KEY} = :pk",
            "ExpressionAttributeValues": {":pk": {"S": placeholder}},
            "ConsistentRead": workload.is_consistent,
        }
        # With each: how many bytes a good answer has at least.
        self._other = (*_parts("PutItem", put, placeholder), 0)
        self._read = (*_parts("GetItem", get, placeholder), workload.item_bytes)
        self._read_fraction = workload.read_fraction
        if workload.name == UPDATE:
            self._other = (*_parts("UpdateItem", update, placeholder), 0)
        elif workload.name == QUERY:
            self._other = (*_parts("Query", query, placeholder), COLLECTION_ITEMS * workload.item_bytes)

    def next(self) -> tuple[bytes, int]:
        """(request, bytes that the body of a good answer has at least)."""
        head, tail, answer_bytes_min = self._read if self._random() < self._read_fraction else self._other
        return head + key(self._keys.next()).encode() + tail, answer_bytes_min


def _parts(operation: str, document: object, placeholder: str) -> tuple[bytes, bytes]:
    body = json.dumps(document, separators=(",", ":")).encode()
    head = (
        "POST / HTTP/1.1\r\nHost: stator\r\nContent-Type: application/x-amz-json-1.0\r\n"
        f"X-Amz-Target: DynamoDB_20120810.{operation}\r\nX-Amz-Date: 20260101T000000Z\r\n"
        "Authorization: AWS4-HMAC-SHA256 Credential=bench/20260101/local/dynamodb/aws4_request, "
        f"SignedHeaders=host;x-amz-date;x-amz-target, Signature={'0' * 64}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    before, after = (head + body).split(placeholder.encode())
    return before, after


class _Connection(asyncio.Protocol):
    """One lane: sends a request, waits for the answer, sends the next."""

    def __init__(self, load: HttpLoad, lane: int) -> None:
        self._load = load
        self._lane = lane
        self._transport: asyncio.Transport | None = None
        self._answer = b""
        self._answer_bytes_min = 0
        self._began = 0.0
        self._reconnecting: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        host, port = self._load.address(self._lane)
        await asyncio.get_running_loop().create_connection(lambda: self, host, port)

    def close(self) -> None:
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is not a subclass of asyncio.Transport
        self._answer = b""
        self._send()

    def _send(self) -> None:
        if self._transport is not None and not self._load.is_stopping:
            self._began = now()
            request, self._answer_bytes_min = self._load.requests.next()
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        answer = self._answer = self._answer + data if self._answer else data
        head_bytes = answer.find(b"\r\n\r\n") + 4
        if head_bytes < 4:
            return
        length = _CONTENT_LENGTH.search(answer, 0, head_bytes)
        if length is None:
            self._load.measurement.note_error("AnswerWithoutLength")
            self.close()
            return
        body_bytes = int(length[1])
        if len(answer) < head_bytes + body_bytes:
            return
        self._answer = b""
        if answer.startswith(b"HTTP/1.1 200"):
            if body_bytes >= self._answer_bytes_min:
                self._load.measurement.note(self._began)
            else:
                self._load.measurement.note_error(MISSING)
        else:
            named = _ERROR_NAME.search(answer, head_bytes)
            self._load.measurement.note_error(named[1].decode() if named else answer[9:12].decode())
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if not self._load.is_stopping:
            self._load.measurement.note_error("ConnectionLost")
            self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        """A client moves on to the next router, after a moment."""
        while True:
            await asyncio.sleep(_RECONNECT_S)
            self._lane += 1
            try:
                await self.connect()
                return
            except OSError:
                self._load.measurement.note_error("ConnectionRefused")
