"""Printing many items: as a table, as a JSON array, or one a line. Memory stays bounded, however many there are."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import Any

from stator.cli.json_values import shown_item
from stator.cli.output import print_table, to_json
from stator.values import Item

ROWS_AT_ONCE = 500
_CELL_CHARS = 40


class ItemsFormat(StrEnum):
    """What `--output` of `query` and `scan` takes."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


def print_items(
    items: Iterable[Item], output: ItemsFormat, *, first: Sequence[str], is_dynamodb_json: bool = False
) -> int:
    """Prints them as they come, and returns how many there were. `first`: the attributes that lead in a table."""
    if output is ItemsFormat.TABLE:
        return _print_tables(iter(items), first)
    count = 0
    for item in items:
        text = shown_item(item, is_dynamodb_json=is_dynamodb_json)
        if output is ItemsFormat.JSONL:
            print(to_json(text))
        else:
            print("," if count else "[")
            print("  " + to_json(text, 2, 1), end="")
        count += 1
    if output is ItemsFormat.JSON:
        print("\n]" if count else "[]")
    return count


def _print_tables(items: Iterator[Item], first: Sequence[str]) -> int:
    """So many rows at a time: a table has to be known before its columns have widths."""
    count = 0
    while rows := list(islice(items, ROWS_AT_ONCE)):
        if count:
            print()
        names = set().union(*rows)
        columns = [name for name in first if name in names] + sorted(names - set(first))
        numbers = [name for name in columns if all(_is_number(row[name]) for row in rows if name in row)]
        width = _CELL_CHARS if sys.stdout.isatty() else sys.maxsize
        cells = [[_cell(row, name, width) for name in columns] for row in rows]
        print_table(columns, cells, right=numbers, as_they_are=True)
        count += len(rows)
    return count


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool | str | bytes | list | dict | set) and value is not None


def _cell(item: Item, name: str, width: int) -> str:
    if name not in item:
        return ""
    value = item[name]
    text = value if isinstance(value, str) else to_json(value)
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return text if len(text) <= width else text[: width - 1] + "…"
