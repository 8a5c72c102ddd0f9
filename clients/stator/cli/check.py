"""`stator check`."""

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stator.cli.cluster import count
from stator.cli.connect import EndpointOption, async_client, resolve_endpoints
from stator.cli.exits import REFUSED, UsageError, expected_errors
from stator.cli.items import TableArgument
from stator.cli.json_values import shown_item
from stator.cli.output import OutputFormat, to_json

if TYPE_CHECKING:
    from stator.client import AsyncClient
    from stator.index_check import Difference

app = typer.Typer(
    no_args_is_help=True,
    help="Compare what belongs together.\n\nExample: stator check index music",
)

REQUEST_TIMEOUT_S = 30.0


@app.command()
def index(
    table: TableArgument,
    name: Annotated[
        str | None, typer.Argument(metavar="INDEX", help="Default: all global indexes.", show_default=False)
    ] = None,
    settle: Annotated[
        float, typer.Option(min=0.0, help="Seconds that an index may need to follow what is being written.")
    ] = 10.0,
    output: Annotated[OutputFormat, typer.Option("--output", help="How to print.")] = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
) -> None:
    """Compare a table with its global secondary indexes.

    Page by page; both may be written meanwhile. Told are entries that are missing, out of date, or have no item: exit
    code 1 then. With --output json each is an object on a line of its own, and nothing is printed where there is none.

    Example: stator check index music by-genre
    """
    with expected_errors():
        is_right = asyncio.run(_check(resolve_endpoints(endpoint, os.environ), table, name, settle, output))
    if not is_right:
        raise SystemExit(REFUSED)


async def _check(endpoints: list[str], table: str, name: str | None, settle_s: float, output: OutputFormat) -> bool:
    """Whether everything is right. Raises UsageError."""
    async with async_client(endpoints, REQUEST_TIMEOUT_S) as client:
        described = await client.describe_table(table)
        names = [each.name for each in described.global_indexes]
        if name is not None and name not in names:
            has = f"it has {', '.join(names)}" if names else "it has none"
            raise UsageError(f"{table} has no global index {name}: {has}.")
        if not names:
            raise UsageError(f"{table} has no global index.")
        results = [await _check_one(client, table, each, settle_s, output) for each in ([name] if name else names)]
    return all(results)


async def _check_one(client: "AsyncClient", table: str, name: str, settle_s: float, output: OutputFormat) -> bool:
    from stator.index_check import ClientSource, IndexCheck, definition_of

    definition = definition_of(await client.describe_table(table), name)
    check = IndexCheck(ClientSource(client, table, name, definition), definition, settle_s)
    found = 0
    async for difference in check.differences():
        found += 1
        print(_shown(name, difference, output))
    if output is OutputFormat.TABLE:
        verdict = count(found, "difference") if found else "no difference"
        looked_at = f"{count(check.items, 'item')}, {count(check.entries, 'entry', 'entries')}"
        print(f"{name}: {verdict}; {looked_at}", file=sys.stderr if found else sys.stdout)
    return found == 0


def _shown(name: str, difference: "Difference", output: OutputFormat) -> str:
    document = {
        "index": name,
        "difference": difference.kind,
        "key": shown_item(dict(difference.key), is_dynamodb_json=False),
        "expected": shown_item(dict(difference.expected), is_dynamodb_json=False)
        if difference.expected is not None
        else None,
        "found": shown_item(dict(difference.found), is_dynamodb_json=False) if difference.found is not None else None,
    }
    if output is OutputFormat.JSON:
        return to_json(document)
    parts = [f"{word} {to_json(document[word])}" for word in ("expected", "found") if document[word] is not None]
    return f"{name}: {difference.kind}: {to_json(document['key'])}: {'; '.join(parts)}"
