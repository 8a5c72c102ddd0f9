"""The comparison of an index with its table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, cast

import pytest
from stator.client import AsyncClient
from stator.expressions import Condition, KeyCondition, Placeholders
from stator.index_check import QUERIES_MAX, ClientSource, Difference, IndexCheck, IndexDefinition, Item
from stator.indexes import KeyAttribute

PK, G, H = KeyAttribute("pk", "S"), KeyAttribute("g", "S"), KeyAttribute("h", "N")
ALL = IndexDefinition((PK,), (G, H), None)
PLACE = ("pk", "g", "h")
SOME = IndexDefinition((PK,), (G,), frozenset({"x"}))


class FakeSource:
    """A table and an index. `on_look()` is called before each look at the index by key."""

    def __init__(self, items: Iterable[Item], entries: Iterable[Item]) -> None:
        self.table = {item["pk"]: item for item in items}
        self.index = list(entries)
        self.on_look: Callable[[], object] = lambda: None

    async def table_pages(self) -> AsyncIterator[Sequence[Item]]:
        for item in list(self.table.values()):
            yield [item]

    async def index_pages(self) -> AsyncIterator[Sequence[Item]]:
        for start in range(0, len(self.index), 2):
            yield self.index[start : start + 2]

    async def items(self, keys: Sequence[Item]) -> Sequence[Item]:
        return [self.table[key["pk"]] for key in keys if key["pk"] in self.table]

    async def entries(self, wanted: Sequence[Item]) -> Sequence[Item]:
        self.on_look()
        places = [[entry.get(name) for name in PLACE] for entry in wanted]
        return [each for each in self.index if [each.get(name) for name in PLACE] in places]


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


async def differences(source: FakeSource, definition: IndexDefinition = ALL) -> list[Difference]:
    clock = Clock()
    check = IndexCheck(source, definition, 1.0, clock.sleep, lambda: clock.now_s, suspects_max=4)
    found = [each async for each in check.differences()]
    assert (check.items, check.entries) == (len(source.table), len(source.index))
    return found


def item(pk: str, **attributes: Any) -> dict[str, Any]:
    return {"pk": pk, **attributes}


@pytest.mark.parametrize(
    ("value", "has_entry"),
    [
        (item("a", g="g", h=1), True),
        (item("a", g="g", h=Decimal("1.5")), True),
        (item("a", g="g"), False),
        (item("a", g=1, h=1), False),
        (item("a", g="g", h="1"), False),
        (item("a", g="g", h=True), False),
        (item("a", g="", h=1), False),
        (item("a", g="g" * 2048, h=1), True),
        (item("a", g="g" * 2047 + "\u00e4", h=1), False),
        (None, False),
    ],
)
def test_which_items_have_an_entry(value: Item | None, has_entry: bool) -> None:
    """Those with all attributes of the index's key, of their types, which could be written with the index there."""
    assert ALL.entry_of(value) == (value if has_entry else None)


def test_how_long_a_sort_key_may_be() -> None:
    """All of its attributes together."""
    keys = tuple(KeyAttribute(name, "B") for name in "ghi")
    several = IndexDefinition((PK,), keys, None)
    for length, has_entry in ((1000, True), (1001, False)):
        value = item("a", g=b"g" * 2048, h=b"h" * 24, i=b"i" * length)
        assert several.entry_of(value) == (value if has_entry else None)


def test_what_an_entry_has() -> None:
    assert SOME.entry_of(item("a", g="g", x=1, y=2)) == item("a", g="g", x=1)


async def test_an_index_that_is_right() -> None:
    """Whatever is not in it does not belong there."""
    items = [item("a", g="g", h=1, x=1), item("b", g="g"), item("c", g="g", h=Decimal("1.50"))]
    entries = [item("a", g="g", h=1, x=1), item("c", g="g", h=Decimal("1.5"))]
    assert await differences(FakeSource(items, entries)) == []


async def test_everything_that_is_wrong_is_told_once() -> None:
    """Missing, out of date, left behind, in the wrong place."""
    items = [item("a", g="g", h=1), item("b", g="g", h=2, x=1), item("d", g="g", h=4), item("e", g="g")]
    entries = [item("b", g="g", h=2, x=0), item("c", g="g", h=3), item("d", g="other", h=4), item("e", g="g", h=5)]
    found = await differences(FakeSource(items, entries))
    assert sorted((each.kind, each.key["pk"]) for each in found) == [
        ("ghost", "c"),
        ("ghost", "d"),
        ("ghost", "e"),
        ("missing", "a"),
        ("missing", "d"),
        ("stale", "b"),
    ]
    assert Difference({"pk": "b"}, item("b", g="g", h=2, x=1), item("b", g="g", h=2, x=0)) in found


@pytest.mark.parametrize(("value", "other"), [(True, 1), (False, 0), ({"m": [1]}, {"m": [True]}), ([1], [1, 2])])
async def test_a_value_of_another_type_is_out_of_date(value: Any, other: Any) -> None:
    """Though the two may be equal here."""
    for one, two in ((value, other), (other, value)):
        (found,) = await differences(FakeSource([item("a", g="g", h=1, x=one)], [item("a", g="g", h=1, x=two)]))
        assert (found.kind, found.key) == ("stale", {"pk": "a"})
    assert await differences(FakeSource([item("a", g="g", h=1, x=value)], [item("a", g="g", h=1, x=value)])) == []


async def test_what_comes_a_little_later_is_right() -> None:
    """The index follows; and what it has of an item that has changed meanwhile is compared with what that is now."""
    source = FakeSource([item("a", g="g", h=1), item("b", g="g", h=1)], [item("b", g="old", h=1)])
    looks = 0

    def on_look() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            source.table["a"] = item("a", g="new", h=1)
        if looks == 4:
            source.index[:] = [item("a", g="new", h=1), item("b", g="g", h=1)]

    source.on_look = on_look
    clock = Clock()
    check = IndexCheck(source, ALL, 10.0, clock.sleep, lambda: clock.now_s)
    assert [each async for each in check.differences()] == []
    assert check.looked_again >= 2
    assert clock.now_s > 0


async def test_more_is_wrong_than_is_kept_at_once() -> None:
    source = FakeSource([item(str(number), g="g", h=number) for number in range(9)], [])
    assert len(await differences(source)) == 9
    ghosts = FakeSource([], [item(str(number), g="g", h=number) for number in range(9)])
    assert len(await differences(ghosts)) == 9


class FakeClient:
    """Has one index, `entries`. `queries`: the filter of each, as it came."""

    def __init__(self, entries: Sequence[Item]) -> None:
        self._entries = entries
        self.queries: list[Condition | None] = []
        self.under_way = self.under_way_max = 0

    async def query(
        self, table: str, condition: KeyCondition, *, index: str, filter: Condition | None
    ) -> AsyncIterator[Item]:
        self.queries.append(filter)
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        await asyncio.sleep(0)
        placeholders = Placeholders()
        condition.text(placeholders)
        (wanted,) = placeholders.values.values()
        for entry in self._entries:
            if entry["g"] == wanted:
                yield entry
        self.under_way -= 1


def client_source(client: FakeClient) -> ClientSource:
    return ClientSource(cast(AsyncClient, client), "t", "i", SOME)


async def test_entries_that_share_a_key_are_read_together() -> None:
    """Once for each key, however many are wanted of it; and none but those that are wanted."""
    entries = [item(f"{number}", g=f"g{number % 2}") for number in range(400)]
    client = FakeClient(entries)
    found = await client_source(client).entries(entries[:300])
    assert sorted(each["pk"] for each in found) == sorted(each["pk"] for each in entries[:300])
    assert client.queries == [None, None]


async def test_few_entries_of_a_key_are_filtered_where_they_are() -> None:
    client = FakeClient([item("a", g="g"), item("b", g="g")])
    assert await client_source(client).entries([item("b", g="g")]) == [item("b", g="g")]
    (wanted,) = client.queries
    assert wanted is not None
    placeholders = Placeholders()
    assert wanted.text(placeholders) == "#n0 IN (:v0)"
    assert list(placeholders.values.values()) == ["b"]


async def test_not_all_keys_are_asked_for_at_once() -> None:
    entries = [item(f"{number}", g=f"g{number}") for number in range(100)]
    client = FakeClient(entries)
    assert len(await client_source(client).entries(entries)) == 100
    assert client.under_way_max == QUERIES_MAX
