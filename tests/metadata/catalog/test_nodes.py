"""Storage nodes that are drained and removed, as the catalog has it."""

from __future__ import annotations

import pytest

from metadata.catalog.catalog import Catalog, Node
from metadata.catalog.commands import (
    ActivateTable,
    DrainNode,
    MemberReplaced,
    PartitionsDropped,
    PromoteMember,
    RegisterNode,
    RemoveNode,
    ReplaceMember,
)
from server.model.errors import ResourceInUseError, ResourceNotFoundError, ServiceUnavailableError
from tests.metadata.catalog.test_catalog import create


def register(number: int, data_id: str = "", address: str = "") -> RegisterNode:
    zone = (number - 1) % 3 + 1
    return RegisterNode(f"storage-{number}", f"zone-{zone}", address or f"a:{number}", data_id or f"d{number}")


@pytest.fixture
def catalog() -> Catalog:
    """A table on the nodes 1 to 3, in use; 4 and 5 hold nothing."""
    catalog = Catalog()
    for number in range(1, 6):
        catalog.apply(register(number))
    catalog.apply(create())
    catalog.apply(ActivateTable(1))
    return catalog


def refusal(result: object) -> str:
    assert isinstance(result, ResourceInUseError | ResourceNotFoundError | ServiceUnavailableError), result
    return result.message


def test_a_node_is_drained_until_that_is_cancelled(catalog: Catalog) -> None:
    """Also if it comes back at another address meanwhile; each may be said twice."""
    drained = Node(1, "storage-1", "zone-1", "a:1", "d1", is_draining=True)
    assert catalog.apply(DrainNode("storage-1")) == drained
    assert catalog.apply(DrainNode("storage-1")) == drained
    catalog.apply(register(1, address="b:1"))
    assert catalog.nodes[1] == Node(1, "storage-1", "zone-1", "b:1", "d1", is_draining=True)
    for _ in range(2):
        catalog.apply(DrainNode("storage-1", is_cancelled=True))
        assert not catalog.nodes[1].is_draining


def test_nodes_that_there_are_not(catalog: Catalog) -> None:
    """Nothing is drained or removed."""
    for command in (DrainNode("storage-9"), RemoveNode("storage-9")):
        assert refusal(catalog.apply(command)) == "Requested resource not found: Node: storage-9 not found"


def test_a_node_with_replicas_is_not_removed(catalog: Catalog) -> None:
    """The sentence says what to do; one that is about to leave counts, since others still take it for a member."""
    told = refusal(catalog.apply(RemoveNode("storage-1")))
    assert told.startswith("storage-1 still has 2 replicas: drain it (`stator node drain storage-1`)")
    catalog.apply(DrainNode("storage-1"))
    catalog.apply(ReplaceMember(100, 1, 4))
    catalog.apply(MemberReplaced(100, 1))
    catalog.apply(ReplaceMember(101, 1, 4))
    told = refusal(catalog.apply(RemoveNode("storage-1")))
    assert told.startswith("storage-1 still has 1 replica: wait until it has none")
    catalog.apply(MemberReplaced(101, 1))
    assert catalog.garbage == {100: {1}, 101: {1}}
    removed = catalog.apply(RemoveNode("storage-1"))
    assert isinstance(removed, Node) and removed.name == "storage-1"
    assert (catalog.garbage, sorted(catalog.nodes)) == ({}, [2, 3, 4, 5]), "nobody waits for it any more"


def test_a_removed_node_may_come_anew_but_not_back(catalog: Catalog) -> None:
    """Its data folder has promised things under an id that is no more, whatever name it is given now."""
    catalog.apply(RemoveNode("storage-4"))
    assert (catalog.is_removed(4), catalog.is_removed(5), catalog.is_removed(6)) == (True, False, False)
    for number in (4, 9):
        told = refusal(catalog.apply(register(number, data_id="d4")))
        assert told.startswith("the storage node with this data folder was removed from the cluster: storage-")
    assert catalog.apply(register(4, data_id="new")) == Node(6, "storage-4", "zone-1", "a:4", "new")
    assert catalog.is_removed(4)


def test_what_was_decided_before_comes_too_late(catalog: Catalog) -> None:
    """Nobody joins on a node that has been removed, or is to be: the decision and the operator's command crossed."""
    catalog.apply(DrainNode("storage-4"))
    assert catalog.apply(ReplaceMember(100, 1, 4)) is None
    catalog.apply(RemoveNode("storage-4"))
    assert catalog.apply(ReplaceMember(100, 1, 4)) is None
    catalog.apply(ReplaceMember(100, 2, 5))
    for command in (MemberReplaced(100, 2), ReplaceMember(101, 2, 5), MemberReplaced(101, 2)):
        catalog.apply(command)
    for partition_id in (100, 101):
        catalog.apply(PromoteMember(partition_id, 5))
    catalog.apply(PartitionsDropped(2, (100, 101)))
    catalog.apply(RemoveNode("storage-2"))
    assert refusal(catalog.apply(create("films"))).endswith("has just been removed: try again")
    assert list(catalog.tables) == ["music"]
