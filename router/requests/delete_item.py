"""DeleteItem: removes the item under a key, if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from router.requests.expression_parameters import Parameters, read_placeholders
from router.requests.operation_shapes import DELETE_ITEM
from router.requests.options import PLAIN, WriteOptions, check_return_values, read_expected, read_options
from router.requests.reading import reader, table_name_of
from server.model.errors import StatorError
from server.model.item import Item, check_item

_PARAMETERS = Parameters(("ConditionExpression",), ("Expected", "ConditionalOperator"), "Expected")


class DeleteItemRequest(NamedTuple):
    """Deletes what is under `key`."""

    table_name: str
    key: Item
    options: WriteOptions = PLAIN


def from_body(body: Mapping[str, Any], *, is_json: bool) -> DeleteItemRequest:
    """The request of a body. Raises ValidationError or SerializationError."""
    if len(body) == 2 and type(name := body.get("TableName")) is str:
        try:
            return DeleteItemRequest(table_name_of(name), check_item(body["Key"], is_json=is_json)[0])
        except (StatorError, KeyError):
            pass  # the reader knows what to say
    return _read(body, is_json)


def _build(body: Mapping[str, Any], is_json: bool) -> DeleteItemRequest:
    table_name = table_name_of(body["TableName"])
    _PARAMETERS.check_together(body)
    key, _ = check_item(body["Key"], is_json=is_json)
    check_return_values(body)
    expected = read_expected(body, is_json)
    placeholders = read_placeholders(body, is_json)
    options = read_options(body, expected, placeholders)
    placeholders.check_all_used()
    return DeleteItemRequest(table_name, key, options)


_read = reader(DELETE_ITEM, _build, is_enveloped=True)
