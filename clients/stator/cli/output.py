"""Printing: tables for people, JSON for scripts."""

import base64
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


class OutputFormat(StrEnum):
    """What `--output` takes."""

    TABLE = "table"
    JSON = "json"


def console(*, is_error: bool = False) -> "Console":
    """Where tables and messages go; plain text when it is not a terminal."""
    from rich.console import Console

    stream = sys.stderr if is_error else sys.stdout
    return Console(file=stream, highlight=False, soft_wrap=not stream.isatty())


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = (), as_they_are: bool = False
) -> None:
    """A table without frames, its headings in capitals or `as_they_are`; columns named in `right` are aligned to it."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(columns, *cells, strict=True)]
    aligned_right = [name in set(right) for name in columns]
    headings = [name if as_they_are else name.upper() for name in columns]
    for line in [headings, *cells]:
        padded = [t.rjust(w) if r else t.ljust(w) for t, w, r in zip(line, widths, aligned_right, strict=True)]
        print("  ".join(padded).rstrip())


def print_json(value: object) -> None:
    """Indented JSON. Numbers keep every digit; bytes become base64 text, sets become lists."""
    print(to_json(value, indent=2))


def to_json(value: object, indent: int | None = None, _level: int = 0) -> str:
    """JSON text of native values. Decimal keeps every digit; bytes become base64 text, sets become sorted lists."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return json.dumps(base64.b64encode(value).decode("ascii"))
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if isinstance(value, Mapping):
        parts = [f"{json.dumps(k, ensure_ascii=False)}: {to_json(v, indent, _level + 1)}" for k, v in value.items()]
        return _wrapped("{", parts, "}", indent, _level)
    if isinstance(value, list | tuple):
        return _wrapped("[", [to_json(part, indent, _level + 1) for part in value], "]", indent, _level)
    return json.dumps(value, ensure_ascii=False)


def _wrapped(opening: str, parts: Sequence[str], closing: str, indent: int | None, level: int) -> str:
    if indent is None or not parts:
        return opening + ", ".join(parts) + closing
    inner = "\n" + " " * (indent * (level + 1))
    return opening + inner + ("," + inner).join(parts) + "\n" + " " * (indent * level) + closing


def format_bytes(count: int) -> str:
    """12.3 MB, in steps of 1024."""
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def rows_of(entries: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> list[list[Any]]:
    """The columns of dictionaries, as rows."""
    return [[entry.get(column) for column in columns] for entry in entries]
