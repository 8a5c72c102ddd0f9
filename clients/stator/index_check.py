"""Whether a global index has of its table what it should: no entry too few, none too many, none out of date.

The index follows its table a little later, so what looks wrong is looked at again, until it is right or has had
`settle_s` for that. Both may be written meanwhile. Memory is bounded: by PAGES_MAX pages, and by what looks wrong.

Entries are looked up by the key of the index, for many items together: however many of them share it, what has it is
read once for all of these.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from stator.client import AsyncClient
from stator.descriptions import TableDescription
from stator.expressions import attr, key
from stator.indexes import KeyAttribute

Item = Mapping[str, Any]

AGAIN_S = 0.2
SUSPECTS_MAX = 1_000
"""So many are looked at again before more are looked for."""

PAGES_MAX = 16
"""So many pages of the table are compared together; each has 1 MB at most."""

QUERIES_MAX = 16
"""Under way at once."""

OPERANDS_MAX = 50
"""Of a filter: where more entries of one key are wanted, all that have it are read."""

PARTITION_KEY_BYTES_MAX = 2048
SORT_KEY_BYTES_MAX = 1024
"""What has more in an index's key, or nothing, was written before there was the index, and is not in it."""

_TYPES: Mapping[str, tuple[type, ...]] = {"S": (str,), "N": (int, float, Decimal), "B": (bytes, bytearray, memoryview)}


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """Of which items an index has an entry, and what of them. `projected`: what it has besides the keys of the table
    and its own; None: everything. `hashed`: how many of `index_keys` are its partition key."""

    table_keys: tuple[KeyAttribute, ...]
    index_keys: tuple[KeyAttribute, ...]
    projected: frozenset[str] | None
    hashed: int = 1

    def key_of(self, item: Item) -> dict[str, Any]:
        """The table's key of an item or an entry."""
        return {key.name: item[key.name] for key in self.table_keys}

    def entry_of(self, item: Item | None) -> dict[str, Any] | None:
        """The entry that the index should have of an item; None: none."""
        if item is None or not all(_is_of(item.get(key.name), key.type) for key in self.index_keys):
            return None
        sizes = [_key_bytes(item[key.name]) for key in self.index_keys]
        is_too_long = sum(sizes[: self.hashed]) > PARTITION_KEY_BYTES_MAX or (
            sum(sizes[self.hashed :]) > SORT_KEY_BYTES_MAX
        )
        if is_too_long or any(item[key.name] in ("", b"") for key in self.index_keys):
            return None
        if self.projected is None:
            return dict(item)
        names = self.projected | {key.name for key in self.table_keys + self.index_keys}
        return {name: value for name, value in item.items() if name in names}

    def place_of(self, entry: Item) -> tuple[str, str]:
        """Where an entry is: (key of the index, key of the table)."""
        return _text({key.name: entry[key.name] for key in self.index_keys}), _text(self.key_of(entry))


def definition_of(table: TableDescription, index: str) -> IndexDefinition:
    """Of a global index that the table has."""
    described = next(each for each in table.global_indexes if each.name == index)
    table_keys = (table.partition_key,) if table.sort_key is None else (table.partition_key, table.sort_key)
    projected = None if described.projection == "ALL" else frozenset(described.non_key_attributes)
    return IndexDefinition(table_keys, described.keys, projected, len(described.partition_keys))


def _is_of(value: object, type_: str) -> bool:
    return isinstance(value, _TYPES[type_]) and not isinstance(value, bool)


def _key_bytes(value: Any) -> int:
    """What counts of a key attribute's value; a number is never too long."""
    if isinstance(value, str):
        return len(value.encode())
    return 0 if _is_of(value, "N") else len(bytes(value))


class Source(Protocol):
    """Where tables and indexes are read."""

    def table_pages(self) -> AsyncIterator[Sequence[Item]]:
        """All items, strongly consistent."""
        ...

    def index_pages(self) -> AsyncIterator[Sequence[Item]]:
        """All entries."""
        ...

    async def items(self, keys: Sequence[Item]) -> Sequence[Item]:
        """Those of these keys that there are, strongly consistent."""
        ...

    async def entries(self, wanted: Sequence[Item]) -> Sequence[Item]:
        """What the index has under the keys of these entries, its own and the table's together."""
        ...


@dataclass(frozen=True, slots=True)
class ClientSource:
    """A table and one of its global indexes, read by a client."""

    client: AsyncClient
    table: str
    index: str
    definition: IndexDefinition

    async def table_pages(self) -> AsyncIterator[Sequence[Item]]:
        async for page in self.client.scan_pages(self.table, consistent_read=True):
            yield page.items

    async def index_pages(self) -> AsyncIterator[Sequence[Item]]:
        async for page in self.client.scan_pages(self.table, index=self.index):
            yield page.items

    async def items(self, keys: Sequence[Item]) -> Sequence[Item]:
        found = await self.client.batch_get_item(self.table, keys, consistent_read=True)
        return [item for item in found if item is not None]

    async def entries(self, wanted: Sequence[Item]) -> Sequence[Item]:
        groups: dict[str, dict[str, Item]] = {}
        for entry in wanted:
            index_key, table_key = self.definition.place_of(entry)
            groups.setdefault(index_key, {})[table_key] = entry
        turns = asyncio.Semaphore(QUERIES_MAX)
        found = await asyncio.gather(*(self._entries_of(group, turns) for group in groups.values()))
        return [entry for entries in found for entry in entries]

    async def _entries_of(self, group: Mapping[str, Item], turns: asyncio.Semaphore) -> list[Item]:
        """As `entries`, where all have the same key of the index. `group`: by the table's key."""
        names = [each.name for each in self.definition.index_keys]
        first = next(iter(group.values()))
        condition = key(names[0]).eq(first[names[0]])
        for name in names[1:]:
            condition &= key(name).eq(first[name])
        # Conditions on the index's own key are none for a filter.
        filtered = next((each.name for each in self.definition.table_keys if each.name not in names), None)
        wanted = None
        if filtered is not None and len(group) <= OPERANDS_MAX:
            wanted = attr(filtered).is_in([entry[filtered] for entry in group.values()])
        async with turns:
            found = self.client.query(self.table, condition, index=self.index, filter=wanted)
            return [entry async for entry in found if _text(self.definition.key_of(entry)) in group]


@dataclass(frozen=True, slots=True)
class Difference:
    """Under the table's `key` the index should have `expected`, and has `found`; None: nothing."""

    key: Item
    expected: Item | None
    found: Item | None

    @property
    def kind(self) -> str:
        if self.found is None:
            return "missing"
        return "ghost" if self.expected is None else "stale"


@dataclass
class IndexCheck:
    """One check. `items`, `entries`: how many have been looked at so far; `looked_again`: at how many once more."""

    source: Source
    definition: IndexDefinition
    settle_s: float = 10.0
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    suspects_max: int = SUSPECTS_MAX
    items: int = field(default=0, init=False)
    entries: int = field(default=0, init=False)
    looked_again: int = field(default=0, init=False)

    async def differences(self) -> AsyncIterator[Difference]:
        """Everything that stays wrong: first what the index lacks, then what it has and should not."""
        suspects: list[Item] = []
        async for items in _together(self.source.table_pages()):
            self.items += len(items)
            suspects += await self._lacking(items)
            if len(suspects) >= self.suspects_max:
                async for difference in self._settled(suspects):
                    yield difference
                suspects = []
        async for page in self.source.index_pages():
            self.entries += len(page)
            suspects += await self._wrong(page)
            if len(suspects) >= self.suspects_max:
                async for difference in self._settled(suspects):
                    yield difference
                suspects = []
        async for difference in self._settled(suspects):
            yield difference

    async def _lacking(self, items: Iterable[Item]) -> list[Item]:
        """The entries of these items that the index has not, or otherwise."""
        expected = [entry for entry in map(self.definition.entry_of, items) if entry is not None]
        found = await self._found(expected)
        return [entry for entry in expected if not _is_same(found.get(self.definition.place_of(entry)), entry)]

    async def _found(self, wanted: Sequence[Item]) -> dict[tuple[str, str], dict[str, Any]]:
        """What the index has where these entries are, by its place."""
        found = await self.source.entries(wanted) if wanted else ()
        return {self.definition.place_of(entry): dict(entry) for entry in found}

    async def _wrong(self, entries: Sequence[Item]) -> list[Item]:
        """Those of the entries that are not what the table's items say."""
        key_of = self.definition.key_of
        items = {_text(key_of(item)): item for item in await self.source.items([key_of(entry) for entry in entries])}
        expected = [self.definition.entry_of(items.get(_text(key_of(entry)))) for entry in entries]
        return [entry for entry, wanted in zip(entries, expected, strict=True) if not _is_same(entry, wanted)]

    async def _settled(self, suspects: Sequence[Item]) -> AsyncIterator[Difference]:
        """Looks at entries again, until nothing is wrong with them or time is up; what is wrong then."""
        self.looked_again += len(suspects)
        deadline = self.clock() + self.settle_s
        left = list(suspects)
        while left:
            looked = await self._look(left)
            is_over = self.clock() >= deadline
            if is_over:
                told: set[str] = set()
                for difference in looked:
                    if difference is not None and repr(difference) not in told:
                        told.add(repr(difference))
                        yield difference
                return
            left = [entry for entry, difference in zip(left, looked, strict=True) if difference is not None]
            if left:
                await self.sleep(AGAIN_S)

    async def _look(self, suspects: Sequence[Item]) -> list[Difference | None]:
        """What is wrong now with each: under the keys of the suspect, and under those that its item has by now."""
        key_of, entry_of = self.definition.key_of, self.definition.entry_of
        items = {_text(key_of(item)): item for item in await self.source.items([key_of(each) for each in suspects])}
        expected = [entry_of(items.get(_text(key_of(each)))) for each in suspects]
        found = await self._found([*suspects, *(entry for entry in expected if entry is not None)])
        return [self._difference(*each, found) for each in zip(suspects, expected, strict=True)]

    def _difference(
        self, suspect: Item, expected: Item | None, found: Mapping[tuple[str, str], Item]
    ) -> Difference | None:
        """`expected`: of the suspect's item. `found`: where the two are."""
        key, place = self.definition.key_of(suspect), self.definition.place_of(suspect)
        its_place = self.definition.place_of(expected) if expected is not None else None
        if place in found and its_place != place:
            return Difference(key, None, found[place])
        there = found.get(its_place) if its_place is not None else None
        return None if _is_same(there, expected) else Difference(key, expected, there)


async def _together(pages: AsyncIterator[Sequence[Item]]) -> AsyncIterator[list[Item]]:
    """Several pages at a time."""
    gathered: list[Item] = []
    count = 0
    async for page in pages:
        gathered += page
        count += 1
        if count == PAGES_MAX:
            yield gathered
            gathered, count = [], 0
    if gathered:
        yield gathered


def _is_same(one: object, other: object) -> bool:
    """As `==`, but that True is not 1, nor False 0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return one == other


def _text(key: Item) -> str:
    """A key that dictionaries take: numbers that are equal are the same, whatever they look like."""
    return repr([(name, Decimal(value).normalize() if _is_of(value, "N") else value) for name, value in key.items()])
