"""Items as CSV, with the columns' types in the header, so that reading them again gives the same."""

import csv
import json
import sys
import tempfile
from collections.abc import Iterable
from typing import IO, Any

from stator.cli.json_values import from_dynamodb_json, to_dynamodb_json
from stator.cli.output import to_json
from stator.cli.reading import CSV_TYPES
from stator.values import Item

_EMPTY = "empty text or bytes"  # as a cell they could not be told from no attribute at all


class CsvWriter:
    """A column for every attribute that any item has, the key's first; see `stator.cli.reading` for their types.

    Items wait in a temporary file until all columns and their types are known. Without `has_types` the header has bare
    names, numbers are text, and other types their plain JSON: for programs that know no types.
    """

    def __init__(self, file: IO[str], key_names: Iterable[str], *, has_types: bool) -> None:
        self._file = file
        self._has_types = has_types
        self._columns: dict[str, int] = {}
        self._kinds: list[set[str]] = []
        for name in key_names:
            self._add_column(name)
        self._waiting = tempfile.TemporaryFile("w+", encoding="utf-8", newline="")  # noqa: SIM115 (closed by `end`)
        self._rows = csv.writer(self._waiting)

    def write(self, item: Item) -> None:
        """One more item."""
        for name in sorted(item.keys() - self._columns.keys()):
            self._add_column(name)
        cells = [""] * len(self._columns)
        for name, value in item.items():
            typed = to_dynamodb_json(value)
            column = self._columns[name]
            self._kinds[column].add(_EMPTY if value in ("", b"") else next(iter(typed)))
            cells[column] = json.dumps(typed, ensure_ascii=False)
        self._rows.writerow(cells)

    def end(self) -> None:
        """Writes the file."""
        csv.field_size_limit(sys.maxsize)
        kinds = [_kind_of_column(found) for found in self._kinds]
        rows = csv.writer(self._file)
        rows.writerow([self._heading(name, kind) for name, kind in zip(self._columns, kinds, strict=True)])
        self._waiting.seek(0)
        for waiting in csv.reader(self._waiting):
            cells = [self._cell(text, kind) if text else "" for text, kind in zip(waiting, kinds, strict=False)]
            rows.writerow(cells + [""] * (len(self._columns) - len(cells)))
        self._waiting.close()

    def _add_column(self, name: str) -> None:
        self._columns[name] = len(self._columns)
        self._kinds.append(set())

    def _heading(self, name: str, kind: str) -> str:
        # A name that ends as if with a type has its own type behind it, whatever that is.
        is_plain = kind == "S" and name.rpartition(":")[2] not in CSV_TYPES
        return name if is_plain or not self._has_types else f"{name}:{kind}"

    def _cell(self, waiting: str, kind: str) -> str:
        typed = json.loads(waiting)
        if not self._has_types:
            value = from_dynamodb_json(typed)
            return value if isinstance(value, str) else to_json(value).strip('"')
        if kind == "ANY":
            return waiting
        content: Any = typed[kind]
        return content if kind in ("S", "N", "B") else json.dumps(content, ensure_ascii=False)


def _kind_of_column(found: set[str]) -> str:
    if not found:  # of a key, in a table without items
        return "S"
    return next(iter(found)) if len(found) == 1 and _EMPTY not in found else "ANY"
