"""What calls on items take besides their main arguments; each is a keyword argument: return_values="ALL_OLD".

Names and meanings are DynamoDB's. In all of them:

`names`, `values`: what the placeholders "#name" and ":value" of expressions that are texts stand for. Expressions
made by `attr`, `key` and `update` bring their own.
`consistent_read`: reflect every write that was acknowledged before; without, an answer may be a little behind.
`return_consumed_capacity`: "TOTAL", or "INDEXES" to have it apart by table and index.
`timeout_s`: how long a request may take, retries included; by default the client's.
`conflict_attempts`: how often a request is made that meets another transaction at work on an item of its own, after a
random delay each time, as long as its time lasts; by default as often as the client's. 1: it is not made again.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypedDict

from stator.expressions import Condition, Path
from stator.results import ConsumedCapacity

ReturnValues = Literal["NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"]
ReturnConsumedCapacity = Literal["NONE", "TOTAL", "INDEXES"]
Select = Literal["ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT"]
Projection = str | Iterable[Path]


class WriteOptions(TypedDict, total=False):
    """Of put_item, update_item and delete_item.

    `condition`: the write is carried out only if this holds for the item as it is; else ConditionalCheckFailedError.
    `return_values`: "ALL_OLD" is the item as it was; update_item also knows "ALL_NEW", "UPDATED_OLD" and "UPDATED_NEW".
    `return_values_on_condition_check_failure`: "ALL_OLD" puts the item into the error, as `error.item`.
    `return_item_collection_metrics`: "SIZE", where the table has local secondary indexes.
    """

    condition: str | Condition | None
    names: Mapping[str, str] | None
    values: Mapping[str, Any] | None
    return_values: ReturnValues
    return_values_on_condition_check_failure: Literal["NONE", "ALL_OLD"]
    return_consumed_capacity: ReturnConsumedCapacity
    return_item_collection_metrics: Literal["NONE", "SIZE"]
    conflict_attempts: int | None
    timeout_s: float | None


class TransactWriteOptions(TypedDict, total=False):
    """Of what writes in a transaction.

    `condition`: it must hold for the item as it is, or nothing of the whole transaction is written.
    `return_values_on_condition_check_failure`: "ALL_OLD" puts the item into the reason, as `reason.item`.
    """

    condition: str | Condition | None
    names: Mapping[str, str] | None
    values: Mapping[str, Any] | None
    return_values_on_condition_check_failure: Literal["NONE", "ALL_OLD"]


class TransactionOptions(TypedDict, total=False):
    """Of transaction and transact_write_items.

    `token`: a text of 1 to 36 characters by which the servers know this transaction again for ten minutes after it was
    carried out: with the same token and content it is carried out once, in however many calls.
    `return_item_collection_metrics`: "SIZE", where a table has local secondary indexes.
    """

    token: str | None
    return_consumed_capacity: ReturnConsumedCapacity
    return_item_collection_metrics: Literal["NONE", "SIZE"]
    conflict_attempts: int | None
    timeout_s: float | None


class TransactGetOptions(TypedDict, total=False):
    """Of transact_get_items. `on_capacity`: is called with what was consumed of each table."""

    on_capacity: Callable[[ConsumedCapacity], object] | None
    conflict_attempts: int | None
    timeout_s: float | None


class ReadOptions(TypedDict, total=False):
    """Of get_item and batch_get_item.

    `projection`: which attributes to return, as a text or as a list of paths; all by default.
    `on_capacity`: is called with what each request consumed.
    """

    projection: Projection | None
    names: Mapping[str, str] | None
    consistent_read: bool
    on_capacity: Callable[[ConsumedCapacity], object] | None
    timeout_s: float | None


class CountOptions(TypedDict, total=False):
    """Of query_count and scan_count.

    `index`: the secondary index to read, by its name.
    `filter`: which of the items that are read to return, or to count.
    """

    index: str | None
    filter: str | Condition | None
    names: Mapping[str, str] | None
    values: Mapping[str, Any] | None
    consistent_read: bool
    timeout_s: float | None


class ParallelScanOptions(CountOptions, total=False):
    """Of parallel_scan.

    `projection`: which attributes to return, as a text or as a list of paths.
    `page_items`: how many items a request looks at; 0 means what fits into 1 MB.
    """

    projection: Projection | None
    page_items: int


class ScanOptions(ParallelScanOptions, total=False):
    """Of scan.

    `start_key`: where to go on, from `Page.last_evaluated_key`.
    `segment` of `total_segments`: one part of the table, from 0. See `parallel_scan`.
    """

    start_key: Mapping[str, Any] | None
    segment: int | None
    total_segments: int | None


class QueryOptions(ParallelScanOptions, total=False):
    """Of query.

    `start_key`: where to go on, from `Page.last_evaluated_key`.
    `descending`: from the greatest sort key to the least.
    """

    start_key: Mapping[str, Any] | None
    descending: bool
