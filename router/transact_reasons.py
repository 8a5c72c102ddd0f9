"""Why transactions were cancelled, as participants' answers say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from statorpb import partition_pb2

from router.requests.transactions import refused
from server.model.errors import (
    COLLECTION_REASON,
    CONFLICT_REASON,
    NO_REASON,
    CancellationReason,
    StatorError,
    TransactionCanceledError,
    condition_reason,
    validation_reason,
)

_Outcome = partition_pb2.ItemOutcome


def cancelled(
    count: int,
    outcomes: Mapping[int, partition_pb2.ItemOutcome],
    throttled: Mapping[int, CancellationReason] = MappingProxyType({}),
) -> StatorError:
    """Of a transaction of `count` items, by what became of them; `throttled`: reasons of
    those whose partition took no more."""
    reasons = [NO_REASON] * count
    for number, outcome in outcomes.items():
        reasons[number] = _reason(outcome)
    for number, reason in throttled.items():
        reasons[number] = reason
    return refused(reasons)


def conflict(count: int, numbers: Collection[int]) -> StatorError:
    """Of one that others stood in the way of, at these items."""
    return TransactionCanceledError([CONFLICT_REASON if each in numbers else NO_REASON for each in range(count)])


def is_late(outcomes: Collection[partition_pb2.ItemOutcome]) -> bool:
    """Whether nothing but the transaction's stamp was in the way."""
    return all(each.code in (_Outcome.ACCEPTED, _Outcome.LATE) for each in outcomes)


def _reason(outcome: partition_pb2.ItemOutcome) -> CancellationReason:
    if outcome.code == _Outcome.CONDITION_FAILED:
        return condition_reason(outcome.item or None)
    if outcome.code == _Outcome.CONFLICT:
        return CONFLICT_REASON
    if outcome.code == _Outcome.INVALID:
        return validation_reason(outcome.message)
    if outcome.code == _Outcome.COLLECTION_FULL:
        return COLLECTION_REASON
    return NO_REASON  # ACCEPTED; and LATE, beside which another reason stands
