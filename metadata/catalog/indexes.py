"""Global secondary indexes of a table: their life, and the rules for making, changing and removing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from metadata.catalog import changes
from metadata.catalog.commands import IndexUpdate, PlannedIndex, UpdateTable
from metadata.catalog.members import Partition
from metadata.catalog.settings import TableSettings
from server.model.errors import (
    LimitExceededError,
    ResourceInUseError,
    ResourceNotFoundError,
    ValidationError,
)
from server.model.limits import GLOBAL_INDEXES_MAX, PROJECTED_ATTRIBUTES_MAX
from server.model.table import GlobalIndex, KeyAttribute, KeySchema, LocalIndex

_INVALID = "One or more parameter values were invalid: "


class IndexStatus(IntEnum):
    """An index's life. CREATING: its partitions are being opened. FILLING: the table's changes go there, and so do, bit
    by bit, the items that were there before. DELETING: nothing goes there any more; then it is removed."""

    CREATING = 1
    ACTIVE = 2
    DELETING = 3
    FILLING = 4


@dataclass(frozen=True, slots=True)
class TableIndex:
    """A global secondary index. Of the settings it has those of its throughput, and is on-demand where its table is."""

    definition: GlobalIndex
    status: IndexStatus
    settings: TableSettings
    created_at_ms: int
    partitions: tuple[Partition, ...]

    @property
    def number(self) -> int:
        """A table number of its own."""
        return self.definition.number

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def is_fed(self) -> bool:
        """Whether the table's changes are to go there."""
        return self.status in (IndexStatus.FILLING, IndexStatus.ACTIVE)


def check_definitions(
    schema: KeySchema, local_indexes: Iterable[LocalIndex], global_indexes: Sequence[GlobalIndex]
) -> None:
    """That a table can have these indexes together. Raises ValidationError."""
    local_indexes = tuple(local_indexes)
    if len(global_indexes) > GLOBAL_INDEXES_MAX:
        raise ValidationError(
            f"{_INVALID}GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_INDEXES_MAX}"
        )
    indexes: list[LocalIndex | GlobalIndex] = [*local_indexes, *global_indexes]
    names = [index.name for index in indexes]
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        raise ValidationError(f"{_INVALID}Duplicate index name: {duplicate}")
    projected = sum(len(index.non_key_attributes) for index in indexes)
    if projected > PROJECTED_ATTRIBUTES_MAX:
        raise ValidationError(
            f"{_INVALID}Total number of projected NonKeyAttributes exceeds per-table limit of "
            f"{PROJECTED_ATTRIBUTES_MAX}"
        )
    types: dict[str, str] = {}
    for attribute in _keys(schema, local_indexes, global_indexes):
        if types.setdefault(attribute.name, attribute.type) != attribute.type:
            raise ValidationError(f"{_INVALID}Duplicate attribute definition: {attribute.name}")


def _keys(
    schema: KeySchema, local_indexes: Iterable[LocalIndex], global_indexes: Iterable[GlobalIndex]
) -> Iterable[KeyAttribute]:
    yield from schema.attributes
    for local in local_indexes:
        yield local.sort_key
    for each in global_indexes:
        yield from each.key_attributes


def check_throughput(planned: PlannedIndex, *, is_on_demand: bool) -> None:
    """That a new index's throughput goes with how its table is paid for. Raises ValidationError."""
    name, has_units = planned.definition.name, not planned.settings.is_on_demand
    if has_units and is_on_demand:
        raise _no_units(name)
    if not has_units and not is_on_demand:
        raise ValidationError(f"{_INVALID}ProvisionedThroughput must be specified for index: {name}")


def check_new(
    schema: KeySchema,
    local_indexes: Iterable[LocalIndex],
    indexes: Sequence[TableIndex],
    planned: PlannedIndex,
    *,
    is_on_demand: bool,
) -> None:
    """That a table that is there can have one more index now. Raises ValidationError, LimitExceededError."""
    name = planned.definition.name
    local_indexes = tuple(local_indexes)
    if name in (*(each.name for each in indexes), *(each.name for each in local_indexes)):
        raise ValidationError("Attempting to create an index which already exists")
    _check_at_rest(indexes)
    if len(indexes) >= GLOBAL_INDEXES_MAX:  # our words
        raise LimitExceededError(
            f"Subscriber limit exceeded: GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_INDEXES_MAX}"
        )
    check_definitions(schema, local_indexes, [*(each.definition for each in indexes), planned.definition])
    check_throughput(planned, is_on_demand=is_on_demand)


def _check_at_rest(indexes: Iterable[TableIndex]) -> None:
    if any(each.status != IndexStatus.ACTIVE for each in indexes):
        raise LimitExceededError(
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table"
        )


def updated(
    indexes: tuple[TableIndex, ...], local_indexes: Iterable[LocalIndex], command: UpdateTable, table: TableSettings
) -> tuple[TableIndex, ...]:
    """The indexes as an UpdateTable changes and removes them; `table`: its settings, as it has changed them. Raises
    ValidationError, LimitExceededError, ResourceInUseError, ResourceNotFoundError."""
    by_name = {each.name: each for each in indexes}
    updates = {update.name: update for update in command.index_updates}
    local_names = {each.name for each in local_indexes}
    for name in (*updates, *((command.deleted_index,) if command.deleted_index else ())):
        if name in local_names:
            verb = "delete" if name == command.deleted_index else "update"
            raise ValidationError(f"Cannot {verb} an index that is not a GlobalSecondaryIndex: {name}")
        if name not in by_name:  # our words
            raise ResourceNotFoundError(f"Requested resource not found: Index: {name} not found")
        if by_name[name].status == IndexStatus.DELETING:
            raise _in_use(name, "deleted")
    if command.deleted_index:
        # DynamoDB refuses this before the back-fill has begun. Here an index whose partitions cannot be opened, since a
        # node has died, would be in the way of every other for as long.
        _check_at_rest(each for each in indexes if each.name != command.deleted_index)
    return tuple(_changed(each, command, updates.get(each.name), table) for each in indexes)


def _changed(index: TableIndex, command: UpdateTable, update: IndexUpdate | None, table: TableSettings) -> TableIndex:
    if index.name == command.deleted_index:
        return replace(index, status=IndexStatus.DELETING)
    is_switched = index.settings.is_on_demand != table.is_on_demand
    if index.status == IndexStatus.DELETING or (update is None and not is_switched):
        return index
    if update is not None and index.status != IndexStatus.ACTIVE:
        raise _in_use(index.name, "created")
    asked = update if update is not None else IndexUpdate(index.name)
    if asked.read_units and table.is_on_demand:
        raise _no_units(index.name)
    if is_switched and not table.is_on_demand and not asked.read_units:
        raise ValidationError(f"{_INVALID}ProvisionedThroughput must be specified for index: {index.name}")
    as_command = UpdateTable(
        command.table_name,
        command.time_ms,
        "PAY_PER_REQUEST" if table.is_on_demand else "PROVISIONED",
        asked.read_units,
        asked.write_units,
        asked.max_read_units,
        asked.max_write_units,
        asked.warm_read_units,
        asked.warm_write_units,
    )
    settings = changes.updated(index.settings, as_command, index.created_at_ms, f"index {index.name}")
    return replace(index, settings=settings)


def _no_units(name: str) -> ValidationError:
    return ValidationError(
        f"{_INVALID}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: {name} when "
        "BillingMode is PAY_PER_REQUEST"
    )


def _in_use(name: str, how: str) -> ResourceInUseError:
    return ResourceInUseError(
        f"Attempt to change a resource which is still in use: Index is being {how}: {name}"  # our words
    )
