"""CreateTable: names, key schema, throughput; what is asked for and not to be had is refused."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import create_table
from router.requests.create_table import CreateTableRequest
from server.model.table import KeyAttribute, KeySchema
from tests.router.requests.failing import NAME_LENGTH, NULL_MEMBER, refusal

INVALID = "One or more parameter values were invalid: "
AT_LEAST_ONE = (
    "1 validation error detected: Value '{}' at 'provisionedThroughput.{}' failed to satisfy constraint: "
    "Member must have value greater than or equal to 1"
)
PARTITION_KEY = KeyAttribute("artist", "S")
SORT_KEY = KeyAttribute("year", "N")


def definition(name: str, kind: str) -> dict[str, str]:
    return {"AttributeName": name, "AttributeType": kind}


def element(name: str, kind: str) -> dict[str, str]:
    return {"AttributeName": name, "KeyType": kind}


def body(**change: Any) -> dict[str, Any]:
    """A valid body of an on-demand table, changed; a member changed to None is left out."""
    content = {
        "TableName": "music",
        "AttributeDefinitions": [definition("artist", "S")],
        "KeySchema": [element("artist", "HASH")],
        "BillingMode": "PAY_PER_REQUEST",
    } | change
    return {name: value for name, value in content.items() if value is not None}


def test_an_on_demand_table() -> None:
    """Has no throughput."""
    assert create_table.from_json(body()) == CreateTableRequest("music", KeySchema(PARTITION_KEY), 0, 0, 0)


def test_a_provisioned_table_with_a_sort_key() -> None:
    """Definitions come in any order; provisioned is what a table is unless it says otherwise."""
    throughput = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 7}
    schema = [element("artist", "HASH"), element("year", "RANGE")]
    definitions = [definition("year", "N"), definition("artist", "S")]
    expected = CreateTableRequest("music", KeySchema(PARTITION_KEY, SORT_KEY), 5, 7, 0)
    for mode in ("PROVISIONED", None):
        content = body(
            KeySchema=schema, AttributeDefinitions=definitions, BillingMode=mode, ProvisionedThroughput=throughput
        )
        assert create_table.from_json(content) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"StreamSpecification": {"StreamEnabled": False}},
        {"DeletionProtectionEnabled": False},
        {"TableClass": "STANDARD"},
        {"LocalSecondaryIndexes": [], "GlobalSecondaryIndexes": [], "Tags": []},
    ],
)
def test_what_asks_for_nothing_is_accepted(change: dict[str, Any]) -> None:
    """Tools send members whose values are what is the case anyway."""
    assert create_table.from_json(body(**change)) == create_table.from_json(body())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("StreamSpecification", {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}),
        ("StreamSpecification", []),
        ("DeletionProtectionEnabled", True),
        ("TableClass", "STANDARD_INFREQUENT_ACCESS"),
        ("LocalSecondaryIndexes", [{}]),
        ("GlobalSecondaryIndexes", [{}]),
        ("Tags", [{"Key": "a", "Value": "b"}]),
        ("SSESpecification", {"Enabled": True}),
    ],
)
def test_what_cannot_be_had_is_refused(name: str, value: Any) -> None:
    """An index that is not built, or a protection that does not protect, would be found out too late."""
    assert refusal(create_table.from_json, body(**{name: value})) == (
        "ValidationException",
        f"The parameter {name} of CreateTable is not supported yet",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"TableName": None}, NULL_MEMBER.format("tableName")),
        ({"TableName": "ab"}, NAME_LENGTH),
        ({"AttributeDefinitions": None}, NULL_MEMBER.format("attributeDefinitions")),
        ({"AttributeDefinitions": [{"AttributeType": "S"}]}, NULL_MEMBER.format("attributeName")),
        ({"AttributeDefinitions": [{"AttributeName": "a"}]}, NULL_MEMBER.format("attributeType")),
        (
            {"AttributeDefinitions": [definition("artist", "BOOL")]},
            "1 validation error detected: Value 'BOOL' at 'attributeDefinitions.1.member.attributeType' failed to "
            "satisfy constraint: Member must satisfy enum value set: [B, N, S]",
        ),
        (
            {"AttributeDefinitions": [definition("artist", "S"), definition("artist", "N")]},
            INVALID + "Duplicate attribute definition: artist",
        ),
        (
            {"AttributeDefinitions": [definition("artist", "S") | {"Default": 1}]},
            "The parameter Default of an attribute definition is not supported yet",
        ),
        (
            {"AttributeDefinitions": [definition("artist", "S"), definition("year", "N")]},
            INVALID
            + "Number of attributes in KeySchema does not exactly match number of attributes defined in "
            + "AttributeDefinitions",
        ),
        ({"KeySchema": None}, NULL_MEMBER.format("keySchema")),
        ({"KeySchema": []}, "1 validation error detected: KeySchema must have at least 1 element"),
        (
            {"KeySchema": [element("artist", "RANGE")]},
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        ),
        (
            {"KeySchema": [element("artist", "HASH"), element("year", "HASH")]},
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
        ),
        (
            {"KeySchema": [element("year", "HASH")]},
            INVALID + "Some index key attributes are not defined in AttributeDefinitions. Keys: [year], "
            "AttributeDefinitions: [artist]",
        ),
        (
            {"KeySchema": [element("artist", "HASH") | {"Order": "x"}]},
            "The parameter Order of an element of KeySchema is not supported yet",
        ),
        ({"KeySchema": [{"AttributeName": "artist"}]}, NULL_MEMBER.format("keyType")),
        ({"KeySchema": [{"KeyType": "HASH"}]}, NULL_MEMBER.format("attributeName")),
    ],
)
def test_keys_that_cannot_be(change: dict[str, Any], message: str) -> None:
    """Every rule on definitions and key schema, in AWS's words where they are known."""
    assert refusal(create_table.from_json, body(**change)) == ("ValidationException", message)


def test_three_keys() -> None:
    """Are one too many, whatever the third calls itself."""
    definitions = [definition(name, "S") for name in ("a", "b", "c")]
    for kind in ("HASH", "RANGE"):
        schema = [element("a", "HASH"), element("b", "RANGE"), element("c", kind)]
        assert refusal(create_table.from_json, body(AttributeDefinitions=definitions, KeySchema=schema)) == (
            "ValidationException",
            "1 validation error detected: KeySchema must have at most 2 elements",
        )


def test_one_attribute_as_both_keys() -> None:
    """Is refused; it would have to be of one value and order by it."""
    schema = [element("artist", "HASH"), element("artist", "RANGE")]
    assert refusal(create_table.from_json, body(KeySchema=schema)) == (
        "ValidationException",
        "Both the Hash Key and the Range Key element in the KeySchema have the same name",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}},
            INVALID + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is "
            "PAY_PER_REQUEST",
        ),
        (
            {"BillingMode": "FREE"},
            "1 validation error detected: Value 'FREE' at 'billingMode' failed to satisfy constraint: "
            "Member must satisfy enum value set: [PROVISIONED, PAY_PER_REQUEST]",
        ),
        (
            {"BillingMode": None},
            INVALID + "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            {"BillingMode": None, "ProvisionedThroughput": {"ReadCapacityUnits": 1}},
            NULL_MEMBER.format("writeCapacityUnits"),
        ),
        (
            {"BillingMode": None, "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 1}},
            AT_LEAST_ONE.format(0, "readCapacityUnits"),
        ),
        (
            {"BillingMode": None, "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": -1}},
            AT_LEAST_ONE.format(-1, "writeCapacityUnits"),
        ),
        (
            {
                "BillingMode": None,
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1, "Burst": 1},
            },
            "The parameter Burst of ProvisionedThroughput is not supported yet",
        ),
    ],
)
def test_throughput_that_cannot_be(change: dict[str, Any], message: str) -> None:
    """Provisioned needs both units, on-demand has none."""
    assert refusal(create_table.from_json, body(**change)) == ("ValidationException", message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"TableName": 1}, "TableName must be a string"),
        ({"AttributeDefinitions": {}}, "AttributeDefinitions must be a list"),
        ({"AttributeDefinitions": ["artist"]}, "an attribute definition must be a map"),
        ({"KeySchema": "artist"}, "KeySchema must be a list"),
        ({"KeySchema": ["artist"]}, "an element of KeySchema must be a map"),
        ({"BillingMode": 1}, "BillingMode must be a string"),
        ({"ProvisionedThroughput": []}, "ProvisionedThroughput must be a map"),
        (
            {"BillingMode": None, "ProvisionedThroughput": {"ReadCapacityUnits": "1", "WriteCapacityUnits": 1}},
            "ReadCapacityUnits must be an integer",
        ),
    ],
)
def test_what_is_of_another_type(change: dict[str, Any], message: str) -> None:
    """Is not what the protocol prescribes."""
    assert refusal(create_table.from_json, body(**change)) == ("SerializationException", message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ab", KeySchema(PARTITION_KEY), 0, 0, 0), NAME_LENGTH),
        (
            ("music", KeySchema(KeyAttribute("", "S")), 0, 0, 0),
            INVALID + "a key attribute's name has 1 to 255 bytes",
        ),
        (
            ("music", KeySchema(PARTITION_KEY, KeyAttribute("ä" * 128, "S")), 0, 0, 0),
            INVALID + "a key attribute's name has 1 to 255 bytes",
        ),
        (
            ("music", KeySchema(KeyAttribute("artist", "")), 0, 0, 0),
            INVALID + "a key's type is S, N or B: artist",
        ),
        (
            ("music", KeySchema(PARTITION_KEY, KeyAttribute("artist", "N")), 0, 0, 0),
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        ),
        (
            ("music", KeySchema(PARTITION_KEY), 0, 0, 257),
            "a table has at most 256 partitions when it is created, not 257",
        ),
        (
            ("music", KeySchema(PARTITION_KEY), 1, 0, 0),
            "ReadCapacityUnits and WriteCapacityUnits are given together, or neither is",
        ),
        (
            ("music", KeySchema(PARTITION_KEY), 0, 1, 0),
            "ReadCapacityUnits and WriteCapacityUnits are given together, or neither is",
        ),
    ],
)
def test_what_a_message_may_not_say(arguments: tuple[Any, ...], message: str) -> None:
    """The rules that hold whichever door a request came through."""
    assert refusal(create_table.from_model, *arguments) == ("ValidationException", message)


@pytest.mark.parametrize("name", ["a", "a" * 255])
@pytest.mark.parametrize("partitions", [0, 1, 256])
def test_at_the_limits(name: str, partitions: int) -> None:
    """Nothing is refused."""
    schema = KeySchema(KeyAttribute(name, "B"))
    request = create_table.from_model("abc", schema, 1, 1, partitions)
    assert request == CreateTableRequest("abc", schema, 1, 1, partitions)
