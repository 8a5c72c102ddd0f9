"""Global secondary indexes in CreateTable and UpdateTable: their keys, projections, throughput."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.requests.table_shapes import INVALID
from router.requests.throughput import on_demand_limits, provisioned_units, warm_units
from server.model.errors import LimitExceededError, ValidationError
from server.model.limits import GLOBAL_INDEXES_MAX, HASHED_KEYS_MAX, ORDERING_KEYS_MAX
from server.model.table import GlobalIndex, KeyAttribute


@dataclass(frozen=True, slots=True)
class IndexUnits:
    """An index's throughput. 0: not given; `max_` units of -1: no limit."""

    read_units: int = 0
    write_units: int = 0
    max_read_units: int = 0
    max_write_units: int = 0
    warm_read_units: int = 0
    warm_write_units: int = 0


@dataclass(frozen=True, slots=True)
class NewIndex:
    """An index to be made; the number in its definition is 0: the metadata service gives it one."""

    definition: GlobalIndex
    units: IndexUnits


@dataclass(frozen=True, slots=True)
class ChangedIndex:
    """An index that is to get another throughput."""

    name: str
    units: IndexUnits


@dataclass(frozen=True, slots=True)
class IndexChanges:
    """What an UpdateTable asks for. `deleted` empty: none is deleted."""

    created: NewIndex | None = None
    deleted: str = ""
    changed: tuple[ChangedIndex, ...] = ()


NO_CHANGES = IndexChanges()


def new_indexes(
    described: Sequence[Mapping[str, Any]], types: Mapping[str, str], *, is_on_demand: bool
) -> tuple[NewIndex, ...]:
    """The indexes of a new table, whose attributes have these types. Raises ValidationError."""
    if not described:
        raise ValidationError(INVALID + "List of GlobalSecondaryIndexes is empty")
    indexes = []
    for each in described:
        index = _new_index(each, types)
        name = index.definition.name
        if is_on_demand and index.units.read_units:
            raise ValidationError(
                f"{INVALID}ProvisionedThroughput should not be specified for index: {name} when BillingMode is "
                "PAY_PER_REQUEST"
            )
        if not is_on_demand and not index.units.read_units:
            raise ValidationError(f"{INVALID}ProvisionedThroughput is not specified for index: {name}")
        if not is_on_demand and index.units.max_read_units | index.units.max_write_units:
            parameter = "MaxReadRequestUnits" if index.units.max_read_units else "MaxWriteRequestUnits"
            raise ValidationError(
                f"{INVALID}{parameter} for OnDemandThroughput cannot be specified when the table BillingMode is "
                f"PROVISIONED for index : {name}"
            )
        indexes.append(index)
    if len(indexes) > GLOBAL_INDEXES_MAX:
        raise ValidationError(
            f"{INVALID}GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_INDEXES_MAX}"
        )
    return tuple(indexes)


def index_changes(updates: Sequence[Mapping[str, Any]], types: Mapping[str, str] | None) -> IndexChanges:
    """What the updates of an UpdateTable ask for; `types` of the attributes that it defines, None: of none. Raises
    ValidationError, LimitExceededError."""
    if not updates:
        raise ValidationError(INVALID + "List of GlobalSecondaryIndexUpdates is empty")
    created: list[NewIndex] = []
    deleted: list[str] = []
    changed: dict[str, ChangedIndex] = {}
    for update in updates:
        if not update:
            raise ValidationError(
                INVALID + "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, "
                "GlobalSecondaryIndexUpdate.Delete must not be null"
            )
        if len(update) > 1:
            raise ValidationError(
                INVALID + "Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object"
            )
        ((action, described),) = update.items()
        name = described["IndexName"]
        if name in (*changed, *deleted, *(index.definition.name for index in created)):
            raise ValidationError(
                f"{INVALID}Only one global secondary index update per index is allowed simultaneously. Index: {name}"
            )
        if action == "Create":
            if types is None:
                raise ValidationError(f"{INVALID}AttributeDefinitions is not specified for index: {name}")
            created.append(_new_index(described, types))
        elif action == "Delete":
            deleted.append(name)
        else:
            changed[name] = ChangedIndex(name, _units(described))
    if len(created) + len(deleted) > 1:
        raise LimitExceededError(
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table"
        )
    return IndexChanges(created[0] if created else None, deleted[0] if deleted else "", tuple(changed.values()))


def definitions(described: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Attribute name -> type. Raises ValidationError for one that is defined twice."""
    types: dict[str, str] = {}
    for definition in described:
        name = definition["AttributeName"]
        if name in types:
            raise ValidationError(f"{INVALID}Duplicate attribute definition: {name}")
        types[name] = definition["AttributeType"]
    return types


def check_defined(names: Sequence[str], types: Mapping[str, str]) -> None:
    """That all attributes of a key have a type. Raises ValidationError."""
    if any(name not in types for name in names):
        raise ValidationError(
            f"{INVALID}Some index key attributes are not defined in AttributeDefinitions. Keys: [{', '.join(names)}], "
            f"AttributeDefinitions: [{', '.join(types)}]"
        )


def projection_of(described: Mapping[str, Any], index_name: str) -> tuple[str, tuple[str, ...]]:
    """(type, non-key attributes) of an index's projection. Raises ValidationError."""
    kind, attributes = described.get("ProjectionType"), described.get("NonKeyAttributes")
    if kind is None:
        raise ValidationError(INVALID + "Unknown ProjectionType: null")
    if kind == "INCLUDE":
        if attributes is None:
            raise ValidationError(INVALID + "ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
        duplicate = next((each for each in attributes if attributes.count(each) > 1), None)
        if duplicate is not None:
            raise ValidationError(f"{INVALID}Duplicate value in NonKeyAttributes: {duplicate} for index: {index_name}")
    elif attributes is not None:
        raise ValidationError(f"{INVALID}ProjectionType is {kind}, but NonKeyAttributes is specified")
    return kind, tuple(attributes or ())


def _new_index(described: Mapping[str, Any], types: Mapping[str, str]) -> NewIndex:
    name = described["IndexName"]
    hashed, ordering = _keys(described["KeySchema"], types)
    kind, attributes = projection_of(described["Projection"], name)
    return NewIndex(GlobalIndex(0, name, hashed, ordering, kind, attributes), _units(described))


def _units(described: Mapping[str, Any]) -> IndexUnits:
    return IndexUnits(*provisioned_units(described), *on_demand_limits(described), *warm_units(described))


def _keys(
    elements: Sequence[Mapping[str, str]], types: Mapping[str, str]
) -> tuple[tuple[KeyAttribute, ...], tuple[KeyAttribute, ...]]:
    """(those that are hashed together, those that entries are ordered by)."""
    names = [element["AttributeName"] for element in elements]
    kinds = [element["KeyType"] for element in elements]
    check_defined(names, types)
    if len(set(names)) != len(names):
        if len(names) == 2:
            raise ValidationError("Both the Hash Key and the Range Key element in the KeySchema have the same name")
        raise ValidationError("The KeySchema contains multiple key attributes with the same name")
    if kinds[0] != "HASH":
        raise ValidationError("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    count = kinds.count("HASH")
    if "HASH" in kinds[count:]:
        raise ValidationError(INVALID + "All HASH key attributes must precede RANGE key attributes in the KeySchema")
    for kind, given, most in (("HASH", count, HASHED_KEYS_MAX), ("RANGE", len(kinds) - count, ORDERING_KEYS_MAX)):
        if given > most:
            raise ValidationError(f"{INVALID}The KeySchema exceeds the maximum allowed number of {kind} key attributes")
    keys = tuple(KeyAttribute(name, types[name]) for name in names)
    return keys[:count], keys[count:]
