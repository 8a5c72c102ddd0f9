"""A request's names and values for its expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from server.model.errors import ValidationError
from server.model.item import Item, item_bytes, text_bytes
from server.model.limits import (
    ATTRIBUTE_NAME_BYTES_MAX,
    EXPRESSION_SUBSTITUTIONS_BYTES_MAX,
    EXPRESSION_TOKEN_BYTES_MAX,
)

_NAME = re.compile(r"#[A-Za-z0-9_]+")
_VALUE = re.compile(r":[A-Za-z0-9_]+")
VALUES_TOO_LARGE = "ExpressionAttributeValues exceeds max size"


class Placeholders:
    """Names (`#n`) and values (`:v`) of one request, for all its expressions together, and which of them were used.

    The values have been checked. Raises ValidationError for placeholders that are none, or too large in all. None: the
    request has none."""

    __slots__ = ("_unused_names", "_unused_values", "names", "values")

    def __init__(self, names: Mapping[str, str] | None, values: Item | None) -> None:
        if names is not None:
            _check_keys(names, "ExpressionAttributeNames", _NAME)
            _check_names(names)
        if values is not None:
            _check_keys(values, "ExpressionAttributeValues", _VALUE)
            if item_bytes(values, EXPRESSION_SUBSTITUTIONS_BYTES_MAX) > EXPRESSION_SUBSTITUTIONS_BYTES_MAX:
                raise ValidationError(VALUES_TOO_LARGE)
        self.names: Mapping[str, str] = names or {}
        self.values: Item = values or {}
        self._unused_names = dict.fromkeys(self.names)
        self._unused_values = dict.fromkeys(self.values)

    def use(self, names: Iterable[str], values: Iterable[str]) -> None:
        """Takes note of placeholders that an expression has."""
        for name in names:
            self._unused_names.pop(name, None)
        for name in values:
            self._unused_values.pop(name, None)

    def check_all_used(self) -> None:
        """That none is left over, once all expressions are parsed. Raises ValidationError."""
        for parameter, unused in (
            ("ExpressionAttributeNames", self._unused_names),
            ("ExpressionAttributeValues", self._unused_values),
        ):
            if unused:
                raise ValidationError(
                    f"Value provided in {parameter} unused in expressions: keys: {{{', '.join(unused)}}}"
                )


def _check_keys(given: Iterable[str], parameter: str, pattern: re.Pattern[str]) -> None:
    if not given:
        raise ValidationError(f"{parameter} must not be empty")
    for key in given:
        if (key_bytes := text_bytes(key)) > EXPRESSION_TOKEN_BYTES_MAX:
            raise ValidationError(
                f"{parameter} contains invalid key: The expression attribute map contains a key that is too long; "
                f"size of key: {key_bytes}"
            )
        if pattern.fullmatch(key) is None:
            raise ValidationError(f'{parameter} contains invalid key: Syntax error; key: "{key}"')


def _check_names(names: Mapping[str, str]) -> None:
    for key, name in names.items():
        size = text_bytes(name)
        if size == 0:
            raise ValidationError(
                f"ExpressionAttributeNames contains invalid value: Empty attribute name for key {key}"
            )
        if size > ATTRIBUTE_NAME_BYTES_MAX:
            raise ValidationError(
                f"Attribute name is too large, must be less than {ATTRIBUTE_NAME_BYTES_MAX + 1} bytes"
            )
