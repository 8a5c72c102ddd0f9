"""What both operations of transactions ask of their members together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router.requests.constraints import check_constraints
from router.requests.operation_shapes import NAME
from router.requests.reading import table_name_of
from router.requests.shapes import ListOf, Structure
from server.model.errors import (
    NO_REASON,
    CancellationReason,
    StatorError,
    TransactionCanceledError,
    ValidationError,
    validation_reason,
)
from server.model.limits import TRANSACTION_BYTES_MAX
from server.model.table import name_in_arn

_OF_ALL = "One or more parameter values are not valid."
"""How messages begin that are the whole request's error, and no reason why it was cancelled, though they are about one
item: that a key is empty, DynamoDB finds before it begins with a transaction."""

_NAMED = Structure("", {"TableName": NAME})
_NAMES = Structure(
    "",
    {
        "TransactItems": ListOf(
            Structure("", dict.fromkeys(("ConditionCheck", "Put", "Delete", "Update", "Get"), _NAMED))
        )
    },
)


def check_names(members: Sequence[Mapping[str, Mapping[str, Any]]]) -> None:
    """That every table is named as a table may be. Raises ValidationError, which says all that are not, and where."""
    try:
        for member in members:
            for action in member.values():
                table_name_of(action["TableName"])
    except ValidationError:
        named = [
            {name: {"TableName": name_in_arn(text) or text} for name, text in _texts(member)} for member in members
        ]
        check_constraints(_NAMES, {"TransactItems": named})


def _texts(member: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(name, action["TableName"]) for name, action in member.items()]


def check_size(size: int) -> None:
    """`size`: of all that a transaction writes. Raises ValidationError."""
    if size > TRANSACTION_BYTES_MAX:
        raise ValidationError(
            f"The aggregate size of the items in the transaction exceeds {TRANSACTION_BYTES_MAX // 1024**2} MB"
        )


def check_distinct(keys: Sequence[tuple[str, bytes]]) -> None:
    """That no (table, range position) occurs twice. Raises ValidationError."""
    if len(set(keys)) != len(keys):
        raise ValidationError("Transaction request cannot include multiple operations on one item")


def refused(reasons: Sequence[CancellationReason]) -> StatorError:
    """The error of a transaction that is not carried out for these reasons, in the order of its items."""
    for reason in reasons:
        if reason.message.startswith(_OF_ALL):
            return ValidationError(reason.message)
    return TransactionCanceledError(reasons)


def check_all(errors: Sequence[ValidationError | None], keys: Sequence[tuple[str, bytes]]) -> None:
    """`errors`: what the tables' schemas do not allow, in the order of the request; `keys`: the others' (table, range
    position). Raises StatorError where there is anything wrong."""
    refusal = refused([NO_REASON if error is None else validation_reason(error.message) for error in errors])
    if isinstance(refusal, ValidationError):
        raise refusal
    check_distinct(keys)
    if any(errors):
        raise refusal
