"""Items as Hypothesis draws them, each with its size by an obvious second reading of DynamoDB's rules."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from server.model.item import AttributeValue, Item

Sized = tuple[AttributeValue, int]
"""A value in canonical form and the bytes it counts for."""


def plain(number: Decimal) -> str:
    """A number without exponent and without superfluous zeros."""
    text = f"{number:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("0", "-0", "") else text


@st.composite
def numbers(draw: st.DrawFn) -> Decimal:
    """Every number that DynamoDB can hold: 38 digits, magnitude -130 to 125, either sign, and zero."""
    digits = draw(st.integers(0, 10**38 - 1) | st.integers(0, 99))
    if digits == 0:
        return Decimal(0)
    magnitude = draw(st.integers(-130, 125) | st.integers(-3, 3))
    sign = draw(st.sampled_from([0, 1]))
    shown = tuple(int(digit) for digit in str(digits))
    return Decimal((sign, shown, magnitude - len(shown) + 1))


def size_of_number(number: Decimal) -> int:
    """A byte for two digits on either side of the point, one more, and one for a minus sign."""
    significant = len("".join(map(str, number.as_tuple().digits)).strip("0"))
    before = min(max(0, number.adjusted() + 1), significant) if number else 0
    return 1 + -(-before // 2) + -(-(significant - before) // 2) + (1 if number < 0 else 0)


def _set_of(
    kind: str, members: st.SearchStrategy[Any], show: Callable[[Any], Any], size: Callable[[Any], int]
) -> st.SearchStrategy[Sized]:
    return st.lists(members, min_size=1, max_size=4, unique=True).map(
        lambda drawn: ({kind: [show(each) for each in drawn]}, sum(size(each) for each in drawn))
    )


def _text_bytes(text: str) -> int:
    return len(text.encode())


_SCALARS: st.SearchStrategy[Sized] = st.one_of(
    st.text(max_size=8).map(lambda text: ({"S": text}, _text_bytes(text))),
    numbers().map(lambda number: ({"N": plain(number)}, size_of_number(number))),
    st.binary(max_size=8).map(lambda data: ({"B": data}, len(data))),
    st.booleans().map(lambda flag: ({"BOOL": flag}, 1)),
    st.just(({"NULL": True}, 1)),
    _set_of("SS", st.text(max_size=4), str, _text_bytes),
    _set_of("NS", numbers(), plain, size_of_number),
    _set_of("BS", st.binary(max_size=4), bytes, len),
)


def _list(elements: list[Sized]) -> Sized:
    return {"L": [value for value, _ in elements]}, 3 + sum(1 + size for _, size in elements)


def _map(entries: dict[str, Sized]) -> Sized:
    content = {name: value for name, (value, _) in entries.items()}
    return {"M": content}, 3 + sum(1 + _text_bytes(name) + size for name, (_, size) in entries.items())


sized_values: st.SearchStrategy[Sized] = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(_list) | st.dictionaries(st.text(max_size=4), inner, max_size=3).map(_map)
    ),
    max_leaves=8,
)

sized_items: st.SearchStrategy[tuple[Item, int]] = st.dictionaries(
    st.text(min_size=1, max_size=6), sized_values, max_size=5
).map(
    lambda attributes: (
        {name: value for name, (value, _) in attributes.items()},
        sum(_text_bytes(name) + size for name, (_, size) in attributes.items()),
    )
)

items: st.SearchStrategy[Item] = sized_items.map(lambda drawn: drawn[0])


def nested(levels: int, leaf: AttributeValue, kind: str = "M") -> AttributeValue:
    """A value inside so many maps or lists."""
    value = leaf
    for _ in range(levels):
        value = {"M": {"a": value}} if kind == "M" else {"L": [value]}
    return value
