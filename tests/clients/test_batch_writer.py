"""Writes that gather: order, bounds, errors."""

from collections.abc import AsyncIterator

import pytest
import stator
from stator import AsyncClient

from tests.clients.fake_cluster import FakeRouter, FakeState


@pytest.fixture
async def client(routers: list[FakeRouter]) -> AsyncIterator[AsyncClient]:
    async with AsyncClient([routers[0].address]) as client:
        yield client


def values(state: FakeState) -> dict[str, str]:
    return {item.attributes["pk"].s: item.attributes["n"].n for item in state.tables["music"].items.values()}


async def test_everything_is_written(client: AsyncClient, state: FakeState) -> None:
    """25 a request, the rest at the end."""
    async with client.batch_writer("music") as batch:
        for number in range(260):
            await batch.put_item({"pk": str(number), "n": number})
        await batch.delete_item({"pk": "7"})
    assert values(state) == {str(number): str(number) for number in range(260) if number != 7}
    assert len(state.tokens) == 11


async def test_writes_of_one_key_keep_their_order(client: AsyncClient, state: FakeState) -> None:
    """Within a request, which names a key once, and from one request to another."""
    async with client.batch_writer("music") as batch:
        for number in range(300):
            await batch.put_item({"pk": str(number % 30), "n": number})
            await batch.put_item({"pk": "same", "n": number})
        await batch.delete_item({"pk": "0"})
    found = values(state)
    assert found.pop("same") == "299"
    assert found == {str(number): str(270 + number) for number in range(1, 30)}


async def test_a_write_that_is_left_over_does_not_come_behind_a_later_one(
    client: AsyncClient, state: FakeState
) -> None:
    """The later request waits while an earlier one that has one of its keys is under way, repetitions included."""
    state.unprocessed = 75
    async with client.batch_writer("music") as batch:
        for number in range(75):
            await batch.put_item({"pk": str(number % 25), "n": number})
    assert values(state) == {str(number): str(50 + number) for number in range(25)}


async def test_what_is_left_over_is_sent_again(client: AsyncClient, state: FakeState) -> None:
    """As often as it takes."""
    state.unprocessed = 40
    async with client.batch_writer("music") as batch:
        for number in range(60):
            await batch.put_item({"pk": str(number), "n": number})
    assert len(values(state)) == 60


async def test_errors(client: AsyncClient, state: FakeState) -> None:
    """What cannot be stored is refused at once; what the server refuses, at the end at the latest."""
    async with client.batch_writer("music") as batch:
        with pytest.raises(TypeError, match="object"):
            await batch.put_item({"pk": "a", "n": object()})
        await batch.put_item({"pk": "a", "n": 1})
    assert values(state) == {"a": "1"}
    with pytest.raises(stator.ResourceNotFoundError):
        async with client.batch_writer("films") as batch:
            await batch.put_item({"pk": "a"})
    state.unprocessed = 10**9
    with pytest.raises(stator.UnavailableError, match="unprocessed"):
        async with client.batch_writer("music", timeout_s=0.2) as batch:
            await batch.put_item({"pk": "b", "n": 1})


async def test_a_block_that_fails_sends_no_more(client: AsyncClient, state: FakeState) -> None:
    """Its error is raised as it was."""
    with pytest.raises(ZeroDivisionError):
        async with client.batch_writer("music") as batch:
            await batch.put_item({"pk": "a", "n": 1})
            _ = 1 // 0
    assert not values(state)
