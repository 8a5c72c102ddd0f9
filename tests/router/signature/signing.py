"""Requests that botocore has signed: the oracle."""

from __future__ import annotations

import calendar
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, HTTPHeaders
from botocore.credentials import Credentials

from router.signature.canonical import SignedRequest

ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = "127.0.0.1:8000"
NOW = "20261125T210000Z"
NOW_S = calendar.timegm((2026, 11, 25, 21, 0, 0))
TARGET = ("X-Amz-Target", "DynamoDB_20120810.GetItem")


def _sign(signer: Any, request: AWSRequest, timestamp: str) -> None:
    """As the signer's own `add_auth`, but at a time of ours and for the Host header that the request has."""
    request.context["timestamp"] = timestamp
    request.headers["X-Amz-Date"] = timestamp
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    signer._inject_signature_to_request(request, signature)


def signed(
    body: bytes = b"{}",
    *,
    method: str = "POST",
    url: str = "/",
    headers: Iterable[tuple[str, str]] = (TARGET,),
    timestamp: str = NOW,
    access_key_id: str = ACCESS_KEY_ID,
    secret: str = SECRET,
    region: str = "local",
    service: str = "dynamodb",
) -> SignedRequest:
    """A request as it comes over the wire: its headers in UTF-8, the Host first."""
    given = HTTPHeaders()
    given["Host"] = HOST
    for name, value in headers:
        given[name] = value
    request = AWSRequest(method=method, url=f"http://{HOST}{url}", data=body)
    request.headers = given
    _sign(SigV4Auth(Credentials(access_key_id, secret), service, region), request, timestamp)
    sent = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    return SignedRequest(method.encode(), url.encode(), sent, hashlib.sha256(body).hexdigest().encode())


def with_headers(request: SignedRequest, changes: Mapping[bytes, bytes | None]) -> SignedRequest:
    """The request with headers replaced, added, or (None) left out."""
    lowered = {name.lower(): value for name, value in changes.items()}
    kept = [(name, lowered.pop(name.lower(), value)) for name, value in request.headers]
    headers = [(name, value) for name, value in [*kept, *lowered.items()] if value is not None]
    return request._replace(headers=headers)


def header(request: SignedRequest, name: bytes) -> bytes:
    return next(value for each, value in request.headers if each.lower() == name.lower())
