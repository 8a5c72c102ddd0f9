"""Reasons for which transactions are cancelled, and their errors, that take a cluster of its own, through boto3."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import pytest
import stator
from botocore.exceptions import ClientError

from tests.cluster.harness import LocalCluster, running_cluster, wait_for_leaders

pytestmark = pytest.mark.cluster

COLLECTION_BYTES = 20_000
LEASE_MS = 6_000
REQUEST_TIMEOUT_MS = 5_000
CALLERS = 110
"""Of so many batches of 100 reads each some are beyond what a router has in flight (10,000 calls)."""
NONE = {"Code": "None"}
MESSAGES = {
    "ThrottlingError": "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically "
    "scaling your table or index so please try again shortly. If exceptions persist, check if you have a hot key: "
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html.",
    "ProvisionedThroughputExceeded": "The level of configured provisioned throughput for the table was exceeded. "
    "Consider increasing your provisioning level with the UpdateTable API.",
}
STORAGE_NODES = {"storage-1", "storage-2", "storage-3"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Item collections are full soon; leaders go on leading for a while when nobody hears them any more."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STATOR_ITEM_COLLECTION_BYTES", str(COLLECTION_BYTES))
        environment.setenv("STATOR_LEASE_MS", str(LEASE_MS))
        environment.setenv("STATOR_REQUEST_TIMEOUT_MS", str(REQUEST_TIMEOUT_MS))
        environment.setenv("STATOR_EVENTUAL_READ_AGE_MS", str(2 * LEASE_MS))
        with running_cluster(tmp_path_factory.mktemp("refusals")) as running:
            yield running


@pytest.fixture
def dynamodb(cluster: LocalCluster) -> Any:
    return cluster.dynamodb(retries={"total_max_attempts": 1}, read_timeout=30, max_pool_connections=CALLERS)


def put(table: str, **attributes: str) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": {name: {"S": value} for name, value in attributes.items()}}}


def reasons(dynamodb: Any, *members: dict[str, Any]) -> list[dict[str, Any]]:
    """What a transaction is cancelled for; empty: it is carried out."""
    try:
        dynamodb.transact_write_items(TransactItems=members)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "TransactionCanceledException"
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        told: list[dict[str, Any]] = error.response["CancellationReasons"]
        return told
    return []


def test_an_item_collection_that_is_full(dynamodb: Any) -> None:
    """What would make it larger is refused, alone and in a transaction; what makes it smaller is not."""
    dynamodb.create_table(
        TableName="collections",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "v")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        LocalSecondaryIndexes=[
            {
                "IndexName": "by-v",
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "v", "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.get_waiter("table_exists").wait(TableName="collections")
    assert reasons(dynamodb, put("collections", pk="p", sk="a", v="1", data="x" * 15_000)) == []
    full = {"Code": "ItemCollectionSizeLimitExceeded", "Message": "Collection size exceeded."}
    other, larger = (
        put("collections", pk="other", sk="a"),
        put("collections", pk="p", sk="b", v="2", data="x" * 6_000),
    )
    assert reasons(dynamodb, other, larger) == [NONE, full]
    assert reasons(dynamodb, larger) == [full]
    with pytest.raises(dynamodb.exceptions.ItemCollectionSizeLimitExceededException):
        dynamodb.put_item(**larger["Put"])
    smaller = put("collections", pk="p", sk="a", v="1", data="x" * 1_000)
    assert reasons(dynamodb, other, smaller) == []
    assert reasons(dynamodb, other, larger) == []


async def leader_of_new(cluster: LocalCluster, table: str, units: int | None) -> str:
    """Makes a table of one partition with so many capacity units, or none; the leader."""
    async with stator.AsyncClient(cluster.endpoints) as client:
        await client.create_table(
            table, partition_key=("pk", "S"), partitions=1, read_capacity_units=units, write_capacity_units=units
        )
        (leader,) = (await wait_for_leaders(client, table, 1)).values()
    return leader


@contextlib.contextmanager
def silent(cluster: LocalCluster, names: set[str]) -> Iterator[None]:
    pids = [process["pid"] for process in cluster.status() if process["name"] in names]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("units", "reason", "error"),
    [
        (None, "ThrottlingError", "ThrottlingException"),
        (5, "ProvisionedThroughputExceeded", "ProvisionedThroughputExceededException"),
    ],
    ids=["by request", "provisioned"],
)
def test_a_partition_that_takes_no_more(
    cluster: LocalCluster, dynamodb: Any, units: int | None, reason: str, error: str
) -> None:
    """While nothing can be committed a partition takes 8 MiB, and throttles what comes on top of that. What it has
    taken is carried out when it can be."""
    table = reason
    followers = STORAGE_NODES - {asyncio.run(leader_of_new(cluster, table, units))}
    large = [[put(table, pk=f"{number}-{each}", data="x" * 380_000) for each in range(10)] for number in range(4)]
    with ThreadPoolExecutor(2 * len(large)) as threads:
        with silent(cluster, followers):
            answers = [threads.submit(reasons, dynamodb, *members) for members in large]
            answered, _ = wait(answers, LEASE_MS / 1000, FIRST_COMPLETED)
            single = [partial(dynamodb.put_item, **members[0]["Put"]) for members in large[1:]]
            alone, _ = wait([threads.submit(each) for each in single], LEASE_MS / 1000, FIRST_COMPLETED)
        told = {getattr(each.exception(), "response", {})["Error"]["Code"] for each in alone}
        assert told == {error}, "there is room for one more at most, which is not answered before"
        throttled = [answer.result() for answer in answered]
        assert throttled, "nothing was refused while the leader led"
        assert {each["Code"] for told in throttled for each in told} == {reason}
        assert {len(told) for told in throttled} == {10}
        assert {each["Message"] for told in throttled for each in told} == {MESSAGES[reason]}
        assert [] in [answer.result() for answer in answers]
    assert reasons(dynamodb, *large[-1]) == []


def error_of(call: Callable[..., Any], **parameters: Any) -> tuple[str, int]:
    """(code, HTTP status)."""
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    response = raised.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_transaction_whose_outcome_is_not_known_in_time(cluster: LocalCluster, dynamodb: Any) -> None:
    """It is carried out when it can be: asked for again by its token, it was."""
    followers = STORAGE_NODES - {asyncio.run(leader_of_new(cluster, "slow", None))}
    request = {"TransactItems": [put("slow", pk="a")], "ClientRequestToken": "slow"}
    with silent(cluster, followers):
        assert error_of(dynamodb.transact_write_items, **request) == ("InternalServerError", 500)
    dynamodb.transact_write_items(**request)
    assert "Item" in dynamodb.get_item(TableName="slow", Key={"pk": {"S": "a"}}, ConsistentRead=True)


def test_a_router_that_takes_no_more(cluster: LocalCluster, dynamodb: Any) -> None:
    """While a leader says nothing, what is asked of it gathers in the router; on top of its limit nothing is begun."""
    leader = asyncio.run(leader_of_new(cluster, "many", None))
    keys = [{"pk": {"S": str(number)}} for number in range(100)]
    reads = {"many": {"Keys": keys, "ConsistentRead": True}}
    key = {"TableName": "many", "Key": {"pk": {"S": "a"}}}
    with ThreadPoolExecutor(CALLERS) as threads, silent(cluster, {leader}):
        callers = [threads.submit(dynamodb.batch_get_item, RequestItems=reads) for _ in range(CALLERS)]
        answered, _ = wait(callers, REQUEST_TIMEOUT_MS / 1000, FIRST_COMPLETED)
        assert answered, "the router takes everything"
        assert error_of(dynamodb.get_item, **key, ConsistentRead=True) == ("RequestLimitExceeded", 400)
        assert error_of(dynamodb.transact_get_items, TransactItems=[{"Get": key}]) == ("RequestLimitExceeded", 400)
        (reason,) = reasons(dynamodb, put("many", pk="a"))
        assert reason["Code"] == "ThrottlingError"
