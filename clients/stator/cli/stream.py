"""`stator stream`."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stator.cli.connect import EndpointOption, async_client, resolve_endpoints
from stator.cli.exits import REFUSED, UsageError, expected_errors, fail
from stator.cli.items import TableArgument, TypedOption
from stator.cli.json_values import shown_item
from stator.cli.output import to_json
from stator.values import Item

if TYPE_CHECKING:
    from stator.changes import AsyncChanges
    from stator.stream_descriptions import Change
    from stator.stream_progress import Start

REQUEST_TIMEOUT_S = 10.0


def stream(
    table: TableArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print changes as they come, until Ctrl-C.")] = False,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PLACE",
            help="oldest, latest, or a time such as 2026-11-26T18:30 or 2026-11-26T18:30:00Z; without a zone it is "
            "this machine's. Default: oldest, with --follow latest.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="Keep in this file how far it came, and go on from there the next time; --from counts the first time.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    dynamodb_json: TypedOption = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="End after so many changes.")] = None,
    endpoint: EndpointOption = None,
) -> None:
    """Print the changes of a table's items, one a line.

    The table needs a stream: stator table update TABLE --stream NEW_AND_OLD_IMAGES. Changes are kept for a day, also
    after the stream was turned off. Those of an item come in their order; those of different items may not.

    A change is in the file of --checkpoint once it has been printed: what reads the output of this command may see the
    last ones again, and misses none. The file belongs to one stream: where the table's was turned off and on again,
    this command says so, and another file is needed for the new one.

    Example: stator stream music --follow --from oldest --checkpoint music.checkpoint --json
    """
    with expected_errors():
        place = start or ("latest" if follow else "oldest")
        if place == "latest" and not follow:
            raise UsageError("behind the latest change there is nothing yet: add --follow to see what comes.")
        begin = parse_start(place)
        try:
            work = _print(
                resolve_endpoints(endpoint, os.environ),
                table,
                begin,
                checkpoint,
                limit,
                follow=follow,
                is_json=json or dynamodb_json,
                is_dynamodb_json=dynamodb_json,
            )
            asyncio.run(work)
        except BrokenPipeError:
            raise
        except OSError as error:
            fail(f"the checkpoint cannot be kept: {error.strerror}: {error.filename}.", REFUSED)


async def _print(
    endpoints: list[str],
    table: str,
    start: "Start",
    checkpoint: Path | None,
    limit: int | None,
    *,
    follow: bool,
    is_json: bool,
    is_dynamodb_json: bool,
) -> None:
    from stator.checkpoints import FileCheckpoint

    store = FileCheckpoint(checkpoint) if checkpoint is not None else None
    async with async_client(endpoints, REQUEST_TIMEOUT_S) as client:
        if (await client.describe_table(table)).latest_stream_arn is None:
            fail(
                f"{table} has no stream: make it one with `stator table update {table} --stream NEW_AND_OLD_IMAGES`.",
                REFUSED,
            )
        async with client.changes(table, start, checkpoint=store, follow=follow) as changes:
            if not await _print_all(changes, limit, is_json=is_json, is_dynamodb_json=is_dynamodb_json):
                return
            told = changes.checkpoint()["stream"]
        described = await client.describe_table(table)
        if described.latest_stream_arn not in (None, told):
            _note(
                f"That was the stream of {told.rpartition('/')[2]}. {table} has a newer one, of "
                f"{described.latest_stream_label}: begin it with another --checkpoint, or without one."
            )
        elif follow:
            _note(f"The stream of {table} was turned off, and all that was in it has been told.")


def _note(sentence: str) -> None:
    """Says why there is no more to come, to people: what reads the changes does not see it."""
    print(sentence, file=sys.stderr)


async def _print_all(
    changes: "AsyncChanges[Item]", limit: int | None, *, is_json: bool, is_dynamodb_json: bool
) -> bool:
    """Whether all that there is has been printed; else the limit was reached."""
    left = limit
    async for change in changes:
        shown = to_json(as_document(change, is_dynamodb_json=is_dynamodb_json)) if is_json else as_line(change)
        print(shown, flush=True)
        if left is not None:
            left -= 1
            if left == 0:
                changes.done()
                return False
    return True


def parse_start(text: str) -> "Start":
    """From "oldest", "latest" or a time. Raises UsageError."""
    if text == "oldest":
        return "oldest"
    if text == "latest":
        return "latest"
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--from {text!r} is no place in a stream: write oldest, latest, or a time such as 2026-11-26T18:30:00Z."
        ) from None


def as_document(change: "Change[Item]", *, is_dynamodb_json: bool) -> dict[str, Any]:
    """A change as JSON."""

    def shown(item: Item | None) -> dict[str, Any] | None:
        return shown_item(item, is_dynamodb_json=is_dynamodb_json) if item is not None else None

    return {
        "event": change.event,
        "keys": shown(change.keys),
        "old": shown(change.old),
        "new": shown(change.new),
        "created_at": change.created_at.isoformat(timespec="milliseconds"),
        "by_time_to_live": change.by_time_to_live,
        "sequence_number": change.sequence_number,
        "shard_id": change.shard_id,
        "event_id": change.event_id,
    }


def as_line(change: "Change[Item]") -> str:
    """A change for people: when, what, of which item; what became of its attributes, as far as the stream tells."""
    when = change.created_at.astimezone()
    parts = [f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03}", f"{change.event:<6}", _shown(change.keys)]
    if change.event == "MODIFY" and change.old is not None and change.new is not None:
        parts.append(_difference(change.old, change.new))
    elif change.new is not None:
        parts.append(_shown(_without(change.new, change.keys)))
    elif change.old is not None:
        parts.append("was " + _shown(_without(change.old, change.keys)))
    if change.by_time_to_live:
        parts.append("(its time was over)")
    return "  ".join(parts)


def _difference(old: Item, new: Item) -> str:
    """plays: 1 -> 2, label: removed, live: true"""
    parts = []
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            parts.append(f"{_name(name)}: removed")
        elif name not in old:
            parts.append(f"{_name(name)}: {to_json(new[name])}")
        elif to_json(old[name]) != to_json(new[name]) or type(old[name]) is not type(new[name]):
            parts.append(f"{_name(name)}: {to_json(old[name])} -> {to_json(new[name])}")
    return ", ".join(parts)


def _shown(item: Item) -> str:
    return to_json(shown_item(item, is_dynamodb_json=False))


def _without(item: Item, keys: Item) -> Item:
    return {name: value for name, value in item.items() if name not in keys}


def _name(name: str) -> str:
    return name if name.isprintable() else repr(name)[1:-1]
