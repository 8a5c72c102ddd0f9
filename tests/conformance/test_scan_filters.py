"""Scan: filters, projections, counts, segments and pages, together and alone; what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.database import (
    KEY_MISMATCH,
    VALIDATION,
    Database,
    Native,
    invalid,
    natives,
    placeholders,
    typed,
    unique,
)

pytestmark = pytest.mark.cluster

ITEMS: list[dict[str, Native]] = [
    {"pk": f"partition-{number % 12}", "sk": number, "even": number % 2 == 0, "tags": {"all", f"t{number % 3}"}}
    for number in range(60)
]


@pytest.fixture(scope="module")
def table(database: Database) -> str:
    """Has just ITEMS."""
    database.put(database.scanned, *ITEMS)
    return database.scanned


def in_order(items: list[dict[str, Native]]) -> list[dict[str, Native]]:
    return sorted(items, key=lambda item: str(sorted(item.items(), key=str)))


def pages(database: Database, table: str, **parameters: Any) -> list[Any]:
    """Every answer of a scan to its end. Strongly consistent."""
    answers: list[Any] = []
    start: dict[str, Any] = {}
    while True:
        answers.append(database.client.scan(TableName=table, ConsistentRead=True, **parameters, **start))
        if "LastEvaluatedKey" not in answers[-1]:
            return answers
        start = {"ExclusiveStartKey": answers[-1]["LastEvaluatedKey"]}
        assert len(answers) < 200


def everything(answers: list[Any]) -> list[dict[str, Native]]:
    return in_order([item for answer in answers for item in natives(answer["Items"])])


FILTERS: list[tuple[str, dict[str, Native], Any]] = [
    ("even = :v", {"v": True}, lambda item: item["even"]),
    ("contains(tags, :v) AND NOT even = :w", {"v": "t1", "w": True}, lambda item: item["sk"] in range(1, 60, 6)),
    ("sk BETWEEN :v AND :w", {"v": 10, "w": 12}, lambda item: 10 <= item["sk"] <= 12),
    ("pk = :v", {"v": "partition-3"}, lambda item: item["pk"] == "partition-3"),
    ("begins_with(pk, :v)", {"v": "partition-1"}, lambda item: item["sk"] % 12 in (1, 10, 11)),
    ("attribute_exists(absent)", {}, lambda item: False),
    ("attribute_not_exists(absent)", {}, lambda item: True),
]


@pytest.mark.parametrize(("expression", "values", "holds"), FILTERS, ids=[each[0] for each in FILTERS])
@pytest.mark.parametrize("limit", [None, 1, 7])
def test_a_filter(
    database: Database, table: str, expression: str, values: dict[str, Native], holds: Any, limit: int | None
) -> None:
    """Everything that it lets through, of every partition; keys may be in it. Everything is looked at once."""
    limited = {} if limit is None else {"Limit": limit}
    answers = pages(database, table, FilterExpression=expression, **placeholders(values), **limited)
    expected = [item for item in ITEMS if holds(item)]
    assert everything(answers) == in_order(expected)
    assert sum(answer["Count"] for answer in answers) == len(expected)
    assert sum(answer["ScannedCount"] for answer in answers) == len(ITEMS)
    if limit is not None:
        assert all(answer["ScannedCount"] <= limit for answer in answers)
        assert all("LastEvaluatedKey" in answer for answer in answers if answer["ScannedCount"] == limit)


@pytest.mark.parametrize("segments", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("limit", [None, 4])
def test_segments(database: Database, table: str, segments: int, limit: int | None) -> None:
    """Together they have every item once, whatever the pages are."""
    limited = {} if limit is None else {"Limit": limit}
    found = []
    for segment in range(segments):
        answers = pages(
            database,
            table,
            Segment=segment,
            TotalSegments=segments,
            FilterExpression="even = :v",
            **placeholders({"v": False}),
            **limited,
        )
        found += [item for answer in answers for item in natives(answer["Items"])]
    assert in_order(found) == in_order([item for item in ITEMS if not item["even"]])


def test_a_segment_keeps_items_of_one_partition_key_together(database: Database, table: str) -> None:
    """Segments divide partition keys."""
    seen: dict[str, int] = {}
    for segment in range(4):
        for item in everything(pages(database, table, Segment=segment, TotalSegments=4)):
            assert seen.setdefault(item["pk"], segment) == segment


def test_items_of_one_partition_key_come_in_order(database: Database, table: str) -> None:
    """Of their sort keys; and one partition key after the other."""
    found = [item for answer in pages(database, table, Limit=7) for item in natives(answer["Items"])]
    keys = [item["pk"] for item in found]
    changes = [key for number, key in enumerate(keys) if number == 0 or keys[number - 1] != key]
    assert len(changes) == 12
    for key in changes:
        sort_keys = [item["sk"] for item in found if item["pk"] == key]
        assert sort_keys == sorted(sort_keys)


def test_a_projection_with_a_filter(database: Database, table: str) -> None:
    """The filter sees what is not returned; an item that has nothing of it is returned empty."""
    answers = pages(
        database,
        table,
        FilterExpression="even = :v AND sk < :w",
        ProjectionExpression="sk",
        **placeholders({"v": True, "w": 6}),
    )
    assert everything(answers) == [{"sk": 0}, {"sk": 2}, {"sk": 4}]
    answers = pages(
        database, table, FilterExpression="sk = :w", ProjectionExpression="absent", **placeholders({"w": 6})
    )
    assert everything(answers) == [{}]


def test_counts_only(database: Database, table: str) -> None:
    """Select=COUNT."""
    answers = pages(
        database, table, Select="COUNT", FilterExpression="even = :v", Limit=25, **placeholders({"v": True})
    )
    assert sum(answer["Count"] for answer in answers) == 30
    assert sum(answer["ScannedCount"] for answer in answers) == 60
    assert not any("Items" in answer for answer in answers)


def test_an_empty_page_can_be_followed(database: Database, table: str) -> None:
    """A filter empties pages, not scans."""
    answers = pages(database, table, FilterExpression="sk = :v", Limit=1, **placeholders({"v": 31}))
    assert sorted(answer["Count"] for answer in answers)[-2:] == [0, 1]
    assert len(answers) in (60, 61)


def test_both_kinds_of_read(database: Database, table: str) -> None:
    """ConsistentRead is taken."""
    for consistent in (True, False):
        answer = database.client.scan(TableName=table, ConsistentRead=consistent, Limit=1)
        assert answer["ScannedCount"] <= 1


ENUM = "Member must satisfy enum value set: "
REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"Segment": 0},
        "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
    ),
    (
        {"TotalSegments": 4},
        "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
    ),
    (
        {"Segment": 5, "TotalSegments": 5},
        "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
        "Segment: 5 is not less than TotalSegments: 5",
    ),
    ({"IndexName": "nowhere"}, "The table does not have the specified index: nowhere"),
    (
        {"Select": "ALL_PROJECTED_ATTRIBUTES"},
        "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
    ),
    (
        {"Select": "SPECIFIC_ATTRIBUTES"},
        "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
    ),
    (
        {"Select": "COUNT", "ProjectionExpression": "a"},
        "Cannot specify the ProjectionExpression when choosing to get only the Count",
    ),
    (
        {"Select": "ALL_ATTRIBUTES", "ProjectionExpression": "a"},
        "Cannot specify the ProjectionExpression when choosing to get ALL_ATTRIBUTES",
    ),
    ({"FilterExpression": ""}, "Invalid FilterExpression: The expression can not be empty;"),
    (
        {"FilterExpression": "a = :v"},
        "Invalid FilterExpression: An expression attribute value used in expression "
        "is not defined; attribute value: :v",
    ),
]
RULES: list[tuple[dict[str, Any], str]] = [
    ({"Limit": 0}, "Member must have value greater than or equal to 1"),
    ({"TotalSegments": 0, "Segment": 0}, "Member must have value greater than or equal to 1"),
    ({"TotalSegments": 1_000_001, "Segment": 0}, "Member must have value less than or equal to 1000000"),
    ({"Segment": -1, "TotalSegments": 1}, "Member must have value greater than or equal to 0"),
    ({"Select": "NOTHING"}, ENUM + "[SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]"),
    ({"ReturnConsumedCapacity": "total"}, ENUM + "[INDEXES, TOTAL, NONE]"),
    ({"ExclusiveStartKey": {"pk": {"S": "a"}}}, "The provided starting key is invalid"),
    ({"ExclusiveStartKey": typed({"pk": "a", "sk": "b"})}, "The provided starting key is invalid"),
    ({"ExclusiveStartKey": typed({"pk": "a", "sk": "b"})}, KEY_MISMATCH),
    ({"ExclusiveStartKey": typed({"pk": "a", "sk": 1, "more": 1})}, "The provided starting key is invalid"),
]


@pytest.mark.parametrize(("parameters", "message"), REFUSED, ids=str)
def test_what_is_refused(database: Database, parameters: dict[str, Any], message: str) -> None:
    """In DynamoDB's words."""
    assert database.refusal("scan", TableName=database.numbered, **parameters) == invalid(message)


@pytest.mark.parametrize(("parameters", "constraint"), RULES, ids=str)
def test_a_rule_that_is_broken(database: Database, parameters: dict[str, Any], constraint: str) -> None:
    """The error has it."""
    refused = database.refusal("scan", TableName=database.numbered, **parameters)
    assert refused is not None and refused.code == VALIDATION
    assert constraint in refused.message


def test_a_start_key_of_another_segment(database: Database, table: str) -> None:
    """Refused: the page would not be of this segment."""
    by_segment = {segment: pages(database, table, Segment=segment, TotalSegments=2, Limit=1)[0] for segment in range(2)}
    for segment, answer in by_segment.items():
        if "LastEvaluatedKey" not in answer:
            continue
        refused = database.refusal(
            "scan",
            TableName=table,
            Segment=1 - segment,
            TotalSegments=2,
            ExclusiveStartKey=answer["LastEvaluatedKey"],
        )
        assert refused == invalid(
            "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with "
            f"correct Segment. TotalSegments: 2 Segment: {1 - segment}"
        )


def test_a_start_key_need_not_be_there(database: Database, table: str) -> None:
    """It is a place."""
    start = typed({"pk": unique(), "sk": 1})
    answer = database.client.scan(TableName=table, ExclusiveStartKey=start)
    assert 0 <= answer["Count"] <= 60
