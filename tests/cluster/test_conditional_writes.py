"""Conditional writes and updates of 64 clients on one item, its leader killed: each happens once or not at all."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import botocore.exceptions
import pytest
import stator
from botocore.config import Config

from tests.cluster.harness import LocalCluster, leaders_of, running_cluster, wait_for_leaders

pytestmark = pytest.mark.cluster

CLIENTS = 64


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("conditional")) as running:
        yield running


class Clients:
    """64 threads with a boto3 client each at one of three routers; boto3 itself repeats what fails."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        ports = [
            port["port"]
            for process in cluster.status()
            if process["role"] == "router"
            for port in process["ports"]
            if port["kind"] == "http"
        ]
        session = boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name="local")
        config = Config(retries={"mode": "standard", "total_max_attempts": 6}, read_timeout=20)
        self.all = [
            session.client("dynamodb", endpoint_url=f"http://127.0.0.1:{ports[number % 3]}", config=config)
            for number in range(CLIENTS)
        ]
        self.first = self.all[0]
        self._done = 0
        self._lock = threading.Condition()

    def run(self, work: Callable[[Any], None], rounds: int, kill: str) -> None:
        """Every client does `work` so often; the process `kill` is killed in the midst of it, and started again."""

        def go(client: Any) -> None:
            for _ in range(rounds):
                work(client)
                with self._lock:
                    self._done += 1
                    self._lock.notify_all()

        begun = self._done
        with ThreadPoolExecutor(CLIENTS) as pool:
            waiting = [pool.submit(go, client) for client in self.all]
            with self._lock:
                assert self._lock.wait_for(lambda: self._done > begun + CLIENTS * rounds // 4, 60)
            self.cluster.local("kill", kill)
            for each in waiting:
                each.result(timeout=120)
        self.cluster.local("start", kill)


async def leader_of_new_table(cluster: LocalCluster, name: str) -> str:
    async with stator.AsyncClient(cluster.endpoints, timeout_s=15.0) as client:
        await client.create_table(name, partition_key=("pk", "S"), partitions=1)
        await client.wait_until_table_active(name)
        await wait_for_leaders(client, name, 1)
        (leader,) = (await leaders_of(client, name)).values()
    return leader


async def test_a_counter_counts_every_success(cluster: LocalCluster) -> None:
    """The final value is the number of additions that were acknowledged, plus at most those whose outcome is unknown;
    and what each of them returned, no other did."""
    leader = await leader_of_new_table(cluster, "counter")
    clients = Clients(cluster)
    returned: list[int] = []
    unknown: list[str] = []

    def add(client: Any) -> None:
        try:
            answer = client.update_item(
                TableName="counter",
                Key={"pk": {"S": "c"}},
                UpdateExpression="ADD n :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
                ReturnValues="UPDATED_NEW",
            )
            returned.append(int(answer["Attributes"]["n"]["N"]))
        except botocore.exceptions.ClientError as error:
            unknown.append(str(error))

    clients.run(add, 25, leader)
    stored = clients.first.get_item(TableName="counter", Key={"pk": {"S": "c"}}, ConsistentRead=True)
    value = int(stored["Item"]["n"]["N"])
    print(f"counter: {len(returned)} acknowledged, {len(unknown)} of unknown outcome, value {value}")
    assert len(returned) == len(set(returned))
    assert len(returned) <= value <= len(returned) + len(unknown)
    assert not unknown, unknown[:3]


async def test_put_if_absent_has_one_winner(cluster: LocalCluster) -> None:
    """Of all who try at once, for one item after the other; and what is stored is the winner's."""
    leader = await leader_of_new_table(cluster, "winners")
    clients = Clients(cluster)
    rounds = 12
    barrier = threading.Barrier(CLIENTS)
    turns: Counter[int] = Counter()
    winners: dict[str, list[str]] = {}
    lock = threading.Lock()

    def claim(client: Any) -> None:
        with lock:
            turns[id(client)] += 1
            name = f"item-{turns[id(client)]}"
        barrier.wait(60)
        me = str(id(client))
        try:
            client.put_item(
                TableName="winners",
                Item={"pk": {"S": name}, "owner": {"S": me}},
                ConditionExpression="attribute_not_exists(pk)",
            )
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "ConditionalCheckFailedException", error
        else:
            with lock:
                winners.setdefault(name, []).append(me)

    clients.run(claim, rounds, leader)
    assert {name: len(owners) for name, owners in winners.items()} == {f"item-{turn + 1}": 1 for turn in range(rounds)}
    for name, (owner,) in winners.items():
        stored = clients.first.get_item(TableName="winners", Key={"pk": {"S": name}}, ConsistentRead=True)
        assert stored["Item"]["owner"]["S"] == owner
