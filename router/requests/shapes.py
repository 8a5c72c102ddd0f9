"""What a request's body may look like: the words for a small description of DynamoDB's service model.

`operation_shapes.py` describes with them, `acceptance.py`, `deserialisation.py` and `constraints.py` read descriptions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

INTEGER_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1
"""What is beyond, either way, is taken for the greatest or the least integer."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string. Lengths in characters; `enum` empty: any; `pattern` empty: any."""

    length_min: int = 0
    length_max: int | None = None
    pattern: str = ""
    enum: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer of 32 bits; of 64 where `most` is more than these can hold."""

    least: int
    most: int = INTEGER_MAX

    @property
    def is_long(self) -> bool:
        """Whether it has 64 bits."""
        return self.most > INTEGER_MAX


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes: base64 text in JSON."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time: seconds since 1970, also a fraction."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list. Lengths in elements."""

    element: Shape
    length_min: int = 0
    length_max: int | None = None


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map from strings. `keys`: what holds for each of them; lengths in entries."""

    value: Shape
    keys: Text | None = None
    length_min: int = 0
    length_max: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A map of known members, by name. `required`: the names that may not be absent."""

    name: str
    members: dict[str, Shape] = field(repr=False)
    required: frozenset[str] = frozenset()


Shape: TypeAlias = Text | Integer | Flag | Blob | Moment | ListOf | MapOf | Structure


_TEXT = Text()
_BINARY = Blob()

ATTRIBUTE_VALUE = Structure("AttributeValue", {})
ATTRIBUTE_VALUE.members.update(
    {
        "S": _TEXT,
        "N": _TEXT,
        "B": _BINARY,
        "SS": ListOf(_TEXT),
        "NS": ListOf(_TEXT),
        "BS": ListOf(_BINARY),
        "M": MapOf(ATTRIBUTE_VALUE),
        "L": ListOf(ATTRIBUTE_VALUE),
        "NULL": Flag(),
        "BOOL": Flag(),
    }
)
