"""Transactions out of files: JSON objects, one for each item, in an array or one behind the other. Two shapes:

    {"put": "orders", "item": {"id": 7, "total": 30}, "if": "attribute_not_exists(id)"}
    {"update": "accounts", "key": {"id": "a"}, "add": {"balance": -30}, "if": "balance >= 30"}
    {"update": "accounts", "key": {"id": "b"}, "expression": "SET balance = balance + 30"}
    {"delete": "carts", "key": {"id": 12}}
    {"check": "customers", "key": {"id": 12}, "if": "blocked = false"}
    {"get": "accounts", "key": {"id": "a"}, "select": "id, balance"}

in which conditions and expressions are as `stator.cli.literals` has them and names may be paths; and DynamoDB's own,
{"Put": {"TableName": "orders", "Item": {"id": {"N": "7"}}}} and so on, by themselves or as "TransactItems" of a whole
request. What such a request asks to be returned besides is passed over.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from stator.cli.exits import UsageError
from stator.cli.items import read_path, read_paths
from stator.cli.json_values import from_dynamodb_json, parse_item, refuse_constant
from stator.cli.literals import CONDITION_WORDS, UPDATE_WORDS, with_placeholders
from stator.cli.output import to_json
from stator.cli.reading import open_input, readable
from stator.expressions import Placeholders, projection_text
from stator.expressions import update as new_update
from stator.transaction_members import (
    TransactCheck,
    TransactDelete,
    TransactGet,
    TransactPut,
    TransactUpdate,
    TransactWrite,
)

FILE_CHARS_MAX = 64 * 1024 * 1024
MEMBERS_MAX = 100
_SHOWN_CHARS = 60
_CHANGES = ("set", "set_if_absent", "add", "delete")
_KNOWN: dict[str, tuple[str, ...]] = {
    "put": ("item", "if"),
    "update": ("key", *_CHANGES, "remove", "expression", "if"),
    "delete": ("key", "if"),
    "check": ("key", "if"),
    "get": ("key", "select"),
}
_EXPRESSIONS = ("ExpressionAttributeNames", "ExpressionAttributeValues", "ReturnValuesOnConditionCheckFailure")
_KNOWN_DYNAMODB: dict[str, tuple[str, ...]] = {
    "Put": ("TableName", "Item", "ConditionExpression", *_EXPRESSIONS),
    "Update": ("TableName", "Key", "UpdateExpression", "ConditionExpression", *_EXPRESSIONS),
    "Delete": ("TableName", "Key", "ConditionExpression", *_EXPRESSIONS),
    "ConditionCheck": ("TableName", "Key", "ConditionExpression", *_EXPRESSIONS),
    "Get": ("TableName", "Key", "ProjectionExpression", "ExpressionAttributeNames"),
}
_KNOWN_BESIDE = ("TransactItems", "ClientRequestToken", "ReturnConsumedCapacity", "ReturnItemCollectionMetrics")


@dataclass(frozen=True, slots=True)
class TransactionFile:
    """What a file asks for: writes or reads, never both. `places`: what to call each of them where it goes wrong.

    `placeholders`: of all expressions, each name and value once. `token`: the file's own, if it has one.
    """

    writes: list[TransactWrite] = field(default_factory=list)
    gets: list[TransactGet] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    placeholders: Placeholders = field(default_factory=Placeholders)
    token: str | None = None


def read_transaction(file: str, *, is_dynamodb_json: bool) -> TransactionFile:
    """What the file, or for "-" the standard input, asks for. Raises UsageError."""
    with readable(), contextlib.closing(open_input(file)) as source:
        text = source.read(FILE_CHARS_MAX + 1)
    if len(text) > FILE_CHARS_MAX:
        raise UsageError(f"{file} is longer than any transaction: at most {FILE_CHARS_MAX:,} characters are read.")
    return parse_transaction(text, is_dynamodb_json=is_dynamodb_json)


def parse_transaction(text: str, *, is_dynamodb_json: bool) -> TransactionFile:
    """What a text asks for. Raises UsageError."""
    documents = _documents(text)
    token = None
    if len(documents) == 1 and isinstance(documents[0], dict) and "TransactItems" in documents[0]:
        request = documents[0]
        _check_known(request, _KNOWN_BESIDE, "in the request")
        documents, token = request["TransactItems"], request.get("ClientRequestToken")
        if token is not None and not isinstance(token, str):
            raise UsageError("ClientRequestToken is a text.")
    elif len(documents) == 1 and isinstance(documents[0], list):
        documents = documents[0]
    if not isinstance(documents, list) or not documents:
        raise UsageError('there is nothing to do: a transaction is a JSON array, such as [{"put": TABLE, "item": {}}].')
    if len(documents) > MEMBERS_MAX:
        raise UsageError(f"there are {len(documents):,} members: a transaction has at most {MEMBERS_MAX}.")
    made = TransactionFile(token=token)
    for number, document in enumerate(documents, 1):
        try:
            member = _Member(document, made.placeholders, is_dynamodb_json).read()
        except UsageError as error:
            raise UsageError(f"member {number}: {error}") from None
        if isinstance(member, TransactGet):
            made.gets.append(member)
        else:
            made.writes.append(member)
        made.places.append(f"{number} {_shown(member)}")
        if made.gets and made.writes:
            raise UsageError(f"member {number}: a transaction reads or writes, not both.")
    return made


def _documents(text: str) -> list[Any]:
    """The JSON documents in a text, one behind the other."""
    decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=refuse_constant)
    documents = []
    position = 0
    while rest := re.compile(r"[^\s\ufeff]").search(text, position):
        try:
            document, position = decoder.raw_decode(text, rest.start())
        except ValueError as error:
            raise UsageError(f"this is not JSON: {error}.") from None
        except RecursionError:
            raise UsageError("this is nested too deeply.") from None
        documents.append(document)
    return documents


def _shown(member: TransactWrite | TransactGet) -> str:
    """Such as: update accounts {"id": "a"}."""
    word = type(member).__name__.removeprefix("Transact").lower()
    shown = to_json(member.item if isinstance(member, TransactPut) else member.key)
    return f"{word} {member.table} {shown if len(shown) <= _SHOWN_CHARS else shown[: _SHOWN_CHARS - 1] + '…'}"


class _Member:
    """One member's JSON, of either shape."""

    def __init__(self, document: Any, placeholders: Placeholders, is_dynamodb_json: bool) -> None:
        self._document = document
        self._placeholders = placeholders
        self._is_typed = is_dynamodb_json

    def read(self) -> TransactWrite | TransactGet:
        document = self._document
        if not isinstance(document, dict):
            raise UsageError('it must be an object, such as {"put": TABLE, "item": {}}.')
        ours = [word for word in _KNOWN if isinstance(document.get(word), str)]
        theirs = [word for word in _KNOWN_DYNAMODB if word in document]
        if len(ours) == 1 and not theirs:
            _check_known(document, (ours[0], *_KNOWN[ours[0]]), f'beside "{ours[0]}"')
            return self._read_ours(ours[0])
        if len(theirs) == 1 and len(document) == 1 and isinstance(document[theirs[0]], dict):
            _check_known(document[theirs[0]], _KNOWN_DYNAMODB[theirs[0]], f"in {theirs[0]}")
            return _read_dynamodb(theirs[0], document[theirs[0]])
        raise UsageError(f"it must name a table once, as one of {', '.join(_KNOWN)}, or be one of DynamoDB's.")

    def _read_ours(self, word: str) -> TransactWrite | TransactGet:
        table = self._document[word]
        if word == "get":
            return self._read_get(table)
        condition = self._expression("if", CONDITION_WORDS)
        options: dict[str, Any] = {}
        if condition is not None:
            options = {"condition": condition, "return_values_on_condition_check_failure": "ALL_OLD"}
        if word == "put":
            return TransactPut(table, self._item("item"), **options, **self._used(condition))
        key = self._item("key")
        if word == "update":
            change = self._update()
            if change is None:
                raise UsageError('"update" needs something to change: "set", "add", "remove" or others, see --help.')
            return TransactUpdate(table, key, change, **options, **self._used(condition, change))
        if word == "delete":
            return TransactDelete(table, key, **options, **self._used(condition))
        if condition is None:
            raise UsageError('"check" needs an "if".')
        return TransactCheck(table, key, **options, **self._used(condition))

    def _read_get(self, table: str) -> TransactGet:
        select = self._text("select")
        projection = projection_text(read_paths(select, '"select"'), self._placeholders) or None
        names = self._used(projection)["names"] or None
        return TransactGet(table, self._item("key"), projection=projection, names=names)

    def _update(self) -> str | None:
        expression = self._expression("expression", UPDATE_WORDS)
        change = new_update()
        for method in _CHANGES:
            values = self._document.get(method, {})
            if not isinstance(values, dict):
                raise UsageError(f'"{method}" is an object of attributes and their values.')
            for name, value in values.items():
                change = getattr(change, method)(read_path(name, f'"{method}"'), self._value(value, method))
        removed = self._document.get("remove", [])
        if not isinstance(removed, list) or not all(isinstance(name, str) for name in removed):
            raise UsageError('"remove" is an array of attributes.')
        change = change.remove(*(read_path(name, '"remove"') for name in removed))
        if expression is not None:
            if change:
                raise UsageError('give "expression", or "set", "add", "remove" and "delete", not both.')
            return expression
        return change.text(self._placeholders) or None

    def _value(self, value: Any, method: str) -> Any:
        if self._is_typed:
            value = from_dynamodb_json(value)
        if method not in ("add", "delete") or isinstance(value, set):
            return value
        if isinstance(value, list):  # there is nothing but a set that it could be here
            with contextlib.suppress(TypeError):
                return set(value)
        elif method == "add" and isinstance(value, int | Decimal) and not isinstance(value, bool):
            return value
        needed = "a number, or an array of a set's elements" if method == "add" else "an array of a set's elements"
        raise UsageError(f'"{method}" needs {needed}.')

    def _item(self, word: str) -> dict[str, Any]:
        if word not in self._document:
            raise UsageError(f'"{word}" is missing.')
        return parse_item(self._document[word], is_dynamodb_json=self._is_typed)

    def _text(self, word: str) -> str | None:
        text = self._document.get(word)
        if text is not None and not isinstance(text, str):
            raise UsageError(f'"{word}" is a text.')
        return text

    def _expression(self, word: str, words: frozenset[str]) -> str | None:
        text = self._text(word)
        return None if text is None else with_placeholders(text, words, self._placeholders, f'"{word}"')

    def _used(self, *texts: str | None) -> dict[str, Any]:
        """The names and values that these texts have placeholders of."""
        used = {token for text in texts if text for token in re.findall(r"[#:][nv]\d+", text)}
        names, values = self._placeholders.names, self._placeholders.values
        return {
            "names": {token: names[token] for token in names if token in used},
            "values": {token: values[token] for token in values if token in used},
        }


def _read_dynamodb(word: str, content: dict[str, Any]) -> TransactWrite | TransactGet:
    table = content.get("TableName")
    if not isinstance(table, str):
        raise UsageError(f"TableName is missing in {word}.")
    what = "Item" if word == "Put" else "Key"
    if what not in content:
        raise UsageError(f"{what} is missing in {word}.")
    item = parse_item(content[what], is_dynamodb_json=True)
    for name in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        if not isinstance(content.get(name, {}), dict):
            raise UsageError(f"{name} is an object.")
    names = content.get("ExpressionAttributeNames")
    if word == "Get":
        return TransactGet(table, item, projection=_dynamodb_text(content, "ProjectionExpression"), names=names)
    values: Mapping[str, Any] = parse_item(content.get("ExpressionAttributeValues", {}), is_dynamodb_json=True)
    returned: Literal["NONE", "ALL_OLD"] = content.get("ReturnValuesOnConditionCheckFailure", "ALL_OLD")
    options: dict[str, Any] = {
        "condition": _dynamodb_text(content, "ConditionExpression"),
        "names": names,
        "values": values,
        "return_values_on_condition_check_failure": returned,
    }
    if word == "Put":
        return TransactPut(table, item, **options)
    if word == "Update":
        return TransactUpdate(table, item, _dynamodb_text(content, "UpdateExpression"), **options)
    return (TransactDelete if word == "Delete" else TransactCheck)(table, item, **options)


def _dynamodb_text(content: dict[str, Any], name: str) -> str | None:
    text = content.get(name)
    if text is not None and not (isinstance(text, str) and text):
        raise UsageError(f"{name} is a text.")
    return text


def _check_known(document: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for word in document:
        if word not in known:
            raise UsageError(f'"{word}" is not known {where}: there are {", ".join(known)}.')
