"""PynamoDB's models: classes with attributes of every kind, a local index, versions, batches and expressions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conformance.clients.conftest import REGION, Server
from tests.conformance.database import ACCESS_KEY_ID, SECRET_ACCESS_KEY, unique

pynamodb = pytest.importorskip("pynamodb", reason="`make` installs it")

from pynamodb.attributes import (  # noqa: E402
    BinaryAttribute,
    BooleanAttribute,
    JSONAttribute,
    ListAttribute,
    MapAttribute,
    NumberAttribute,
    NumberSetAttribute,
    TTLAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
    UTCDateTimeAttribute,
    VersionAttribute,
)
from pynamodb.exceptions import DeleteError, PutError, QueryError, TableError, UpdateError  # noqa: E402
from pynamodb.indexes import AllProjection, LocalSecondaryIndex  # noqa: E402
from pynamodb.models import Model  # noqa: E402

pytestmark = pytest.mark.cluster


class Address(MapAttribute[str, Any]):
    street = UnicodeAttribute()
    number = NumberAttribute(null=True)


class ByYear(LocalSecondaryIndex["Song"]):
    class Meta:
        index_name = "by-year"
        projection = AllProjection()

    artist = UnicodeAttribute(hash_key=True)
    year = NumberAttribute(range_key=True)


class Song(Model):
    class Meta:
        table_name = unique("pynamodb")
        region = REGION
        aws_access_key_id = ACCESS_KEY_ID
        aws_secret_access_key = SECRET_ACCESS_KEY
        billing_mode = "PAY_PER_REQUEST"
        host = ""

    artist = UnicodeAttribute(hash_key=True)
    title = UnicodeAttribute(range_key=True)
    year = NumberAttribute(null=True)
    plays = NumberAttribute(default=0)
    is_live = BooleanAttribute(default=False)
    cover = BinaryAttribute(legacy_encoding=False, null=True)
    genres = UnicodeSetAttribute(null=True)
    ratings = NumberSetAttribute(null=True)
    notes: ListAttribute[Any] = ListAttribute(null=True)
    studio = Address(null=True)
    extra = JSONAttribute(null=True)
    released_at = UTCDateTimeAttribute(null=True)
    expires_at = TTLAttribute(null=True)
    by_year = ByYear()


class Counter(Model):
    class Meta:
        table_name = unique("pynamodb-counter")
        region = REGION
        aws_access_key_id = ACCESS_KEY_ID
        aws_secret_access_key = SECRET_ACCESS_KEY
        host = ""

    name = UnicodeAttribute(hash_key=True)
    total = NumberAttribute(default=0)
    version = VersionAttribute()


@pytest.fixture(scope="module", autouse=True)
def models(server: Server) -> Iterator[None]:
    """Their tables."""
    Song.Meta.host = Counter.Meta.host = server.url
    assert not Song.exists()
    Counter.create_table(read_capacity_units=5, write_capacity_units=5, wait=False)
    Song.create_table(wait=True)  # and switches its time to live on
    server.wait_active(Counter.Meta.table_name)
    yield
    for model in (Song, Counter):
        model.delete_table()


def test_tables() -> None:
    assert Song.exists()
    description = Song.describe_table()
    assert description["TableStatus"] == "ACTIVE"
    assert description["LocalSecondaryIndexes"][0]["Projection"] == {"ProjectionType": "ALL"}
    assert Counter.describe_table()["ProvisionedThroughput"]["ReadCapacityUnits"] == 5
    Counter.create_table(wait=True)  # it is there already: nothing happens


def test_time_to_live() -> None:
    with pytest.raises(TableError, match="TimeToLive is already enabled"):
        Song.update_ttl(ignore_update_ttl_errors=False)


def test_every_kind_of_attribute() -> None:
    """An object that is saved is the same when it is loaded."""
    song = Song(
        unique("artist"),
        "grün",
        year=1999,
        plays=2,
        is_live=True,
        cover=bytes(range(256)),
        genres={"a", "b"},
        ratings={1, 2.5},
        notes=["x", 1, {"y": [True, None]}],
        studio=Address(street="Abbey Road", number=3),
        extra={"z": [1, None, "ü"]},
        released_at=datetime(1999, 12, 31, 23, 59, 59, 123456, tzinfo=UTC),
        expires_at=timedelta(days=1),
    )
    song.save()
    found = Song.get(song.artist, song.title, consistent_read=True)
    assert found.attribute_values.keys() == song.attribute_values.keys()
    for name in song.attribute_values.keys() - {"studio", "expires_at"}:
        assert getattr(found, name) == getattr(song, name), name
    assert found.studio.as_dict() == {"street": "Abbey Road", "number": 3}
    assert found.expires_at == song.expires_at.replace(microsecond=0)
    with pytest.raises(Song.DoesNotExist):
        Song.get(song.artist, "missing")


def test_updates() -> None:
    """Every action that can be built; what comes back is put into the object."""
    song = Song(unique("artist"), "a", plays=1, genres={"x", "y"}, notes=["b"], studio=Address(street="s"), year=1)
    song.save()
    song.update(
        actions=[
            Song.plays.set(Song.plays + 2),
            Song.genres.delete({"x"}),
            Song.ratings.add({1, 2}),
            Song.notes.set(Song.notes.prepend(["a"])),
            Song.studio.number.set(7),  # type: ignore[attr-defined]
            Song.is_live.set(Song.is_live | True),
            Song.year.remove(),
        ],
        condition=(Song.plays == 1) & Song.genres.contains("x"),
    )
    assert (song.plays, song.genres, song.ratings, song.notes) == (3, {"y"}, {1, 2}, ["a", "b"])
    assert song.studio.number == 7
    assert not song.is_live
    assert song.attribute_values.get("year") is None
    song.update(actions=[Song.plays.add(-1), Song.notes[0].set("c"), Song.notes[1].remove()])
    assert (song.plays, song.notes) == (2, ["c"])
    song.refresh(consistent_read=True)
    assert (song.plays, song.notes) == (2, ["c"])
    with pytest.raises(UpdateError) as failed:
        song.update(actions=[Song.plays.set(9)], condition=Song.plays > 2)
    assert failed.value.cause_response_code == "ConditionalCheckFailedException"


def test_conditions() -> None:
    song = Song(unique("artist"), "a", year=1999)
    song.save(condition=Song.artist.does_not_exist())
    with pytest.raises(PutError) as failed:
        song.save(condition=Song.artist.does_not_exist())
    assert failed.value.cause_response_code == "ConditionalCheckFailedException"
    with pytest.raises(DeleteError):
        song.delete(condition=Song.year.between(2000, 2010) | ~Song.year.exists())
    song.delete(condition=Song.year.is_in(1998, 1999))
    assert Song.count(song.artist, consistent_read=True) == 0


def test_versions() -> None:
    """Of two who have read the same version, the second to write fails."""
    name = unique("counter")
    Counter(name).save()
    first, second = Counter.get(name, consistent_read=True), Counter.get(name, consistent_read=True)
    first.update(actions=[Counter.total.set(1)])
    assert first.version == 2
    for attempt in (lambda: second.update(actions=[Counter.total.set(2)]), second.save, second.delete):
        with pytest.raises((UpdateError, PutError, DeleteError)) as failed:
            attempt()
        assert failed.value.cause_response_code == "ConditionalCheckFailedException"
    second.refresh(consistent_read=True)
    assert (second.total, second.version) == (1, 2)
    second.delete()


@pytest.fixture(scope="module")
def artist() -> str:
    """Who has 40 songs, from "s00" of 2039 to "s39" of 2000."""
    name = unique("artist")
    with Song.batch_write() as batch:
        for number in range(40):
            batch.save(Song(name, f"s{number:02}", year=2039 - number, plays=number % 4))
        batch.save(Song(name, "without a year"))
    with Song.batch_write() as batch:
        batch.delete(Song(name, "without a year"))
    return name


def titles(found: Any) -> list[str]:
    return [song.title for song in found]


def test_queries(artist: str) -> None:
    def found(condition: Any = None, **parameters: Any) -> list[str]:
        return titles(Song.query(artist, condition, consistent_read=True, **parameters))

    every = [f"s{number:02}" for number in range(40)]
    assert found() == every
    assert found(page_size=7) == every
    assert found(limit=3, scan_index_forward=False) == every[:-4:-1]
    assert found(Song.title.startswith("s1")) == every[10:20]
    assert found(Song.title.between("s05", "s07")) == every[5:8]
    assert found(Song.title >= "s38", attributes_to_get=["title"]) == every[38:]
    assert found(filter_condition=(Song.plays == 3) & (Song.year < 2005)) == ["s35", "s39"]
    assert Song.count(artist, Song.title < "s10", Song.plays == 0, consistent_read=True) == 3
    with pytest.raises(QueryError, match="can only contain non-primary key attributes: Primary key"):
        list(Song.query(artist, filter_condition=Song.title == "s01"))


def test_queries_of_an_index(artist: str) -> None:
    assert titles(Song.by_year.query(artist, ByYear.year < 2003, consistent_read=True)) == ["s39", "s38", "s37"]
    assert Song.by_year.count(artist, ByYear.year >= 2003, consistent_read=True) == 37
    pages = Song.by_year.query(artist, limit=5, page_size=2, consistent_read=True)
    assert titles(pages) == ["s39", "s38", "s37", "s36", "s35"]
    assert pages.last_evaluated_key is not None
    assert pages.last_evaluated_key.keys() == {"artist", "title", "year"}
    rest = Song.by_year.query(artist, last_evaluated_key=pages.last_evaluated_key, limit=1, consistent_read=True)
    assert titles(rest) == ["s34"]


def test_scans(artist: str) -> None:
    """All segments together are everything."""
    filter_condition = Song.artist == artist
    whole = titles(Song.scan(filter_condition, page_size=9, consistent_read=True))
    parts = [
        titles(Song.scan(filter_condition, segment=segment, total_segments=3, consistent_read=True))
        for segment in range(3)
    ]
    assert sorted(whole) == [f"s{number:02}" for number in range(40)]
    assert sorted(title for part in parts for title in part) == sorted(whole)
    assert len(titles(Song.by_year.scan(filter_condition, consistent_read=True))) == 40


def test_batch_gets(artist: str) -> None:
    """More keys than one request may have; what is not there is left out."""
    keys = [(artist, f"s{number:02}") for number in range(0, 120, 1)]
    assert sorted(titles(Song.batch_get(keys, consistent_read=True))) == [f"s{number:02}" for number in range(40)]
    some = list(Song.batch_get(keys[:2], attributes_to_get=["title", "year"], consistent_read=True))
    assert sorted(song.year for song in some) == [2038, 2039]
