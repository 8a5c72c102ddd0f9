"""The comparison of an index with its table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from stator.index_check import Difference, IndexCheck, IndexDefinition, Item
from stator.indexes import KeyAttribute

PK, G, H = KeyAttribute("pk", "S"), KeyAttribute("g", "S"), KeyAttribute("h", "N")
ALL = IndexDefinition((PK,), (G, H), None)
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

    async def entries(self, entry: Item) -> Sequence[Item]:
        self.on_look()
        names = ("pk", "g", "h")
        return [each for each in self.index if all(each.get(name) == entry.get(name) for name in names)]


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
        (None, False),
    ],
)
def test_which_items_have_an_entry(value: Item | None, has_entry: bool) -> None:
    """Those with all attributes of the index's key, of their types."""
    assert ALL.entry_of(value) == (value if has_entry else None)


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


async def test_what_comes_a_little_later_is_right() -> None:
    """The index follows; and what it has of an item that has changed meanwhile is compared with what that is now."""
    source = FakeSource([item("a", g="g", h=1), item("b", g="g", h=1)], [item("b", g="old", h=1)])
    looks = 0

    def on_look() -> None:
        nonlocal looks
        looks += 1
        if looks == 5:
            source.table["a"] = item("a", g="new", h=1)
        if looks == 12:
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
