"""How every operation on items reads a body: quickly where it is as most are, and with the model's words otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

from router.requests.acceptance import quick_check
from router.requests.constraints import check_constraints
from router.requests.deserialisation import normalise
from router.requests.operation_shapes import NAME
from router.requests.shapes import Structure
from server.expressions.placeholders import VALUES_TOO_LARGE
from server.model.errors import ResourceNotFoundError, StatorError, ValidationError
from server.model.item import ITEM_TOO_LARGE
from server.model.table import is_reserved, name_in_arn

T = TypeVar("T")
Build: TypeAlias = Callable[[Mapping[str, Any], bool], T]
"""Makes a request of a body that the model allows (second argument: binary values are base64). Raises StatorError."""

_TOO_LARGE = (ITEM_TOO_LARGE, VALUES_TOO_LARGE)
_TABLE_NAME = Structure("", {"TableName": NAME})


ENVELOPE = "1 validation error detected: "
"""What DynamoDB has put before everything that a single write's request alone decides since October 2026."""


def reader(shape: Structure, build: Build[T], *, is_enveloped: bool = False) -> Callable[[Mapping[str, Any], bool], T]:
    """A function of (body, whether it is JSON) to a request. Raises ValidationError or SerializationError.
    `is_enveloped`: what `build` finds wrong is said behind ENVELOPE.

    Where anything at all is wrong, the body is gone through again as DynamoDB does it, stage by stage, to find what is
    to be said; `build` then sees it with nothing in it that the model does not have. Not so where something is too
    large: that would be to go through all of it again."""
    accepts = quick_check(shape)

    def said(error: ValidationError) -> ValidationError:
        if not is_enveloped or error.message.startswith(ENVELOPE):
            return error
        return ValidationError(ENVELOPE + error.message)

    def read(body: Mapping[str, Any], is_json: bool) -> T:
        found: StatorError | None = None
        if accepts(body):
            try:
                return build(body, is_json)
            except StatorError as error:
                if isinstance(error, ValidationError) and error.message in _TOO_LARGE:
                    raise said(error) from None
                found = error
        try:
            plain = normalise(shape, body, is_json=is_json)
        except ValidationError as error:  # nested so deeply that nothing more is looked for
            raise said(found if isinstance(found, ValidationError) else error) from None
        check_constraints(shape, plain)
        try:
            return build(plain, False)
        except ValidationError as error:
            raise said(error) from None

    return read


@lru_cache(maxsize=4096)  # of good names: one that raises is not kept
def table_name_of(text: str) -> str:
    """The name of a table that is given by its name or its ARN. Raises ValidationError, and ResourceNotFoundError for
    the system's own tables."""
    name = name_in_arn(text) or text
    check_constraints(_TABLE_NAME, {"TableName": name})
    if is_reserved(name):
        raise ResourceNotFoundError("Requested resource not found")
    return name
