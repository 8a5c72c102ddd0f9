"""What the README promises when processes fail, on real processes under the load of 64 clients."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator

import grpc
import grpc.aio
import pytest
import pytest_asyncio
import stator
from stator.session import Session
from statorpb import items_pb2, items_pb2_grpc

from storage_node.partition.recent_writes import AGE_MS_MAX
from tests.cluster.harness import LocalCluster, Workload, leaders_of, running_cluster, wait_for_leaders

pytestmark = pytest.mark.cluster

LEASE_S = 2.0
NOISE_S = 2.0
"""What a busy two-core machine may add to a bound; the figure itself is printed."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(autouse=True)
def everything_runs(cluster: LocalCluster) -> Iterator[None]:
    """What a failing test left dead or paused must not fail the next one."""
    yield
    for process in cluster.status():
        if process["state"] == "paused":
            cluster.local("resume", process["name"])
        elif process["pid"] is None:
            cluster.local("start", process["name"])


@pytest_asyncio.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[stator.AsyncClient]:
    async with stator.AsyncClient(cluster.endpoints, timeout_s=15.0) as opened:
        yield opened


async def table_with(client: stator.AsyncClient, name: str, partitions: int) -> dict[int, str]:
    await client.create_table(name, partition_key=("pk", "S"), partitions=partitions)
    await client.wait_until_table_active(name)
    return await wait_for_leaders(client, name, partitions)


async def in_thread(cluster: LocalCluster, command: str, *names: str) -> None:
    await asyncio.to_thread(cluster.local, command, *names)


async def test_a_follower_killed_costs_no_error(cluster: LocalCluster, client: stator.AsyncClient) -> None:
    """Two of three members are enough; nobody notices."""
    leaders = await table_with(client, "follower", 1)
    follower = next(name for name in ("storage-1", "storage-2", "storage-3") if name not in leaders.values())
    async with Workload(client, "follower") as load:
        killed_at = time.monotonic()
        await in_thread(cluster, "kill", follower)
        await load.wait_writes(2_000)
        await in_thread(cluster, "start", follower)
        await load.wait_writes(500)
    print(f"follower killed: longest gap {load.longest_gap_s(killed_at):.2f} s, {len(load.acknowledged_at)} writes")
    assert not load.errors, load.errors[:3]
    await load.verify(client)


async def test_a_leader_killed_is_replaced(cluster: LocalCluster, client: stator.AsyncClient) -> None:
    """Its partitions write again within the lease and a second; clients see latency, not errors."""
    leaders = await table_with(client, "leader", 1)
    (leader,) = leaders.values()
    async with Workload(client, "leader") as load:
        await load.wait_writes(300)
        killed_at = time.monotonic()
        await in_thread(cluster, "kill", leader)
        await load.wait_writes(1_000)
        gap_s = load.longest_gap_s(killed_at)
        await in_thread(cluster, "start", leader)
        await load.wait_writes(500)
    print(f"leader killed: no write for {gap_s:.2f} s (lease {LEASE_S} s), retries {client.retries}")
    assert not load.errors, load.errors[:3]
    assert gap_s < LEASE_S + 1 + NOISE_S
    await load.verify(client)
    (successor,) = (await leaders_of(client, "leader")).values()
    assert successor != leader


async def test_a_leader_paused_is_replaced_and_serves_nothing_stale(
    cluster: LocalCluster, client: stator.AsyncClient
) -> None:
    """A stopped process keeps its connections; its lease runs out all the same, and when it goes on it knows that."""
    leaders = await table_with(client, "paused", 1)
    (leader,) = leaders.values()
    async with Workload(client, "paused") as load:
        await load.wait_writes(300)
        paused_at = time.monotonic()
        await in_thread(cluster, "pause", leader)
        await load.wait_writes(500)
        gap_s = load.longest_gap_s(paused_at)
        await in_thread(cluster, "resume", leader)
        await load.wait_writes(500)
    print(f"leader paused: no write for {gap_s:.2f} s")
    assert not load.errors, load.errors[:3]
    assert gap_s < LEASE_S + 1 + NOISE_S
    await load.verify(client)


async def test_without_the_metadata_service_reads_and_writes_go_on(
    cluster: LocalCluster, client: stator.AsyncClient
) -> None:
    """Static stability: what is known is enough; only changes of tables fail, with a clear error."""
    await table_with(client, "static", 3)
    async with Workload(client, "static") as load:
        await in_thread(cluster, "kill", "metadata")
        await load.wait_writes(2_000)
        with pytest.raises(stator.UnavailableError):
            await client.create_table("refused", partition_key=("pk", "S"), timeout_s=6)
        await in_thread(cluster, "start", "metadata")
        await load.wait_writes(500)
    assert not load.errors, load.errors[:3]
    await load.verify(client)
    await client.create_table("again", partition_key=("pk", "S"))
    await client.wait_until_table_active("again")


async def test_a_router_killed_makes_clients_move_on(cluster: LocalCluster, client: stator.AsyncClient) -> None:
    """The SDK turns to another router and sends again what had no answer, with the same token."""
    await table_with(client, "router", 3)
    retries = client.retries
    async with Workload(client, "router") as load:
        for name in ("router-1", "router-2", "router-3"):
            await in_thread(cluster, "kill", name)
            await load.wait_writes(500)
            await in_thread(cluster, "start", name)
    print(f"every router killed in turn: {client.retries - retries} retries")
    assert not load.errors, load.errors[:3]
    assert client.retries > retries
    await load.verify(client)


async def test_everything_killed_at_once_comes_back_with_every_write(
    cluster: LocalCluster, client: stator.AsyncClient
) -> None:
    """Serving again within ten seconds of the start; every acknowledged write is there."""
    await table_with(client, "everything", 3)
    load = Workload(client, "everything")
    async with load:
        await load.wait_writes(1_000)
        await in_thread(cluster, "kill", "all")
        started_at = time.monotonic()
        await in_thread(cluster, "start", "all")
        await load.wait_writes(300, timeout_s=40)
        back_s = next(each for each in load.acknowledged_at if each > started_at) - started_at
    print(f"everything killed: first write {back_s:.1f} s after the start began, {len(load.errors)} errors meanwhile")
    assert back_s < 10 + NOISE_S
    load.errors.clear()
    await load.verify(client)


def http_put(table: str, name: str, value: str) -> bytes:
    """As an AWS SDK sends it."""
    body = json.dumps({"TableName": table, "Item": {"pk": {"S": name}, "value": {"S": value}}}).encode()
    return (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: DynamoDB_20120810.PutItem\r\n"
        b"Content-Type: application/x-amz-json-1.0\r\namz-sdk-invocation-id: %b\r\nContent-Length: %d\r\n\r\n%b"
        % (name.encode(), len(body), body)
    )


def unary_put(table: str, name: str, value: str) -> items_pb2.PutItemRequest:
    request = items_pb2.PutItemRequest(table_name=table)
    request.item.attributes["pk"].s = name
    request.item.attributes["value"].s = value
    return request


async def test_a_write_that_lay_in_a_halted_router_is_not_carried_out(
    cluster: LocalCluster, client: stator.AsyncClient
) -> None:
    """Its client has sent it again elsewhere, another has written since, and all that is so long ago that nobody
    remembers it."""
    await table_with(client, "halted", 1)
    halted, other = cluster.endpoints[:2]
    request = items_pb2.SessionRequest(token=b"halted")
    request.put_item.table_name = "halted"
    request.put_item.item.attributes["pk"].s = "a"
    request.put_item.item.attributes["value"].s = "old"
    body = request.SerializeToString()
    async with grpc.aio.insecure_channel(halted) as channel, grpc.aio.insecure_channel(other) as other_channel:
        session, other_session = Session(channel, halted), Session(other_channel, other)
        request.put_item.item.attributes["pk"].s = "another"
        request.token = b"another"
        await session.send(request.SerializeToString(), 5.0)
        sent_at = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", cluster.http_endpoints[0].rpartition(":")[2])
        unary = items_pb2_grpc.ItemsStub(channel).PutItem
        await in_thread(cluster, "pause", "router-1")
        first = session.send(body, 60.0)
        writer.write(http_put("halted", "by-http", "old"))
        by_unary = unary(unary_put("halted", "by-unary", "old"), timeout=60)
        by_unary.add_done_callback(lambda _: None)
        await asyncio.sleep(0)
        assert not (await other_session.send(body, 5.0, time.monotonic() - sent_at)).HasField("error")
        async with stator.AsyncClient([other]) as neighbour:
            for name in ("a", "by-http", "by-unary"):
                await neighbour.put_item("halted", {"pk": name, "value": "new"})
            remembered_s = AGE_MS_MAX / 1000 + 0.5
            await asyncio.sleep(remembered_s)  # what passes is the time of the partition's log
            await neighbour.put_item("halted", {"pk": "b"})
            await in_thread(cluster, "resume", "router-1")
            answer = await first
            assert answer.error.not_carried_out, answer
            assert (await reader.readline()).startswith(b"HTTP/1.1 5")
            with pytest.raises(grpc.aio.AioRpcError):
                await by_unary
            for name in ("a", "by-http", "by-unary"):
                assert await neighbour.get_item("halted", {"pk": name}, consistent_read=True) == {
                    "pk": name,
                    "value": "new",
                }
        writer.close()
        await session.close()
        await other_session.close()
