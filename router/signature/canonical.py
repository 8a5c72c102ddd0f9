"""The canonical form of a request: what client and server both compute, and a signature is made of.

From bytes as they came over the wire, never decoded: what is decoded and encoded again may not be what was signed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote

ALGORITHM = b"AWS4-HMAC-SHA256"
SERVICE = "dynamodb"
TERMINATOR = "aws4_request"

Headers = Sequence[tuple[bytes, bytes]]
"""Names, in any case, and values, in the order in which they came."""


class SignedRequest(NamedTuple):
    """A request as far as its signature goes. `url`: as in the request's first line. `payload_hash`: SHA-256 of the
    body as it was sent (compressed, if it was), in lower-case hexadecimal digits."""

    method: bytes
    url: bytes
    headers: Headers
    payload_hash: bytes


class Scope(NamedTuple):
    """What a signing key is good for. `date`: YYYYMMDD."""

    date: str
    region: str
    service: str = SERVICE
    terminator: str = TERMINATOR

    @property
    def text(self) -> str:
        return "/".join(self)


def signing_key(secret: str, scope: Scope) -> bytes:
    """The key that signs everything in a scope."""
    key = b"AWS4" + secret.encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign(key: bytes, string_to_sign: bytes) -> bytes:
    """A signature, in lower-case hexadecimal digits."""
    return hmac.digest(key, string_to_sign, "sha256").hex().encode()


def string_to_sign(request: SignedRequest, signed_names: Iterable[bytes], timestamp: str, scope: Scope) -> bytes:
    """What the signature of a request is made of. `signed_names`: of the headers that are signed, in lower case."""
    digest = hashlib.sha256(canonical_request(request, signed_names)).hexdigest()
    return b"\n".join((ALGORITHM, timestamp.encode(), scope.text.encode(), digest.encode()))


def canonical_request(request: SignedRequest, signed_names: Iterable[bytes]) -> bytes:
    """Method, path, query, headers and the body's hash, a line each (a header, too); a header that is signed and did
    not come has an empty value."""
    names = sorted(set(signed_names))
    values: dict[bytes, list[bytes]] = {name: [] for name in names}
    for name, value in request.headers:
        found = values.get(name.lower())
        if found is not None:
            found.append(trimmed(value))
    path, _, query = _target(request.url).partition(b"?")
    lines = [request.method.upper(), canonical_path(path), canonical_query(query)]
    lines += [name + b":" + b",".join(values[name]) for name in names]
    lines += [b"", b";".join(names), request.payload_hash]
    return b"\n".join(lines)


def trimmed(value: bytes) -> bytes:
    """A header's value without white space around it, and with one space where there was any within."""
    return b" ".join(value.split())


def canonical_path(path: bytes) -> bytes:
    """A path without empty and dot segments, encoded once more than it was on the wire."""
    if path in (b"/", b""):
        return b"/"
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    end = b"/" if kept and path.endswith(b"/") else b""
    return quote(b"/" + b"/".join(kept) + end, safe="/~").encode()


def canonical_query(query: bytes) -> bytes:
    """Parameters by name, then by value; one without a value has an empty one."""
    if not query:
        return b""
    pairs = sorted(pair.partition(b"=")[::2] for pair in query.split(b"&"))
    return b"&".join(name + b"=" + value for name, value in pairs)


def _target(url: bytes) -> bytes:
    """Path and query of a request's first line, which may name the host too."""
    if url.startswith(b"/"):
        return url
    _, separator, rest = url.partition(b"://")
    if not separator:
        return b"/"
    at = min((index for index in (rest.find(b"/"), rest.find(b"?")) if index >= 0), default=len(rest))
    return rest[at:]
