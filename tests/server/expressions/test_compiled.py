"""The door for storage nodes: functions are kept by bytes, and of the kind that is asked for."""

from __future__ import annotations

import pytest

from server.expressions.codec import CorruptTreeError, encode
from server.expressions.compiled import compiled_condition, compiled_projection, compiled_update
from server.expressions.expression import parse_condition, parse_projection, parse_update
from server.expressions.placeholders import Placeholders
from server.model.item import Item

ITEM: Item = {"a": {"N": "1"}, "b": {"S": "x"}}
PLACEHOLDERS = Placeholders({"#a": "a"}, {":v": {"N": "1"}})

CONDITION = parse_condition("#a = :v", PLACEHOLDERS)
UPDATE = parse_update("SET #a = #a + :v", PLACEHOLDERS)
PROJECTION = parse_projection("#a", PLACEHOLDERS)


def test_from_text_to_item() -> None:
    """The whole way."""
    assert compiled_condition(encode(CONDITION.tree))(ITEM, CONDITION.values)
    assert compiled_update(encode(UPDATE.tree)).apply(ITEM, UPDATE.values) == {"a": {"N": "2"}, "b": {"S": "x"}}
    assert compiled_projection(encode(PROJECTION.tree))(ITEM) == {"a": {"N": "1"}}


def test_functions_are_made_once() -> None:
    """For the same bytes."""
    for compiled, tree in (
        (compiled_condition, CONDITION.tree),
        (compiled_update, UPDATE.tree),
        (compiled_projection, PROJECTION.tree),
    ):
        data = encode(tree)
        assert compiled(data) is compiled(bytes(bytearray(data)))


def test_another_kind_is_refused() -> None:
    """Bytes of one kind of tree where another is asked for."""
    condition, update, projection = encode(CONDITION.tree), encode(UPDATE.tree), encode(PROJECTION.tree)
    for data in (update, projection):
        with pytest.raises(CorruptTreeError, match="no condition"):
            compiled_condition(data)
    for data in (condition, projection):
        with pytest.raises(CorruptTreeError, match="no update"):
            compiled_update(data)
    for data in (condition, update):
        with pytest.raises(CorruptTreeError, match="no projection"):
            compiled_projection(data)
