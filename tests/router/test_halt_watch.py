"""For how long what is read may have lain, as the process did not run."""

from __future__ import annotations

import asyncio
import math

import pytest

from router.halt_watch import BACKLOG_S, HALT_S, HaltWatch, since_boot_s
from tests.clients.waiting import until
from tests.router.test_http_door import GET_BODY, Rig, call


class Clock:
    """Shows what the test says."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Watched:
    """A watch of a loop that shows that it runs when the test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.watch = HaltWatch(self.clock)
        self.watch.tick()

    def passes(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.watch.tick()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_who_runs_has_kept_nothing_waiting(watched: Watched) -> None:
    """A moment does not matter, again and again."""
    for _ in range(3):
        watched.clock.now_s += HALT_S
        assert watched.watch.waited_s() == 0
        watched.watch.tick()


def test_what_is_read_after_a_halt_counts_as_sent_when_that_began(watched: Watched) -> None:
    """Also what is read a little later: there may be much of it. Then it is over."""
    watched.clock.now_s += 30
    assert watched.watch.waited_s() == 30
    watched.watch.tick()
    watched.passes(BACKLOG_S / 2)
    assert watched.watch.waited_s() == 30 + BACKLOG_S / 2
    watched.passes(BACKLOG_S / 2)
    assert watched.watch.waited_s() == 0


def test_a_halt_that_the_loop_notices_first(watched: Watched) -> None:
    """Its timer may be due before anything is read."""
    watched.passes(30)
    assert watched.watch.waited_s() == 30


def test_one_halt_upon_another(watched: Watched) -> None:
    """What came during the first may be read only after the second; unless the process has run for long between."""
    watched.passes(30)
    watched.passes(10)
    assert watched.watch.waited_s() == 40
    for _ in range(4):
        watched.passes(BACKLOG_S / 4)
    watched.passes(10)
    assert watched.watch.waited_s() == 10


async def test_the_loop_shows_that_it_runs(watched: Watched) -> None:
    """Again and again, until it is watched no more."""
    watched.watch.start(asyncio.get_running_loop())
    for _ in range(2):
        watched.clock.now_s += HALT_S / 2
        await until(lambda: watched.watch.ticked_s == watched.clock.now_s)
    watched.watch.stop()


def test_nothing_is_said_of_a_loop_that_is_not_watched() -> None:
    """Not before `start`."""
    clock = Clock()
    watch = HaltWatch(clock)
    clock.now_s += 1000
    assert watch.waited_s() == 0
    assert since_boot_s() <= since_boot_s()


async def test_what_lay_in_a_halted_router_is_as_old_as_the_halt() -> None:
    """Whether its client names it or not. What comes later is young; what nobody has named may be of any age then."""
    rig = Rig()
    loop, halted_at = asyncio.get_running_loop(), since_boot_s() - 30
    client = await rig.connect()
    rig.door.halts.ticked_s = halted_at
    client.send(call(GET_BODY, "GetItem", "amz-sdk-invocation-id: 1234") + call(GET_BODY))
    await until(lambda: len(rig.dispatcher.begun) == 2)
    assert all(30 <= loop.time() - each < 40 for each in rig.dispatcher.begun)
    rig.door.halts = HaltWatch()
    named = call(GET_BODY, "GetItem", "amz-sdk-invocation-id: 1234")
    client.send(named[:20])
    await until(lambda: any(connection._is_arriving for connection in rig.door.connections))
    arriving_at = loop.time()
    client.send(named[20:] + call(GET_BODY))
    await until(lambda: len(rig.dispatcher.begun) == 4)
    assert rig.dispatcher.begun[2] <= arriving_at, "it may have been sent when its first bytes were"
    assert rig.dispatcher.begun[3] == math.inf
    await rig.stop()
