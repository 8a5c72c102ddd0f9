"""CreateTable: its name, its primary key and its throughput."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.requests.members import check_members, member, required
from server.model.errors import SerializationError, ValidationError
from server.model.limits import KEY_NAME_BYTES_MAX, PARTITIONS_MAX
from server.model.table import KEY_TYPES, KeyAttribute, KeySchema, check_table_name

_SUPPORTED = frozenset({"TableName", "AttributeDefinitions", "KeySchema", "BillingMode", "ProvisionedThroughput"})
_EMPTY_IS_NOTHING = ("LocalSecondaryIndexes", "GlobalSecondaryIndexes", "Tags")


@dataclass(frozen=True, slots=True)
class CreateTableRequest:
    """`read_units`, `write_units` 0: on-demand. `partitions` 0: derived from the throughput."""

    table_name: str
    key_schema: KeySchema
    read_units: int
    write_units: int
    partitions: int


def from_json(body: Mapping[str, Any]) -> CreateTableRequest:
    """The request of a JSON body. Raises ValidationError or SerializationError."""
    content = {name: value for name, value in body.items() if not _asks_nothing(name, value)}
    check_members(content, "CreateTable", _SUPPORTED)
    table_name = check_table_name(required(content, "TableName", str))
    types = _definitions(required(content, "AttributeDefinitions", list))
    schema = _key_schema(required(content, "KeySchema", list), types)
    read_units, write_units = _throughput(content)
    return from_model(table_name, schema, read_units, write_units, 0)


def _asks_nothing(name: str, value: Any) -> bool:
    """Whether a member that is not supported says only what is the case anyway."""
    if name == "StreamSpecification":
        return isinstance(value, dict) and value.get("StreamEnabled") is False
    if name == "DeletionProtectionEnabled":
        return value is False
    if name == "TableClass":
        return bool(value == "STANDARD")
    return name in _EMPTY_IS_NOTHING and value == []


def _definitions(definitions: list[Any]) -> dict[str, str]:
    types: dict[str, str] = {}
    for definition in definitions:
        if not isinstance(definition, dict):
            raise SerializationError("an attribute definition must be a map")
        check_members(definition, "an attribute definition", frozenset({"AttributeName", "AttributeType"}))
        name = required(definition, "AttributeName", str)
        kind = required(definition, "AttributeType", str)
        if kind not in KEY_TYPES:
            raise ValidationError(
                f"1 validation error detected: Value '{kind}' at 'attributeDefinitions.1.member.attributeType' failed "
                "to satisfy constraint: Member must satisfy enum value set: [B, N, S]"
            )
        if name in types:
            raise ValidationError(f"One or more parameter values were invalid: Duplicate attribute definition: {name}")
        types[name] = kind
    return types


def _key_schema(elements: list[Any], types: dict[str, str]) -> KeySchema:
    keys: list[KeyAttribute] = []
    for element in elements:
        if not isinstance(element, dict):
            raise SerializationError("an element of KeySchema must be a map")
        check_members(element, "an element of KeySchema", frozenset({"AttributeName", "KeyType"}))
        expected = ("HASH", "RANGE")[min(len(keys), 1)]
        kind = required(element, "KeyType", str)
        if kind != expected or len(keys) == 2:
            raise ValidationError(
                "Invalid KeySchema: The first KeySchemaElement is not a HASH key type"
                if not keys
                else "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"
                if len(keys) == 1
                else "1 validation error detected: KeySchema must have at most 2 elements"
            )
        name = required(element, "AttributeName", str)
        if name not in types:
            raise ValidationError(
                "One or more parameter values were invalid: Some index key attributes are not defined in "
                f"AttributeDefinitions. Keys: [{name}], AttributeDefinitions: [{', '.join(types)}]"
            )
        keys.append(KeyAttribute(name, types[name]))
    if not keys:
        raise ValidationError("1 validation error detected: KeySchema must have at least 1 element")
    if {key.name for key in keys} != set(types):
        raise ValidationError(
            "One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match "
            "number of attributes defined in AttributeDefinitions"
        )
    return KeySchema(keys[0], keys[1] if len(keys) == 2 else None)


def _throughput(body: Mapping[str, Any]) -> tuple[int, int]:
    mode = member(body, "BillingMode", str) or "PROVISIONED"
    throughput = member(body, "ProvisionedThroughput", dict)
    if mode == "PAY_PER_REQUEST":
        if throughput is not None:
            raise ValidationError(
                "One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits can be "
                "specified when BillingMode is PAY_PER_REQUEST"
            )
        return 0, 0
    if mode != "PROVISIONED":
        raise ValidationError(
            f"1 validation error detected: Value '{mode}' at 'billingMode' failed to satisfy constraint: "
            "Member must satisfy enum value set: [PROVISIONED, PAY_PER_REQUEST]"
        )
    if throughput is None:
        raise ValidationError(
            "One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be "
            "specified when BillingMode is PROVISIONED"
        )
    check_members(throughput, "ProvisionedThroughput", frozenset({"ReadCapacityUnits", "WriteCapacityUnits"}))
    units = []
    for name in ("ReadCapacityUnits", "WriteCapacityUnits"):
        value = required(throughput, name, int)
        if value < 1:
            shown = name[0].lower() + name[1:]
            raise ValidationError(
                f"1 validation error detected: Value '{value}' at 'provisionedThroughput.{shown}' failed to satisfy "
                "constraint: Member must have value greater than or equal to 1"
            )
        units.append(value)
    return units[0], units[1]


def from_model(
    table_name: str, key_schema: KeySchema, read_units: int, write_units: int, partitions: int
) -> CreateTableRequest:
    """The request, checked. Raises ValidationError."""
    check_table_name(table_name)
    names = [attribute.name for attribute in key_schema.attributes]
    for attribute in key_schema.attributes:
        if not 1 <= len(attribute.name.encode()) <= KEY_NAME_BYTES_MAX:
            raise ValidationError(
                f"One or more parameter values were invalid: a key attribute's name has 1 to {KEY_NAME_BYTES_MAX} bytes"
            )
        if attribute.type not in KEY_TYPES:
            raise ValidationError(
                f"One or more parameter values were invalid: a key's type is S, N or B: {attribute.name}"
            )
    if len(set(names)) != len(names):
        raise ValidationError("Both the Hash Key and the Range Key element in the KeySchema have the same name")
    if partitions > PARTITIONS_MAX:
        raise ValidationError(f"a table has at most {PARTITIONS_MAX} partitions when it is created, not {partitions}")
    if (read_units == 0) != (write_units == 0):
        raise ValidationError("ReadCapacityUnits and WriteCapacityUnits are given together, or neither is")
    return CreateTableRequest(table_name, key_schema, read_units, write_units, partitions)
