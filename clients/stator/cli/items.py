"""`stator put`, `stator get` and `stator delete`."""

import sys
from typing import Annotated

import typer

from stator.cli.connect import EndpointOption, TimeoutOption, connected
from stator.cli.exits import NOT_FOUND
from stator.cli.output import print_json
from stator.values import Item

TableArgument = Annotated[str, typer.Argument(metavar="TABLE", help="Name of the table.")]
TypedOption = Annotated[
    bool, typer.Option("--dynamodb-json", help='Typed JSON, such as {"pk": {"S": "x"}}, in and out: keeps every type.')
]


def put(
    table: TableArgument,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="A JSON object; - reads it from the standard input.")],
    dynamodb_json: TypedOption = False,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Write one item, in place of any that has its key.

    Example: stator put music '{"artist": "Nina Simone", "year": 1964}'
    """
    with connected(endpoint, timeout) as client:
        client.put_item(table, _read(item, "ITEM", dynamodb_json))


def get(
    table: TableArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="A JSON object with the key's attributes.")],
    consistent: Annotated[bool, typer.Option("--consistent", help="Reflect every write acknowledged before.")] = False,
    dynamodb_json: TypedOption = False,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Print one item as JSON. Ends with 4 if there is none.

    Plain JSON shows bytes as base64 text and sets as lists; --dynamodb-json keeps them apart.

    Example: stator get music '{"artist": "Nina Simone", "year": 1964}' --consistent
    """
    from stator.cli.json_values import shown_item

    with connected(endpoint, timeout) as client:
        found = client.get_item(table, _read(key, "KEY", dynamodb_json), consistent_read=consistent)
        if found is None:
            print(f"There is no such item in {table}.", file=sys.stderr)
            raise SystemExit(NOT_FOUND)
        print_json(shown_item(found, is_dynamodb_json=dynamodb_json))


def delete(
    table: TableArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="A JSON object with the key's attributes.")],
    dynamodb_json: TypedOption = False,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Delete one item; it is no error if there is none.

    Example: stator delete music '{"artist": "Nina Simone", "year": 1964}'
    """
    with connected(endpoint, timeout) as client:
        client.delete_item(table, _read(key, "KEY", dynamodb_json))


def _read(text: str, what: str, is_dynamodb_json: bool) -> Item:
    from stator.cli.json_values import parse_item, parse_json

    if text == "-":
        text = sys.stdin.read()
    return parse_item(parse_json(text, what), is_dynamodb_json=is_dynamodb_json)
