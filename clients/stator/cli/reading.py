"""Items out of files, one at a time: JSON of several shapes, JSON lines or CSV. Memory is bounded by the largest item.

JSON may be an array of items, an object of items, items one behind the other, or what `aws dynamodb scan` prints
({"Items": [...]}). Each item may be wrapped as in DynamoDB's own exports ({"Item": {...}}). Whether items are plain or
in DynamoDB's typed JSON shows in their keys: a key is a text, a number or bytes, never a map.

The header of a CSV file may say a column's type: year:N. Types are DynamoDB's, S if none is said: S, N, BOOL and NULL
as text, B as base64, SS, NS, BS, L and M as their content in typed JSON, and ANY for a column of several types, whose
cells are typed JSON, {"S": "x"}. Empty cells are attributes that an item does not have.
"""

import base64
import binascii
import contextlib
import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from stator.cli.exits import UsageError
from stator.cli.json_values import TYPES, from_dynamodb_json, parse_item, parse_json, read_number
from stator.values import Item, number_value

_CHUNK_CHARS = 256 * 1024
_ITEM_CHARS_MAX = 16 * 1024 * 1024
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_LINE_CHARS_MAX = 2 * 1024 * 1024  # as typed JSON an item has fewer
# What stands beside "Items" in the answer to a scan or query.
_BESIDE_ITEMS = {"Count", "ScannedCount", "ConsumedCapacity", "LastEvaluatedKey", "NextToken", "ResponseMetadata"}
FORMATS = ("json", "jsonl", "csv")
CSV_TYPES = TYPES | {"ANY"}
GZIP = ".gz"


@dataclass(frozen=True, slots=True)
class Row:
    """What stood at one place of the file: an item, or `problem`, a sentence that says why it is none."""

    place: str
    item: Item
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CsvTypes:
    """What the text in a CSV column becomes: by name; else guessed if `infers`; else text. Empty cells are left out."""

    by_name: Mapping[str, str]
    infers: bool

    def value(self, name: str, text: str, kind: str | None = None) -> Any:
        """`kind`: what the header says. Raises ValueError, which says what is wrong."""
        kind = self.by_name.get(name, kind)
        if kind == "BOOL":
            if text.lower() not in ("true", "false"):
                raise ValueError(f"{text!r} in column {name} is neither true nor false")
            return text.lower() == "true"
        if kind == "NULL":
            return None
        if kind is None and self.infers:
            if _NUMBER.fullmatch(text):
                return number_value(text)
            if text in ("true", "false"):
                return text == "true"
        if kind in (None, "S"):
            return text
        try:
            if kind in ("N", "B"):
                return read_number(text.strip()) if kind == "N" else base64.b64decode(text, validate=True)
            content = parse_json(text, "it")
            return from_dynamodb_json(content if kind == "ANY" else {kind: content})
        except (ArithmeticError, binascii.Error):
            raise ValueError(f"{text!r} in column {name} is not {'a number' if kind == 'N' else 'base64'}") from None
        except UsageError as error:
            raise ValueError(f"{text!r} in column {name} is not of type {kind}: {str(error).rstrip('.')}") from None


@dataclass(frozen=True, slots=True)
class ItemShape:
    """How items are written in JSON: `is_typed`, or None to see it by the key's attributes, `key_names`."""

    key_names: tuple[str, ...] = ()
    is_typed: bool | None = None

    def unwrapped(self, document: Any) -> Any:
        """Without the {"Item": ...} of DynamoDB's own exports, where it cannot be an attribute."""
        if isinstance(document, dict) and set(document) == {"Item"} and isinstance(document["Item"], dict):
            inner = document["Item"]
            if self.key_names:
                is_wrapped = "Item" not in self.key_names or "Item" in inner
            else:
                is_wrapped = bool(self.is_typed) and len(inner) != 1
            return inner if is_wrapped else document
        return document

    def is_item(self, document: dict[str, Any]) -> bool:
        """Whether an object is an item, and not one that has items in it."""
        if self.key_names:
            return any(name in self.unwrapped(document) for name in self.key_names)
        return set(document) == {"Item"} or not all(isinstance(value, dict) for value in document.values())

    def row(self, place: str, document: Any) -> Row:
        """The item in a document, or what is wrong with it."""
        document = self.unwrapped(document)
        is_typed = self.is_typed
        if is_typed is None:
            is_typed = isinstance(document, dict) and any(isinstance(document.get(n), dict) for n in self.key_names)
        try:
            return Row(place, parse_item(document, is_dynamodb_json=is_typed))
        except UsageError as error:
            return Row(place, {}, str(error))


def format_of(file: str, given: str | None) -> str:
    """ "json", "jsonl" or "csv", by the name of the file unless given. Raises UsageError."""
    if given is not None:
        if given not in FORMATS:
            raise UsageError(f"--format must be one of {', '.join(FORMATS)}, not {given!r}.")
        return given
    suffix = Path(file.removesuffix(GZIP)).suffix.lower().lstrip(".")
    if file == "-" or suffix == "ndjson":
        return "jsonl"
    if suffix not in FORMATS:
        raise UsageError(f"the format of {file} is not clear from its name: say --format json, jsonl or csv.")
    return suffix


def open_input(file: str) -> IO[str]:
    """The file, unpacked if it ends with .gz, or the standard input for "-". Raises UsageError."""
    if file == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(newline="")
        return sys.stdin
    try:
        if file.endswith(GZIP):
            return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
        return Path(file).open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from None


def read_rows(source: IO[str], file_format: str, shape: ItemShape, csv_types: CsvTypes) -> Iterator[Row]:
    """The rows of the file. A bad row is one with a `problem`; what makes reading on impossible raises UsageError."""
    with readable():
        if file_format == "csv":
            yield from _read_csv(source, csv_types)
        elif file_format == "jsonl":
            yield from _read_lines(enumerate(source, 1), shape)
        else:
            yield from _read_json(source, shape)


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """What is wrong with the bytes of a file that is read within this raises UsageError."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UsageError(f"the file is not UTF-8 text: {error}.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UsageError(f"the file cannot be unpacked: {error}.") from None


def _read_lines(lines: Iterable[tuple[int, str]], shape: ItemShape) -> Iterator[Row]:
    for number, line in lines:
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            document = parse_json(line, "it")
        except UsageError as error:
            yield Row(place, {}, str(error))
            continue
        yield shape.row(place, document)


def _read_json(source: IO[str], shape: ItemShape) -> Iterator[Row]:
    """Of whatever shape: what the first line has in it decides, or, if that is not a whole item, what comes first."""
    number = 1
    first = source.readline(_LINE_CHARS_MAX)
    while first and not first.strip():
        number += 1
        first = source.readline(_LINE_CHARS_MAX)
    if first.endswith(("\n", "\r")):
        try:
            document = parse_json(first.removeprefix("\ufeff"), "it")
        except UsageError:
            document = None
        if isinstance(document, dict) and shape.is_item(document):
            yield shape.row(f"line {number}", document)
            yield from _read_lines(enumerate(source, number + 1), shape)
            return
    yield from _read_documents(_Text(source, first), shape)


def _read_documents(text: "_Text", shape: ItemShape) -> Iterator[Row]:
    decoder = json.JSONDecoder(parse_float=Decimal)
    opening = text.peek_char()
    if opening == "[":
        yield from _read_array(text, decoder, shape)
        return
    if opening != "{":
        raise UsageError("the file is not JSON: an array of items, or items one behind the other.")
    document = text.peek_value(decoder)
    if not isinstance(document, dict) or not shape.is_item(document):
        yield from _read_object(text, decoder, shape)
        return
    number = 0
    while text.peek_char():
        number += 1
        yield shape.row(f"item {number}", text.decode(decoder, f"item {number}"))


def _read_array(text: "_Text", decoder: json.JSONDecoder, shape: ItemShape) -> Iterator[Row]:
    """The elements of a JSON array, decoded as they are read."""
    text.next_char()
    if text.peek_char() == "]":
        text.next_char()
        return
    number = 0
    while True:
        number += 1
        place = f"item {number}"
        yield shape.row(place, text.decode(decoder, place))
        if text.next_of(",]", place) == "]":
            return


def _read_object(text: "_Text", decoder: json.JSONDecoder, shape: ItemShape) -> Iterator[Row]:
    """An object of objects counts as an array of its values; the object of a scan's results as what is in "Items"."""
    text.next_char()
    if text.peek_char() == "}":
        return
    number = 0
    while True:
        number += 1
        place = f"item {number}"
        name = text.decode(decoder, place)
        if text.next_char() != ":":
            raise UsageError(f"the JSON is broken after {str(name)!r}: a colon is missing.")
        if name == "Items" and text.peek_char() == "[":
            yield from _read_array(text, decoder, shape)
        else:
            value = text.decode(decoder, place)
            if name not in _BESIDE_ITEMS or (isinstance(value, dict) and shape.is_item(value)):
                yield shape.row(place, value)
        if text.next_of(",}", place) == "}":
            return


class _Text:
    """A window on a long JSON text."""

    def __init__(self, source: IO[str], beginning: str = "") -> None:
        self._source = source
        self._buffer = beginning
        self._position = 0

    def peek_char(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            while self._position < len(self._buffer) and self._buffer[self._position] in " \t\r\n\ufeff":
                self._position += 1
            if self._position < len(self._buffer):
                return self._buffer[self._position]
            if not self._more(_CHUNK_CHARS):
                return ""

    def next_char(self) -> str:
        """As `peek_char`, and moves past it."""
        char = self.peek_char()
        self._position += len(char)
        return char

    def next_of(self, chars: str, place: str) -> str:
        """The next character, which must be one of these. Raises UsageError."""
        char = self.next_char()
        if not char or char not in chars:
            raise UsageError(f"the JSON is broken after {place}: {char!r} stands where a comma or {chars[-1]} must.")
        return char

    def peek_value(self, decoder: json.JSONDecoder) -> Any:
        """The JSON value that begins here, without moving past it; None if it is longer than an item can be."""
        self.peek_char()
        while True:
            try:
                return decoder.raw_decode(self._buffer, self._position)[0]
            except (ValueError, RecursionError):
                if len(self._buffer) - self._position > _LINE_CHARS_MAX or not self._more(_CHUNK_CHARS):
                    return None

    def decode(self, decoder: json.JSONDecoder, place: str) -> Any:
        """The JSON value that begins here. Raises UsageError."""
        self.peek_char()
        chunk_chars = _CHUNK_CHARS
        while True:
            try:
                value, end = decoder.raw_decode(self._buffer, self._position)
            except ValueError as error:
                problem = str(error)
            except RecursionError:
                raise UsageError(f"{place} is nested too deeply.") from None
            else:
                # A number at the very end of what was read may go on.
                if end < len(self._buffer) or not self._more(1):
                    self._position = end
                    return value
                continue
            # Twice as much each time, so that decoding again and again costs little more than once.
            too_long = len(self._buffer) - self._position > _ITEM_CHARS_MAX
            if too_long or not self._more(chunk_chars):
                raise UsageError(f"{place} is not JSON: {problem}.")
            chunk_chars *= 2

    def _more(self, chars: int) -> bool:
        chunk = self._source.read(chars)
        if not chunk:
            return False
        self._buffer = self._buffer[self._position :] + chunk
        self._position = 0
        return True


def _read_csv(source: IO[str], types: CsvTypes) -> Iterator[Row]:
    csv.field_size_limit(_ITEM_CHARS_MAX)
    reader = csv.reader(source)
    try:
        header = next(reader, None)
        if not header or not all(header) or len(set(header)) != len(header):
            raise UsageError("the first line of the CSV file must name every column, each once.")
        columns = [_column(cell) for cell in header]
        for cells in reader:
            if not cells:
                continue
            place = f"line {reader.line_num}"
            if len(cells) != len(header):
                yield Row(place, {}, f"it has {len(cells)} cells, and the first line names {len(header)} columns.")
                continue
            try:
                pairs = zip(columns, cells, strict=True)
                yield Row(place, {name: types.value(name, text, kind) for (name, kind), text in pairs if text})
            except ValueError as error:
                yield Row(place, {}, f"{error}.")
    except csv.Error as error:
        raise UsageError(f"line {reader.line_num} is not CSV: {error}.") from None


def _column(cell: str) -> tuple[str, str | None]:
    """(name, type or None) of a column. Only what stands behind the last colon can be a type."""
    name, colon, kind = cell.rpartition(":")
    return (name, kind) if colon and name and kind in CSV_TYPES else (cell, None)
