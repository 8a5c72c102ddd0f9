"""CreateTable: a table's name, its keys, its indexes and its settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from router.requests.global_indexes import NewIndex, check_defined, definitions, new_indexes, projection_of
from router.requests.stream_specification import created_stream
from router.requests.table_shapes import CREATE_TABLE, INVALID, read_body, refuse
from router.requests.tags import read_tags
from router.requests.throughput import on_demand_limits, provisioned_units, refuse_own_keys, warm_units
from server.model.errors import ValidationError
from server.model.limits import (
    LOCAL_INDEXES_MAX,
    PARTITIONS_MAX,
    PROJECTED_ATTRIBUTES_MAX,
    WARM_READ_UNITS_MIN,
    WARM_WRITE_UNITS_MIN,
)
from server.model.table import NO_UNITS_ON_DEMAND, RESERVED_PREFIX, KeyAttribute, KeySchema, LocalIndex, is_reserved

_UNSUPPORTED = (
    "ResourcePolicy",
    "GlobalTableSourceArn",
    "GlobalTableSettingsReplicationMode",
    "VectorIndexes",
)


@dataclass(frozen=True, slots=True)
class CreateTableRequest:
    """`read_units`, `write_units` 0: on-demand; only then may there be `max_` units (0 and -1: no limit). `warm_` units
    0: what the table has anyway. `partitions` 0: derived from the throughput. `tags`: (key, value). `stream_view_type`
    empty: the table has no stream."""

    table_name: str
    key_schema: KeySchema
    read_units: int = 0
    write_units: int = 0
    partitions: int = 0
    local_indexes: tuple[LocalIndex, ...] = ()
    max_read_units: int = 0
    max_write_units: int = 0
    warm_read_units: int = 0
    warm_write_units: int = 0
    table_class: str = "STANDARD"
    is_protected: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    global_indexes: tuple[NewIndex, ...] = ()
    stream_view_type: str = ""


def from_body(body: Mapping[str, Any], *, is_json: bool, partitions: int = 0) -> CreateTableRequest:
    """The request of a body. Raises ValidationError or SerializationError."""
    refuse(body, "CreateTable", _UNSUPPORTED)
    content = read_body(CREATE_TABLE, body, is_json=is_json)
    if is_reserved(content["TableName"]):
        raise ValidationError(f"{INVALID}Table names that begin with {RESERVED_PREFIX} are reserved")
    read_units, write_units = _throughput(content)
    max_read_units, max_write_units = on_demand_limits(content)
    if read_units and "OnDemandThroughput" in content:
        raise ValidationError(INVALID + "OnDemandThroughput can only be specified when BillingMode is PAY_PER_REQUEST")
    warm_read_units, warm_write_units = _warm_throughput(content, read_units, write_units)
    types = definitions(content["AttributeDefinitions"])
    if len(content["KeySchema"]) > len(types):
        raise ValidationError("Invalid KeySchema: Some index key attribute have no definition")
    schema = _key_schema(content["KeySchema"], types)
    local, global_ = content.get("LocalSecondaryIndexes"), content.get("GlobalSecondaryIndexes")
    if local is None and global_ is None and {key.name for key in schema.attributes} != types.keys():
        raise ValidationError(
            INVALID + "Number of attributes in KeySchema does not exactly match number of attributes defined in "
            "AttributeDefinitions"
        )
    indexes = _local_indexes(local, schema, types) if local is not None else ()
    more = new_indexes(global_, types, is_on_demand=not read_units) if global_ is not None else ()
    if local is not None or global_ is not None:
        _check_together(schema, indexes, more, types)
    stream_view_type = created_stream(content)
    refuse_own_keys(content, "CreateTable")
    if partitions > PARTITIONS_MAX:
        raise ValidationError(f"a table has at most {PARTITIONS_MAX} partitions when it is created, not {partitions}")
    return CreateTableRequest(
        content["TableName"],
        schema,
        read_units,
        write_units,
        partitions,
        indexes,
        max_read_units,
        max_write_units,
        warm_read_units,
        warm_write_units,
        content.get("TableClass", "STANDARD"),
        content.get("DeletionProtectionEnabled", False),
        read_tags(content.get("Tags", [])),
        more,
        stream_view_type,
    )


def _throughput(content: Mapping[str, Any]) -> tuple[int, int]:
    is_on_demand = content.get("BillingMode") == "PAY_PER_REQUEST"
    has_units = "ProvisionedThroughput" in content
    if is_on_demand and has_units:
        raise ValidationError(NO_UNITS_ON_DEMAND)
    if not is_on_demand and not has_units:
        raise ValidationError(
            INVALID + "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED"
        )
    return provisioned_units(content)


def _warm_throughput(content: Mapping[str, Any], read_units: int, write_units: int) -> tuple[int, int]:
    asked = warm_units(content)
    least = (read_units, write_units) if read_units else (WARM_READ_UNITS_MIN, WARM_WRITE_UNITS_MIN)
    for name, units, units_min in zip(("ReadUnitsPerSecond", "WriteUnitsPerSecond"), asked, least, strict=True):
        if 0 < units < units_min:
            raise ValidationError(
                f"{INVALID}Requested {name} for WarmThroughput for table is lower than the {units_min} that it has "
                "anyway"
            )
    return asked


def _key_schema(elements: list[Mapping[str, str]], types: Mapping[str, str]) -> KeySchema:
    """The key of a table or of an index."""
    names = [element["AttributeName"] for element in elements]
    check_defined(names, types)
    if len(set(names)) != len(names):
        raise ValidationError("Both the Hash Key and the Range Key element in the KeySchema have the same name")
    if elements[0]["KeyType"] != "HASH":
        raise ValidationError("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if len(elements) == 2 and elements[1]["KeyType"] != "RANGE":
        raise ValidationError("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
    keys = [KeyAttribute(name, types[name]) for name in names]
    return KeySchema(keys[0], keys[1] if len(keys) == 2 else None)


def _local_indexes(
    described: list[Mapping[str, Any]], table: KeySchema, types: Mapping[str, str]
) -> tuple[LocalIndex, ...]:
    if not described:
        raise ValidationError(INVALID + "List of LocalSecondaryIndexes is empty")
    if table.sort_key is None:
        raise ValidationError(
            INVALID + "Table KeySchema does not have a range key, which is required when specifying a "
            "LocalSecondaryIndex"
        )
    indexes = tuple(_local_index(number, each, table, types) for number, each in enumerate(described, 1))
    _check_names(index.name for index in indexes)
    if len(indexes) > LOCAL_INDEXES_MAX:
        raise ValidationError(
            f"{INVALID}Number of LocalSecondaryIndexes exceeds per-table limit of {LOCAL_INDEXES_MAX}"
        )
    return indexes


def _local_index(number: int, definition: Mapping[str, Any], table: KeySchema, types: Mapping[str, str]) -> LocalIndex:
    name = definition["IndexName"]
    schema = _key_schema(definition["KeySchema"], types)
    if schema.sort_key is None:
        raise ValidationError(f"{INVALID}Index KeySchema does not have a range key for index: {name}")
    if schema.partition_key != table.partition_key:
        raise ValidationError(
            f"{INVALID}Index KeySchema does not have the same leading hash key as table KeySchema for index: {name}. "
            f"index hash key: {schema.partition_key.name}, table hash key: {table.partition_key.name}"
        )
    kind, attributes = projection_of(definition["Projection"], name)
    return LocalIndex(number, name, schema.sort_key, kind, attributes)


def _check_together(
    table: KeySchema, local: tuple[LocalIndex, ...], more: tuple[NewIndex, ...], types: Mapping[str, str]
) -> None:
    """What holds for all indexes of a table together."""
    of_global = [index.definition for index in more]
    _check_names([*(index.name for index in local), *(index.name for index in of_global)])
    projected = sum(len(index.non_key_attributes) for index in local)
    if projected + sum(len(index.non_key_attributes) for index in of_global) > PROJECTED_ATTRIBUTES_MAX:
        raise ValidationError(
            f"{INVALID}Total number of projected NonKeyAttributes exceeds per-table limit of {PROJECTED_ATTRIBUTES_MAX}"
        )
    keys = [*table.attributes, *(index.sort_key for index in local)]
    _check_all_used(types, [*keys, *(key for index in of_global for key in index.key_attributes)])


def _check_names(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValidationError(f"{INVALID}Duplicate index name: {name}")
        seen.add(name)


def _check_all_used(types: Mapping[str, str], keys: Iterable[KeyAttribute]) -> None:
    used = list(dict.fromkeys(key.name for key in keys))
    if types.keys() != set(used):
        raise ValidationError(
            f"{INVALID}Some AttributeDefinitions are not used. AttributeDefinitions: [{', '.join(types)}], keys used: "
            f"[{', '.join(used)}]"
        )
