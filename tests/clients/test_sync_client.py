"""The synchronous client: the same surface, from any thread."""

import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import stator
from stator import AsyncClient, Client

from tests.clients.conftest import BackgroundCluster
from tests.clients.waiting import until_blocking


@pytest.fixture
def client(cluster: BackgroundCluster) -> Iterator[Client]:
    with Client(cluster.endpoints) as client:
        yield client


def public_names(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_the_surfaces_are_the_same() -> None:
    """Both clients have the same methods with the same parameters."""
    assert public_names(Client) == public_names(AsyncClient)
    for name in public_names(Client) | {"__init__"}:
        mine, theirs = getattr(Client, name), getattr(AsyncClient, name)
        if callable(mine):
            assert inspect.signature(mine).parameters == inspect.signature(theirs).parameters, name


def test_every_operation(client: Client) -> None:
    """Each method does what its asynchronous twin does."""
    client.create_table("films", ("title", "S"), partitions=2)
    assert client.wait_until_table_active("films").partitions == 2
    assert list(client.list_tables()) == ["films", "music"]
    assert list(client.list_table_pages()) == [["films", "music"]]
    client.put_item("films", {"title": "Alien", "year": 1979})
    assert client.get_item("films", {"title": "Alien"}, consistent_read=True) == {"title": "Alien", "year": 1979}
    client.delete_item("films", {"title": "Alien"})
    assert client.get_item("films", {"title": "Alien"}) is None
    client.batch_write_item("films", put=({"title": str(number)} for number in range(30)))
    assert client.batch_get_item("films", [{"title": "3"}, {"title": "x"}]) == [{"title": "3"}, None]
    assert len(list(client.scan("films"))) == 30
    assert [len(page) for page in client.scan_pages("films", page_items=20)] == [20, 10]
    assert len(client.scan_page("films", limit=5)[0]) == 5
    assert client.describe_cluster().nodes[0].name == "storage-1"
    assert client.describe_table("films").items == 30
    assert client.update_table("films", deletion_protection=True).deletion_protection
    client.tag_resource("films", {"a": "1"})
    client.untag_resource("films", ["b"])
    assert client.list_tags_of_resource("films") == {"a": "1"}
    client.update_time_to_live("films", "until")
    assert client.describe_time_to_live("films") == "until"
    assert client.describe_limits().table_max_write_capacity_units == 1
    client.delete_table("films")
    client.wait_until_table_gone("films")
    with pytest.raises(stator.ResourceNotFoundError):
        client.describe_table("films")
    assert client.statistics.requests > 10
    assert client.retries == 0


def test_threads_share_a_client(client: Client, cluster: BackgroundCluster) -> None:
    """Requests of many threads travel together and are all answered."""

    def write(number: int) -> None:
        client.put_item("music", {"pk": str(number)})

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(500)))
    assert len(cluster.state.tables["music"].items) == 500
    assert client.statistics.frames < 500


def test_a_scan_may_be_left_early(client: Client) -> None:
    """Dropping the iterator leaves nothing behind."""
    client.batch_write_item("music", put=({"pk": str(number)} for number in range(30)))
    scan = client.scan("music")
    next(scan)
    del scan
    assert client.get_item("music", {"pk": "1"}) == {"pk": "1"}


def test_closing_stops_the_thread(cluster: BackgroundCluster) -> None:
    """The background thread runs while any client is open, and no longer."""

    def is_running() -> bool:
        return any(thread.name == "stator client" for thread in threading.enumerate())

    with Client(cluster.endpoints) as one:
        one.put_item("music", {"pk": "a"})
        with Client(cluster.endpoints) as two:
            two.put_item("music", {"pk": "a"})
        assert is_running()
    assert not is_running()
    one.close()
    with pytest.raises(stator.ClientClosedError):
        one.get_item("music", {"pk": "a"})


def test_closing_ends_calls_of_other_threads(cluster: BackgroundCluster) -> None:
    """They raise ClientClosedError."""
    for router in cluster.routers:
        router.is_hung = True
    client = Client(cluster.endpoints)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.get_item, "music", {"pk": "a"})
        until_blocking(lambda: any(router.requests for router in cluster.routers))
        client.close()
        with pytest.raises(stator.ClientClosedError):
            call.result(10)
