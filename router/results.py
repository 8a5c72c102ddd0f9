"""What operations on items answer, whichever door asked. Items are in canonical form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from server.model.item import Item


class Capacity(NamedTuple):
    """Capacity units that a request consumed: in all, of the table itself (None: not asked for), of its local and its
    global indexes by name (None: not asked for, or of none). `kind`: READ or WRITE, which is told of transactions only
    (empty: it is not)."""

    table_name: str
    units: float
    table: float | None = None
    indexes: Mapping[str, float] | None = None
    global_indexes: Mapping[str, float] | None = None
    kind: str = ""


def table_capacity(table_name: str, units: float, wanted: str) -> Capacity:
    """Of a request that concerns no index; `wanted`: TOTAL or INDEXES."""
    return Capacity(table_name, units, units) if wanted == "INDEXES" else Capacity(table_name, units)


class CollectionMetrics(NamedTuple):
    """An item collection: its partition key, and about how large it is, in GB."""

    table_name: str
    key: Item
    lower_gb: float
    upper_gb: float


class WriteResult(NamedTuple):
    """Of PutItem, UpdateItem and DeleteItem. `attributes`: what its ReturnValues asks for, if there is any."""

    attributes: bytes | None = None
    capacity: Capacity | None = None
    metrics: CollectionMetrics | None = None


class ReadResult(NamedTuple):
    """Of GetItem. `item` None: there is none."""

    item: bytes | None
    capacity: Capacity | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Of Query and Scan. `last_key` None: that was all. `is_rendered`: the items are as a door writes them."""

    items: Sequence[Any]
    count: int
    scanned_count: int
    last_key: bytes | None
    capacity: Capacity | None = None
    is_count_only: bool = False
    is_rendered: bool = False


class BatchRead(NamedTuple):
    """Of BatchGetItem: the tables asked, (table name, item) of those found, and the reads not done; `asked`: by table,
    how its items were asked for."""

    table_names: Sequence[str]
    found: Sequence[tuple[str, bytes]]
    unprocessed: Sequence[Any]
    capacity: Sequence[Capacity] | None = None
    asked: Mapping[str, Mapping[str, Any]] = {}


class BatchWritten(NamedTuple):
    """Of BatchWriteItem: the writes not done."""

    unprocessed: Sequence[Any]
    capacity: Sequence[Capacity] | None = None
    metrics: Sequence[CollectionMetrics] | None = None


class TransactWritten(NamedTuple):
    """Of TransactWriteItems. `capacity`: by table."""

    capacity: Sequence[Capacity] | None = None
    metrics: Sequence[CollectionMetrics] | None = None


class TransactRead(NamedTuple):
    """Of TransactGetItems: the items in the order of the request (None: there is none). `capacity`: by table."""

    items: Sequence[bytes | None]
    capacity: Sequence[Capacity] | None = None


NOTHING = WriteResult()
