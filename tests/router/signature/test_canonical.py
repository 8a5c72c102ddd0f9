"""Canonical requests are those of botocore; keys and signatures those of AWS's documentation."""

from __future__ import annotations

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from router.signature.canonical import (
    Scope,
    SignedRequest,
    canonical_path,
    canonical_query,
    canonical_request,
    sign,
    signing_key,
    trimmed,
)
from tests.router.signature.signing import SECRET

BOTOCORE = SigV4Auth(Credentials("a", "b"), "dynamodb", "local")


def test_the_key_of_the_documentation() -> None:
    """AWS's worked example: IAM, 30 August 2015."""
    scope = Scope("20150830", "us-east-1", "iam")
    assert scope.text == "20150830/us-east-1/iam/aws4_request"
    key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", scope)
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    string = (
        b"AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n"
        b"f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    )
    assert sign(key, string) == b"5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"


@pytest.mark.parametrize("part", ["date", "region", "service", "terminator"])
def test_every_part_of_a_scope_is_in_its_key(part: str) -> None:
    """A key of one day or region is of no use in another."""
    scope = Scope("20150830", "us-east-1")
    assert signing_key(SECRET, scope) != signing_key(SECRET, scope._replace(**{part: "x"}))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", b""),
        (b"  a", b"a"),
        (b"a \t", b"a"),
        (b"a  b\t\tc", b"a b c"),
        (b"a\r\n b", b"a b"),
        (b'"a  b"', b'"a b"'),
    ],
)
def test_white_space_in_a_header(value: bytes, expected: bytes) -> None:
    """Is trimmed around it, and one space within it: also where it was folded, also in quotes."""
    assert trimmed(value) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"", b"/"),
        (b"/", b"/"),
        (b"//", b"/"),
        (b"/./", b"/"),
        (b"/..", b"/"),
        (b"/a/../..//b/", b"/b/"),
        (b"/a/./b", b"/a/b"),
        (b"/a%20b", b"/a%2520b"),
        (b"/a b~-._", b"/a%20b~-._"),
        (b"/\xc3\xa4", b"/%C3%A4"),
        (b"/%2E%2E/a", b"/%252E%252E/a"),
    ],
)
def test_a_path(path: bytes, expected: bytes) -> None:
    """Has no empty or dot segments, and is encoded once more than it came."""
    assert canonical_path(path) == expected


@given(st.text(st.sampled_from("/.a%2~ =+ä"), max_size=12))
def test_a_path_is_botocores(path: str) -> None:
    """Whatever it is made of."""
    assert canonical_path(b"/" + path.encode()).decode() == BOTOCORE._normalize_url_path("/" + path)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", b""),
        (b"b=1&a=2", b"a=2&b=1"),
        (b"a=2&a=1", b"a=1&a=2"),
        (b"a", b"a="),
        (b"a=b=c", b"a=b=c"),
        (b"a=%2F&A=1", b"A=1&a=%2F"),
        (b"a-b=1&a=2", b"a=2&a-b=1"),
    ],
)
def test_a_query(query: bytes, expected: bytes) -> None:
    """Is ordered by name, then by value, never decoded; `a` sorts before `a-b`, though `a-` comes before `a=`."""
    assert canonical_query(query) == expected


@given(st.text(st.sampled_from("ab&=%2-+A"), max_size=12))
def test_a_query_is_botocores(query: str) -> None:
    """As it stands in the URL."""
    request = AWSRequest(method="POST", url="http://h/?" + query)
    assert canonical_query(query.encode()).decode() == BOTOCORE.canonical_query_string(request)


@pytest.mark.parametrize(
    ("url", "lines"),
    [
        (b"/a?b", [b"/a", b"b="]),
        (b"http://host/a?b", [b"/a", b"b="]),
        (b"http://host", [b"/", b""]),
        (b"http://host?b", [b"/", b"b="]),
        (b"http://host?b=/c", [b"/", b"b=/c"]),
        (b"*", [b"/", b""]),
    ],
)
def test_a_url(url: bytes, lines: list[bytes]) -> None:
    """A first line may name the host; only path and query are signed."""
    request = SignedRequest(b"post", url, (), b"hash")
    assert canonical_request(request, ()).split(b"\n") == [b"POST", *lines, b"", b"", b"hash"]


def test_headers_in_the_canonical_request() -> None:
    """Those that are signed, by lower-case name; one that came twice has both values in their order."""
    headers = [(b"X-B", b" 2 "), (b"x-a", b"1"), (b"X-b", b"1"), (b"X-C", b"unsigned"), (b"Host", b"h")]
    request = SignedRequest(b"POST", b"/", headers, b"hash")
    expected = b"POST\n/\n\nhost:h\nx-a:1\nx-b:2,1\nx-none:\n\nhost;x-a;x-b;x-none\nhash"
    assert canonical_request(request, [b"x-b", b"x-a", b"host", b"x-none", b"x-a"]) == expected
