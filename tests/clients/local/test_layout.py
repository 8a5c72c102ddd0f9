"""Which processes a local cluster has."""

from pathlib import Path

import pytest
from stator.local.errors import UnknownProcessError
from stator.local.layout import ClusterOptions, Port, Role, internal_names, node_names, plan_cluster, select

DATA = Path("/data")


def plan(nodes_per_zone: int = 1, *, is_first_start: bool = False, auth: bool = False) -> dict[str, tuple[str, ...]]:
    names = internal_names(nodes_per_zone)
    plans = plan_cluster(
        DATA,
        nodes_per_zone=nodes_per_zone,
        http_ports=[8000, 8001, 8002],
        grpc_ports=[9000, 9001, 9002],
        internal_ports={name: 20_000 + index for index, name in enumerate(names)},
        is_first_start=is_first_start,
        auth=auth,
    )
    return {process.name: process.arguments for process in plans}


def test_command_lines() -> None:
    """Each service is started as its command line is documented."""
    lines = {name: " ".join(arguments) for name, arguments in plan().items()}
    members = "1@zone-1=127.0.0.1:20000,2@zone-2=127.0.0.1:20001,3@zone-3=127.0.0.1:20002"
    metadata = "--metadata 127.0.0.1:20000,127.0.0.1:20001,127.0.0.1:20002"
    assert lines["metadata-2"] == (
        "--name metadata-2 --zone zone-2 --listen 127.0.0.1:20001 --data /data/metadata-2 "
        f"--node-id 2 --members {members}"
    )
    assert lines["storage-3"] == (
        f"--name storage-3 --zone zone-3 --listen 127.0.0.1:20005 --data /data/storage-3 "
        f"--frame-listen 127.0.0.1:20008 {metadata}"
    )
    assert lines["router-1"] == (
        f"--name router-1 --zone zone-1 --http-listen 127.0.0.1:8000 --grpc-listen 127.0.0.1:9000 {metadata}"
    )
    assert len(lines) == 9


def test_only_the_first_start_bootstraps() -> None:
    """--bootstrap true is for metadata processes, and for a first start."""
    first = plan(is_first_start=True)
    assert {name for name, arguments in first.items() if "--bootstrap" in arguments} == {
        "metadata-1",
        "metadata-2",
        "metadata-3",
    }
    assert not any("--bootstrap" in arguments for arguments in plan().values())


def test_more_nodes_keep_the_names_of_those_before() -> None:
    """storage-1 to storage-3 stay in their zones when a second node a zone is added."""
    one, two = node_names(1), node_names(2)
    assert one.items() <= two.items()
    assert two["storage-4"] == (Role.STORAGE, "zone-1")
    assert len(two) == 12


def test_signatures_are_verified_only_when_asked_for() -> None:
    """Routers get the root access key, metadata processes the key that seals secrets; storage nodes need neither."""
    lines = {name: " ".join(arguments) for name, arguments in plan(auth=True).items()}
    for name, line in plan().items():
        added = lines[name].removeprefix(" ".join(line)).strip()
        assert (
            added
            == {
                "router": f"--auth true --root-credentials-file {DATA}/root_credentials.toml",
                "metadata": f"--secrets-key-file {DATA}/secrets.key",
                "storage": "",
            }[name.partition("-")[0]]
        )


def test_selection_by_name_zone_role_and_all() -> None:
    """Words add up; the order is the cluster's; an unknown word is an error that lists what there is."""
    known = [(name, role, zone) for name, (role, zone) in node_names(1).items()]
    assert select(["router-1", "storage-2"], known) == ["storage-2", "router-1"]
    assert select(["zone-1"], known) == ["metadata-1", "storage-1", "router-1"]
    assert select(["storage"], known) == ["storage-1", "storage-2", "storage-3"]
    assert len(select(["all"], known)) == 9
    with pytest.raises(UnknownProcessError, match="storage-1, storage-2"):
        select(["storage-9"], known)


def test_ports_of_a_process() -> None:
    """A router has two doors; health is asked at the gRPC one."""
    plans = plan_cluster(
        DATA,
        nodes_per_zone=1,
        http_ports=[8000, 8001, 8002],
        grpc_ports=[9000, 9001, 9002],
        internal_ports=dict.fromkeys(internal_names(1), 20_000),
        is_first_start=False,
    )
    assert plans[-1].ports == (Port("http", 8002), Port("grpc", 9002))
    assert (plans[-1].grpc_port, plans[-1].module, plans[3].module) == (9002, "router", "storage_node")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ClusterOptions(DATA, http_port=70_000), "--http-port 70000"),
        (ClusterOptions(DATA, http_port=9001), "overlap"),
        (ClusterOptions(DATA, nodes_per_zone=0), "--nodes-per-zone"),
        (ClusterOptions(DATA, log_level="loud"), "--log-level"),
        (ClusterOptions(DATA, ready_timeout_s=0), "--ready-timeout"),
    ],
)
def test_options_that_cannot_be(options: ClusterOptions, words: str) -> None:
    """Each is one sentence that names the flag."""
    assert [words in problem for problem in options.problems()] == [True]
    assert ClusterOptions(DATA, http_port=0, grpc_port=0).problems() == []
