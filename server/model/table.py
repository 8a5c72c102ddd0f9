"""Tables: names, keys, and what an item must have to be in one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from server.model.errors import ValidationError
from server.model.item import Item, text_bytes
from server.model.limits import (
    PARTITION_KEY_BYTES_MAX,
    SORT_KEY_BYTES_MAX,
    TABLE_NAME_LENGTH_MAX,
    TABLE_NAME_LENGTH_MIN,
)

KEY_TYPES = ("S", "N", "B")
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

    @property
    def attributes(self) -> tuple[KeyAttribute, ...]:
        return (self.partition_key,) if self.sort_key is None else (self.partition_key, self.sort_key)


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
    if kind != "N":
        _check_key_bytes(content, attribute.name, is_partition_key=is_partition_key)
    assert isinstance(content, (str, bytes))
    return content


def _check_key_bytes(content: str | bytes, name: str, *, is_partition_key: bool) -> None:
    size = len(content) if isinstance(content, bytes) else text_bytes(content)
    if size == 0:
        kind = "binary" if isinstance(content, bytes) else "string"
        raise ValidationError(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
            f"empty {kind} value. Key: {name}"
        )
    limit = PARTITION_KEY_BYTES_MAX if is_partition_key else SORT_KEY_BYTES_MAX
    if size > limit:
        what = "hashkey" if is_partition_key else "rangekey"
        raise ValidationError(
            "One or more parameter values were invalid: "
            f"Size of {what} has exceeded the maximum size limit of{' ' if not is_partition_key else ''}{limit} bytes"
        )


def check_key_only(key: Item, schema: KeySchema) -> None:
    """That a key consists of just the key attributes. Raises ValidationError."""
    if key.keys() != {attribute.name for attribute in schema.attributes}:
        raise ValidationError("The provided key element does not match the schema")
    for attribute in schema.attributes:
        if attribute.type not in key[attribute.name]:
            raise ValidationError("The provided key element does not match the schema")
