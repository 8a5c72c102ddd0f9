"""`stator cluster`."""

import re
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stator.cli.connect import EndpointOption, TimeoutOption, connected
from stator.cli.output import OutputFormat, format_bytes, print_json, print_table

if TYPE_CHECKING:
    from stator.descriptions import ClusterDescription, NodeDescription, PartitionDescription

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
            *(node.name, node.role, node.zone, state_of(node)),
            *(node.replicas, node.leaders if node.role == "storage" else "leader" if node.is_leader else "follower"),
            *(node.address, node.note),
        ]
        for node in sorted(cluster.nodes, key=lambda node: (node.role, natural(node.name)))
    ]
    columns = ["node", "role", "zone", "state", "replicas", "leads", "address", "note"]
    print_table(columns, rows, right=["replicas", "leads"])
    tables = Counter(partition.table_name for partition in cluster.partitions)
    leaderless = [partition for partition in cluster.partitions if partition.leader is None]
    dead = [node.name for node in cluster.nodes if not node.is_alive]
    counts = f"{count(len(tables), 'table')}, {count(len(cluster.partitions), 'partition')}"
    print(f"\n{counts}, {len(leaderless)} without a leader.")
    states = Counter(replica.state for partition in cluster.partitions for replica in partition.replicas)
    if states["log"] or states["leaving"]:
        waits = f"{count(states['log'], 'log replica')} that {'waits' if states['log'] == 1 else 'wait'} for the items"
        print(f"On their way: {waits}, {states['leaving']} leaving.")
    if states["restoring"]:
        print(f"Without its items, which it gets anew: {count(states['restoring'], 'replica')}.")
    _print_progress(cluster)
    healed = [f"{count(node.healed, 'replica')} of {node.name}" for node in cluster.nodes if node.healed]
    if healed:
        print(f"Healed since the process began: {', '.join(healed)}.")
    draining = [node.name for node in cluster.nodes if node.is_draining]
    if draining:
        print(f"Being drained: {', '.join(draining)}.")
    if dead:
        print(f"Not alive: {', '.join(dead)}.")


def _print_progress(cluster: "ClusterDescription") -> None:
    """How far the items have come of each replica that gets them."""
    names = {node.node_id: node.name for node in cluster.nodes}
    for partition in cluster.partitions:
        for replica in partition.replicas:
            done, total, rate = replica.restored_bytes, replica.restoring_bytes, replica.bytes_per_s
            if not done and not total:
                continue
            of = f" of {format_bytes(total)} ({done * 100 // total} %)" if total else ""
            left = f", about {(total - done) // rate + 1} s more" if total and rate else ""
            print(
                f"Coming to {names.get(replica.node_id, replica.node_id)}: partition {partition.partition_id} of "
                f"{_of(partition)}, {format_bytes(done)}{of}, {format_bytes(rate)}/s{left}."
            )


def state_of(node: "NodeDescription") -> str:
    """Whether a node lives, and whether it is to be used."""
    return ("alive" if node.is_alive else "NOT ALIVE") + (", draining" if node.is_draining else "")


def _of(partition: "PartitionDescription") -> str:
    """The table, or the table and its global index."""
    return f"{partition.table_name}/{partition.index_name}" if partition.index_name else partition.table_name


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
                *(_of(partition), partition.partition_id, partition.range_start.hex()[:8] or "-"),
                *(partition.range_end.hex()[:8] or "-", names.get(leader.node_id, "?") if leader else "none"),
                ", ".join(followers),
            ]
        )
    print_table(["table", "partition", "from", "to", "leader", "followers"], rows, right=["partition"])


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts storage-10 after storage-9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def count(number: int, what: str) -> str:
    """ "1 replica", "1,000 replicas"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
