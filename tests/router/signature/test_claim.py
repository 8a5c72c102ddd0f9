"""Signatures: what botocore signs is believed, what was changed after it is not, and what is wrong is said as DynamoDB
does."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.signature.canonical import SignedRequest, signing_key
from router.signature.claim import MISMATCH, UNKNOWN_CLIENT, Claim, check_claim, read_claim
from server.model.errors import InvalidSignatureError, StatorError
from tests.router.signature.signing import (
    ACCESS_KEY_ID,
    NOW_S,
    SECRET,
    TARGET,
    header,
    signed,
    with_headers,
)

VISIBLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
HEADER_NAMES = st.from_regex(r"(X-Own|Content|Accept|Amz-Sdk)-[A-Za-z0-9-]{1,8}", fullmatch=True)
PATHS = st.text(st.sampled_from("/ab.%20~-_"), max_size=10).map(lambda path: "/" + path.lstrip("/"))
QUERIES = st.text(st.sampled_from("ab=&%2-"), max_size=10)


def check(request: SignedRequest, now_s: float = NOW_S, secret: str = SECRET, region: str = "") -> Claim:
    """The claim, after it has been found to hold."""
    claim = read_claim(request, now_s, region)
    check_claim(claim, signing_key(secret, claim.scope))
    return claim


def refusal(request: SignedRequest, now_s: float = NOW_S, secret: str = SECRET, region: str = "") -> tuple[str, str]:
    """(code, message) of what the request is refused with."""
    with pytest.raises(StatorError) as raised:
        check(request, now_s, secret, region)
    assert raised.value.http_status == 400
    assert raised.value.type_prefix == "com.amazon.coral.service#"
    return raised.value.code, raised.value.message


def test_what_botocore_signs() -> None:
    """Says who has asked, and for where."""
    claim = check(signed(region="eu-west-1"))
    assert (claim.access_key_id, claim.scope.region, claim.has_token) == (ACCESS_KEY_ID, "eu-west-1", False)


@given(
    body=st.binary(max_size=100),
    path=PATHS,
    query=QUERIES,
    headers=st.lists(st.tuples(HEADER_NAMES, VISIBLE), max_size=4),
    region=st.from_regex(r"[a-z]{2}-[a-z]{1,5}-[1-9]", fullmatch=True),
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60),
)
def test_whatever_botocore_signs(
    body: bytes, path: str, query: str, headers: list[tuple[str, str]], region: str, secret: str
) -> None:
    """Any body, path, query and headers, repeated ones too; and not with another body, nor with another secret."""
    request = signed(
        body,
        url=f"{path}?{query}" if query else path,
        headers=[TARGET, ("Content-Type", "application/x-amz-json-1.0"), *headers],
        region=region,
        secret=secret,
    )
    assert check(request, secret=secret, region=region).scope.region == region
    other = request._replace(payload_hash=hashlib.sha256(body + b"x").hexdigest().encode())
    assert refusal(other, secret=secret) == ("InvalidSignatureException", MISMATCH)
    assert refusal(request, secret=secret + "x") == ("InvalidSignatureException", MISMATCH)


@pytest.mark.parametrize("value", ["  a   b  ", "a\tb", "", "é", '"a  b"', "a, b,c"])
def test_values_of_headers(value: str) -> None:
    """White space, commas, other alphabets: as botocore has them."""
    request = signed(headers=[TARGET, ("X-Own", value)])
    check(request)
    # A proxy may trim what is around a value, and may not change what is in it.
    check(with_headers(request, {b"X-Own": header(request, b"X-Own").strip()}))
    changed = with_headers(request, {b"X-Own": header(request, b"X-Own") + b"x"})
    assert refusal(changed) == ("InvalidSignatureException", MISMATCH)


def test_a_header_that_comes_twice() -> None:
    """Is signed with both values, in their order."""
    request = signed(headers=[TARGET, ("X-Own", "1"), ("X-Own", "2")])
    check(request)
    swapped = [(name, {b"1": b"2", b"2": b"1"}.get(value, value)) for name, value in request.headers]
    assert refusal(request._replace(headers=swapped)) == ("InvalidSignatureException", MISMATCH)


@pytest.mark.parametrize("name", [b"Host", b"X-Amz-Target", b"x-amz-date", b"Authorization", b"X-Amz-Own"])
def test_a_header_that_may_not_come_twice(name: bytes) -> None:
    """One reader would take the first, another the second; it may even be the same value."""
    request = signed(headers=[TARGET, ("X-Amz-Own", "1")])
    twice = request._replace(headers=[*request.headers, (name.upper(), header(request, name))])
    assert refusal(twice) == (
        "InvalidSignatureException",
        f"The request has more than one '{name.decode().lower()}' header.",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Amz-Target", b"DynamoDB_20120810.DeleteTable"),
        (b"Host", b"elsewhere"),
        (b"X-Own", b"other"),
        (b"x-own", None),
    ],
)
def test_a_signed_header_that_was_changed(name: bytes, value: bytes | None) -> None:
    """Or left out: nobody has signed that."""
    request = signed(headers=[TARGET, ("X-Own", "1")])
    assert refusal(with_headers(request, {name: value})) == ("InvalidSignatureException", MISMATCH)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"host", "'Host' or ':authority'"),
        (b"x-amz-target", "'X-Amz-Target'"),
        (b"x-amz-date", "'X-Amz-Date'"),
        (b"x-amz-own", "'X-Amz-Own'"),
    ],
)
def test_a_header_that_must_be_signed(name: bytes, shown: str) -> None:
    """Whoever passes the request on could change it."""
    request = signed(headers=[TARGET, ("X-Amz-Own", "1"), ("X-Own", "1")])
    authorization = header(request, b"authorization")
    names = authorization.partition(b"SignedHeaders=")[2].partition(b",")[0].split(b";")
    left = b";".join(each for each in names if each != name)
    changed = with_headers(request, {b"Authorization": authorization.replace(b";".join(names), left)})
    assert refusal(changed) == (
        "InvalidSignatureException",
        f"{shown} must be a 'SignedHeader' in the AWS Authorization.",
    )


def test_what_must_be_signed_is_an_argument() -> None:
    """Not every protocol has a Host."""
    request = signed()
    with pytest.raises(InvalidSignatureError, match="'X-Other' must be"):
        read_claim(request, NOW_S, must_sign=(b"x-other",))


def test_names_of_signed_headers_in_upper_case() -> None:
    """Are the same names."""
    request = signed()
    authorization = header(request, b"authorization")
    check(with_headers(request, {b"Authorization": authorization.replace(b"host", b"Host")}))


def test_other_headers_may_be_added_and_changed() -> None:
    """Those of proxies, and those that are not the signer's."""
    check(
        with_headers(signed(), {b"Via": b"1.1 proxy", b"X-Amzn-Trace-Id": b"Root=1", b"amz-sdk-request": b"attempt=2"})
    )


@pytest.mark.parametrize("claimed", ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "0" * 64])
def test_a_body_must_be_signed(claimed: str) -> None:
    """Whatever hash a client claims that its body has, or that it has none: the real one counts."""
    request = signed(headers=[TARGET, ("X-Amz-Content-SHA256", claimed)])
    assert refusal(request) == ("InvalidSignatureException", MISMATCH)


def test_a_client_may_say_its_bodys_hash() -> None:
    """The right one."""
    digest = hashlib.sha256(b"{}").hexdigest()
    check(signed(b"{}", headers=[TARGET, ("X-Amz-Content-SHA256", digest)]))


def test_a_date_header_will_do() -> None:
    """Where there is no X-Amz-Date; it must be signed as that must."""
    request = signed()
    claim = read_claim(request, NOW_S)
    headers = [(b"Date" if name == b"X-Amz-Date" else name, value) for name, value in request.headers]
    renamed = request._replace(headers=headers)
    assert refusal(renamed) == (
        "InvalidSignatureException",
        "'Date' must be a 'SignedHeader' in the AWS Authorization.",
    )
    authorization = header(request, b"authorization").replace(b"host;x-amz-date", b"date;host")
    again = read_claim(with_headers(renamed, {b"Authorization": authorization}), NOW_S)
    assert (again.scope, again.access_key_id) == (claim.scope, claim.access_key_id)


@pytest.mark.parametrize(("skew_s", "is_right"), [(-900, True), (-901, False), (900, True), (901, False)])
def test_the_clocks_may_differ_by_15_minutes(skew_s: int, is_right: bool) -> None:
    """Either way."""
    request = signed()
    if is_right:
        check(request, NOW_S + skew_s)
    else:
        assert refusal(request, NOW_S + skew_s)[0] == "InvalidSignatureException"


def test_too_late_and_too_early() -> None:
    """The message has all that is needed to see which clock is wrong."""
    assert refusal(signed(), NOW_S + 3600.9)[1] == (
        "Signature expired: 20261125T210000Z is now earlier than 20261125T214500Z (20261125T220000Z - 15 min.)"
    )
    assert refusal(signed(), NOW_S - 3600)[1] == (
        "Signature not yet current: 20261125T210000Z is still later than 20261125T201500Z (20261125T200000Z + 15 min.)"
    )


@pytest.mark.parametrize(
    "value",
    ["", "201", "2026-11-25T21:00:00Z", "20261125T210000", "20261325T210000Z", "20261125T250000Z", "２0261125T210000Z"],
)
def test_a_date_that_is_none(value: str) -> None:
    """Before anything else is looked at."""
    request = with_headers(signed(), {b"X-Amz-Date": value.encode()})
    assert refusal(request) == (
        "IncompleteSignatureException",
        f"Date must be in ISO-8601 'basic format'. Got '{value}'. See http://en.wikipedia.org/wiki/ISO_8601",
    )


@pytest.mark.parametrize("value", [None, b"", b"Basic YTpi", b"Bearer AWS4-HMAC-SHA256", b"AWS3 a=b"])
def test_a_request_that_is_not_signed(value: bytes | None) -> None:
    """Or in another way."""
    request = with_headers(signed(), {b"Authorization": value})
    assert refusal(request) == ("MissingAuthenticationTokenException", "Request is missing Authentication Token")


def digest_of(value: bytes) -> str:
    return base64.b64encode(hashlib.sha256(value).digest()).decode()


@pytest.mark.parametrize(
    ("value", "names", "is_dated"),
    [
        (b"AWS4-HMAC-SHA256", ["Credential", "Signature", "SignedHeaders"], True),
        (b"AWS4-HMAC-SHA256 Credential=a", ["Signature", "SignedHeaders"], True),
        (b"AWS4-HMAC-SHA256 Credential=a,Signature=,SignedHeaders=c", ["Signature"], True),
        (b"AWS4-HMAC-SHA256 Credential=a,Signature=b,SignedHeaders=c", [], False),
        (b"AWS4-HMAC-SHA256 Credential=a Signature=b", ["SignedHeaders"], False),
    ],
)
def test_a_signature_that_lacks_something(value: bytes, names: list[str], is_dated: bool) -> None:
    """Everything that is missing is named; the header itself is not shown."""
    request = with_headers(signed(), {b"Authorization": value} | ({} if is_dated else {b"X-Amz-Date": None}))
    date = "" if is_dated else "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
    missing = "".join(f"Authorization header requires '{name}' parameter. " for name in names)
    assert refusal(request) == (
        "IncompleteSignatureException",
        f"{missing}{date}(Hashed with SHA-256 and encoded with Base64) Authorization={digest_of(value)}",
    )


@pytest.mark.parametrize("rest", [b"Credential", b"Credential= a/b, Signature=c, SignedHeaders=d", b"\xff"])
def test_a_parameter_without_a_value(rest: bytes) -> None:
    """A space in an access key is what it mostly comes from."""
    value = b"AWS4-HMAC-SHA256 " + rest
    assert refusal(with_headers(signed(), {b"Authorization": value})) == (
        "IncompleteSignatureException",
        "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with "
        f"Base64): '{digest_of(value)}'.",
    )


def test_another_algorithm() -> None:
    """There is one."""
    request = signed()
    value = header(request, b"authorization").replace(b"SHA256", b"SHA1", 1)
    assert refusal(with_headers(request, {b"Authorization": value})) == (
        "IncompleteSignatureException",
        "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1' (only AWS4-HMAC-SHA256 for now). ",
    )


@pytest.mark.parametrize("credential", ["a/b/c/d", "a/b/c/d/e/f", "a"])
def test_a_credential_of_other_parts(credential: str) -> None:
    """It has five."""
    request = signed()
    scope = f"{ACCESS_KEY_ID}/20261125/local/dynamodb/aws4_request".encode()
    value = header(request, b"authorization").replace(scope, credential.encode())
    assert refusal(with_headers(request, {b"Authorization": value})) == (
        "IncompleteSignatureException",
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got "
        f"'{credential}'",
    )


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        (
            "20261124/local/dynamodb/aws4_request",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261124' != "
            "'20261125', from '20261125T210000Z'.",
        ),
        ("20261125/Local/dynamodb/aws4_request", "Credential should be scoped to a valid region, not 'Local'. "),
        ("20261125/local/s3/aws4_request", "Credential should be scoped to correct service: 'dynamodb'. "),
        (
            "20261125/local/dynamodb/aws3_request",
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws3_request'. ",
        ),
        (
            "b//d/e",
            "Credential should be scoped to a valid region, not ''. Credential should be scoped to correct service: "
            "'dynamodb'. Credential should be scoped with a valid terminator: 'aws4_request', not 'e'. Date in "
            "Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: 'b' != '20261125', "
            "from '20261125T210000Z'.",
        ),
    ],
)
def test_a_scope_of_somewhere_else(scope: str, message: str) -> None:
    """Everything that is wrong with it is said."""
    request = signed()
    value = header(request, b"authorization").replace(b"20261125/local/dynamodb/aws4_request", scope.encode())
    assert refusal(with_headers(request, {b"Authorization": value})) == ("InvalidSignatureException", message)


def test_a_region_may_be_demanded() -> None:
    """A signature for another is none here."""
    check(signed(region="eu-west-1"), region="eu-west-1")
    assert refusal(signed(region="eu-west-2"), region="eu-west-1") == (
        "InvalidSignatureException",
        "Credential should be scoped to a valid region, not 'eu-west-2'. ",
    )


def test_a_session_token() -> None:
    """Nobody gives them out: a signature that holds does not make one known. It must be signed like all x-amz-*."""
    request = signed(headers=[TARGET, ("X-Amz-Security-Token", "token")])
    assert read_claim(request, NOW_S).has_token
    assert refusal(request) == ("UnrecognizedClientException", UNKNOWN_CLIENT)
    assert refusal(request, secret="other") == ("InvalidSignatureException", MISMATCH)


@pytest.mark.parametrize("signature", ["", "0" * 64, "g" * 64, "é", "0" * 63])
def test_a_made_up_signature(signature: str) -> None:
    """Of whatever form."""
    request = signed()
    head, _, _ = header(request, b"authorization").partition(b"Signature=")
    value = head + b"Signature=" + signature.encode()
    code = "InvalidSignatureException" if signature else "IncompleteSignatureException"
    assert refusal(with_headers(request, {b"Authorization": value}))[0] == code


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_anything_in_the_headers(authorization: bytes, date: bytes) -> None:
    """Is refused with an error of the model, whose message is text."""
    changes: dict[bytes, Any] = {b"Authorization": b"AWS4-HMAC-SHA256 " + authorization}
    for request in (with_headers(signed(), changes), with_headers(signed(), changes | {b"X-Amz-Date": date})):
        with pytest.raises(StatorError) as raised:
            check(request)
        raised.value.message.encode()
