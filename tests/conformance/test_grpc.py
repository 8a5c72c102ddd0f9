"""gRPC: health and reflection of every role, details of errors, deadlines."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from statorpb import items_pb2, tables_pb2

from tests.conformance.conftest import Tables
from tests.conformance.doors import TIMEOUT_S, Doors, GrpcError, Refusal, item_message, unique

pytestmark = pytest.mark.cluster

SERVICES = {
    "router": {"stator.v1.Items", "stator.v1.Tables", "stator.v1.Session", "stator.v1.Admin"},
    "storage": {"stator.internal.v1.Partitions", "stator.internal.v1.Replication"},
    "metadata": {"stator.internal.v1.Metadata", "stator.internal.v1.Replication"},
}


@pytest.fixture(params=[f"{role}-{number}" for role in SERVICES for number in (1, 2, 3)])
def process(request: pytest.FixtureRequest, doors: Doors) -> Iterator[tuple[str, grpc.Channel]]:
    """(role, channel) of each process."""
    found = next(each for each in doors.processes if each["name"] == request.param)
    port = next(each["port"] for each in found["ports"] if each["kind"] == "grpc")
    with doors.open_channel(f"127.0.0.1:{port}") as channel:
        yield found["role"], channel


def test_health(process: tuple[str, grpc.Channel]) -> None:
    """Every process says that it serves, as load balancers ask; of a service that it has not, that it has not."""
    _, channel = process
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as raised:
        stub.Check(health_pb2.HealthCheckRequest(service="nothing"), timeout=TIMEOUT_S)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def reflect(channel: grpc.Channel, request: reflection_pb2.ServerReflectionRequest) -> Any:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    return next(iter(stub.ServerReflectionInfo(iter([request]), timeout=TIMEOUT_S)))


def test_reflection(process: tuple[str, grpc.Channel]) -> None:
    """Every process lists its services, and describes each."""
    ask = reflection_pb2.ServerReflectionRequest
    role, channel = process
    listed = {each.name for each in reflect(channel, ask(list_services="")).list_services_response.service}
    assert SERVICES[role] <= listed
    assert {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= listed
    for service in SERVICES[role]:
        described = reflect(channel, ask(file_containing_symbol=service))
        assert described.file_descriptor_response.file_descriptor_proto, service


@pytest.mark.parametrize(
    ("method", "request_", "refusal"),
    [
        (
            "Tables/DescribeTable",
            tables_pb2.DescribeTableRequest(table_name="nowhere"),
            Refusal("ResourceNotFoundException", "Requested resource not found: Table: nowhere not found"),
        ),
        (
            "Tables/DeleteTable",
            tables_pb2.DeleteTableRequest(table_name="nowhere"),
            Refusal("ResourceNotFoundException", "Requested resource not found: Table: nowhere not found"),
        ),
        (
            "Tables/ListTables",
            tables_pb2.ListTablesRequest(limit=101),
            Refusal(
                "ValidationException",
                "1 validation error detected: Value '101' at 'limit' failed to satisfy constraint: Member must have "
                "value less than or equal to 100",
            ),
        ),
        (
            "Items/Scan",
            items_pb2.ScanRequest(table_name="nowhere"),
            Refusal("ResourceNotFoundException", "Requested resource not found"),
        ),
        (
            "Items/BatchGetItem",
            items_pb2.BatchGetItemRequest(),
            Refusal("ValidationException", "The requestItems parameter is required for BatchGetItem"),
        ),
        (
            "Items/BatchWriteItem",
            items_pb2.BatchWriteItemRequest(
                tables=[items_pb2.TableWrites(table_name="nowhere", writes=[items_pb2.WriteRequest()])]
            ),
            Refusal(
                "ValidationException",
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported "
                "datatypes",
            ),
        ),
        (
            "Tables/CreateTable",
            tables_pb2.CreateTableRequest(table_name="no-key"),
            Refusal(
                "ValidationException",
                "3 validation errors detected: Value '' at 'attributeDefinitions.1.member.attributeName' failed to "
                "satisfy constraint: Member must have length greater than or equal to 1; Value "
                "'ATTRIBUTE_TYPE_UNSPECIFIED' at 'attributeDefinitions.1.member.attributeType' failed to satisfy "
                "constraint: Member must satisfy enum value set: [B, N, S]; Value '' at "
                "'keySchema.1.member.attributeName' failed to satisfy constraint: Member must have length greater than "
                "or equal to 1",
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_has_details(doors: Doors, method: str, request_: Message, refusal: Refusal) -> None:
    """Status, message and stator.v1.Error agree."""
    assert doors.call(method, request_).refusal == refusal


def test_an_expired_deadline(doors: Doors, tables: Tables) -> None:
    """No storage node answers: a call ends when its time is over, and so does a request on a session, with an error of
    its own; a write says that it may have been carried out. Then everything goes on."""
    key = item_message({"pk": {"S": unique()}})
    get = items_pb2.GetItemRequest(table_name=tables.plain, key=key, consistent_read=True)
    put = items_pb2.PutItemRequest(table_name=tables.plain, item=key)
    assert doors.call("Items/GetItem", get) == b""
    nodes = [each["pid"] for each in doors.processes if each["role"] == "storage"]
    for pid in nodes:
        os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        replies = doors.converse(
            items_pb2.SessionRequest(timeout_ms=150, get_item=get),
            items_pb2.SessionRequest(timeout_ms=150, put_item=put),
        )
        ended = doors.call("Items/GetItem", get, timeout_s=0.15)
        assert time.monotonic() - begun < 3
    finally:
        for pid in nodes:
            os.kill(pid, signal.SIGCONT)
    assert [reply.error.code for reply in replies] == ["InternalServerError"] * 2
    assert replies[0].error.message == "The request's time ran out"
    assert replies[1].error.message == "The request's time ran out; it may or may not have been carried out"
    assert all(reply.error.retriable for reply in replies)
    assert isinstance(ended, GrpcError)
    assert ended.status == grpc.StatusCode.DEADLINE_EXCEEDED
    assert doors.call("Items/PutItem", put) == b""
