"""One cluster for the whole suite. Tests share it: names and keys of their own, and nothing is cleaned up.

`pytest tests/conformance --endpoint http://127.0.0.1:8000` runs what needs no more than boto3 against another server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from statorpb import tables_pb2

from tests.cluster.harness import running_cluster
from tests.conformance.database import INDEXES, Database
from tests.conformance.doors import Doors


@dataclass(frozen=True)
class Tables:
    """Names of tables that everybody may put items into: `plain` has the key pk (S), `sorted` pk (S) and sk (S),
    `number` pk (S) and sk (N), `binary` pk (B) and sk (B)."""

    plain: str = "plain"
    sorted: str = "sorted"
    number: str = "number"
    binary: str = "binary"


def create_table(
    doors: Doors,
    name: str,
    partition_key: tuple[str, int] = ("pk", tables_pb2.S),
    sort_type: int = 0,
    partitions: int = 1,
    local_indexes: Iterable[tables_pb2.LocalIndex] = (),
) -> None:
    """Creates a table and waits until it is active."""
    request = tables_pb2.CreateTableRequest(table_name=name, partitions=partitions, local_indexes=local_indexes)
    request.key_schema.partition_key.name, kind = partition_key
    request.key_schema.partition_key.type = tables_pb2.AttributeType.ValueType(kind)
    if sort_type:
        request.key_schema.sort_key.name = "sk"
        request.key_schema.sort_key.type = tables_pb2.AttributeType.ValueType(sort_type)
    reply = doors.call("Tables/CreateTable", request)
    assert isinstance(reply, bytes), reply
    doors.boto.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})


def indexes() -> list[tables_pb2.LocalIndex]:
    """Those of `Database.indexed`."""
    kinds = {"S": tables_pb2.S, "N": tables_pb2.N, "B": tables_pb2.B}
    return [
        tables_pb2.LocalIndex(
            name=f"by-{name}",
            sort_key=tables_pb2.KeyAttribute(name=name, type=kinds[kind]),
            projection=tables_pb2.Projection(
                type=tables_pb2.Projection.Type.Value(projection["ProjectionType"]),
                non_key_attributes=projection.get("NonKeyAttributes", []),
            ),
        )
        for name, kind, projection in INDEXES
    ]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--endpoint", metavar="URL", help="run the conformance suite against this server")


@pytest.fixture(scope="session")
def endpoint(request: pytest.FixtureRequest) -> str | None:
    """Of the server that was asked for; None: a cluster of this checkout."""
    url: str | None = request.config.getoption("--endpoint", default=None)
    return url


@pytest.fixture(scope="session")
def database(request: pytest.FixtureRequest, endpoint: str | None) -> Iterator[Database]:
    if endpoint:
        opened = Database(endpoint)
    else:
        doors: Doors = request.getfixturevalue("doors")
        opened = Database(f"http://127.0.0.1:{doors.http_port}")
        # As `Database` has them, but that their items are in several partitions.
        create_table(doors, "scanned", sort_type=tables_pb2.N, partitions=3)
        create_table(doors, "indexed", sort_type=tables_pb2.S, partitions=3, local_indexes=indexes())
        opened.adopt("scanned", "scanned")
        opened.adopt("indexed", "indexed")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory, endpoint: str | None) -> Iterator[Doors]:
    if endpoint:
        pytest.skip("only a cluster of this checkout has all doors")
    with running_cluster(tmp_path_factory.mktemp("conformance")) as cluster:
        opened = Doors(cluster)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def tables(doors: Doors) -> Tables:
    names = Tables()
    create_table(doors, names.plain, partitions=3)
    create_table(doors, names.sorted, sort_type=tables_pb2.S)
    create_table(doors, names.number, sort_type=tables_pb2.N)
    create_table(doors, names.binary, ("pk", tables_pb2.B), tables_pb2.B)
    return names
