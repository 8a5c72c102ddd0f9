"""The doors of a cluster, as strangers use them: HTTP by hand, boto3, and the generated gRPC stubs."""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import grpc
from botocore.config import Config
from google.rpc import status_pb2
from statorpb import item_pb2, items_pb2

from tests.cluster.harness import LocalCluster

SERVICE = "com.amazonaws.dynamodb.v20120810#"
FRAMEWORK = "com.amazon.coral.service#"
VALIDATION = "com.amazon.coral.validate#ValidationException"
SERIALIZATION = FRAMEWORK + "SerializationException"
NOT_FOUND = SERVICE + "ResourceNotFoundException"
IN_USE = SERVICE + "ResourceInUseException"
TIMEOUT_S = 20.0

_STATUS = {
    "ValidationException": grpc.StatusCode.INVALID_ARGUMENT,
    "SerializationException": grpc.StatusCode.INVALID_ARGUMENT,
    "ResourceNotFoundException": grpc.StatusCode.NOT_FOUND,
    "ResourceInUseException": grpc.StatusCode.ALREADY_EXISTS,
}


ENVELOPE = "1 validation error detected: "


@dataclass(frozen=True)
class Refusal:
    """An error, whichever door it came through. `code` without the prefix that only HTTP has."""

    code: str
    message: str


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """(status, __type, message) of an error, which has just these two members."""
        content = self.json
        assert content.keys() == {"__type", "message"}
        return self.status, content["__type"], without_envelope(content["message"])


@dataclass(frozen=True)
class GrpcError:
    """What a call ended with: its status, and the stator.v1.Error in google.rpc.Status."""

    status: grpc.StatusCode
    message: str
    detail: items_pb2.Error | None

    @property
    def refusal(self) -> Refusal:
        """Checked: status, message and details agree."""
        assert self.detail is not None, (self.status, self.message)
        assert self.detail.message == self.message
        assert _STATUS[self.detail.code] == self.status
        assert not self.detail.retriable
        return Refusal(self.detail.code, without_envelope(self.detail.message))


class Doors:
    """One router's."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.processes = cluster.status()
        self.http_port = self._port("router-1", "http")
        self.address = f"127.0.0.1:{self._port('router-1', 'grpc')}"
        self.channel = self.open_channel(self.address)
        self.boto: Any = boto3.client(
            "dynamodb",
            endpoint_url=f"http://127.0.0.1:{self.http_port}",
            region_name="local",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
        self._ids = itertools.count(1)

    def _port(self, name: str, kind: str) -> int:
        process = next(each for each in self.processes if each["name"] == name)
        port: int = next(each["port"] for each in process["ports"] if each["kind"] == kind)
        return port

    @staticmethod
    def open_channel(address: str) -> grpc.Channel:
        """A channel without a limit of its own: it is the router's that is tested."""
        return grpc.insecure_channel(
            address, options=[("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        )

    def close(self) -> None:
        self.channel.close()
        self.boto.close()

    # HTTP

    def post(self, operation: str, body: Any, target_prefix: str = "DynamoDB_20120810.") -> HttpAnswer:
        """`body`: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=TIMEOUT_S)
        try:
            headers = {"X-Amz-Target": target_prefix + operation, "Content-Type": "application/x-amz-json-1.0"}
            connection.request("POST", "/", data, headers)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return HttpAnswer(response.status, headers, response.read())
        finally:
            connection.close()

    @contextmanager
    def socket(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.http_port), timeout=TIMEOUT_S) as opened:
            yield opened

    # gRPC

    def call(self, method: str, request: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """The reply's bytes, or a GrpcError. `method`: "Items/PutItem"; `request`: a message, or bytes as they are."""
        data = request if isinstance(request, bytes) else request.SerializeToString()
        invoke: Any = self.channel.unary_unary(f"/stator.v1.{method}")
        try:
            return invoke(data, timeout=timeout_s)
        except grpc.RpcError as error:
            return grpc_error(error)

    def converse(self, *requests: items_pb2.SessionRequest) -> list[items_pb2.SessionReply]:
        """The replies to requests that travel in one frame, in their order."""
        frame = items_pb2.SessionRequestFrame(requests=requests)
        for number, request in enumerate(frame.requests, 1):
            request.id = number
        replies = self.converse_bytes(frame.SerializeToString())
        assert isinstance(replies, list), replies
        assert sorted(reply.id for reply in replies) == list(range(1, len(requests) + 1))
        return sorted(replies, key=lambda reply: reply.id)

    def converse_bytes(self, *frames: bytes) -> list[items_pb2.SessionReply] | GrpcError:
        """All replies of a session that consists of these frames."""
        invoke: Any = self.channel.stream_stream("/stator.v1.Session/Converse")
        replies: list[items_pb2.SessionReply] = []
        try:
            for data in invoke(iter(frames), timeout=TIMEOUT_S):
                replies.extend(items_pb2.SessionReplyFrame.FromString(data).replies)
        except grpc.RpcError as error:
            return grpc_error(error)
        return replies

    # One request, every door

    def put_everywhere(self, table: str, item: dict[str, Any]) -> Refusal | None:
        """Puts an item through each door. They all say the same; None: it is stored."""
        message = items_pb2.PutItemRequest(table_name=table, item=item_message(item))
        return self._everywhere("PutItem", {"TableName": table, "Item": item}, "put_item", message)

    def get_everywhere(self, table: str, key: dict[str, Any]) -> Refusal | None:
        """As `put_everywhere`; None: the key is in order."""
        message = items_pb2.GetItemRequest(table_name=table, key=item_message(key))
        return self._everywhere("GetItem", {"TableName": table, "Key": key}, "get_item", message)

    def delete_everywhere(self, table: str, key: dict[str, Any]) -> Refusal | None:
        """As `get_everywhere`."""
        message = items_pb2.DeleteItemRequest(table_name=table, key=item_message(key))
        return self._everywhere("DeleteItem", {"TableName": table, "Key": key}, "delete_item", message)

    def _everywhere(self, operation: str, body: Any, kind: str, message: Any) -> Refusal | None:
        answer = self.post(operation, body)
        by_http = http_refusal(answer)
        reply = self.call(f"Items/{operation}", message)
        by_grpc = reply.refusal if isinstance(reply, GrpcError) else None
        request = items_pb2.SessionRequest()
        getattr(request, kind).CopyFrom(message)
        (replied,) = self.converse(request)
        by_session = (
            Refusal(replied.error.code, without_envelope(replied.error.message))
            if replied.WhichOneof("result") == "error"
            else None
        )
        assert by_http == by_grpc == by_session
        return by_http

    def assert_alive(self) -> None:
        """Every process is the one that was started, and answers."""
        assert [(each["name"], each["pid"], each["state"]) for each in self.cluster.status()] == [
            (each["name"], each["pid"], "ready") for each in self.processes
        ]
        assert self.post("ListTables", {}).status == 200


def without_envelope(message: str) -> str:
    """What PutItem, UpdateItem and DeleteItem say, as all other operations say it."""
    plain = message.removeprefix(ENVELOPE)
    return message if plain.startswith("Value ") and " at '" in plain else plain


def http_refusal(answer: HttpAnswer) -> Refusal | None:
    """None: it is no error. A client's error has status 400."""
    if answer.status == 200:
        return None
    status, type_, message = answer.error
    assert status == 400
    return Refusal(type_.partition("#")[2], message)


def grpc_error(error: Any) -> GrpcError:
    detail = None
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            assert status.code == error.code().value[0]
            assert status.message == error.details()
            (packed,) = status.details
            detail = items_pb2.Error()
            assert packed.Unpack(detail)
    return GrpcError(error.code(), error.details(), detail)


def invalid(message: str) -> Refusal:
    return Refusal("ValidationException", message)


def unique(prefix: str = "k") -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:16]}"


def item_message(item: Mapping[str, Any]) -> item_pb2.Item:
    """DynamoDB's JSON as a message; binary values as bytes or as base64 text, as JSON has them."""
    message = item_pb2.Item()
    for name, value in item.items():
        set_value(message.attributes[name], value)
    return message


def set_value(target: item_pb2.AttributeValue, value: Mapping[str, Any]) -> None:
    for kind, content in value.items():
        if kind in ("S", "N"):
            setattr(target, kind.lower(), content)
        elif kind == "B":
            target.b = base64.b64decode(content)
        elif kind == "BOOL":
            target.boolean = content
        elif kind == "NULL":
            target.null = content
        elif kind == "M":
            target.m.SetInParent()
            for name, each in content.items():
                set_value(target.m.entries[name], each)
        elif kind == "L":
            target.l.SetInParent()
            for each in content:
                set_value(target.l.values.add(), each)
        elif kind == "BS":
            target.bs.SetInParent()
            target.bs.values.extend(base64.b64decode(each) for each in content)
        else:
            members = getattr(target, kind.lower())
            members.SetInParent()
            members.values.extend(content)
