"""router/storage_client.py: redirects, retries inside the deadline, and what a call ends with when nobody can help."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from statorpb import partition_pb2, tables_pb2

from router import storage_client
from router.partition_map_cache import REFRESH_INTERVAL_S, PartitionMapCache
from router.storage_client import (
    ATTEMPT_TIMEOUT_S,
    BYTES_MAX,
    CALLS_MAX,
    DELETE,
    GET,
    PUT,
    PartitionCall,
    StorageClient,
)
from server.model.errors import (
    DeadlineExceededError,
    InternalServerError,
    RequestLimitExceededError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    StatorError,
    ThrottledError,
)
from server.model.limits import WRITE_AGE_S_MAX
from tests.clients.waiting import until
from tests.router.fakes import TABLE, FakeMetadata, FakeStorageNode, Outcome, route, table_of

Answer = Callable[[partition_pb2.PartitionRequest], partition_pb2.PartitionReply | None]
StartNode = Callable[[Answer], Awaitable[FakeStorageNode]]
KEY = b"k" * 16


@pytest_asyncio.fixture
async def start_node() -> AsyncIterator[StartNode]:
    nodes: list[FakeStorageNode] = []

    async def start(answer: Answer) -> FakeStorageNode:
        nodes.append(await FakeStorageNode(answer).start())
        return nodes[-1]

    yield start
    for node in nodes:
        await node.stop()


class Router:
    """A storage client whose partition map says what the metadata service says; `leader`: the node's id there."""

    def __init__(self, *nodes: str, leader: int = 1) -> None:
        self.metadata = FakeMetadata(route(nodes=nodes, leader=leader, leader_round=1))
        self.cache = PartitionMapCache(self.metadata)
        self.storage = StorageClient(self.cache, "zone-1")

    async def __aenter__(self) -> Router:
        self.cache.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.storage.close()
        await self.cache.stop()

    async def start(self, operation: Any = GET, timeout_s: float = 5.0, **members: Any) -> Outcome:
        """Submits a call."""
        outcome = Outcome()
        deadline = asyncio.get_running_loop().time() + timeout_s
        self.storage.submit(
            PartitionCall(await table_of(self.cache), operation, KEY, deadline, outcome.done, **members)
        )
        return outcome

    async def call(self, operation: Any = GET, timeout_s: float = 5.0, **members: Any) -> Any:
        """What a call ends with. Every call gives back what it took of the bounds."""
        outcome = await self.start(operation, timeout_s, **members)
        try:
            return await outcome.wait()
        finally:
            assert self.storage.in_flight == 0


def ok(request: partition_pb2.PartitionRequest) -> partition_pb2.PartitionReply:
    return partition_pb2.PartitionReply(item=b"found")


def says(status: partition_pb2.PartitionStatusCode.ValueType, leader: int = 0, message: str = "") -> Answer:
    return lambda _: partition_pb2.PartitionReply(status=status, leader_node_id=leader, message=message)


def first(answer: Answer, then: Answer) -> Answer:
    """`answer` once, then `then`."""
    answers = iter([answer])

    def choose(request: partition_pb2.PartitionRequest) -> partition_pb2.PartitionReply | None:
        return next(answers, then)(request)

    return choose


async def test_a_call_goes_to_the_leader(start_node: StartNode) -> None:
    """With all it is made of."""
    follower, leader = await start_node(ok), await start_node(ok)
    async with Router(follower.address, leader.address, leader=2) as router:
        reply = await router.call(PUT, item=b"item", token=b"t" * 16)
    assert reply.item == b"found"
    (request,) = leader.requests
    assert request.partition_id == 10
    assert request.operation == PUT
    assert request.key.endswith(KEY) and len(request.key) == 10 + len(KEY)
    assert (request.item, request.token) == (b"item", b"t" * 16)
    assert 4000 < request.timeout_ms <= 5000
    assert not follower.requests


async def test_a_read_that_may_be_old_stays_in_the_zone(start_node: StartNode) -> None:
    """Any replica has it; the leader is not asked."""
    near, leader = await start_node(ok), await start_node(ok)
    async with Router(near.address, leader.address, leader=2) as router:
        await router.call(is_consistent=False)
    assert (len(near.requests), len(leader.requests)) == (1, 0)


async def test_a_redirect_is_followed_and_remembered(start_node: StartNode) -> None:
    """One detour; the next call goes straight to the leader."""
    former = await start_node(says(partition_pb2.NOT_LEADER, leader=2))
    leader = await start_node(ok)
    async with Router(former.address, leader.address) as router:
        await router.call()
        await router.call()
    assert (len(former.requests), len(leader.requests)) == (1, 2)


async def test_without_a_hint_the_members_are_asked_in_turn(start_node: StartNode) -> None:
    """A leader that has stepped down knows no other; somebody will."""
    former = await start_node(says(partition_pb2.NOT_LEADER))
    leader = await start_node(ok)
    async with Router(former.address, leader.address) as router:
        assert (await router.call()).item == b"found"
        assert (await router.call()).item == b"found"
    assert (len(former.requests), len(leader.requests)) == (1, 2)


async def test_a_write_without_an_outcome_is_sent_again_with_its_token(start_node: StartNode) -> None:
    """So that the storage node can tell that it is the same one."""
    node = await start_node(first(says(partition_pb2.UNKNOWN_OUTCOME), ok))
    async with Router(node.address) as router:
        await router.call(DELETE, token=b"t" * 16)
    assert [request.token for request in node.requests] == [b"t" * 16] * 2
    assert len({request.id for request in node.requests}) == 2


async def test_a_leader_that_is_taking_over_is_asked_again(start_node: StartNode) -> None:
    """No lease yet: soon."""
    node = await start_node(first(says(partition_pb2.NO_LEASE), ok))
    async with Router(node.address) as router:
        assert (await router.call()).item == b"found"


async def test_a_node_without_the_partition_makes_the_route_be_asked_for(start_node: StartNode) -> None:
    """The map is stale: the metadata service knows where the partition is now, and is asked at once."""
    former, new = await start_node(says(partition_pb2.NOT_MINE)), await start_node(ok)
    async with Router(former.address) as router:
        await table_of(router.cache)
        router.metadata.routes[TABLE] = route(nodes=(new.address,), leader=1, leader_round=2)
        begun = asyncio.get_running_loop().time()
        assert (await router.call()).item == b"found"
        assert asyncio.get_running_loop().time() - begun < REFRESH_INTERVAL_S
    assert len(new.requests) == 1


async def test_a_damaged_copy_is_read_elsewhere(start_node: StartNode) -> None:
    """Another replica may have a good one; a strongly consistent read has only the leader."""
    damaged, other = await start_node(says(partition_pb2.CORRUPT, message="checksum")), await start_node(ok)
    async with Router(damaged.address, other.address) as router:
        assert (await router.call(is_consistent=False)).item == b"found"
        with pytest.raises(InternalServerError, match="checksum"):
            await router.call()


async def test_who_may_be_behind_is_passed_over(start_node: StartNode) -> None:
    """At once, while there is another to ask; the one in the router's zone is asked first."""
    behind, other = await start_node(says(partition_pb2.NOT_FRESH)), await start_node(ok)
    async with Router(behind.address, other.address) as router:
        begun = asyncio.get_running_loop().time()
        assert (await router.call(is_consistent=False)).item == b"found"
        assert asyncio.get_running_loop().time() - begun < REFRESH_INTERVAL_S
    assert (len(behind.requests), len(other.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (partition_pb2.THROTTLED, ThrottledError),
        (partition_pb2.STORAGE_FULL, ServiceUnavailableError),
        (partition_pb2.INVALID, InternalServerError),
        (99, InternalServerError),
    ],
)
async def test_a_refusal_is_an_answer(start_node: StartNode, status: Any, error: type[Exception]) -> None:
    """It is not tried again; an answer that this version does not know is one, too."""
    node = await start_node(says(status))
    async with Router(node.address) as router:
        with pytest.raises(error):
            await router.call(PUT)
    assert len(node.requests) == 1


@pytest.mark.parametrize("told", ["global secondary indexes do not keep up", ""])
async def test_who_is_throttled_is_told_why(start_node: StartNode, told: str) -> None:
    """Where it is an index that takes nothing, the partition is not what is to be looked at."""
    node = await start_node(says(partition_pb2.THROTTLED, message=told))
    async with Router(node.address) as router:
        with pytest.raises(ThrottledError, match=f": {told or 'the partition has too much in flight'}; try again"):
            await router.call(PUT)


async def test_a_node_that_is_gone_is_passed_over(start_node: StartNode) -> None:
    """Its port refuses connections: the call goes to another member at once, whatever the metadata service believes
    of the leader; so do the reads that the node in the own zone would have answered."""
    loop = asyncio.get_running_loop()
    gone, leader = await start_node(ok), await start_node(ok)
    await gone.stop()
    async with Router(gone.address, leader.address) as router:
        begun = loop.time()
        assert (await router.call(PUT)).item == b"found"
        for _ in range(20):
            assert (await router.call(is_consistent=False)).item == b"found"
        assert loop.time() - begun < ATTEMPT_TIMEOUT_S


async def test_a_node_that_was_gone_is_tried_again(start_node: StartNode) -> None:
    """It is passed over for a while only; where there is no other, it is tried all the same."""
    port = socket.socket()
    port.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{port.getsockname()[1]}"
    port.close()
    async with Router(address) as router:
        outcome = await router.start(timeout_s=20)
        await until(lambda: outcome.future.done() or router.storage.has_unreachable)
        node = await FakeStorageNode(ok).start(address)
        try:
            assert (await outcome.wait()).item == b"found"
        finally:
            await node.stop()


async def test_a_node_that_dies_before_it_answers_is_passed_over(start_node: StartNode) -> None:
    """The stream breaks under a write: it is sent again, with the token it had."""
    dying, other = await start_node(lambda _: None), await start_node(ok)
    async with Router(dying.address, other.address) as router:
        outcome = await router.start(PUT, token=b"t" * 16)
        await dying.was_asked.wait()
        await dying.stop()
        assert (await outcome.wait()).item == b"found"
    assert [request.token for request in dying.requests + other.requests] == [b"t" * 16] * 2


async def test_a_node_that_says_nothing_is_passed_over(start_node: StartNode) -> None:
    """A stopped process keeps its connections: no answer within an attempt's time is as good as none. An answer that
    comes after all changes nothing."""
    silent, other = await start_node(lambda _: None), await start_node(ok)
    async with Router(silent.address, other.address) as router:
        assert (await router.call()).item == b"found"
    assert (len(silent.requests), len(other.requests)) == (1, 1)


async def test_a_node_that_comes_back_is_used_again(start_node: StartNode) -> None:
    """A stream that broke is opened anew."""
    node = await start_node(first(lambda _: None, ok))
    async with Router(node.address) as router:
        with pytest.raises(DeadlineExceededError):
            await router.call(timeout_s=0.1)
        assert (await router.call()).item == b"found"


@pytest.mark.parametrize("operation", [GET, PUT])
async def test_the_deadline_ends_a_call_that_nobody_answers(start_node: StartNode, operation: Any) -> None:
    """In time, with a typed error; of a write it says that the outcome is not known."""
    loop = asyncio.get_running_loop()
    node = await start_node(lambda _: None)
    async with Router(node.address) as router:
        begun = loop.time()
        with pytest.raises(DeadlineExceededError) as raised:
            await router.call(operation, timeout_s=0.1)
        assert loop.time() - begun < 2
    assert ("may or may not" in raised.value.message) == (operation == PUT)


async def test_a_write_is_not_repeated_for_longer_than_its_token_is_known(
    start_node: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once an attempt may have been carried out. Where none can have been, there is no such limit."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(storage_client, "WRITE_AGE_S_MAX", 0.2)
    node = await start_node(says(partition_pb2.UNKNOWN_OUTCOME))
    async with Router(node.address) as router:
        begun = loop.time()
        with pytest.raises(DeadlineExceededError, match="may or may not"):
            await router.call(PUT, timeout_s=60)
        assert 0.2 <= loop.time() - begun < 5
    begun = loop.time()
    node = await start_node(
        lambda request: ok(request) if loop.time() > begun + 0.5 else says(partition_pb2.NO_LEASE)(request)
    )
    async with Router(node.address) as router:
        assert (await router.call(PUT)).item == b"found"


async def test_a_write_that_its_client_repeats_is_not_sent_for_longer(
    start_node: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever became of it here: a retry may have been carried out by another router, and forgotten."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(storage_client, "WRITE_AGE_S_MAX", 0.5)
    node = await start_node(says(partition_pb2.NO_LEASE))
    async with Router(node.address) as router:
        begun = loop.time()
        with pytest.raises(DeadlineExceededError, match="this attempt of it was not carried out") as raised:
            await router.call(PUT, timeout_s=60, begun=begun - 0.25)
        assert 0.25 <= loop.time() - begun < 5
        assert raised.value.is_not_carried_out


async def test_a_write_says_when_it_began(start_node: StartNode) -> None:
    """By the node's clock, and no later than that: what shares a frame with a younger one too."""
    loop = asyncio.get_running_loop()
    node = await start_node(ok)
    async with Router(node.address) as router:
        table = await table_of(router.cache)
        outcomes = [Outcome() for _ in range(3)]
        now, deadline = loop.time(), loop.time() + 5
        for outcome, age_s in zip(outcomes, (0.0, 3.0, -1.0), strict=True):
            begun = now - age_s
            router.storage.submit(PartitionCall(table, PUT, KEY, deadline, outcome.done, token=b"t" * 16, begun=begun))
        for outcome in outcomes:
            await outcome.wait()
    assert len(node.ages_s) == 3
    for told_s, age_s in zip(node.ages_s, (0.0, 3.0, 0.0), strict=True):
        assert age_s <= told_s <= age_s + loop.time() - now + 0.01


async def test_a_write_that_comes_too_late_is_not_sent(start_node: StartNode) -> None:
    """Whatever its client says. A connection that is about to be found dead, as they are where the router was halted,
    cannot leave it in doubt then; and the next write is as old as it is."""
    node = await start_node(ok)
    async with Router(node.address) as router:
        table = await table_of(router.cache)
        outcomes = [Outcome() for _ in range(4)]
        now = asyncio.get_running_loop().time()
        for outcome, begun in zip(outcomes, (-1e15, now, now - 2.0**32, now - WRITE_AGE_S_MAX - 0.01), strict=True):
            router.storage.submit(PartitionCall(table, PUT, KEY, now + 5, outcome.done, token=b"t" * 16, begun=begun))
        await outcomes[1].wait()
        for outcome in (outcomes[0], *outcomes[2:]):
            with pytest.raises(DeadlineExceededError, match="this attempt of it was not carried out") as raised:
                await outcome.wait()
            assert raised.value.is_not_carried_out
    assert len(node.requests) == 1
    assert node.ages_s[0] < 5


async def test_a_node_that_does_not_greet_is_left(start_node: StartNode) -> None:
    """It takes the connection and says nothing; what waits for it goes elsewhere, and nothing gathers for it."""
    silent, other = await start_node(ok), await start_node(ok)
    silent.is_silent = True
    async with Router(silent.address, other.address) as router:
        assert (await router.call(is_consistent=False, timeout_s=10.0)).item == b"found"
        assert router.storage.has_unreachable
    assert not silent.requests


async def test_a_repeated_write_began_with_its_first_attempt(start_node: StartNode) -> None:
    """With the one that may have been carried out; one that was not, for certain, does not count."""
    loop = asyncio.get_running_loop()
    statuses = (partition_pb2.NO_LEASE, partition_pb2.UNKNOWN_OUTCOME, partition_pb2.NO_LEASE, partition_pb2.OK)
    answers = iter(statuses)
    sent: list[float] = []

    def answer(request: partition_pb2.PartitionRequest) -> partition_pb2.PartitionReply:
        sent.append(loop.time())
        return partition_pb2.PartitionReply(status=next(answers))

    node = await start_node(answer)
    async with Router(node.address) as router:
        await router.call(PUT, token=b"t" * 16)
    assert node.ages_s[2] >= sent[2] - sent[1]
    assert node.ages_s[3] >= sent[3] - sent[1]


async def test_what_was_long_on_its_way_is_sent_anew(start_node: StartNode) -> None:
    """With the node's clock as it was told since; what is too old by then is not."""
    node = await start_node(first(says(partition_pb2.TOO_OLD), ok))
    async with Router(node.address) as router:
        assert (await router.call(PUT, token=b"t" * 16)).item == b"found"
    assert len(node.requests) == 2

    def answer_late(_: partition_pb2.PartitionRequest) -> partition_pb2.PartitionReply:
        time.sleep(0.6)
        return partition_pb2.PartitionReply(status=partition_pb2.TOO_OLD)

    node = await start_node(answer_late)
    async with Router(node.address) as router:
        begun = asyncio.get_running_loop().time() - WRITE_AGE_S_MAX + 0.5
        with pytest.raises(DeadlineExceededError) as raised:
            await router.call(PUT, timeout_s=60, begun=begun, token=b"t" * 16)
    assert raised.value.is_not_carried_out
    assert len(node.requests) == 1


async def test_an_error_says_whether_the_write_was_not_carried_out(start_node: StartNode) -> None:
    """Only where that is certain: no attempt of it may have been."""
    answers = [(says(partition_pb2.THROTTLED), True)]
    answers.append((first(says(partition_pb2.UNKNOWN_OUTCOME), says(partition_pb2.THROTTLED)), False))
    answers.append((says(partition_pb2.RESULT_FORGOTTEN), False))
    answers.append((says(partition_pb2.STORAGE_FULL), True))
    for answer, is_certain in answers:
        node = await start_node(answer)
        async with Router(node.address) as router:
            with pytest.raises(StatorError) as raised:
                await router.call(PUT, token=b"t" * 16)
        assert raised.value.is_not_carried_out == is_certain


async def test_the_deadline_ends_retries(start_node: StartNode) -> None:
    """Also while a back-off would still run."""
    loop = asyncio.get_running_loop()
    node = await start_node(says(partition_pb2.NO_LEASE))
    async with Router(node.address) as router:
        begun = loop.time()
        with pytest.raises(DeadlineExceededError):
            await router.call(timeout_s=0.2)
        assert 0.2 <= loop.time() - begun < 2
    assert 2 <= len(node.requests) < 20


async def test_a_call_that_comes_too_late_is_not_sent(start_node: StartNode) -> None:
    """Nobody waits for its answer."""
    node = await start_node(ok)
    async with Router(node.address) as router:
        with pytest.raises(DeadlineExceededError):
            await router.call(timeout_s=-1)
    assert not node.requests


async def test_a_table_deleted_meanwhile_ends_its_calls(start_node: StartNode) -> None:
    """They would be retried until their time is over otherwise."""
    node = await start_node(says(partition_pb2.NOT_MINE))
    async with Router(node.address) as router:
        await table_of(router.cache)
        router.metadata.routes = {}
        with pytest.raises(ResourceNotFoundError):
            await router.call(timeout_s=30)


async def test_a_table_created_again_with_another_key_is_another_table(start_node: StartNode) -> None:
    """The key of a call that waits was encoded for the former one."""
    node = await start_node(says(partition_pb2.NOT_MINE))
    async with Router(node.address) as router:
        await table_of(router.cache)
        router.metadata.routes[TABLE] = route(nodes=(node.address,), number=2, has_sort_key=True)
        with pytest.raises(ResourceNotFoundError):
            await router.call(timeout_s=30)


async def test_a_table_created_again_with_other_indexes_is_another_table(start_node: StartNode) -> None:
    """A call that waits names an index by its number, which may be another's now."""
    node = await start_node(says(partition_pb2.NOT_MINE))
    async with Router(node.address) as router:
        await table_of(router.cache)
        made_again = route(nodes=(node.address,), number=2)
        index = made_again.local_indexes.add(number=1, name="by-n")
        index.sort_key.name, index.sort_key.type = "n", "N"
        index.projection.type = tables_pb2.Projection.ALL
        router.metadata.routes[TABLE] = made_again
        with pytest.raises(ResourceNotFoundError):
            await router.call(timeout_s=30)


async def test_a_table_created_again_with_the_same_key_takes_the_calls(start_node: StartNode) -> None:
    """A table's name is what the client gave."""
    node = await start_node(
        lambda request: ok(request) if request.partition_id == 20 else says(partition_pb2.NOT_MINE)(request)
    )
    async with Router(node.address) as router:
        await table_of(router.cache)
        router.metadata.routes[TABLE] = route(nodes=(node.address,), number=2)
        assert (await router.call(timeout_s=30)).item == b"found"


@pytest.mark.parametrize("behind", ["gone", "in the making"])
async def test_a_table_created_again_is_found_by_a_refresh_that_is_behind(start_node: StartNode, behind: str) -> None:
    """A metadata process that has not heard of it yet does not make an active table unknown: the leader is asked."""
    node = await start_node(
        lambda request: ok(request) if request.partition_id == 20 else says(partition_pb2.NOT_MINE)(request)
    )
    async with Router(node.address) as router:
        await table_of(router.cache)
        made = route(nodes=(node.address,), number=2)
        router.metadata.newest_routes = {TABLE: made}
        in_the_making = route(nodes=(node.address,), number=2, status=tables_pb2.CREATING)
        router.metadata.routes = {} if behind == "gone" else {TABLE: in_the_making}
        assert (await router.call(timeout_s=30)).item == b"found"


async def test_the_metadata_service_fails_while_a_table_is_looked_up_again(start_node: StartNode) -> None:
    """The call ends with an error that says so, when its time is over."""
    node = await start_node(says(partition_pb2.NOT_MINE))
    async with Router(node.address) as router:
        await table_of(router.cache)
        router.metadata.routes = {TABLE: route(nodes=(node.address,), number=2, status=tables_pb2.CREATING)}
        router.metadata.on_look_up = lambda _: router.metadata.is_up.clear()
        with pytest.raises(ServiceUnavailableError):
            await router.call(timeout_s=0.5)


async def test_too_many_calls_are_refused_at_once(start_node: StartNode) -> None:
    """A bound on their number: the next one is not queued; when one has ended, there is room."""
    node = await start_node(lambda _: None)
    async with Router(node.address) as router:
        # Longer than a busy machine takes to start so many.
        outcomes = [await router.start(timeout_s=3.0) for _ in range(CALLS_MAX)]
        refused = await router.start()
        assert refused.future.done()
        with pytest.raises(RequestLimitExceededError) as raised:
            await refused.wait()
        assert raised.value.is_not_carried_out
        for outcome in outcomes:
            with pytest.raises(DeadlineExceededError):
                await outcome.wait()
        assert router.storage.in_flight == 0
        later = await router.start(timeout_s=0.1)
        assert not later.future.done()
        with pytest.raises(DeadlineExceededError):
            await later.wait()


async def test_nothing_is_sent_after_the_end(start_node: StartNode) -> None:
    """Who still waits is told so; no stream is opened that nobody would close."""
    node = await start_node(lambda _: None)
    stopped = await start_node(says(partition_pb2.NOT_LEADER))
    async with Router(node.address) as router, Router(stopped.address) as other:
        waits_for_answer = await router.start(PUT, item=b"item", token=b"t" * 16)
        waits_for_turn = await other.start()
        await until(lambda: len(node.requests) == 1 and len(stopped.requests) > 5)
    for outcome, router_, message in (
        (waits_for_answer, router, "stopping; it may or may not have been carried out"),
        (waits_for_turn, other, "stopping$"),
        (await router.start(), router, "stopping$"),
    ):
        with pytest.raises(ServiceUnavailableError, match=message) as raised:
            await outcome.wait()
        assert raised.value.is_not_carried_out is (outcome is not waits_for_answer)
        assert router_.storage.in_flight == 0
    assert len(node.requests) == 1


async def test_too_many_bytes_are_refused_at_once(start_node: StartNode) -> None:
    """A bound on their memory."""
    node = await start_node(lambda _: None)
    async with Router(node.address) as router:
        details = partition_pb2.WriteDetails(update_values=bytes(BYTES_MAX))
        assert isinstance((await router.start(PUT, details=details)).future.exception(), RequestLimitExceededError)
        refused = await router.start(PUT, item=bytes(BYTES_MAX))
        assert refused.future.done()
        with pytest.raises(RequestLimitExceededError):
            await refused.wait()
    assert not node.requests


async def test_a_callback_that_fails_breaks_nothing_else(start_node: StartNode) -> None:
    """A bug in what is made of one answer: that request ends with an error, the stream goes on."""
    node = await start_node(ok)
    async with Router(node.address) as router:
        told: list[Any] = []

        def fail_once(reply: Any, error: Any) -> None:
            told.append(error)
            if reply is not None:
                raise ZeroDivisionError

        deadline = asyncio.get_running_loop().time() + 5
        router.storage.submit(PartitionCall(await table_of(router.cache), GET, KEY, deadline, fail_once))
        await router.call()
    assert told[0] is None and isinstance(told[1], InternalServerError)
