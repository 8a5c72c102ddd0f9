"""`stator table`."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stator.cli.connect import EndpointOption, TimeoutOption, connected
from stator.cli.exits import UsageError
from stator.cli.output import OutputFormat, format_bytes, print_json, print_table

if TYPE_CHECKING:
    from stator import Client
    from stator.descriptions import TableClass, TableDescription
    from stator.indexes import (
        GlobalIndex,
        GlobalIndexDescription,
        KeyAttribute,
        LocalIndex,
        LocalIndexDescription,
        Projection,
    )
    from stator.stream_descriptions import StreamOff, StreamViewType

app = typer.Typer(
    no_args_is_help=True,
    help="Create, describe, change and delete tables.\n\nExample: stator table create music --partition-key artist:S",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the table.")]
OutputOption = Annotated[OutputFormat, typer.Option("--output", help="How to print.")]
TagOption = Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="May be repeated.")]
RcuOption = Annotated[
    int | None, typer.Option(min=1, help="Read capacity units a second, not enforced yet; give --wcu too.")
]
WcuOption = Annotated[
    int | None, typer.Option(min=1, help="Write capacity units a second, not enforced yet; give --rcu too.")
]
MAX_HELP = "Limit of {} request units a second of a table on demand, not enforced yet{}."
INDEX_HELP = "Another sort key; PROJECTION: see the top of `stator table create --help`. May be repeated, 5 times."
GLOBAL_METAVAR = "NAME:ATTRIBUTE:TYPE[/ATTRIBUTE:TYPE][:PROJECTION]"
GLOBAL_HELP = (
    "Another key, the sort key behind the slash; up to four attributes each, with commas between them. PROJECTION: see "
    "the top of `stator table create --help`."
)
STREAM_HELP = (
    "Keep the table's changes for a day, for `stator stream`. VIEW_TYPE: see the top of `stator table create --help`."
)
WAIT_HELP = "Return at once, not when it is done."


@app.command()
def create(
    name: NameArgument,
    partition_key: Annotated[str, typer.Option(metavar="NAME:TYPE", help="TYPE is S (text), N (number) or B (bytes).")],
    sort_key: Annotated[
        str | None, typer.Option(metavar="NAME:TYPE", help="Orders items of one partition key.")
    ] = None,
    partitions: Annotated[int | None, typer.Option(min=1, help="Default: derived from the capacity, else 1.")] = None,
    local_index: Annotated[
        list[str] | None, typer.Option(metavar="NAME:ATTRIBUTE:TYPE[:PROJECTION]", help=INDEX_HELP)
    ] = None,
    global_index: Annotated[
        list[str] | None, typer.Option(metavar=GLOBAL_METAVAR, help=GLOBAL_HELP + " May be repeated, 20 times.")
    ] = None,
    stream: Annotated[str | None, typer.Option("--stream", metavar="VIEW_TYPE", help=STREAM_HELP)] = None,
    rcu: RcuOption = None,
    wcu: WcuOption = None,
    max_rcu: Annotated[int | None, typer.Option(min=1, help=MAX_HELP.format("read", ""))] = None,
    max_wcu: Annotated[int | None, typer.Option(min=1, help=MAX_HELP.format("write", ""))] = None,
    infrequent_access: Annotated[bool, typer.Option(help="Table class STANDARD_INFREQUENT_ACCESS.")] = False,
    deletion_protection: Annotated[bool, typer.Option(help="Refuse to delete the table.")] = False,
    tag: TagOption = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help=WAIT_HELP)] = False,
    output: OutputOption = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 30.0,
) -> None:
    """Create a table and wait until it can be used.

    PROJECTION is what an index has of an item: ALL (the default), KEYS_ONLY, or INCLUDE=ATTRIBUTE,... VIEW_TYPE is what
    a stream tells of one: KEYS_ONLY, NEW_IMAGE, OLD_IMAGE or NEW_AND_OLD_IMAGES.

    Global indexes get the table's capacity units, if it has any; `stator table update --index-units` gives them others.

    Example: stator table create music --partition-key artist:S --sort-key year:N --global-index by-genre:genre:S/year:N
    """
    with connected(endpoint, timeout) as client:
        check_capacity(rcu, wcu)
        table = client.create_table(
            name,
            parse_key(partition_key),
            parse_key(sort_key) if sort_key else None,
            local_indexes=[parse_local_index(text) for text in local_index or ()],
            global_indexes=[parse_global_index(text, rcu, wcu) for text in global_index or ()],
            stream=parse_view_type(stream) if stream else None,
            read_capacity_units=rcu,
            write_capacity_units=wcu,
            max_read_request_units=max_rcu,
            max_write_request_units=max_wcu,
            table_class="STANDARD_INFREQUENT_ACCESS" if infrequent_access else "STANDARD",
            deletion_protection=deletion_protection,
            tags=parse_tags(tag or ()),
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
    """Show a table's keys, indexes, state, size and settings.

    Example: stator table describe music --output json
    """
    with connected(endpoint, timeout) as client:
        _print_table_description(client.describe_table(name), output, client)


@app.command()
def update(
    name: NameArgument,
    rcu: RcuOption = None,
    wcu: WcuOption = None,
    on_demand: Annotated[bool, typer.Option("--on-demand", help="Without capacity units from now on.")] = False,
    max_rcu: Annotated[int | None, typer.Option(min=-1, help=MAX_HELP.format("read", "; -1 lifts it"))] = None,
    max_wcu: Annotated[int | None, typer.Option(min=-1, help=MAX_HELP.format("write", "; -1 lifts it"))] = None,
    infrequent_access: Annotated[
        bool | None, typer.Option(help="Table class STANDARD_INFREQUENT_ACCESS, or STANDARD.")
    ] = None,
    deletion_protection: Annotated[bool | None, typer.Option(help="Refuse to delete the table, or not.")] = None,
    create_index: Annotated[
        str | None, typer.Option(metavar=GLOBAL_METAVAR, help="Make a global index. " + GLOBAL_HELP)
    ] = None,
    delete_index: Annotated[str | None, typer.Option(metavar="NAME", help="Remove a global index.")] = None,
    index_units: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:RCU/WCU", help="Capacity units of a global index. May be repeated."),
    ] = None,
    stream: Annotated[str | None, typer.Option("--stream", metavar="VIEW_TYPE", help=STREAM_HELP)] = None,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Keep changes no longer; those that are kept stay for their day.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return at once, not when the index or the stream is made or gone.")
    ] = False,
    output: OutputOption = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 30.0,
) -> None:
    """Change a table's settings, its stream, or its global indexes, one at a time; what is not named stays as it is.

    Example: stator table update music --create-index by-genre:genre:S/year:N

    Example: stator table update music --stream NEW_AND_OLD_IMAGES
    """
    with connected(endpoint, timeout) as client:
        check_capacity(rcu, wcu)
        if on_demand and rcu is not None:
            raise UsageError("a table on demand has no --rcu and --wcu.")
        switched = parse_stream(stream, is_off=no_stream)
        made = None
        if create_index is not None:
            # In a table with capacity units an index has some too: for the time being those that the table has.
            known = client.describe_table(name)
            units = (rcu, wcu) if rcu is not None else (known.read_capacity_units, known.write_capacity_units)
            made = parse_global_index(create_index, *units)
        client.update_table(
            name,
            read_capacity_units=rcu,
            write_capacity_units=wcu,
            on_demand=on_demand,
            max_read_request_units=max_rcu,
            max_write_request_units=max_wcu,
            table_class=_CLASSES[infrequent_access],
            deletion_protection=deletion_protection,
            create_index=made,
            delete_index=delete_index,
            index_capacity_units=dict(parse_index_units(text) for text in index_units or ()),
            stream=switched,
        )
        if not no_wait:
            if made is not None:
                client.wait_until_index_active(name, made.name, timeout_s=timeout)
            if delete_index is not None:
                client.wait_until_index_gone(name, delete_index, timeout_s=timeout)
            if switched is not None:
                client.wait_until_table_active(name, timeout_s=timeout)
        _print_table_description(client.describe_table(name), output, client)


@app.command()
def tags(
    name: NameArgument,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="May be repeated.")] = None,
    remove: Annotated[list[str] | None, typer.Option(metavar="KEY", help="May be repeated.")] = None,
    output: OutputOption = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Show a table's tags, after changing them.

    Example: stator table tags music --set stage=test --remove owner
    """
    with connected(endpoint, timeout) as client:
        if set_:
            client.tag_resource(name, parse_tags(set_))
        if remove:
            client.untag_resource(name, remove)
        found = client.list_tags_of_resource(name)
        if output is OutputFormat.JSON:
            print_json(found)
        else:
            print_table(["key", "value"], list(found.items()))


@app.command()
def ttl(
    name: NameArgument,
    enable: Annotated[
        str | None, typer.Option(metavar="ATTRIBUTE", help="Items expire when the time in it is over.")
    ] = None,
    disable: Annotated[bool, typer.Option("--disable", help="Items do not expire any more.")] = False,
    output: OutputOption = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Show by which attribute a table's items expire, after changing it. A time is in seconds since 1970.

    Example: stator table ttl sessions --enable expires_at
    """
    with connected(endpoint, timeout) as client:
        if enable and disable:
            raise UsageError("give --enable or --disable, not both.")
        if enable:
            client.update_time_to_live(name, enable)
        elif disable:
            client.update_time_to_live(name, client.describe_time_to_live(name) or "none", enabled=False)
        attribute = client.describe_time_to_live(name)
        if output is OutputFormat.JSON:
            print_json({"attribute": attribute})
        else:
            print(f"Items expire by {attribute}." if attribute else "Items do not expire.")


@app.command()
def limits(
    output: OutputOption = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Show the quotas on capacity units. Nothing enforces them yet.

    Example: stator table limits --output json
    """
    with connected(endpoint, timeout) as client:
        document = asdict(client.describe_limits())
        if output is OutputFormat.JSON:
            print_json(document)
        else:
            print_table(["quota", "units a second"], list(document.items()))


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


def parse_local_index(text: str) -> "LocalIndex":
    """From "by-title:title:S:INCLUDE=plays,year". Raises UsageError."""
    from stator import LocalIndex

    name, _, rest = text.partition(":")
    key, _, projection = rest.partition(":")
    key_type, _, projection = projection.partition(":")
    kind, _, names = projection.partition("=")
    attributes = tuple(part for part in names.split(",") if part)
    if not name or kind not in ("", "ALL", "KEYS_ONLY", "INCLUDE") or (kind == "INCLUDE") != bool(attributes):
        raise UsageError(
            f"{text!r} is not a local index: write NAME:ATTRIBUTE:TYPE[:PROJECTION], for example by-title:title:S, "
            "by-title:title:S:KEYS_ONLY or by-title:title:S:INCLUDE=plays,year."
        )
    projected: Projection = "INCLUDE" if attributes else "KEYS_ONLY" if kind == "KEYS_ONLY" else "ALL"
    return LocalIndex(name, parse_key(f"{key}:{key_type}"), projected, attributes)


_KEY = r"[^:,/]+:[SNB]"
_GLOBAL_INDEX = re.compile(
    rf"(?P<name>[^:]+):(?P<hashed>{_KEY}(?:,{_KEY})*)(?:/(?P<ordered>{_KEY}(?:,{_KEY})*))?"
    r"(?::(?:ALL|(?P<keys>KEYS_ONLY)|INCLUDE=(?P<included>.+)))?"
)


def parse_global_index(text: str, rcu: int | None, wcu: int | None) -> "GlobalIndex":
    """From "by-genre:genre:S/year:N:INCLUDE=plays,title". Raises UsageError."""
    from stator import GlobalIndex

    match = _GLOBAL_INDEX.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is not a global index: write {GLOBAL_METAVAR}, for example by-genre:genre:S, "
            "by-genre:genre:S/year:N:KEYS_ONLY or by-label:label:S,country:S/year:N:INCLUDE=plays,title."
        )
    attributes = tuple(part for part in (match["included"] or "").split(",") if part)
    projected: Projection = "INCLUDE" if attributes else "KEYS_ONLY" if match["keys"] else "ALL"
    hashed = [parse_key(each) for each in match["hashed"].split(",")]
    ordered = [parse_key(each) for each in match["ordered"].split(",")] if match["ordered"] else None
    return GlobalIndex(match["name"], hashed, ordered, projected, attributes, rcu, wcu)


def parse_index_units(text: str) -> tuple[str, tuple[int, int]]:
    """("by-genre", (5, 10)) from "by-genre:5/10". Raises UsageError."""
    match = re.fullmatch(r"([^:]+):(\d+)/(\d+)", text)
    if match is None:
        raise UsageError(f"{text!r} are no units of an index: write NAME:RCU/WCU, for example by-genre:5/10.")
    return match[1], (int(match[2]), int(match[3]))


_CLASSES: "dict[bool | None, TableClass | None]" = {
    None: None,
    True: "STANDARD_INFREQUENT_ACCESS",
    False: "STANDARD",
}


def parse_stream(text: str | None, *, is_off: bool) -> "StreamViewType | StreamOff | None":
    """What --stream and --no-stream ask for. Raises UsageError."""
    if text and is_off:
        raise UsageError("give --stream or --no-stream, not both: to have another view, turn it off first.")
    if is_off:
        return "OFF"
    return parse_view_type(text) if text else None


def parse_view_type(text: str) -> "StreamViewType":
    """From "NEW_IMAGE", or "new_image". Raises UsageError."""
    from stator.stream_descriptions import VIEW_TYPES

    for view in VIEW_TYPES:
        if text.upper().replace("-", "_") == view:
            return view
    raise UsageError(
        f"{text!r} is not what a stream can tell: write --stream {', '.join(VIEW_TYPES[:-1])} or {VIEW_TYPES[-1]}."
    )


def parse_tags(texts: Sequence[str]) -> dict[str, str]:
    """From "stage=test". Raises UsageError."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{text!r} is not a tag: write KEY=VALUE, for example stage=test.")
        found[key] = value
    return found


def check_capacity(rcu: int | None, wcu: int | None) -> None:
    """Raises UsageError for one without the other."""
    if (rcu is None) != (wcu is None):
        raise UsageError("give both --rcu and --wcu, or neither for a table on demand.")


def as_document(table: "TableDescription") -> dict[str, Any]:
    """A table as JSON."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(table).items()}


def _print_table_description(table: "TableDescription", output: OutputFormat, client: "Client | None" = None) -> None:
    """With a client, also what is not in the description: tags, and how items expire."""
    tags = client.list_tags_of_resource(table.name) if client is not None else {}
    expires_by = client.describe_time_to_live(table.name) if client is not None else None
    if output is OutputFormat.JSON:
        more = {"tags": tags, "time_to_live": expires_by} if client is not None else {}
        print_json({**as_document(table), **more})
        return
    on_demand = table.read_capacity_units is None
    capacity = "on demand" if on_demand else f"{table.read_capacity_units} rcu, {table.write_capacity_units} wcu"
    for units, name in ((table.max_read_request_units, "reads"), (table.max_write_request_units, "writes")):
        if units is not None:
            capacity += f", at most {units} {name} a second"
    rows: Sequence[tuple[str, object]] = [
        ("table", table.name),
        ("status", table.status),
        ("partition key", _key_text(table.partition_key)),
        ("sort key", _key_text(table.sort_key) if table.sort_key else "none"),
        *((f"index {index.name}", _index_text(index)) for index in table.local_indexes),
        *((f"global index {index.name}", _global_index_text(index)) for index in table.global_indexes),
        *((("stream", _stream_text(table)),) if table.latest_stream_arn else ()),
        ("capacity", capacity),
        ("class", table.table_class),
        ("deletion protection", "on" if table.deletion_protection else "off"),
        ("partitions", table.partitions),
        ("items", f"about {table.items}"),
        ("size", f"about {format_bytes(table.bytes)}"),
        ("created", f"{table.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("id", table.id),
        *(((f"tag {key}", value)) for key, value in tags.items()),
        *((("items expire by", expires_by),) if expires_by else ()),
    ]
    print_table(["name", "value"], rows)


def _stream_text(table: "TableDescription") -> str:
    return f"{table.stream or 'off'}, {table.latest_stream_arn}"


def _key_text(key: "KeyAttribute") -> str:
    return f"{key.name} ({key.type})"


def _index_text(index: "LocalIndexDescription") -> str:
    projection = index.projection
    if index.non_key_attributes:
        projection += f" {', '.join(index.non_key_attributes)}"
    return f"{_key_text(index.sort_key)}, {projection}, about {index.items} items, {format_bytes(index.bytes)}"


def _global_index_text(index: "GlobalIndexDescription") -> str:
    key = ", ".join(map(_key_text, index.partition_keys))
    if index.sort_keys:
        key += f" / {', '.join(map(_key_text, index.sort_keys))}"
    projection = index.projection
    if index.non_key_attributes:
        projection += f" {', '.join(index.non_key_attributes)}"
    parts = [key, projection, index.status]
    if index.is_backfilling:
        parts.append(f"{index.items_passed} items passed on")
    if index.read_capacity_units is not None:
        parts.append(f"{index.read_capacity_units} rcu, {index.write_capacity_units} wcu")
    parts.append(f"about {index.items} items, {format_bytes(index.bytes)}")
    if index.pending:
        parts.append(f"{index.pending} changes behind, {index.lag_ms} ms")
    return ", ".join(parts)
