"""Whatever a body holds, it becomes a request or one of the errors that a client is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.requests import (
    batch_get_item,
    batch_write_item,
    delete_item,
    get_item,
    operation_shapes,
    put_item,
    query,
    scan,
    stream_requests,
    transact_get_items,
    transact_write_items,
    update_item,
)
from router.requests.shapes import ATTRIBUTE_VALUE, Blob, Flag, Integer, ListOf, MapOf, Moment, Shape, Structure, Text
from router.requests.stream_names import StreamName
from server.model.errors import SerializationError, ValidationError

OPERATIONS: list[tuple[Callable[..., Any], Structure]] = [
    (put_item.from_body, operation_shapes.PUT_ITEM),
    (get_item.from_body, operation_shapes.GET_ITEM),
    (delete_item.from_body, operation_shapes.DELETE_ITEM),
    (update_item.from_body, operation_shapes.UPDATE_ITEM),
    (query.from_body, operation_shapes.QUERY),
    (scan.from_body, operation_shapes.SCAN),
    (batch_get_item.from_body, operation_shapes.BATCH_GET_ITEM),
    (batch_write_item.from_body, operation_shapes.BATCH_WRITE_ITEM),
    (transact_get_items.from_body, operation_shapes.TRANSACT_GET_ITEMS),
    (transact_write_items.from_body, operation_shapes.TRANSACT_WRITE_ITEMS),
]
STREAM_OPERATIONS: list[tuple[Callable[..., Any], Structure]] = [
    (stream_requests.list_from_body, stream_requests.LIST_STREAMS),
    (stream_requests.describe_from_body, stream_requests.DESCRIBE_STREAM),
    (stream_requests.iterator_from_body, stream_requests.GET_SHARD_ITERATOR),
    (stream_requests.records_from_body, stream_requests.GET_RECORDS),
]
ARN = StreamName("music", "2026-11-26T18:30:00.123").arn
NAMES = st.sampled_from(["a", "#a", ":v", "music", "S", "N", "M", "L", "Value", "Keys", "PutRequest", "Item", ""])
TEXTS = st.sampled_from(["", "a", "music", "#a = :v", "SET #a = :v", "a, #a", "1", "1e999", "AA==", "EQ", "BETWEEN"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats(allow_nan=False) | TEXTS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def nearly(shape: Shape, depth: int = 5) -> st.SearchStrategy[Any]:
    """Values that mostly are as a description says."""
    if shape is ATTRIBUTE_VALUE and depth <= 1:
        return st.sampled_from([{"S": "a"}, {"N": "1"}, {"NS": ["1", "1"]}, {}])
    if isinstance(shape, Text):
        likely = st.just(ARN if shape.length_min > 20 else "music") if shape.length_min else TEXTS
        drawn: st.SearchStrategy[Any] = st.sampled_from(shape.enum) if shape.enum else likely
    elif isinstance(shape, Integer):
        drawn = st.integers(shape.least - 1, 12)
    elif isinstance(shape, Flag):
        drawn = st.booleans()
    elif isinstance(shape, Moment):
        drawn = st.floats(allow_nan=False) | st.integers()
    elif isinstance(shape, Blob):
        drawn = TEXTS
    elif isinstance(shape, ListOf):
        drawn = st.lists(nearly(shape.element, depth - 1), max_size=3)
    elif isinstance(shape, MapOf):
        drawn = st.dictionaries(NAMES, nearly(shape.value, depth - 1), max_size=2)
    else:
        members = {name: nearly(member, depth - 1) for name, member in shape.members.items()}
        required = {name: members[name] for name in shape.required}
        drawn = st.fixed_dictionaries(
            required, optional={name: each for name, each in members.items() if name not in required}
        )
    return st.integers(0, 30).flatmap(lambda one: drawn if one else ANYTHING)


BODIES = {
    shape.name: nearly(shape).filter(lambda body: isinstance(body, dict))
    for _, shape in (*OPERATIONS, *STREAM_OPERATIONS)
}


@pytest.mark.parametrize(("from_body", "shape"), [*OPERATIONS, *STREAM_OPERATIONS])
@given(data=st.data(), is_json=st.booleans())
def test_any_body(from_body: Callable[..., Any], shape: Structure, data: st.DataObject, is_json: bool) -> None:
    """Nothing but a request and two kinds of errors."""
    body = data.draw(BODIES[shape.name])
    try:
        from_body(body, is_json=is_json)
    except (ValidationError, SerializationError) as error:
        assert error.message


@pytest.mark.parametrize(("from_body", "shape"), OPERATIONS)
@given(body=st.dictionaries(st.text(max_size=2), ANYTHING, max_size=3))
def test_a_body_of_something_else(from_body: Callable[..., Any], shape: Structure, body: dict[str, Any]) -> None:
    """Lacks what is required."""
    with pytest.raises(ValidationError, match="must not be null"):
        from_body(body, is_json=True)
