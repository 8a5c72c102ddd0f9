"""Entry point of the `stator` command. Imports little: what a command needs is imported when it runs."""

import inspect
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from stator.cli import check, cluster, exits, items, local, node, query, stream, table, transact, transfer, user

app = typer.Typer(
    name="stator",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Stator: a replicated, DynamoDB-compatible database that you run yourself.\n\n"
    "Begin with: stator local up --detach\n\n" + exits.HELP,
)


def _help(command: Callable[..., None]) -> str:
    """The docstring with every paragraph on one line, for the terminal's width to break."""
    return "\n\n".join(" ".join(part.split()) for part in (inspect.getdoc(command) or "").split("\n\n"))


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"stator {version('stator')}")
        raise typer.Exit


@app.callback()
def stator(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself; `app` has its help."""


app.add_typer(local.app, name="local")
app.add_typer(table.app, name="table")
for command in (items.put, items.get, items.update, items.delete, query.query, query.scan):
    app.command(help=_help(command))(command)
app.command(help=_help(transact.transact))(transact.transact)
app.command("import", help=_help(transfer.import_command))(transfer.import_command)
app.command("export", help=_help(transfer.export_command))(transfer.export_command)
app.command(help=_help(stream.stream))(stream.stream)
app.add_typer(check.app, name="check")
app.add_typer(cluster.app, name="cluster")
app.add_typer(node.app, name="node")
app.add_typer(user.app, name="user")


def _run_inner(name: str, arguments: list[str]) -> None:
    """A command whose module is large: imported only when it runs, with help and options of its own."""
    import importlib

    command = getattr(importlib.import_module(f"stator.cli.{name}"), name)
    inner = typer.Typer(
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    inner.command(help=_help(command))(command)
    inner(args=arguments, prog_name=f"stator {name}")


_PASSES_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(add_help_option=False, context_settings=_PASSES_ON)
def bench(context: typer.Context) -> None:
    """Measure throughput and latency of a cluster. See `stator bench --help`."""
    _run_inner("bench", context.args)


@app.command(add_help_option=False, context_settings=_PASSES_ON)
def gameday(context: typer.Context) -> None:
    """Break a cluster under load, and prove that nothing is lost. See `stator gameday --help`."""
    _run_inner("gameday", context.args)


def main() -> None:
    """Runs the command line of this process."""
    # gRPC's own notes about connections that end are nothing for the user of a command.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)


if __name__ == "__main__":
    main()
