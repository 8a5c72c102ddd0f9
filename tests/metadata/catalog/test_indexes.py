"""Global secondary indexes in the catalog: how they are made, changed and removed, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from metadata.catalog.catalog import Catalog, Table, TableStatus
from metadata.catalog.commands import (
    ActivateIndex,
    ActivateTable,
    CreateTable,
    DeleteTable,
    DrainNode,
    IndexUpdate,
    OpenIndex,
    PlannedIndex,
    PlannedPartition,
    RegisterNode,
    RemoveIndex,
    RemoveNode,
    RemoveTable,
    ReplaceMember,
    UpdateTable,
)
from metadata.catalog.indexes import IndexStatus
from metadata.catalog.settings import TableSettings
from server.model.errors import (
    LimitExceededError,
    ResourceInUseError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    StatorError,
    ValidationError,
)
from server.model.limits import GLOBAL_INDEXES_MAX
from server.model.table import GlobalIndex, KeyAttribute
from tests.metadata.catalog.test_catalog import HALF, NOW_MS, create

LABEL = KeyAttribute("label", "S")
YEAR = KeyAttribute("year", "N")
UNITS = TableSettings(read_units=1, write_units=2)


def planned(name: str = "by-label", **changes: object) -> PlannedIndex:
    """An index of two partitions on nodes 1, 2 and 3; `changes`: of its definition."""
    definition = replace(GlobalIndex(0, name, (LABEL,), (YEAR,), "ALL"), **changes)  # type: ignore[arg-type]
    return PlannedIndex(
        definition, UNITS, (PlannedPartition(b"", HALF, (3, 1, 2)), PlannedPartition(HALF, b"", (2, 3, 1)))
    )


def create_indexed(*indexes: PlannedIndex) -> CreateTable:
    """The table `music`, of the partitions 100 and 101, with these indexes."""
    return replace(create(), global_indexes=indexes)


def music_with(*names: str, status: IndexStatus = IndexStatus.ACTIVE) -> Catalog:
    """An active table `music` with number 1; its indexes have the numbers from 2, each the next two partitions."""
    catalog = Catalog()
    for number in (1, 2, 3):
        catalog.apply(RegisterNode(f"storage-{number}", f"zone-{number}", f"host:{number}", f"d{number}"))
    assert isinstance(catalog.apply(create_indexed(*map(planned, names))), Table)
    catalog.apply(ActivateTable(1))
    for index in catalog.tables["music"].global_indexes:
        if status != IndexStatus.CREATING:
            catalog.apply(OpenIndex(index.number))
        if status in (IndexStatus.ACTIVE, IndexStatus.DELETING):
            catalog.apply(ActivateIndex(index.number))
        if status == IndexStatus.DELETING:
            catalog.apply(change(deleted_index=index.name))
    return catalog


def change(**changes: object) -> UpdateTable:
    return UpdateTable("music", NOW_MS + 1, **changes)  # type: ignore[arg-type]


def statuses(catalog: Catalog) -> dict[str, IndexStatus]:
    return {index.name: index.status for index in catalog.tables["music"].global_indexes}


def test_an_index_made_with_its_table() -> None:
    """It has a table number of its own, and partitions with ids of their own, and is open before it is fed."""
    catalog = music_with("by-label", "by-name", status=IndexStatus.CREATING)
    first, second = catalog.tables["music"].global_indexes
    assert (first.number, second.number, catalog.next_table_number) == (2, 3, 4)
    assert [each.partition_id for each in first.partitions + second.partitions] == [102, 103, 104, 105]
    assert catalog.next_partition_id == 106
    assert first.partitions[0].node_ids == (3, 1, 2)
    assert (first.settings, first.created_at_ms) == (UNITS, create().created_at_ms)
    assert not first.is_fed
    catalog.apply(OpenIndex(2))
    assert catalog.tables["music"].global_indexes[0].is_fed
    catalog.apply(ActivateIndex(2))
    assert statuses(catalog) == {"by-label": IndexStatus.ACTIVE, "by-name": IndexStatus.CREATING}


def test_an_index_of_a_live_table() -> None:
    """The table goes on as it was."""
    catalog = music_with()
    catalog.apply(change(created_index=planned()))
    (index,) = catalog.tables["music"].global_indexes
    assert (index.number, index.status, index.created_at_ms) == (2, IndexStatus.CREATING, NOW_MS + 1)
    assert catalog.tables["music"].status == TableStatus.ACTIVE
    assert catalog.index_of(2) == (catalog.tables["music"], index)
    assert catalog.index_of(3) is None


@pytest.mark.parametrize("status", [IndexStatus.CREATING, IndexStatus.FILLING, IndexStatus.ACTIVE])
def test_an_index_is_deleted_whatever_it_was(status: IndexStatus) -> None:
    """It is fed no more; when that is so, what nodes have of it is garbage, and its number is never used again."""
    catalog = music_with("by-label", status=status)
    assert catalog.apply(RemoveIndex(2)) is None, "nobody has asked for that"
    catalog.apply(change(deleted_index="by-label"))
    assert statuses(catalog) == {"by-label": IndexStatus.DELETING}
    assert not catalog.tables["music"].global_indexes[0].is_fed
    assert catalog.apply(OpenIndex(2)) is None
    assert catalog.apply(ActivateIndex(2)) is None
    assert catalog.garbage == {}
    catalog.apply(RemoveIndex(2))
    assert statuses(catalog) == {}
    assert catalog.garbage == {102: {1, 2, 3}, 103: {1, 2, 3}}
    assert catalog.apply(RemoveIndex(2)) is None, "it may be proposed twice"
    catalog.apply(change(created_index=planned()))
    assert catalog.tables["music"].global_indexes[0].number == 3


def test_steps_are_taken_in_order_and_once() -> None:
    """Each may be proposed twice, or late."""
    catalog = music_with("by-label", status=IndexStatus.CREATING)
    assert catalog.apply(ActivateIndex(2)) is None
    assert catalog.apply(OpenIndex(2)) is not None
    assert catalog.apply(OpenIndex(2)) is None
    assert catalog.apply(ActivateIndex(2)) is not None
    assert catalog.apply(ActivateIndex(2)) is None
    assert catalog.apply(OpenIndex(9)) is None


def test_a_deleted_table_takes_its_indexes_along() -> None:
    """Whatever they were just about to become."""
    catalog = music_with("by-label", status=IndexStatus.FILLING)
    catalog.apply(DeleteTable("music"))
    assert catalog.apply(ActivateIndex(2)) is None
    catalog.apply(RemoveTable(1, ((100, ()), (101, ()), (102, (3,)), (103, ()))))
    assert (catalog.tables, catalog.garbage) == ({}, {102: {3}})
    assert catalog.apply(RemoveIndex(2)) is None


def test_replicas_of_indexes_count() -> None:
    """A node that holds one is not removed, and one that was removed gets none."""
    catalog = music_with("by-label")
    assert catalog.held_by(3) == 4
    found = catalog.partition_of(103)
    assert found is not None
    assert found[1] == catalog.tables["music"].global_indexes[0].partitions[1]
    catalog.apply(DeleteTable("music"))
    catalog.apply(RemoveTable(1, ()))
    catalog.apply(DrainNode("storage-3"))
    catalog.apply(RemoveNode("storage-3"))
    assert isinstance(catalog.apply(create_indexed(planned())), ServiceUnavailableError)
    for number in (4, 5):
        catalog.apply(RegisterNode(f"storage-{number}", "zone-3", f"host:{number}", f"d{number}"))
    catalog.apply(replace(create(), partitions=(PlannedPartition(b"", b"", (1, 2, 4)),)))
    catalog.apply(ActivateTable(catalog.next_table_number - 1))
    before = repr(catalog)
    assert isinstance(catalog.apply(change(created_index=planned(), is_protected=True)), ServiceUnavailableError)
    assert repr(catalog) == before, "all of it or nothing"


@pytest.mark.parametrize(
    ("status", "is_due"),
    [
        (IndexStatus.CREATING, False),
        (IndexStatus.FILLING, True),
        (IndexStatus.ACTIVE, True),
        (IndexStatus.DELETING, False),
    ],
)
def test_members_of_an_index_are_replaced_while_it_is_in_use(status: IndexStatus, is_due: bool) -> None:
    """Not before all of them have opened it: a member that is `fresh` may make its replica from nothing."""
    catalog = music_with("by-label", status=status)
    catalog.apply(RegisterNode("storage-4", "zone-3", "host:4", "d4"))
    assert (catalog.apply(ReplaceMember(103, 3, 4)) is not None) == is_due
    partitions = catalog.tables["music"].global_indexes[0].partitions
    assert [each.node_ids for each in partitions] == [(3, 1, 2), (2, 4, 1) if is_due else (2, 3, 1)]
    assert catalog.tables["music"].partitions[0].node_ids == (1, 2, 3)


ONE_AT_A_TIME = "Only 1 online index can be created or deleted simultaneously per table"


@pytest.mark.parametrize(
    ("names", "status", "command", "kind", "sentence"),
    [
        (["by-label"], IndexStatus.ACTIVE, change(created_index=planned()), ValidationError, "already exists"),
        ([], IndexStatus.ACTIVE, change(created_index=planned("by-year")), ValidationError, "already exists"),
        (["a-a"], IndexStatus.FILLING, change(created_index=planned()), LimitExceededError, ONE_AT_A_TIME),
        (["a-a"], IndexStatus.CREATING, change(created_index=planned()), LimitExceededError, ONE_AT_A_TIME),
        (["a-a"], IndexStatus.DELETING, change(created_index=planned()), LimitExceededError, ONE_AT_A_TIME),
        (["a-a", "a-b"], IndexStatus.FILLING, change(deleted_index="a-a"), LimitExceededError, ONE_AT_A_TIME),
        (["a-a"], IndexStatus.DELETING, change(deleted_index="a-a"), ResourceInUseError, "being deleted: a-a"),
        ([], IndexStatus.ACTIVE, change(deleted_index="a-a"), ResourceNotFoundError, "Index: a-a not found"),
        (
            [],
            IndexStatus.ACTIVE,
            change(deleted_index="by-year"),
            ValidationError,
            "Cannot delete an index that is not",
        ),
        (
            [],
            IndexStatus.ACTIVE,
            change(index_updates=(IndexUpdate("by-year", 1, 1),)),
            ValidationError,
            "Cannot update an index that is not a GlobalSecondaryIndex: by-year",
        ),
        (
            ["a-a"],
            IndexStatus.ACTIVE,
            change(index_updates=(IndexUpdate("a-b", 1, 1),)),
            ResourceNotFoundError,
            "Index: a-b not found",
        ),
        (
            ["a-a"],
            IndexStatus.FILLING,
            change(index_updates=(IndexUpdate("a-a", 9, 9),)),
            ResourceInUseError,
            "being created: a-a",
        ),
        (
            ["a-a"],
            IndexStatus.ACTIVE,
            change(index_updates=(IndexUpdate("a-a", 1, 2),)),
            ValidationError,
            "The provisioned throughput for the index a-a will not change",
        ),
        (
            [f"a-{number}" for number in range(GLOBAL_INDEXES_MAX)],
            IndexStatus.ACTIVE,
            change(created_index=planned()),
            LimitExceededError,
            "exceeds the per-table limit of 20",
        ),
        (
            [],
            IndexStatus.ACTIVE,
            change(created_index=planned(partition_keys=(KeyAttribute("artist", "B"),))),
            ValidationError,
            "Duplicate attribute definition: artist",
        ),
        (
            [],
            IndexStatus.ACTIVE,
            change(created_index=replace(planned(), settings=TableSettings())),
            ValidationError,
            "ProvisionedThroughput must be specified for index: by-label",
        ),
        (
            ["a-a"],
            IndexStatus.ACTIVE,
            change(billing_mode="PAY_PER_REQUEST", index_updates=(IndexUpdate("a-a", 3, 3),)),
            ValidationError,
            "WriteCapacityUnits can be specified for index: a-a when BillingMode is PAY_PER_REQUEST",
        ),
    ],
)
def test_what_is_refused_changes_nothing(
    names: list[str], status: IndexStatus, command: UpdateTable, kind: type[StatorError], sentence: str
) -> None:
    """Nor does what was asked for along with it."""
    catalog = music_with(*names, status=IndexStatus.ACTIVE if status == IndexStatus.DELETING else status)
    if status == IndexStatus.DELETING:
        catalog.apply(change(deleted_index=names[0]))
    before = repr(catalog)
    refusal = catalog.apply(replace(command, is_protected=True))
    assert isinstance(refusal, kind)
    assert sentence in refusal.message
    assert repr(catalog) == before


@pytest.mark.parametrize(
    ("indexes", "sentence"),
    [
        ([planned(), planned()], "Duplicate index name: by-label"),
        ([planned("by-year")], "Duplicate index name: by-year"),
        ([planned(f"a-{number}") for number in range(21)], "GlobalSecondaryIndex count exceeds"),
        (
            [planned(f"a-{n}", projection="INCLUDE", non_key_attributes=tuple(map(str, range(20)))) for n in range(5)],
            "Total number of projected NonKeyAttributes exceeds per-table limit of 100",
        ),
        ([planned(sort_keys=(KeyAttribute("year", "S"),))], "Duplicate attribute definition: year"),
        ([replace(planned(), settings=TableSettings())], "must be specified for index: by-label"),
    ],
)
def test_what_is_refused_of_a_new_table(indexes: Sequence[PlannedIndex], sentence: str) -> None:
    """Routers refuse all this first."""
    catalog = Catalog()
    refusal = catalog.apply(create_indexed(*indexes))
    assert isinstance(refusal, ValidationError)
    assert sentence in refusal.message
    assert catalog == Catalog()


def test_throughput() -> None:
    """Each index has its own, and all are paid for as the table is."""
    catalog = music_with("a-a", "a-b")
    catalog.apply(change(index_updates=(IndexUpdate("a-b", 7, 1, warm_read_units=50),)))
    first, second = catalog.tables["music"].global_indexes
    assert (first.settings, second.settings.read_units, second.settings.write_units) == (UNITS, 7, 1)
    assert (second.settings.decreases, second.settings.last_increase_ms) == (1, NOW_MS + 1)
    assert second.settings.warm_read_units == 50
    catalog.apply(change(billing_mode="PAY_PER_REQUEST", index_updates=(IndexUpdate("a-a", max_write_units=9),)))
    first, second = catalog.tables["music"].global_indexes
    assert first.settings.is_on_demand and second.settings.is_on_demand
    assert (first.settings.max_write_units, second.settings.max_write_units) == (9, 0)
    back = change(billing_mode="PROVISIONED", read_units=5, write_units=5)
    refusal = catalog.apply(replace(back, index_updates=(IndexUpdate("a-a", 3, 3),)))
    assert isinstance(refusal, ValidationError)
    assert refusal.message.endswith("ProvisionedThroughput must be specified for index: a-b")
    assert catalog.tables["music"].settings.is_on_demand
    catalog.apply(replace(back, index_updates=(IndexUpdate("a-a", 3, 3), IndexUpdate("a-b", 4, 4))))
    first, second = catalog.tables["music"].global_indexes
    assert (first.settings.read_units, first.settings.max_write_units, second.settings.read_units) == (3, 0, 4)


def test_an_index_that_is_being_deleted_is_not_paid_for() -> None:
    """The table may change how it is."""
    catalog = music_with("by-label", status=IndexStatus.DELETING)
    assert isinstance(catalog.apply(change(billing_mode="PAY_PER_REQUEST")), Table)
    refusal = catalog.apply(change(created_index=planned("other")))
    assert isinstance(refusal, LimitExceededError)
    catalog.apply(RemoveIndex(2))
    refusal = catalog.apply(change(created_index=planned()))
    assert isinstance(refusal, ValidationError)
    assert "can be specified for index: by-label when BillingMode is PAY_PER_REQUEST" in refusal.message
    assert isinstance(catalog.apply(change(created_index=replace(planned(), settings=TableSettings()))), Table)
