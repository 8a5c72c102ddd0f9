"""Fixtures: a fake cluster on this loop, and one on a background thread for what blocks."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest

from tests.clients.fake_cluster import FakeRouter, FakeState

ResultT = TypeVar("ResultT")


@pytest.fixture
def state() -> FakeState:
    """A cluster with one table: "music", partition key "pk"."""
    state = FakeState()
    state.add_table("music")
    return state


@pytest.fixture
async def routers(state: FakeState) -> AsyncIterator[list[FakeRouter]]:
    """Three routers over one state."""
    routers = [FakeRouter(state) for _ in range(3)]
    for router in routers:
        await router.start()
    yield routers
    for router in routers:
        await router.kill()


@dataclass
class BackgroundCluster:
    """A fake cluster on a thread of its own."""

    state: FakeState
    routers: list[FakeRouter]
    loop: asyncio.AbstractEventLoop

    @property
    def endpoints(self) -> list[str]:
        return [router.address for router in self.routers]

    def call(self, work: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Runs something on the cluster's loop."""

        async def run() -> ResultT:
            return await work()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)


@pytest.fixture
def cluster(state: FakeState) -> Iterator[BackgroundCluster]:
    """Two routers on a background thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    cluster = BackgroundCluster(state, [FakeRouter(state), FakeRouter(state)], loop)
    for router in cluster.routers:
        cluster.call(router.start)
    yield cluster
    for router in cluster.routers:
        cluster.call(router.kill)

    async def settle() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    cluster.call(settle)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
