"""Keys and secondary indexes: how they are asked for, and how they are described."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from statorpb import tables_pb2

from stator.errors import ValidationError

Projection = Literal["ALL", "KEYS_ONLY", "INCLUDE"]
IndexStatus = Literal["CREATING", "ACTIVE", "UPDATING", "DELETING", "UNKNOWN"]

Keys: TypeAlias = tuple[str, str] | Sequence[tuple[str, str]]
"""("year", "N"), or up to four of these."""


@dataclass(frozen=True, slots=True)
class KeyAttribute:
    """An attribute of a table's key: its name, and "S" (str), "N" (number) or "B" (bytes)."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class LocalIndex:
    """A local secondary index to be made: another sort key, (name, type), for the partition key of its table.

    `projection` is what it has of an item besides the keys: "ALL", "KEYS_ONLY" (nothing), or "INCLUDE", which adds
    `non_key_attributes`, 20 at most.

        stator.LocalIndex("by-label", ("label", "S"), "INCLUDE", ("title",))
    """

    name: str
    sort_key: tuple[str, str]
    projection: Projection = "ALL"
    non_key_attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalIndexDescription:
    """A local secondary index. `items` and `bytes` as of a table."""

    name: str
    sort_key: KeyAttribute
    projection: str
    non_key_attributes: tuple[str, ...]
    items: int
    bytes: int


@dataclass(frozen=True, slots=True)
class GlobalIndex:
    """A global secondary index to be made: the table's items by another key.

    Keys are (name, type), or up to four of them: those of the partition key are hashed together, and have to be given
    together; by those of the sort key entries are ordered, one after the other. `projection` and `non_key_attributes`
    are as of a local index. In a table with capacity units the index needs some of its own.

        stator.GlobalIndex("by-genre", ("genre", "S"), ("year", "N"), "INCLUDE", ("title",))
    """

    name: str
    partition_key: Keys
    sort_key: Keys | None = None
    projection: Projection = "ALL"
    non_key_attributes: tuple[str, ...] = ()
    read_capacity_units: int | None = None
    write_capacity_units: int | None = None


@dataclass(frozen=True, slots=True)
class GlobalIndexDescription:
    """A global secondary index. `items` and `bytes` as of a table.

    While the items that were there before it are passed on to it, `is_backfilling`, and `items_passed` says how many
    have been. `pending` changes of the table are not in it yet; the oldest of them is `lag_ms` old.
    """

    name: str
    partition_keys: tuple[KeyAttribute, ...]
    sort_keys: tuple[KeyAttribute, ...]
    projection: str
    non_key_attributes: tuple[str, ...]
    status: IndexStatus
    is_backfilling: bool
    items_passed: int
    pending: int
    lag_ms: int
    items: int
    bytes: int
    partitions: int
    read_capacity_units: int | None
    write_capacity_units: int | None

    @property
    def keys(self) -> tuple[KeyAttribute, ...]:
        """All attributes of its key."""
        return self.partition_keys + self.sort_keys


def wire_key_attribute(key: tuple[str, str]) -> tables_pb2.KeyAttribute:
    """From ("pk", "S"). Raises ValidationError for a type that no key can have."""
    name, key_type = key
    if key_type not in ("S", "N", "B"):
        raise ValidationError(f"a key attribute's type is 'S' (str), 'N' (number) or 'B' (bytes), not {key_type!r}")
    return tables_pb2.KeyAttribute(name=name, type=tables_pb2.AttributeType.Value(key_type))


def wire_projection(projection: str, non_key_attributes: Iterable[str]) -> tables_pb2.Projection:
    """Raises ValidationError for a projection that there is not."""
    if projection not in ("ALL", "KEYS_ONLY", "INCLUDE"):
        raise ValidationError(f"a projection is 'ALL', 'KEYS_ONLY' or 'INCLUDE', not {projection!r}")
    return tables_pb2.Projection(
        type=tables_pb2.Projection.Type.Value(projection), non_key_attributes=non_key_attributes
    )


def wire_local_index(index: LocalIndex) -> tables_pb2.LocalIndex:
    """Raises ValidationError for a projection that there is not."""
    projection = wire_projection(index.projection, index.non_key_attributes)
    return tables_pb2.LocalIndex(name=index.name, sort_key=wire_key_attribute(index.sort_key), projection=projection)


def wire_global_index(index: GlobalIndex) -> tables_pb2.GlobalIndex:
    """Raises ValidationError for keys that are none, a type that no key can have, and a projection that there is
    not."""
    wire = tables_pb2.GlobalIndex(
        name=index.name,
        partition_keys=map(wire_key_attribute, _several(index.partition_key)),
        sort_keys=map(wire_key_attribute, _several(index.sort_key) if index.sort_key is not None else ()),
        projection=wire_projection(index.projection, index.non_key_attributes),
    )
    if index.read_capacity_units is not None or index.write_capacity_units is not None:
        wire.provisioned.read_capacity_units = index.read_capacity_units or 0
        wire.provisioned.write_capacity_units = index.write_capacity_units or 0
    return wire


def _several(keys: Keys) -> Sequence[tuple[str, str]]:
    if len(keys) == 2 and isinstance(keys[0], str) and isinstance(keys[1], str):
        return [(keys[0], keys[1])]
    several = []
    for each in keys:
        if isinstance(each, str) or len(each) != 2:
            raise ValidationError(f"keys are (name, type), or several of these, not {keys!r}")
        several.append((each[0], each[1]))
    return several


def global_index_description(wire: tables_pb2.GlobalIndexDescription) -> GlobalIndexDescription:
    """From the wire."""
    index = wire.index
    statuses: dict[int, IndexStatus] = {
        tables_pb2.INDEX_CREATING: "CREATING",
        tables_pb2.INDEX_ACTIVE: "ACTIVE",
        tables_pb2.INDEX_UPDATING: "UPDATING",
        tables_pb2.INDEX_DELETING: "DELETING",
    }
    is_provisioned = index.HasField("provisioned")
    return GlobalIndexDescription(
        name=index.name,
        partition_keys=tuple(map(key_attribute, index.partition_keys)),
        sort_keys=tuple(map(key_attribute, index.sort_keys)),
        projection=tables_pb2.Projection.Type.Name(index.projection.type),
        non_key_attributes=tuple(index.projection.non_key_attributes),
        status=statuses.get(wire.status, "UNKNOWN"),
        is_backfilling=wire.backfilling,
        items_passed=wire.items_passed,
        pending=wire.pending,
        lag_ms=wire.lag_ms,
        items=wire.items,
        bytes=wire.bytes,
        partitions=wire.partitions,
        read_capacity_units=index.provisioned.read_capacity_units if is_provisioned else None,
        write_capacity_units=index.provisioned.write_capacity_units if is_provisioned else None,
    )


def key_attribute(wire: tables_pb2.KeyAttribute) -> KeyAttribute:
    """From the wire."""
    return KeyAttribute(wire.name, tables_pb2.AttributeType.Name(wire.type))


def local_index_description(wire: tables_pb2.LocalIndexDescription) -> LocalIndexDescription:
    """From the wire."""
    index = wire.index
    return LocalIndexDescription(
        index.name,
        key_attribute(index.sort_key),
        tables_pb2.Projection.Type.Name(index.projection.type),
        tuple(index.projection.non_key_attributes),
        wire.items,
        wire.bytes,
    )
