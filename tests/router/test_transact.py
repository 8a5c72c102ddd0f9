"""router/transact.py and transact_attempt.py: every transaction is answered once, with what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from statorpb import partition_pb2
from structlog.testing import capture_logs

from router.requests import transact_write_items
from router.requests.transact_write_items import TransactWriteItemsRequest
from router.results import Capacity, TransactWritten
from router.storage_client import FINISH, GET, PREPARE, TRANSACT, UPDATE, PartitionCall
from router.transactions.ledger_row import TABLE_NAME, State
from server.model.errors import (
    CONFLICT_REASON,
    NO_REASON,
    PROVISIONED_REASON,
    THROTTLING_REASON,
    DeadlineExceededError,
    IdempotentParameterMismatchError,
    InternalServerError,
    ProvisionedThroughputExceededError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    StatorError,
    ThrottledError,
    TransactionCanceledError,
    TransactionInProgressError,
    condition_reason,
    validation_reason,
)
from server.wire import item_from_bytes, item_to_bytes
from tests.router.fake_partitions import HOLD, LedgerMetadata, Reply, Rig, ledger_route
from tests.router.fakes import TABLE, route

NAMES = ("a", "b", "c", "d")
"""Of items that are in four partitions."""

_Outcome = partition_pb2.ItemOutcome


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig(LedgerMetadata(route(partitions=64), ledger_route()))
    await rig.cache.fetch(TABLE_NAME, 5.0)
    yield rig
    await rig.transactions.stop()


def put(name: str, **others: Any) -> dict[str, Any]:
    return {"Put": {"TableName": TABLE, "Item": {"pk": {"S": name}, "v": {"S": "new"}}, **others}}


def writes(*members: dict[str, Any], **others: Any) -> TransactWriteItemsRequest:
    return transact_write_items.from_body({"TransactItems": list(members), **others}, is_json=True)


SEVERAL = writes(*[put(name) for name in NAMES])
ONE = writes(put("a"))
TOKEN = {"ClientRequestToken": "order-7"}


def first(operation: int, answer: Any) -> Callable[[PartitionCall], Any]:
    """The first call of that kind is answered so."""
    answers = [answer]

    def special(call: PartitionCall) -> Any:
        return answers.pop() if answers and call.operation == operation else None

    return special


def decisions(answer: Any, count: int = 1) -> Callable[[PartitionCall], Any]:
    """So many updates of the ledger behind the first one, which begins, are answered so."""
    seen = [0]

    def special(call: PartitionCall) -> Any:
        if call.operation != UPDATE:
            return None
        seen[0] += 1
        if not 1 < seen[0] <= count + 1:
            return None
        return answer(call) if callable(answer) else answer

    return special


def certain(error: StatorError) -> StatorError:
    error.is_not_carried_out = True
    return error


def written(rig: Rig) -> list[str]:
    """The names of the items that there are, but for the ledger's."""
    items = [item_from_bytes(item) for key, item in rig.partitions.items.items() if key[7] == 1]
    return sorted(item["pk"]["S"] for item in items)


async def test_what_a_library_sends_again_is_done_once(rig: Rig) -> None:
    """In as many partitions as it may be, without a token of the client's, and also while the first is under way."""
    new = writes(*[put(name, ConditionExpression="attribute_not_exists(pk)") for name in NAMES])
    for _ in range(2):
        assert await (await rig.start(new, token_seed=b"call-1")).wait() == TransactWritten(None, None)
    with pytest.raises(TransactionCanceledError):
        await (await rig.start(new, token_seed=b"call-2")).wait()
    rig.partitions.special = lambda call: HOLD
    await rig.start(SEVERAL, token_seed=b"call-3")
    begin, *_ = rig.partitions.held
    rig.partitions.let_go(begin)
    rig.partitions.special = lambda call: None
    with pytest.raises(TransactionInProgressError):
        await (await rig.start(SEVERAL, token_seed=b"call-3")).wait()


async def test_several_partitions_take_three_rounds(rig: Rig) -> None:
    """The ledger and the participants at once, the decision, the participants again; nobody waits for what is left."""
    rig.partitions.special = lambda call: HOLD
    outcome = await rig.start(SEVERAL)
    kinds = []
    while not outcome.future.done():
        held, rig.partitions.held = rig.partitions.held, []
        kinds.append([partition_pb2.PartitionOperation.Name(call.operation) for call in held])
        for call in held:
            rig.partitions.let_go(call)
    prepares = len(rig.asked(PREPARE))
    assert prepares > 1
    assert kinds == [["UPDATE"] + ["PREPARE"] * prepares, ["UPDATE"], ["FINISH"] * prepares]
    assert await outcome.wait() == TransactWritten(None, None)
    assert written(rig) == list(NAMES)
    assert not rig.partitions.marks
    assert not rig.partitions.held, "who closes it has time"
    await rig.until(lambda: bool(rig.partitions.held))
    (close,) = rig.partitions.held
    rig.partitions.let_go(close)
    (row,) = rig.partitions.rows()
    assert row.state is State.COMMITTED and row.is_done
    assert {key for keys in row.participants.values() for key in keys} == {
        key for key in rig.partitions.items if key[7] == 1
    }


async def test_one_partition_takes_one_round_and_no_ledger(rig: Rig) -> None:
    assert await rig.run(ONE) == TransactWritten(None, None)
    assert rig.kinds() == ["TRANSACT"]
    assert written(rig) == ["a"]


@pytest.mark.parametrize("token", [{}, TOKEN])
async def test_reasons_are_in_the_order_of_the_request(rig: Rig, token: dict[str, Any]) -> None:
    old = item_to_bytes({"pk": {"S": "b"}})
    await rig.run(writes(put("b")))
    (key,) = rig.partitions.items
    rig.partitions.items[key] = old
    condition = {"ConditionExpression": "attribute_not_exists(pk)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    with pytest.raises(TransactionCanceledError) as raised:
        await rig.run(writes(put("a", **condition), put("b", **condition), put("c"), **token))
    assert raised.value.reasons == (NO_REASON, condition_reason(old), NO_REASON)
    assert raised.value.is_not_carried_out
    assert not rig.partitions.marks
    (row,) = rig.partitions.rows()
    assert row.state is State.CANCELLED and row.is_done
    await rig.run(writes(put("a"), put("c"), **token))
    assert written(rig) == ["a", "b", "c"]


async def test_what_each_outcome_is_called(rig: Rig) -> None:
    codes = [_Outcome.ACCEPTED, _Outcome.LATE, _Outcome.CONFLICT, _Outcome.INVALID, _Outcome.COLLECTION_FULL]
    result = partition_pb2.TransactionResult(items=[_Outcome(code=code, message="no") for code in codes])
    reply = Reply(status=partition_pb2.CANCELLED, transaction=result)
    rig.partitions.special = first(TRANSACT, reply)
    rig.metadata.routes[TABLE] = route(partitions=1)
    with pytest.raises(TransactionCanceledError) as raised:
        await rig.run(writes(*[put(name) for name in "abcde"]))
    told = [reason.code for reason in raised.value.reasons]
    assert told == ["None", "None", "TransactionConflict", "ValidationError", "ItemCollectionSizeLimitExceeded"]
    assert raised.value.reasons[3] == validation_reason("no")


async def test_an_item_that_another_transaction_has_marked(rig: Rig) -> None:
    """Nobody waits for it."""
    await rig.run(ONE)
    (key,) = rig.partitions.items
    rig.partitions.marks[key] = (b"another", partition_pb2.TransactionItem())
    with pytest.raises(TransactionCanceledError) as raised:
        await rig.run(SEVERAL)
    assert raised.value.reasons == (CONFLICT_REASON, NO_REASON, NO_REASON, NO_REASON)
    assert raised.value.is_retriable
    assert list(rig.partitions.marks) == [key]


@pytest.mark.parametrize(("request_", "operation"), [(SEVERAL, PREPARE), (ONE, TRANSACT)])
async def test_a_stamp_that_is_not_late_enough_is_followed_by_one_that_is(
    rig: Rig, request_: TransactWriteItemsRequest, operation: int
) -> None:
    """The client does not see it."""
    later_us = 2**62
    late = partition_pb2.TransactionResult(items=[_Outcome(code=_Outcome.LATE)], stamp_us=later_us)
    rig.partitions.special = first(operation, Reply(status=partition_pb2.CANCELLED, transaction=late))
    await rig.run(request_)
    assert written(rig) == (["a"] if request_ is ONE else list(NAMES))
    details = [call.details for call in rig.asked(operation)]
    stamps = {each.stamp_us for each in details if isinstance(each, partition_pb2.TransactionDetails)}
    assert len(stamps) == 2 and max(stamps) > later_us
    tokens = {call.token for call in rig.asked(operation)}
    assert len(tokens) == (1 if request_ is ONE else len(details)), "what was refused at once may have its token again"


async def test_what_was_cancelled_by_others_is_tried_again(rig: Rig) -> None:
    """A recovery was quicker than the decision."""

    def cancel(call: PartitionCall) -> None:
        key = call.table.key_prefix + call.position
        row = item_from_bytes(rig.partitions.items[key])
        rig.partitions.items[key] = item_to_bytes({**row, "state": {"S": "CANCELLED"}})

    rig.partitions.special = decisions(cancel)
    assert await rig.run(SEVERAL) == TransactWritten(None, None)
    assert written(rig) == list(NAMES)
    assert sorted(row.state for row in rig.partitions.rows()) == [State.CANCELLED, State.COMMITTED]
    await rig.until_done()


async def test_what_is_committed_is_closed_with_others(rig: Rig) -> None:
    """Rows of the ledger share an entry of its log then. A router that stops does it at once."""
    for each in NAMES:
        await rig.run(writes(put(each), put(f"{each}2"), put(f"{each}3")))
    assert rig.kinds()[-1] == "FINISH"
    assert not any(row.is_done for row in rig.partitions.rows())
    await rig.transactions.stop()
    assert rig.kinds()[-len(NAMES) :] == ["UPDATE"] * len(NAMES)
    assert all(row.is_done for row in rig.partitions.rows())


async def test_a_decision_in_doubt_is_found_out(rig: Rig) -> None:
    """It had been taken."""

    def lose(call: PartitionCall) -> StatorError:
        rig.partitions.carry_out(call)
        return InternalServerError("nobody knows")

    rig.partitions.special = decisions(lose)
    await rig.run(SEVERAL)
    assert written(rig) == list(NAMES)


async def test_a_decision_that_nobody_can_tell_of_is_left_to_recovery(rig: Rig) -> None:
    """The client is told that it may be carried out; and it is, or not, by what the ledger says in the end."""
    rig.partitions.special = decisions(InternalServerError("nobody knows"), count=2)
    with pytest.raises(DeadlineExceededError) as raised:
        await rig.run(SEVERAL)
    assert not raised.value.is_not_carried_out
    assert "may or may not" in raised.value.message
    await _until(lambda: not rig.partitions.marks)
    await _until(lambda: all(row.is_done for row in rig.partitions.rows()))
    assert written(rig) == []


async def test_participants_that_cannot_be_finished_are_left_to_recovery(rig: Rig) -> None:
    rig.partitions.special = first(FINISH, InternalServerError("it cannot"))
    with pytest.raises(DeadlineExceededError) as raised:
        await rig.run(SEVERAL)
    assert not raised.value.is_not_carried_out
    await _until(lambda: not rig.partitions.marks)
    assert written(rig) == list(NAMES)


async def test_when_the_time_is_over_nothing_is_carried_out_any_more(rig: Rig) -> None:
    rig.partitions.special = first(PREPARE, HOLD)
    outcome = await rig.start(SEVERAL, timeout_s=0.05)
    with pytest.raises(DeadlineExceededError) as raised:
        await outcome.wait()
    assert raised.value.is_not_carried_out
    (held,) = rig.partitions.held
    rig.partitions.let_go(held)
    assert not rig.partitions.marks
    assert written(rig) == []


async def test_a_finish_that_takes_too_long_leaves_it_open(rig: Rig) -> None:
    """And goes on."""
    rig.partitions.special = first(FINISH, HOLD)
    outcome = await rig.start(SEVERAL, timeout_s=0.05)
    with pytest.raises(DeadlineExceededError) as raised:
        await outcome.wait()
    assert not raised.value.is_not_carried_out
    (held,) = rig.partitions.held
    rig.partitions.let_go(held)
    assert written(rig) == list(NAMES)
    await rig.until_done()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (certain(ServiceUnavailableError("The write was refused: full")), "full"),
        (ServiceUnavailableError("it may or may not"), "was not carried out"),
        (
            InternalServerError("broken"),
            "part of the transaction failed; this attempt of it was not carried out: broken",
        ),
        (certain(ResourceNotFoundError("Requested resource not found")), "Requested"),
    ],
)
async def test_a_participant_that_cannot_be_asked(rig: Rig, error: StatorError, message: str) -> None:
    """Its error is the transaction's, which was not carried out."""
    rig.partitions.special = first(PREPARE, error)
    with pytest.raises(type(error)) as raised:
        await rig.run(SEVERAL)
    assert message in raised.value.message
    assert raised.value.is_not_carried_out
    assert not rig.partitions.marks


@pytest.mark.parametrize(("request_", "operation"), [(SEVERAL, PREPARE), (ONE, TRANSACT)])
async def test_a_partition_that_takes_no_more_is_a_reason(
    rig: Rig, request_: TransactWriteItemsRequest, operation: int
) -> None:
    for error, reason in (
        (ThrottledError("too much"), THROTTLING_REASON),
        (ProvisionedThroughputExceededError("too much"), PROVISIONED_REASON),
    ):
        rig.partitions.special = first(operation, certain(error))
        with pytest.raises(TransactionCanceledError) as raised:
            await rig.run(request_)
        assert reason in raised.value.reasons


@pytest.mark.parametrize("is_certain", [True, False])
async def test_a_ledger_that_cannot_be_asked(rig: Rig, is_certain: bool) -> None:
    """Nothing is carried out, whether the attempt has begun or not."""
    error = ServiceUnavailableError("nobody")
    error.is_not_carried_out = is_certain
    rig.partitions.special = first(UPDATE, error)
    with pytest.raises(ServiceUnavailableError) as raised:
        await rig.run(SEVERAL)
    assert raised.value.is_not_carried_out
    assert not rig.partitions.marks
    assert written(rig) == []


async def test_a_bug_behind_the_first_step_costs_an_error_and_not_an_answer(rig: Rig) -> None:
    late = partition_pb2.TransactionResult(items=[_Outcome(code=_Outcome.LATE)])
    answers: list[Any] = [Reply(status=partition_pb2.CANCELLED, transaction=late)]

    def special(call: PartitionCall) -> Any:
        if not answers:
            raise KeyError("a bug")
        return answers.pop()

    rig.partitions.special = special
    with capture_logs() as logs, pytest.raises(InternalServerError):
        await rig.run(ONE)
    assert [each["event"] for each in logs] == ["a transaction failed"]


async def test_when_there_is_no_time_for_another_attempt(rig: Rig) -> None:
    late = partition_pb2.TransactionResult(items=[_Outcome(code=_Outcome.LATE)])
    rig.partitions.special = lambda call: Reply(status=partition_pb2.CANCELLED, transaction=late)
    with pytest.raises(DeadlineExceededError) as raised:
        await rig.run(ONE, timeout_s=0.2)
    assert raised.value.is_not_carried_out
    assert len(rig.storage.calls) > 1


async def test_a_table_that_is_gone_is_finished(rig: Rig) -> None:
    rig.partitions.special = first(FINISH, ResourceNotFoundError("gone"))
    assert await rig.run(SEVERAL) == TransactWritten(None, None)


async def test_what_is_too_large_for_one_entry_goes_over_marks(rig: Rig) -> None:
    rig.partitions.special = first(TRANSACT, Reply(status=partition_pb2.TOO_LARGE))
    await rig.run(ONE)
    await rig.until_done()
    assert rig.kinds() == ["TRANSACT", "UPDATE", "PREPARE", "UPDATE", "FINISH", "UPDATE"]
    assert written(rig) == ["a"]


async def test_what_is_consumed_counts_twice(rig: Rig) -> None:
    request = writes(*[put(name) for name in NAMES], ReturnConsumedCapacity="TOTAL", **TOKEN)
    assert await rig.run(request) == TransactWritten([Capacity(TABLE, 8.0, kind="WRITE")], None)
    assert await rig.run(request) == TransactWritten([Capacity(TABLE, 8.0, kind="READ")], None)


# Tokens


async def test_a_replay_is_answered_as_the_first_and_writes_nothing(rig: Rig) -> None:
    """Though its condition does not hold any more, for what the first one did."""
    request = writes(*[put(name, ConditionExpression="attribute_not_exists(pk)") for name in NAMES], **TOKEN)
    await rig.run(request)
    slot = rig.partitions.slot
    assert await rig.run(request) == TransactWritten(None, None)
    assert rig.partitions.slot == slot
    assert not rig.partitions.marks


async def test_a_replay_within_one_partition(rig: Rig) -> None:
    """There its leader knows."""
    replay = partition_pb2.TransactionResult(is_replay=True)
    rig.partitions.special = first(TRANSACT, Reply(transaction=replay))
    request = writes(put("a"), ReturnConsumedCapacity="TOTAL", **TOKEN)
    assert await rig.run(request) == TransactWritten([Capacity(TABLE, 2.0, kind="READ")], None)
    (call,) = rig.storage.calls
    assert isinstance(call.details, partition_pb2.TransactionDetails)
    assert len(call.details.client_token) == len(call.details.request_hash) == 16


async def test_another_request_under_the_same_token(rig: Rig) -> None:
    """Wherever it goes: this router knows; another one asks the ledger, or the partition."""
    await rig.run(writes(*[put(name) for name in NAMES], **TOKEN))
    others = writes(*[put(name) for name in NAMES[:3]], **TOKEN)
    with pytest.raises(IdempotentParameterMismatchError):
        await rig.start(others)
    another = Rig(rig.metadata)
    another.partitions.items = rig.partitions.items
    with pytest.raises(IdempotentParameterMismatchError):
        await another.run(others)
    another.partitions.special = first(TRANSACT, Reply(status=partition_pb2.TOKEN_MISMATCH))
    with pytest.raises(IdempotentParameterMismatchError):
        await another.run(writes(put("a"), **TOKEN))
    assert not rig.partitions.marks


async def test_one_that_is_under_way_is_not_begun_again(rig: Rig) -> None:
    request = writes(*[put(name) for name in NAMES], **TOKEN)
    rig.partitions.special = decisions(HOLD)
    running = await rig.start(request)
    with pytest.raises(TransactionInProgressError):
        await rig.run(request)
    (decision,) = rig.partitions.held
    rig.partitions.let_go(decision)
    assert await running.wait() == TransactWritten(None, None)


@pytest.mark.parametrize("is_decided", [True, False])
async def test_one_that_was_left_half_way_is_ended_first(rig: Rig, is_decided: bool) -> None:
    """By whoever is asked for the same again; then that is a replay, or another attempt."""
    request = writes(*[put(name) for name in NAMES], **TOKEN)
    rig.partitions.special = (
        (lambda call: HOLD if call.operation == FINISH else None) if is_decided else decisions(HOLD)
    )
    await rig.start(request)
    (key,) = [key for key in rig.partitions.items if key[7] == 9]
    row = item_from_bytes(rig.partitions.items[key])
    rig.partitions.items[key] = item_to_bytes({**row, "begun": {"N": "1"}})
    another = Rig(rig.metadata)
    another.partitions.items, another.partitions.marks = rig.partitions.items, rig.partitions.marks
    await another.cache.fetch(TABLE_NAME, 5.0)
    assert await another.run(request) == TransactWritten(None, None)
    assert written(another) == list(NAMES)
    assert not another.partitions.marks
    assert len(another.asked(GET)) == 1
    await another.transactions.stop()


# The ledger


@pytest.mark.parametrize("is_made_by_another", [False, True])
async def test_the_ledger_is_made_when_it_is_needed_first(is_made_by_another: bool) -> None:
    """Once, by however many need it; and its rows expire, whoever made it."""
    rig = Rig(LedgerMetadata(route(partitions=64)))
    rig.metadata.is_made_by_another = is_made_by_another
    outcomes = [await rig.start(writes(*[put(f"{name}{number}") for name in NAMES])) for number in range(3)]
    for outcome in outcomes:
        assert await outcome.wait() == TransactWritten(None, None)
    assert rig.metadata.made == 1
    assert rig.metadata.expires.is_set()
    await rig.transactions.stop()


async def test_without_a_ledger_nothing_is_carried_out(rig: Rig) -> None:
    """What takes one round only does not need it."""
    rig = Rig(LedgerMetadata(route(partitions=64)))
    await rig.cache.fetch(TABLE, 5.0)
    rig.metadata.is_up.clear()
    with pytest.raises(ServiceUnavailableError) as raised:
        await rig.run(SEVERAL, timeout_s=0.1)
    assert raised.value.is_not_carried_out
    assert not rig.storage.calls
    await rig.run(ONE)


@pytest.mark.parametrize("others", [TOKEN, {}])
async def test_a_request_whose_first_has_marks_and_may_yet_begin(rig: Rig, others: dict[str, str]) -> None:
    """It is not told that it was cancelled for these: it waits, or is told that the first is under way."""
    request = writes(put("a"), put("b"), **others)
    rig.partitions.special = first(UPDATE, HOLD)
    begun = await rig.start(request, token_seed=b"seed")
    await rig.until(lambda: len(rig.partitions.marks) == 2)
    hasty = await rig.start(request, timeout_s=0.1, token_seed=b"seed")
    with pytest.raises(TransactionInProgressError) as raised:
        await hasty.wait()
    assert not raised.value.is_not_carried_out
    patient = await rig.start(request, token_seed=b"seed")
    (held,) = rig.partitions.held
    rig.partitions.let_go(held)
    assert {type(each) for each in await asyncio.gather(begun.wait(), patient.wait(), return_exceptions=True)} <= {
        TransactWritten,
        TransactionInProgressError,
    }
    assert len(written(rig)) == 2


@pytest.mark.parametrize("answer", [HOLD, InternalServerError("broken"), DeadlineExceededError("late")])
async def test_without_the_ledger_s_word_an_earlier_attempt_may_have_been_carried_out(rig: Rig, answer: Any) -> None:
    """Nobody is told that the transaction was not: it was."""
    request = writes(put("a"), put("b"), **TOKEN)
    await rig.run(request)
    rig.partitions.special = lambda call: answer if call.operation == UPDATE else None
    with pytest.raises(StatorError, match="; this attempt of it was not carried out"):
        await rig.run(request, timeout_s=0.2)


async def test_reasons_are_not_told_without_the_ledger_s_word(rig: Rig) -> None:
    """Under a token, by which it may have been carried out: so that its conditions do not hold any more."""
    request = writes(put("a", ConditionExpression="attribute_not_exists(pk)"), put("b"), **TOKEN)
    await rig.run(request)
    rig.partitions.special = first(UPDATE, ServiceUnavailableError("nobody"))
    with pytest.raises(ServiceUnavailableError):
        await rig.run(request)


async def test_a_result_that_cannot_be_told_is_an_error(rig: Rig) -> None:
    """What is left of the attempt is done all the same."""
    unknown = partition_pb2.WriteResult(indexes=[partition_pb2.IndexUnits(number=77, units=1)])
    result = partition_pb2.TransactionResult(items=[_Outcome(write=unknown)])
    rig.partitions.special = first(PREPARE, Reply(transaction=result))
    with pytest.raises(InternalServerError):
        await rig.run(writes(put("a"), put("b"), ReturnConsumedCapacity="TOTAL"))
    await rig.until_done()
    assert [row.state for row in rig.partitions.rows()] == [State.COMMITTED]


async def test_a_router_that_stops_tells_those_who_wait_for_the_ledger() -> None:
    rig = Rig(LedgerMetadata(route(partitions=64)))
    await rig.cache.fetch(TABLE, 5.0)
    rig.metadata.is_up.clear()
    outcome = await rig.start(SEVERAL)
    await asyncio.sleep(0)
    await rig.transactions.stop()
    with pytest.raises(ServiceUnavailableError):
        await outcome.wait()


async def _until(holds: Callable[[], bool]) -> None:
    """Returns once it does: what is tested happens behind the answer."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)
