"""Python's values <-> the wire's attribute values.

    str <-> S      bytes <-> B (bytearray and memoryview are taken too)      bool <-> BOOL      None <-> NULL
    int, Decimal <-> N: what comes back is int when it is integral, Decimal otherwise
    list (or tuple) <-> L      dict <-> M
    set (or frozenset) of str / bytes / numbers <-> SS / BS / NS: never empty, one kind of element each

float is refused unless the client was made with `floats="decimal"`: then 0.1 is stored as the decimal number 0.1, its
shortest text.
"""

from collections.abc import Callable, Mapping, Set
from decimal import Context, Decimal, Inexact
from typing import Any, Literal

from google.protobuf.message import DecodeError
from statorpb import item_pb2

from stator.errors import InternalServerError, ValidationError

Item = dict[str, Any]
Floats = Literal["refuse", "decimal"]

NUMBER_DIGITS_MAX = 38
NUMBER_EXPONENT_MAX = 125  # of the first digit: 9.99E+125
NUMBER_EXPONENT_MIN = -130
NESTING_MAX = 32

_PLAIN_INT_LIMIT = 10**NUMBER_DIGITS_MAX
_EXACT = Context(prec=NUMBER_DIGITS_MAX, Emax=NUMBER_EXPONENT_MAX, Emin=NUMBER_EXPONENT_MIN, traps=[Inexact])


class ValueEncoder:
    """Writes items into wire messages. `floats` says what a float becomes."""

    def __init__(self, floats: Floats = "refuse") -> None:
        if floats not in ("refuse", "decimal"):
            raise ValueError(f"floats must be 'refuse' or 'decimal', not {floats!r}.")
        self._takes_floats = floats == "decimal"

    def fill_item(self, wire: item_pb2.Item, item: Mapping[str, Any]) -> None:
        """Writes an item or a key into an empty message.

        Raises TypeError for a value that has no counterpart, ValidationError for one that is out of range. Both name
        the attribute.
        """
        if not isinstance(item, Mapping):
            raise TypeError(f"an item or a key must be a dict of attributes, not {type(item).__name__}")
        attributes = wire.attributes
        for name, value in item.items():
            try:
                if type(value) is str:  # the most common first
                    attributes[name].s = value
                else:
                    self._fill(attributes[name], value, 1)
            except TypeError as error:
                if not isinstance(name, str):
                    raise TypeError(f"the name of an attribute must be a str, not {type(name).__name__}") from None
                raise TypeError(f"attribute {name!r}: {error}") from None
            except ValidationError as error:
                raise ValidationError(f"attribute {name!r}: {error.message}") from None
            except ValueError as error:  # a str with a lone surrogate has no UTF-8 form
                raise ValidationError(f"attribute {name!r}: {error}") from None

    def encode_item(self, item: Mapping[str, Any]) -> bytes:
        """An item or a key as a serialized message. Raises as `fill_item`."""
        wire = item_pb2.Item()
        self.fill_item(wire, item)
        return wire.SerializeToString()

    def _fill(self, wire: item_pb2.AttributeValue, value: Any, depth: int) -> None:
        fill = _FILL.get(type(value))
        if fill is not None:
            fill(wire, value)
        elif isinstance(value, float):
            wire.n = self._number_text(value)
        elif isinstance(value, list | tuple):
            self._fill_list(wire, value, depth)
        elif isinstance(value, Mapping):
            self._fill_map(wire, value, depth)
        elif isinstance(value, Set):
            self._fill_set(wire, value)
        else:
            _fill_subclass(wire, value)

    def _number_text(self, value: Any) -> str:
        if isinstance(value, float):
            if not self._takes_floats:
                raise TypeError(
                    f"float {value!r} has no exact decimal form: pass Decimal({str(value)!r}), "
                    "or make the client with floats='decimal' to store floats by their shortest text"
                )
            return number_text(Decimal(repr(float(value))))
        return number_text(value)

    def _fill_list(self, wire: item_pb2.AttributeValue, value: list[Any] | tuple[Any, ...], depth: int) -> None:
        _check_depth(depth)
        values = wire.l.values
        wire.l.SetInParent()
        for element in value:
            self._fill(values.add(), element, depth + 1)

    def _fill_map(self, wire: item_pb2.AttributeValue, value: Mapping[Any, Any], depth: int) -> None:
        _check_depth(depth)
        wire.m.SetInParent()
        entries = wire.m.entries
        for name, element in value.items():
            if not isinstance(name, str):
                raise TypeError(f"the keys of a dict must be str, not {type(name).__name__}")
            self._fill(entries[name], element, depth + 1)

    def _fill_set(self, wire: item_pb2.AttributeValue, value: Set[Any]) -> None:
        if not value:
            raise ValidationError("a set may not be empty: leave the attribute out instead")
        if all(isinstance(element, str) for element in value):
            wire.ss.values.extend(sorted(value))
        elif all(isinstance(element, bytes) for element in value):
            wire.bs.values.extend(sorted(value))
        elif all(isinstance(element, int | Decimal | float) and not isinstance(element, bool) for element in value):
            # The float 0.1 and Decimal("0.1") differ, their texts do not.
            wire.ns.values.extend(dict.fromkeys(self._number_text(element) for element in value))
        else:
            kinds = ", ".join(sorted({type(element).__name__ for element in value}))
            raise TypeError(f"a set holds only str, only bytes, or only numbers, not {kinds}")


def number_text(value: int | Decimal) -> str:
    """The wire's text of a number. Raises ValidationError when DynamoDB's numbers cannot hold it exactly."""
    if isinstance(value, int) and -_PLAIN_INT_LIMIT < value < _PLAIN_INT_LIMIT:
        return str(int(value))
    number = Decimal(value)
    if not number.is_finite():
        raise ValidationError(f"{number} is not a number that can be stored")
    if number == 0:
        return "0"
    try:
        exact = number.normalize(_EXACT)
    except Inexact:
        exact = None
    if exact is None or exact.adjusted() > NUMBER_EXPONENT_MAX:
        raise ValidationError(
            f"the number {_short(number)} is out of range: at most {NUMBER_DIGITS_MAX} significant digits, "
            f"magnitude 1E{NUMBER_EXPONENT_MIN} to 9.99E+{NUMBER_EXPONENT_MAX}"
        )
    if exact.adjusted() < NUMBER_EXPONENT_MIN:
        raise ValidationError(
            f"the number {_short(number)} is too small: the least magnitude is 1E{NUMBER_EXPONENT_MIN}"
        )
    return format(exact, "f")


def number_value(text: str) -> int | Decimal:
    """int when the number is integral, Decimal otherwise."""
    try:
        return int(text)
    except ValueError:
        number = Decimal(text)
        return int(number) if number == number.to_integral_value() else number


def decode_item(data: bytes) -> Item:
    """The item in a serialized message. Raises as `parse_item`."""
    return item_value(parse_item(data))


def parse_item(data: bytes) -> item_pb2.Item:
    """The message of what a server sent as an item. Raises InternalServerError for bytes that are none."""
    try:
        return item_pb2.Item.FromString(data)
    except DecodeError as error:
        raise InternalServerError("the server sent an item that cannot be read", is_retriable=False) from error


def item_value(wire: item_pb2.Item) -> Item:
    """The item that a message holds."""
    # Most values are text, and looking at the text costs less than asking of which kind a value is.
    return {name: value.s or attribute_value(value) for name, value in wire.attributes.items()}


def attribute_value(wire: item_pb2.AttributeValue) -> Any:
    """The value that a message holds. Raises ValueError for a kind that this version does not know."""
    kind = wire.WhichOneof("value")
    if kind is None:
        raise ValueError("the server sent an attribute value of a kind that this version of stator does not know")
    return _READ[kind](wire)


def _check_depth(depth: int) -> None:
    if depth > NESTING_MAX:
        raise ValidationError(f"lists and dicts are nested more than {NESTING_MAX} levels deep")


def _short(number: Decimal) -> str:
    text = str(number)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _fill_s(wire: item_pb2.AttributeValue, value: str) -> None:
    wire.s = value


def _fill_n(wire: item_pb2.AttributeValue, value: int | Decimal) -> None:
    wire.n = number_text(value)


def _fill_b(wire: item_pb2.AttributeValue, value: bytes | bytearray | memoryview) -> None:
    wire.b = bytes(value)


def _fill_bool(wire: item_pb2.AttributeValue, value: bool) -> None:
    wire.boolean = value


def _fill_null(wire: item_pb2.AttributeValue, value: None) -> None:
    wire.null = True


def _fill_subclass(wire: item_pb2.AttributeValue, value: Any) -> None:
    """Subclasses of str, int, Decimal and bytes, such as members of StrEnum and IntEnum."""
    kinds: tuple[type[Any], ...] = (str, int, Decimal, bytes)
    for kind in kinds:
        if isinstance(value, kind):
            _FILL[kind](wire, kind(value))
            return
    raise TypeError(
        f"{type(value).__name__} has no counterpart in the data model: "
        "use str, bytes, int, Decimal, bool, None, list, dict or set"
    )


_FILL: dict[type, Callable[[item_pb2.AttributeValue, Any], None]] = {
    str: _fill_s,
    int: _fill_n,
    Decimal: _fill_n,
    bytes: _fill_b,
    bytearray: _fill_b,
    memoryview: _fill_b,
    bool: _fill_bool,
    type(None): _fill_null,
}

_READ: dict[str, Callable[[item_pb2.AttributeValue], Any]] = {
    "s": lambda wire: wire.s,
    "n": lambda wire: number_value(wire.n),
    "b": lambda wire: wire.b,
    "ss": lambda wire: set(wire.ss.values),
    "ns": lambda wire: {number_value(text) for text in wire.ns.values},
    "bs": lambda wire: set(wire.bs.values),
    "m": lambda wire: {name: attribute_value(value) for name, value in wire.m.entries.items()},
    "l": lambda wire: [attribute_value(value) for value in wire.l.values],
    "boolean": lambda wire: wire.boolean,
    "null": lambda wire: None,
}
