"""Whether a global index has of its table what it should: no entry too few, none too many, none out of date.

The index follows its table a little later, so what looks wrong is looked at again, until it is right or has had
`settle_s` for that. Both may be written meanwhile. Memory is bounded: by a page, and by what looks wrong.
"""

import asyncio
import functools
import operator
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

_TYPES: Mapping[str, tuple[type, ...]] = {"S": (str,), "N": (int, float, Decimal), "B": (bytes, bytearray, memoryview)}


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """Of which items an index has an entry, and what of them. `projected`: what it has besides the keys of the table
    and its own; None: everything."""

    table_keys: tuple[KeyAttribute, ...]
    index_keys: tuple[KeyAttribute, ...]
    projected: frozenset[str] | None

    def key_of(self, item: Item) -> dict[str, Any]:
        """The table's key of an item or an entry."""
        return {key.name: item[key.name] for key in self.table_keys}

    def entry_of(self, item: Item | None) -> dict[str, Any] | None:
        """The entry that the index should have of an item; None: none."""
        if item is None or not all(_is_of(item.get(key.name), key.type) for key in self.index_keys):
            return None
        if self.projected is None:
            return dict(item)
        names = self.projected | {key.name for key in self.table_keys + self.index_keys}
        return {name: value for name, value in item.items() if name in names}


def definition_of(table: TableDescription, index: str) -> IndexDefinition:
    """Of a global index that the table has."""
    described = next(each for each in table.global_indexes if each.name == index)
    table_keys = (table.partition_key,) if table.sort_key is None else (table.partition_key, table.sort_key)
    projected = None if described.projection == "ALL" else frozenset(described.non_key_attributes)
    return IndexDefinition(table_keys, described.keys, projected)


def _is_of(value: object, type_: str) -> bool:
    return isinstance(value, _TYPES[type_]) and not isinstance(value, bool)


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

    async def entries(self, entry: Item) -> Sequence[Item]:
        """What the index has under an entry's keys, its own and the table's: one, or nothing."""
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

    async def entries(self, entry: Item) -> Sequence[Item]:
        names = [each.name for each in self.definition.index_keys]
        condition = key(names[0]).eq(entry[names[0]])
        for name in names[1:]:
            condition &= key(name).eq(entry[name])
        # Conditions on the index's own key are none for a filter.
        wanted = [attr(name).eq(value) for name, value in self.definition.key_of(entry).items() if name not in names]
        found = self.client.query(
            self.table, condition, index=self.index, filter=functools.reduce(operator.and_, wanted) if wanted else None
        )
        return [item async for item in found]


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
        async for page in self.source.table_pages():
            self.items += len(page)
            suspects += await self._lacking(page)
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
        found = await asyncio.gather(*map(self.source.entries, expected))
        return [entry for entry, entries in zip(expected, found, strict=True) if list(entries) != [entry]]

    async def _wrong(self, entries: Sequence[Item]) -> list[Item]:
        """Those of the entries that are not what the table's items say."""
        key_of = self.definition.key_of
        items = {_text(key_of(item)): item for item in await self.source.items([key_of(entry) for entry in entries])}
        return [entry for entry in entries if self.definition.entry_of(items.get(_text(key_of(entry)))) != dict(entry)]

    async def _settled(self, suspects: Sequence[Item]) -> AsyncIterator[Difference]:
        """Looks at entries again, until nothing is wrong with them or time is up; what is wrong then."""
        self.looked_again += len(suspects)
        deadline = self.clock() + self.settle_s
        left = list(suspects)
        while left:
            looked = await asyncio.gather(*map(self._look, left))
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

    async def _look(self, suspect: Item) -> Difference | None:
        """What is wrong now: under the keys of the suspect, and under those that its item has by now."""
        key = self.definition.key_of(suspect)
        items = await self.source.items([key])
        expected = self.definition.entry_of(items[0] if items else None)
        is_moved = expected is None or any(
            expected[each.name] != suspect[each.name] for each in self.definition.index_keys
        )
        found = list(await self.source.entries(suspect))
        if found and is_moved:
            return Difference(key, None, found[0])
        if expected is None:
            return None
        if is_moved:
            found = list(await self.source.entries(expected))
        if found == [expected]:
            return None
        return Difference(key, expected, found[0] if found else None)


def _text(key: Item) -> str:
    """A key that dictionaries take: numbers that are equal are the same, whatever they look like."""
    return repr([(name, Decimal(value).normalize() if _is_of(value, "N") else value) for name, value in key.items()])
