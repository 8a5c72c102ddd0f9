"""What is told of a partition that takes no more at present: DynamoDB has one error for provisioned tables and another
for those that are billed by request, and reasons of cancelled transactions to go with them.
"""

from __future__ import annotations

from router.partition_map_cache import Table
from server.model.errors import (
    PROVISIONED_REASON,
    THROTTLING_REASON,
    CancellationReason,
    ProvisionedThroughputExceededError,
    RequestLimitExceededError,
    StatorError,
    ThrottledError,
)


def throttled(table: Table, reason: str) -> ThrottledError:
    """`reason`: what is full, as the partition says; empty: the partition itself."""
    reason = reason or "the partition has too much in flight"
    if table.is_provisioned:
        return ProvisionedThroughputExceededError(
            f"The level of configured provisioned throughput for the table was exceeded: {reason}; try again"
        )
    return ThrottledError(f"The request was throttled: {reason}; try again")


def throttling_reason(error: StatorError) -> CancellationReason | None:
    """Why a transaction is cancelled whose part ended with `error`; None: for another reason than that, or it may have
    been carried out."""
    if not error.is_not_carried_out:
        return None
    if isinstance(error, ProvisionedThroughputExceededError):
        return PROVISIONED_REASON
    return THROTTLING_REASON if isinstance(error, ThrottledError | RequestLimitExceededError) else None
