"""Calls on items as wire messages, and the answers back as values. No IO."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from statorpb import items_pb2, passthrough_pb2

from stator.expressions import Condition, KeyCondition, Placeholders, Update, expression_text, projection_text
from stator.options import (
    QueryOptions,
    ReadOptions,
    ReturnConsumedCapacity,
    ScanOptions,
    Select,
    TransactionOptions,
    WriteOptions,
)
from stator.results import Page, TransactionResult, WriteResult, consumed_capacity, item_collection_metrics
from stator.transaction_members import (
    TransactCheck,
    TransactDelete,
    TransactGet,
    TransactPut,
    TransactUpdate,
    TransactWrite,
    name_of,
)
from stator.typed_items import to_item
from stator.values import Item, ValueEncoder, decode_item

TOKEN_BYTES = 16
Request = passthrough_pb2.RawSessionRequest

_RETURN_VALUES: dict[str, items_pb2.ReturnValues.ValueType] = {
    "NONE": items_pb2.RETURN_VALUES_NONE,
    "ALL_OLD": items_pb2.RETURN_VALUES_ALL_OLD,
    "UPDATED_OLD": items_pb2.RETURN_VALUES_UPDATED_OLD,
    "ALL_NEW": items_pb2.RETURN_VALUES_ALL_NEW,
    "UPDATED_NEW": items_pb2.RETURN_VALUES_UPDATED_NEW,
}
_ON_FAILURE = {name: _RETURN_VALUES[name] for name in ("NONE", "ALL_OLD")}
_CAPACITY: dict[str, items_pb2.ReturnConsumedCapacity.ValueType] = {
    "NONE": items_pb2.RETURN_CONSUMED_CAPACITY_NONE,
    "TOTAL": items_pb2.RETURN_CONSUMED_CAPACITY_TOTAL,
    "INDEXES": items_pb2.RETURN_CONSUMED_CAPACITY_INDEXES,
}
_METRICS: dict[str, items_pb2.ReturnItemCollectionMetrics.ValueType] = {
    "NONE": items_pb2.RETURN_ITEM_COLLECTION_METRICS_NONE,
    "SIZE": items_pb2.RETURN_ITEM_COLLECTION_METRICS_SIZE,
}
_SELECT: dict[str, items_pb2.Select.ValueType] = {
    "ALL_ATTRIBUTES": items_pb2.SELECT_ALL_ATTRIBUTES,
    "ALL_PROJECTED_ATTRIBUTES": items_pb2.SELECT_ALL_PROJECTED_ATTRIBUTES,
    "SPECIFIC_ATTRIBUTES": items_pb2.SELECT_SPECIFIC_ATTRIBUTES,
    "COUNT": items_pb2.SELECT_COUNT,
}

_RawWrite = (
    passthrough_pb2.RawPutItemRequest | passthrough_pb2.RawUpdateItemRequest | passthrough_pb2.RawDeleteItemRequest
)
_RawPages = passthrough_pb2.RawQueryRequest | passthrough_pb2.RawScanRequest
_RawExpressions = _RawWrite | _RawPages | passthrough_pb2.RawConditionCheck
RawMember = passthrough_pb2.RawTransactWriteItem


class PageParts(TypedDict, total=False):
    """What the answers to a query or scan shall have."""

    select: Select | None
    return_consumed_capacity: ReturnConsumedCapacity


class ItemRequests:
    """Makes requests of arguments. All raise TypeError or ValueError for arguments that cannot be meant."""

    def __init__(self, encoder: ValueEncoder) -> None:
        self._encoder = encoder

    def put(self, table: str, item: Any, options: WriteOptions) -> Request:
        """PutItem."""
        request = Request(token=os.urandom(TOKEN_BYTES))
        put = request.put_item
        put.table_name = table
        put.item = self._encoder.encode_item(item if type(item) is dict else to_item(item))
        if options:
            self._fill_write(put, options)
        return request

    def update(self, table: str, key: Mapping[str, Any], update: str | Update | None, options: WriteOptions) -> Request:
        """UpdateItem."""
        request = Request(token=os.urandom(TOKEN_BYTES))
        wire = request.update_item
        wire.table_name = table
        wire.key = self._encoder.encode_item(key)
        self._fill_write(wire, options, update)
        return request

    def delete(self, table: str, key: Mapping[str, Any], options: WriteOptions) -> Request:
        """DeleteItem."""
        request = Request(token=os.urandom(TOKEN_BYTES))
        delete = request.delete_item
        delete.table_name = table
        delete.key = self._encoder.encode_item(key)
        if options:
            self._fill_write(delete, options)
        return request

    def get(self, table: str, key: Mapping[str, Any], options: ReadOptions) -> Request:
        """GetItem."""
        request = Request()
        get = request.get_item
        get.table_name = table
        get.key = self._encoder.encode_item(key)
        if options:
            placeholders = Placeholders(options.get("names"))
            get.consistent_read = options.get("consistent_read", False)
            get.projection_expression = projection_text(options.get("projection"), placeholders)
            get.expression_attribute_names.update(placeholders.names)
            if options.get("on_capacity") is not None:
                get.return_consumed_capacity = items_pb2.RETURN_CONSUMED_CAPACITY_INDEXES
            check_names(options, ReadOptions)
        return request

    def query(self, table: str, key_condition: str | KeyCondition, options: QueryOptions, pages: PageParts) -> Request:
        """Query, its first page."""
        check_names(options, QueryOptions)
        request = Request()
        query = request.query
        query.table_name = table
        if options.get("descending"):
            query.scan_index_forward = False
        placeholders = Placeholders(options.get("names"), options.get("values"))
        query.key_condition_expression = expression_text(key_condition, KeyCondition, placeholders, "key_condition")
        self._fill_pages(query, placeholders, options, pages)
        return request

    def scan(self, table: str, options: ScanOptions, pages: PageParts) -> Request:
        """Scan, its first page."""
        check_names(options, ScanOptions)
        request = Request()
        scan = request.scan
        scan.table_name = table
        segment, total_segments = options.get("segment"), options.get("total_segments")
        if segment is not None:
            scan.segment = segment
        if total_segments is not None:
            scan.total_segments = total_segments
        self._fill_pages(scan, Placeholders(options.get("names"), options.get("values")), options, pages)
        return request

    def transact_member(self, member: TransactWrite) -> RawMember:
        """One write of a transaction, or one check."""
        raw = RawMember()
        wire: _RawWrite | passthrough_pb2.RawConditionCheck
        update = None
        match member:
            case TransactPut():
                wire = raw.put
                wire.item = self._encoder.encode_item(to_item(member.item))
            case TransactUpdate():
                wire, update = raw.update, member.update
                wire.key = self._encoder.encode_item(member.key)
            case TransactDelete():
                wire = raw.delete
                wire.key = self._encoder.encode_item(member.key)
            case TransactCheck():
                wire = raw.condition_check
                wire.key = self._encoder.encode_item(member.key)
            case _:
                raise TypeError(f"a transaction is made of TransactPut and the like, not of {type(member).__name__}")
        wire.table_name = name_of(member.table)
        placeholders = Placeholders(member.names, member.values)
        if isinstance(wire, passthrough_pb2.RawUpdateItemRequest):
            wire.update_expression = expression_text(update, Update, placeholders, "update")
        wire.condition_expression = expression_text(member.condition, Condition, placeholders, "condition")
        self._fill_placeholders(wire, placeholders)
        on_failure = "return_values_on_condition_check_failure"
        chosen = {on_failure: member.return_values_on_condition_check_failure}
        wire.return_values_on_condition_check_failure = _chosen(_ON_FAILURE, chosen, on_failure)
        return raw

    def transact_write(self, members: Iterable[RawMember], options: TransactionOptions) -> Request:
        """TransactWriteItems."""
        check_names(options, TransactionOptions)
        if options.get("token") == "":
            raise ValueError("token is empty: leave it out instead")
        request = Request(token=os.urandom(TOKEN_BYTES))
        wire = request.transact_write_items
        wire.transact_items.extend(members)
        wire.client_request_token = options.get("token") or ""
        wire.return_consumed_capacity = _chosen(_CAPACITY, options, "return_consumed_capacity")
        wire.return_item_collection_metrics = _chosen(_METRICS, options, "return_item_collection_metrics")
        return request

    def transact_get(self, gets: Iterable[TransactGet], *, counts_capacity: bool) -> Request:
        """TransactGetItems."""
        request = Request()
        for get in gets:
            placeholders = Placeholders(get.names)
            wire = request.transact_get_items.transact_items.add()
            wire.table_name = name_of(get.table)
            wire.key = self._encoder.encode_item(get.key)
            wire.projection_expression = projection_text(get.projection, placeholders)
            wire.expression_attribute_names.update(placeholders.names)
        if counts_capacity:
            request.transact_get_items.return_consumed_capacity = items_pb2.RETURN_CONSUMED_CAPACITY_INDEXES
        return request

    def _fill_write(self, wire: _RawWrite, options: WriteOptions, update: str | Update | None = None) -> None:
        check_names(options, WriteOptions)
        placeholders = Placeholders(options.get("names"), options.get("values"))
        if isinstance(wire, passthrough_pb2.RawUpdateItemRequest):
            wire.update_expression = expression_text(update, Update, placeholders, "update")
        wire.condition_expression = expression_text(options.get("condition"), Condition, placeholders, "condition")
        self._fill_placeholders(wire, placeholders)
        wire.return_values = _chosen(_RETURN_VALUES, options, "return_values")
        on_failure = "return_values_on_condition_check_failure"
        wire.return_values_on_condition_check_failure = _chosen(_ON_FAILURE, options, on_failure)
        wire.return_consumed_capacity = _chosen(_CAPACITY, options, "return_consumed_capacity")
        wire.return_item_collection_metrics = _chosen(_METRICS, options, "return_item_collection_metrics")

    def _fill_pages(
        self, wire: _RawPages, placeholders: Placeholders, options: QueryOptions | ScanOptions, pages: PageParts
    ) -> None:
        wire.index_name = options.get("index") or ""
        wire.filter_expression = expression_text(options.get("filter"), Condition, placeholders, "filter")
        wire.projection_expression = projection_text(options.get("projection"), placeholders)
        self._fill_placeholders(wire, placeholders)
        if pages.get("select") is not None:
            wire.select = _chosen(_SELECT, pages, "select")
        start_key = options.get("start_key")
        if start_key is not None:
            wire.exclusive_start_key = self._encoder.encode_item(start_key)
        wire.consistent_read = options.get("consistent_read", False)
        wire.return_consumed_capacity = _chosen(_CAPACITY, pages, "return_consumed_capacity")

    def _fill_placeholders(self, wire: _RawExpressions, placeholders: Placeholders) -> None:
        wire.expression_attribute_names.update(placeholders.names)
        if placeholders.values:
            wire.expression_attribute_values = self._encoder.encode_item(placeholders.values)


def write_result(
    wire: passthrough_pb2.RawPutItemResponse
    | passthrough_pb2.RawUpdateItemResponse
    | passthrough_pb2.RawDeleteItemResponse,
) -> WriteResult:
    """What came of a write."""
    return WriteResult(
        decode_item(wire.attributes) if wire.HasField("attributes") else None,
        consumed_capacity(wire.consumed_capacity) if wire.HasField("consumed_capacity") else None,
        item_collection_metrics(wire.item_collection_metrics) if wire.HasField("item_collection_metrics") else None,
    )


def transaction_result(wire: items_pb2.TransactWriteItemsResponse) -> TransactionResult:
    """What came of a transaction."""
    return TransactionResult(
        tuple(map(consumed_capacity, wire.consumed_capacity)),
        {
            table.table_name: tuple(map(item_collection_metrics, table.metrics))
            for table in wire.item_collection_metrics
        },
    )


def page_of(wire: passthrough_pb2.RawQueryResponse | passthrough_pb2.RawScanResponse) -> Page[Item]:
    """An answer to a query or scan."""
    return Page(
        [decode_item(item) for item in wire.items],
        wire.count,
        wire.scanned_count,
        decode_item(wire.last_evaluated_key) if wire.HasField("last_evaluated_key") else None,
        consumed_capacity(wire.consumed_capacity) if wire.HasField("consumed_capacity") else None,
    )


def check_names(options: Mapping[str, Any], known: type) -> None:
    """Raises TypeError for an option that there is not."""
    for name in options:
        if name not in known.__annotations__:
            raise TypeError(f"{name!r} is no option here; there are {', '.join(known.__annotations__)}")


def _chosen(known: dict[str, Any], options: Mapping[str, Any], what: str) -> Any:
    """The wire's number of a choice. Raises ValueError."""
    name = options.get(what, "NONE")
    number = known.get(name)
    if number is None:
        raise ValueError(f"{what} is one of {', '.join(known)}, not {name!r}")
    return number
