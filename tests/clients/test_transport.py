"""Retries, fail-over and tokens: faults of routers must not become faults of callers."""

import asyncio
import random
import time
from collections import deque

import pytest
import stator
from stator import AsyncClient, transport

from tests.clients.fake_cluster import FakeRouter, FakeState, Refusal
from tests.clients.waiting import until


def first_chosen(count: int) -> random.Random:
    """A source of chance that makes the client begin with the first endpoint."""
    seed = next(seed for seed in range(1000) if random.Random(seed).randrange(count) == 0)
    return random.Random(seed)


def client_of(routers: list[FakeRouter], timeout_s: float = 10.0) -> AsyncClient:
    return AsyncClient([r.address for r in routers], timeout_s=timeout_s, rng=first_chosen(len(routers)))


async def test_retriable_errors_are_retried(routers: list[FakeRouter], state: FakeState) -> None:
    """Throttling and the like cost a retry, not an error; each attempt has the same token."""
    state.refusals.extend(
        [
            Refusal("ThrottlingException", "slow down", retriable=True),
            Refusal("ServiceUnavailableException", "no leader", retriable=True),
            Refusal("InternalServerError", "deadline", retriable=True),
        ]
    )
    async with client_of(routers) as client:
        await client.put_item("music", {"pk": "a"})
        assert client.retries == 3
        assert client.statistics.failovers == 0
    assert list(state.tokens.values()) == [4]
    assert state.writes_carried_out == 1


async def test_other_errors_are_not_retried(routers: list[FakeRouter], state: FakeState) -> None:
    """An error that the server calls final is raised at once."""
    state.refusals.append(Refusal("ValidationException", "no"))
    async with client_of(routers) as client:
        with pytest.raises(stator.ValidationError, match="no"):
            await client.put_item("music", {"pk": "a"})
        assert client.retries == 0


async def test_the_last_error_is_raised_when_time_is_over(routers: list[FakeRouter], state: FakeState) -> None:
    """A table that is throttled all the time gives ThrottledError within the call's time."""
    state.refusals.extend(Refusal("ThrottlingException", "slow down", retriable=True) for _ in range(1000))
    async with client_of(routers) as client:
        with pytest.raises(stator.ThrottledError) as caught:
            await client.put_item("music", {"pk": "a"}, timeout_s=0.3)
    assert caught.value.is_retriable


async def test_a_lost_reply_does_not_repeat_the_write(routers: list[FakeRouter], state: FakeState) -> None:
    """The write was carried out and its reply lost with the connection: the retry has the same token."""
    async with client_of(routers) as client:
        await client.get_item("music", {"pk": "a"})
        routers[0].loses_replies = 1
        write = asyncio.create_task(client.put_item("music", {"pk": "a", "n": 1}))
        await until(lambda: state.writes_carried_out)
        await routers[0].kill()
        await write
        assert client.retries >= 1
    assert state.writes_carried_out == 1
    assert list(state.tokens.values()) == [2]


async def test_a_write_tells_since_when_it_may_have_been_carried_out(
    routers: list[FakeRouter], state: FakeState
) -> None:
    """Since the first attempt of which that is not excluded."""
    certain = [Refusal("ThrottlingException", "slow down", retriable=True, certain=True) for _ in range(4)]
    uncertain = [Refusal("InternalServerError", "who knows", retriable=True) for _ in range(4)]
    state.refusals.extend([*certain, *uncertain])
    async with client_of(routers) as client:
        began = time.monotonic()
        await client.put_item("music", {"pk": "a"})
        passed_s = time.monotonic() - began
    assert len(state.ages_s) == 9
    assert max(state.ages_s[:4]) < passed_s - (state.ages_s[8] - 0.01)
    assert state.ages_s[5:] == sorted(state.ages_s[5:])


async def test_a_write_that_may_have_been_carried_out_is_not_repeated_for_ever(
    routers: list[FakeRouter], state: FakeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The servers forget it; one that was not, for certain, and a read, may go on."""
    monkeypatch.setattr(transport, "WRITE_AGE_S_MAX", 0.3)
    later = time.monotonic() + 1.0

    class UntilLater(deque[Refusal]):
        """Refuses until then."""

        def __bool__(self) -> bool:
            return time.monotonic() < later

        def popleft(self) -> Refusal:
            return self[0]

    async with client_of(routers) as client:
        state.refusals = UntilLater([Refusal("InternalServerError", "who knows", retriable=True)])
        began = time.monotonic()
        with pytest.raises(stator.InternalServerError) as raised:
            await client.put_item("music", {"pk": "a"})
        assert time.monotonic() - began < 1.0
        assert raised.value.follows_unknown_attempt
        assert await client.get_item("music", {"pk": "a"}) is None
        later = time.monotonic() + 1.0
        state.refusals = UntilLater([Refusal("ThrottlingException", "later", retriable=True, certain=True)])
        await client.put_item("music", {"pk": "a"})
        assert time.monotonic() >= later


async def test_a_killed_router_is_left(routers: list[FakeRouter]) -> None:
    """Calls under way and later ones go to another router, without errors; the client does not come back for each."""
    async with client_of(routers) as client:
        await asyncio.gather(*(client.put_item("music", {"pk": str(n)}) for n in range(50)))
        await routers[0].kill()
        await asyncio.gather(*(client.put_item("music", {"pk": str(n)}) for n in range(50)))
        assert client.statistics.failovers == 1
        retries = client.retries
        await asyncio.gather(*(client.put_item("music", {"pk": str(n)}) for n in range(50)))
        assert client.retries == retries


async def test_a_hung_router_is_left(routers: list[FakeRouter]) -> None:
    """A router that takes requests and answers nothing is given up after an attempt's time."""
    async with client_of(routers) as client:
        await client.put_item("music", {"pk": "a"})
        routers[0].is_hung = True
        await asyncio.gather(*(client.put_item("music", {"pk": str(n)}) for n in range(20)))
        assert client.statistics.failovers == 1
        assert routers[1].requests + routers[2].requests >= 20


async def test_routers_that_come_back_are_used_again(routers: list[FakeRouter]) -> None:
    """With every router gone, a call waits for one to come back, within its time."""
    async with client_of(routers) as client:
        await client.put_item("music", {"pk": "a"})
        for router in routers:
            await router.kill()
        write = asyncio.create_task(client.put_item("music", {"pk": "b"}))
        await until(lambda: client.retries >= 3)
        await routers[2].start()
        await write


async def test_nobody_there(routers: list[FakeRouter]) -> None:
    """UnavailableError names the endpoints."""
    for router in routers:
        await router.kill()
    async with client_of(routers, timeout_s=0.5) as client:
        with pytest.raises(stator.UnavailableError, match=routers[1].address):
            await client.get_item("music", {"pk": "a"})
        with pytest.raises(stator.UnavailableError, match=routers[1].address):
            await client.describe_table("music")


async def test_a_single_hung_router_is_unavailable(state: FakeState) -> None:
    """With nowhere else to go, the call ends within its time and a little."""
    async with FakeRouter(state) as router, client_of([router]) as client:
        await client.put_item("music", {"pk": "a"})
        router.is_hung = True
        with pytest.raises((stator.UnavailableError, stator.DeadlineExceededError)):
            await client.get_item("music", {"pk": "a"}, timeout_s=0.3)


async def test_an_unanswered_call_is_a_deadline_error(state: FakeState) -> None:
    """A unary call that nobody answers raises DeadlineExceededError."""
    async with FakeRouter(state) as router, client_of([router]) as client:
        router.is_hung = True
        with pytest.raises(stator.DeadlineExceededError, match=r"no reply within 0\.3 s"):
            await client.describe_table("music", timeout_s=0.3)


async def test_a_reason_given_is_not_forgotten(routers: list[FakeRouter], state: FakeState) -> None:
    """When what was left of the time was too short for another answer, the caller is told the reason given before."""
    refusal = Refusal("ServiceUnavailableException", "no metadata process answers", retriable=True)
    state.describe_refusals.append(refusal)
    for router in routers[1:]:
        router.is_hung = True
    async with client_of(routers) as client:
        with pytest.raises(stator.UnavailableError, match="no metadata process answers"):
            await client.describe_table("music", timeout_s=1.0)


async def test_a_table_made_by_a_lost_attempt_is_no_error(routers: list[FakeRouter], state: FakeState) -> None:
    """CreateTable and DeleteTable carry no token; the echo of the client's own lost attempt is recognised."""
    async with client_of(routers) as client:
        routers[0].unavailable_after_next = 1
        made = await client.create_table("films", ("title", "S"))
        assert (made.name, client.retries) == ("films", 1)
        # The client has turned to the second router.
        routers[1].unavailable_after_next = 1
        await client.delete_table("films")
        assert "films" not in state.tables


async def test_another_table_of_that_name_is_an_error(routers: list[FakeRouter], state: FakeState) -> None:
    """Where the key differs, the table is somebody else's."""
    state.add_table("films", "other")
    async with client_of(routers) as client:
        with pytest.raises(stator.ResourceInUseError):
            await client.create_table("films", ("title", "S"))


async def test_closing_ends_calls_under_way(routers: list[FakeRouter]) -> None:
    """They raise ClientClosedError, also while they wait for their next attempt."""
    client = client_of(routers)
    routers[0].is_hung = True
    call = asyncio.create_task(client.get_item("music", {"pk": "a"}))
    await until(lambda: routers[0].requests)
    await client.close()
    with pytest.raises(stator.ClientClosedError):
        await call


async def test_clients_spread_over_the_routers(routers: list[FakeRouter]) -> None:
    """Different clients begin with different routers."""
    for seed in range(20):
        async with AsyncClient([r.address for r in routers], rng=random.Random(seed)) as client:
            await client.get_item("music", {"pk": "a"})
    assert all(router.requests for router in routers)
