"""`stator put`, `stator get`, `stator update` and `stator delete`."""

import re
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stator.cli.connect import EndpointOption, TimeoutOption, connected
from stator.cli.exits import NOT_FOUND, UsageError
from stator.cli.keys import KeyArgument, PkOption, SkOption, read_key
from stator.cli.literals import CONDITION_WORDS, UPDATE_WORDS, as_typed, with_placeholders
from stator.cli.output import print_json
from stator.expressions import Placeholders
from stator.values import Item

if TYPE_CHECKING:
    from stator.expressions import Update
    from stator.options import ReturnValues, WriteOptions

TableArgument = Annotated[str, typer.Argument(metavar="TABLE", help="Name of the table.")]
TypedOption = Annotated[
    bool, typer.Option("--dynamodb-json", help='Typed JSON, such as {"pk": {"S": "x"}}, in and out: keeps every type.')
]
IfOption = Annotated[
    str | None,
    typer.Option(
        "--if",
        metavar="CONDITION",
        help="Write only if this holds for the item as it is, such as 'plays < 10'; ends with 5 otherwise.",
    ),
]
ReturnOldOption = Annotated[bool, typer.Option("--return-old", help="Print the item as it was, if there was one.")]
_PATH_VALUE = "NAME=VALUE"


class Returned(StrEnum):
    """What `stator update --return` takes."""

    NEW = "new"
    OLD = "old"
    UPDATED_NEW = "updated-new"
    UPDATED_OLD = "updated-old"
    NONE = "none"


_RETURN_VALUES: "dict[Returned, ReturnValues]" = {
    Returned.NEW: "ALL_NEW",
    Returned.OLD: "ALL_OLD",
    Returned.UPDATED_NEW: "UPDATED_NEW",
    Returned.UPDATED_OLD: "UPDATED_OLD",
    Returned.NONE: "NONE",
}


def put(
    table: TableArgument,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="A JSON object; - reads it from the standard input.")],
    condition: IfOption = None,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="Write only if no item has this key yet.")] = False,
    return_old: ReturnOldOption = False,
    dynamodb_json: TypedOption = False,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Write one item, in place of any that has its key.

    Example: stator put music '{"artist": "Nina Simone", "year": 1964}' --if-absent
    """
    with connected(endpoint, timeout) as client:
        written = _read(item, "ITEM", dynamodb_json)
        if if_absent:
            if condition is not None:
                raise UsageError("give --if or --if-absent, not both.")
            condition = f"attribute_not_exists(`{client.describe_table(table).partition_key.name}`)"
        placeholders = Placeholders()
        options = _write_options(condition, "ALL_OLD" if return_old else "NONE", placeholders)
        with as_typed(placeholders):
            _print_returned(client.put_item(table, written, **options).attributes, dynamodb_json)


def get(
    table: TableArgument,
    key: KeyArgument = None,
    pk: PkOption = None,
    sk: SkOption = None,
    select: Annotated[
        str | None, typer.Option("--select", metavar="NAMES", help="Only these attributes: 'title, tags[0]'.")
    ] = None,
    consistent: Annotated[bool, typer.Option("--consistent", help="Reflect every write acknowledged before.")] = False,
    dynamodb_json: TypedOption = False,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Print one item as JSON. Ends with 4 if there is none.

    Plain JSON shows bytes as base64 text and sets as lists; --dynamodb-json keeps them apart.

    Example: stator get music --pk "Nina Simone" --sk 1964 --consistent
    """
    with connected(endpoint, timeout) as client:
        found = client.get_item(
            table,
            read_key(client, table, key, pk, sk, is_dynamodb_json=dynamodb_json),
            projection=read_paths(select),
            consistent_read=consistent,
        )
        if found is None:
            print(f"There is no such item in {table}.", file=sys.stderr)
            raise SystemExit(NOT_FOUND)
        _print_item(found, dynamodb_json)


def update(
    table: TableArgument,
    key: KeyArgument = None,
    pk: PkOption = None,
    sk: SkOption = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar=_PATH_VALUE, help="Write an attribute: JSON, or text. May be repeated."),
    ] = None,
    sets_if_absent: Annotated[
        list[str] | None, typer.Option("--set-if-absent", metavar=_PATH_VALUE, help="As --set, unless it is there.")
    ] = None,
    adds: Annotated[
        list[str] | None,
        typer.Option("--add", metavar=_PATH_VALUE, help="Add to a number; or elements, a JSON list, to a set."),
    ] = None,
    removes: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NAME", help="Take an attribute away. May be repeated.")
    ] = None,
    deletes: Annotated[
        list[str] | None,
        typer.Option("--delete", metavar=_PATH_VALUE, help="Take elements, a JSON list, out of a set."),
    ] = None,
    expression: Annotated[
        str | None,
        typer.Option("--expression", metavar="TEXT", help="The whole update: 'SET plays = plays + 1 REMOVE draft'."),
    ] = None,
    condition: IfOption = None,
    returned: Annotated[Returned, typer.Option("--return", help="What to print.")] = Returned.NEW,
    dynamodb_json: TypedOption = False,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Change attributes of one item, which is made if there is none, and print it.

    NAME may be a path, such as a.b[0]. A VALUE that is JSON is that (1964, true, ["a"], "1964" for a text of digits),
    anything else is text; with --dynamodb-json it is typed, such as {"SS": ["a"]}.

    Example: stator update music --pk "Nina Simone" --sk 1964 --set title="Feeling Good" --add plays=1 --if 'plays < 99'
    """
    with connected(endpoint, timeout) as client:
        parts = {"set": sets, "set_if_absent": sets_if_absent, "add": adds, "delete": deletes}
        change: Update | str = _read_update(parts, removes or [], is_dynamodb_json=dynamodb_json)
        placeholders = Placeholders()
        if expression is not None:
            if change:
                raise UsageError("give --expression, or --set, --add, --remove and --delete, not both.")
            change = with_placeholders(expression, UPDATE_WORDS, placeholders, "--expression")
        elif not change:
            raise UsageError("say what to change: --set, --set-if-absent, --add, --remove, --delete or --expression.")
        where = read_key(client, table, key, pk, sk, is_dynamodb_json=dynamodb_json)
        options = _write_options(condition, _RETURN_VALUES[returned], placeholders)
        with as_typed(placeholders):
            _print_returned(client.update_item(table, where, change, **options).attributes, dynamodb_json)


def delete(
    table: TableArgument,
    key: KeyArgument = None,
    pk: PkOption = None,
    sk: SkOption = None,
    condition: IfOption = None,
    return_old: ReturnOldOption = False,
    dynamodb_json: TypedOption = False,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Delete one item; it is no error if there is none.

    Example: stator delete music --pk "Nina Simone" --sk 1964 --if 'plays = 0'
    """
    with connected(endpoint, timeout) as client:
        where = read_key(client, table, key, pk, sk, is_dynamodb_json=dynamodb_json)
        placeholders = Placeholders()
        options = _write_options(condition, "ALL_OLD" if return_old else "NONE", placeholders)
        with as_typed(placeholders):
            _print_returned(client.delete_item(table, where, **options).attributes, dynamodb_json)


def read_paths(select: str | None, option: str = "--select") -> list[tuple[str | int, ...]] | None:
    """The paths in "title, tags[0]". Raises UsageError."""
    if select is None:
        return None
    outside_backquotes = r",(?=(?:[^`]*`[^`]*`)*[^`]*$)"
    return [read_path(part.strip(), option) for part in re.split(outside_backquotes, select)]


_NAME = r"(?:`[^`]+`|[^`.\[\]]+)"
_PATH = re.compile(rf"{_NAME}(?:\[\d+\]|\.{_NAME})*")
_PATH_STEP = re.compile(r"`([^`]+)`|\[(\d+)\]|([^`.\[\]]+)")


def read_path(text: str, option: str) -> tuple[str | int, ...]:
    """The path in "a.b[0]". Raises UsageError."""
    from stator.expressions import attr

    if "`" in text and _PATH.fullmatch(text):
        steps = _PATH_STEP.finditer(text)
        return tuple(int(step[2]) if step[2] is not None else step[1] or step[3] for step in steps)
    try:
        return attr(text).path
    except ValueError:
        raise UsageError(f"{option}: {text!r} is no attribute: write a name, or a path such as a.b[0].") from None


def _read_update(parts: dict[str, list[str] | None], removes: list[str], *, is_dynamodb_json: bool) -> "Update":
    from stator.expressions import update as new_update

    change = new_update()
    for method, texts in parts.items():
        option = "--" + method.replace("_", "-")
        for text in texts or []:
            found = re.fullmatch(r"((?:`[^`]*`|[^=`])+)=(.*)", text, re.DOTALL)
            if found is None:
                raise UsageError(f"{option}: {text!r} has no =: write {_PATH_VALUE}.")
            name, value_text = found.groups()
            value = _read_value(value_text, option, is_dynamodb_json=is_dynamodb_json)
            if method in ("add", "delete"):
                value = _number_or_set(value, option)
            change = getattr(change, method)(read_path(name.strip(), option), value)
    return change.remove(*(read_path(name, "--remove") for name in removes))


def _read_value(text: str, option: str, *, is_dynamodb_json: bool) -> Any:
    from stator.cli.json_values import from_dynamodb_json, parse_json

    if is_dynamodb_json:
        return from_dynamodb_json(parse_json(text, option))
    try:
        return parse_json(text, option)
    except UsageError:
        if text.lstrip()[:1] in ("{", "[", '"'):  # as good as certainly a mistake in JSON
            raise
        return text


def _number_or_set(value: Any, option: str) -> Any:
    """A JSON list stands for a set: there is nothing else that it could be here."""
    if isinstance(value, list):
        try:
            return set(value)
        except TypeError:
            raise UsageError(f"{option}: a set has texts or numbers.") from None
    if isinstance(value, set) or (option == "--add" and not isinstance(value, bool | str | dict) and value is not None):
        return value
    needed = "a number, or a JSON list of elements" if option == "--add" else "a JSON list of elements"
    raise UsageError(f"{option} needs {needed}, such as {option} 'tags=[\"live\"]'.")


def _write_options(condition: str | None, return_values: "ReturnValues", placeholders: Placeholders) -> "WriteOptions":
    options: WriteOptions = {"return_values": return_values}
    if condition is not None:
        options["condition"] = with_placeholders(condition, CONDITION_WORDS, placeholders, "--if")
        options["return_values_on_condition_check_failure"] = "ALL_OLD"
    options["names"], options["values"] = placeholders.names, placeholders.values
    return options


def _print_returned(attributes: Item | None, is_dynamodb_json: bool) -> None:
    if attributes is not None:
        _print_item(attributes, is_dynamodb_json)


def _print_item(item: Item, is_dynamodb_json: bool) -> None:
    from stator.cli.json_values import shown_item

    print_json(shown_item(item, is_dynamodb_json=is_dynamodb_json))


def _read(text: str, what: str, is_dynamodb_json: bool) -> Item:
    from stator.cli.json_values import parse_item, parse_json

    if text == "-":
        text = sys.stdin.read()
    return parse_item(parse_json(text, what), is_dynamodb_json=is_dynamodb_json)
