"""Keys and indexes of tables as protobuf, as the catalog, routers and storage nodes exchange them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from statorpb import cluster_pb2, tables_pb2

from server.model.table import GlobalIndex, KeyAttribute, KeySchema, LocalIndex

Keyed: TypeAlias = (
    cluster_pb2.CatalogTable | cluster_pb2.CreateTableCommand | cluster_pb2.PartitionDescriptor | cluster_pb2.TableRoute
)
"""Messages with `partition_key`, `sort_key` and `local_indexes`."""


def put_schema(target: Keyed, schema: KeySchema, indexes: Iterable[LocalIndex]) -> None:
    """Writes a table's key and its local indexes into a message that has none yet."""
    _put_attribute(target.partition_key, schema.partition_key)
    if schema.sort_key is not None:
        _put_attribute(target.sort_key, schema.sort_key)
    for index in indexes:
        message = target.local_indexes.add(number=index.number, name=index.name)
        _put_attribute(message.sort_key, index.sort_key)
        message.projection.type = tables_pb2.Projection.Type.Value(index.projection)
        message.projection.non_key_attributes.extend(index.non_key_attributes)


def key_schema(source: Keyed) -> KeySchema:
    """The key in a message."""
    sort_key = _attribute(source.sort_key) if source.HasField("sort_key") else None
    return KeySchema(_attribute(source.partition_key), sort_key)


def local_indexes(source: Keyed) -> tuple[LocalIndex, ...]:
    """The local indexes in a message, in the order of their numbers."""
    return tuple(
        LocalIndex(
            message.number,
            message.name,
            _attribute(message.sort_key),
            tables_pb2.Projection.Type.Name(message.projection.type),
            tuple(message.projection.non_key_attributes),
        )
        for message in source.local_indexes
    )


def put_global_index(target: cluster_pb2.GlobalIndex, index: GlobalIndex) -> None:
    """Writes a global index into a message that has nothing yet."""
    target.number, target.name = index.number, index.name
    for message, attributes in ((target.partition_keys, index.partition_keys), (target.sort_keys, index.sort_keys)):
        for attribute in attributes:
            _put_attribute(message.add(), attribute)
    target.projection.type = tables_pb2.Projection.Type.Value(index.projection)
    target.projection.non_key_attributes.extend(index.non_key_attributes)


def global_index(source: cluster_pb2.GlobalIndex) -> GlobalIndex:
    """The global index in a message."""
    return GlobalIndex(
        source.number,
        source.name,
        tuple(_attribute(each) for each in source.partition_keys),
        tuple(_attribute(each) for each in source.sort_keys),
        tables_pb2.Projection.Type.Name(source.projection.type),
        tuple(source.projection.non_key_attributes),
    )


def _put_attribute(target: cluster_pb2.KeyAttribute, attribute: KeyAttribute) -> None:
    target.name, target.type = attribute.name, attribute.type


def _attribute(message: cluster_pb2.KeyAttribute) -> KeyAttribute:
    return KeyAttribute(message.name, message.type)
