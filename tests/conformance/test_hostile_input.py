"""Bytes that are no request: each gets a typed error, and the same processes go on answering."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from statorpb import items_pb2

from tests.conformance.conftest import Tables
from tests.conformance.doors import SERIALIZATION, Doors, GrpcError, Refusal, item_message, unique

pytestmark = pytest.mark.cluster

MEGABYTE = 1024 * 1024
REQUEST_BYTES_MAX = 16 * MEGABYTE


@pytest.fixture(scope="module", autouse=True)
def everybody_survives(doors: Doors) -> Iterator[None]:
    """After everything in this file."""
    yield
    doors.assert_alive()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is not valid JSON: "),
        (b"{", "The body is not valid JSON: "),
        (b'{"TableName": "plain",}', "The body is not valid JSON: "),
        (b'{"TableName": NaN}', "The body is not valid JSON: "),
        (b'{"TableName": "\xff"}', "The body is not valid JSON: "),
        (b'{"TableName": "\\ud800"}', "The body is not valid JSON: "),
        (b"\x00" * 100, "The body is not valid JSON: "),
        (b"[]", "The body must be a JSON object"),
        (b"null", "The body must be a JSON object"),
        (b'"text"', "The body must be a JSON object"),
        (b"[" * 100_000, "The body is not valid JSON: "),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "The body is not valid JSON: "),
        (
            b'{"TableName":"plain","Item":{"pk":{"S":"a"},"v":' + b'{"L":[' * 100_000 + b"]}" * 100_000 + b"}}",
            "The body is not valid JSON: ",
        ),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_a_body_that_is_no_json_object(doors: Doors, body: bytes, message: str) -> None:
    """For every operation alike."""
    for operation in ("PutItem", "Scan", "CreateTable", "ListTables"):
        status, type_, said = doors.post(operation, body).error
        assert (status, type_) == (400, SERIALIZATION)
        assert said.startswith(message) and len(said) < 300


@pytest.mark.parametrize(
    ("operation", "body", "message"),
    [
        ("PutItem", {"TableName": 1}, "NUMBER_VALUE cannot be converted to String"),
        ("PutItem", {"TableName": "plain", "Item": "a"}, "Unexpected field type"),
        (
            "GetItem",
            {"TableName": "plain", "Key": {}, "ConsistentRead": "perhaps"},
            "Unexpected token received from parser",
        ),
        ("Scan", {"TableName": "plain", "Limit": "1"}, "STRING_VALUE cannot be converted to Integer"),
        ("Scan", {"TableName": "plain", "Limit": True}, "TRUE_VALUE cannot be converted to Integer"),
        ("BatchGetItem", {"RequestItems": "a"}, "Unexpected field type"),
        ("BatchGetItem", {"RequestItems": {"plain": "a"}}, "Unexpected value type in payload"),
        ("BatchWriteItem", {"RequestItems": {"plain": ["a"]}}, "Unexpected value type in payload"),
        (
            "CreateTable",
            {"TableName": "plain", "AttributeDefinitions": {}},
            "Start of structure or map found where not expected",
        ),
    ],
    ids=str,
)
def test_a_member_of_another_type(doors: Doors, operation: str, body: object, message: str) -> None:
    """The error names it."""
    assert doors.post(operation, body).error == (400, SERIALIZATION, message)


@pytest.mark.parametrize(
    "message",
    [b"\xff\xff\xff", b"\x0a\x7fshort", b"\x0a\x02\xff\xfe", b"\x12\xff\xff\xff\xff\x0f"],
    ids=["no tag", "cut off", "no UTF-8", "too long"],
)
def test_bytes_that_are_no_message(doors: Doors, message: bytes) -> None:
    """Of a call, and of a session."""
    for method in ("Items/PutItem", "Items/Scan", "Tables/CreateTable"):
        error = doors.call(method, message)
        name = method.partition("/")[2] + "Request"
        assert error.refusal == Refusal(
            "SerializationException", f"The message is not a stator.v1.{name}, or is nested too deeply"
        )
    ended = doors.converse_bytes(message)
    assert isinstance(ended, GrpcError)
    assert ended.refusal.code == "SerializationException"


def head(tag: int, size: int) -> bytes:
    """What comes before a field of so many bytes."""
    length = b""
    while size >= 0x80:
        length += bytes((size & 0x7F | 0x80,))
        size >>= 7
    return bytes((tag,)) + length + bytes((size,))


def field(tag: int, content: bytes) -> bytes:
    return head(tag, len(content)) + content


def nested_put(levels: int) -> bytes:
    """A PutItemRequest whose item has lists in lists. Written from the inside: only the sizes have to be known."""
    value = b"\x42\x00"
    size = len(value)
    heads = []
    for _ in range(levels):
        for tag in (0x0A, 0x42):
            heads.append(head(tag, size))
            size += len(heads[-1])
    entry = field(0x0A, b"v") + field(0x12, b"".join(reversed(heads)) + value)
    return field(0x0A, b"plain") + field(0x12, field(0x0A, entry))


def test_messages_of_hostile_depth(doors: Doors) -> None:
    """100,000 levels of lists, and as many groups that are opened and never closed."""
    refused = doors.call("Items/PutItem", nested_put(32))
    assert refused.refusal.message.startswith("Nesting Levels have exceeded supported limits")
    for message in (b"\x0b" * 100_000, nested_put(100_000)):
        error = doors.call("Items/PutItem", message)
        assert error.refusal.code == "SerializationException"
    # Groups are not closed: no frame, and the session ends. An item that cannot be read is that request's matter.
    ended = doors.converse_bytes(field(0x0A, field(0x52, b"\x0b" * 100_000)))
    assert isinstance(ended, GrpcError)
    assert ended.refusal.code == "SerializationException"
    answered = doors.converse_bytes(field(0x0A, field(0x52, nested_put(100_000))))
    assert not isinstance(answered, GrpcError)
    assert [reply.error.code for reply in answered] == ["SerializationException"]


@pytest.mark.parametrize("extra", [0, 1])
def test_a_body_has_at_most_16_mb(doors: Doors, tables: Tables, extra: int) -> None:
    """At the limit it is looked at, and its item found too large; past it, it is not even read."""
    frame = b'{"TableName":"plain","Item":{"pk":{"S":"a"},"v":{"S":""}}}'
    body = frame.replace(b'"v":{"S":"', b'"v":{"S":"' + b"x" * (REQUEST_BYTES_MAX - len(frame) + extra))
    status, type_, message = doors.post("PutItem", body).error
    if extra:
        assert (status, type_, message) == (413, SERIALIZATION, f"a request has at most {REQUEST_BYTES_MAX} bytes")
    else:
        assert (status, message) == (400, "Item size has exceeded the maximum allowed size")


def test_a_message_has_at_most_16_mb(doors: Doors) -> None:
    """Some more for what surrounds a request; past that gRPC itself refuses it, before there is a call to add details
    to."""
    error = doors.call("Items/PutItem", bytes(REQUEST_BYTES_MAX + 2 * MEGABYTE))
    assert isinstance(error, GrpcError)
    assert error.status == grpc.StatusCode.RESOURCE_EXHAUSTED
    ended = doors.converse_bytes(bytes(REQUEST_BYTES_MAX + 2 * MEGABYTE))
    assert isinstance(ended, GrpcError)
    assert ended.status == grpc.StatusCode.RESOURCE_EXHAUSTED
    large = items_pb2.PutItemRequest(table_name="plain")
    large.item.attributes["v"].b = bytes(REQUEST_BYTES_MAX - 1000)
    assert doors.call("Items/PutItem", large).refusal.message == "Item size has exceeded the maximum allowed size"


def test_a_session_answers_what_came_before_the_bytes_that_are_no_frame(doors: Doors, tables: Tables) -> None:
    """Carried out is carried out; then the session ends, and another one begins."""
    item = {"pk": {"S": unique()}}
    request = items_pb2.SessionRequest(id=1)
    request.put_item.table_name = tables.plain
    request.put_item.item.CopyFrom(item_message(item))
    frame = items_pb2.SessionRequestFrame(requests=[request]).SerializeToString()
    assert isinstance(doors.converse_bytes(frame, b"\xff"), GrpcError)
    found = doors.boto.get_item(TableName=tables.plain, Key=item, ConsistentRead=True)
    assert found["Item"] == item
    assert doors.converse(request)[0].WhichOneof("result") == "put_item"


def test_a_session_refuses_single_requests(doors: Doors, tables: Tables) -> None:
    """One without an operation, or with too long a token, takes none of the others with it."""
    good = items_pb2.SessionRequest()
    good.get_item.table_name = tables.plain
    good.get_item.key.CopyFrom(item_message({"pk": {"S": "nothing"}}))
    long_token = items_pb2.SessionRequest(token=bytes(37))
    long_token.get_item.CopyFrom(good.get_item)
    replies = doors.converse(items_pb2.SessionRequest(), good, long_token)
    assert [reply.WhichOneof("result") for reply in replies] == ["error", "get_item", "error"]
    assert [replies[0].error.code, replies[2].error.code] == ["ValidationException"] * 2
    assert not replies[1].get_item.HasField("item")
