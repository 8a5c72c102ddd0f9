"""Values beside each other: against the reference's reading."""

from __future__ import annotations

import pytest
from hypothesis import given

from server.expressions.values import kind_of, order_of, size_of
from server.model.item import AttributeValue
from tests.server.expressions.reference import native
from tests.server.expressions.strategies import attribute_values


@given(attribute_values, attribute_values)
def test_order(left: AttributeValue, right: AttributeValue) -> None:
    """One order, whichever comes first."""
    order, other = order_of(left, right), order_of(right, left)
    assert (order is None) is (other is None)
    if order is not None and other is not None:
        assert order == -other
        assert (order == 0) is (native(left) == native(right))


def test_strings_order_as_their_bytes() -> None:
    """Beyond the basic plane, too."""
    assert order_of({"S": "\U0001f600"}, {"S": "\uffff"}) == 1
    assert size_of({"S": "\U0001f600"}) == {"N": "1"}


def test_a_value_has_a_type() -> None:
    """What has none was never checked."""
    assert kind_of({"NULL": True}) == "NULL"
    with pytest.raises(AssertionError):
        kind_of({})
