"""UpdateItem: changes parts of the item under a key, and makes the item if there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from router.requests.expression_parameters import Parameters, read_placeholders, with_values
from router.requests.operation_shapes import UPDATE_ITEM
from router.requests.options import PLAIN, WriteOptions, read_expected, read_options
from router.requests.reading import reader, table_name_of
from server.expressions.expression import Update, parse_update
from server.expressions.legacy import attribute_updates
from server.model.item import Item, check_item

_PARAMETERS = Parameters(
    ("UpdateExpression", "ConditionExpression"), ("AttributeUpdates", "Expected", "ConditionalOperator"), "Expected"
)


class UpdateItemRequest(NamedTuple):
    """`update` None: nothing is changed, but the item is made if there is none."""

    table_name: str
    key: Item
    update: Update | None
    options: WriteOptions = PLAIN


def from_body(body: Mapping[str, Any], *, is_json: bool) -> UpdateItemRequest:
    """The request of a body. Raises ValidationError or SerializationError."""
    return _read(body, is_json)


def _build(body: Mapping[str, Any], is_json: bool) -> UpdateItemRequest:
    table_name = table_name_of(body["TableName"])
    _PARAMETERS.check_together(body)
    key, _ = check_item(body["Key"], is_json=is_json)
    updates = body.get("AttributeUpdates")
    update = None if updates is None else attribute_updates(with_values(updates, is_json))
    expected = read_expected(body, is_json)
    placeholders = read_placeholders(body, is_json)
    text = body.get("UpdateExpression")
    if text is not None:
        update = parse_update(text, placeholders)
    options = read_options(body, expected, placeholders)
    placeholders.check_all_used()
    return UpdateItemRequest(table_name, key, update, options)


_read = reader(UPDATE_ITEM, _build, is_enveloped=True)
