"""Entry point of the `stator` command. Imports little: what a command needs is imported when it runs."""

import sys

import typer

from stator.cli import exits, local

app = typer.Typer(
    name="stator",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Stator: a replicated, DynamoDB-compatible database that you run yourself.\n\n"
    "Begin with: stator local up --detach\n\n" + exits.HELP,
)
app.add_typer(local.app, name="local")


def main() -> None:
    """Runs the command line of this process."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)


if __name__ == "__main__":
    main()
