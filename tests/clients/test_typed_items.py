"""Dataclasses, models and mappings as items, and back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, ClassVar, Literal, NewType, TypedDict
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stator import AsyncClient, from_item, to_item
from stator.values import ValueEncoder, decode_item

from tests.clients.fake_cluster import FakeRouter

NOBODY = UUID(int=0)
Plays = NewType("Plays", int)


class Mood(Enum):
    BLUE = "blue"
    BRIGHT = 2


class Genre(StrEnum):
    JAZZ = "jazz"


class Side(IntEnum):
    A = 1


@dataclass
class Label:
    name: str
    founded: date | None = None


@dataclass
class Song:
    artist: str
    year: int
    price: Decimal = Decimal("0.99")
    score: float = 0.0
    live: bool = False
    cover: bytes = b""
    label: Label | None = None
    others: list[Label] = field(default_factory=list)
    by_country: dict[str, Label] = field(default_factory=dict)
    pair: tuple[str, int] = ("", 0)
    more: tuple[int, ...] = ()
    tags: set[str] = field(default_factory=set)
    numbers: frozenset[Decimal] = frozenset()
    mood: Mood = Mood.BLUE
    genre: Genre = Genre.JAZZ
    side: Side = Side.A
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    length: time = time(0, 3)
    id: UUID = NOBODY
    plays: Plays = Plays(0)
    kind: Literal["studio", "stage"] = "studio"
    note: str | int | None = "none"
    anything: Any = None
    count: ClassVar[int] = 0
    shown: str = field(init=False, default="")


@dataclass(frozen=True, slots=True)
class Node:
    value: int
    next: Node | None = None


def through_the_wire(item: Any) -> Any:
    return decode_item(ValueEncoder("decimal").encode_item(to_item(item)))


labels = st.builds(Label, st.text(), st.none() | st.dates())
songs = st.builds(
    Song,
    artist=st.text(),
    year=st.integers(-(10**30), 10**30),
    price=st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=0, max_value=1000),
    score=st.floats(-1e9, 1e9, allow_nan=False).filter(lambda number: number == 0 or abs(number) > 1e-9),
    live=st.booleans(),
    cover=st.binary(),
    label=st.none() | labels,
    others=st.lists(labels, max_size=3),
    by_country=st.dictionaries(st.text(), labels, max_size=3),
    pair=st.tuples(st.text(), st.integers(0, 9)),
    more=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    tags=st.sets(st.text(), max_size=3),
    numbers=st.frozensets(st.integers(-5, 5).map(Decimal), max_size=3),
    mood=st.sampled_from(Mood),
    at=st.datetimes(timezones=st.just(UTC)),
    length=st.times(),
    id=st.uuids(),
    note=st.none() | st.text() | st.integers(0, 9),
    anything=st.none() | st.text() | st.lists(st.integers(0, 9)),
)


@settings(deadline=None)
@given(songs)
def test_what_goes_in_comes_out(song: Song) -> None:
    """Any object of a dataclass is equal to what is read back of it."""
    assert from_item(Song, through_the_wire(song)) == song


def test_fields_have_the_types_that_they_say() -> None:
    """A number that happens to be integral is a float where a float was said; an element of an enum is itself."""
    song = from_item(Song, through_the_wire(Song("x", 1, score=2.0, price=Decimal(3), mood=Mood.BRIGHT, more=(1,))))
    assert (type(song.score), type(song.price), song.mood, song.genre, song.side) == (
        float,
        Decimal,
        Mood.BRIGHT,
        Genre.JAZZ,
        Side.A,
    )
    assert type(song.genre) is Genre


def test_what_is_stored() -> None:
    """None and empty sets are left out where the class gives them back by itself; None is NULL otherwise."""
    item = to_item(Song("x", 1, note=None))
    assert item["note"] is None
    assert not {"label", "tags", "numbers", "anything", "count", "shown"} & set(item)
    assert (item["mood"], item["genre"], item["at"], item["length"]) == (
        "blue",
        "jazz",
        "2026-01-01T00:00:00+00:00",
        "00:03:00",
    )
    assert to_item(Node(1, Node(2))) == {"value": 1, "next": {"value": 2}}
    assert from_item(Node, {"value": 1, "next": {"value": 2}}) == Node(1, Node(2))


def test_what_the_item_lacks() -> None:
    """Defaults, None where that is allowed, an empty set; unknown attributes are passed over; the rest is an error."""

    @dataclass
    class Strict:
        a: int
        b: int | None
        c: set[str]

    # Annotations are texts in this module, and nobody could find a class of this function by one.
    assert from_item(Strict, {"a": 1, "other": 2}) == Strict(1, None, set())
    with pytest.raises(TypeError, match="no attribute 'a', which Strict needs"):
        from_item(Strict, {})


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"artist": 1, "year": 1}, r"Song\.artist: int stands where str must"),
        ({"artist": "x", "year": Decimal("1.5")}, r"Song\.year: Decimal"),
        ({"artist": "x", "year": True}, r"Song\.year: bool"),
        ({"artist": "x", "year": 1, "label": "Blue Note"}, r"Song\.label: a Label is read from a map"),
        ({"artist": "x", "year": 1, "mood": "none"}, r"Song\.mood: 'none' is not a valid Mood"),
        ({"artist": "x", "year": 1, "at": "yesterday"}, r"Song\.at: "),
        ({"artist": "x", "year": 1, "pair": ["x"]}, r"Song\.pair: "),
        ({"artist": "x", "year": 1, "tags": ["x"]}, r"Song\.tags: list stands where set must"),
        ({"artist": "x", "year": 1, "label": {"name": "x", "founded": 3}}, r"Song\.label: Label\.founded: int"),
    ],
)
def test_an_item_of_another_type(item: dict[str, Any], words: str) -> None:
    """A TypeError that names the field."""
    with pytest.raises(TypeError, match=words):
        from_item(Song, item)


class Model:
    """As far as we look, a model of pydantic."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def model_dump(self) -> dict[str, Any]:
        return self.values

    @classmethod
    def model_validate(cls, item: Any) -> Model:
        return cls(**item)


def test_models() -> None:
    """What a model dumps is stored; what is read is validated by it."""
    assert to_item(Model(a=1, at=date(2026, 1, 1), mood=Mood.BLUE)) == {"a": 1, "at": "2026-01-01", "mood": "blue"}
    assert from_item(Model, {"a": 1}).values == {"a": 1}
    nested = {"a": set(), "b": [{"c": frozenset(), "d": {"x"}}], "e": {}, "f": []}
    assert to_item(Model(**nested)) == {"b": [{"d": {"x"}}], "e": {}, "f": []}


class Loose(TypedDict):
    a: int


def test_mappings() -> None:
    """As they are."""
    loose: Loose = {"a": 1}
    assert to_item(loose) is loose
    assert from_item(Loose, {"a": 1, "b": 2}) == {"a": 1, "b": 2}
    assert from_item(dict, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize("wrong", [1, "x", [], Song, object()])
def test_what_is_no_item(wrong: Any) -> None:
    """A TypeError."""
    with pytest.raises(TypeError, match="an item must be"):
        to_item(wrong)


def test_what_nothing_is_read_as() -> None:
    """A class that says nothing of its fields."""
    with pytest.raises(TypeError, match="as_type takes"):
        from_item(int, {})


async def test_through_a_client(routers: list[FakeRouter]) -> None:
    """Put, read, queried, read in a batch; a table object knows the class."""
    async with AsyncClient([routers[0].address], floats="decimal") as client:
        await client.put_item("music", Track("a", 1))
        assert await client.get_item("music", {"pk": "a"}, as_type=Track) == Track("a", 1)
        assert await client.get_item("music", {"pk": "b"}, as_type=Track) is None
        await client.batch_write_item("music", put=[Track("b", 2)])
        both = [Track("a", 1), Track("b", 2)]
        assert await client.batch_get_item("music", [{"pk": "a"}, {"pk": "b"}], as_type=Track) == both
        assert [track async for track in client.scan("music", as_type=Track)] == both
        table = client.table("music", as_type=Track)
        assert [track async for track in table.scan()] == both
        assert await table.get_item({"pk": "b"}) == both[1]
        page = await anext(table.scan_pages())
        assert page.items == both
        with pytest.raises(TypeError, match="as_type takes"):
            await client.get_item("music", {"pk": "a"}, as_type=int)


@dataclass
class Track:
    pk: str
    n: int


def test_dataclasses_with_defaults_by_function() -> None:
    """An empty set whose default is another is stored as nothing could be: refused by the encoder, not lost."""

    @dataclass
    class Odd:
        tags: set[str] = dataclasses.field(default_factory=lambda: {"x"})

    assert to_item(Odd(set())) == {"tags": set()}
