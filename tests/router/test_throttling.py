"""What is told of a partition that takes no more."""

from __future__ import annotations

from dataclasses import replace

from router.partition_map_cache import Table
from router.throttling import throttled, throttling_reason
from server.model.errors import (
    PROVISIONED_REASON,
    THROTTLING_REASON,
    ProvisionedThroughputExceededError,
    RequestLimitExceededError,
    ThrottledError,
    ValidationError,
)
from server.model.partition_map import PartitionMap
from server.model.table import KeyAttribute, KeySchema


def test_who_is_throttled_is_told_by_how_the_table_is_billed() -> None:
    """By errors of their own, and as reasons of a cancelled transaction."""
    table = Table("t", 1, b"", KeySchema(KeyAttribute("pk", "S")), True, PartitionMap((b"",), (7,)), [], 1)
    by_request = throttled(table, "")
    provisioned = throttled(replace(table, is_provisioned=True), "global secondary indexes do not keep up")
    assert type(by_request) is ThrottledError
    assert type(provisioned) is ProvisionedThroughputExceededError
    assert provisioned.message == (
        "The level of configured provisioned throughput for the table was exceeded: "
        "global secondary indexes do not keep up; try again"
    )
    errors = by_request, provisioned, RequestLimitExceededError("full"), ValidationError("wrong")
    assert [throttling_reason(error) for error in errors] == [None] * 4, "it may have been carried out"
    for error in errors:
        error.is_not_carried_out = True
    assert [throttling_reason(error) for error in errors] == [
        THROTTLING_REASON,
        PROVISIONED_REASON,
        THROTTLING_REASON,
        None,
    ]
