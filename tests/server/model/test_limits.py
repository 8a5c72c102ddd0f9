"""Limits: the service model that SDKs check requests against has the same."""

from __future__ import annotations

from typing import Any

import botocore.loaders
import pytest

from server.model import limits


@pytest.fixture(scope="module")
def shapes() -> dict[str, Any]:
    found: dict[str, Any] = botocore.loaders.Loader().load_service_model("dynamodb", "service-2")["shapes"]
    return found


@pytest.mark.parametrize(
    ("shape", "bound", "limit"),
    [
        ("TableName", "min", limits.TABLE_NAME_LENGTH_MIN),
        ("TableName", "max", limits.TABLE_NAME_LENGTH_MAX),
        ("KeySchemaAttributeName", "max", limits.KEY_NAME_BYTES_MAX),
        ("AttributeName", "max", limits.ATTRIBUTE_NAME_BYTES_MAX),
        ("KeyList", "max", limits.BATCH_GET_KEYS_MAX),
        ("WriteRequests", "max", limits.BATCH_WRITE_REQUESTS_MAX),
        ("ListTablesInputLimit", "max", limits.LIST_TABLES_MAX),
    ],
)
def test_the_service_model_agrees(shapes: dict[str, Any], shape: str, bound: str, limit: int) -> None:
    """A request that an SDK lets pass is not refused for a limit that is ours alone."""
    assert shapes[shape][bound] == limit


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (limits.ITEM_BYTES_MAX, 409_600),
        (limits.PARTITION_KEY_BYTES_MAX, 2048),
        (limits.SORT_KEY_BYTES_MAX, 1024),
        (limits.NESTING_MAX, 32),
        (limits.NUMBER_DIGITS_MAX, 38),
        (limits.NUMBER_MAGNITUDE_MAX, 125),
        (limits.NUMBER_MAGNITUDE_MIN, -130),
        (limits.REQUEST_BYTES_MAX, 16_777_216),
        (limits.PAGE_BYTES_MAX, 1_048_576),
    ],
)
def test_what_the_developer_guide_says(limit: int, expected: int) -> None:
    """For what no model states."""
    assert limit == expected


def test_limits_fit_each_other() -> None:
    """A full batch of the largest items fits into a request, and the largest item into a page."""
    assert limits.BATCH_WRITE_REQUESTS_MAX * limits.ITEM_BYTES_MAX < limits.REQUEST_BYTES_MAX
    assert limits.ITEM_BYTES_MAX < limits.PAGE_BYTES_MAX
    assert limits.PARTITION_KEY_BYTES_MAX + limits.SORT_KEY_BYTES_MAX < limits.ITEM_BYTES_MAX
