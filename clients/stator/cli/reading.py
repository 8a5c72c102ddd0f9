"""Items out of files, one at a time: a JSON array, JSON lines or CSV. Memory stays bounded by the largest item."""

import base64
import binascii
import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from stator.cli.exits import UsageError
from stator.cli.json_values import parse_item, parse_json, read_number
from stator.values import Item, number_value

_CHUNK_CHARS = 256 * 1024
_ITEM_CHARS_MAX = 16 * 1024 * 1024
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
FORMATS = ("json", "jsonl", "csv")


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

    def value(self, name: str, text: str) -> Any:
        """Raises ValueError, which says what is wrong."""
        kind = self.by_name.get(name)
        try:
            if kind == "N":
                return read_number(text.strip())
            if kind == "B":
                return base64.b64decode(text, validate=True)
        except (ArithmeticError, binascii.Error):
            raise ValueError(f"{text!r} in column {name} is not {'a number' if kind == 'N' else 'base64'}") from None
        if kind == "BOOL":
            if text.lower() not in ("true", "false"):
                raise ValueError(f"{text!r} in column {name} is neither true nor false")
            return text.lower() == "true"
        if kind is None and self.infers:
            if _NUMBER.fullmatch(text):
                return number_value(text)
            if text in ("true", "false"):
                return text == "true"
        return text


def format_of(file: str, given: str | None) -> str:
    """ "json", "jsonl" or "csv", by the name of the file unless given. Raises UsageError."""
    if given is not None:
        if given not in FORMATS:
            raise UsageError(f"--format must be one of {', '.join(FORMATS)}, not {given!r}.")
        return given
    suffix = Path(file).suffix.lower().lstrip(".")
    if file == "-" or suffix == "ndjson":
        return "jsonl"
    if suffix not in FORMATS:
        raise UsageError(f"the format of {file} is not clear from its name: say --format json, jsonl or csv.")
    return suffix


def open_input(file: str) -> IO[str]:
    """The file, or the standard input for "-". Raises UsageError."""
    if file == "-":
        return sys.stdin
    try:
        return Path(file).open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from None


def read_rows(source: IO[str], file_format: str, *, is_dynamodb_json: bool, csv_types: CsvTypes) -> Iterator[Row]:
    """The rows of the file. A bad row is one with a `problem`; what makes reading on impossible raises UsageError."""
    try:
        if file_format == "csv":
            yield from _read_csv(source, csv_types)
        elif file_format == "jsonl":
            yield from _read_lines(source, is_dynamodb_json)
        else:
            yield from _read_array(source, is_dynamodb_json)
    except UnicodeDecodeError as error:
        raise UsageError(f"the file is not UTF-8 text: {error}.") from None


def _row(place: str, document: Any, is_dynamodb_json: bool) -> Row:
    try:
        # The format of DynamoDB's own exports: {"Item": {...}}.
        if is_dynamodb_json and isinstance(document, dict) and set(document) == {"Item"} and len(document["Item"]) != 1:
            document = document["Item"]
        return Row(place, parse_item(document, is_dynamodb_json=is_dynamodb_json))
    except UsageError as error:
        return Row(place, {}, str(error))


def _read_lines(source: IO[str], is_dynamodb_json: bool) -> Iterator[Row]:
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            document = parse_json(line, "it")
        except UsageError as error:
            yield Row(place, {}, str(error))
            continue
        yield _row(place, document, is_dynamodb_json)


def _read_array(source: IO[str], is_dynamodb_json: bool) -> Iterator[Row]:
    """The elements of a JSON array, decoded as they are read; an object of objects counts as an array of its values."""
    decoder = json.JSONDecoder(parse_float=Decimal)
    text = _Text(source)
    opening = text.next_char()
    if opening not in ("[", "{"):
        raise UsageError("the file is not a JSON array of items; for one item a line say --format jsonl.")
    closing = "]" if opening == "[" else "}"
    number = 0
    if text.peek_char() == closing:
        return
    while True:
        number += 1
        place = f"item {number}"
        if opening == "{":
            name = text.decode(decoder, place)
            if text.next_char() != ":":
                raise UsageError(f"the JSON is broken after {str(name)!r}: a colon is missing.")
        yield _row(place, text.decode(decoder, place), is_dynamodb_json)
        after = text.next_char()
        if after == closing:
            return
        if after != ",":
            raise UsageError(f"the JSON is broken after {place}: {after!r} stands where a comma or {closing} must.")


class _Text:
    """A window on a long JSON text."""

    def __init__(self, source: IO[str]) -> None:
        self._source = source
        self._buffer = ""
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
        for cells in reader:
            if not cells:
                continue
            place = f"line {reader.line_num}"
            if len(cells) != len(header):
                yield Row(place, {}, f"it has {len(cells)} cells, and the first line names {len(header)} columns.")
                continue
            try:
                pairs = zip(header, cells, strict=True)
                yield Row(place, {name: types.value(name, text) for name, text in pairs if text})
            except ValueError as error:
                yield Row(place, {}, f"{error}.")
    except csv.Error as error:
        raise UsageError(f"line {reader.line_num} is not CSV: {error}.") from None
