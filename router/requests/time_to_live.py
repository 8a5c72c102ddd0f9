"""UpdateTimeToLive and DescribeTimeToLive: by which attribute a table's items expire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.requests.table_shapes import DESCRIBE_TIME_TO_LIVE, UPDATE_TIME_TO_LIVE, read_body


@dataclass(frozen=True, slots=True)
class UpdateTimeToLiveRequest:
    """Makes items expire by an attribute, or not any more."""

    table_name: str
    attribute: str
    is_enabled: bool


@dataclass(frozen=True, slots=True)
class DescribeTimeToLiveRequest:
    """Asks whether items expire, and by which attribute."""

    table_name: str


def update_from_body(body: Mapping[str, Any], *, is_json: bool) -> UpdateTimeToLiveRequest:
    """Raises ValidationError or SerializationError."""
    content = read_body(UPDATE_TIME_TO_LIVE, body, is_json=is_json)
    specification = content["TimeToLiveSpecification"]
    return UpdateTimeToLiveRequest(content["TableName"], specification["AttributeName"], specification["Enabled"])


def describe_from_body(body: Mapping[str, Any], *, is_json: bool) -> DescribeTimeToLiveRequest:
    """Raises ValidationError or SerializationError."""
    return DescribeTimeToLiveRequest(read_body(DESCRIBE_TIME_TO_LIVE, body, is_json=is_json)["TableName"])
