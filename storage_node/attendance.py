"""A storage node's dealings with the metadata service: it registers, reports, and is told what to keep.

One stream to every metadata process, so that each of them knows who lives and who leads. None of them is needed for
the node to go on serving what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import grpc
import structlog
from statorpb import cluster_pb2, cluster_pb2_grpc

from server.runtime.grpc_server import channel_options
from storage_node.node import StorageNode
from storage_node.store import StoreFullError

REPORT_INTERVAL_S = 0.5
REGISTER_TIMEOUT_S = 2.0
RETRY_S = 0.3

ANSWER_TIMEOUT_S = 5.0
"""A metadata process tells a node what it is to have as soon as that reports: one that does not is asked anew. What
comes later comes when it changes; that the process lives by then the connection says (grpc_server.Keepalive)."""

log = structlog.get_logger()


class RegistrationRefusedError(Exception):
    """The metadata service does not take this node; the sentence says why."""


class NodeRemovedError(Exception):
    """The node was removed from the cluster: its data folder may not be used any more; the sentence says so."""


async def register(
    addresses: tuple[str, ...], name: str, zone: str, address: str, data_id: str, node_id: int
) -> cluster_pb2.RegisterNodeResponse:
    """Registers with whichever metadata process answers; tries until one does. Raises
    RegistrationRefusedError, NodeRemovedError."""
    request = cluster_pb2.RegisterNodeRequest(name=name, zone=zone, address=address, data_id=data_id, node_id=node_id)
    while True:
        for target in addresses:
            async with grpc.aio.insecure_channel(target, options=channel_options()) as channel:
                stub = cluster_pb2_grpc.MetadataStub(channel)
                try:
                    response = await stub.RegisterNode(request, timeout=REGISTER_TIMEOUT_S)
                    assert isinstance(response, cluster_pb2.RegisterNodeResponse)
                    return response
                except grpc.aio.AioRpcError as error:
                    if error.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT):
                        raise RegistrationRefusedError(error.details() or "registration refused") from error
                    if error.code() == grpc.StatusCode.NOT_FOUND:
                        raise NodeRemovedError(error.details() or "removed") from error
                    log.debug("no registration yet", address=target, reason=error.details())
        await asyncio.sleep(RETRY_S)


class Attendance:
    """The streams to all metadata processes. `removed(sentence)` is called once the node is no part of the cluster any
    more."""

    def __init__(
        self,
        node: StorageNode,
        addresses: tuple[str, ...],
        removed: Callable[[str], None],
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self._node = node
        self._answer_timeout_s = answer_timeout_s
        self._removed = removed
        self._addresses = addresses
        self._changes: dict[str, asyncio.Event] = {address: asyncio.Event() for address in addresses}
        self._tasks: list[asyncio.Task[None]] = []
        self._newest: cluster_pb2.NodeAssignments | None = None
        self._carried_out_slot = -1
        self._has_new = asyncio.Event()
        node.on_change = self._changed

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._attend(address)) for address in self._addresses]
        self._tasks.append(asyncio.create_task(self._carry_out()))
        for task in self._tasks:
            task.add_done_callback(self._node.background_ended)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _changed(self) -> None:
        for event in self._changes.values():
            event.set()

    async def _attend(self, address: str) -> None:
        while True:
            try:
                async with grpc.aio.insecure_channel(address, options=channel_options()) as channel:
                    call = cluster_pb2_grpc.MetadataStub(channel).Attend()
                    reporter = asyncio.create_task(self._report(address, call))
                    try:
                        async with asyncio.timeout(self._answer_timeout_s):
                            assignments: object = await call.read()
                        while isinstance(assignments, cluster_pb2.NodeAssignments):
                            self._take(assignments)
                            if reporter.done():
                                break
                            assignments = await call.read()
                    finally:
                        reporter.cancel()
                        await asyncio.gather(reporter, return_exceptions=True)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
                if isinstance(error, grpc.aio.AioRpcError) and error.code() == grpc.StatusCode.NOT_FOUND:
                    self._removed(error.details() or "removed")
                log.debug("no stream to a metadata process", address=address, reason=str(error))
            await asyncio.sleep(RETRY_S)

    async def _report(
        self, address: str, call: grpc.aio.StreamStreamCall[cluster_pb2.NodeReport, cluster_pb2.NodeAssignments]
    ) -> None:
        """Reports at once on a change, and regularly to be known to live; complete, so that losing one is no harm."""
        node = self._node
        event = self._changes[address]
        while True:
            event.clear()
            await call.write(
                cluster_pb2.NodeReport(
                    node_id=node.identity.node_id,
                    leaders=node.leaders(),
                    opened=sorted(node.replicas),
                    dropped=sorted(node.dropped),
                    note=node.note,
                    complete=True,
                    sizes=node.sizes(),
                    restoring=node.restoring(),
                    unopened=node.unopened(),
                    full=node.is_nearly_full,
                    healed=node.healed,
                    snapshots=node.snapshots(),
                    boot=node.identity.boot,
                )
            )
            # Not wait_for: on Python 3.11 it can swallow a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPORT_INTERVAL_S):
                    await event.wait()

    def _take(self, assignments: cluster_pb2.NodeAssignments) -> None:
        if self._newest is None or assignments.catalog_slot > self._newest.catalog_slot:
            self._newest = assignments
            self._has_new.set()

    async def _carry_out(self) -> None:
        """Carries assignments out one after the other; only the newest counts."""
        while True:
            await self._has_new.wait()
            self._has_new.clear()
            assert self._newest is not None
            assigned = self._newest
            self._node.dropped &= set(assigned.removed)  # what is no longer listed need not be reported any more
            try:
                await self._node.assign(assigned)
            except StoreFullError as error:
                log.error("no room for what is assigned, it will be tried again", reason=str(error))
                await asyncio.sleep(RETRY_S)
                self._has_new.set()
