"""What calls on items return where that is more than an item: plain, frozen values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from statorpb import items_pb2

from stator.values import Item, attribute_value

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class ConsumedCapacity:
    """What a request took of a table's throughput, in capacity units: of reads or of writes, as the request was.

    `capacity_units` is the sum. `table`, `local_secondary_indexes` and `global_secondary_indexes` (by name of the
    index) say it apart where return_consumed_capacity="INDEXES" asked for that.
    """

    table_name: str
    capacity_units: float
    table: float | None = None
    local_secondary_indexes: Mapping[str, float] = field(default_factory=dict)
    global_secondary_indexes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemCollectionMetrics:
    """How large the items of one partition key are, indexes included, where the table has local secondary indexes.

    `item_collection_key` is the partition key; the size is estimated, in GB (10 ** 9 bytes), and lies between the two.
    """

    item_collection_key: Item
    size_estimate_lower_gb: float
    size_estimate_upper_gb: float


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What came of a write. Each part is None unless it was asked for.

    `attributes`: as `return_values` says; None also where there is nothing to return, such as no item before.
    """

    attributes: Item | None = None
    consumed_capacity: ConsumedCapacity | None = None
    item_collection_metrics: ItemCollectionMetrics | None = None


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """What came of a transaction that was carried out. Each part is empty unless it was asked for.

    `consumed_capacity`: of each table; writes in a transaction take twice what they would by themselves. Where the
    `token` says that it was carried out before, these are units of reads.
    `item_collection_metrics`: by table, where it has local secondary indexes.
    """

    consumed_capacity: tuple[ConsumedCapacity, ...] = ()
    item_collection_metrics: Mapping[str, tuple[ItemCollectionMetrics, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page(Generic[ItemT]):
    """One answer to a query or scan. Iterating over it and `len` go over its items.

    `count` is how many items passed the filter (also with select="COUNT", when `items` is empty), `scanned_count` how
    many were looked at. `last_evaluated_key` is where to go on, as `start_key`; None: everything has been read. A page
    may be empty and not be the last. `consumed_capacity` is None unless it was asked for.
    """

    items: list[ItemT]
    count: int
    scanned_count: int
    last_evaluated_key: Item | None = None
    consumed_capacity: ConsumedCapacity | None = None

    def __iter__(self) -> Iterator[ItemT]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def consumed_capacity(wire: items_pb2.ConsumedCapacity) -> ConsumedCapacity:
    """From the wire."""
    return ConsumedCapacity(
        wire.table_name,
        wire.capacity_units,
        wire.table if wire.HasField("table") else None,
        dict(wire.local_secondary_indexes),
        dict(wire.global_secondary_indexes),
    )


def item_collection_metrics(wire: items_pb2.ItemCollectionMetrics) -> ItemCollectionMetrics:
    """From the wire."""
    key = {name: attribute_value(value) for name, value in wire.item_collection_key.items()}
    return ItemCollectionMetrics(key, wire.size_estimate_lower_gb, wire.size_estimate_upper_gb)
