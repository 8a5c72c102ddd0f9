"""UpdateTimeToLive and DescribeTimeToLive."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests.time_to_live import (
    DescribeTimeToLiveRequest,
    UpdateTimeToLiveRequest,
    describe_from_body,
    update_from_body,
)
from tests.router.requests.failing import NAME_LENGTH, NULL_MEMBER, refusal


def update(body: dict[str, Any]) -> UpdateTimeToLiveRequest:
    return update_from_body(body, is_json=True)


def describe(body: dict[str, Any]) -> DescribeTimeToLiveRequest:
    return describe_from_body(body, is_json=True)


def test_requests() -> None:
    """A table, and what is to be."""
    specification = {"AttributeName": "until", "Enabled": False}
    body = {"TableName": "music", "TimeToLiveSpecification": specification}
    assert update(body) == UpdateTimeToLiveRequest("music", "until", False)
    assert describe({"TableName": "music"}) == DescribeTimeToLiveRequest("music")


@pytest.mark.parametrize(
    ("specification", "path"),
    [
        (None, "timeToLiveSpecification"),
        ({"Enabled": True}, "timeToLiveSpecification.attributeName"),
        ({"AttributeName": "until"}, "timeToLiveSpecification.enabled"),
    ],
)
def test_what_is_missing(specification: dict[str, Any] | None, path: str) -> None:
    """Both members are needed."""
    body = {"TableName": "music", "TimeToLiveSpecification": specification}
    assert refusal(update, body) == ("ValidationException", NULL_MEMBER.format(path))


@pytest.mark.parametrize(("name", "relation"), [("", "greater than or equal to 1"), ("x" * 256, "less than or equal")])
def test_an_attribute_has_a_name(name: str, relation: str) -> None:
    """Of 1 to 255 characters."""
    body = {"TableName": "music", "TimeToLiveSpecification": {"AttributeName": name, "Enabled": True}}
    _, message = refusal(update, body)
    assert (
        f"'timeToLiveSpecification.attributeName' failed to satisfy constraint: Member must have length {relation}"
        in (message)
    )


def test_a_table_has_a_name() -> None:
    """As everywhere."""
    assert refusal(describe, {"TableName": "ab"}) == ("ValidationException", NAME_LENGTH)
