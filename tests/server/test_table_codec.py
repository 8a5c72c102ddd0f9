"""Keys and indexes in messages: they come back as they went."""

from __future__ import annotations

import pytest
from statorpb import cluster_pb2

from server.model.table import GlobalIndex, KeyAttribute, KeySchema, LocalIndex
from server.table_codec import Keyed, global_index, key_schema, local_indexes, put_global_index, put_schema

PK, SK = KeyAttribute("pk", "S"), KeyAttribute("sk", "N")
INDEXES = (
    LocalIndex(1, "all", KeyAttribute("a", "S"), "ALL"),
    LocalIndex(2, "keys", KeyAttribute("b", "N"), "KEYS_ONLY"),
    LocalIndex(5, "some", KeyAttribute("c", "B"), "INCLUDE", ("x", "y")),
)


@pytest.mark.parametrize(
    "message",
    [
        cluster_pb2.CatalogTable(),
        cluster_pb2.CreateTableCommand(),
        cluster_pb2.PartitionDescriptor(),
        cluster_pb2.TableRoute(),
    ],
    ids=lambda message: type(message).__name__,
)
@pytest.mark.parametrize(
    ("schema", "indexes"),
    [(KeySchema(PK), ()), (KeySchema(PK, SK), ()), (KeySchema(PK, SK), INDEXES)],
    ids=["partition key", "sort key", "indexes"],
)
def test_they_come_back(message: Keyed, schema: KeySchema, indexes: tuple[LocalIndex, ...]) -> None:
    """In every message that has them, with every kind of projection."""
    fresh = type(message)()
    put_schema(fresh, schema, indexes)
    read = type(message).FromString(fresh.SerializeToString())
    assert (key_schema(read), local_indexes(read)) == (schema, indexes)


@pytest.mark.parametrize(
    "index",
    [
        GlobalIndex(7, "plain", (PK,), (), "ALL"),
        GlobalIndex(2**40, "sorted", (SK,), (PK,), "KEYS_ONLY"),
        GlobalIndex(9, "many", (PK, SK), (KeyAttribute("c", "B"), SK), "INCLUDE", ("x", "y")),
    ],
    ids=lambda index: index.name,
)
def test_a_global_index_comes_back(index: GlobalIndex) -> None:
    message = cluster_pb2.GlobalIndex()
    put_global_index(message, index)
    assert global_index(cluster_pb2.GlobalIndex.FromString(message.SerializeToString())) == index
