"""What the other metadata processes have seen, for one that begins: after a restart of one after the other all is known
still."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import grpc
from statorpb import admin_pb2, cluster_pb2_grpc

from metadata.history import EVENTS_MAX
from metadata.views import Event, EventKind
from server.runtime.grpc_server import channel_options

TIMEOUT_S = 1.0
"""How long to wait for each answer: who has none may be down."""

FROM_THE_BEGINNING = "nobody/0/0"
"""A place in no history, before all events."""


async def longest_history(addresses: Iterable[str], timeout_s: float = TIMEOUT_S) -> tuple[list[Event], int]:
    """(events, since when in ms) of that process at these addresses whose history goes back the furthest; ([], 0) where
    none answers that has one."""
    found = await asyncio.gather(*(_history_at(address, timeout_s) for address in addresses))
    return min((each for each in found if each[1]), key=lambda each: each[1], default=([], 0))


async def _history_at(address: str, timeout_s: float) -> tuple[list[Event], int]:
    events: list[Event] = []
    since_ms, place = 0, FROM_THE_BEGINNING
    async with grpc.aio.insecure_channel(address, options=channel_options()) as channel:
        stub = cluster_pb2_grpc.MetadataStub(channel)
        try:
            while len(events) < EVENTS_MAX:
                page = await stub.ListEvents(admin_pb2.ListEventsRequest(after=place), timeout=timeout_s)
                events += [
                    Event(EventKind(each.kind), each.text, each.node_id, each.partition_id, each.at_ms)
                    for each in page.events
                ]
                since_ms, place = page.since_ms, page.next
                if not page.events:
                    break
        except (grpc.aio.AioRpcError, ValueError):
            return [], 0  # it does not run, or is of another version
    return events, since_ms
