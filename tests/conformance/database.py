"""One endpoint that speaks DynamoDB's protocol, through boto3: a cluster of this checkout, or any other (`--endpoint`).

The suite's files about item operations use nothing else, so that they can be run against whatever claims to be a
DynamoDB. Native values keep the cases short: `typed({"n": 1})` is `{"n": {"N": "1"}}`.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

Native = Any
"""str (S), int and Decimal (N), bytes (B), bool, None (NULL), list (L), dict (M), set of str, int, Decimal or bytes."""

VALIDATION = "ValidationException"
FAILED = "ConditionalCheckFailedException"
CONDITION_FAILED = "The conditional request failed"
NO_TABLE = "Requested resource not found"
KEY_MISMATCH = "The provided key element does not match the schema"
INVALID = "One or more parameter values were invalid: "

INDEXES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("a", "S", {"ProjectionType": "ALL"}),
    ("n", "N", {"ProjectionType": "KEYS_ONLY"}),
    ("b", "B", {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x", "y"]}),
)
"""Local indexes: (sort key, its type, projection); an index is called by-KEY."""

GLOBAL_INDEXES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("by-g", "g", "h", {"ProjectionType": "ALL"}),
    ("by-g-alone", "g", "", {"ProjectionType": "KEYS_ONLY"}),
    ("by-h", "h", "b", {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x", "y"]}),
    ("by-many", "g c", "d h", {"ProjectionType": "ALL"}),
)
"""Global indexes: (name, what is hashed, what entries are ordered by, projection). Attributes g, c and d are strings, h
is a number, b is binary."""

ACCESS_KEY_ID = os.environ.get("AWS_ACCESS_KEY_ID", "any")
SECRET_ACCESS_KEY = os.environ.get("AWS_SECRET_ACCESS_KEY", "any")
"""For servers of others that verify signatures."""

_ENVELOPE = re.compile(r"^1 validation error detected: (?!Value (null|at|')|Failed to satisfy)")
"""What some regions of the original put before messages that others send bare (seen since 2026)."""


class Refusal(NamedTuple):
    """An error; its message without the envelope that differs from region to region."""

    code: str
    message: str


class Database:
    """A client, and tables that are created when the first test asks for them. Tests share them: keys of their own, and
    nothing is cleaned up."""

    def __init__(self, endpoint: str) -> None:
        self.client, self.streams = client_of("dynamodb", endpoint), client_of("dynamodbstreams", endpoint)
        self._tables: dict[str, str] = {}

    def close(self) -> None:
        self.client.close()
        self.streams.close()

    # Tables

    @property
    def plain(self) -> str:
        """Key pk (S)."""
        return self.table("plain", pk="S")

    @property
    def sorted(self) -> str:
        """Key pk (S), sk (S)."""
        return self.table("sorted", pk="S", sk="S")

    @property
    def numbered(self) -> str:
        """Key pk (S), sk (N)."""
        return self.table("numbered", pk="S", sk="N")

    @property
    def binary(self) -> str:
        """Key pk (S), sk (B)."""
        return self.table("binary", pk="S", sk="B")

    @property
    def scanned(self) -> str:
        """Key pk (S), sk (N). Of one file alone, which knows all of its items."""
        return self.table("scanned", pk="S", sk="N")

    @property
    def indexed(self) -> str:
        """Key pk (S), sk (S); local indexes by-a (a: S, ALL), by-n (n: N, KEYS_ONLY) and by-b (b: B, INCLUDE x, y)."""
        indexes = [
            {
                "IndexName": f"by-{name}",
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": name, "KeyType": "RANGE"},
                ],
                "Projection": projection,
            }
            for name, _, projection in INDEXES
        ]
        definitions = [{"AttributeName": name, "AttributeType": kind} for name, kind, _ in INDEXES]
        return self.table("indexed", pk="S", sk="S", definitions=definitions, LocalSecondaryIndexes=indexes)

    @property
    def searched(self) -> str:
        """Key pk (S), sk (S); global indexes as in GLOBAL_INDEXES."""
        indexes = [
            {
                "IndexName": name,
                "KeySchema": [
                    {"AttributeName": each, "KeyType": kind}
                    for names, kind in ((hashed, "HASH"), (sorted_by, "RANGE"))
                    for each in names.split()
                ],
                "Projection": projection,
            }
            for name, hashed, sorted_by, projection in GLOBAL_INDEXES
        ]
        definitions = [
            {"AttributeName": name, "AttributeType": kind}
            for kind, names in (("S", "gcd"), ("N", "h"), ("B", "b"))
            for name in names
        ]
        return self.table("searched", pk="S", sk="S", definitions=definitions, GlobalSecondaryIndexes=indexes)

    def table(self, alias: str, definitions: list[dict[str, str]] | None = None, **parameters: Any) -> str:
        """The name of a table of this run, active. `pk`, `sk`: the types of its key; others are CreateTable's."""
        if alias not in self._tables:
            name = f"{alias}-{uuid.uuid4().hex[:12]}"
            keys = {each: parameters.pop(each) for each in ("pk", "sk") if each in parameters}
            self.client.create_table(
                TableName=name,
                KeySchema=[{"AttributeName": key, "KeyType": "HASH" if key == "pk" else "RANGE"} for key in keys],
                AttributeDefinitions=[
                    *({"AttributeName": key, "AttributeType": kind} for key, kind in keys.items()),
                    *(definitions or []),
                ],
                BillingMode="PAY_PER_REQUEST",
                **parameters,
            )
            self.client.get_waiter("table_exists").wait(
                TableName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400}
            )
            self._tables[alias] = name
        return self._tables[alias]

    def adopt(self, alias: str, name: str) -> None:
        """A table that somebody else has made."""
        self._tables[alias] = name

    # Items, in native values

    def put(self, table: str, *items: dict[str, Native]) -> None:
        for item in items:
            self.client.put_item(TableName=table, Item=typed(item))

    def get(self, table: str, key: dict[str, Native]) -> dict[str, Native] | None:
        """Read strongly consistently; None: there is none."""
        answer = self.client.get_item(TableName=table, Key=typed(key_of(key)), ConsistentRead=True)
        return native(answer["Item"]) if "Item" in answer else None

    def update(self, table: str, key: dict[str, Native], expression: str, **values: Native) -> Any:
        """UpdateItem; `values` by the names of their placeholders, without the colon; the answer."""
        return self.client.update_item(
            TableName=table, Key=typed(key_of(key)), UpdateExpression=expression, **placeholders(values)
        )

    def query(self, table: str, condition: str, values: Mapping[str, Native], **parameters: Any) -> Any:
        """Query with a key condition, strongly consistent unless it is said; `values` as for `update`; the answer."""
        given = {"ConsistentRead": True, **parameters}
        return self.client.query(TableName=table, KeyConditionExpression=condition, **placeholders(values), **given)

    def refusal(self, operation: str, **parameters: Any) -> Refusal | None:
        """How an operation ("put_item") is refused; None: it is carried out."""
        try:
            getattr(self.client, operation)(**parameters)
        except ClientError as error:
            return refusal_of(error)
        return None


def client_of(service: str, endpoint: str) -> Any:
    """A client that leaves all checks to the server, and repeats nothing."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False, read_timeout=30),
    )


def refusal_of(error: ClientError) -> Refusal:
    content = error.response["Error"]
    return Refusal(content["Code"], _ENVELOPE.sub("", content["Message"]))


def invalid(message: str) -> Refusal:
    """`message` without the envelope."""
    return Refusal(VALIDATION, message)


def unique(prefix: str = "k") -> str:
    """A key that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:16]}"


def key_of(item: Mapping[str, Native]) -> dict[str, Native]:
    return {name: value for name, value in item.items() if name in ("pk", "sk")}


def placeholders(values: Mapping[str, Native]) -> dict[str, Any]:
    """ExpressionAttributeValues, or nothing if there are none."""
    return {"ExpressionAttributeValues": typed({f":{name}": value for name, value in values.items()})} if values else {}


# Native values and DynamoDB's typed ones


def typed(item: Mapping[str, Native]) -> dict[str, Any]:
    return {name: typed_value(value) for name, value in item.items()}


def typed_value(value: Native) -> dict[str, Any]:
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int | Decimal):
        return {"N": str(value)}
    if isinstance(value, bytes):
        return {"B": value}
    if isinstance(value, list):
        return {"L": [typed_value(each) for each in value]}
    if isinstance(value, dict):
        return {"M": typed(value)}
    assert isinstance(value, set | frozenset) and value, value
    ((kind, _),) = typed_value(next(iter(value))).items()
    return {f"{kind}S": [typed_value(each)[kind] for each in sorted(value)]}


def native(item: Mapping[str, Any]) -> dict[str, Native]:
    return {name: native_value(value) for name, value in item.items()}


def native_value(value: Mapping[str, Any]) -> Native:
    ((kind, content),) = value.items()
    if kind == "N":
        return native_number(content)
    if kind == "NULL":
        assert content is True
        return None
    if kind == "L":
        return [native_value(each) for each in content]
    if kind == "M":
        return native(content)
    if kind == "NS":
        return {native_number(each) for each in content}
    return set(content) if kind in ("SS", "BS") else content


def native_number(text: str) -> int | Decimal:
    return int(text) if re.fullmatch(r"-?\d{1,40}", text) else Decimal(text)


def natives(items: list[dict[str, Any]]) -> list[dict[str, Native]]:
    return [native(item) for item in items]
