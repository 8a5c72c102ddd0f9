"""What a signed request claims, and whether the claim holds.

Two steps, since between them a secret has to be looked up: `read_claim` refuses what cannot be right whoever has signed
it, in DynamoDB's order and words; `check_claim` compares signatures.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from router.signature.canonical import ALGORITHM, SERVICE, TERMINATOR, Headers, Scope, SignedRequest, sign
from router.signature.canonical import string_to_sign as string_to_sign_of
from server.model.errors import (
    IncompleteSignatureError,
    InvalidSignatureError,
    MissingAuthenticationTokenError,
    UnrecognizedClientError,
)

SKEW_MINUTES = 15
"""How far a request's date may be from now."""

_TIMESTAMP = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_PARAMETERS = ("Credential", "Signature", "SignedHeaders")

UNKNOWN_CLIENT = "The security token included in the request is invalid."
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class Claim:
    """That whoever holds the secret of `access_key_id` has sent this request. `has_token`: it comes with a session
    token."""

    access_key_id: str
    scope: Scope
    string_to_sign: bytes
    signature: bytes
    has_token: bool


def read_claim(
    request: SignedRequest, now_s: float, region: str = "", *, must_sign: tuple[bytes, ...] = (b"host",)
) -> Claim:
    """The claim that a request makes. `now_s`: seconds since 1970. `region`: the only one that may be in the scope;
    empty: any. Besides `must_sign`, every x-amz-* header must be signed: an unsigned X-Amz-Target would turn a
    GetItem into a DeleteTable.

    Raises MissingAuthenticationTokenError, IncompleteSignatureError, InvalidSignatureError."""
    headers = _by_name(request.headers)
    authorization = headers.get(b"authorization", b"").strip()
    if not authorization.startswith(b"AWS4-"):
        raise MissingAuthenticationTokenError("Request is missing Authentication Token")
    date_name = b"x-amz-date" if b"x-amz-date" in headers else b"date"
    parameters = _parameters(authorization, has_date=date_name in headers)
    timestamp = _text(headers[date_name].strip())
    _check_date(timestamp, now_s)
    signed = {name.lower() for name in parameters["SignedHeaders"].encode().split(b";")}
    _check_signed(signed, headers.keys(), (*must_sign, date_name))
    algorithm = authorization.split(None, 1)[0]
    if algorithm != ALGORITHM:
        raise IncompleteSignatureError(
            f"Unsupported AWS 'algorithm': '{_text(algorithm)}' (only {ALGORITHM.decode()} for now). "
        )
    access_key_id, scope = _credential(parameters["Credential"], timestamp, region)
    return Claim(
        access_key_id,
        scope,
        string_to_sign_of(request, signed, timestamp, scope),
        parameters["Signature"].encode(),
        b"x-amz-security-token" in headers,
    )


def check_claim(claim: Claim, key: bytes) -> None:
    """Returns if the claim holds; `key`: the signing key of its access key and scope. Raises InvalidSignatureError, and
    UnrecognizedClientError for a session token: nobody has given any out."""
    if not hmac.compare_digest(sign(key, claim.string_to_sign), claim.signature):
        raise InvalidSignatureError(MISMATCH)
    if claim.has_token:
        raise UnrecognizedClientError(UNKNOWN_CLIENT)


def _by_name(headers: Headers) -> dict[bytes, bytes]:
    """Values by lower-case name. What says who asks for what may come once only: of two, one part of a server might
    read the first and another the second. Raises InvalidSignatureError."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered in found and (lowered in (b"authorization", b"host", b"date") or lowered.startswith(b"x-amz-")):
            raise InvalidSignatureError(f"The request has more than one '{_text(lowered)}' header.")
        found[lowered] = value
    return found


def _parameters(authorization: bytes, *, has_date: bool) -> dict[str, str]:
    """Credential, Signature and SignedHeaders. Raises IncompleteSignatureError; newer messages show a hash in place of
    the header, so that signatures do not end up in logs."""
    _, _, rest = authorization.partition(b" ")
    found: dict[str, str] = {}
    for part in re.split(rb"[,\s]+", rest):
        if part:
            name, equals, value = part.partition(b"=")
            if not equals:
                raise IncompleteSignatureError(
                    "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and "
                    f"encoded with Base64): '{_digest(authorization)}'."
                )
            found[_text(name)] = _text(value)
    missing = [f"Authorization header requires '{name}' parameter. " for name in _PARAMETERS if not found.get(name)]
    if not has_date:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
    if missing:
        raise IncompleteSignatureError(
            f"{''.join(missing)}(Hashed with SHA-256 and encoded with Base64) Authorization={_digest(authorization)}"
        )
    return found


def _check_date(timestamp: str, now_s: float) -> None:
    seconds = _seconds(timestamp)
    if seconds is None:
        raise IncompleteSignatureError(
            f"Date must be in ISO-8601 'basic format'. Got '{timestamp}'. See http://en.wikipedia.org/wiki/ISO_8601"
        )
    skew_s = SKEW_MINUTES * 60
    now = int(now_s)
    if seconds < now - skew_s:
        raise InvalidSignatureError(
            f"Signature expired: {timestamp} is now earlier than {_timestamp(now - skew_s)} "
            f"({_timestamp(now)} - {SKEW_MINUTES} min.)"
        )
    if seconds > now + skew_s:
        raise InvalidSignatureError(
            f"Signature not yet current: {timestamp} is still later than {_timestamp(now + skew_s)} "
            f"({_timestamp(now)} + {SKEW_MINUTES} min.)"
        )


def _check_signed(signed: set[bytes], present: Iterable[bytes], must_sign: tuple[bytes, ...]) -> None:
    for name in must_sign:
        if name not in signed:
            shown = "'Host' or ':authority'" if name == b"host" else f"'{_title(name)}'"
            raise InvalidSignatureError(f"{shown} must be a 'SignedHeader' in the AWS Authorization.")
    for name in present:
        if name.startswith(b"x-amz-") and name not in signed:
            raise InvalidSignatureError(f"'{_title(name)}' must be a 'SignedHeader' in the AWS Authorization.")


def _credential(credential: str, timestamp: str, region: str) -> tuple[str, Scope]:
    parts = credential.split("/")
    if len(parts) != 5:
        raise IncompleteSignatureError(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got "
            f"'{credential}'"
        )
    access_key_id, scope = parts[0], Scope(*parts[1:])
    wrong = []
    if not _REGION.fullmatch(scope.region) or (region and scope.region != region):
        wrong.append(f"Credential should be scoped to a valid region, not '{scope.region}'. ")
    if scope.service != SERVICE:
        wrong.append(f"Credential should be scoped to correct service: '{SERVICE}'. ")
    if scope.terminator != TERMINATOR:
        wrong.append(f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{scope.terminator}'. ")
    if scope.date != timestamp[:8]:
        wrong.append(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{scope.date}' != '{timestamp[:8]}', from '{timestamp}'."
        )
    if wrong:
        raise InvalidSignatureError("".join(wrong))
    return access_key_id, scope


def _seconds(timestamp: str) -> int | None:
    """Seconds since 1970 of YYYYMMDDTHHMMSSZ; None: it is no such time."""
    if not _TIMESTAMP.fullmatch(timestamp):
        return None
    year, month, day = int(timestamp[:4]), int(timestamp[4:6]), int(timestamp[6:8])
    hour, minute, second = int(timestamp[9:11]), int(timestamp[11:13]), int(timestamp[13:15])
    try:
        return calendar.timegm(datetime(year, month, day, hour, minute, second, tzinfo=UTC).utctimetuple())
    except ValueError:
        return None


def _timestamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def _digest(authorization: bytes) -> str:
    return base64.b64encode(hashlib.sha256(authorization).digest()).decode()


def _title(name: bytes) -> str:
    return _text(name).title()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
