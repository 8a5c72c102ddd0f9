"""`stator local`: a whole three-zone cluster on this machine."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stator.cli.exits import REFUSED, UNREACHABLE, discard_output, expected_errors, fail
from stator.cli.output import OutputFormat, print_json, print_table

if TYPE_CHECKING:
    from stator.local.folder import DataFolder
    from stator.local.layout import ClusterOptions
    from stator.local.supervisor import Event

app = typer.Typer(
    no_args_is_help=True,
    help="Run a whole three-zone cluster on this machine: three metadata processes, storage nodes and routers.\n\n"
    "Example: stator local up --detach; stator local status; stator local down",
)

DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Data folder. Default: $STATOR_DATA, else ~/.stator/local."),
]
OutputOption = Annotated[OutputFormat, typer.Option("--output", help="How to print.")]
NamesArgument = Annotated[
    list[str],
    typer.Argument(metavar="NAME", help="Processes: a name (storage-1), a zone (zone-1), a role (storage) or all."),
]


_RESTART_S = 900.0
"""What the supervisor may take for one process, and the others' catching up before."""


def _folder(data: Path | None) -> "DataFolder":
    from stator.local.folder import DataFolder, default_data_folder

    return DataFolder(data.expanduser().absolute() if data else default_data_folder(os.environ))


@app.command()
def up(
    data: DataOption = None,
    http_port: Annotated[
        int | None,
        typer.Option(help="First of three HTTP ports, one a zone; 0: any free ones. Default: as the last time, 8000."),
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(help="First of three gRPC ports, likewise. Default: as the last time, 9000.")
    ] = None,
    nodes_per_zone: Annotated[
        int | None, typer.Option(help="Storage nodes a zone. Default: as the data folder has it, 1 for a new one.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when the cluster is ready, and leave it running.")
    ] = False,
    auth: Annotated[
        bool | None,
        typer.Option(
            "--auth/--no-auth",
            help="Verify signatures at both doors: only access keys of `stator user create`, and the root access key "
            "in the data folder, may do anything. Without it any credentials are taken. The ports between the "
            "cluster's own processes stay open to this machine, gRPC signatures cover the call and not its content, "
            "and there is no TLS. Default: as the last time, off for a new cluster.",
        ),
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    ready_timeout: Annotated[
        float, typer.Option(help="Give up when the cluster is not ready after so many seconds.")
    ] = 60.0,
) -> None:
    """Start the cluster. Without --detach it stays here until Ctrl-C. Data is kept across restarts.

    Example: stator local up --data /tmp/stator --http-port 8000
    """
    from stator.local.layout import ClusterOptions

    with expected_errors():
        folder = _folder(data)
        last_http, last_grpc = folder.last_ports()
        http, grpc = last_http if http_port is None else http_port, last_grpc if grpc_port is None else grpc_port
        options = ClusterOptions(folder.path, http, grpc, nodes_per_zone, log_level, ready_timeout, auth)
        problems = options.problems()
        if problems:
            fail(" ".join(problems), 2)
        if detach:
            _up_detached(options)
        else:
            _up_foreground(options)


def _up_detached(options: "ClusterOptions") -> None:
    from stator.local.daemon import start_detached

    progress = _Progress(options, is_detached=True)
    try:
        for event in start_detached(options):
            try:
                progress.show(event)
            except BrokenPipeError:
                # Whoever read the output has seen enough; the cluster is still meant to start.
                discard_output()
    finally:
        progress.end()


def _up_foreground(options: "ClusterOptions") -> None:
    import asyncio

    from stator.local.daemon import supervise

    progress = _Progress(options, is_detached=False)
    try:
        asyncio.run(supervise(options, progress.show))
    finally:
        progress.end()
    print("Stopped. The data stays in", options.data)


class _Progress:
    """Tells what the supervisor does: one line that is drawn over until the cluster is ready, then only news."""

    def __init__(self, options: "ClusterOptions", *, is_detached: bool) -> None:
        self._options = options
        self._is_detached = is_detached
        self._states: dict[str, str] = {}
        self._is_ready = False
        self._is_drawn = False
        self._is_stopping = False

    def show(self, event: "Event") -> None:
        from stator.local.supervisor import ClusterReady, ClusterStopping, ProcessDied

        if isinstance(event, ClusterReady):
            self._is_ready = True
            self.end()
            self._show_ready(event)
        elif isinstance(event, ProcessDied):
            self.end()
            print(f"\nWARNING: {event.sentence} It wrote last:", file=sys.stderr)
            for line in event.log_tail:
                print(f"    {line}", file=sys.stderr)
            sys.stderr.flush()
        elif isinstance(event, ClusterStopping):
            self._is_stopping = True
            self.end()
            print("Stopping ...", flush=True)
        elif not self._is_stopping:
            self._states[event.name] = str(event.state)
            if self._is_ready:
                print(f"{event.name} ({event.zone}): {event.state}", flush=True)
            elif sys.stdout.isatty():
                ready = sum(state == "ready" for state in self._states.values())
                waiting = [name for name, state in self._states.items() if state == "starting"]
                text = f"Starting: {ready} of {len(self._states)} ready; waiting for {', '.join(waiting) or 'nothing'}"
                print(f"\r\033[K{text[:110]}", end="", flush=True)
                self._is_drawn = True

    def end(self) -> None:
        """Removes the line that is drawn over."""
        if self._is_drawn:
            print("\r\033[K", end="", flush=True)
            self._is_drawn = False

    def _show_ready(self, event: Any) -> None:
        from stator.local.layout import GRPC_PORT_DEFAULT

        # The other commands find the cluster by its data folder, programs by its ports.
        is_found = self._options.data == _folder(None).path
        http, grpc = (
            ", ".join(f"127.0.0.1:{port}" for port in ports) for ports in (event.http_ports, event.grpc_ports)
        )
        first = f"http://127.0.0.1:{event.http_ports[0]}"
        total, ready = len(self._states), sum(state == "ready" for state in self._states.values())
        count = f"{total}" if ready == total else f"{ready} of {total}"
        print(f"Stator is ready after {event.start_s:.1f} s: {count} processes in 3 zones.")
        print(f"  HTTP (DynamoDB)  {http}")
        print(f"  gRPC (Stator)    {grpc}")
        print(f"  data             {self._options.data}")
        if event.auth:
            print("  signatures       are verified; the root access key is in the data folder")
        print("Try:")
        if not is_found:
            print(f"  export STATOR_DATA={shlex.quote(str(self._options.data))}")
        if event.grpc_ports[0] != GRPC_PORT_DEFAULT:
            print(f"  export STATOR_ENDPOINTS={grpc.replace(' ', '')}   # for programs that use the SDK")
        stator = "stator" if shutil.which("stator") else os.path.relpath(Path(sys.executable).parent / "stator")
        print(f"  {stator} table create music --partition-key artist:S")
        print(f"  {stator} local status | logs | down")
        if event.auth:
            print(f"  {stator} user create {os.environ.get('USER') or 'ann'}   # shows an access key to export, then:")
        credentials = "" if event.auth else "AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any "
        print(f"  {credentials}aws dynamodb list-tables --endpoint-url {first} --region local")
        if not self._is_detached:
            print("Ctrl-C stops it; the data stays.")
        sys.stdout.flush()


@app.command()
def down(data: DataOption = None) -> None:
    """Stop the cluster: routers, then storage nodes, then metadata. The data stays.

    Example: stator local down
    """
    from stator.local.status import stop_cluster

    with expected_errors():
        folder = _folder(data)
        stop_cluster(folder)
        print("Stopped. The data stays in", folder.path)


@app.command()
def status(data: DataOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """List every process: name, role, zone, pid, state, ports. Ends with 3 when the cluster does not run.

    Example: stator local status --output json
    """
    from stator.local.status import read_status

    with expected_errors():
        folder = _folder(data)
        is_running, processes = read_status(folder)
        _print_processes(processes, output)
        if not is_running:
            print(f"The cluster in {folder.path} is not running: start it with `stator local up`.", file=sys.stderr)
            raise SystemExit(UNREACHABLE)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A process, or supervisor, or all.")] = "all",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is written from now on.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many lines of each log to begin with.")] = 20,
    data: DataOption = None,
) -> None:
    """Show what the processes have logged.

    Example: stator local logs storage-1 -f
    """
    from stator.cli.logs import show_logs

    with expected_errors():
        show_logs(_folder(data), name, lines_max=lines, is_following=follow)


_NEEDS = {"pause": {"starting", "running", "ready"}, "resume": {"paused"}}
"""The states of which one at least must be there: whoever says so would believe that it was done."""


def _command(word: str, summary: str, example: str) -> Callable[..., None]:
    """One of the commands that do something to processes."""

    def run(names: NamesArgument, data: DataOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
        from stator.local.control import ask

        with expected_errors():
            folder = _folder(data)
            if word in _NEEDS:
                states = {entry["name"]: entry["state"] for entry in ask(folder, "status", names)["processes"]}
                if not _NEEDS[word] & set(states.values()):
                    shown = ", ".join(f"{name} is {state}" for name, state in states.items())
                    fail(f"there is nothing to {word}: {shown}.", REFUSED)
            _print_processes(ask(folder, word, names, timeout_s=90.0)["processes"], output)

    run.__doc__ = f"{summary}\n\n    Example: stator local {example}\n    "
    run.__name__ = word
    return run


for _word, _summary, _example in (
    ("kill", "End processes at once, with SIGKILL: what a crash does.", "kill storage-1"),
    ("stop", "End processes cleanly, with SIGTERM: a storage node hands over first what it leads.", "stop storage-1"),
    ("pause", "Halt processes (SIGSTOP): they keep their connections and answer nothing.", "pause zone-1"),
    ("resume", "Let paused processes go on (SIGCONT).", "resume zone-1"),
    ("start", "Start processes that were killed, stopped or ended, and wait until they serve.", "start storage-1"),
):
    app.command(_word)(_command(_word, _summary, _example))


@app.command()
def restart(names: NamesArgument, data: DataOption = None) -> None:
    """Restart processes one after the other, in such a way that nobody notices.

    Each ends cleanly (who leads hands over first), starts again, votes and catches up before it is the next one's turn.
    While another of the same role is down or behind, none is ended.

    Example: stator local restart all
    """
    import time

    from stator.local.control import ask

    with expected_errors():
        folder = _folder(data)
        for known in ask(folder, "status", names)["processes"]:
            name = known["name"]
            if known["state"] == "removed" and name not in names:
                print(f"{name} ({known['zone']}) was removed from the cluster: it is left out.", flush=True)
                continue
            began = time.monotonic()
            (entry,) = ask(folder, "restart", [name], timeout_s=_RESTART_S)["processes"]
            print(f"{name} ({entry['zone']}) was restarted: {time.monotonic() - began:.1f} s", flush=True)


def _print_processes(processes: Sequence[dict[str, Any]], output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        print_json(processes)
        return
    rows = [
        [
            *(entry["name"], entry["zone"], entry["state"], entry["pid"] or "-"),
            ", ".join(f"{port['kind']} {port['port']}" for port in entry["ports"]),
            "" if entry["exit_code"] is None else entry["exit_code"],
        ]
        for entry in processes
    ]
    print_table(["name", "zone", "state", "pid", "ports", "exit code"], rows, right=["pid"])
