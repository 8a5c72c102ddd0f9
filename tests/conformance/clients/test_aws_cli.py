"""The AWS command line: every operation of the data model as a user types it, and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.clients.conftest import Server
from tests.conformance.database import unique

AWS = Path(sys.executable).parent / "aws"

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not AWS.exists(), reason="no AWS command line beside this Python: `make` installs it"),
]

TIMEOUT_S = 60


_COMMANDS = """
import contextlib, io, json, sys
from awscli.clidriver import create_clidriver
for line in sys.stdin:
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = create_clidriver().main(json.loads(line))
    print(json.dumps([code, output.getvalue(), errors.getvalue()]), flush=True)
"""
"""`aws` without its start for every command, which takes longer than all that the commands do."""


class CommandLine:
    """Runs commands of `aws dynamodb`, all in one process. Arguments that are no strings are given as JSON."""

    def __init__(self, server: Server) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _COMMANDS],
            env=environment(server),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        self._process.communicate(timeout=TIMEOUT_S)

    def _run(self, command: str, arguments: tuple[Any, ...]) -> tuple[int, str, str]:
        words = [each if isinstance(each, str) else json.dumps(each) for each in arguments]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(["dynamodb", *command.split(), *words]) + "\n")
        self._process.stdin.flush()
        code, output, errors = json.loads(self._process.stdout.readline())
        return code, output.strip(), errors.strip()

    def __call__(self, command: str, *arguments: Any) -> Any:
        """What the command prints; None if that is nothing."""
        code, output, errors = self._run(command, arguments)
        assert code == 0, errors
        return json.loads(output) if output else None

    def error(self, command: str, *arguments: Any) -> str:
        code, output, errors = self._run(command, arguments)
        assert code != 0, output
        return errors


def environment(server: Server) -> dict[str, str]:
    return {**os.environ, **server.environment, "AWS_DEFAULT_OUTPUT": "json"}


@pytest.fixture(scope="module")
def aws(server: Server) -> Iterator[CommandLine]:
    opened = CommandLine(server)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def music(aws: CommandLine, server: Server) -> str:
    """A table with the key Artist, SongTitle and the local indexes by-album and by-year; nine songs are in it."""
    name = unique("Music")
    created = aws(
        "create-table",
        *("--table-name", name),
        *("--attribute-definitions", "AttributeName=Artist,AttributeType=S", "AttributeName=SongTitle,AttributeType=S"),
        *("AttributeName=AlbumTitle,AttributeType=S", "AttributeName=ReleaseYear,AttributeType=N"),
        *("--key-schema", "AttributeName=Artist,KeyType=HASH", "AttributeName=SongTitle,KeyType=RANGE"),
        "--local-secondary-indexes",
        "IndexName=by-album,KeySchema=[{AttributeName=Artist,KeyType=HASH},{AttributeName=AlbumTitle,KeyType=RANGE}],"
        "Projection={ProjectionType=INCLUDE,NonKeyAttributes=[Genre]}",
        "IndexName=by-year,KeySchema=[{AttributeName=Artist,KeyType=HASH},{AttributeName=ReleaseYear,KeyType=RANGE}],"
        "Projection={ProjectionType=KEYS_ONLY}",
        *("--billing-mode", "PAY_PER_REQUEST", "--tags", "Key=team,Value=core"),
    )["TableDescription"]
    assert created["TableStatus"] == "CREATING"
    server.wait_active(name)
    assert aws("wait table-exists", "--table-name", name) is None
    for first in (0, 5):
        requests = [{"PutRequest": {"Item": song(number)}} for number in range(first, min(first + 5, 9))]
        assert aws("batch-write-item", "--request-items", {name: requests})["UnprocessedItems"] == {}
    return name


def song(number: int) -> dict[str, Any]:
    """Three artists' songs in turn: S0 of A0, S1 of A1, ... from 2000 backwards."""
    return {
        "Artist": {"S": f"A{number % 3}"},
        "SongTitle": {"S": f"S{number}"},
        "AlbumTitle": {"S": f"Album {9 - number}"},
        "ReleaseYear": {"N": str(2000 - number)},
        "Genre": {"S": "Rock" if number % 2 else "Folk"},
        "Plays": {"N": "0"},
    }


def key(number: int) -> dict[str, Any]:
    return {name: song(number)[name] for name in ("Artist", "SongTitle")}


def titles(answer: Any) -> list[str]:
    return [item["SongTitle"]["S"] for item in answer["Items"]]


def test_tables(aws: CommandLine, server: Server) -> None:
    """Creation, change, protection, tags, time to live and deletion of a table."""
    name = unique("cli")
    arn = aws(
        *("create-table", "--table-name", name, "--key-schema", "AttributeName=pk,KeyType=HASH"),
        *("--attribute-definitions", "AttributeName=pk,AttributeType=B"),
        *("--provisioned-throughput", "ReadCapacityUnits=5,WriteCapacityUnits=6"),
    )["TableDescription"]["TableArn"]
    server.wait_active(name)
    table = ("--table-name", name)
    assert name in aws("list-tables")["TableNames"]

    changed = aws("update-table", *table, "--billing-mode", "PAY_PER_REQUEST", "--deletion-protection-enabled")
    assert changed["TableDescription"]["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    server.wait_active(name)
    described = aws("describe-table", *table)["Table"]
    assert (described["TableStatus"], described["DeletionProtectionEnabled"]) == ("ACTIVE", True)
    assert "protected against deletion" in aws.error("delete-table", *table)

    assert aws("tag-resource", "--resource-arn", arn, "--tags", "Key=a,Value=1", "Key=b,Value=") is None
    assert aws("untag-resource", "--resource-arn", arn, "--tag-keys", "a") is None
    assert aws("list-tags-of-resource", "--resource-arn", arn) == {"Tags": [{"Key": "b", "Value": ""}]}

    aws("update-time-to-live", *table, "--time-to-live-specification", "Enabled=true,AttributeName=expires")
    described = aws("describe-time-to-live", *table)["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}

    aws("update-table", *table, "--no-deletion-protection-enabled")
    assert aws("delete-table", *table)["TableDescription"]["TableStatus"] == "DELETING"
    server.wait_gone(name)
    assert aws("wait table-not-exists", *table) is None
    assert aws.error("describe-table", *table) == (
        "An error occurred (ResourceNotFoundException) when calling the DescribeTable operation: "
        f"Requested resource not found: Table: {name} not found"
    )


def test_the_executable(server: Server) -> None:
    """`aws` itself, with the address as an option."""
    done = subprocess.run(
        [str(AWS), "dynamodb", "describe-limits", "--endpoint-url", server.url, "--output", "text"],
        env={name: value for name, value in environment(server).items() if name != "AWS_ENDPOINT_URL"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["80000", "80000", "40000", "40000"]


def test_limits_and_endpoints(aws: CommandLine, server: Server) -> None:
    assert aws("describe-limits")["TableMaxReadCapacityUnits"] == 40_000
    assert [each["Address"] for each in aws("describe-endpoints")["Endpoints"]] == [server.url.removeprefix("http://")]


def test_single_items(aws: CommandLine, music: str) -> None:
    table, item = ("--table-name", music), {**song(1), "SongTitle": {"S": "New"}, "Tags": {"SS": ["a", "b"]}}
    identity = {name: item[name] for name in ("Artist", "SongTitle")}
    capacity = ("--return-consumed-capacity", "INDEXES")
    put = aws("put-item", *table, "--item", item, *capacity, "--return-item-collection-metrics", "SIZE")
    assert put["ConsumedCapacity"] == {
        "TableName": music,
        "CapacityUnits": 3.0,
        "Table": {"CapacityUnits": 1.0},
        "LocalSecondaryIndexes": {"by-album": {"CapacityUnits": 1.0}, "by-year": {"CapacityUnits": 1.0}},
    }
    assert put["ItemCollectionMetrics"]["ItemCollectionKey"] == {"Artist": item["Artist"]}
    assert aws("get-item", *table, "--key", identity, "--consistent-read") == {"Item": item}
    assert aws.error("put-item", *table, "--item", item, "--condition-expression", "attribute_not_exists(Artist)") == (
        "An error occurred (ConditionalCheckFailedException) when calling the PutItem operation: "
        "The conditional request failed"
    )
    updated = aws(
        *("update-item", *table, "--key", identity, "--return-values", "UPDATED_NEW"),
        *("--update-expression", "SET Plays = Plays + :n, #c = if_not_exists(#c, :c) ADD Tags :t REMOVE Genre"),
        *("--condition-expression", "Plays = :z", "--expression-attribute-names", {"#c": "Cover"}),
        "--expression-attribute-values",
        {":n": {"N": "2"}, ":c": {"M": {"x": {"L": [{"NULL": True}]}}}, ":t": {"SS": ["c"]}, ":z": {"N": "0"}},
    )
    assert updated["Attributes"] == {
        "Plays": {"N": "2"},
        "Cover": {"M": {"x": {"L": [{"NULL": True}]}}},
        "Tags": {"SS": ["a", "b", "c"]},
    }
    deleted = aws("delete-item", *table, "--key", identity, "--return-values", "ALL_OLD")
    assert deleted["Attributes"].keys() == {*item.keys() - {"Genre"}, "Cover"}
    assert aws("get-item", *table, "--key", identity, "--consistent-read") is None


def test_batches(aws: CommandLine, music: str) -> None:
    request = {music: {"Keys": [key(0), key(8), {**key(8), "SongTitle": {"S": "None"}}], "ConsistentRead": True}}
    answer = aws("batch-get-item", "--request-items", request, "--return-consumed-capacity", "TOTAL")
    assert sorted(item["SongTitle"]["S"] for item in answer["Responses"][music]) == ["S0", "S8"]
    assert answer["UnprocessedKeys"] == {}
    assert answer["ConsumedCapacity"] == [{"TableName": music, "CapacityUnits": 3.0}]


def test_queries(aws: CommandLine, music: str) -> None:
    of_one = ("--table-name", music, "--consistent-read", "--key-condition-expression")
    values = {":a": {"S": "A1"}}
    every = aws("query", *of_one, "Artist = :a", "--expression-attribute-values", values)
    assert titles(every) == ["S1", "S4", "S7"]
    by_year = ("--index-name", "by-year", "--no-scan-index-forward", "--max-items", "2")
    first = aws("query", *of_one, "Artist = :a", "--expression-attribute-values", values, *by_year)
    token = first["NextToken"]
    rest = aws(
        *("query", *of_one, "Artist = :a", "--expression-attribute-values", values, *by_year),
        *("--starting-token", token),
    )
    assert titles(first) + titles(rest) == ["S1", "S4", "S7"]
    assert "NextToken" not in rest
    filtered = aws(
        *("query", *of_one, "Artist = :a AND begins_with(AlbumTitle, :t)", "--index-name", "by-album"),
        *("--filter-expression", "Genre = :g", "--select", "COUNT", "--expression-attribute-values"),
        {**values, ":t": {"S": "Album"}, ":g": {"S": "Rock"}},
    )
    assert (filtered["Count"], filtered["ScannedCount"]) == (2, 3)


def test_scans(aws: CommandLine, music: str) -> None:
    """Filters; pages of --page-size, cut to --max-items and gone on with; segments."""
    scan = ("scan", "--table-name", music, "--consistent-read")
    found = aws(
        *scan,
        *("--filter-expression", "ReleaseYear BETWEEN :a AND :b AND size(Genre) = :n", "--page-size", "2"),
        *("--projection-expression", "SongTitle", "--expression-attribute-values"),
        {":a": {"N": "1993"}, ":b": {"N": "1996"}, ":n": {"N": "4"}},
    )
    assert sorted(titles(found)) == ["S4", "S5", "S6", "S7"]
    assert (found["Count"], found["ScannedCount"], found["Items"][0].keys()) == (4, 9, {"SongTitle"})

    seen: list[str] = []
    token: tuple[str, ...] = ()
    for _ in range(3):
        page = aws(*scan, "--max-items", "4", "--page-size", "3", *token)
        seen += titles(page)
        token = ("--starting-token", page.get("NextToken", ""))
    assert sorted(seen) == [f"S{number}" for number in range(9)]
    assert token[1] == ""

    parts = [
        titles(aws(*scan, "--total-segments", "2", "--segment", segment, "--index-name", "by-year"))
        for segment in ("0", "1")
    ]
    assert sorted(parts[0] + parts[1]) == sorted(seen)
