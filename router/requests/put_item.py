"""PutItem: stores a whole item under its key, in place of whatever was there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from router.requests.expression_parameters import Parameters, read_placeholders
from router.requests.operation_shapes import PUT_ITEM
from router.requests.options import PLAIN, WriteOptions, check_return_values, read_expected, read_options
from router.requests.reading import reader, table_name_of
from server.model.errors import StatorError, ValidationError
from server.model.item import ITEM_TOO_LARGE, Item, check_item
from server.model.limits import ITEM_BYTES_MAX, REQUEST_BYTES_MAX

_PARAMETERS = Parameters(("ConditionExpression",), ("Expected", "ConditionalOperator"), "Expected")


class PutItemRequest(NamedTuple):
    """`item` has been checked by itself; its key is checked against the table's schema when it is routed."""

    table_name: str
    item: Item
    options: WriteOptions = PLAIN


def from_body(body: Mapping[str, Any], *, is_json: bool) -> PutItemRequest:
    """The request of a body. Raises ValidationError or SerializationError."""
    if len(body) == 2 and type(name := body.get("TableName")) is str:
        try:
            return PutItemRequest(table_name_of(name), check_item(body["Item"], is_json=is_json)[0])
        except (StatorError, KeyError):
            pass  # the reader knows what to say
    return _read(body, is_json)


def plain(table_name: str, item: Item) -> PutItemRequest:
    """The request of nothing but these, as `from_body` makes it of a body (in model form)."""
    try:
        return PutItemRequest(table_name_of(table_name), check_item(item)[0])
    except StatorError:
        return _read({"TableName": table_name, "Item": item}, False)


def _build(body: Mapping[str, Any], is_json: bool) -> PutItemRequest:
    table_name = table_name_of(body["TableName"])
    _PARAMETERS.check_together(body)
    item, size = check_item(body["Item"], is_json=is_json, bytes_max=REQUEST_BYTES_MAX)
    check_return_values(body)
    if size > ITEM_BYTES_MAX:
        raise ValidationError(ITEM_TOO_LARGE)
    expected = read_expected(body, is_json)
    placeholders = read_placeholders(body, is_json)
    options = read_options(body, expected, placeholders)
    placeholders.check_all_used()
    return PutItemRequest(table_name, item, options)


_read = reader(PUT_ITEM, _build, is_enveloped=True)
