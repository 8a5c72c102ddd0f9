"""A metadata process: the catalog's group on this node, and the reconciler that its leader runs."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable

import structlog

from metadata.attendance import Attendance
from metadata.catalog.catalog import Table, TableStatus
from metadata.catalog.commands import ActivateTable, Command, FoundCluster, PartitionsDropped, RemoveTable
from metadata.catalog_codec import CorruptCatalogError, encode_command
from metadata.config import Config
from metadata.store import CatalogMachine
from server.model.errors import InternalServerError, ServiceUnavailableError, StatorError
from server.paxos.lease import LeaseConfig, NodeLeases
from server.paxos.quorum import Configuration, Member
from server.runtime.identity import Identity
from server.runtime.peers import PeerStreams
from server.runtime.replica_host import Outcome, OutcomeKind, ReplicaHost
from server.wal import Wal

GROUP_ID = 1
TICK_S = 0.02
RECONCILE_S = 0.25

log = structlog.get_logger()


class DamagedDataError(Exception):
    """What is on disk cannot be trusted; the sentence says what."""


class MetadataNode:
    """Everything of one process but its door. `fail(sentence)` ends the process."""

    def __init__(self, config: Config, identity: Identity, fail: Callable[[str], None]) -> None:
        self.config = config
        self.identity = identity
        self.machine = CatalogMachine(identity.directory)
        self.attendance = Attendance(config.node_silence_ms / 1000, time.monotonic)
        self.version_changed = asyncio.Condition()
        self._loop = asyncio.get_running_loop()
        self._wal = Wal(
            identity.directory / "wal",
            node_id=config.node_id,
            segment_bytes=config.wal_segment_bytes,
            on_fatal=lambda error: fail(f"the log cannot be written any more: {error}"),
        )
        self._addresses = {member.node_id: member.address for member in config.member_addresses()}
        self._zones = {member.node_id: member.zone for member in config.member_addresses()}
        self.peers = PeerStreams(config.node_id, identity.data_id, lambda: self.cluster_id)
        leases = NodeLeases(
            LeaseConfig(config.lease_ms * 1_000_000, config.heartbeat_ms * 1_000_000, config.clock_drift_ppm),
            boot=identity.boot,
            is_first_boot=identity.boot == 1,
            now_ns=time.monotonic_ns(),
        )
        self.host = ReplicaHost(
            config.node_id, self._wal, self.peers, leases, random.Random(), time.monotonic_ns, self._defer
        )
        self.peers.bind(self.host)
        self._checkpointed_slot = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.machine.on_change = self._changed

    @property
    def cluster_id(self) -> str:
        return self.machine.catalog.cluster_id or self.identity.cluster_id

    # Start and stop

    async def start(self) -> None:
        """Recovers and takes part. Raises DamagedDataError."""
        try:
            self._checkpointed_slot = self.machine.load()
        except CorruptCatalogError as error:
            raise DamagedDataError(str(error)) from error
        recovery = await asyncio.to_thread(self._wal.recover, {GROUP_ID: self._checkpointed_slot})
        for note in recovery.notes:
            log.warning("log recovered", note=note)
        if recovery.all_damaged or recovery.damaged_groups:
            raise DamagedDataError("; ".join(recovery.notes))
        self._wal.start(self._loop)
        members = tuple(Member(node_id, zone) for node_id, zone in sorted(self._zones.items()))
        recovered = recovery.groups.get(GROUP_ID)
        try:
            self.host.open_group(GROUP_ID, Configuration(members), self.machine, recovered, self._checkpointed_slot)
        except ValueError as error:
            raise DamagedDataError(str(error)) from error
        self.peers.set_peers(self._addresses)
        self._tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._reconcile_forever())]

    async def stop(self) -> None:
        """Hands the leadership over and closes."""
        self.host.hand_over(GROUP_ID)
        await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.peers.close()
        await self._wal.close()

    async def wait_ready(self) -> None:
        """Until the cluster has an id and somebody leads the group."""
        while not (self.machine.catalog.cluster_id and self.host.leader_of(GROUP_ID)[0]):
            await asyncio.sleep(TICK_S)

    # Leading

    @property
    def is_serving_leader(self) -> bool:
        return self.host.is_serving_leader(GROUP_ID)

    def leader_address(self) -> str:
        """Where the leader is; empty: nobody is known to lead, or this process does not know that it does."""
        leader = self.host.leader_of(GROUP_ID)[0]
        return self._addresses.get(leader, "") if leader != self.config.node_id else ""

    async def propose(self, command: Command) -> object:
        """Replicates a command and returns what the catalog made of it. Raises that, if it is an error."""
        future: asyncio.Future[Outcome] = self._loop.create_future()

        def done(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        self.host.propose(GROUP_ID, encode_command(command), done)
        outcome = await future
        if outcome.kind == OutcomeKind.UNKNOWN:
            raise InternalServerError("the metadata service's leader changed: the change may or may not be carried out")
        if outcome.kind != OutcomeKind.COMMITTED:
            raise ServiceUnavailableError("no leader of the metadata service is available at present")
        if isinstance(outcome.result, StatorError):
            raise outcome.result
        return outcome.result

    # Inside

    def _defer(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon(callback)

    def _changed(self) -> None:
        self.attendance.changed.set()
        self._loop.create_task(self._notify())

    async def _notify(self) -> None:
        async with self.version_changed:
            self.version_changed.notify_all()

    async def _tick(self) -> None:
        while True:
            self.host.tick()
            await asyncio.sleep(TICK_S)

    async def _reconcile_forever(self) -> None:
        """Looks whenever something was reported or changed, and regularly."""
        while True:
            try:
                await asyncio.wait_for(self.attendance.changed.wait(), RECONCILE_S)
            except TimeoutError:
                pass
            self.attendance.changed.clear()
            if self.machine.slot - self._checkpointed_slot >= self.config.snapshot_every:
                self._checkpointed_slot = await asyncio.to_thread(self.machine.checkpoint)
                self.host.trim(GROUP_ID, self._checkpointed_slot)
                self._wal.trim({GROUP_ID: self._checkpointed_slot})
            if self.is_serving_leader:
                try:
                    await self._reconcile()
                except StatorError as error:
                    log.warning("reconciling was interrupted", reason=error.message)

    async def _reconcile(self) -> None:
        """Brings tables a step nearer to what they should be. Each step is a command; being interrupted between two of
        them is harmless."""
        catalog, attendance = self.machine.catalog, self.attendance
        if not catalog.cluster_id:
            await self.propose(FoundCluster(str(uuid.uuid4())))
        for table in list(catalog.tables.values()):
            if table.status == TableStatus.CREATING and self._is_open(table):
                await self.propose(ActivateTable(table.number))
            elif table.status == TableStatus.DELETING:
                await self._remove(table)
        for node_id, attendee in list(attendance.nodes.items()):
            dropped = [each for each in sorted(attendee.dropped) if node_id in catalog.garbage.get(each, ())]
            if dropped:
                await self.propose(PartitionsDropped(node_id, tuple(dropped)))
        attendance.forget_partitions(catalog)

    def _is_open(self, table: Table) -> bool:
        nodes = self.attendance.nodes
        return all(
            self.attendance.has_leader(partition.partition_id)
            and all(
                node_id in nodes and partition.partition_id in nodes[node_id].opened for node_id in partition.node_ids
            )
            for partition in table.partitions
        )

    async def _remove(self, table: Table) -> None:
        """Removes a table once every live member has dropped its replicas; the others owe it."""
        garbage: list[tuple[int, tuple[int, ...]]] = []
        for partition in table.partitions:
            owing = []
            for node_id in partition.node_ids:
                attendee = self.attendance.nodes.get(node_id)
                if attendee is not None and partition.partition_id in attendee.dropped:
                    continue
                if self.attendance.is_alive(node_id):
                    return
                owing.append(node_id)
            garbage.append((partition.partition_id, tuple(owing)))
        await self.propose(RemoveTable(table.number, tuple(garbage)))
