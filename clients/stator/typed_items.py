"""Items <-> objects of your own: dataclasses, models of pydantic, TypedDicts.

    @dataclass
    class Song:
        artist: str
        year: int
        plays: int = 0
        label: str | None = None

    client.put_item("music", Song("Nina Simone", 1964))
    song = client.get_item("music", {"artist": "Nina Simone", "year": 1964}, as_type=Song)

**Dataclasses.** A field is an attribute of its name, and its type says what it is read back as: other dataclasses,
lists, tuples, dicts and sets of these, Optional, Decimal, float, Enum (stored by its value), datetime, date, time and
UUID (stored as text). A field that is None, or an empty set (which cannot be stored), is left out where its default
gives the same back; None is stored as NULL otherwise. Attributes that the class does not know are passed over; one
that it needs and that is not there is a TypeError. Fields with init=False are not stored.

**pydantic.** Whatever has `model_dump` and, to be read back, `model_validate`: a field's alias and serializers are
the model's business. What these leave as Enum, datetime, date, time or UUID is stored as above. Empty sets are left
out: give their fields a default.

**TypedDict**, dict and other mappings are stored and come back as they are, unchecked.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

from stator.values import Item

ObjectT = TypeVar("ObjectT")
_Read = Callable[[Any], Any]

_TEXTS: dict[type, tuple[Callable[[Any], str], _Read]] = {
    datetime: (datetime.isoformat, datetime.fromisoformat),
    date: (date.isoformat, date.fromisoformat),
    time: (time.isoformat, time.fromisoformat),
    UUID: (str, UUID),
}
_PLAIN = (str, int, bool, bytes, Decimal, float, type(None))


def to_item(value: Any) -> Mapping[str, Any]:
    """The item that a dataclass object, a model of pydantic or a mapping stands for. Raises TypeError for others."""
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields_of(value)
    dump = getattr(value, "model_dump", None)
    if dump is not None and not isinstance(value, type):
        return typing.cast("Item", _without_empty_sets(_stored(dump())))
    raise TypeError(
        f"an item must be a dict of attributes, a dataclass object or a model of pydantic, not {_named(value)}"
    )


def from_item(kind: type[ObjectT], item: Mapping[str, Any]) -> ObjectT:
    """The object of this class that an item stands for.

    Raises TypeError for an item that lacks what the class needs or has it in another type, and whatever the class
    raises, such as pydantic's ValidationError.
    """
    return typing.cast("ObjectT", reader_of(typing.cast("Any", kind))(item))


@lru_cache(maxsize=1024)
def reader_of(kind: Any) -> _Read:
    """What makes objects of a class out of items. Raises TypeError for a class that cannot be made so."""
    if dataclasses.is_dataclass(kind):
        return _Dataclass(typing.cast("type[Any]", kind)).read
    validate = getattr(kind, "model_validate", None)
    if validate is not None:
        return typing.cast("_Read", validate)
    if typing.is_typeddict(kind) or kind is dict:
        return _as_it_is
    raise TypeError(f"as_type takes a dataclass, a model of pydantic or a TypedDict, not {_named(kind)}")


def _fields_of(value: Any) -> Item:
    item: Item = {}
    for field in dataclasses.fields(value):
        content = getattr(value, field.name)
        if field.init and not _is_left_out(field, content):
            item[field.name] = _stored(content)
    return item


def _is_left_out(field: "dataclasses.Field[Any]", content: Any) -> bool:
    """Whether reading gives the same back without it."""
    if content is None:
        return field.default is None or not _has_default(field)
    if isinstance(content, set | frozenset) and not content:
        return not _has_default(field) or _default_of(field) == content
    return False


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _default_of(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _stored(value: Any) -> Any:
    """A field's value as an attribute value; what has no counterpart is left for the encoder to refuse."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return _stored(value.value)
    for kind, (text, _) in _TEXTS.items():
        if isinstance(value, kind):
            return text(value)
    if isinstance(value, Mapping):
        return {name: _stored(each) for name, each in value.items()}
    if isinstance(value, Set):
        return {_stored(each) for each in value}
    if isinstance(value, list | tuple):
        return [_stored(each) for each in value]
    if dataclasses.is_dataclass(value) or hasattr(value, "model_dump"):
        return to_item(value)
    return value


def _without_empty_sets(value: Any) -> Any:
    """They cannot be stored, and what a model dumps does not say which of its fields had them."""
    if isinstance(value, dict):
        kept = {name: each for name, each in value.items() if not isinstance(each, Set) or each}
        return {name: _without_empty_sets(each) for name, each in kept.items()}
    return [_without_empty_sets(each) for each in value] if isinstance(value, list) else value


class _Dataclass:
    """How objects of one dataclass are read: the fields' readers, found once."""

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind
        self._hints = typing.get_type_hints(kind, include_extras=False)
        self._fields = [field for field in dataclasses.fields(kind) if field.init]
        self._readers: dict[str, _Read] | None = None

    def read(self, item: Any) -> Any:
        if not isinstance(item, Mapping):
            raise TypeError(f"a {self._kind.__name__} is read from a map of attributes, not {_named(item)}")
        if self._readers is None:  # not before: a class may have fields of its own kind
            self._readers = {field.name: _value_reader(self._hints[field.name]) for field in self._fields}
        values: dict[str, Any] = {}
        for field in self._fields:
            if field.name in item:
                try:
                    values[field.name] = self._readers[field.name](item[field.name])
                except (TypeError, ValueError) as error:
                    raise TypeError(f"{self._kind.__name__}.{field.name}: {error}") from None
            elif not _has_default(field):
                values[field.name] = self._missing(field.name)
        return self._kind(**values)

    def _missing(self, name: str) -> Any:
        hint = self._hints[name]
        if _is_optional(hint):
            return None
        origin = typing.get_origin(hint) or hint
        if origin in (set, frozenset):
            return origin()
        raise TypeError(f"the item has no attribute {name!r}, which {self._kind.__name__} needs")


def _is_optional(hint: Any) -> bool:
    return hint is Any or hint is None or (type(None) in typing.get_args(hint) and _is_union(hint))


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _as_it_is(value: Any) -> Any:
    return value


def _value_reader(hint: Any) -> _Read:
    """What a value of this type is read by."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        return _union_reader([part for part in arguments if part is not type(None)])
    if origin in (typing.ClassVar, typing.Final, typing.Annotated, typing.Required, typing.NotRequired):
        return _value_reader(arguments[0]) if arguments else _as_it_is
    if hint is float:
        return _checked(float, int, Decimal)
    if hint is Decimal:
        return _checked(Decimal, int, Decimal)
    if hint in _TEXTS:
        return _checked(_TEXTS[hint][1], str)
    if hint in (str, bool, bytes):
        return _checked(_as_it_is, hint)
    if hint is int:
        return _checked(_as_it_is, int)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if dataclasses.is_dataclass(hint) or hasattr(hint, "model_validate"):
        return reader_of(hint)
    return _collection_reader(origin or hint, arguments)


def _checked(make: _Read, *kinds: type) -> _Read:
    """Makes a value out of one of these types. bool is no int here, though Python has it so."""

    def read(value: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError(f"{_named(value)} stands where {' or '.join(kind.__name__ for kind in kinds)} must")
        return make(value)

    return read


def _union_reader(parts: list[Any]) -> _Read:
    """The first that can read the value; NULL is None."""
    readers = [_value_reader(part) for part in parts]

    def read(value: Any) -> Any:
        if value is None:
            return None
        problems = []
        for reader in readers:
            try:
                return reader(value)
            except (TypeError, ValueError) as error:
                problems.append(str(error))
        raise TypeError("; ".join(problems))

    return read


def _collection_reader(origin: Any, arguments: tuple[Any, ...]) -> _Read:
    if not isinstance(origin, type):
        return _as_it_is
    if issubclass(origin, Mapping):
        element = _value_reader(arguments[1]) if len(arguments) == 2 else _as_it_is
        return _checked(lambda value: {name: element(each) for name, each in value.items()}, dict)
    if issubclass(origin, tuple) and arguments and arguments[-1] is not ...:
        readers = [_value_reader(argument) for argument in arguments]
        return _checked(lambda value: tuple(r(v) for r, v in zip(readers, value, strict=True)), list)
    if issubclass(origin, Collection) and not issubclass(origin, str | bytes):
        element = _value_reader(arguments[0]) if arguments else _as_it_is
        if issubclass(origin, Set):
            make: type[Any] = frozenset if origin is frozenset else set
            return _checked(lambda value: make(element(each) for each in value), set)
        if issubclass(origin, Sequence):
            make = tuple if issubclass(origin, tuple) else list
            return _checked(lambda value: make(element(each) for each in value), list)
    return _as_it_is


def _named(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
