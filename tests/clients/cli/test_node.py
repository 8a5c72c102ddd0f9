"""`stator node`, and what `stator cluster status` tells of nodes that come and go."""

from dataclasses import replace

import pytest
from stator.cli.cluster import drain_obstacle, print_nodes
from stator.descriptions import ClusterDescription, NodeDescription, PartitionDescription, ReplicaDescription

from tests.clients.cli.conftest import CommandLine
from tests.clients.conftest import BackgroundCluster


def test_a_node_is_drained_and_put_to_use_again(stator: CommandLine) -> None:
    """What is to be done next is told; `list` and `cluster status` show it."""
    told = stator("node", "drain", "storage-1").out
    assert "storage-1 (zone-1) is being drained: 1 replica is to move" in told
    assert "stator node remove storage-1" in told
    assert "For now it cannot move: waits for storage-3. `stator node undrain storage-1` takes it back." in told
    assert "storage-4 (zone-1) has no replicas and gets none" in stator("node", "drain", "storage-4").out
    rows = {line.split()[0]: line for line in stator("node", "list").out.splitlines()[1:] if line.strip()}
    assert "cannot move: waits for storage-3" in rows["storage-1"] and "cannot move" not in rows["storage-4"]
    assert "alive, draining" in rows["storage-1"] and "draining" not in rows["storage-2"]
    assert "NOT ALIVE" in rows["storage-3"]
    listed = stator("node", "list", "--output", "json").json
    assert [(each["name"], each["is_draining"]) for each in listed] == [
        ("storage-1", True),
        ("storage-2", False),
        ("storage-3", False),
        ("storage-4", True),
    ]
    assert "Being drained: storage-1, storage-4." in stator("cluster", "status").out
    assert "storage-1 (zone-1) is in use again, with 1 replica." in stator("node", "undrain", "storage-1").out
    assert "Being drained: storage-4." in stator("cluster", "status").out


def test_a_node_is_removed_if_it_has_nothing(stator: CommandLine) -> None:
    """The refusal is the server's sentence."""
    assert "storage-4 (zone-1) is no part of the cluster any more" in stator("node", "remove", "storage-4").out
    assert "storage-1 still has replicas" in stator("node", "remove", "storage-1", code=1).err
    for word in ("drain", "undrain", "remove"):
        assert "no storage node 'strage-1'; did you mean storage-1?" in stator("node", word, "strage-1", code=1).err
        assert (
            "no storage node 'nope'; there are storage-1, storage-2, storage-3, storage-4."
            in stator("node", word, "nope", code=1).err
        )


def test_replicas_on_their_way(stator: CommandLine, cluster: BackgroundCluster) -> None:
    """One line, and only while there are any."""
    assert "On their way" not in stator("cluster", "status").out
    cluster.state.replica_states |= {1: "log", 3: "leaving"}
    assert "On their way: 1 log replica that waits for the items, 1 leaving." in stator("cluster", "status").out
    cluster.state.replica_states |= {2: "log"}
    assert "On their way: 2 log replicas that wait for the items, 1 leaving." in stator("cluster", "status").out


def test_items_on_their_way(stator: CommandLine, cluster: BackgroundCluster) -> None:
    """How much has come, of how much, how fast, and for how long that will go on, as far as it is known."""
    assert "Coming" not in stator("cluster", "status").out
    cluster.state.replica_states |= {1: "log", 3: "restoring"}
    mib = 1024 * 1024
    cluster.state.progress |= {1: (100 * mib, 400 * mib, 10 * mib), 3: (mib, 0, 0)}
    told = stator("cluster", "status").out
    first, second = [line for line in told.splitlines() if line.startswith("Coming to")]
    assert (
        first == "Coming to storage-1: partition 100 of music, 100.0 MB of 400.0 MB (25 %), 10.0 MB/s, about 31 s more."
    )
    assert second == "Coming to storage-3: partition 100 of music, 1.0 MB, 0 B/s."
    assert "Without its items, which it gets anew: 1 replica." in told
    assert "Healed since the process began: 2 replicas of storage-2." in told
    replica = stator("cluster", "status", "--output", "json").json["partitions"][0]["replicas"][0]
    assert (replica["restored_bytes"], replica["restoring_bytes"], replica["bytes_per_s"]) == (
        100 * mib,
        400 * mib,
        10 * mib,
    )


def node(number: int, role: str = "storage", *, is_alive: bool = True, is_draining: bool = False) -> NodeDescription:
    zone = f"zone-{(number - 1) % 3 + 1}"
    return NodeDescription(number, f"{role}-{number}", role, zone, "", is_alive, False, 0, 0, "", is_draining)


REPLICAS = tuple(ReplicaDescription(number, f"zone-{number}", is_leader=False) for number in (1, 2, 3))
HELD = PartitionDescription(7, "music", b"", b"", REPLICAS)


@pytest.mark.parametrize(
    ("others", "obstacle"),
    [
        ([node(2), node(3), node(4)], ""),
        ([node(2), node(3)], "cannot move: no other node of zone-1"),
        ([node(2), node(3), node(5), node(6)], "cannot move: no other node of zone-1"),
        ([node(2), node(3), node(4, is_alive=False)], "cannot move: no other node of zone-1"),
        ([node(2), node(3), node(4, is_draining=True)], "cannot move: no other node of zone-1"),
        ([node(2), node(3, is_alive=False), node(4)], "cannot move: waits for storage-3"),
    ],
)
def test_what_keeps_a_node_from_being_drained(others: list[NodeDescription], obstacle: str) -> None:
    """Somebody has to take what it has, and the others of its partitions must live."""
    drained = node(1, is_draining=True)
    assert drain_obstacle(ClusterDescription((drained, *others), (HELD,)), drained) == obstacle
    assert drain_obstacle(ClusterDescription((drained, *others), ()), drained) == "", "it has nothing"
    leaving = replace(HELD, replicas=(replace(REPLICAS[0], state="leaving"), *REPLICAS[1:]))
    assert drain_obstacle(ClusterDescription((drained, *others), (leaving,)), drained) == "", "it is under way"
    used = replace(drained, is_draining=False)
    assert drain_obstacle(ClusterDescription((used, *others), (HELD,)), used) == ""


def test_a_metadata_service_without_a_majority(capsys: pytest.CaptureFixture[str]) -> None:
    """What one process of it knows may be old, and nothing can be decided."""
    lone = [node(number, "metadata", is_alive=number == 3) for number in (1, 2, 3)]
    print_nodes(ClusterDescription((replace(lone[0], is_leader=True), *lone[1:]), (HELD,)))
    told = capsys.readouterr().out
    assert "Only 1 of 3 metadata processes can be reached" in told
    assert "1 table, 1 partition, 1 without a leader: 1 of music." in told
    assert "leader" not in told.splitlines()[1], "of who is not alive that is not known"
    print_nodes(ClusterDescription((node(1, "metadata"), node(2, "metadata"), lone[0]), ()))
    assert "Only" not in capsys.readouterr().out
