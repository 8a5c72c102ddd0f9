"""`stator query` and `stator scan`."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stator.cli.connect import EndpointOption, TimeoutOption, connected
from stator.cli.exits import UsageError
from stator.cli.item_output import ItemsFormat, print_items
from stator.cli.items import TableArgument, TypedOption, read_paths
from stator.cli.json_values import parse_item, parse_json, shown_item
from stator.cli.keys import key_attributes, key_names, typed
from stator.cli.literals import CONDITION_WORDS, as_typed, names_for_texts, with_placeholders
from stator.cli.output import to_json
from stator.values import Item

if TYPE_CHECKING:
    from stator.descriptions import TableDescription
    from stator.expressions import KeyCondition
    from stator.results import Page

IndexOption = Annotated[str | None, typer.Option("--index", metavar="NAME", help="Read a secondary index.")]
FilterOption = Annotated[
    str | None,
    typer.Option("--filter", metavar="CONDITION", help="Only items for which this holds: 'plays > 9 and live = true'."),
]
SelectOption = Annotated[
    str | None, typer.Option("--select", metavar="NAMES", help="Only these attributes: 'title, tags[0]'.")
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="So many items at most.")]
StartOption = Annotated[
    str | None, typer.Option("--start-key", metavar="KEY", help="Go on behind this key, as a command before said.")
]
CountOption = Annotated[bool, typer.Option("--count", help="Print only how many there are.")]
ConsistentOption = Annotated[bool, typer.Option("--consistent", help="Reflect every write acknowledged before.")]
OutputOption = Annotated[ItemsFormat, typer.Option("--output", help="How to print: jsonl is one item a line.")]


def query(
    table: TableArgument,
    pk: Annotated[str | None, typer.Option("--pk", metavar="VALUE", help="The partition key is this.")] = None,
    sk: Annotated[str | None, typer.Option("--sk", metavar="VALUE", help="The sort key is this.")] = None,
    sk_begins: Annotated[str | None, typer.Option("--sk-begins", metavar="TEXT", help="It begins so.")] = None,
    sk_from: Annotated[str | None, typer.Option("--sk-from", metavar="VALUE", help="It is this, or greater.")] = None,
    sk_to: Annotated[str | None, typer.Option("--sk-to", metavar="VALUE", help="It is this, or less.")] = None,
    sk_above: Annotated[str | None, typer.Option("--sk-above", metavar="VALUE", help="It is greater.")] = None,
    sk_below: Annotated[str | None, typer.Option("--sk-below", metavar="VALUE", help="It is less.")] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="CONDITION", help="Instead of these: 'artist = \"Odetta\" and year > 1960'."),
    ] = None,
    index: IndexOption = None,
    where: FilterOption = None,
    select: SelectOption = None,
    limit: LimitOption = None,
    descending: Annotated[bool, typer.Option("--desc", help="From the greatest sort key to the least.")] = False,
    start_key: StartOption = None,
    count: CountOption = False,
    consistent: ConsistentOption = False,
    output: OutputOption = ItemsFormat.TABLE,
    dynamodb_json: TypedOption = False,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Print the items of one partition key, by their sort key.

    Conditions have names and values as they are: texts in double quotes, odd names in backquotes, functions as in
    DynamoDB (begins_with, contains, attribute_exists, size, ...).

    Example: stator query music --pk "Nina Simone" --sk-from 1960 --sk-to 1969 --filter 'plays > 10' --desc --limit 5
    """
    from stator.expressions import Placeholders

    with connected(endpoint, timeout) as client:
        described = client.describe_table(table)
        placeholders = Placeholders()
        sort = {"sk": sk, "sk-begins": sk_begins, "sk-from": sk_from, "sk-to": sk_to}
        sort |= {"sk-above": sk_above, "sk-below": sk_below}
        given = {name: text for name, text in sort.items() if text is not None}
        if (key is None) == (pk is None) or (key is not None and given):
            raise UsageError("say which items: by --pk and perhaps an option that begins with --sk, or by --key.")
        condition: str | KeyCondition
        if key is not None:
            condition = with_placeholders(key, CONDITION_WORDS, placeholders, "--key")
        else:
            condition = _key_condition(described, index, pk or "", given)
        reading = _Reading(described, index, where, select, start_key, placeholders, is_dynamodb_json=dynamodb_json)
        options: Any = {**reading.options(limit, consistent), "descending": descending}
        if count:
            options = reading.count_options(options)
            reading.print_count(client.query_pages(table, condition, select="COUNT", **options), output)
            return
        pages = client.query_pages(table, condition, return_consumed_capacity="TOTAL", **options)
        reading.print(pages, limit, output)


def scan(
    table: TableArgument,
    index: IndexOption = None,
    where: FilterOption = None,
    select: SelectOption = None,
    limit: LimitOption = None,
    start_key: StartOption = None,
    segments: Annotated[
        int, typer.Option("--segments", min=1, max=64, help="Read so many parts at once; in no order then.")
    ] = 1,
    count: CountOption = False,
    consistent: ConsistentOption = False,
    output: OutputOption = ItemsFormat.TABLE,
    dynamodb_json: TypedOption = False,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Print the items of a table, in no useful order. It reads them all, also where a filter shows few.

    Example: stator scan music --filter 'contains(tags, "live")' --select 'artist, title' --limit 20
    """
    from stator.expressions import Placeholders

    with connected(endpoint, timeout) as client:
        described = client.describe_table(table)
        reading = _Reading(described, index, where, select, start_key, Placeholders(), is_dynamodb_json=dynamodb_json)
        options: Any = reading.options(limit, consistent)
        if count:
            options = reading.count_options(options)
            reading.print_count(client.scan_pages(table, select="COUNT", **options), output)
            return
        if segments == 1:
            pages = client.scan_pages(table, return_consumed_capacity="TOTAL", **options)
            reading.print(pages, limit, output)
            return
        if start_key is not None or limit is not None:
            raise UsageError("--segments reads everything, in no order: leave --limit and --start-key out.")
        for name in ("start_key", "limit"):
            options.pop(name, None)
        with reading.errors_as_typed():
            items = client.parallel_scan(table, segments, **options)
            print_items(items, output, first=reading.first, is_dynamodb_json=dynamodb_json)


class _Reading:
    """What a query and a scan have in common: their options, and where to go on when the limit is reached."""

    def __init__(
        self,
        table: "TableDescription",
        index: str | None,
        where: str | None,
        select: str | None,
        start_key: str | None,
        placeholders: Any,
        *,
        is_dynamodb_json: bool,
    ) -> None:
        self.first = key_names(table, index)
        self._index = index
        self._placeholders = placeholders
        self._where = where or ""
        self._filter = where and with_placeholders(where, CONDITION_WORDS, placeholders, "--filter")
        self._paths = read_paths(select)
        self._start: Item | None = None
        self._is_dynamodb_json = is_dynamodb_json
        self._hidden: set[str] = set()
        self._more: Item | None = None
        self._looked_at = 0
        self._units = 0.0
        if start_key is not None:
            self._start = parse_item(parse_json(start_key, "--start-key"), is_dynamodb_json=is_dynamodb_json)

    def options(self, limit: int | None, is_consistent: bool) -> dict[str, Any]:
        """For `query_pages` and `scan_pages`."""
        paths = self._paths
        if paths is not None and limit is not None and self._filter:
            # The keys say where to go on.
            self._hidden = set(self.first) - {path[0] for path in paths}
            paths = paths + [(name,) for name in sorted(self._hidden)]
        options = {
            "index": self._index,
            "filter": self._filter,
            "projection": paths,
            "names": self._placeholders.names,
            "values": self._placeholders.values,
            "start_key": self._start,
            "consistent_read": is_consistent,
        }
        # With a filter whole pages are read, and the last one is cut here: so a few requests do.
        return options if self._filter else {**options, "limit": limit}

    def count_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Counting has no limit, and no attributes."""
        return {name: value for name, value in options.items() if name not in ("projection", "limit")}

    def print(self, pages: "Iterator[Page[Item]]", limit: int | None, output: ItemsFormat) -> None:
        """Prints the items of the pages, and below a table how much was read; where to go on, if there is more."""
        items = self._limited(pages, limit)
        with self.errors_as_typed():
            count = print_items(items, output, first=self.first, is_dynamodb_json=self._is_dynamodb_json)
        sys.stdout.flush()
        if output is ItemsFormat.TABLE:
            found = f"{count:,} item{'' if count == 1 else 's'}"
            print(f"{found}, {self._looked_at:,} looked at, {self._units:g} rcu.", file=sys.stderr)
        self._hint(count)
        if self._more is not None:
            text = to_json(shown_item(self._more, is_dynamodb_json=self._is_dynamodb_json))
            print(
                f"There may be more: go on with --start-key '{text.replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'",
                file=sys.stderr,
            )

    def print_count(self, pages: "Iterator[Page[Item]]", output: ItemsFormat) -> None:
        """Prints how many items the pages have."""
        count = looked_at = 0
        with self.errors_as_typed():
            for page in pages:
                count += page.count
                looked_at += page.scanned_count
        if output is ItemsFormat.TABLE:
            print(count)
        else:
            print(to_json({"count": count, "scanned_count": looked_at}))
        self._hint(count)

    def errors_as_typed(self) -> "AbstractContextManager[None]":
        """Within this, errors name no placeholders."""
        return as_typed(self._placeholders)

    def _hint(self, count: int) -> None:
        """Where nothing was found: a text without quotes is the name of an attribute, which nobody sees at once."""
        if not count and (names := names_for_texts(self._where)):
            print(f'Note: {names[0]} is an attribute in --filter; the text would be "{names[0]}".', file=sys.stderr)

    def _limited(self, pages: "Iterator[Page[Item]]", limit: int | None) -> Iterator[Item]:
        count = 0
        for page in pages:
            self._looked_at += page.scanned_count
            self._units += page.consumed_capacity.capacity_units if page.consumed_capacity else 0.0
            for position, item in enumerate(page.items, 1):
                count += 1
                if count == limit:
                    is_cut = position < len(page.items)
                    self._more = {name: item[name] for name in self.first} if is_cut else page.last_evaluated_key
                yield {name: value for name, value in item.items() if name not in self._hidden}
                if count == limit:
                    return


def _key_condition(table: "TableDescription", index: str | None, pk: str, sort: dict[str, str]) -> "KeyCondition":
    """What --pk and the options that begin with --sk say. Raises UsageError."""
    from stator.expressions import key

    partition_key, sort_key = key_attributes(table, index)
    condition = key(partition_key.name).eq(typed(partition_key, pk, "--pk"))
    if not sort:
        return condition
    if sort_key is None:
        raise UsageError(f"{table.name} has no sort key: --{next(iter(sort))} is too much.")
    if len(sort) > 1 and set(sort) != {"sk-from", "sk-to"}:
        raise UsageError("DynamoDB takes one condition on the sort key: only --sk-from and --sk-to go together.")
    values = {name: typed(sort_key, text, f"--{name}") for name, text in sort.items()}
    by_name = key(sort_key.name)
    match values:
        case {"sk-from": low, "sk-to": high}:
            return condition & by_name.between(low, high)
        case {"sk": value}:
            return condition & by_name.eq(value)
        case {"sk-begins": value}:
            if sort_key.type == "N":
                raise UsageError(f"--sk-begins: {sort_key.name} is a number, which does not begin with anything.")
            return condition & by_name.begins_with(value)
        case {"sk-from": value}:
            return condition & by_name.ge(value)
        case {"sk-to": value}:
            return condition & by_name.le(value)
        case {"sk-above": value}:
            return condition & by_name.gt(value)
    return condition & by_name.lt(values["sk-below"])
