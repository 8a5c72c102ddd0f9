"""The SDK against a real cluster: what its fakes cannot vouch for."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
import stator
from stator import attr, key, update

from tests.conformance.doors import Doors

pytestmark = pytest.mark.cluster


@dataclass
class Song:
    artist: str
    year: int
    plays: int = 0
    price: Decimal = Decimal("0.99")
    tags: set[str] = field(default_factory=set)
    label: str | None = None


@pytest.fixture(scope="module")
def client(doors: Doors) -> Iterator[stator.Client]:
    with stator.Client(doors.cluster.endpoints) as client:
        yield client


@pytest.fixture(scope="module")
def songs(client: stator.Client) -> stator.Table[Song]:
    """Two partitions, an index by label; nobody else writes into it."""
    name = f"songs-{uuid.uuid4().hex[:8]}"
    index = stator.LocalIndex("by-label", ("label", "S"), "INCLUDE", ("plays",))
    client.create_table(name, ("artist", "S"), ("year", "N"), partitions=2, local_indexes=[index])
    client.wait_until_table_active(name)
    return client.table(name, as_type=Song)


@pytest.fixture
def artist() -> str:
    return uuid.uuid4().hex


def test_conditions_and_updates(songs: stator.Table[Song], artist: str) -> None:
    """What the builders make is what the servers understand."""
    where = {"artist": artist, "year": 1964}
    songs.put_item(Song(artist, 1964, tags={"a"}), condition=~attr("artist").exists())
    with pytest.raises(stator.ConditionalCheckFailedError) as caught:
        songs.put_item(
            Song(artist, 1964),
            condition=attr("artist").not_exists() | attr("plays").gt(5) & attr("tags").contains("a"),
            return_values_on_condition_check_failure="ALL_OLD",
        )
    assert caught.value.item == {"artist": artist, "year": 1964, "plays": 0, "price": Decimal("0.99"), "tags": {"a"}}
    change = (
        update()
        .set("size", attr("plays") + 1)
        .set_if_absent("log", [{"by": "me"}])
        .set("price", attr("price") - Decimal("0.09"))
        .add("plays", 2)
        .add("tags", {"b"})
    )
    condition = attr("tags").size().eq(1) & attr("plays").is_in([0, 1]) & attr("label").type_is("NULL") | (
        ~attr("label").exists() & attr("price").between(0, 1)
    )
    result = songs.update_item(where, change, condition=condition, return_values="ALL_NEW")
    assert result.attributes == {
        **where,
        "size": 1,
        "log": [{"by": "me"}],
        "price": Decimal("0.9"),
        "plays": 2,
        "tags": {"a", "b"},
    }
    change = update().set("log", attr("log").prepend([{"by": "you"}])).delete("tags", {"a"}).remove("size")
    songs.update_item(where, change)
    change = update().set("log[1].by", attr("log[0].by")).set(["log", 0, "a.b"], 1)
    result = songs.update_item(where, change, return_values="ALL_NEW")
    assert result.attributes is not None
    assert result.attributes["log"] == [{"by": "you", "a.b": 1}, {"by": "you"}]
    result = songs.delete_item(where, return_values="ALL_OLD", return_consumed_capacity="INDEXES")
    assert result.attributes is not None
    assert result.attributes["tags"] == {"b"}
    assert result.consumed_capacity is not None
    assert result.consumed_capacity.capacity_units >= 1
    assert songs.get_item(where, consistent_read=True) is None


@pytest.fixture
def filled(songs: stator.Table[Song], artist: str) -> dict[str, Any]:
    """100 songs of one artist, the years 1900 to 1999, with three labels."""
    with songs.batch_writer() as batch:
        for year in range(1900, 2000):
            batch.put_item(Song(artist, year, plays=year % 7, label=str(year % 3)))
        batch.put_item(Song(artist, 2000))
        batch.delete_item({"artist": artist, "year": 2000})
    return {"consistent_read": True}


def years(found: Iterator[Song]) -> list[int]:
    return [song.year for song in found]


def test_queries(songs: stator.Table[Song], artist: str, filled: Any, client: stator.Client) -> None:
    """Ranges, directions, filters, limits, pages, counts, indexes."""
    everything = key("artist").eq(artist)
    assert years(songs.query(everything, **filled)) == list(range(1900, 2000))
    assert years(songs.query(everything & key("year").between(1910, 1912), **filled)) == [1910, 1911, 1912]
    assert years(songs.query(everything, descending=True, limit=2, **filled)) == [1999, 1998]
    wanted = [year for year in range(1900, 2000) if year % 7 > 4]
    assert years(songs.query(everything, filter=attr("plays").gt(4), limit=9, **filled)) == wanted[:9]
    pages = list(songs.query_pages(everything, page_items=40, return_consumed_capacity="TOTAL", **filled))
    assert [page.count for page in pages] == [40, 40, 20]
    assert pages[0].last_evaluated_key == {"artist": artist, "year": 1939}
    assert pages[0].consumed_capacity is not None
    start = pages[1].last_evaluated_key
    assert years(songs.query(everything, start_key=start, **filled)) == list(range(1980, 2000))
    assert songs.query_count(everything, filter=attr("plays").gt(4), **filled) == len(wanted)
    by_label = everything & key("label").eq("1")
    found = list(client.query(songs.name, by_label, index="by-label", projection=["year", "plays"], **filled))
    assert found == [{"year": year, "plays": year % 7} for year in range(1900, 2000) if year % 3 == 1]


def test_scans_and_batches(songs: stator.Table[Song], artist: str, filled: Any, client: stator.Client) -> None:
    """In segments, each item once; in batches, in the order of the keys."""
    ours = attr("artist").eq(artist)
    assert sorted(years(songs.parallel_scan(5, filter=ours, **filled))) == list(range(1900, 2000))
    assert songs.scan_count(filter=ours & attr("label").exists(), **filled) == 100
    assert len(years(songs.scan(filter=ours, limit=13, **filled))) == 13
    keys = [{"artist": artist, "year": year} for year in (1999, 1, *range(1900, 1990))]
    found = songs.batch_get_item(keys, **filled)
    assert [song.year if song else None for song in found] == [1999, None, *range(1900, 1990)]
    told: list[stator.ConsumedCapacity] = []
    parts = client.batch_get_item(songs.name, keys[:3], projection=["plays"], on_capacity=told.append, **filled)
    assert parts == [{"plays": 1999 % 7}, None, {"plays": 1900 % 7}]
    assert told[0].capacity_units >= 2


def test_names_are_never_reserved_words(client: stator.Client, songs: stator.Table[Song], artist: str) -> None:
    """Whatever they are: words of the grammar, dots, white space, not ASCII."""
    names = ["size", "and", "between", "a.b", "c d", "größe", "#x", ":y", "NULL", "e[0]"]
    where = {"artist": artist, "year": 1}
    change = update()
    for number, name in enumerate(names):
        change = change.set([name], number)
    client.update_item(songs.name, where, change)
    found = client.get_item(songs.name, where, projection=[[name] for name in names], consistent_read=True)
    assert found == {name: number for number, name in enumerate(names)}
    for number, name in enumerate(names):
        client.put_item(songs.name, {**where, name: number}, condition=attr("artist").exists())
        client.delete_item(songs.name, where, condition=attr([name]).eq(number))
        client.put_item(songs.name, where)
