"""What a transaction is made of: writes and checks of single items, and reads of them.

    await client.transact_write_items([
        TransactUpdate("accounts", {"id": "a"}, update().add("balance", -30), condition=attr("balance").ge(30)),
        TransactUpdate("accounts", {"id": "b"}, update().add("balance", 30), condition=attr("id").exists()),
        TransactPut("transfers", {"id": 7, "amount": 30}, condition=~attr("id").exists()),
    ])

Most code has no need of these: `client.transaction()` gathers writes by its methods, and reads are pairs, (table, key).
A table is its name, or what `client.table` made; then what is read comes back as that table's class.

In all that write: `condition` must hold for the item as it is, or nothing of the whole transaction is written;
`names` and `values` are what the placeholders in texts stand for; return_values_on_condition_check_failure="ALL_OLD"
puts the item into the reason of the cancellation.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, Protocol

from stator.expressions import Condition, Update
from stator.options import Projection


class NamedTable(Protocol):
    """What `client.table` makes, as far as transactions need it."""

    name: str
    as_type: Any


TableName = str | NamedTable


@dataclass(frozen=True, slots=True)
class TransactPut:
    """Writes a whole item, in place of any that has its key."""

    table: TableName
    item: Any
    _: KW_ONLY
    condition: str | Condition | None = None
    names: Mapping[str, str] | None = None
    values: Mapping[str, Any] | None = None
    return_values_on_condition_check_failure: Literal["NONE", "ALL_OLD"] = "NONE"


@dataclass(frozen=True, slots=True)
class TransactUpdate:
    """Changes attributes of the item with this key, which is made if there is none."""

    table: TableName
    key: Mapping[str, Any]
    update: str | Update | None = None
    _: KW_ONLY
    condition: str | Condition | None = None
    names: Mapping[str, str] | None = None
    values: Mapping[str, Any] | None = None
    return_values_on_condition_check_failure: Literal["NONE", "ALL_OLD"] = "NONE"


@dataclass(frozen=True, slots=True)
class TransactDelete:
    """Deletes the item with this key; nothing happens if there is none."""

    table: TableName
    key: Mapping[str, Any]
    _: KW_ONLY
    condition: str | Condition | None = None
    names: Mapping[str, str] | None = None
    values: Mapping[str, Any] | None = None
    return_values_on_condition_check_failure: Literal["NONE", "ALL_OLD"] = "NONE"


@dataclass(frozen=True, slots=True)
class TransactCheck:
    """Writes nothing: a condition that must hold for the item with this key, and still hold when all is written."""

    table: TableName
    key: Mapping[str, Any]
    condition: str | Condition
    _: KW_ONLY
    names: Mapping[str, str] | None = None
    values: Mapping[str, Any] | None = None
    return_values_on_condition_check_failure: Literal["NONE", "ALL_OLD"] = "NONE"


@dataclass(frozen=True, slots=True)
class TransactGet:
    """Reads the item with this key. `projection`: which attributes to return, as a text or as a list of paths."""

    table: TableName
    key: Mapping[str, Any]
    _: KW_ONLY
    projection: Projection | None = None
    names: Mapping[str, str] | None = None
    as_type: Any = None


TransactWrite = TransactPut | TransactUpdate | TransactDelete | TransactCheck


def name_of(table: TableName) -> str:
    """Raises TypeError for what names no table."""
    name = table if isinstance(table, str) else getattr(table, "name", None)
    if not isinstance(name, str):
        raise TypeError(f"a table is its name, or made by client.table, not {type(table).__name__}")
    return name


def as_get(member: TransactGet | tuple[TableName, Mapping[str, Any]]) -> TransactGet:
    """A read, of a read or a pair; it knows as what its item comes back. Raises TypeError."""
    if isinstance(member, TransactGet):
        get = member
    elif isinstance(member, tuple) and len(member) == 2:
        get = TransactGet(*member)
    else:
        raise TypeError(f"a read is (table, key) or a TransactGet, not {type(member).__name__}")
    as_type = get.as_type if get.as_type is not None or isinstance(get.table, str) else get.table.as_type
    return TransactGet(name_of(get.table), get.key, projection=get.projection, names=get.names, as_type=as_type)
