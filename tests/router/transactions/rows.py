"""A ledger in memory: carries out what is asked of it as a storage node would."""

from __future__ import annotations

from router.requests.update_item import UpdateItemRequest
from router.transactions.ledger_row import LedgerRow, row_of
from server.expressions.evaluation import compile_condition
from server.expressions.update import CompiledUpdate
from server.model.item import Item

NOW_MS = 1_800_000_000_000


class Rows:
    """Rows by ledger id."""

    def __init__(self) -> None:
        self.items: dict[bytes, Item] = {}

    def update(self, request: UpdateItemRequest) -> tuple[bool, LedgerRow | None]:
        """Whether the condition held, and the row that it did not hold for."""
        ledger_id = request.key["id"]["B"]
        item = self.items.get(ledger_id)
        condition, update = request.options.condition, request.update
        assert condition is not None and update is not None
        if not compile_condition(condition.tree)(item or {}, condition.values):
            return False, row_of(item) if item is not None else None
        self.items[ledger_id] = CompiledUpdate(update.tree).apply(item or dict(request.key), update.values)
        return True, None

    def get(self, ledger_id: bytes) -> LedgerRow | None:
        item = self.items.get(ledger_id)
        return row_of(item) if item is not None else None

    def expires(self, ledger_id: bytes) -> int | None:
        """When a row does, s since 1970."""
        item = self.items.get(ledger_id, {})
        return int(item["expires"]["N"]) if "expires" in item else None
