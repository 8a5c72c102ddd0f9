"""Whether a process can be counted on, which is more than that it serves: another may only be stopped where it can.

A storage node or metadata process that was restarted serves what it is asked for as soon as it listens. It does not
vote for a while (NodeLeases), and it lacks what was written meanwhile: whoever stops the next member of its groups
before that leaves them without a majority. So health checks have two answers, under two names of services.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from server.paxos.acceptor import Health
from server.runtime.grpc_server import GrpcServer
from server.runtime.replica_host import ReplicaHost

LOOK_S = 0.2

log = structlog.get_logger()


def is_in_step(host: ReplicaHost, group_id: int, now_ns: int) -> bool:
    """Whether this node's member of a group votes, and has applied what the leader said to be committed a moment ago.
    It is not in step with anybody while nobody leads."""
    core = host.groups[group_id].core
    votes = core.health == Health.WHOLE and now_ns >= host.leases.votes_from_ns
    return votes and not core.is_restoring and host.is_fresh(group_id)


async def tell_ready(server: GrpcServer, is_ready: Callable[[], bool]) -> None:
    """Keeps health checks informed, for ever."""
    was_ready = False
    while True:
        if is_ready() != was_ready:
            was_ready = not was_ready
            await server.set_ready(was_ready)
            log.info("ready" if was_ready else "not ready any more")
        await asyncio.sleep(LOOK_S)
