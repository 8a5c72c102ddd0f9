"""`stator cluster`."""

import re
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stator.cli.connect import EndpointOption, TimeoutOption, connected
from stator.cli.output import OutputFormat, print_json, print_table

if TYPE_CHECKING:
    from stator.descriptions import ClusterDescription

app = typer.Typer(no_args_is_help=True, help="Look at a cluster.\n\nExample: stator cluster status")


@app.command()
def status(
    partitions: Annotated[
        bool, typer.Option("--partitions", help="List every partition with its replicas too.")
    ] = False,
    output: Annotated[OutputFormat, typer.Option("--output", help="How to print.")] = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Show the nodes, whether they are alive, and what they lead. JSON has the partitions as well.

    Example: stator cluster status --partitions
    """
    with connected(endpoint, timeout) as client:
        cluster = client.describe_cluster()
        if output is OutputFormat.JSON:
            document = asdict(cluster)
            for partition in document["partitions"]:
                for bound in ("range_start", "range_end"):
                    partition[bound] = partition[bound].hex()
            print_json(document)
            return
        _print_nodes(cluster)
        if partitions:
            print()
            _print_partitions(cluster)


def _print_nodes(cluster: "ClusterDescription") -> None:
    rows = [
        [
            *(node.name, node.role, node.zone, "alive" if node.is_alive else "NOT ALIVE"),
            *(node.replicas, node.leaders if node.role == "storage" else "leader" if node.is_leader else "follower"),
            *(node.address, node.note),
        ]
        for node in sorted(cluster.nodes, key=lambda node: (node.role, _natural(node.name)))
    ]
    columns = ["node", "role", "zone", "state", "replicas", "leads", "address", "note"]
    print_table(columns, rows, right=["replicas", "leads"])
    tables = Counter(partition.table_name for partition in cluster.partitions)
    leaderless = [partition for partition in cluster.partitions if partition.leader is None]
    dead = [node.name for node in cluster.nodes if not node.is_alive]
    counts = f"{_count(len(tables), 'table')}, {_count(len(cluster.partitions), 'partition')}"
    print(f"\n{counts}, {len(leaderless)} without a leader.")
    if dead:
        print(f"Not alive: {', '.join(dead)}.")


def _print_partitions(cluster: "ClusterDescription") -> None:
    names = {node.node_id: node.name for node in cluster.nodes}
    rows = []
    for partition in cluster.partitions:
        leader = partition.leader
        followers = [
            names.get(r.node_id, str(r.node_id)) + (f" ({r.state})" if r.state else "")
            for r in partition.replicas
            if not r.is_leader
        ]
        rows.append(
            [
                *(partition.table_name, partition.partition_id, partition.range_start.hex()[:8] or "-"),
                *(partition.range_end.hex()[:8] or "-", names.get(leader.node_id, "?") if leader else "none"),
                ", ".join(followers),
            ]
        )
    print_table(["table", "partition", "from", "to", "leader", "followers"], rows, right=["partition"])


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts storage-10 after storage-9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
