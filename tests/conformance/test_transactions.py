"""TransactWriteItems and TransactGetItems: what they do, and in which words they do not."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conformance.database import (
    CONDITION_FAILED,
    INVALID,
    KEY_MISMATCH,
    NO_TABLE,
    VALIDATION,
    Database,
    Native,
    Refusal,
    invalid,
    native,
    placeholders,
    typed,
    unique,
)

pytestmark = pytest.mark.cluster

CANCELED = "TransactionCanceledException"
TWICE = "Transaction request cannot include multiple operations on one item"
EMPTY_KEY = (
    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {} "
    "value. Key: {}"
)
NONE = {"Code": "None"}
FAILED = {"Code": "ConditionalCheckFailed", "Message": CONDITION_FAILED}
ABSENT = {"ConditionExpression": "attribute_not_exists(pk)"}
PRESENT = {"ConditionExpression": "attribute_exists(pk)"}
ALL_OLD = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def put(table: str, item: dict[str, Native], **others: Any) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": typed(item), **others}}


def update(table: str, key: dict[str, Native], expression: str, values: Any = None, **others: Any) -> dict[str, Any]:
    given = placeholders(values or {})
    return {"Update": {"TableName": table, "Key": typed(key), "UpdateExpression": expression, **given, **others}}


def delete(table: str, key: dict[str, Native], **others: Any) -> dict[str, Any]:
    return {"Delete": {"TableName": table, "Key": typed(key), **others}}


def check(table: str, key: dict[str, Native], **others: Any) -> dict[str, Any]:
    return {"ConditionCheck": {"TableName": table, "Key": typed(key), **(others or PRESENT)}}


def get(table: str, key: dict[str, Native], **others: Any) -> dict[str, Any]:
    return {"Get": {"TableName": table, "Key": typed(key), **others}}


def write(database: Database, *members: dict[str, Any], **others: Any) -> Any:
    return database.client.transact_write_items(TransactItems=[*members], **others)


def read(database: Database, *members: dict[str, Any], **others: Any) -> Any:
    return database.client.transact_get_items(TransactItems=[*members], **others)


def refusal(database: Database, *members: dict[str, Any], **others: Any) -> Refusal | None:
    """How writes are refused."""
    return database.refusal("transact_write_items", TransactItems=[*members], **others)


def reasons(database: Database, *members: dict[str, Any], operation: str = "transact_write_items") -> list[Any]:
    """Why a transaction is cancelled."""
    with pytest.raises(ClientError) as raised:
        getattr(database.client, operation)(TransactItems=[*members])
    response = raised.value.response
    found: list[Any] = response["CancellationReasons"]
    codes = ", ".join(reason["Code"] for reason in found)
    assert response["Error"] == {
        "Code": CANCELED,
        "Message": f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
    }
    return found


def unfit(message: str) -> dict[str, str]:
    return {"Code": "ValidationError", "Message": message}


def test_writes_of_every_kind(database: Database) -> None:
    """All of them are carried out, in several tables; what is only checked stays as it is."""
    made, changed, gone, checked = ({"pk": unique()} for _ in range(4))
    other = {"pk": unique(), "sk": "a"}
    database.put(database.plain, {**changed, "n": 1}, gone, {**checked, "a": "x"})
    assert write(
        database,
        put(database.plain, {**made, "a": {"b", "c"}}, **ABSENT),
        update(database.plain, changed, "SET n = n + :n", {"n": 2}),
        delete(database.plain, gone, **PRESENT),
        check(database.plain, checked, ConditionExpression="a = :a", **placeholders({"a": "x"})),
        put(database.sorted, other),
    ).keys() == {"ResponseMetadata"}
    assert database.get(database.plain, made) == {**made, "a": {"b", "c"}}
    assert database.get(database.plain, changed) == {**changed, "n": 3}
    assert database.get(database.plain, gone) is None
    assert database.get(database.plain, checked) == {**checked, "a": "x"}
    assert database.get(database.sorted, other) == other


def test_a_condition_that_does_not_hold_cancels_all(database: Database) -> None:
    """The reasons are in the order of the request, with the items that were asked for."""
    there, other = {"pk": unique(), "a": 1}, {"pk": unique()}
    key = {"pk": there["pk"]}
    database.put(database.plain, there)
    members = [
        put(database.plain, other, **ABSENT),
        update(database.plain, key, "SET a = :a", {"a": 2}, **ABSENT, **ALL_OLD),
        delete(database.plain, {"pk": unique()}, **PRESENT, **ALL_OLD),
        check(database.sorted, {"pk": unique(), "sk": "a"}),
    ]
    assert reasons(database, *members) == [NONE, {**FAILED, "Item": typed(there)}, FAILED, FAILED]
    assert database.get(database.plain, other) is None
    assert database.get(database.plain, key) == there


def test_an_update_of_what_is_not_there(database: Database) -> None:
    """Makes the item, unless its condition says that it must be there."""
    key = {"pk": unique()}
    assert reasons(database, update(database.plain, key, "ADD n :n", {"n": 1}, **PRESENT)) == [FAILED]
    assert database.get(database.plain, key) is None
    write(database, update(database.plain, key, "ADD n :n", {"n": 1}, **ABSENT))
    assert database.get(database.plain, key) == {**key, "n": 1}


def test_what_a_table_does_not_take(database: Database) -> None:
    """Is told of each item by itself: the transaction is cancelled for it."""
    plain, fine = database.plain, put(database.plain, {"pk": unique()})
    mismatch = INVALID + "Type mismatch for key pk expected: S actual: {}"
    assert reasons(database, put(plain, {"pk": 5}), fine) == [unfit(mismatch.format("N")), NONE]
    assert reasons(database, fine, put(plain, {"pk": ["x"]})) == [NONE, unfit(mismatch.format("L"))]
    for key in ({"pk": 5}, {"pk": ["x"]}, {}, {"pk": "a", "sk": "b"}):
        for member in (update(plain, key, "REMOVE a"), delete(plain, key), check(plain, key)):
            assert reasons(database, member) == [unfit(KEY_MISMATCH)]
        assert reasons(database, get(plain, key), operation="transact_get_items") == [unfit(KEY_MISMATCH)]


def test_an_empty_key(database: Database) -> None:
    """Is the whole request's error, as DynamoDB looks at that first."""
    for table, key, message in (
        (database.plain, {"pk": ""}, EMPTY_KEY.format("string", "pk")),
        (database.binary, {"pk": "a", "sk": b""}, EMPTY_KEY.format("binary", "sk")),
    ):
        for member in (put(table, key), update(table, key, "REMOVE a"), delete(table, key), check(table, key)):
            assert refusal(database, member, put(database.plain, {"pk": 5})) == invalid(message)


def test_what_an_index_does_not_take(database: Database) -> None:
    """Its key in an item is as the table's own."""
    table, key = database.indexed, {"pk": unique(), "sk": "a"}
    wrong = unfit(INVALID + "Type mismatch for Index Key a Expected: S Actual: {} IndexName: by-a")
    for value, kind in ((5, "N"), (["x"], "L")):
        expected = {**wrong, "Message": wrong["Message"].format(kind)}
        assert reasons(database, put(table, {**key, "a": value})) == [expected]
        assert reasons(database, update(table, key, "SET a = :a", {"a": value})) == [expected]
    assert refusal(database, put(table, {**key, "a": ""})) == invalid(
        "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The "
        "AttributeValue for a key attribute cannot contain an empty string value. IndexName: by-a, IndexKey: a"
    )
    assert refusal(database, update(table, key, "SET a = :a", {"a": ""})) == invalid(
        "One or more parameter values are not valid. The update expression attempted to update a secondary index key "
        "to a value that is not supported. The AttributeValue for a key attribute cannot contain an empty string value."
    )
    assert database.get(table, key) is None


@pytest.mark.parametrize(
    ("expression", "values", "message"),
    [
        ("SET a = b", {}, "The provided expression refers to an attribute that does not exist in the item"),
        ("SET n = t + :n", {"n": 1}, "An operand in the update expression has an incorrect data type"),
        ("SET x.y = :n", {"n": 1}, "The document path provided in the update expression is invalid for update"),
        (
            "SET n = n + :n",
            {"n": 9 * 10**125},
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        ("SET fill = :f", {"f": "x" * 409_600}, "Item size to update has exceeded the maximum allowed size"),
    ],
)
def test_what_an_update_cannot_do(database: Database, expression: str, values: Any, message: str) -> None:
    """Is known once the item is looked at."""
    there, other = {"pk": unique(), "n": 9 * 10**125, "t": "x"}, {"pk": unique()}
    database.put(database.plain, there)
    changed = update(database.plain, {"pk": there["pk"]}, expression, values)
    assert reasons(database, put(database.plain, other), changed) == [NONE, unfit(message)]
    assert database.get(database.plain, there) == there
    assert database.get(database.plain, other) is None


def test_an_item_twice(database: Database) -> None:
    """Whatever is to be done with it."""
    key = {"pk": unique()}
    plain = database.plain
    assert refusal(database, put(plain, key), delete(plain, key)) == invalid(TWICE)
    assert refusal(database, check(plain, key), update(plain, key, "REMOVE a")) == invalid(TWICE)
    members = [get(plain, key), get(plain, key)]
    assert database.refusal("transact_get_items", TransactItems=members) == invalid(TWICE)


def test_a_table_that_is_not_there(database: Database) -> None:
    """Comes after what is wrong with the request itself, wherever that is in it."""
    missing = put(f"none-{uuid.uuid4().hex}", {"pk": "a"})
    unused = check(database.plain, {"pk": "a"}, **PRESENT, **placeholders({"v": "x"}))
    broken = check(database.plain, {"pk": "a"}, ConditionExpression="attribute_not_exists(")
    assert refusal(database, put(database.plain, {"pk": 5}), missing) == Refusal("ResourceNotFoundException", NO_TABLE)
    assert refusal(database, missing, unused) == invalid(
        "Value provided in ExpressionAttributeValues unused in expressions: keys: {:v}"
    )
    assert refusal(database, missing, broken) == invalid(
        'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "("'
    )
    reading = [get(f"none-{uuid.uuid4().hex}", {"pk": "a"})]
    assert database.refusal("transact_get_items", TransactItems=reading) == Refusal(
        "ResourceNotFoundException", NO_TABLE
    )


def test_limits(database: Database) -> None:
    """A hundred items, and four megabytes."""
    table, prefix = database.scanned, unique()
    puts = [put(table, {"pk": f"{prefix}-{number}", "sk": number}) for number in range(101)]
    found = refusal(database, *puts)
    assert found is not None and found.message.endswith("Member must have length less than or equal to 100")
    write(database, *puts[:100])
    gets = [get(table, {"pk": f"{prefix}-{number}", "sk": number}) for number in range(100)]
    answers = read(database, *gets)["Responses"]
    assert [native(answer["Item"])["sk"] for answer in answers] == [*range(100)]
    write(database, *[delete(table, {"pk": f"{prefix}-{number}", "sk": number}) for number in range(100)])
    large = [put(table, {"pk": f"{prefix}-{number}", "sk": number, "v": "x" * 350_000}) for number in range(12)]
    found = refusal(database, *large)
    assert found is not None and found.code == VALIDATION
    write(database, *large[:11])
    assert database.get(table, {"pk": f"{prefix}-10", "sk": 10}) is not None
    write(database, *[delete(table, {"pk": f"{prefix}-{number}", "sk": number}) for number in range(11)])


def test_a_request_that_is_sent_again(database: Database) -> None:
    """Under its token it is carried out once, and consumes reads then; another under that token is refused."""
    one, two, token = {"pk": unique()}, {"pk": unique()}, uuid.uuid4().hex
    members = [update(database.plain, each, "ADD n :n", {"n": 1}) for each in (one, two)]
    asked = {"ClientRequestToken": token, "ReturnConsumedCapacity": "TOTAL"}
    (first,) = write(database, *members, **asked)["ConsumedCapacity"]
    assert first == {"TableName": database.plain, "CapacityUnits": 4.0, "WriteCapacityUnits": 4.0}
    (again,) = write(database, *members, **asked)["ConsumedCapacity"]
    assert again == {"TableName": database.plain, "CapacityUnits": 4.0, "ReadCapacityUnits": 4.0}
    assert database.get(database.plain, one) == {**one, "n": 1}
    found = refusal(database, *members[:1], ClientRequestToken=token)
    assert found is not None and found.code == "IdempotentParameterMismatchException"
    assert database.get(database.plain, one) == {**one, "n": 1}
    write(database, *members)  # boto3 gives it another one
    assert database.get(database.plain, two) == {**two, "n": 2}


def test_a_cancelled_request_may_be_sent_again(database: Database) -> None:
    """Under its token: nothing of it was carried out."""
    key, other, token = {"pk": unique()}, {"pk": unique(), "sk": "a"}, uuid.uuid4().hex
    members = [update(database.plain, key, "SET a = :a", {"a": 1}, **PRESENT), put(database.sorted, other)]
    for _ in range(2):
        with pytest.raises(ClientError, match="ConditionalCheckFailed, None"):
            write(database, *members, ClientRequestToken=token)
    database.put(database.plain, key)
    write(database, *members, ClientRequestToken=token)
    assert database.get(database.plain, key) == {**key, "a": 1}
    assert database.get(database.sorted, other) == other


def test_capacity_and_collections(database: Database) -> None:
    """Twice what single operations consume; of local indexes as well."""
    table, key = database.indexed, {"pk": unique(), "sk": "a"}
    asked = {"ReturnConsumedCapacity": "INDEXES", "ReturnItemCollectionMetrics": "SIZE"}
    answer = write(database, put(table, {**key, "a": "x", "fill": "x" * 1500}), put(database.plain, key), **asked)
    consumed = {each["TableName"]: each for each in answer["ConsumedCapacity"]}
    four, two = ({"CapacityUnits": units, "WriteCapacityUnits": units} for units in (4.0, 2.0))
    assert consumed[table] == {
        "TableName": table,
        "CapacityUnits": 8.0,
        "WriteCapacityUnits": 8.0,
        "Table": four,
        "LocalSecondaryIndexes": {"by-a": four},
    }
    assert consumed[database.plain] == {"TableName": database.plain, "Table": two, **two}
    (collections,) = answer["ItemCollectionMetrics"].values()
    assert [each["ItemCollectionKey"] for each in collections] == [typed({"pk": key["pk"]})]
    members = [get(table, key), get(table, {**key, "sk": "none"}), get(database.plain, {"pk": unique()})]
    answer = read(database, *members, ReturnConsumedCapacity="TOTAL")
    assert answer["ConsumedCapacity"] == [
        {"TableName": table, "CapacityUnits": 4.0, "ReadCapacityUnits": 4.0},
        {"TableName": database.plain, "CapacityUnits": 2.0, "ReadCapacityUnits": 2.0},
    ]


def test_reads_of_several_tables(database: Database) -> None:
    """In the order of the request, each with its projection; what has nothing of that is as what is not there."""
    one, two = {"pk": unique(), "a": 1, "b": {"c": [2, 3]}}, {"pk": unique(), "sk": "x", "a": 4}
    database.put(database.plain, one)
    database.put(database.sorted, two)
    key = {"pk": one["pk"]}
    answer = read(
        database,
        get(database.sorted, {"pk": two["pk"], "sk": "x"}),
        get(database.plain, {"pk": unique()}),
        get(database.plain, key, ProjectionExpression="#x.c[1], pk", ExpressionAttributeNames={"#x": "b"}),
    )
    assert answer["Responses"] == [
        {"Item": typed(two)},
        {},
        {"Item": typed({"pk": one["pk"], "b": {"c": [3]}})},
    ]
    assert "ConsumedCapacity" not in answer
    assert read(database, get(database.plain, key, ProjectionExpression="nothing"))["Responses"] == [{}]


def test_indexes_follow(database: Database) -> None:
    """A local one at once."""
    table, pk = database.indexed, unique()
    write(database, put(table, {"pk": pk, "sk": "a", "n": 2}), put(table, {"pk": pk, "sk": "b", "n": 1}))
    found = database.query(table, "pk = :p", {"p": pk}, IndexName="by-n")["Items"]
    assert [native(item)["sk"] for item in found] == ["b", "a"]


def test_transactions_and_writes_that_conflict(database: Database) -> None:
    """Of those that are under way on the same items at a time some are refused, and nothing of them is done."""
    one, two = {"pk": unique()}, {"pk": unique(), "sk": "a"}
    transaction = [
        update(each, key, "ADD n :n", {"n": 1}) for each, key in ((database.plain, one), (database.sorted, two))
    ]
    conflict = {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
    wanted, deadline = {CANCELED, "TransactionConflictException"}, time.monotonic() + 60
    done: list[int] = []

    def write_on(operation: str, **parameters: Any) -> None:
        while wanted and time.monotonic() < deadline:
            try:
                getattr(database.client, operation)(**parameters)
                done.append(operation == "transact_write_items")
            except ClientError as error:
                response = error.response
                wanted.discard(response["Error"]["Code"])
                if "CancellationReasons" in response:
                    assert conflict in response["CancellationReasons"]
                    assert all(each in (conflict, NONE) for each in response["CancellationReasons"])
                else:
                    assert response["Error"]["Message"] == conflict["Message"]

    single = update(database.plain, one, "SET m = :m", {"m": 1})["Update"]
    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(write_on, "transact_write_items", TransactItems=transaction) for _ in range(3)]
        for each in (*futures, threads.submit(write_on, "update_item", **single)):
            each.result()
    assert not wanted
    answers = read(database, get(database.plain, one), get(database.sorted, two))["Responses"]
    assert [native(answer["Item"])["n"] for answer in answers] == [sum(done)] * 2
