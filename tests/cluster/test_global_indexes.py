"""Global indexes while nodes are killed: in the end each has what its table says, and nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
import stator
from stator.index_check import ClientSource, Difference, IndexCheck, IndexDefinition
from stator.indexes import KeyAttribute

from tests.cluster.harness import LocalCluster, leaders_of, running_cluster
from tests.cluster.writers import Writers

pytestmark = pytest.mark.cluster

LOAD_S = float(os.environ.get("STATOR_INDEX_LOAD_S", "15"))
SETTLE_S = 30.0

PK, SK = KeyAttribute("pk", "S"), KeyAttribute("sk", "N")
INDEXES = {
    "by-g": IndexDefinition((PK, SK), (KeyAttribute("g", "S"), KeyAttribute("h", "N")), None),
    "keys": IndexDefinition((PK, SK), (KeyAttribute("h", "N"),), frozenset()),
    "some": IndexDefinition((PK, SK), (KeyAttribute("g", "S"),), frozenset({"x"})),
}
PROJECTIONS: dict[str, dict[str, Any]] = {
    "by-g": {"ProjectionType": "ALL"},
    "keys": {"ProjectionType": "KEYS_ONLY"},
    "some": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]},
}


def described(name: str) -> dict[str, Any]:
    """An index as CreateTable and UpdateTable take it."""
    keys = zip(INDEXES[name].index_keys, ("HASH", "RANGE"), strict=False)
    return {
        "IndexName": name,
        "KeySchema": [{"AttributeName": each.name, "KeyType": kind} for each, kind in keys],
        "Projection": PROJECTIONS[name],
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(autouse=True)
def everything_runs(cluster: LocalCluster) -> Iterator[None]:
    yield
    for process in cluster.status():
        if process["pid"] is None:
            cluster.local("start", process["name"])


@pytest_asyncio.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[stator.AsyncClient]:
    async with stator.AsyncClient(cluster.endpoints, timeout_s=20.0) as opened:
        yield opened


@pytest.fixture
def boto(cluster: LocalCluster) -> Any:
    return cluster.dynamodb()


def create(boto: Any, table: str, *indexes: str) -> None:
    boto.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind}
            for name, kind in (("pk", "S"), ("sk", "N"), ("g", "S"), ("h", "N"))
            if indexes or name in ("pk", "sk")
        ],
        ProvisionedThroughput={"ReadCapacityUnits": 5_000, "WriteCapacityUnits": 2_000},  # two partitions
        **(
            {"GlobalSecondaryIndexes": [{**described(name), "ProvisionedThroughput": UNITS} for name in indexes]}
            if indexes
            else {}
        ),
    )
    boto.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300})


UNITS = {"ReadCapacityUnits": 3_000, "WriteCapacityUnits": 1_500}


async def differences(client: stator.AsyncClient, table: str, index: str) -> list[Difference]:
    source = ClientSource(client, table, index, INDEXES[index])
    check = IndexCheck(source, INDEXES[index], SETTLE_S)
    found = [each async for each in check.differences()]
    assert check.entries > 0
    return found


async def in_thread(cluster: LocalCluster, command: str, *names: str) -> None:
    await asyncio.to_thread(cluster.local, command, *names)


async def kill_in_turn(cluster: LocalCluster, client: stator.AsyncClient, table: str, load: Writers) -> None:
    """Leaders of the table and of its indexes, which any storage node may be."""
    loop = asyncio.get_running_loop()
    end = loop.time() + LOAD_S
    turn = 0
    while loop.time() < end:
        leaders = sorted(set((await leaders_of(client, table)).values()))
        victim = leaders[turn % len(leaders)] if turn % 2 else f"storage-{1 + turn // 2 % 3}"
        await in_thread(cluster, "kill", victim)
        await load.wait(200)
        await in_thread(cluster, "start", victim)
        await load.wait(200)
        turn += 1


async def test_indexes_follow_while_leaders_are_killed(
    cluster: LocalCluster, client: stator.AsyncClient, boto: Any
) -> None:
    """Nothing is lost, nothing is left behind, on either side."""
    create(boto, "followed", *INDEXES)
    load = Writers(client, "followed", 1)
    await kill_in_turn(cluster, client, "followed", load)
    await load.stop()
    print(f"{load.writes} writes, {len(load.errors)} errors")
    for index in INDEXES:
        assert await differences(client, "followed", index) == []


async def test_an_index_is_made_for_a_table_that_is_written(
    cluster: LocalCluster, client: stator.AsyncClient, boto: Any
) -> None:
    """What was there before comes to be in it, and what is written meanwhile; killing a leader only delays that. Then
    it goes again."""
    create(boto, "grown")
    async with client.table("grown").batch_writer() as batch:
        for number in range(2_000):
            await batch.put_item({"pk": f"old{number}", "sk": 0, "g": f"g{number % 7}", "h": number % 5})
    load = Writers(client, "grown", 2)
    await load.wait(100)
    boto.update_table(
        TableName="grown",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind}
            for name, kind in (("pk", "S"), ("sk", "N"), ("g", "S"), ("h", "N"))
        ],
        GlobalSecondaryIndexUpdates=[{"Create": {**described("by-g"), "ProvisionedThroughput": UNITS}}],
    )
    (victim, *_) = sorted((await leaders_of(client, "grown")).values())
    await in_thread(cluster, "kill", victim)
    await load.wait(200)
    await in_thread(cluster, "start", victim)
    async with asyncio.timeout(60):
        while (index := boto.describe_table(TableName="grown")["Table"]["GlobalSecondaryIndexes"][0])[
            "IndexStatus"
        ] != "ACTIVE":
            assert index["IndexStatus"] == "CREATING"
            await asyncio.sleep(0.1)
    await load.stop()
    assert await differences(client, "grown", "by-g") == []
    boto.update_table(TableName="grown", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-g"}}])
    async with asyncio.timeout(60):
        while "GlobalSecondaryIndexes" in boto.describe_table(TableName="grown")["Table"]:
            await asyncio.sleep(0.1)
