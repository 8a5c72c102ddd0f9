"""What clients may ask for in headers, and compressed bodies."""

from __future__ import annotations

import gzip

import botocore.loaders
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import http_responses
from router.http_json import STREAM_OPERATIONS
from router.http_responses import accepts_gzip, is_loopback, pack, unknown_target, unpack
from server.model.errors import SerializationError
from server.model.limits import REQUEST_BYTES_MAX


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"gzip", True),
        (b"GZIP", True),
        (b"deflate, gzip;q=1.0, *;q=0.5", True),
        (b"gzip;q=0.001", True),
        (b"x-gzip", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000", False),
        (b"identity", False),
        (b"br, gzipped", False),
        (b"", False),
        (b"*", False),
    ],
)
def test_who_takes_gzip(value: bytes, expected: bool) -> None:
    """Those who say so."""
    assert accepts_gzip(value) is expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (b"http://localhost", True),
        (b"http://localhost:3000", True),
        (b"https://LOCALHOST:3000", True),
        (b"http://127.0.0.1:8080", True),
        (b"http://[::1]:8080", True),
        (b"null", False),
        (b"", False),
        (b"http://localhost.example.com", False),
        (b"http://example.com#http://localhost", False),
        (b"http://localhost:3000@example.com", False),
        (b"http://127.0.0.1.example.com", False),
        (b"http://127x0x0x1", False),
        (b"file://localhost", False),
        (b"http://localhost\n", False),
    ],
)
def test_pages_of_this_machine(origin: bytes, expected: bool) -> None:
    """And none whose name only looks like it; a page in a frame without an origin can be anybody's."""
    assert is_loopback(origin) is expected


@given(st.binary(max_size=5000))
def test_what_is_packed_can_be_unpacked(body: bytes) -> None:
    """By everybody."""
    assert gzip.decompress(pack(body)) == unpack(pack(body)) == unpack(gzip.compress(body)) == body


@given(st.binary(max_size=100))
def test_what_is_not_gzip(body: bytes) -> None:
    """Is refused, never misread."""
    for damaged in (body, pack(body)[:-1], pack(body) + b"x", pack(body) + pack(b"")):
        with pytest.raises(SerializationError):
            unpack(damaged)


@pytest.mark.parametrize("size", [REQUEST_BYTES_MAX, REQUEST_BYTES_MAX + 1, 8 * REQUEST_BYTES_MAX])
def test_a_bomb_stops(size: int) -> None:
    """At what a request may have."""
    unpacked = unpack(gzip.compress(bytes(size)))
    assert unpacked is None if size > REQUEST_BYTES_MAX else unpacked is not None and len(unpacked) == size


def test_every_operation_of_dynamodb_is_known_by_name() -> None:
    """So that what is not there can be told from what never was."""
    names = botocore.loaders.Loader().load_service_model("dynamodb", "service-2")["operations"].keys()
    assert {name.decode() for name in http_responses._DYNAMODB_OPERATIONS} == names
    for name in names:
        assert unknown_target(f"DynamoDB_20120810.{name}".encode()) == f"DynamoDB_20120810.{name} is not supported"


def test_all_operations_on_streams_are_there() -> None:
    """Those that the service's model has."""
    streams = botocore.loaders.Loader().load_service_model("dynamodbstreams", "service-2")["operations"]
    assert {target.decode() for target in STREAM_OPERATIONS} == {f"DynamoDBStreams_20120810.{name}" for name in streams}


@pytest.mark.parametrize("target", [b"", b".", b"GetItem", b"DynamoDB_20120810.", b"DynamoDB.GetItem", b"\xff.\xff"])
def test_other_targets(target: bytes) -> None:
    """There is nothing to say."""
    assert unknown_target(target) == ""
