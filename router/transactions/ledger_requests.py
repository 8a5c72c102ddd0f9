"""What is asked of the ledger: conditional updates of one row, each of which only one of two that differ can win."""

from __future__ import annotations

from collections.abc import Mapping

from router.requests.create_table import CreateTableRequest
from router.requests.get_item import GetItemRequest
from router.requests.options import WriteOptions
from router.requests.scan import ScanRequest
from router.requests.time_to_live import UpdateTimeToLiveRequest
from router.requests.update_item import UpdateItemRequest
from router.transactions.ledger_row import TABLE_NAME, Participants, State
from server.expressions.expression import parse_condition, parse_update
from server.expressions.placeholders import Placeholders
from server.model.item import AttributeValue, Item
from server.model.table import KeyAttribute, KeySchema

KEPT_S = 600
"""How long a row that is done is kept: for so long a client's token is known again."""

PARTITIONS = 3
TIME_TO_LIVE = "expires"

_KEY = KeyAttribute("id", "B")

_BEGIN = (
    "SET attempt = :attempt, #state = :preparing, begun = :begun, stamp = :stamp, #request = :request, "
    "participants = :participants REMOVE done, expires"
)
_MAY_BEGIN = (
    "(attribute_not_exists(attempt) OR (done = :true AND (#state = :cancelled OR expires < :now))) "
    "AND NOT contains(refused, :attempt)"
)
_DECIDE = "SET #state = :decided"
_IS_UNDECIDED = "attempt = :attempt AND #state = :preparing"
_CLOSE = "SET #state = :decided, done = :true, expires = :expires"
_IS_COMMITTED = "attempt = :attempt AND #state = :decided"
_IS_NOT_COMMITTED = "attempt = :attempt AND #state <> :committed"
_REFUSE = "ADD refused :refused"
_REFUSE_AND_KEEP = "SET expires = :expires ADD refused :refused"
_IS_ANOTHER = "attempt <> :attempt"
_IS_OVER = "attribute_not_exists(attempt) OR (attempt <> :attempt AND done = :true)"

_STATES = {"#state": "state"}
_TRUE: AttributeValue = {"BOOL": True}


def create() -> CreateTableRequest:
    """The ledger itself."""
    return CreateTableRequest(TABLE_NAME, KeySchema(_KEY), partitions=PARTITIONS, is_protected=True)


def expire() -> UpdateTimeToLiveRequest:
    """That rows are deleted once they need not be known."""
    return UpdateTimeToLiveRequest(TABLE_NAME, TIME_TO_LIVE, True)


def begin(
    ledger_id: bytes, attempt: bytes, stamp_us: int, request_hash: bytes, participants: Participants, now_ms: int
) -> UpdateItemRequest:
    """An attempt begins, where none has, or the last one came to nothing or need not be known any more."""
    keys: AttributeValue = {"M": {name: {"BS": list(keys)} for name, keys in participants.items()}}
    values: Item = {
        ":attempt": {"B": attempt},
        ":preparing": {"S": State.PREPARING.value},
        ":cancelled": {"S": State.CANCELLED.value},
        ":begun": _number(now_ms),
        ":now": _number(now_ms // 1000),
        ":stamp": _number(stamp_us),
        ":request": {"B": request_hash},
        ":participants": keys,
        ":true": _TRUE,
    }
    return _update(ledger_id, _BEGIN, _MAY_BEGIN, values, {**_STATES, "#request": "request"})


def decide(ledger_id: bytes, attempt: bytes, *, is_committed: bool) -> UpdateItemRequest:
    """Where it is decided what becomes of an attempt."""
    values: Item = {
        ":attempt": {"B": attempt},
        ":preparing": {"S": State.PREPARING.value},
        ":decided": {"S": _decided(is_committed)},
    }
    return _update(ledger_id, _DECIDE, _IS_UNDECIDED, values)


def close(ledger_id: bytes, attempt: bytes, now_ms: int, *, is_committed: bool) -> UpdateItemRequest:
    """No mark of the attempt is left. One that was not decided is cancelled by that, too: so who closes it must be who
    would have decided that it is committed, and never will."""
    values: Item = {
        ":attempt": {"B": attempt},
        ":decided": {"S": _decided(is_committed)},
        ":true": _TRUE,
        ":expires": _expires(now_ms),
    }
    if is_committed:
        return _update(ledger_id, _CLOSE, _IS_COMMITTED, values)
    return _update(ledger_id, _CLOSE, _IS_NOT_COMMITTED, {**values, ":committed": {"S": State.COMMITTED.value}})


def refuse(ledger_id: bytes, attempt: bytes, now_ms: int, *, is_over: bool) -> UpdateItemRequest:
    """An attempt that has not begun never will. `is_over`: there is no row, or it is about none or one that is done:
    then it is kept for as long as this may matter. One that is under way must not expire; it is kept longer anyway."""
    values: Item = {":attempt": {"B": attempt}, ":refused": {"BS": [attempt]}}
    if not is_over:
        return _update(ledger_id, _REFUSE, _IS_ANOTHER, values, None)
    values = {**values, ":expires": _expires(now_ms), ":true": _TRUE}
    return _update(ledger_id, _REFUSE_AND_KEEP, _IS_OVER, values, None)


def read(ledger_id: bytes) -> GetItemRequest:
    """A row, as it is now."""
    return GetItemRequest(TABLE_NAME, _key(ledger_id), True)


def unfinished(start: bytes, rows_max: int, before_ms: int) -> ScanRequest:
    """Those of `rows_max` rows behind the place that `start` would have (empty: of the first ones) that were begun
    before then and are not done."""
    placeholders = Placeholders(None, {":before": _number(before_ms)})
    condition = parse_condition("begun < :before AND attribute_not_exists(done)", placeholders, "FilterExpression")
    return ScanRequest(TABLE_NAME, rows_max, _key(start) if start else None, False, filter=condition)


def _update(
    ledger_id: bytes, update: str, condition: str, values: Item, names: Mapping[str, str] | None = _STATES
) -> UpdateItemRequest:
    placeholders = Placeholders(names, values)
    options = WriteOptions(condition=parse_condition(condition, placeholders), returns_on_failure=True)
    request = UpdateItemRequest(TABLE_NAME, _key(ledger_id), parse_update(update, placeholders), options)
    placeholders.check_all_used()
    return request


def _key(ledger_id: bytes) -> Item:
    return {_KEY.name: {"B": ledger_id}}


def _number(number: int) -> AttributeValue:
    return {"N": str(number)}


def _expires(now_ms: int) -> AttributeValue:
    return _number(now_ms // 1000 + KEPT_S)


def _decided(is_committed: bool) -> str:
    return (State.COMMITTED if is_committed else State.CANCELLED).value
