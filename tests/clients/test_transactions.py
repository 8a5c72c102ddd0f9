"""Transactions through the asynchronous client, against a fake cluster."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import stator
from stator import (
    AsyncClient,
    TransactCheck,
    TransactDelete,
    TransactGet,
    TransactPut,
    TransactUpdate,
    attr,
    update,
)
from statorpb import items_pb2

from tests.clients.fake_cluster import FakeRouter, FakeState, Refusal
from tests.clients.fake_transactions import CANCELED
from tests.clients.waiting import until

EXISTS = attr("pk").exists()


@dataclass
class Account:
    pk: str
    balance: int


@pytest.fixture
async def client(routers: list[FakeRouter], state: FakeState) -> AsyncIterator[AsyncClient]:
    """With two accounts, a and b."""
    state.add_table("accounts")
    async with AsyncClient([router.address for router in routers], rng=random.Random(1)) as client:
        await client.batch_write_item("accounts", put=[{"pk": "a", "balance": 50}, {"pk": "b", "balance": 0}])
        yield client


def refusal(*codes: str, code: str = CANCELED) -> Refusal:
    """A transaction that was cancelled, with these reasons; or another error."""
    made = Refusal(code, f"for {codes}", certain=True)
    made.wire.cancellation_reasons.extend(items_pb2.CancellationReason(code=each) for each in codes)
    return made


def conflicts(count: int) -> list[Refusal]:
    return [refusal("None", "TransactionConflict") for _ in range(count)]


def transfer(client: AsyncClient, amount: int, **options: Any) -> stator.AsyncTransaction:
    return (
        client.transaction(**options)
        .update("accounts", {"pk": "a"}, update().add("balance", -amount), condition=attr("balance").ge(amount))
        .update("accounts", {"pk": "b"}, "ADD balance :n", condition="attribute_exists(pk)", values={":n": amount})
    )


async def balances(client: AsyncClient) -> list[int]:
    found = await client.transact_get_items([("accounts", {"pk": "a"}), ("accounts", {"pk": "b"})])
    return [item["balance"] for item in found]


async def test_all_of_it(client: AsyncClient, state: FakeState) -> None:
    """Every kind of write, over two tables, in one request."""
    await client.put_item("music", {"pk": "old"})
    before = state.writes_carried_out
    made = (
        client.transaction()
        .put("music", {"pk": "new", "n": 1}, condition=~EXISTS)
        .update("accounts", {"pk": "a"}, update().add("balance", -20), condition=attr("balance").ge(20))
        .delete("music", {"pk": "old"}, condition=EXISTS)
        .check("accounts", {"pk": "b"}, "balance = :n", values={":n": 0})
    )
    assert len(made) == 4
    assert (made.result, made.is_committed) == (None, False)
    assert await made.commit() == stator.TransactionResult()
    assert (made.result, made.is_committed) == (stator.TransactionResult(), True)
    assert [item async for item in client.scan("music")] == [{"pk": "new", "n": 1}]
    assert await balances(client) == [30, 0]
    assert (state.transactions_carried_out, state.writes_carried_out) == (1, before)
    assert state.transactions == {}, "a token of its own is sent only where it is given"


async def test_none_of_it(client: AsyncClient, state: FakeState) -> None:
    """A condition that does not hold cancels everything; the error says which, with the item where that was asked."""
    with pytest.raises(stator.TransactionCanceledError, match="ConditionalCheckFailed") as caught:
        await client.transact_write_items(
            [
                TransactPut("music", {"pk": "new"}),
                TransactUpdate(
                    *("accounts", {"pk": "a"}, update().add("balance", -60)),
                    condition=attr("balance").ge(60),
                    return_values_on_condition_check_failure="ALL_OLD",
                ),
                TransactCheck("music", {"pk": "none"}, EXISTS, return_values_on_condition_check_failure="ALL_OLD"),
                TransactDelete("accounts", {"pk": "b"}, condition=~EXISTS),
            ]
        )
    error = caught.value
    failed, message = "ConditionalCheckFailed", "The conditional request failed"
    assert error.reasons == (
        stator.CancellationReason(0, "None"),
        stator.CancellationReason(1, failed, message, {"pk": "a", "balance": 50}),
        stator.CancellationReason(2, failed, message),
        stator.CancellationReason(3, failed, message),
    )
    assert error.causes == error.reasons[1:]
    assert (error.code, error.is_conflict, error.is_retriable) == (CANCELED, False, False)
    assert client.retries == 0
    assert await client.get_item("music", {"pk": "new"}) is None
    assert await balances(client) == [50, 0]


async def test_a_block_commits(client: AsyncClient) -> None:
    """At its end; not if it ends with an error, and not a second time."""
    async with client.transaction(return_consumed_capacity="TOTAL", return_item_collection_metrics="SIZE") as made:
        made.update("accounts", {"pk": "a"}, update().add("balance", 1))
        assert await balances(client) == [50, 0]
    assert made.result == stator.TransactionResult(
        (stator.ConsumedCapacity("accounts", 2.0),),
        {"accounts": (stator.ItemCollectionMetrics({"pk": "a"}, 0.0, 1.0),)},
    )
    with pytest.raises(ZeroDivisionError):
        async with client.transaction() as made:
            made.update("accounts", {"pk": "a"}, update().add("balance", 1))
            made.put("music", {"pk": str(1 // 0)})
    assert await balances(client) == [51, 0]
    async with client.transaction() as made:
        await made.update("accounts", {"pk": "a"}, update().add("balance", 1)).commit()
    async with client.transaction() as made:
        made.check("accounts", {"pk": "none"}, EXISTS)
        with pytest.raises(stator.TransactionCanceledError):
            await made.commit()
    assert await balances(client) == [52, 0]


async def test_a_transaction_is_committed_once(client: AsyncClient) -> None:
    """Nothing is added and nothing is carried out again; after an error it may be tried again as it is."""
    made = transfer(client, 60)
    with pytest.raises(stator.TransactionCanceledError):
        await made.commit()
    with pytest.raises(RuntimeError, match="committed already"):
        made.put("music", {"pk": "a"})
    await client.put_item("accounts", {"pk": "a", "balance": 70})
    await made.commit()
    with pytest.raises(RuntimeError, match="carried out already"):
        await made.commit()
    assert await balances(client) == [10, 60]


async def test_a_transaction_of_nothing(client: AsyncClient) -> None:
    """Is carried out without asking anybody."""
    before = client.statistics.requests
    assert await client.transaction().commit() == stator.TransactionResult()
    assert await client.transact_write_items([]) == stator.TransactionResult()
    assert await client.transact_get_items([]) == []
    assert client.statistics.requests == before


async def test_objects_and_tables(client: AsyncClient) -> None:
    """Items may be objects, and tables what `client.table` made, whose class is what items are read as."""
    accounts = client.table("accounts", as_type=Account)
    music = client.table("music")
    await client.transaction().put(accounts, Account("c", 7)).put(music, {"pk": "x", "n": 1, "m": 2}).commit()
    consumed: list[stator.ConsumedCapacity] = []
    found = await client.transact_get_items(
        [
            (music, {"pk": "none"}),
            (accounts, {"pk": "c"}),
            TransactGet(music, {"pk": "x"}, projection=["n"]),
            TransactGet("music", {"pk": "x"}, projection="#m", names={"#m": "m"}),
            TransactGet("accounts", {"pk": "b"}, as_type=Account),
            ("accounts", {"pk": "c"}),
        ],
        on_capacity=consumed.append,
    )
    assert found == [None, Account("c", 7), {"n": 1}, {"m": 2}, Account("b", 0), {"pk": "c", "balance": 7}]
    assert [(each.table_name, each.capacity_units) for each in consumed] == [("accounts", 2.0), ("music", 2.0)]
    assert await accounts.transact_get_items([{"pk": "c"}, {"pk": "none"}]) == [Account("c", 7), None]
    assert await music.transact_get_items([{"pk": "x"}], projection="n") == [{"n": 1}]


async def test_conflicts_are_tried_again(client: AsyncClient, state: FakeState, routers: list[FakeRouter]) -> None:
    """A transaction that others were in the way of, and nothing else; at the same router, with the same session token
    each time."""
    before = set(state.tokens)
    state.refusals.extend(conflicts(3))
    await transfer(client, 20).commit()
    assert await balances(client) == [30, 20]
    assert [count for token, count in state.tokens.items() if token not in before] == [4]
    assert (client.retries, client.statistics.conflicts) == (3, 3)
    assert [router.requests > 0 for router in routers].count(True) == 1
    state.refusals.append(refusal("TransactionConflict", "ConditionalCheckFailed"))
    with pytest.raises(stator.TransactionCanceledError) as caught:
        await transfer(client, 20).commit()
    assert not caught.value.is_conflict
    assert client.retries == 3


async def test_how_often_conflicts_are_tried_again(
    client: AsyncClient, state: FakeState, routers: list[FakeRouter]
) -> None:
    """As often as the call says, or the client; not beyond the call's time."""
    state.refusals.extend(conflicts(1))
    with pytest.raises(stator.TransactionCanceledError) as caught:
        await transfer(client, 20, conflict_attempts=1).commit()
    assert (caught.value.is_conflict, caught.value.is_retriable, client.retries) == (True, True, 0)
    state.refusals.extend(conflicts(3))
    with pytest.raises(stator.TransactionCanceledError):
        await client.transact_get_items([("music", {"pk": "a"})], conflict_attempts=3)
    assert (client.retries, len(state.refusals)) == (2, 0)
    state.refusals.extend(conflicts(2))
    async with AsyncClient([routers[0].address], conflict_attempts=2) as impatient:
        with pytest.raises(stator.TransactionCanceledError):
            await transfer(impatient, 20).commit()
        assert (impatient.retries, len(state.refusals)) == (1, 0)
    state.refusals.extend(conflicts(500))
    with pytest.raises(stator.TransactionCanceledError):
        await transfer(client, 20, timeout_s=0.2, conflict_attempts=500).commit()
    assert len(state.refusals) > 400
    state.refusals.clear()
    assert await balances(client) == [50, 0]


async def test_single_writes_that_meet_a_transaction(client: AsyncClient, state: FakeState) -> None:
    """They are tried again likewise, since they were not carried out."""
    item = {"pk": "a"}
    writes: list[Callable[..., Awaitable[stator.WriteResult]]] = [
        partial(client.put_item, "music", item),
        partial(client.update_item, "music", item, update().add("n", 1)),
        partial(client.delete_item, "music", item),
    ]
    for write in writes:
        state.refusals.extend(refusal(code="TransactionConflictException") for _ in range(2))
        await write()
        state.refusals.extend(refusal(code="TransactionConflictException") for _ in range(2))
        with pytest.raises(stator.TransactionConflictError):
            await write(conflict_attempts=2)
        assert not state.refusals
    assert (client.retries, state.writes_carried_out) == (9, 3)


async def test_a_lost_reply_does_not_repeat_a_transaction(
    client: AsyncClient, state: FakeState, routers: list[FakeRouter]
) -> None:
    """The retry has the session token of the first attempt: whoever looks at that carries it out once."""
    before = set(state.tokens)
    await client.get_item("music", {"pk": "a"})
    used = next(router for router in routers if router.requests)
    used.loses_replies = 1
    commit = asyncio.create_task(transfer(client, 20).commit())
    await until(lambda: state.transactions_carried_out)
    await used.kill()
    await commit
    assert state.transactions_carried_out == 1
    assert [count for token, count in state.tokens.items() if token not in before] == [2]
    assert await balances(client) == [30, 20]


async def test_a_token_of_the_callers(client: AsyncClient, state: FakeState) -> None:
    """The same transaction is carried out once in several calls; another with its token is refused."""
    await transfer(client, 20, token="t-1").commit()
    await transfer(client, 20, token="t-1").commit()
    assert (list(state.transactions), state.transactions_carried_out) == (["t-1"], 1)
    assert await balances(client) == [30, 20]
    with pytest.raises(stator.IdempotentParameterMismatchError):
        await transfer(client, 10, token="t-1").commit()


async def test_a_transaction_in_progress(client: AsyncClient, state: FakeState) -> None:
    """An earlier attempt that has not ended yet is waited for; what is left open then is said."""
    state.refusals.extend(Refusal("TransactionInProgressException", "wait", retriable=True) for _ in range(3))
    await transfer(client, 20).commit()
    assert (client.retries, client.statistics.conflicts) == (3, 0)
    state.refusals.extend(Refusal("TransactionInProgressException", "wait", retriable=True) for _ in range(100))
    with pytest.raises(stator.TransactionInProgressError) as caught:
        await transfer(client, 20, timeout_s=0.2).commit()
    assert caught.value.follows_unknown_attempt


async def test_what_cannot_be_meant(client: AsyncClient, state: FakeState) -> None:
    """Is refused where it is written, and nothing is sent."""
    before = client.statistics.requests
    made = client.transaction()
    wrong: Any
    for wrong in ({"pk": "a"}, ("music", {"pk": "a"})):
        with pytest.raises(TypeError, match="TransactPut and the like"):
            await client.transact_write_items([wrong])
    for wrong in ({"pk": "a"}, ("music",)):
        with pytest.raises(TypeError, match=r"\(table, key\)"):
            await client.transact_get_items([wrong])
    wrong = 7
    with pytest.raises(TypeError, match="a table is its name"):
        made.put(wrong, {"pk": "a"})
    with pytest.raises(TypeError, match="float"):
        made.put("music", {"pk": "a", "n": 0.5})
    with pytest.raises(TypeError, match="condition"):
        made.delete("music", {"pk": "a"}, condition=update())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one of NONE, ALL_OLD"):
        made.delete("music", {"pk": "a"}, return_values_on_condition_check_failure="SOME")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="return_values"):
        made.delete("music", {"pk": "a"}, return_values="ALL_OLD")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'retries' is no option"):
        client.transaction(retries=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="token is empty"):
        await client.transact_write_items([], token="")
    with pytest.raises(ValueError, match="conflict_attempts"):
        await transfer(client, 1, conflict_attempts=0).commit()
    with pytest.raises(ValueError, match="conflict_attempts"):
        AsyncClient(conflict_attempts=0)
    assert (len(made), client.statistics.requests) == (0, before)
