"""What a load asks for: the mix of reads and writes, the keys, and the items.

The mixes A, B and C and the Zipfian distribution with its constant are those of the Yahoo! Cloud Serving Benchmark
(Cooper et al., SoCC 2010).
"""

import random
from dataclasses import dataclass
from enum import StrEnum

READ_FRACTIONS = {"put": 0.0, "get": 1.0, "a": 0.5, "b": 0.95, "c": 1.0}
"""Workload name -> the part of operations that are reads; the others put whole items."""

UPDATE = "update"
"""Adds to a number in an item, on the condition that the item is there."""

QUERY = "query"
"""Reads all items of a partition key: COLLECTION_ITEMS of them."""

WORKLOADS = (*READ_FRACTIONS, UPDATE, QUERY)
COLLECTION_ITEMS = 100

PARTITION_KEY = "pk"
SORT_KEY = "sk"
FIELD = "field0"
KEY_DIGITS = 12
KEY_BYTES = len("user") + KEY_DIGITS
ZIPFIAN_CONSTANT = 0.99

_ATTRIBUTE_BYTES = len(PARTITION_KEY) + KEY_BYTES + len(FIELD)
_SORT_KEY_BYTES = len(SORT_KEY) + 2
ITEM_BYTES_MIN = _ATTRIBUTE_BYTES + 1


class Distribution(StrEnum):
    """How often each key is asked for."""

    UNIFORM = "uniform"
    ZIPFIAN = "zipfian"


@dataclass(frozen=True, slots=True)
class Workload:
    """A load's content. `item_bytes` is DynamoDB's item size: names and values."""

    name: str
    table: str
    items: int
    item_bytes: int = 900
    distribution: Distribution = Distribution.UNIFORM
    is_consistent: bool = True

    @property
    def read_fraction(self) -> float:
        """The part of operations that are reads, of those workloads that put whole items."""
        return READ_FRACTIONS.get(self.name, 0.0)

    @property
    def needs_items(self) -> bool:
        """Whether it is about items that are there."""
        return self.read_fraction > 0 or self.name in (UPDATE, QUERY)

    @property
    def has_collections(self) -> bool:
        """Whether items have a sort key, and COLLECTION_ITEMS of them one partition key."""
        return self.name == QUERY

    @property
    def keys(self) -> int:
        """How many different partition keys there are."""
        return max(1, self.items // COLLECTION_ITEMS) if self.has_collections else self.items

    def value(self) -> str:
        """The field that brings an item to `item_bytes`."""
        rng = random.Random(self.item_bytes)
        own = _ATTRIBUTE_BYTES + (_SORT_KEY_BYTES if self.has_collections else 0)
        return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=max(1, self.item_bytes - own)))


def key(index: int) -> str:
    """The partition key of the item `index`; always KEY_BYTES long."""
    return f"user{index:0{KEY_DIGITS}d}"


class KeyChooser:
    """Draws indexes of items from 0 to `items` - 1."""

    def __init__(self, items: int, distribution: Distribution, rng: random.Random) -> None:
        self._items = items
        self._rng = rng
        self._zipfian = _Zipfian(items, rng) if distribution is Distribution.ZIPFIAN else None

    def next(self) -> int:
        if self._zipfian is None:
            return int(self._rng.random() * self._items)
        # Popular items lie anywhere in the key space, not side by side.
        return self._zipfian.next_rank() * 0x9E3779B97F4A7C15 % (1 << 64) % self._items


class _Zipfian:
    """Ranks by Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994)."""

    def __init__(self, items: int, rng: random.Random) -> None:
        theta = ZIPFIAN_CONSTANT
        self._items = items
        self._random = rng.random
        self._zeta = sum(1.0 / rank**theta for rank in range(1, items + 1))
        self._second = 1.0 + 0.5**theta
        self._alpha = 1.0 / (1.0 - theta)
        zeta_two = sum(1.0 / rank**theta for rank in (1, 2))
        self._eta = (1.0 - (2.0 / items) ** (1.0 - theta)) / (1.0 - zeta_two / self._zeta) if items > 2 else 0.0

    def next_rank(self) -> int:
        u = self._random()
        uz = u * self._zeta
        if uz < 1.0:
            return 0
        if uz < self._second:
            return min(1, self._items - 1)
        return min(self._items - 1, int(self._items * (self._eta * u - self._eta + 1.0) ** self._alpha))
