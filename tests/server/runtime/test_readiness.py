"""Readiness: who may be counted on when another is stopped."""

from __future__ import annotations

import asyncio
from typing import cast

from server.paxos.acceptor import Health
from server.paxos.lease import Grant
from server.paxos.messages import Accept, Run
from server.runtime.freshness import EVENTUAL_AGE_NS
from server.runtime.grpc_server import GrpcServer
from server.runtime.readiness import is_in_step, tell_ready
from tests.server.runtime.test_replica_host import GROUP, LEADER, LEASE, Lone
from tests.storage_node.nodes import wait_until


def in_step(lone: Lone) -> bool:
    return is_in_step(lone.host, GROUP, lone.now_ns)


def test_a_leader_is_in_step_while_it_serves() -> None:
    lone = Lone()
    assert not in_step(lone), "nobody leads yet"
    lone.lead()
    assert in_step(lone)


def test_a_restarted_member_votes_and_catches_up_first() -> None:
    """Its leader tells it how much is committed; it has that only after it got the entries. And it waits before it
    votes."""
    lone = Lone(boot=2)
    lone.host.receive_grant(2, Grant(0, 1), [(GROUP, 2)])
    lone.receive(2, Accept(Run(LEADER, 1, (b"a",)), 1))
    assert not in_step(lone)
    lone.receive(2, Accept(Run(LEADER, 2, (b"b",)), 2))
    assert not in_step(lone), "it has everything, and does not vote"
    lone.now_ns = LEASE.restart_wait_ns
    assert in_step(lone)


def test_who_hears_of_no_leader_is_not_in_step() -> None:
    """Not for longer than eventually consistent reads could be served."""
    lone = Lone()
    lone.host.receive_grant(2, Grant(0, 1), [(GROUP, 0)])
    assert in_step(lone)
    lone.now_ns = EVENTUAL_AGE_NS
    assert not in_step(lone)


def test_a_member_that_lost_something_is_not_in_step() -> None:
    """Its log is damaged, or it waits for the state."""
    lone = Lone()
    lone.lead()
    lone.core.health = Health.HEALING
    assert not in_step(lone)
    lone.core.health = Health.WHOLE
    lone.core.is_restoring = True
    assert not in_step(lone)


async def test_health_checks_are_told_of_each_change() -> None:
    told: list[bool] = []

    class Server:
        async def set_ready(self, is_ready: bool) -> None:
            told.append(is_ready)

    answers = [False, True, True, False]
    looks: list[bool] = []

    def is_ready() -> bool:
        looks.append(answers[min(len(looks), len(answers) - 1)])
        return looks[-1]

    telling = asyncio.create_task(tell_ready(cast("GrpcServer", Server()), is_ready))
    await wait_until(lambda: len(looks) > len(answers))
    telling.cancel()
    assert told == [True, False]
