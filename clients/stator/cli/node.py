"""`stator node`: storage nodes that come and go."""

import contextlib
import difflib
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stator.cli.cluster import count, drain_obstacle, natural, note_of, state_of
from stator.cli.connect import EndpointOption, TimeoutOption, connected
from stator.cli.exits import REFUSED, fail
from stator.cli.output import OutputFormat, print_json, print_table

if TYPE_CHECKING:
    from stator.sync_client import Client

app = typer.Typer(
    no_args_is_help=True,
    help="Look at storage nodes, and take them out of the cluster.\n\n"
    "A node that is started with a name of its own is put to use by itself. To take one out: drain it, wait until it "
    "has no replicas, remove it. Reads and writes go on meanwhile. Where signatures are verified, `drain`, `undrain` "
    "and `remove` need the root access key, as `stator user` does.\n\n"
    "Example: stator node drain storage-1",
)


@contextlib.contextmanager
def _known(client: "Client", name: str) -> Iterator[None]:
    """Names the nodes that there are, where `name` is none of them."""
    from stator.errors import ResourceNotFoundError

    try:
        yield
    except ResourceNotFoundError:
        names = sorted((node.name for node in client.describe_cluster().nodes if node.role == "storage"), key=natural)
        close = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}."
        fail(f"there is no storage node {name!r}; {hint}", REFUSED)


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As `stator node list` shows it.")]


@app.command("list")
def list_(
    output: Annotated[OutputFormat, typer.Option("--output", help="How to print.")] = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """List the storage nodes, and how many replicas each has and leads.

    Example: stator node list
    """
    with connected(endpoint, timeout) as client:
        cluster = client.describe_cluster()
        nodes = [node for node in cluster.nodes if node.role == "storage"]
        nodes.sort(key=lambda node: natural(node.name))
        if output is OutputFormat.JSON:
            print_json([asdict(node) for node in nodes])
            return
        rows = [
            [node.name, node.zone, state_of(node), node.replicas, node.leaders, node.address, note_of(cluster, node)]
            for node in nodes
        ]
        columns = ["node", "zone", "state", "replicas", "leads", "address", "note"]
        print_table(columns, rows, right=["replicas", "leads"])


@app.command()
def drain(name: NameArgument, endpoint: EndpointOption = None, timeout: TimeoutOption = 10.0) -> None:
    """Move a node's replicas to other nodes of its zone, so that it can be removed. It goes on serving what it has.

    This returns at once. A zone without another node has nowhere to move them: they stay. `stator node undrain` takes
    it back.

    Example: stator node drain storage-1
    """
    with connected(endpoint, timeout, is_root=True) as client, _known(client, name):
        node = client.drain_node(name)
        if node.replicas:
            left = count(node.replicas, "replica") + (" is" if node.replicas == 1 else " are")
            pace = ", a few at a time" if node.replicas > 1 else ""
            print(f"{node.name} ({node.zone}) is being drained: {left} to move{pace}.")
            if obstacle := drain_obstacle(client.describe_cluster(), node):
                print(f"For now it {obstacle}. `stator node undrain {node.name}` takes it back.")
            print("See `stator node list`; when it has none: stator node remove", node.name)
        else:
            print(f"{node.name} ({node.zone}) has no replicas and gets none: stator node remove", node.name)


@app.command()
def undrain(name: NameArgument, endpoint: EndpointOption = None, timeout: TimeoutOption = 10.0) -> None:
    """Put a node that was to be drained to use again.

    Example: stator node undrain storage-1
    """
    with connected(endpoint, timeout, is_root=True) as client, _known(client, name):
        node = client.drain_node(name, cancel=True)
        print(f"{node.name} ({node.zone}) is in use again, with {count(node.replicas, 'replica')}.")


@app.command()
def remove(name: NameArgument, endpoint: EndpointOption = None, timeout: TimeoutOption = 10.0) -> None:
    """Take a node that has no replicas out of the cluster, for good. Its process ends.

    Its data folder may not join again; the name may, with an empty folder. A node that still has replicas is refused:
    drain it, or, if it is dead, wait until others have taken its place.

    Example: stator node remove storage-1
    """
    with connected(endpoint, timeout, is_root=True) as client, _known(client, name):
        node = client.remove_node(name)
        print(f"{node.name} ({node.zone}) is no part of the cluster any more. Its data folder can be deleted.")
