"""Tables: names, keys, and what an item must have to be in one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from server.model.errors import ValidationError
from server.model.item import Item, text_bytes
from server.model.limits import (
    PARTITION_KEY_BYTES_MAX,
    SORT_KEY_BYTES_MAX,
    TABLE_NAME_LENGTH_MAX,
    TABLE_NAME_LENGTH_MIN,
)

KEY_TYPES = ("S", "N", "B")
PROJECTION_TYPES = ("ALL", "KEYS_ONLY", "INCLUDE")
_NO_KEY = "The provided key element does not match the schema"
TABLE_CLASSES = ("STANDARD", "STANDARD_INFREQUENT_ACCESS")
NO_UNITS_ON_DEMAND = (
    "One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when "
    "BillingMode is PAY_PER_REQUEST"
)
"""Of a request for both; of a request for units where the table is on-demand already."""

RESERVED_PREFIX = "stator."
"""How the names of tables begin that are the system's own."""

ARN_REGION = "local"
ARN_PREFIX = f"arn:aws:dynamodb:{ARN_REGION}:000000000000:table/"
_TABLE_ARN = re.compile(r"arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:[0-9]{12}:table/([^/:]+)")
_TABLE_NAME = re.compile(r"[a-zA-Z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class KeyAttribute:
    """A key's attribute. `type`: S, N or B."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class KeySchema:
    """A table's primary key. `sort_key` None: the table has none."""

    partition_key: KeyAttribute
    sort_key: KeyAttribute | None = None
    attributes: tuple[KeyAttribute, ...] = field(init=False, repr=False, compare=False)
    names: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        attributes = (self.partition_key,) if self.sort_key is None else (self.partition_key, self.sort_key)
        object.__setattr__(self, "attributes", attributes)
        object.__setattr__(self, "names", frozenset(attribute.name for attribute in attributes))


@dataclass(frozen=True, slots=True)
class LocalIndex:
    """A local secondary index: the table's partition key with another sort key.

    `number` (from 1; 0 is the table itself) is in the keys of its entries. `projection`: ALL, KEYS_ONLY or INCLUDE;
    `non_key_attributes` are what INCLUDE adds to the keys of the table and of the index, else empty."""

    number: int
    name: str
    sort_key: KeyAttribute
    projection: str
    non_key_attributes: tuple[str, ...] = ()

    @property
    def key_attributes(self) -> tuple[KeyAttribute, ...]:
        """The attributes of its key that are not of the table's."""
        return (self.sort_key,)

    def key_schema(self, table: KeySchema) -> KeySchema:
        """The key by which the index of a table with this key is read."""
        return KeySchema(table.partition_key, self.sort_key)


@dataclass(frozen=True, slots=True)
class GlobalIndex:
    """A global secondary index: a table's items by another key, in partitions of its own.

    `number`: a table number of its own, in the keys of its entries. `partition_keys` (one to four) are hashed together;
    entries order by `sort_keys` (up to four), one after the other. `projection`, `non_key_attributes` as of a local
    index."""

    number: int
    name: str
    partition_keys: tuple[KeyAttribute, ...]
    sort_keys: tuple[KeyAttribute, ...]
    projection: str
    non_key_attributes: tuple[str, ...] = ()

    @property
    def key_attributes(self) -> tuple[KeyAttribute, ...]:
        """All attributes of its key."""
        return self.partition_keys + self.sort_keys


def projected_names(index: LocalIndex | GlobalIndex, table: KeySchema) -> frozenset[str] | None:
    """The attributes that an index has of the items of a table with this key; None: all (developer guide, "Attribute
    projections")."""
    if index.projection == "ALL":
        return None
    return table.names | {each.name for each in index.key_attributes} | {*index.non_key_attributes}


@lru_cache(maxsize=4096)  # of good names: one that raises is not kept
def check_table_name(name: str) -> str:
    """The name, if it may be a table's. Raises ValidationError."""
    if not TABLE_NAME_LENGTH_MIN <= len(name) <= TABLE_NAME_LENGTH_MAX:
        raise ValidationError(
            f"TableName must be at least {TABLE_NAME_LENGTH_MIN} characters long and at most "
            f"{TABLE_NAME_LENGTH_MAX} characters long"
        )
    if _TABLE_NAME.fullmatch(name) is None:
        raise ValidationError(
            f"1 validation error detected: Value '{name}' at 'tableName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
        )
    return name


def is_reserved(name: str) -> bool:
    """Whether a table of that name is the system's own: clients can neither make one nor see it."""
    return name.startswith(RESERVED_PREFIX)


def table_arn(name: str) -> str:
    """The Amazon Resource Name of a table."""
    return ARN_PREFIX + name


def name_in_arn(text: str) -> str | None:
    """The name of the table that an Amazon Resource Name stands for, unchecked, whatever its region and account; None:
    the text is no such name."""
    match = _TABLE_ARN.fullmatch(text)
    return None if match is None else match[1]


def named_table(text: str) -> str:
    """The name of a table that is given by its name or its Amazon Resource Name. Raises ValidationError."""
    return check_table_name(name_in_arn(text) or text)


def check_key_value(item: Item, attribute: KeyAttribute, *, is_partition_key: bool) -> str | bytes:
    """The value of a key attribute in an item that has been checked. Raises ValidationError."""
    value = item.get(attribute.name)
    if value is None:
        raise ValidationError(
            f"One or more parameter values were invalid: Missing the key {attribute.name} in the item"
        )
    ((kind, content),) = value.items()
    if kind != attribute.type:
        raise ValidationError(
            f"One or more parameter values were invalid: Type mismatch for key {attribute.name} "
            f"expected: {attribute.type} actual: {kind}"
        )
    assert isinstance(content, (str, bytes))
    if kind != "N":
        size = len(content) if isinstance(content, bytes) or content.isascii() else text_bytes(content)
        limit = PARTITION_KEY_BYTES_MAX if is_partition_key else SORT_KEY_BYTES_MAX
        if not 0 < size <= limit:
            raise _key_size_error(kind, attribute.name, size, limit, is_partition_key=is_partition_key)
    return content


def _key_size_error(kind: str, name: str, size: int, limit: int, *, is_partition_key: bool) -> ValidationError:
    if size == 0:
        return ValidationError(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
            f"empty {'binary' if kind == 'B' else 'string'} value. Key: {name}"
        )
    if is_partition_key:
        told = f"Size of hashkey has exceeded the maximum size limit of{limit} bytes"  # DynamoDB has no blank there
    else:
        told = f"Aggregated size of all range keys has exceeded the size limit of {limit} bytes"
    return ValidationError(f"One or more parameter values were invalid: {told}")


def _empty_index_key(kind: str, name: str, index_name: str, *, is_update: bool) -> ValidationError:
    value = f"an empty {'binary' if kind == 'B' else 'string'} value."
    if is_update:
        return ValidationError(
            "One or more parameter values are not valid. The update expression attempted to update a secondary index "
            "key to a value that is not supported. The AttributeValue for a key attribute cannot contain " + value
        )
    return ValidationError(
        "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The "
        f"AttributeValue for a key attribute cannot contain {value} IndexName: {index_name}, IndexKey: {name}"
    )


def check_key_only(key: Item, schema: KeySchema) -> None:
    """That a key consists of just the key attributes. Raises ValidationError."""
    if key.keys() != schema.names:
        raise ValidationError(_NO_KEY)
    for attribute in schema.attributes:
        if attribute.type not in key[attribute.name]:
            raise ValidationError(_NO_KEY)


def check_key_in(item: Item, schema: KeySchema) -> None:
    """That an item has the key attributes, in the words of operations on several items. Raises ValidationError."""
    for attribute in schema.attributes:
        if attribute.type not in item.get(attribute.name, ()):
            raise ValidationError(_NO_KEY)


def check_paths(
    paths: Iterable[tuple[str | int, ...]], schema: KeySchema, indexes: Iterable[LocalIndex | GlobalIndex]
) -> None:
    """That no document path of an expression goes into a key attribute. Raises ValidationError."""
    for path in paths:
        if len(path) == 1:
            continue
        is_key = path[0] in schema.names
        if is_key or any(path[0] == each.name for index in indexes for each in index.key_attributes):
            raise ValidationError(
                "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: "
                f"{'Key' if is_key else 'IndexKey'}: {path[0]}"
            )


def check_index_keys(item: Item, indexes: Iterable[LocalIndex | GlobalIndex], *, is_update: bool = False) -> None:
    """That an item's values can be keys in the indexes whose key attributes it has. `is_update`: they are what an
    update gives some of its attributes. Raises ValidationError."""
    for index in indexes:
        if isinstance(index, GlobalIndex):
            _check_index_key(item, index.partition_keys, index.name, is_partition_key=True, is_update=is_update)
            _check_index_key(item, index.sort_keys, index.name, is_partition_key=False, is_update=is_update)
        else:
            _check_index_key(item, (index.sort_key,), index.name, is_partition_key=False, is_update=is_update)


def _check_index_key(
    item: Item, attributes: tuple[KeyAttribute, ...], index_name: str, *, is_partition_key: bool, is_update: bool
) -> None:
    limit = PARTITION_KEY_BYTES_MAX if is_partition_key else SORT_KEY_BYTES_MAX
    total = 0
    for attribute in attributes:
        name, expected = attribute.name, attribute.type
        value = item.get(name)
        if value is None:
            continue
        ((kind, content),) = value.items()
        if kind != expected:
            raise ValidationError(
                f"One or more parameter values were invalid: Type mismatch for Index Key {name} Expected: {expected} "
                f"Actual: {kind} IndexName: {index_name}"
            )
        if kind == "N":
            continue
        size = len(content if isinstance(content, bytes) else content.encode())
        if size == 0:
            raise _empty_index_key(kind, name, index_name, is_update=is_update)
        total += size
        if total > limit:
            raise _key_size_error(kind, name, total, limit, is_partition_key=is_partition_key)
