"""Keys on the command line: as JSON, or as --pk and --sk, which take the types of the table's key."""

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stator.cli.exits import UsageError
from stator.cli.json_values import parse_item, parse_json, read_number
from stator.values import Item

if TYPE_CHECKING:
    from stator.descriptions import TableDescription
    from stator.indexes import KeyAttribute
    from stator.sync_client import Client

KeyArgument = Annotated[
    str | None,
    typer.Argument(metavar="[KEY]", help="A JSON object with the key's attributes; or give --pk.", show_default=False),
]
PkOption = Annotated[str | None, typer.Option("--pk", metavar="VALUE", help="The partition key, instead of KEY.")]
SkOption = Annotated[str | None, typer.Option("--sk", metavar="VALUE", help="The sort key, with --pk.")]


def read_key(
    client: "Client", table: str, key: str | None, pk: str | None, sk: str | None, *, is_dynamodb_json: bool
) -> Item:
    """The key that was given. Raises UsageError."""
    if (key is None) == (pk is None):
        raise UsageError("name the item: by KEY, a JSON object, or by --pk and, if its table has a sort key, --sk.")
    if key is not None:
        if sk is not None:
            raise UsageError("--sk goes with --pk, not with KEY.")
        return parse_item(parse_json(key, "KEY"), is_dynamodb_json=is_dynamodb_json)
    assert pk is not None
    described = client.describe_table(table)
    found = {described.partition_key.name: typed(described.partition_key, pk, "--pk")}
    if (described.sort_key is None) != (sk is None):
        raise UsageError(
            f"{table} has a sort key: give --sk." if sk is None else f"{table} has no sort key: --sk is too much."
        )
    if described.sort_key is not None and sk is not None:
        found[described.sort_key.name] = typed(described.sort_key, sk, "--sk")
    return found


def typed(attribute: "KeyAttribute", text: str, option: str) -> Any:
    """A value of the attribute's type. Raises UsageError."""
    try:
        if attribute.type == "N":
            return read_number(text)
        if attribute.type == "B":
            return base64.b64decode(text, validate=True)
    except (ArithmeticError, binascii.Error):
        kind = "a number" if attribute.type == "N" else "bytes, to be given as base64"
        raise UsageError(f"{option}: {text!r} does not fit {attribute.name}, which is {kind}.") from None
    return text


def key_attributes(table: "TableDescription", index: str | None) -> "tuple[KeyAttribute, KeyAttribute | None]":
    """(partition key, sort key or None) of a table, or of its index. Raises UsageError."""
    if index is None:
        return table.partition_key, table.sort_key
    for each in table.local_indexes:
        if each.name == index:
            return table.partition_key, each.sort_key
    for other in table.global_indexes:
        if other.name == index:
            if len(other.partition_keys) > 1 or len(other.sort_keys) > 1:
                raise UsageError(f"the key of {index} has several attributes: give --key instead of --pk and --sk.")
            return other.partition_keys[0], other.sort_keys[0] if other.sort_keys else None
    known = [each.name for each in table.local_indexes] + [each.name for each in table.global_indexes]
    names = ", ".join(known)
    raise UsageError(f"{table.name} has no index {index}{f': it has {names}' if names else ''}.")


def key_names(table: "TableDescription", index: str | None) -> tuple[str, ...]:
    """What says where a query or scan goes on: the key of the table, and that of the index."""
    keys = next((each.keys for each in table.global_indexes if each.name == index), None)
    attributes = (table.partition_key, table.sort_key, *(key_attributes(table, index) if keys is None else keys))
    return tuple(dict.fromkeys(each.name for each in attributes if each is not None))
