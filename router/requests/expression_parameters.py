"""The parameters that go with expressions, and those that went before them: what may be together, and how they read.

The order of the checks is DynamoDB's: what is given together; then, operation by operation, values of other kinds; then
the names and values for expressions; then the expressions themselves; at last whether every name and value was used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.expressions.expression import Condition, Projection, parse_condition, parse_projection
from server.expressions.legacy import attributes_to_get
from server.expressions.placeholders import VALUES_TOO_LARGE, Placeholders
from server.model.errors import ValidationError
from server.model.item import ITEM_TOO_LARGE, AttributeValue, Item, check_item
from server.model.limits import EXPRESSION_SUBSTITUTIONS_BYTES_MAX, REQUEST_BYTES_MAX

_INVALID = "One or more parameter values were invalid: "
_ANY_VALUE: AttributeValue = {"NULL": True}


@dataclass(frozen=True, slots=True)
class Parameters:
    """An operation's parameters. `expressions` and `legacy` are in the order in which messages list them; `filtering`:
    the legacy parameter that ConditionalOperator goes with."""

    expressions: tuple[str, ...]
    legacy: tuple[str, ...]
    filtering: str = ""

    def check_together(self, *bodies: Mapping[str, Any]) -> None:
        """Raises ValidationError where parameters do not go together. Several bodies: the parts of one request."""
        expressions = [name for name in self.expressions if any(body.get(name) is not None for body in bodies)]
        if expressions:
            legacy = [name for name in self.legacy if any(body.get(name) is not None for body in bodies)]
            if "KeyConditionExpression" not in expressions and "KeyConditions" in legacy:
                legacy.remove("KeyConditions")
            if legacy:
                raise ValidationError(
                    "Can not use both expression and non-expression parameters in the same request: "
                    f"Non-expression parameters: {{{', '.join(legacy)}}} "
                    f"Expression parameters: {{{', '.join(expressions)}}}"
                )
        for body in bodies:
            self._check_placeholders(body)
        if self.filtering and bodies[0].get("ConditionalOperator") is not None:
            _check_conditional_operator(bodies[0].get(self.filtering) or {})

    def _check_placeholders(self, body: Mapping[str, Any]) -> None:
        if body.get("ExpressionAttributeNames") is not None and all(
            body.get(each) is None for each in self.expressions
        ):
            raise ValidationError("ExpressionAttributeNames can only be specified when using expressions")
        if body.get("ExpressionAttributeValues") is not None:
            with_values = [name for name in self.expressions if name != "ProjectionExpression"]
            if all(body.get(name) is None for name in with_values):
                raise ValidationError(
                    "ExpressionAttributeValues can only be specified when using expressions: "
                    f"{' and '.join(with_values)} {'are' if len(with_values) > 1 else 'is'} null"
                )


def _check_conditional_operator(conditions: Mapping[str, Any]) -> None:
    if not conditions:
        raise ValidationError("ConditionalOperator cannot be used without Filter or Expected")
    if len(conditions) == 1:
        raise ValidationError("ConditionalOperator can only be used when Filter or Expected has two or more elements")


def read_placeholders(body: Mapping[str, Any], is_json: bool) -> Placeholders:
    """ExpressionAttributeNames and ExpressionAttributeValues. Raises ValidationError."""
    names = body.get("ExpressionAttributeNames")
    given = body.get("ExpressionAttributeValues")
    if given is None:
        return Placeholders(names, None)
    values: Item = {}
    size = 0
    for key, value in given.items():
        try:
            values[key], value_size = _read_value(value, is_json)
            size += value_size
            if size > EXPRESSION_SUBSTITUTIONS_BYTES_MAX:
                raise ValidationError(ITEM_TOO_LARGE)
        except ValidationError as error:
            Placeholders(names, dict.fromkeys(given, _ANY_VALUE))  # its complaints come first
            if error.message == ITEM_TOO_LARGE:
                raise ValidationError(VALUES_TOO_LARGE) from error
            message = f"ExpressionAttributeValues contains invalid value: {error.message} for key {key}"
            raise ValidationError(message) from error
    return Placeholders(names, values)


def read_value(value: Any, is_json: bool) -> AttributeValue:
    """An attribute value by itself, in model form. Raises ValidationError."""
    return _read_value(value, is_json)[0]


def _read_value(value: Any, is_json: bool) -> tuple[AttributeValue, int]:
    """(value, its size in bytes)."""
    item, size = check_item(
        {"": value}, is_json=is_json, bytes_max=REQUEST_BYTES_MAX, walk_max=EXPRESSION_SUBSTITUTIONS_BYTES_MAX
    )
    return item[""], size


def check_attributes_to_get(names: Sequence[str] | None) -> None:
    """Raises ValidationError for a name that occurs twice."""
    seen: set[str] = set()
    for name in names or ():
        if name in seen:
            raise ValidationError(f"{_INVALID}Duplicate value in attribute name: {name}")
        seen.add(name)


def read_condition(body: Mapping[str, Any], parameter: str, placeholders: Placeholders) -> Condition | None:
    """The condition of an expression; None: none is given. Raises ValidationError."""
    text = body.get(parameter)
    return None if text is None else parse_condition(text, placeholders, parameter)


def read_projection(body: Mapping[str, Any], placeholders: Placeholders) -> Projection | None:
    """What ProjectionExpression or AttributesToGet ask for; None: everything. Raises ValidationError."""
    text = body.get("ProjectionExpression")
    if text is not None:
        return parse_projection(text, placeholders)
    names = body.get("AttributesToGet")
    return None if names is None else attributes_to_get(names)


def with_values(conditions: Mapping[str, Mapping[str, Any]], is_json: bool) -> dict[str, dict[str, Any]]:
    """Legacy conditions or updates with their attribute values in model form. Raises ValidationError."""
    return {
        name: {
            member: [read_value(each, is_json) for each in content]
            if member == "AttributeValueList"
            else read_value(content, is_json)
            if member == "Value"
            else content
            for member, content in condition.items()
        }
        for name, condition in conditions.items()
    }
