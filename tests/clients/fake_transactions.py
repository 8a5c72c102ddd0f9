"""Transactions of the fake cluster: all writes or none, with a reason for each member; and reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from statorpb import item_pb2, items_pb2

from server.model.errors import ValidationError
from tests.clients.fake_expressions import Expressions

CANCELED = "TransactionCanceledException"


@dataclass
class FakeTransactions:
    """Part of the fake cluster's state."""

    # What was carried out, by the token that its client gave it.
    transactions: dict[str, bytes] = field(default_factory=dict)
    transactions_carried_out: int = 0

    def table(self, name: str) -> Any:
        raise NotImplementedError

    def _transact_write_items(self, request: items_pb2.SessionRequest, reply: items_pb2.SessionReply) -> None:
        asked = request.transact_write_items
        reply.transact_write_items.SetInParent()
        token, content = asked.client_request_token, asked.SerializeToString(deterministic=True)
        known = self.transactions.get(token)
        if known is not None:
            if known != content:
                reply.error.CopyFrom(items_pb2.Error(code="IdempotentParameterMismatchException", message="another"))
            return
        members = [getattr(each, each.WhichOneof("action") or "") for each in asked.transact_items]
        outcomes = [self._outcome(each) for each in members]
        if len({(table.description.table_name, key) for _, table, key, _ in outcomes}) < len(members):
            raise ValidationError("Transaction request cannot include multiple operations on one item")
        reasons = [reason for reason, *_ in outcomes]
        if any(reason.code != "None" for reason in reasons):
            reply.error.CopyFrom(canceled(*reasons))
            return
        self.transactions_carried_out += 1
        if token:
            self.transactions[token] = content
        for (_, table, key, new), member in zip(outcomes, members, strict=True):
            if isinstance(member, items_pb2.ConditionCheck):
                continue
            table.items.pop(key, None)
            if new is not None:
                table.items[key] = new
        self._tell_more(asked, members, reply.transact_write_items)

    def _outcome(self, member: Any) -> tuple[items_pb2.CancellationReason, Any, Any, item_pb2.Item | None]:
        """(whether its condition holds, its table, its key, the item after it)."""
        table = self.table(member.table_name)
        wire_key = member.item if isinstance(member, items_pb2.PutItemRequest) else member.key
        key = table.key_of(wire_key)
        old = table.items.get(key)
        expressions = Expressions(member)
        reason = items_pb2.CancellationReason(code="None")
        new = None
        if not expressions.holds("condition_expression", "ConditionExpression", old):
            reason.code, reason.message = "ConditionalCheckFailed", "The conditional request failed"
            wants = member.return_values_on_condition_check_failure == items_pb2.RETURN_VALUES_ALL_OLD
            if wants and old is not None:
                reason.item = old.SerializeToString()
        if isinstance(member, items_pb2.PutItemRequest):
            new = member.item
        elif isinstance(member, items_pb2.UpdateItemRequest):
            new, _ = expressions.updated(old, member.key)
        expressions.check_all_used()
        return reason, table, key, new

    def _tell_more(self, asked: Any, members: list[Any], answer: items_pb2.TransactWriteItemsResponse) -> None:
        for name in sorted({member.table_name for member in members}):
            if asked.return_consumed_capacity >= items_pb2.RETURN_CONSUMED_CAPACITY_TOTAL:
                answer.consumed_capacity.add(table_name=name, capacity_units=2.0)
            if asked.return_item_collection_metrics == items_pb2.RETURN_ITEM_COLLECTION_METRICS_SIZE:
                metrics = answer.item_collection_metrics.add(table_name=name).metrics.add(size_estimate_upper_gb=1.0)
                metrics.item_collection_key["pk"].s = "a"

    def _transact_get_items(self, request: items_pb2.SessionRequest, reply: items_pb2.SessionReply) -> None:
        asked = request.transact_get_items
        reply.transact_get_items.SetInParent()
        for get in asked.transact_items:
            table = self.table(get.table_name)
            item = table.items.get(table.key_of(get.key))
            answer = reply.transact_get_items.responses.add()
            if item is not None:
                answer.item.CopyFrom(Expressions(get).projected(item))
        if asked.return_consumed_capacity:
            for name in sorted({get.table_name for get in asked.transact_items}):
                reply.transact_get_items.consumed_capacity.add(table_name=name, capacity_units=2.0)


def canceled(*reasons: items_pb2.CancellationReason) -> items_pb2.Error:
    """The error of a cancelled transaction."""
    codes = ", ".join(reason.code for reason in reasons)
    message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    return items_pb2.Error(code=CANCELED, message=message, not_carried_out=True, cancellation_reasons=reasons)
