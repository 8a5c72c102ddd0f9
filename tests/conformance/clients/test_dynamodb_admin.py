"""dynamodb-admin, a graphical interface for databases on one's own machine: its pages, and what their buttons do."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.clients import npm
from tests.conformance.clients.conftest import Server
from tests.conformance.database import unique

pytestmark = pytest.mark.cluster

PACKAGES = {"dynamodb-admin": "^5.3.0"}
START_TIMEOUT_S = 30
TIMEOUT_S = 30


class Admin:
    """The program, started; `url` is where it listens."""

    def __init__(self, server: Server) -> None:
        script = npm.installed(PACKAGES) / "node_modules" / "dynamodb-admin" / "dist" / "dynamodb-admin.js"
        command = [npm.node(), str(script), "--host", "127.0.0.1", "--port", "0", "--dynamo-endpoint", server.url]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        if server.access_key_id != "any":
            # Without these it signs with keys of its own, and sends a session token that nobody has given out.
            environment |= {**server.environment, "AWS_SESSION_TOKEN": ""}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            self.url = self._wait_listening()
        except BaseException:
            self.close()
            raise

    def _wait_listening(self) -> str:
        output, read = self._process.stdout, ""
        assert output is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while "listening on " not in read or not read.endswith("\n"):
                assert time.monotonic() < deadline, read
                if selector.select(1):
                    more = os.read(output.fileno(), 65_536)
                    assert more, f"it has ended: {read}"
                    read += more.decode()
        return read.partition("listening on ")[2].split()[0]

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=TIMEOUT_S)

    def call(self, method: str, path: str, content: Any = None, **parameters: Any) -> tuple[int, str]:
        """The status and body of an answer. Parameters that are no strings are given as JSON."""
        words = {name: each if isinstance(each, str) else json.dumps(each) for name, each in parameters.items()}
        url = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(words)}" if words else "")
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def page(self, path: str, **parameters: Any) -> str:
        status, body = self.call("GET", path, **parameters)
        assert status == 200, body
        return body

    def items(self, table: str, **parameters: Any) -> Any:
        """What the page of a table shows."""
        return json.loads(self.page(f"/tables/{table}/items", **parameters))


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[Admin]:
    opened = Admin(server)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def table(admin: Admin, server: Server) -> str:
    """Made with the form "Create table": artist (S), number (N), and the local index by-title (title: S); 30 items."""
    name = unique("admin")
    definition = {
        "TableName": name,
        "HashAttributeName": "artist",
        "HashAttributeType": "S",
        "RangeAttributeName": "number",
        "RangeAttributeType": "N",
        "ReadCapacityUnits": 3,
        "WriteCapacityUnits": 3,
    }
    index = {
        "IndexName": "by-title",
        "IndexType": "local",
        "HashAttributeName": "artist",
        "HashAttributeType": "S",
        "RangeAttributeName": "title",
        "RangeAttributeType": "S",
    }
    status, body = admin.call("POST", "/create-table", {"TableDefinition": definition, "SecondaryIndexes": [index]})
    assert status == 204, body
    server.wait_active(name)
    for number in range(30):
        put(admin, name, {"artist": "a" if number < 20 else "b", "number": number, "title": f"t{29 - number:02}"})
    return name


def put(admin: Admin, table: str, item: dict[str, Any]) -> None:
    status, body = admin.call("PUT", f"/tables/{table}/add-item", item)
    assert status in (200, 404), body  # it reads what it has written, but not consistently


def numbers(shown: Any) -> list[int]:
    return [item["number"] for item in shown["Items"]]


def test_pages_about_tables(admin: Admin, table: str) -> None:
    """The list of tables, and the pages of one, can be drawn."""
    assert table in admin.page("/")
    described = next(each for each in json.loads(admin.page("/api/tables")) if each["TableName"] == table)
    assert described["TableStatus"] == "ACTIVE"
    assert described["ProvisionedThroughput"]["ReadCapacityUnits"] == 3
    assert table in admin.page(f"/tables/{table}")
    assert "by-title" in admin.page(f"/tables/{table}/meta")
    assert "DISABLED" in admin.page(f"/tables/{table}/ttl")
    for path in ("/create-table", f"/tables/{table}/get", f"/tables/{table}/add-item"):
        assert "</html>" in admin.page(path)


def test_scan(admin: Admin, table: str) -> None:
    """Page after page, with filters, and of an index."""

    def pages() -> tuple[int, list[int]]:
        first = admin.items(table, pageSize="25")
        assert first["uniqueKeys"] == ["artist", "number", "title"]
        second = admin.items(table, pageSize="25", startKey=urllib.parse.unquote(first["nextKey"]), pageNum="2")
        return len(first["Items"]), sorted(numbers(first) + numbers(second))

    wait_equal(pages, (25, list(range(30))))
    filters = {
        "number": {"type": "N", "operator": ">=", "value": "10"},
        "title": {"type": "S", "operator": "begins_with", "value": "t1"},
    }
    wait_equal(lambda: sorted(numbers(admin.items(table, filters=filters))), list(range(10, 20)))
    wait_equal(lambda: len(admin.items(table, queryableSelection="by-title", pageSize="50")["Items"]), 30)


def test_query(admin: Admin, table: str) -> None:
    """With a condition on the sort key and a filter; page after page."""
    artist = {"artist": {"type": "S", "operator": "=", "value": "a"}}
    filters = {
        **artist,
        "number": {"type": "N", "operator": "<", "value": "5"},
        "title": {"type": "S", "operator": "<>", "value": "t29"},
    }
    wait_equal(lambda: numbers(admin.items(table, operationType="query", filters=filters)), [1, 2, 3, 4])

    def pages() -> list[list[int]]:
        first = admin.items(table, operationType="query", filters=artist, pageSize="7")
        start = urllib.parse.unquote(first["nextKey"])
        second = admin.items(table, operationType="query", filters=artist, startKey=start)
        return [numbers(first), numbers(second)]

    wait_equal(pages, [list(range(7)), list(range(7, 20))])


def test_one_item(admin: Admin, table: str) -> None:
    """Made, shown, edited and deleted."""
    path, item = (
        f"/tables/{table}/items/{urllib.parse.quote('c d,1.5')}",
        {"artist": "c d", "number": 1.5, "title": "x"},
    )
    put(admin, table, {**item, "more": {"list": [1, "ü", None, True]}})
    wait_shown(admin, path, "ü")
    status, _ = admin.call("PUT", path, {**item, "title": "edited"})
    assert status == 200
    wait_shown(admin, path, "edited")
    assert admin.call("DELETE", path) == (204, "")
    wait_shown(admin, path, "Not found")
    status, body = admin.call("PUT", f"/tables/{table}/add-item", {"artist": "c"})
    assert status == 500
    assert json.loads(body)["message"].endswith(
        "One or more parameter values were invalid: Missing the key number in the item"
    )


def wait_shown(admin: Admin, path: str, text: str) -> None:
    wait_equal(lambda: text in admin.call("GET", path)[1], True)


def wait_equal(read: Callable[[], object], expected: object) -> None:
    """Its reads are eventually consistent."""
    deadline = time.monotonic() + 10
    while (shown := read()) != expected:
        assert time.monotonic() < deadline, shown


def test_purge_and_delete(admin: Admin, server: Server) -> None:
    """ "Purge" takes every item and leaves the table; "delete" takes it, too."""
    name = unique("purge")
    definition = {
        "TableName": name,
        "HashAttributeName": "pk",
        "HashAttributeType": "S",
        "ReadCapacityUnits": 1,
        "WriteCapacityUnits": 1,
    }
    assert admin.call("POST", "/create-table", {"TableDefinition": definition})[0] == 204
    status, body = admin.call("POST", "/create-table", {"TableDefinition": definition})
    assert (status, name in json.loads(body)["message"]) == (500, True)
    server.wait_active(name)
    for number in range(27):
        put(admin, name, {"pk": f"k{number}"})
    deadline = time.monotonic() + 10
    while admin.items(name)["Items"]:
        assert admin.call("DELETE", f"/tables/{name}/all")[0] == 200
        assert time.monotonic() < deadline
    assert admin.call("DELETE", f"/tables/{name}") == (204, "")
    server.wait_gone(name)
    status, body = admin.call("GET", f"/tables/{name}")
    assert (status, "Requested resource not found" in body) == (500, True)
