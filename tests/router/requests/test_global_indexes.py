"""Global secondary indexes in CreateTable and UpdateTable: what may be asked for, and in what words it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import create_table, update_table
from router.requests.create_table import CreateTableRequest
from router.requests.global_indexes import ChangedIndex, IndexChanges, IndexUnits, NewIndex
from router.requests.update_table import UpdateTableRequest
from server.model.table import GlobalIndex, KeyAttribute
from tests.router.requests.failing import refusal
from tests.router.requests.test_create_table import INVALID, KEYS_ONLY, body, definition, element
from tests.router.requests.test_create_table import index as local_index

UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}
LABEL = KeyAttribute("label", "S")
ONE_AT_A_TIME = "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table"


def index(name: str = "by-label", **change: Any) -> dict[str, Any]:
    """An index on `label`; a member changed to None is left out."""
    content = {"IndexName": name, "KeySchema": [element("label")], "Projection": KEYS_ONLY} | change
    return {name: value for name, value in content.items() if value is not None}


def indexed(*indexes: dict[str, Any], names: tuple[str, ...] = ("label",), **change: Any) -> dict[str, Any]:
    """A table of `artist` with these global indexes, and with definitions of these attributes besides."""
    definitions = [definition(name) for name in ("artist", *names)]
    return body(AttributeDefinitions=definitions, GlobalSecondaryIndexes=list(indexes), **change)


def create(content: dict[str, Any]) -> CreateTableRequest:
    return create_table.from_body(content, is_json=True)


def update(*updates: dict[str, Any], **change: Any) -> UpdateTableRequest:
    """Defines `label`, unless the change says otherwise; a member changed to None is left out."""
    content = {
        "TableName": "music",
        "AttributeDefinitions": [definition("label")],
        "GlobalSecondaryIndexUpdates": list(updates),
    } | change
    given = {name: value for name, value in content.items() if value is not None}
    return update_table.from_body(given, is_json=True)


class TestCreateTable:
    def test_the_least(self) -> None:
        """A name, a key, a projection."""
        (new,) = create(indexed(index())).global_indexes
        assert new == NewIndex(GlobalIndex(0, "by-label", (LABEL,), (), "KEYS_ONLY"), IndexUnits())

    def test_everything(self) -> None:
        """A key of eight attributes, a throughput of its own."""
        names = tuple("abcdefgh")
        elements = [element(name, "HASH" if name < "e" else "RANGE") for name in names]
        projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x", "y"]}
        content = index(
            KeySchema=elements,
            Projection=projection,
            ProvisionedThroughput=UNITS,
            WarmThroughput={"ReadUnitsPerSecond": 8, "WriteUnitsPerSecond": 9},
        )
        request = create(indexed(content, names=names, BillingMode="PROVISIONED", ProvisionedThroughput=UNITS))
        keys = tuple(KeyAttribute(name, "S") for name in names)
        assert request.global_indexes == (
            NewIndex(
                GlobalIndex(0, "by-label", keys[:4], keys[4:], "INCLUDE", ("x", "y")),
                IndexUnits(5, 6, warm_read_units=8, warm_write_units=9),
            ),
        )
        limited = create(indexed(index(OnDemandThroughput={"MaxReadRequestUnits": 7})))
        assert limited.global_indexes[0].units == IndexUnits(max_read_units=7)

    def test_together_with_local_ones(self) -> None:
        """Keys of both are what the definitions are for."""
        content = indexed(
            index("by-label-alone"),
            names=("year", "label"),
            KeySchema=[element("artist"), element("year", "RANGE")],
            LocalSecondaryIndexes=[local_index()],
        )
        request = create(content)
        assert [each.name for each in request.local_indexes] == ["by-label"]
        assert [each.definition.name for each in request.global_indexes] == ["by-label-alone"]
        content["GlobalSecondaryIndexes"] = [index()]
        assert refusal(create, content) == ("ValidationException", INVALID + "Duplicate index name: by-label")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"KeySchema": [element("other")]},
                INVALID + "Some index key attributes are not defined in AttributeDefinitions. Keys: [other], "
                "AttributeDefinitions: [artist, label]",
            ),
            (
                {"KeySchema": [element("label", "RANGE")]},
                "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
            ),
            (
                {"KeySchema": [element("label"), element("label", "RANGE")]},
                "Both the Hash Key and the Range Key element in the KeySchema have the same name",
            ),
            (
                {"KeySchema": [element("label"), element("artist"), element("label", "RANGE")]},
                "The KeySchema contains multiple key attributes with the same name",
            ),
            ({"Projection": {}}, INVALID + "Unknown ProjectionType: null"),
            (
                {"ProvisionedThroughput": UNITS},
                INVALID + "ProvisionedThroughput should not be specified for index: by-label when BillingMode is "
                "PAY_PER_REQUEST",
            ),
            (
                {"KeySchema": []},
                "1 validation error detected: Value '[]' at 'globalSecondaryIndexes.1.member.keySchema' failed to "
                "satisfy constraint: Member must have length greater than or equal to 1",
            ),
            (
                {"Projection": None},
                "1 validation error detected: Value null at 'globalSecondaryIndexes.1.member.projection' failed to "
                "satisfy constraint: Member must not be null",
            ),
        ],
    )
    def test_one_that_cannot_be(self, change: dict[str, Any], message: str) -> None:
        """Every rule on an index by itself."""
        assert refusal(create, indexed(index(**change))) == ("ValidationException", message)

    @pytest.mark.parametrize(
        ("kinds", "message"),
        [
            (["HASH", "RANGE", "HASH"], "All HASH key attributes must precede RANGE key attributes in the KeySchema"),
            (["HASH"] * 5, "The KeySchema exceeds the maximum allowed number of HASH key attributes"),
            (["HASH"] + ["RANGE"] * 5, "The KeySchema exceeds the maximum allowed number of RANGE key attributes"),
        ],
    )
    def test_keys_of_several_attributes(self, kinds: list[str], message: str) -> None:
        """First those that are hashed together, then those that entries are ordered by."""
        names = tuple("abcdef"[: len(kinds)])
        elements = [element(name, kind) for name, kind in zip(names, kinds, strict=True)]
        content = indexed(index(KeySchema=elements), names=names)
        assert refusal(create, content) == ("ValidationException", INVALID + message)

    def test_of_a_provisioned_table(self) -> None:
        """Each index has units of its own, and no limit of another kind."""
        given: dict[str, Any] = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": UNITS}
        message = INVALID + "ProvisionedThroughput is not specified for index: by-label"
        assert refusal(create, indexed(index(), **given)) == ("ValidationException", message)
        for name in ("MaxReadRequestUnits", "MaxWriteRequestUnits"):
            content = index(ProvisionedThroughput=UNITS, OnDemandThroughput={name: 9})
            message = (
                f"{INVALID}{name} for OnDemandThroughput cannot be specified when the table BillingMode is PROVISIONED "
                "for index : by-label"
            )
            assert refusal(create, indexed(content, **given)) == ("ValidationException", message)

    def test_too_many(self) -> None:
        """Of indexes, and of what they have besides keys."""
        content = indexed(*(index(f"a-{number}") for number in range(21)))
        message = INVALID + "GlobalSecondaryIndex count exceeds the per-table limit of 20"
        assert refusal(create, content) == ("ValidationException", message)
        attributes = [f"a{number}" for number in range(20)]
        projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": attributes}
        content = indexed(*(index(f"a-{number}", Projection=projection) for number in range(6)))
        message = INVALID + "Total number of projected NonKeyAttributes exceeds per-table limit of 100"
        assert refusal(create, content) == ("ValidationException", message)

    def test_definitions_that_nothing_uses(self) -> None:
        """Are refused, whichever indexes there are."""
        message = (
            INVALID + "Some AttributeDefinitions are not used. AttributeDefinitions: [artist, label, other], keys "
            "used: [artist, label]"
        )
        assert refusal(create, indexed(index(), names=("label", "other"))) == ("ValidationException", message)
        message = INVALID + "List of GlobalSecondaryIndexes is empty"
        assert refusal(create, indexed(names=())) == ("ValidationException", message)


class TestUpdateTable:
    def test_one_is_made(self) -> None:
        """Tools repeat all definitions that the table has: those of others are passed over."""
        definitions = [definition("artist"), definition("label")]
        request = update(
            {"Create": index(OnDemandThroughput={"MaxReadRequestUnits": 7})}, AttributeDefinitions=definitions
        )
        new = NewIndex(GlobalIndex(0, "by-label", (LABEL,), (), "KEYS_ONLY"), IndexUnits(max_read_units=7))
        assert request == UpdateTableRequest("music", indexes=IndexChanges(created=new))

    def test_one_is_removed(self) -> None:
        """By its name."""
        request = update({"Delete": {"IndexName": "by-label"}}, AttributeDefinitions=None)
        assert request == UpdateTableRequest("music", indexes=IndexChanges(deleted="by-label"))

    def test_several_change(self) -> None:
        """Along with the table, and with one that is made."""
        changed = [{"Update": {"IndexName": name, "ProvisionedThroughput": UNITS}} for name in ("a-a", "a-b")]
        request = update(*changed, ProvisionedThroughput=UNITS)
        units = IndexUnits(5, 6)
        expected = (ChangedIndex("a-a", units), ChangedIndex("a-b", units))
        assert request == UpdateTableRequest(
            "music", read_units=5, write_units=6, indexes=IndexChanges(changed=expected)
        )
        request = update(*changed, {"Create": index()}, BillingMode="PROVISIONED", ProvisionedThroughput=UNITS)
        assert request.indexes.created is not None
        assert request.indexes.changed == expected

    def test_definitions_alone(self) -> None:
        """Change nothing."""
        code, message = refusal(update, GlobalSecondaryIndexUpdates=None)
        assert (code, message[:12]) == ("ValidationException", "At least one")
        assert update(GlobalSecondaryIndexUpdates=None, TableClass="STANDARD").indexes == IndexChanges()

    @pytest.mark.parametrize(
        ("updates", "message"),
        [
            ([], INVALID + "List of GlobalSecondaryIndexUpdates is empty"),
            (
                [{}],
                INVALID + "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, "
                "GlobalSecondaryIndexUpdate.Delete must not be null",
            ),
            (
                [{"Create": index(), "Delete": {"IndexName": "a-a"}}],
                INVALID + "Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object",
            ),
            (
                [{"Update": {"IndexName": "a-a"}}, {"Delete": {"IndexName": "a-a"}}],
                INVALID + "Only one global secondary index update per index is allowed simultaneously. Index: a-a",
            ),
            (
                [{"Create": index("a-a")}, {"Update": {"IndexName": "a-a"}}],
                INVALID + "Only one global secondary index update per index is allowed simultaneously. Index: a-a",
            ),
            (
                [{"Delete": {"IndexName": "a"}}],
                "1 validation error detected: Value 'a' at 'globalSecondaryIndexUpdates.1.member.delete.indexName' "
                "failed to satisfy constraint: Member must have length greater than or equal to 3",
            ),
        ],
    )
    def test_updates_that_cannot_be(self, updates: list[dict[str, Any]], message: str) -> None:
        """Whatever the table is like."""
        assert refusal(update, *updates) == ("ValidationException", message)

    @pytest.mark.parametrize("second", [{"Create": index("other")}, {"Delete": {"IndexName": "other"}}])
    def test_one_at_a_time(self, second: dict[str, Any]) -> None:
        """Made or removed."""
        assert refusal(update, {"Create": index()}, second) == ("LimitExceededException", ONE_AT_A_TIME)

    def test_keys_without_definitions(self) -> None:
        """The table need not be asked."""
        message = INVALID + "AttributeDefinitions is not specified for index: by-label"
        assert refusal(update, {"Create": index()}, AttributeDefinitions=None) == ("ValidationException", message)
        _, message = refusal(update, {"Create": index(KeySchema=[element("other")])})
        assert message.startswith(INVALID + "Some index key attributes are not defined in AttributeDefinitions.")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"ProvisionedThroughput": UNITS}, "You cannot create or delete index while updating table IOPS"),
            ({"TableClass": "STANDARD"}, "TableClass modification must be the only operation in the request"),
            (
                {"DeletionProtectionEnabled": True},
                "DeletionProtection modification must be the only operation in the request",
            ),
            (
                {"WarmThroughput": {"ReadUnitsPerSecond": 9}},
                "Create global secondary index cannot be specified when updating WarmThroughput",
            ),
        ],
    )
    def test_what_does_not_go_together(self, change: dict[str, Any], message: str) -> None:
        """With an index that is made or removed; with one whose throughput changes it does."""
        for action in ({"Create": index()}, {"Delete": {"IndexName": "by-label"}}):
            assert refusal(update, action, **change) == ("ValidationException", INVALID + message)
        update({"Update": {"IndexName": "by-label"}}, **change)
