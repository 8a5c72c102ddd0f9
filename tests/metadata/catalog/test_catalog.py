"""The catalog: what each command does, and that it does the same everywhere."""

from __future__ import annotations

import copy
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.catalog.catalog import FIRST_PARTITION_ID, Catalog, Node, Table, TableStatus, User
from metadata.catalog.commands import (
    ActivateTable,
    Command,
    CreateTable,
    CreateUser,
    DeleteTable,
    DisableUser,
    FoundCluster,
    PartitionsDropped,
    PlannedPartition,
    RegisterNode,
    RemoveTable,
    TagTable,
    UntagTable,
    UpdateTable,
    UpdateTimeToLive,
)
from metadata.catalog.members import Partition
from metadata.catalog.settings import TableSettings
from server.model.errors import LimitExceededError, ResourceInUseError, ResourceNotFoundError, ValidationError
from server.model.limits import USERS_MAX
from server.model.table import KeyAttribute, KeySchema, LocalIndex
from tests.metadata import strategies

SCHEMA = KeySchema(KeyAttribute("artist", "S"), KeyAttribute("song", "S"))
BY_YEAR = LocalIndex(1, "by-year", KeyAttribute("year", "N"), "INCLUDE", ("label",))
SETTINGS = TableSettings(read_units=5, write_units=6)
NOW_MS = 1_700_000_000_000
CHANGES = (
    UpdateTable("music", NOW_MS, "PAY_PER_REQUEST", is_protected=True),
    TagTable("music", (("stage", "test"), ("owner", "nobody"))),
    UntagTable("music", ("owner", "other")),
    UpdateTimeToLive("music", NOW_MS, "until", True),
)
HALF = b"\x80" + bytes(15)


def create(name: str = "music") -> CreateTable:
    """A table of two partitions on nodes 1, 2 and 3, with a local index."""
    partitions = (PlannedPartition(b"", HALF, (1, 2, 3)), PlannedPartition(HALF, b"", (2, 1, 3)))
    return CreateTable(name, SCHEMA, SETTINGS, f"id-of-{name}", 1_700_000_000_000, partitions, (BY_YEAR,))


def register(name: str = "storage-1", zone: str = "zone-1", address: str = "a:1", data_id: str = "d1") -> RegisterNode:
    return RegisterNode(name, zone, address, data_id)


def status(catalog: Catalog, name: str = "music") -> TableStatus:
    return catalog.table_named(name).status


class TestFoundCluster:
    def test_the_first_id_stays(self) -> None:
        """Two leaders in a row may both found the cluster: it keeps the id that came first."""
        catalog = Catalog()
        assert catalog.apply(FoundCluster("one")) == "one"
        assert catalog.apply(FoundCluster("two")) == "one"
        assert catalog.cluster_id == "one"


class TestRegisterNode:
    def test_new_nodes_get_ids_in_order(self) -> None:
        """Every name has its own id, the first is 1."""
        catalog = Catalog()
        first = catalog.apply(register())
        second = catalog.apply(register("storage-2", "zone-2", "b:1", "d2"))
        assert first == Node(1, "storage-1", "zone-1", "a:1", "d1")
        assert second == Node(2, "storage-2", "zone-2", "b:1", "d2")
        assert catalog.node_named("storage-2") == second
        assert catalog.node_named("storage-3") is None

    def test_a_known_data_folder_keeps_its_id_at_a_new_address(self) -> None:
        """A node may come back elsewhere with its disk."""
        catalog = Catalog()
        catalog.apply(register())
        assert catalog.apply(register(address="c:9")) == Node(1, "storage-1", "zone-1", "c:9", "d1")
        assert catalog.next_node_id == 2

    def test_another_data_folder_under_a_known_name_is_refused(self) -> None:
        """A node that has lost its disk has forgotten its promises: it must not vote as the one it was."""
        catalog = Catalog()
        catalog.apply(register())
        error = catalog.apply(register(data_id="d2"))
        assert isinstance(error, ValidationError)
        assert error.message.startswith("storage-1 is registered with another data folder")
        assert catalog.nodes[1].data_id == "d1"

    def test_a_node_does_not_change_its_zone(self) -> None:
        """Its partitions were placed by its zone."""
        catalog = Catalog()
        catalog.apply(register())
        error = catalog.apply(register(zone="zone-2"))
        assert isinstance(error, ValidationError)
        assert error.message == "storage-1 is registered in zone-1, not in zone-2"


class TestTables:
    def test_create(self) -> None:
        """A new table is CREATING and has partitions and a number of its own."""
        catalog = Catalog()
        table = catalog.apply(create())
        assert table == Table(
            "music",
            1,
            "id-of-music",
            TableStatus.CREATING,
            SCHEMA,
            SETTINGS,
            1_700_000_000_000,
            (Partition(100, b"", HALF, (1, 2, 3)), Partition(101, HALF, b"", (2, 1, 3))),
            (BY_YEAR,),
        )
        assert catalog.table_named("music") is table
        assert catalog.table_of(1) is table
        assert catalog.table_of(2) is None

    def test_create_twice(self) -> None:
        """The second of two equal names is refused, in DynamoDB's words."""
        catalog = Catalog()
        catalog.check_new_name("music")
        catalog.apply(create())
        error = catalog.apply(create())
        assert isinstance(error, ResourceInUseError)
        assert error.message == "Table already exists: music"
        with pytest.raises(ResourceInUseError, match="Table already exists: music"):
            catalog.check_new_name("music")

    def test_activate(self) -> None:
        """CREATING becomes ACTIVE; for any other table nothing happens."""
        catalog = Catalog()
        table = catalog.apply(create())
        assert isinstance(table, Table)
        assert catalog.apply(ActivateTable(1)) is table
        assert status(catalog) == TableStatus.ACTIVE
        catalog.apply(DeleteTable("music"))
        assert catalog.apply(ActivateTable(1)) is table
        assert status(catalog) == TableStatus.DELETING
        assert catalog.apply(ActivateTable(9)) is None

    def test_delete(self) -> None:
        """An active table becomes DELETING, and stays so when it is deleted again."""
        catalog = Catalog()
        table = catalog.apply(create())
        assert isinstance(table, Table)
        catalog.apply(ActivateTable(1))
        assert catalog.apply(DeleteTable("music")) is table
        assert catalog.apply(DeleteTable("music")) is table
        assert table.status == TableStatus.DELETING

    def test_delete_while_creating(self) -> None:
        """A table that is being created is in use."""
        catalog = Catalog()
        catalog.apply(create())
        error = catalog.apply(DeleteTable("music"))
        assert isinstance(error, ResourceInUseError)
        assert error.message == "Attempt to change a resource which is still in use: Table is being created: music"

    def test_an_unknown_table(self) -> None:
        """Is not found, in DynamoDB's words."""
        catalog = Catalog()
        error = catalog.apply(DeleteTable("music"))
        sentence = "Requested resource not found: Table: music not found"
        assert isinstance(error, ResourceNotFoundError)
        assert error.message == sentence
        for change in CHANGES:
            error = catalog.apply(change)
            assert isinstance(error, ResourceNotFoundError)
            assert error.message == sentence
        with pytest.raises(ResourceNotFoundError, match=sentence):
            catalog.table_named("music")

    def test_changes(self) -> None:
        """What an active table is told to be, it is; the table is the result."""
        catalog = Catalog()
        table = catalog.apply(create())
        assert isinstance(table, Table)
        catalog.apply(ActivateTable(1))
        for change in CHANGES:
            assert catalog.apply(change) is table
        assert table.settings == TableSettings(
            is_protected=True,
            on_demand_at_ms=(NOW_MS,),
            tags=(("stage", "test"),),
            time_to_live="until",
            time_to_live_changed_ms=NOW_MS,
        )

    def test_what_is_being_made_or_deleted_cannot_be_changed(self) -> None:
        """It is in use, in DynamoDB's words."""
        catalog = Catalog()
        table = catalog.apply(create())
        sentence = "Attempt to change a resource which is still in use: Table is being {}: music"
        for doing in ("created", "deleted"):
            for change in CHANGES:
                error = catalog.apply(change)
                assert isinstance(error, ResourceInUseError)
                assert error.message == sentence.format(doing)
            catalog.apply(ActivateTable(1))
            catalog.apply(DeleteTable("music"))
        assert isinstance(table, Table)
        assert table.settings == SETTINGS

    def test_a_protected_table_is_not_deleted(self) -> None:
        """Until the protection is lifted."""
        catalog = Catalog()
        catalog.apply(create())
        catalog.apply(ActivateTable(1))
        catalog.apply(UpdateTable("music", NOW_MS, is_protected=True))
        error = catalog.apply(DeleteTable("music"))
        assert isinstance(error, ValidationError)
        assert error.message == (
            "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection "
            "first."
        )
        assert status(catalog) == TableStatus.ACTIVE
        catalog.apply(UpdateTable("music", NOW_MS, is_protected=False))
        catalog.apply(DeleteTable("music"))
        assert status(catalog) == TableStatus.DELETING

    def test_remove_leaves_what_is_owed(self) -> None:
        """Nodes that were away owe the removal of their replicas, until they report it."""
        catalog = Catalog()
        catalog.apply(create())
        catalog.apply(ActivateTable(1))
        catalog.apply(DeleteTable("music"))
        catalog.apply(RemoveTable(1, ((100, (2, 3)), (101, ()))))
        assert catalog.tables == {}
        assert catalog.garbage == {100: {2, 3}}
        catalog.apply(PartitionsDropped(2, (100, 101)))
        assert catalog.garbage == {100: {3}}
        catalog.apply(PartitionsDropped(3, (999, 100)))
        assert catalog.garbage == {}

    def test_only_a_table_that_is_being_deleted_is_removed(self) -> None:
        """A command proposed twice, or too late, harms nothing."""
        catalog = Catalog()
        table = catalog.apply(create())
        assert catalog.apply(RemoveTable(1, ((100, (1,)),))) is table
        assert catalog.apply(RemoveTable(7, ((100, (1,)),))) is None
        assert list(catalog.tables) == ["music"]
        assert catalog.garbage == {}

    def test_numbers_and_ids_are_never_used_again(self) -> None:
        """Old data of a table that is gone can never pass for a new table's."""
        catalog = Catalog()
        catalog.apply(create())
        catalog.apply(ActivateTable(1))
        catalog.apply(DeleteTable("music"))
        catalog.apply(RemoveTable(1, ()))
        table = catalog.apply(create())
        assert isinstance(table, Table)
        assert table.number == 2
        assert [partition.partition_id for partition in table.partitions] == [102, 103]


@given(st.lists(strategies.commands, max_size=30))
def test_members_that_apply_the_same_commands_are_equal(commands: list[Command]) -> None:
    """Applying is deterministic, in results as in state, and names, numbers and ids stay unique."""
    one, two = Catalog(), Catalog()
    numbers: set[int] = set()
    for command in commands:
        before = one.next_table_number
        assert repr(one.apply(command)) == repr(two.apply(copy.deepcopy(command)))
        assert one == two
        if one.next_table_number != before:
            assert not numbers & set(range(before, one.next_table_number))
            numbers.update(range(before, one.next_table_number))
    ids = [partition.partition_id for table in one.tables.values() for partition in table.all_partitions]
    assert len(set(ids)) == len(ids)
    assert all(FIRST_PARTITION_ID <= partition_id < one.next_partition_id for partition_id in ids)
    assert all(name == table.name for name, table in one.tables.items())
    assert all(node_ids for node_ids in one.garbage.values())
    for table in one.tables.values():
        assert not any(stream.is_on for stream in table.streams[:-1]), "only the newest may be on"
        for earlier, later in itertools.pairwise(table.streams):
            assert (earlier.number, earlier.label) < (later.number, later.label)


class TestUsers:
    def test_a_user_is_found_by_name_and_by_key(self) -> None:
        """And may sign."""
        catalog = Catalog()
        user = catalog.apply(CreateUser("ann", "AKIA1", b"sealed", 5))
        assert user == User("ann", "AKIA1", b"sealed", 5)
        assert catalog.users["ann"] is catalog.users_by_key["AKIA1"] is user

    @pytest.mark.parametrize(
        ("second", "sentence"),
        [
            (CreateUser("ann", "AKIA2", b"", 6), "User already exists: ann"),
            (CreateUser("bob", "AKIA1", b"", 6), "Access key id already exists: AKIA1"),
        ],
    )
    def test_neither_name_nor_key_means_another(self, second: CreateUser, sentence: str) -> None:
        """Also once the first is disabled."""
        catalog = Catalog()
        catalog.apply(CreateUser("ann", "AKIA1", b"sealed", 5))
        for _ in range(2):
            error = catalog.apply(second)
            assert isinstance(error, ResourceInUseError)
            assert error.message == sentence
            assert catalog.users.keys() == {"ann"} and catalog.users_by_key.keys() == {"AKIA1"}
            catalog.apply(DisableUser("ann"))

    def test_users_are_limited(self) -> None:
        """Every member holds them all in memory."""
        catalog = Catalog()
        for number in range(USERS_MAX):
            assert isinstance(catalog.apply(CreateUser(f"u{number}", f"K{number}", b"", 0)), User)
        assert isinstance(catalog.apply(CreateUser("one-more", "K", b"", 0)), LimitExceededError)
        assert len(catalog.users) == USERS_MAX

    def test_a_disabled_user_stays_disabled(self) -> None:
        """Once more does no harm."""
        catalog = Catalog()
        catalog.apply(CreateUser("ann", "AKIA1", b"sealed", 5))
        for _ in range(2):
            assert catalog.apply(DisableUser("ann")) == User("ann", "AKIA1", b"sealed", 5, True)
        assert catalog.users_by_key["AKIA1"].is_disabled

    def test_only_who_is_there_can_be_disabled(self) -> None:
        """A misspelt name must not look like a success."""
        error = Catalog().apply(DisableUser("ann"))
        assert isinstance(error, ResourceNotFoundError)
        assert error.message == "Requested resource not found: User: ann not found"
