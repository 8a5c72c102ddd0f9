"""`stator table`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stator.cli.connect import EndpointOption, TimeoutOption, connected
from stator.cli.exits import UsageError
from stator.cli.output import OutputFormat, format_bytes, print_json, print_table

if TYPE_CHECKING:
    from stator.descriptions import KeyAttribute, TableDescription

app = typer.Typer(
    no_args_is_help=True,
    help="Create, describe, list and delete tables.\n\nExample: stator table create music --partition-key artist:S",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the table.")]
OutputOption = Annotated[OutputFormat, typer.Option("--output", help="How to print.")]
WAIT_HELP = "Return at once, not when it is done."


@app.command()
def create(
    name: NameArgument,
    partition_key: Annotated[str, typer.Option(metavar="NAME:TYPE", help="TYPE is S (text), N (number) or B (bytes).")],
    sort_key: Annotated[
        str | None, typer.Option(metavar="NAME:TYPE", help="Orders items of one partition key.")
    ] = None,
    partitions: Annotated[int | None, typer.Option(min=1, help="Default: derived from the capacity, else 1.")] = None,
    rcu: Annotated[
        int | None, typer.Option(min=1, help="Read capacity units a second, not enforced yet; give --wcu too.")
    ] = None,
    wcu: Annotated[
        int | None, typer.Option(min=1, help="Write capacity units a second, not enforced yet; give --rcu too.")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help=WAIT_HELP)] = False,
    output: OutputOption = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 30.0,
) -> None:
    """Create a table and wait until it can be used.

    Example: stator table create music --partition-key artist:S --sort-key year:N --partitions 4
    """
    with connected(endpoint, timeout) as client:
        if (rcu is None) != (wcu is None):
            raise UsageError("give both --rcu and --wcu, or neither for a table on demand.")
        table = client.create_table(
            name,
            parse_key(partition_key),
            parse_key(sort_key) if sort_key else None,
            read_capacity_units=rcu,
            write_capacity_units=wcu,
            partitions=partitions,
        )
        if not no_wait:
            table = client.wait_until_table_active(name, timeout_s=timeout)
        _print_table_description(table, output)


@app.command()
def describe(
    name: NameArgument,
    output: OutputOption = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Show a table's key, state and size.

    Example: stator table describe music --output json
    """
    with connected(endpoint, timeout) as client:
        _print_table_description(client.describe_table(name), output)


@app.command("list")
def list_tables(
    output: OutputOption = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """List all tables.

    Example: stator table list --output json
    """
    with connected(endpoint, timeout) as client:
        names = list(client.list_tables())
        if output is OutputFormat.JSON:
            print_json(names)
        else:
            print("\n".join(names) if names else "There are no tables: make one with `stator table create`.")


@app.command()
def delete(
    name: NameArgument,
    no_wait: Annotated[bool, typer.Option("--no-wait", help=WAIT_HELP)] = False,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 30.0,
) -> None:
    """Delete a table with all its items. There is no way back.

    Example: stator table delete music
    """
    with connected(endpoint, timeout) as client:
        client.delete_table(name)
        if not no_wait:
            client.wait_until_table_gone(name, timeout_s=timeout)


def parse_key(text: str) -> tuple[str, str]:
    """("artist", "S") from "artist:S". Raises UsageError."""
    name, colon, key_type = text.rpartition(":")
    if not colon or not name or key_type not in ("S", "N", "B"):
        raise UsageError(f"{text!r} is not a key attribute: write NAME:TYPE with type S, N or B, for example artist:S.")
    return name, key_type


def as_document(table: "TableDescription") -> dict[str, Any]:
    """A table as JSON."""
    return {**asdict(table), "created_at": table.created_at.isoformat()}


def _print_table_description(table: "TableDescription", output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        print_json(as_document(table))
        return
    on_demand = table.read_capacity_units is None
    capacity = "on demand" if on_demand else f"{table.read_capacity_units} rcu, {table.write_capacity_units} wcu"
    rows: Sequence[tuple[str, object]] = [
        ("table", table.name),
        ("status", table.status),
        ("partition key", _key_text(table.partition_key)),
        ("sort key", _key_text(table.sort_key) if table.sort_key else "none"),
        ("capacity", capacity),
        ("partitions", table.partitions),
        ("items", f"about {table.items}"),
        ("size", f"about {format_bytes(table.bytes)}"),
        ("created", f"{table.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("id", table.id),
    ]
    print_table(["name", "value"], rows)


def _key_text(key: "KeyAttribute") -> str:
    return f"{key.name} ({key.type})"
