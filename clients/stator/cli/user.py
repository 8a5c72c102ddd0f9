"""`stator user`: who may sign requests."""

import shlex
from dataclasses import asdict
from typing import Annotated

import typer

from stator.cli.connect import EndpointOption, TimeoutOption, connected
from stator.cli.output import OutputFormat, print_json, print_table

app = typer.Typer(
    no_args_is_help=True,
    help="Make and disable access keys, for clusters that verify signatures (`stator local up --auth`).\n\n"
    "These commands need the root access key: that of a local cluster is found in its data folder; elsewhere it is "
    "taken from $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY.\n\n"
    "Example: stator user create ann",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 letters, digits or characters of _+=,.@-")]
OutputOption = Annotated[OutputFormat, typer.Option("--output", help="How to print.")]


@app.command()
def create(
    name: NameArgument,
    output: OutputOption = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Make a user with an access key. The secret is shown once: nobody can read it again.

    Example: stator user create ann
    """
    with connected(endpoint, timeout, is_root=True) as client:
        made = client.create_user(name)
        if output is OutputFormat.JSON:
            print_json(
                {
                    "name": made.user.name,
                    "access_key_id": made.user.access_key_id,
                    "secret_access_key": made.secret_access_key,
                }
            )
            return
        print(f"User {made.user.name} may sign requests now. The secret is shown this once:")
        print(f"  export AWS_ACCESS_KEY_ID={shlex.quote(made.user.access_key_id)}")
        print(f"  export AWS_SECRET_ACCESS_KEY={shlex.quote(made.secret_access_key)}")
        print("boto3, the AWS CLI, `stator` and its SDK all take it from there.")


@app.command("list")
def list_(
    output: OutputOption = OutputFormat.TABLE, endpoint: EndpointOption = None, timeout: TimeoutOption = 10.0
) -> None:
    """List all users, disabled ones among them. (Root, whose access key is in a file, is not among them.)

    Example: stator user list
    """
    with connected(endpoint, timeout, is_root=True) as client:
        users = client.list_users()
        if output is OutputFormat.JSON:
            print_json([asdict(user) | {"created_at": user.created_at.isoformat()} for user in users])
            return
        rows = [
            [
                *(user.name, user.access_key_id, "DISABLED" if user.is_disabled else "enabled"),
                user.created_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
            ]
            for user in users
        ]
        print_table(["user", "access key id", "state", "created"], rows)


@app.command()
def disable(name: NameArgument, endpoint: EndpointOption = None, timeout: TimeoutOption = 10.0) -> None:
    """Refuse a user's signatures from now on, for good; every router does so within a few seconds.

    Example: stator user disable ann
    """
    with connected(endpoint, timeout, is_root=True) as client:
        user = client.disable_user(name)
        print(f"User {user.name} ({user.access_key_id}) is disabled.")
