"""`stator cluster`."""

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from stator.cli.connect import EndpointOption, TimeoutOption, connected
from stator.cli.exits import REFUSED, fail
from stator.cli.output import OutputFormat, format_bytes, print_json, print_table, to_json

if TYPE_CHECKING:
    from stator.descriptions import (
        ClusterDescription,
        ClusterEvent,
        ClusterEvents,
        NodeDescription,
        PartitionDescription,
    )
    from stator.sync_client import Client

FOLLOW_S = 0.5
"""Between two questions for what is new."""

app = typer.Typer(
    no_args_is_help=True, help="Look at a cluster, and at what has happened to it.\n\nExample: stator cluster status"
)


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
        print_nodes(cluster)
        if partitions:
            print()
            _print_partitions(cluster)


@app.command()
def events(
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes after, until Ctrl-C.")] = False,
    limit: Annotated[int, typer.Option("--limit", help="How many of the newest to show first.", min=1, max=1_000)] = 50,
    output: Annotated[
        OutputFormat, typer.Option("--output", help="How to print; as JSON, a document on each line.")
    ] = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Show what has happened: nodes that came and went, leaders that changed, members that were replaced.

    A metadata process tells what it has seen, and what another had seen
    before it began. So it can be asked also where no majority is left; where
    all of them end at once, that is forgotten. The logs of the processes have
    more (`stator local logs`).

    Times are those at which it was seen, in local time. With --follow it is
    asked again and again, also where nobody answers for a while.

    Example: stator cluster events --follow
    """
    from stator.errors import UnknownOperationError

    with connected(endpoint, timeout) as client:
        try:
            told = client.list_events(limit=limit)
        except UnknownOperationError:
            fail("the cluster is of an older version, which keeps no history of what happens.", REFUSED)
        if output is OutputFormat.TABLE:
            _note(_beginning(told, limit))
        for event in told.events if not follow else followed(client, told, _note):
            print(_as_line(event) if output is OutputFormat.TABLE else to_json(_as_document(event)), flush=True)


def _note(sentence: str) -> None:
    """To people: what reads the events does not see it."""
    print(sentence, file=sys.stderr, flush=True)


def followed(
    client: "Client",
    told: "ClusterEvents",
    note: Callable[[str], None],
    wait: Callable[[float], None] = time.sleep,
) -> "Iterator[ClusterEvent]":
    """What has been told, and all that comes after it, without end; notes who tells it, what is missing, and that
    nobody answers, once."""
    from stator.errors import DeadlineExceededError, UnavailableError

    is_answered = True
    while True:
        yield from told.events
        if not told.events:
            wait(FOLLOW_S)
        try:
            told = client.list_events(told.next)
        except (UnavailableError, DeadlineExceededError):
            if is_answered:
                note("Nobody answers. It is asked again until somebody does.")
            is_answered, told = False, replace(told, events=())
            continue
        if told.is_elsewhere:
            note(f"{told.told_by} tells from here: some may have been told already, and some be missing.")
        elif not is_answered:
            note(f"{told.told_by} answers again.")
        if told.missed:
            note(f"{count(told.missed, 'event')} came too fast to be told: {told.told_by} keeps only the newest.")
        is_answered = True


def _beginning(told: "ClusterEvents", limit: int) -> str:
    """Whose story it is, and since when."""
    if told.since is None:
        return f"{told.told_by} has yet to learn what there is. It does when a majority of the metadata processes runs."
    since = f"{told.since.astimezone():%Y-%m-%d %H:%M:%S}"
    if not told.events:
        return f"Nothing has happened that {told.told_by} knows of, since {since}."
    newest = f", the newest {limit} (--limit)" if len(told.events) == limit else ""
    return f"What {told.told_by} knows of, since {since}{newest}:"


def _as_line(event: "ClusterEvent") -> str:
    when = event.at.astimezone()
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03}  {event.kind:<8}  {event.text}"


def _as_document(event: "ClusterEvent") -> dict[str, object]:
    return {**asdict(event), "at": event.at.isoformat(timespec="milliseconds")}


def print_nodes(cluster: "ClusterDescription") -> None:
    """The table of the nodes, and in sentences what is not as it should be."""
    rows = [
        [
            *(node.name, node.role, node.zone, state_of(node)),
            *(node.replicas, _leads(node), node.address, note_of(cluster, node)),
        ]
        for node in sorted(cluster.nodes, key=lambda node: (node.role, natural(node.name)))
    ]
    columns = ["node", "role", "zone", "state", "replicas", "leads", "address", "note"]
    print_table(columns, rows, right=["replicas", "leads"])
    tables = Counter(partition.table_name for partition in cluster.partitions)
    leaderless = Counter(_of(partition) for partition in cluster.partitions if partition.leader is None)
    dead = sorted((node.name for node in cluster.nodes if not node.is_alive), key=natural)
    counts = f"{count(len(tables), 'table')}, {count(len(cluster.partitions), 'partition')}"
    of_which = f": {', '.join(f'{number} of {name}' for name, number in leaderless.items())}" if leaderless else ""
    print(f"\n{counts}, {leaderless.total()} without a leader{of_which}.")
    _print_majority(cluster)
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


def _print_majority(cluster: "ClusterDescription") -> None:
    """Who was asked answers from what it knows, also where nobody can decide anything."""
    alive = [node.is_alive for node in cluster.nodes if node.role == "metadata"]
    if alive and alive.count(True) <= len(alive) // 2:
        print(
            f"Only {alive.count(True)} of {count(len(alive), 'metadata process', 'metadata processes')} can be reached "
            "from the one that answers. Until more are, no table is created, changed or deleted, nothing heals, "
            "and what is shown may be old."
        )


def _leads(node: "NodeDescription") -> int | str:
    if node.role == "storage":
        return node.leaders
    return "" if not node.is_alive else "leader" if node.is_leader else "follower"


def note_of(cluster: "ClusterDescription", node: "NodeDescription") -> str:
    """What a node says of itself, or is to be said of it."""
    return "; ".join(each for each in (node.note, drain_obstacle(cluster, node)) if each)


def drain_obstacle(cluster: "ClusterDescription", node: "NodeDescription") -> str:
    """Why what a drained node has cannot go to another now; empty: it can. The others of its partitions must live, and
    somebody must have room for it whose zone has none of them."""
    if not node.is_draining:
        return ""
    storage = {each.node_id: each for each in cluster.nodes if each.role == "storage"}
    for partition in cluster.partitions:
        if any(each.node_id == node.node_id and each.state == "leaving" for each in partition.replicas):
            continue  # another is taking its place already
        others = [replica for replica in partition.replicas if replica.node_id != node.node_id]
        if len(others) == len(partition.replicas):
            continue
        for other in others:
            if other.node_id in storage and not storage[other.node_id].is_alive:
                return f"cannot move: waits for {storage[other.node_id].name}"
        zones = {other.zone for other in others}
        if not any(each.is_alive and not each.is_draining and each.zone not in zones for each in storage.values()):
            return f"cannot move: no other node of {node.zone}"
    return ""


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


def count(number: int, what: str, several: str = "") -> str:
    """ "1 replica", "1,000 replicas"; `several`: where that is not made with an s."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {several or what + 's'}"
