"""CreateTable: names, keys, local indexes, settings; what is asked for and not to be had is refused."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import create_table
from router.requests.create_table import CreateTableRequest
from server.model.table import KeyAttribute, KeySchema, LocalIndex
from tests.router.requests.failing import NAME_LENGTH, NULL_MEMBER, refusal

INVALID = "One or more parameter values were invalid: "
AT_LEAST_ONE = "Value '{}' at 'provisionedThroughput.{}' failed to satisfy constraint: Member must have value greater than or equal to 1"  # noqa: E501
PARTITION_KEY = KeyAttribute("artist", "S")
SORT_KEY = KeyAttribute("year", "N")
YEAR = {"AttributeName": "year", "AttributeType": "N"}
KEYS_ONLY = {"ProjectionType": "KEYS_ONLY"}
NO_UNITS = INVALID + (
    "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
)


def definition(name: str, kind: str = "S") -> dict[str, str]:
    return {"AttributeName": name, "AttributeType": kind}


def element(name: str, kind: str = "HASH") -> dict[str, str]:
    return {"AttributeName": name, "KeyType": kind}


def body(**change: Any) -> dict[str, Any]:
    """A valid body of an on-demand table, changed; a member changed to None is left out."""
    content = {
        "TableName": "music",
        "AttributeDefinitions": [definition("artist")],
        "KeySchema": [element("artist")],
        "BillingMode": "PAY_PER_REQUEST",
    } | change
    return {name: value for name, value in content.items() if value is not None}


def index(name: str = "by-label", key: str = "label", projection: Any = None) -> dict[str, Any]:
    return {
        "IndexName": name,
        "KeySchema": [element("artist"), element(key, "RANGE")],
        "Projection": projection or KEYS_ONLY,
    }


def indexed(*indexes: dict[str, Any], definitions: tuple[str, ...] = ("label",), **change: Any) -> dict[str, Any]:
    """A table of artist and year, with local indexes on other attributes."""
    return body(
        AttributeDefinitions=[definition("artist"), YEAR, *map(definition, definitions)],
        KeySchema=[element("artist"), element("year", "RANGE")],
        LocalSecondaryIndexes=list(indexes),
        **change,
    )


def read(content: dict[str, Any]) -> CreateTableRequest:
    return create_table.from_body(content, is_json=True)


def refused(content: dict[str, Any]) -> str:
    """The message of a validation error."""
    code, message = refusal(read, content)
    assert code == "ValidationException"
    return message


def test_an_on_demand_table() -> None:
    """Has no throughput; its name may be an ARN."""
    expected = CreateTableRequest("music", KeySchema(PARTITION_KEY))
    assert read(body()) == expected
    assert read(body(TableName="arn:aws:dynamodb:us-east-1:123456789012:table/music")) == expected


def test_a_provisioned_table_with_a_sort_key() -> None:
    """Definitions come in any order; provisioned is what a table is unless it says otherwise."""
    throughput = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 7}
    schema = [element("artist"), element("year", "RANGE")]
    expected = CreateTableRequest("music", KeySchema(PARTITION_KEY, SORT_KEY), 5, 7)
    for mode in ("PROVISIONED", None):
        content = body(
            KeySchema=schema,
            AttributeDefinitions=[YEAR, definition("artist")],
            BillingMode=mode,
            ProvisionedThroughput=throughput,
        )
        assert read(content) == expected


def test_settings() -> None:
    """All that can be said about a table."""
    content = body(
        OnDemandThroughput={"MaxReadRequestUnits": 100, "MaxWriteRequestUnits": -1},
        WarmThroughput={"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_001},
        TableClass="STANDARD_INFREQUENT_ACCESS",
        DeletionProtectionEnabled=True,
        Tags=[{"Key": "stage", "Value": "test"}, {"Key": "note", "Value": ""}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    assert read(content) == CreateTableRequest(
        "music",
        KeySchema(PARTITION_KEY),
        max_read_units=100,
        max_write_units=-1,
        warm_read_units=12_000,
        warm_write_units=4_001,
        table_class="STANDARD_INFREQUENT_ACCESS",
        is_protected=True,
        tags=(("stage", "test"), ("note", "")),
        stream_view_type="NEW_AND_OLD_IMAGES",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"StreamSpecification": {"StreamEnabled": False}},
        {"DeletionProtectionEnabled": False},
        {"TableClass": "STANDARD"},
        {"Tags": []},
        {"SSESpecification": {}},
        {"SSESpecification": {"Enabled": False}},
        {"LocalSecondaryIndexes": None, "GlobalSecondaryIndexes": None},
        {"Unheard": "of"},
    ],
)
def test_what_asks_for_nothing_is_accepted(change: dict[str, Any]) -> None:
    """Tools send members whose values are what is the case anyway."""
    assert read(body(**change)) == read(body())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VectorIndexes", []),
        ("ResourcePolicy", "{}"),
        ("GlobalTableSourceArn", "arn"),
        ("GlobalTableSettingsReplicationMode", "ENABLED"),
    ],
)
def test_what_cannot_be_had_is_refused(name: str, value: Any) -> None:
    """An index that is not built would be found out too late."""
    assert refused(body(**{name: value})) == f"The parameter {name} of CreateTable is not supported yet"


@pytest.mark.parametrize(
    "value", [{"Enabled": True}, {"Enabled": False, "SSEType": "KMS"}, {"KMSMasterKeyId": "key"}, {"SSEType": "AES256"}]
)
def test_a_key_of_its_own_is_refused(value: Any) -> None:
    """What is not encrypted must not be believed to be."""
    assert refused(body(SSESpecification=value)) == (
        "The parameter SSESpecification of CreateTable asks for a key of its own, which is not supported: encrypt the "
        "disks of the storage nodes instead"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"StreamSpecification": {"StreamEnabled": True}},
            INVALID + "Table is being created with a stream enabled, UpdateViewType is required",
        ),
        (
            {"StreamSpecification": {"StreamEnabled": False, "StreamViewType": "OLD_IMAGE"}},
            INVALID + "Table is being created with a stream disabled, UpdateViewType should not be specified",
        ),
        ({"TableName": None}, NULL_MEMBER.format("tableName")),
        ({"TableName": "ab"}, NAME_LENGTH),
        ({"AttributeDefinitions": None}, NULL_MEMBER.format("attributeDefinitions")),
        (
            {"AttributeDefinitions": [{"AttributeType": "S"}]},
            NULL_MEMBER.format("attributeDefinitions.1.member.attributeName"),
        ),
        (
            {"AttributeDefinitions": [definition("artist", "BOOL")]},
            "1 validation error detected: Value 'BOOL' at 'attributeDefinitions.1.member.attributeType' failed to "
            "satisfy constraint: Member must satisfy enum value set: [B, N, S]",
        ),
        (
            {"AttributeDefinitions": [definition("artist"), definition("artist", "N")]},
            INVALID + "Duplicate attribute definition: artist",
        ),
        (
            {"AttributeDefinitions": [definition("artist"), YEAR]},
            INVALID
            + "Number of attributes in KeySchema does not exactly match number of attributes defined in "
            + "AttributeDefinitions",
        ),
        ({"KeySchema": None}, NULL_MEMBER.format("keySchema")),
        (
            {"KeySchema": []},
            "1 validation error detected: Value '[]' at 'keySchema' failed to satisfy constraint: Member must have "
            "length greater than or equal to 1",
        ),
        ({"KeySchema": [{"AttributeName": "artist"}]}, NULL_MEMBER.format("keySchema.1.member.keyType")),
        (
            {"KeySchema": [element("artist", "RANGE")]},
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        ),
        (
            {"AttributeDefinitions": [definition("artist"), YEAR], "KeySchema": [element("artist"), element("year")]},
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
        ),
        (
            {"KeySchema": [element("artist"), element("artist", "RANGE")]},
            "Invalid KeySchema: Some index key attribute have no definition",
        ),
        (
            {
                "AttributeDefinitions": [definition("artist"), YEAR],
                "KeySchema": [element("artist"), element("artist", "RANGE")],
            },
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        ),
        (
            {"KeySchema": [element("year")]},
            INVALID + "Some index key attributes are not defined in AttributeDefinitions. Keys: [year], "
            "AttributeDefinitions: [artist]",
        ),
        (
            {"AttributeDefinitions": [definition("x" * 256)], "KeySchema": [element("artist")]},
            f"1 validation error detected: Value '{'x' * 256}' at 'attributeDefinitions.1.member.attributeName' failed "
            "to satisfy constraint: Member must have length less than or equal to 255",
        ),
    ],
)
def test_keys_that_cannot_be(change: dict[str, Any], message: str) -> None:
    """Every rule on definitions and key schema, in AWS's words where they are known."""
    assert refused(body(**change)) == message


def test_three_keys() -> None:
    """A key has two attributes at most."""
    content = body(KeySchema=[element("artist"), element("year", "RANGE"), element("song", "RANGE")])
    assert "at 'keySchema' failed to satisfy constraint: Member must have length less than or equal to 2" in refused(
        content
    )


def test_everything_that_the_model_forbids_is_told_at_once() -> None:
    """In the order in which DynamoDB checks it."""
    content = body(BillingMode="FREE", KeySchema=[], ProvisionedThroughput={"ReadCapacityUnits": 0})
    assert refused(content) == (
        "4 validation errors detected: Value 'FREE' at 'billingMode' failed to satisfy constraint: Member must satisfy "
        "enum value set: [PROVISIONED, PAY_PER_REQUEST]; Value null at 'provisionedThroughput.writeCapacityUnits' "
        "failed to satisfy constraint: Member must not be null; "
        f"{AT_LEAST_ONE.format(0, 'readCapacityUnits')}; Value '[]' at 'keySchema' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}, NO_UNITS),
        (
            {"BillingMode": None},
            INVALID + "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            {"BillingMode": None, "ProvisionedThroughput": {"ReadCapacityUnits": 10**12 + 1, "WriteCapacityUnits": 1}},
            "Given value 1000000000001 for ReadCapacityUnits is out of bounds",
        ),
        (
            {"BillingMode": None, "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 2**63}},
            f"Given value {2**63 - 1} for WriteCapacityUnits is out of bounds",
        ),
        (
            {
                "BillingMode": None,
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
                "OnDemandThroughput": {"MaxReadRequestUnits": 1},
            },
            INVALID + "OnDemandThroughput can only be specified when BillingMode is PAY_PER_REQUEST",
        ),
        (
            {"WarmThroughput": {"ReadUnitsPerSecond": 11_999}},
            INVALID + "Requested ReadUnitsPerSecond for WarmThroughput for table is lower than the 12000 that it has "
            "anyway",
        ),
        (
            {
                "BillingMode": None,
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 9},
                "WarmThroughput": {"ReadUnitsPerSecond": 1, "WriteUnitsPerSecond": 8},
            },
            INVALID + "Requested WriteUnitsPerSecond for WarmThroughput for table is lower than the 9 that it has "
            "anyway",
        ),
    ],
)
def test_throughput_that_cannot_be(change: dict[str, Any], message: str) -> None:
    """Every rule on billing mode and units."""
    assert refused(body(**change)) == message


class TestLocalIndexes:
    def test_each_kind(self) -> None:
        """They are numbered from 1 in their order; one attribute may be the sort key of several."""
        include = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["title", "length"]}
        content = indexed(
            index("by-label"),
            index("by-sales", "sales", {"ProjectionType": "ALL"}),
            index("by-label-2", "label", include),
            index("by-year", "year"),
            index("by-sales-2", "sales"),
            definitions=("label", "sales"),
        )
        label, sales = KeyAttribute("label", "S"), KeyAttribute("sales", "S")
        assert read(content).local_indexes == (
            LocalIndex(1, "by-label", label, "KEYS_ONLY"),
            LocalIndex(2, "by-sales", sales, "ALL"),
            LocalIndex(3, "by-label-2", label, "INCLUDE", ("title", "length")),
            LocalIndex(4, "by-year", SORT_KEY, "KEYS_ONLY"),
            LocalIndex(5, "by-sales-2", sales, "KEYS_ONLY"),
        )

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"IndexName": None}, NULL_MEMBER.format("localSecondaryIndexes.1.member.indexName")),
            (
                {"IndexName": "ab"},
                "1 validation error detected: Value 'ab' at 'localSecondaryIndexes.1.member.indexName' failed to "
                "satisfy constraint: Member must have length greater than or equal to 3",
            ),
            ({"Projection": None}, NULL_MEMBER.format("localSecondaryIndexes.1.member.projection")),
            (
                {"KeySchema": [element("artist")]},
                INVALID + "Index KeySchema does not have a range key for index: by-label",
            ),
            (
                {"KeySchema": [element("year"), element("label", "RANGE")]},
                INVALID + "Index KeySchema does not have the same leading hash key as table KeySchema for index: "
                "by-label. index hash key: year, table hash key: artist",
            ),
            (
                {"KeySchema": [element("artist"), element("nothing", "RANGE")]},
                INVALID + "Some index key attributes are not defined in AttributeDefinitions. Keys: [artist, nothing], "
                "AttributeDefinitions: [artist, year, label]",
            ),
            (
                {"KeySchema": [element("artist"), element("artist", "RANGE")]},
                "Both the Hash Key and the Range Key element in the KeySchema have the same name",
            ),
            (
                {"KeySchema": [element("artist"), element("year", "RANGE")]},
                INVALID + "Some AttributeDefinitions are not used. AttributeDefinitions: [artist, year, label], keys "
                "used: [artist, year]",
            ),
            ({"Projection": {}}, INVALID + "Unknown ProjectionType: null"),
            (
                {"Projection": {"ProjectionType": "ALL", "NonKeyAttributes": ["x"]}},
                INVALID + "ProjectionType is ALL, but NonKeyAttributes is specified",
            ),
            (
                {"Projection": {"ProjectionType": "INCLUDE"}},
                INVALID + "ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
            ),
            (
                {"Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x", "y", "x"]}},
                INVALID + "Duplicate value in NonKeyAttributes: x for index: by-label",
            ),
            (
                {"Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": []}},
                "1 validation error detected: Value '[]' at "
                "'localSecondaryIndexes.1.member.projection.nonKeyAttributes' failed to satisfy constraint: Member "
                "must have length greater than or equal to 1",
            ),
        ],
    )
    def test_one_that_cannot_be(self, change: dict[str, Any], message: str) -> None:
        """Every rule on an index by itself."""
        content = {name: value for name, value in (index() | change).items() if value is not None}
        assert refused(indexed(content)) == message

    def test_none_at_all(self) -> None:
        """An empty list is an error, as in DynamoDB."""
        assert refused(indexed(definitions=())) == INVALID + "List of LocalSecondaryIndexes is empty"
        assert refused(body(GlobalSecondaryIndexes=[])) == INVALID + "List of GlobalSecondaryIndexes is empty"

    def test_a_table_without_a_sort_key(self) -> None:
        """Has none."""
        content = body(
            AttributeDefinitions=[definition("artist"), definition("label")], LocalSecondaryIndexes=[index()]
        )
        assert refused(content) == (
            INVALID + "Table KeySchema does not have a range key, which is required when specifying a "
            "LocalSecondaryIndex"
        )

    def test_names_are_distinct(self) -> None:
        """Within a table."""
        assert refused(indexed(index(), index())) == INVALID + "Duplicate index name: by-label"

    def test_how_many(self) -> None:
        """Five, and 100 non-key attributes in all of them, 20 in each."""
        assert len(read(indexed(*(index(f"index-{number}") for number in range(5)))).local_indexes) == 5
        six = indexed(*(index(f"index-{number}") for number in range(6)))
        assert refused(six) == INVALID + "Number of LocalSecondaryIndexes exceeds per-table limit of 5"

        def including(counts: list[int]) -> dict[str, Any]:
            return indexed(
                *(
                    index(
                        f"index-{number}",
                        projection={
                            "ProjectionType": "INCLUDE",
                            "NonKeyAttributes": [f"a{each}" for each in range(count)],
                        },
                    )
                    for number, count in enumerate(counts)
                )
            )

        assert read(including([20] * 5))
        assert "nonKeyAttributes' failed to satisfy constraint: Member must have length less than or equal to 20" in (
            refused(including([21]))
        )


def test_too_many_projected_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of 20 an index keeps local indexes below 100 in all; the rule holds by itself all the same."""
    monkeypatch.setattr(create_table, "PROJECTED_ATTRIBUTES_MAX", 1)
    include = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["title", "length"]}
    assert refused(indexed(index(projection=include))) == (
        INVALID + "Total number of projected NonKeyAttributes exceeds per-table limit of 1"
    )


def test_partitions_have_a_limit() -> None:
    """They are asked for through the gRPC door only."""
    assert create_table.from_body(body(), is_json=False, partitions=256).partitions == 256
    with pytest.raises(Exception, match="a table has at most 256 partitions when it is created, not 257"):
        create_table.from_body(body(), is_json=False, partitions=257)
