"""The synchronous client: the same surface, from any thread."""

import inspect
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_overloads

import pytest
import stator
from stator import AsyncClient, Client, attr, key, update
from stator.sync_items import SyncItemOperations

from tests.clients.conftest import BackgroundCluster
from tests.clients.fake_cluster import Refusal
from tests.clients.waiting import until_blocking


@pytest.fixture
def client(cluster: BackgroundCluster) -> Iterator[Client]:
    with Client(cluster.endpoints) as client:
        yield client


def public_names(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


PAIRS = [
    (Client, AsyncClient),
    (stator.Table, stator.AsyncTable),
    (stator.BatchWriter, stator.AsyncBatchWriter),
    (stator.Transaction, stator.AsyncTransaction),
]
BLOCKING = {
    "AsyncIterator": "Iterator",
    "AsyncTable": "Table",
    "AsyncBatchWriter": "BatchWriter",
    "AsyncChanges": "Changes",
    "AsyncTransaction": "Transaction",
}


def result_of(function: Any) -> str:
    """The type of what is returned, as a blocking method has it."""
    text = inspect.formatannotation(inspect.signature(function).return_annotation)
    text = re.sub(r"\b(?:\w+\.)+", "", text)
    text = re.sub(r"AsyncGenerator\[(.*), None\]", r"Iterator[\1]", text)
    for theirs, mine in BLOCKING.items():
        text = re.sub(rf"\b{theirs}\b", mine, text)
    return text


@pytest.mark.parametrize(("mine", "theirs"), PAIRS, ids=lambda kind: kind.__name__)
def test_the_surfaces_are_the_same(mine: type, theirs: type) -> None:
    """The same methods, with the same parameters, types of these, overloads, and types of results."""
    extra = {"encode_put", "encode_delete", "extend"} if theirs is stator.AsyncBatchWriter else set()
    assert public_names(mine) == public_names(theirs) - extra
    for name in public_names(mine) | ({"__init__"} if mine is Client else set()):
        one, other = getattr(mine, name), getattr(theirs, name)
        if not callable(one):
            continue
        variants = zip([one, *get_overloads(one)], [other, *get_overloads(other)], strict=True)
        for one_variant, other_variant in variants:
            parameters = inspect.signature(one_variant).parameters
            assert parameters == inspect.signature(other_variant).parameters, name
            assert result_of(one_variant) == result_of(other_variant), name


def test_a_table_has_what_a_client_does_with_items() -> None:
    """But for the name of the table, and the class that items are read as. And its changes, and reads of one moment."""
    items = public_names(SyncItemOperations) - {"describe_table"} | {"changes"}
    assert public_names(stator.Table) == items | {"describe", "transact_get_items"}
    for name in items:
        theirs = dict(inspect.signature(getattr(Client, name)).parameters)
        del theirs["table"]
        theirs.pop("as_type", None)
        assert inspect.signature(getattr(stator.Table, name)).parameters == theirs, name


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
    assert next(client.scan_pages("films", page_items=5)).scanned_count == 5
    assert client.describe_cluster().nodes[0].name == "storage-1"
    assert client.list_events(limit=3).told_by == "metadata-2"
    assert client.drain_node("storage-4").is_draining
    assert not client.drain_node("storage-4", cancel=True).is_draining
    assert client.remove_node("storage-4").name == "storage-4"
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


def test_every_operation_on_a_table(client: Client, cluster: BackgroundCluster) -> None:
    """The same through a table object, and what was not there before: conditions, updates, queries."""
    cluster.state.add_table("songs", "artist", "year")
    songs = client.table("songs")
    assert songs.describe().name == "songs"
    songs.put_item({"artist": "a", "year": 1}, condition=~attr("artist").exists())
    with pytest.raises(stator.ConditionalCheckFailedError):
        songs.put_item({"artist": "a", "year": 1}, condition=~attr("artist").exists())
    changed = songs.update_item({"artist": "a", "year": 1}, update().add("plays", 2), return_values="ALL_NEW")
    assert changed.attributes == {"artist": "a", "year": 1, "plays": 2}
    with songs.batch_writer() as batch:
        for year in range(2, 40):
            batch.put_item({"artist": "a", "year": year})
        batch.flush()
        assert songs.scan_count() == 39
        batch.delete_item({"artist": "a", "year": 39})
    condition = key("artist").eq("a")
    assert songs.query_count(condition) == 38
    assert [song["year"] for song in songs.query(condition, descending=True, limit=3)] == [38, 37, 36]
    assert [page.count for page in songs.query_pages(condition, page_items=20)] == [20, 18]
    assert len(list(songs.scan(limit=12))) == 12
    assert [page.scanned_count for page in songs.scan_pages(page_items=30)] == [30, 8]
    assert sorted(song["year"] for song in songs.parallel_scan(3)) == list(range(1, 39))
    songs.batch_write_item(delete=[{"artist": "a", "year": 38}])
    assert songs.batch_get_item([{"artist": "a", "year": year} for year in (37, 38)]) == [
        {"artist": "a", "year": 37},
        None,
    ]
    assert songs.delete_item({"artist": "a", "year": 1}, return_values="ALL_OLD").attributes == changed.attributes
    assert songs.get_item({"artist": "a", "year": 1}) is None


def test_transactions(client: Client) -> None:
    """As the asynchronous client's, with `with`."""
    with client.transaction() as made:
        made.put("music", {"pk": "a", "n": 1}).check("music", {"pk": "c"}, ~attr("pk").exists())
        made.update("music", {"pk": "b"}, update().add("n", 2))
        assert (len(made), made.is_committed) == (3, False)
    assert (made.is_committed, made.result) == (True, stator.TransactionResult())
    assert client.transact_get_items([("music", {"pk": "b"}), ("music", {"pk": "c"})]) == [{"pk": "b", "n": 2}, None]
    with pytest.raises(ZeroDivisionError), client.transaction() as made:
        made.delete("music", {"pk": "a"}).delete("music", {"pk": str(1 // 0)})
    with pytest.raises(stator.TransactionCanceledError) as caught:
        client.transact_write_items([stator.TransactDelete("music", {"pk": "a"}, condition=attr("n").gt(1))])
    assert [reason.index for reason in caught.value.causes] == [0]
    assert client.transaction().delete("music", {"pk": "b"}).commit() == stator.TransactionResult()
    assert client.table("music").transact_get_items([{"pk": "a"}, {"pk": "b"}]) == [{"pk": "a", "n": 1}, None]


def test_how_often_conflicts_are_tried_again(client: Client, cluster: BackgroundCluster) -> None:
    """As often as the client was made to."""
    refusals = [Refusal("TransactionConflictException", "busy", retriable=True) for _ in range(3)]
    cluster.state.refusals.extend(refusals)
    with Client(cluster.endpoints, conflict_attempts=2) as impatient, pytest.raises(stator.TransactionConflictError):
        impatient.put_item("music", {"pk": "a"})
    client.put_item("music", {"pk": "a"})
    assert (client.retries, client.statistics.conflicts) == (1, 1)


def test_an_error_in_the_block_of_a_batch(client: Client, cluster: BackgroundCluster) -> None:
    """It is raised as it was; what waited is not sent."""
    with pytest.raises(ZeroDivisionError), client.batch_writer("music") as batch:
        for number in range(30):
            batch.put_item({"pk": str(number)})
        _ = 1 // 0
    assert len(cluster.state.tables["music"].items) == 25


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
