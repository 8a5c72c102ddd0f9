"""The asynchronous client against a fake cluster."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import stator
from stator import AsyncClient
from stator.connection import DEFAULT_ENDPOINTS, default_endpoints
from statorpb import admin_pb2, tables_pb2

from tests.clients.fake_cluster import FakeRouter, FakeState


@pytest.fixture
async def client(routers: list[FakeRouter]) -> AsyncIterator[AsyncClient]:
    async with AsyncClient([router.address for router in routers]) as client:
        yield client


async def test_an_item_is_written_read_and_deleted(client: AsyncClient) -> None:
    """The item comes back as it was given; None when it is not there."""
    item = {"pk": "a", "n": Decimal("1.5"), "tags": {"x", "y"}, "nested": [{"b": b"\x01"}, None]}
    await client.put_item("music", item)
    assert await client.get_item("music", {"pk": "a"}, consistent_read=True) == item
    await client.delete_item("music", {"pk": "a"})
    assert await client.get_item("music", {"pk": "a"}) is None
    await client.delete_item("music", {"pk": "a"})


async def test_errors_are_typed(client: AsyncClient) -> None:
    """The server's code decides the class; message and code are kept; nothing is retried that cannot succeed."""
    with pytest.raises(stator.ResourceNotFoundError) as caught:
        await client.put_item("films", {"pk": "a"})
    assert caught.value.code == "ResourceNotFoundException"
    assert "films" in caught.value.message
    with pytest.raises(stator.ValidationError):
        await client.get_item("music", {"other": "a"})
    with pytest.raises(stator.ResourceNotFoundError):
        await client.describe_table("films")
    with pytest.raises(TypeError, match="floats"):
        await client.put_item("music", {"pk": 1.5})
    assert client.retries == 0


async def test_batches_of_any_length(client: AsyncClient, state: FakeState) -> None:
    """More than a request may carry is cut up; order and absence are kept on reading."""
    items = [{"pk": str(number), "value": number} for number in range(260)]
    await client.batch_write_item("music", put=items, delete=[{"pk": "nobody"}])
    assert len(state.tables["music"].items) == 260
    keys = [{"pk": str(number)} for number in (259, 7, 1000, 7, *range(200))]
    found = await client.batch_get_item("music", keys, consistent_read=True)
    assert found[:4] == [items[259], items[7], None, items[7]]
    assert found[4:] == items[:200]
    assert await client.batch_get_item("music", []) == []


async def test_unprocessed_parts_are_sent_again(client: AsyncClient, state: FakeState) -> None:
    """What the server leaves over is sent again, under another token."""
    state.unprocessed = 40
    items = [{"pk": str(number)} for number in range(60)]
    await client.batch_write_item("music", put=items)
    assert len(state.tables["music"].items) == 60
    assert all(count == 1 for count in state.tokens.values())
    state.unprocessed = 30
    assert await client.batch_get_item("music", items) == items


async def test_what_stays_unprocessed_is_an_error(client: AsyncClient, state: FakeState) -> None:
    """The helper gives up within its time and says so."""
    state.unprocessed = 10**9
    with pytest.raises(stator.UnavailableError, match="unprocessed"):
        await client.batch_write_item("music", put=[{"pk": "a"}], timeout_s=0.2)


async def test_an_error_ends_a_batch(client: AsyncClient) -> None:
    """The first error is raised; nothing is left running."""
    with pytest.raises(TypeError, match="object"):
        await client.batch_write_item("music", put=[{"pk": object()}] * 100)
    with pytest.raises(stator.ResourceNotFoundError):
        await client.batch_write_item("films", put=[{"pk": str(number)} for number in range(300)])


async def test_scan_goes_through_all_pages(client: AsyncClient, state: FakeState) -> None:
    """Every item once; `limit` ends it early; `page_items` sets the size of a page."""
    items = [{"pk": str(number)} for number in range(35)]
    await client.batch_write_item("music", put=items)

    def in_order(found: list[stator.Item]) -> list[int]:
        return sorted(int(item["pk"]) for item in found)

    assert in_order([item async for item in client.scan("music")]) == list(range(35))
    assert len([item async for item in client.scan("music", limit=12)]) == 12
    assert [len(page) async for page in client.scan_pages("music", limit=12, page_items=5)] == [5, 5, 2]
    page = await anext(client.scan_pages("music", page_items=35))
    assert (len(page), page.count, page.scanned_count, page.last_evaluated_key) == (35, 35, 35, None)


async def test_tables_from_creation_to_deletion(client: AsyncClient, state: FakeState) -> None:
    """A table is described with all that was asked for, becomes active, and is gone in the end."""
    made = await client.create_table(
        "films", ("title", "S"), ("year", "N"), read_capacity_units=10, write_capacity_units=5, partitions=3
    )
    assert made.status == "CREATING"
    assert (made.partition_key, made.sort_key) == (stator.KeyAttribute("title", "S"), stator.KeyAttribute("year", "N"))
    assert (made.read_capacity_units, made.write_capacity_units, made.partitions) == (10, 5, 3)
    assert made.created_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (await client.wait_until_table_active("films")).status == "ACTIVE"
    await client.create_table("plain")
    assert [name async for name in client.list_tables()] == ["films", "music", "plain"]
    await client.delete_table("films")
    await client.wait_until_table_gone("films")
    with pytest.raises(stator.ResourceNotFoundError):
        await client.delete_table("films")
    on_demand = await client.describe_table("plain")
    assert (on_demand.read_capacity_units, on_demand.sort_key) == (None, None)


async def test_creation_is_checked(client: AsyncClient) -> None:
    """A table that exists, half a throughput and an impossible key type are refused."""
    with pytest.raises(stator.ResourceInUseError):
        await client.create_table("music")
    with pytest.raises(ValueError, match="both"):
        await client.create_table("x", read_capacity_units=1)
    with pytest.raises(stator.ValidationError, match="BOOL"):
        await client.create_table("x", ("pk", "BOOL"))


async def test_waiting_has_an_end(client: AsyncClient, state: FakeState) -> None:
    """A table that does not become active in time is a DeadlineExceededError."""
    state.tables["music"].describes_until_active = 10**9
    state.tables["music"].description.status = tables_pb2.CREATING
    with pytest.raises(stator.DeadlineExceededError, match="not active after"):
        await client.wait_until_table_active("music", timeout_s=0.2)


async def test_the_cluster_is_described(client: AsyncClient) -> None:
    """Nodes with their state, partitions with their leader."""
    cluster = await client.describe_cluster()
    assert [(node.name, node.is_alive) for node in cluster.nodes][2] == ("storage-3", False)
    leader = cluster.partitions[0].leader
    assert leader is not None
    assert leader.zone == "zone-2"


async def test_what_has_happened_is_told(client: AsyncClient, state: FakeState) -> None:
    """The newest, and then what came after; what an event is not about is None."""
    assert await client.list_events() == stator.ClusterEvents((), "0", "metadata-2", None)
    state.events += [
        admin_pb2.Event(at_ms=2_000 + each, kind="node", text=f"storage-{each} joined", node_id=each)
        for each in range(1, 4)
    ]
    told = await client.list_events(limit=2)
    assert [event.node_id for event in told.events] == [2, 3]
    when = datetime.fromtimestamp(2.003, UTC)
    assert told.events[1] == stator.ClusterEvent(when, "node", "storage-3 joined", 3, None)
    assert (told.since, told.told_by) == (datetime.fromtimestamp(1, UTC), "metadata-2")
    state.events.append(admin_pb2.Event(at_ms=3_000, kind="leader", text="partition 100 of music has no leader"))
    after = await client.list_events(told.next)
    assert [(event.kind, event.node_id) for event in after.events] == [("leader", None)]
    with pytest.raises(stator.ValidationError, match="no place"):
        await client.list_events("here")


async def test_nodes_are_drained_and_removed(client: AsyncClient) -> None:
    """What still has replicas is not removed."""
    assert (await client.drain_node("storage-1")).is_draining
    with pytest.raises(stator.ResourceInUseError):
        await client.remove_node("storage-1")
    assert not (await client.drain_node("storage-1", cancel=True)).is_draining
    assert (await client.remove_node("storage-4")).replicas == 0
    with pytest.raises(stator.ResourceNotFoundError):
        await client.remove_node("storage-9")


async def test_a_closed_client_refuses(routers: list[FakeRouter]) -> None:
    """Calls after close raise ClientClosedError; closing twice is allowed."""
    client = AsyncClient([routers[0].address])
    await client.put_item("music", {"pk": "a"})
    await client.close()
    await client.close()
    with pytest.raises(stator.ClientClosedError):
        await client.get_item("music", {"pk": "a"})


def test_endpoints_are_checked() -> None:
    """A text instead of a list is a mistake that is easily made."""
    with pytest.raises(TypeError, match=r"127\.0\.0\.1:9000"):
        AsyncClient("127.0.0.1:9000")


async def test_no_endpoint_at_all() -> None:
    """An empty list is an error sentence."""
    with pytest.raises(ValueError, match="at least one endpoint"):
        await AsyncClient([]).get_item("music", {"pk": "a"})


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf")])
async def test_a_timeout_is_a_positive_number(client: AsyncClient, timeout_s: float) -> None:
    """Of a client and of a call; 0 is not "the default"."""
    with pytest.raises(ValueError, match="positive number of seconds"):
        AsyncClient(["127.0.0.1:1"], timeout_s=timeout_s)
    with pytest.raises(ValueError, match="positive number of seconds"):
        await client.put_item("music", {"pk": "a"}, timeout_s=timeout_s)


def test_the_environment_names_the_routers() -> None:
    """As it does for the command line; without it, the local cluster's usual ports."""
    assert default_endpoints({"STATOR_ENDPOINTS": "a:1, b:2"}) == ("a:1", "b:2")
    assert default_endpoints({"STATOR_ENDPOINTS": " "}) == default_endpoints({}) == DEFAULT_ENDPOINTS
