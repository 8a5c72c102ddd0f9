"""Tags: which table, and which labels."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import tags
from router.requests.tags import ListTagsRequest, TagResourceRequest, UntagResourceRequest
from tests.router.requests.failing import NULL_MEMBER, refusal

INVALID = "One or more parameter values were invalid: "
ARN = "arn:aws:dynamodb:local:000000000000:table/music"
READERS = {"tag": tags.tag_from_body, "untag": tags.untag_from_body, "list": tags.list_from_body}


def read(operation: str, body: dict[str, Any]) -> Any:
    return READERS[operation](body, is_json=True)


def tag(key: str, value: str = "") -> dict[str, str]:
    return {"Key": key, "Value": value}


def test_requests() -> None:
    """Of each kind."""
    body = {"ResourceArn": ARN, "Tags": [tag("a", "1"), tag("b")]}
    assert read("tag", body) == TagResourceRequest(ARN, (("a", "1"), ("b", "")))
    assert read("untag", {"ResourceArn": ARN, "TagKeys": ["a", "b"]}) == UntagResourceRequest(ARN, ("a", "b"))
    assert read("list", {"ResourceArn": ARN}) == ListTagsRequest(ARN)
    assert read("list", {"ResourceArn": ARN, "NextToken": ""}) == ListTagsRequest(ARN)


@pytest.mark.parametrize("operation", READERS)
@pytest.mark.parametrize("arn", ["", "music", "arn:aws:dynamodb:local:000000000000:table/ab", ARN + "/index/by-year"])
def test_an_arn_that_names_no_table(operation: str, arn: str) -> None:
    """Only a table has tags."""
    body = {"ResourceArn": arn, "Tags": [tag("a")], "TagKeys": ["a"]}
    message = f"Invalid TableArn: Invalid ResourceArn provided as input {arn}"
    assert refusal(read, operation, body) == ("ValidationException", message)


@pytest.mark.parametrize(
    ("operation", "body", "message"),
    [
        ("tag", {"Tags": [tag("a")]}, "Invalid TableArn"),
        ("untag", {"TagKeys": ["a"]}, "Invalid TableArn"),
        ("list", {}, "Invalid TableArn"),
        ("tag", {"ResourceArn": ARN}, NULL_MEMBER.format("tags")),
        ("untag", {"ResourceArn": ARN}, NULL_MEMBER.format("tagKeys")),
        ("tag", {"ResourceArn": ARN, "Tags": []}, "Atleast one Tag needs to be provided as Input."),
        ("untag", {"ResourceArn": ARN, "TagKeys": []}, "Atleast one Tag Key needs to be provided as Input."),
        ("tag", {"ResourceArn": ARN, "Tags": [{"Key": "a"}]}, NULL_MEMBER.format("tags.1.member.value")),
        ("tag", {"ResourceArn": ARN, "Tags": [tag("a"), tag("a")]}, INVALID + "Duplicate tag key: a"),
        (
            "tag",
            {"ResourceArn": ARN, "Tags": [tag("AWS:x")]},
            INVALID + "Tag keys that begin with aws: are reserved: AWS:x",
        ),
        ("list", {"ResourceArn": ARN, "NextToken": "x"}, INVALID + "Invalid NextToken: x"),
    ],
)
def test_what_cannot_be(operation: str, body: dict[str, Any], message: str) -> None:
    """Every rule."""
    assert refusal(read, operation, body) == ("ValidationException", message)


def test_limits() -> None:
    """50 tags; 128 characters of a key, 256 of a value."""
    fifty = [tag(f"key-{number}") for number in range(50)]
    assert len(read("tag", {"ResourceArn": ARN, "Tags": fifty}).tags) == 50
    assert refusal(read, "tag", {"ResourceArn": ARN, "Tags": [*fifty, tag("x")]}) == (
        "ValidationException",
        INVALID + "Too many tags: a table has at most 50, and would have 51",
    )
    assert read("tag", {"ResourceArn": ARN, "Tags": [tag("k" * 128, "v" * 256)]})
    for long_one, path in ((tag("k" * 129), "key"), (tag("k", "v" * 257), "value")):
        _, message = refusal(read, "tag", {"ResourceArn": ARN, "Tags": [long_one]})
        assert f"at 'tags.1.member.{path}' failed to satisfy constraint: Member must have length less than" in message
    _, message = refusal(read, "untag", {"ResourceArn": ARN, "TagKeys": ["k" * 129]})
    assert "at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: [Member must have length" in (
        message
    )
