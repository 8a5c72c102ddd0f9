"""Expressions of requests, evaluated by the servers' own engine for the fake cluster."""

from __future__ import annotations

from typing import Any

from statorpb import item_pb2, items_pb2

from server.expressions.codec import encode
from server.expressions.compiled import compiled_condition, compiled_projection, compiled_update
from server.expressions.expression import parse_condition, parse_projection, parse_update
from server.expressions.placeholders import Placeholders
from server.model.item import Item
from server.wire import item_from_message, item_to_bytes


class Expressions:
    """Those of one request. Raise the servers' ValidationError."""

    def __init__(self, request: Any) -> None:
        self._request = request
        values = getattr(request, "expression_attribute_values", None)
        given = values is not None and request.HasField("expression_attribute_values")
        self._placeholders = Placeholders(
            dict(request.expression_attribute_names) or None,
            item_from_message(request.expression_attribute_values) if given else None,
        )

    def check_all_used(self) -> None:
        self._placeholders.check_all_used()

    def holds(self, field: str, parameter: str, item: item_pb2.Item | None) -> bool:
        """Whether the condition in a field of the request holds for an item; so it does if there is no condition."""
        text = getattr(self._request, field)
        if not text:
            return True
        condition = parse_condition(text, self._placeholders, parameter)
        return compiled_condition(encode(condition.tree))(_model(item), condition.values)

    def updated(self, old: item_pb2.Item | None, key: item_pb2.Item) -> tuple[item_pb2.Item, Any]:
        """(the new item, what takes the touched part of an item)."""
        before = _model(old) or item_from_message(key)
        if not self._request.update_expression:
            return _wire(before), lambda item: item_pb2.Item()
        update = parse_update(self._request.update_expression, self._placeholders)
        compiled = compiled_update(encode(update.tree))
        return _wire(compiled.apply(before, update.values)), lambda item: _wire(compiled.touched(_model(item)))

    def projected(self, item: item_pb2.Item) -> item_pb2.Item:
        """What the projection takes of it."""
        text = self._request.projection_expression
        if not text:
            return item
        projection = parse_projection(text, self._placeholders)
        return _wire(compiled_projection(encode(projection.tree))(_model(item)))


def returned(kind: int, old: item_pb2.Item | None, new: item_pb2.Item | None, touched: Any) -> Any:
    """What ReturnValues asks for."""
    if kind == items_pb2.RETURN_VALUES_ALL_OLD:
        return old
    if kind == items_pb2.RETURN_VALUES_ALL_NEW:
        return new
    if kind == items_pb2.RETURN_VALUES_UPDATED_OLD:
        return touched(old) if old is not None else None
    if kind == items_pb2.RETURN_VALUES_UPDATED_NEW:
        return touched(new)
    return None


def _model(item: item_pb2.Item | None) -> Item:
    return {} if item is None else item_from_message(item)


def _wire(item: Item) -> item_pb2.Item:
    return item_pb2.Item.FromString(item_to_bytes(item))
