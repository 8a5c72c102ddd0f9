"""`stator transact`."""

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from stator.cli.connect import EndpointOption, TimeoutOption, connected
from stator.cli.exits import CONDITION_FAILED, CONFLICT, REFUSED, UsageError, found_item
from stator.cli.items import TypedOption

if TYPE_CHECKING:
    from stator.cli.transact_reading import TransactionFile
    from stator.errors import CancellationReason, StatorError, TransactionCanceledError
    from stator.sync_client import Client


def transact(
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON, also as .gz; - is the standard input.")],
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            help="Up to 36 characters that name this transaction: run again with the same within ten minutes, it is "
            "carried out once.",
        ),
    ] = None,
    dynamodb_json: TypedOption = False,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 10.0,
) -> None:
    """Write up to 100 items of any tables, all of them or none; or read them as they all are at one moment.

    FILE has a JSON object for each item, in an array or one behind the other:

    {"put": TABLE, "item": {...}} writes a whole item.

    {"update": TABLE, "key": {...}, "set": {...}, "add": {...}, "remove": [...]} changes one, which is made if there is
    none; as `stator update` does, with "set_if_absent", "delete" and "expression" as well.

    {"delete": TABLE, "key": {...}} deletes one.

    {"check": TABLE, "key": {...}, "if": "plays < 10"} writes nothing. All that write may have an "if", too, which is as
    --if elsewhere: where one does not hold, nothing at all is written, and the command ends with 5 and says which. It
    ends with 7 where others were at work on the items whenever it was tried.

    {"get": TABLE, "key": {...}, "select": "title, tags[0]"} reads one. A transaction that reads does not write: the
    items are printed in their order, null where there is none.

    DynamoDB's own {"Put": {"TableName": ...}} and so on are read as well, and whole requests with "TransactItems", as
    `aws dynamodb transact-write-items --cli-input-json` takes them.

    Example: echo '{"update": "accounts", "key": {"id": "a"}, "add": {"balance": -30}, "if": "balance >= 30"} {"update":
    "accounts", "key": {"id": "b"}, "add": {"balance": 30}, "if": "attribute_exists(id)"}' | stator transact -
    """
    with connected(endpoint, timeout) as client:
        from stator.cli.literals import as_typed
        from stator.cli.transact_reading import read_transaction

        asked = read_transaction(file, is_dynamodb_json=dynamodb_json)
        if token is not None and asked.token is not None:
            raise UsageError("give --token or ClientRequestToken, not both.")
        token = asked.token if token is None else token
        with as_typed(asked.placeholders):
            if asked.gets:
                if token is not None:
                    raise UsageError("a token is for writes: reads may be repeated as they are.")
                _read(client, asked, is_dynamodb_json=dynamodb_json)
            else:
                _write(client, asked, token)


def _read(client: "Client", asked: "TransactionFile", *, is_dynamodb_json: bool) -> None:
    from stator.cli.json_values import shown_item
    from stator.cli.output import print_json
    from stator.errors import TransactionCanceledError
    from stator.results import ConsumedCapacity

    consumed: list[ConsumedCapacity] = []
    try:
        found = client.transact_get_items(asked.gets, on_capacity=consumed.append)
    except TransactionCanceledError as error:
        _fail(error, asked, "nothing was read")
    print_json([item if item is None else shown_item(item, is_dynamodb_json=is_dynamodb_json) for item in found])
    sys.stdout.flush()
    count = sum(item is not None for item in found)
    units = sum(each.capacity_units for each in consumed)
    print(f"{count} of {len(found)} item{'' if len(found) == 1 else 's'}, {units:g} rcu.", file=sys.stderr)


def _write(client: "Client", asked: "TransactionFile", token: str | None) -> None:
    from stator.errors import StatorError, TransactionCanceledError

    try:
        result = client.transact_write_items(asked.writes, token=token, return_consumed_capacity="TOTAL")
    except TransactionCanceledError as error:
        _fail(error, asked, "nothing was written")
    except StatorError as error:
        _advise(error, token)
        raise
    counts = Counter(place.split()[1] for place in asked.places)
    done = ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts.items())
    units = sum(each.capacity_units for each in result.consumed_capacity)
    print(f"Carried out: {done}, {units:g} capacity units.")


def _fail(error: "TransactionCanceledError", asked: "TransactionFile", outcome: str) -> NoReturn:
    """Ends the command, with a line for each member that the transaction was cancelled for."""
    print(f"error: the transaction was cancelled, {outcome}:", file=sys.stderr)
    for reason in error.causes:
        print(f"  {asked.places[reason.index]}: {_sentence(reason, asked)}", file=sys.stderr)
    if any(reason.code == "ConditionalCheckFailed" for reason in error.causes):
        raise SystemExit(CONDITION_FAILED)
    raise SystemExit(CONFLICT if error.is_conflict else REFUSED)


def _sentence(reason: "CancellationReason", asked: "TransactionFile") -> str:
    if reason.code == "TransactionConflict":
        return "another transaction, or a write, is at work on the item; it may be tried again."
    if reason.code != "ConditionalCheckFailed":
        return f"{reason.message.rstrip('.')} ({reason.code})."
    if asked.writes[reason.index].return_values_on_condition_check_failure == "NONE":
        return "the condition does not hold."
    return f"the condition does not hold: {found_item(reason.item)}."


def _advise(error: "StatorError", token: str | None) -> None:
    """Has an error that leaves the outcome open say so, and what to do."""
    from stator.errors import (
        DeadlineExceededError,
        InternalServerError,
        TransactionInProgressError,
        UnavailableError,
    )

    kinds = (DeadlineExceededError, InternalServerError, TransactionInProgressError, UnavailableError)
    if error.follows_unknown_attempt or isinstance(error, kinds):
        what = "with the same --token it can be run again safely" if token else "run again it might be so twice"
        error.message = f"{error.message.rstrip('.')}. The transaction may have been carried out: {what}."
