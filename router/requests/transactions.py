"""What both operations of transactions ask of their members together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router.requests.constraints import check_constraints
from router.requests.operation_shapes import NAME
from router.requests.reading import table_name_of
from router.requests.shapes import ListOf, Structure
from server.model.errors import ValidationError
from server.model.limits import TRANSACTION_BYTES_MAX
from server.model.table import name_in_arn

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
        raise


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
