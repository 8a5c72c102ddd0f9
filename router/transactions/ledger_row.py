"""A row of the ledger: what is known of a transaction, as an item of the table `stator.transactions`.

| attribute | is |
| --- | --- |
| `id` (B) | the key: made of what the client calls the transaction, or of nothing but chance |
| `attempt` (B) | the one that the rest is about; absent: none has begun, and some may not |
| `state` (S) | PREPARING, COMMITTED or CANCELLED; the step from the first to the second is the commit |
| `begun` (N) | ms since 1970, by the clock of the router that began it |
| `stamp` (N) | the transaction's timestamp, us |
| `request` (B) | hash of all that was asked for |
| `participants` (M of BS) | the encoded keys of its items by the name of their table |
| `done` (BOOL) | no item has its mark any more |
| `refused` (BS) | attempts that may not begin any more: their marks were taken away |
| `expires` (N) | s since 1970: from then on it need not be known; only rows that are done, or refuse, have it |
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from server.model.item import Item

TABLE_NAME = "stator.transactions"

Participants: TypeAlias = Mapping[str, tuple[bytes, ...]]
"""Encoded keys, by the name of their table."""


class State(StrEnum):
    """Of an attempt."""

    PREPARING = "PREPARING"
    COMMITTED = "COMMITTED"
    CANCELLED = "CANCELLED"


class LedgerRow(NamedTuple):
    """`attempt` empty: none has begun."""

    ledger_id: bytes
    attempt: bytes = b""
    state: State = State.PREPARING
    begun_ms: int = 0
    request_hash: bytes = b""
    participants: Participants = MappingProxyType({})
    is_done: bool = False
    refused: frozenset[bytes] = frozenset()

    def is_of(self, attempt: bytes) -> bool:
        return self.attempt == attempt


def row_of(item: Item) -> LedgerRow:
    """The row that an item of the ledger is. Nobody but routers writes there."""
    return LedgerRow(
        _content(item, "id", "B", b""),
        _content(item, "attempt", "B", b""),
        State(_content(item, "state", "S", State.PREPARING)),
        int(_content(item, "begun", "N", "0")),
        _content(item, "request", "B", b""),
        {name: tuple(sorted(keys["BS"])) for name, keys in _content(item, "participants", "M", {}).items()},
        _content(item, "done", "BOOL", False),
        frozenset(_content(item, "refused", "BS", ())),
    )


def _content(item: Item, name: str, kind: str, otherwise: Any) -> Any:
    return item.get(name, {}).get(kind, otherwise)
