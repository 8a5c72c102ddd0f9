"""A metadata process: this process's member of the catalog's group, its snapshots, and its turn as leader."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import Callable

import structlog

from metadata.attendance import Attendance
from metadata.catalog.commands import Command
from metadata.catalog_codec import CorruptCatalogError, encode_command
from metadata.config import Config
from metadata.group import NO_LEADER, Changes
from metadata.history import History
from metadata.other_histories import longest_history
from metadata.reconciler import Reconciler
from metadata.store import CatalogMachine, write_snapshot
from metadata.views import look
from server.model.errors import InternalServerError, ServiceUnavailableError, StatorError
from server.paxos.acceptor import Health
from server.paxos.lease import LeaseConfig, NodeLeases
from server.paxos.quorum import Configuration, Member
from server.runtime.clock import now_ns, wall_ms
from server.runtime.identity import Identity
from server.runtime.peers import PeerStreams
from server.runtime.readiness import is_in_step
from server.runtime.replica_host import Outcome, OutcomeKind, ReplicaHost
from server.wal import Wal, WalError

GROUP_ID = 1
TICK_S = 0.02
RECONCILE_S = 0.25
WATCH_S = 0.5

RECONCILE_TIMEOUT_S = 5.0
"""What a pass of the reconciler may take; the rest is done in the next."""

HAND_OVER_S = 0.5
"""How long a leader that stops waits for another member to take over."""

SNAPSHOT_RETRY_S = 10.0
"""When to try again after a snapshot for which there was no room."""

log = structlog.get_logger()


class DamagedDataError(Exception):
    """What is on disk cannot be trusted; the sentence says what."""


class MetadataNode:
    """Everything of one process but its door; a CatalogGroup (metadata/group.py).

    `fail(sentence)` ends the process: the disk has failed, or something here that must not go wrong went wrong."""

    def __init__(self, config: Config, identity: Identity, fail: Callable[[str], None]) -> None:
        self.config = config
        self.identity = identity
        self.machine = CatalogMachine(identity.directory, fail)
        self.attendance = Attendance(config.node_silence_ms / 1000, time.monotonic)
        self.history = History(f"metadata-{config.node_id}", secrets.token_hex(4), wall_ms())
        self.catalog_changes = Changes()
        self._ticks = Changes()
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._wal = Wal(
            identity.directory / "wal",
            node_id=config.node_id,
            segment_bytes=config.wal_segment_bytes,
            on_fatal=lambda error: fail(f"the log cannot be written any more: {error}"),
        )
        self._addresses = {member.node_id: member.address for member in config.member_addresses()}
        self._zones = {member.node_id: member.zone for member in config.member_addresses()}
        self.peers = PeerStreams(config.node_id, identity.data_id, lambda: self.cluster_id, fail)
        leases = NodeLeases(
            LeaseConfig(config.lease_ms * 1_000_000, config.heartbeat_ms * 1_000_000, config.clock_drift_ppm),
            boot=identity.boot,
            is_first_boot=identity.boot == 1,
            now_ns=now_ns(),
        )
        self.host = ReplicaHost(config.node_id, self._wal, self.peers, leases, random.Random(), now_ns, self._defer)
        self.host.disk.slow_ns = config.slow_disk_ms * 1_000_000
        self.host.disk.on_change = lambda is_slow: log.warning(
            "the disk is slow, others should lead" if is_slow else "the disk is fast again",
            write_ms=self.host.disk.write_ns // 1_000_000,
        )
        self.host.on_healed = lambda group_id: log.info("the log is healed")
        self.peers.bind(self.host)
        failure_s = config.member_failure_ms / 1000
        retention_ms = config.stream_retention_s * 1000
        self._reconciler = Reconciler(self.machine, self.attendance, self.propose, failure_s, retention_ms)
        self._snapshot_slot = 0
        self._snapshot_not_before_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.machine.on_change = self._changed

    @property
    def cluster_id(self) -> str:
        return self.machine.catalog.cluster_id or self.identity.cluster_id

    # Start and stop

    async def start(self) -> None:
        """Recovers and takes part. Raises DamagedDataError."""
        try:
            self._snapshot_slot = self.machine.load()
            recovery = await asyncio.to_thread(
                self._wal.recover, {GROUP_ID: self._snapshot_slot}, may_be_new=not self.identity.cluster_id
            )
        except (CorruptCatalogError, WalError) as error:
            raise DamagedDataError(str(error)) from error
        for note in recovery.notes:
            log.warning("log recovered", note=note)
        configuration = Configuration(tuple(Member(node_id, zone) for node_id, zone in sorted(self._zones.items())))
        is_damaged = GROUP_ID in recovery.damaged_groups
        others = self._zones.keys() - {self.config.node_id}
        if is_damaged and not configuration.is_majority(others):
            raise DamagedDataError("; ".join([*recovery.notes, "the others are no majority that could heal it"]))
        self._wal.start(self._loop)
        self.host.open_group(
            GROUP_ID,
            configuration,
            self.machine,
            recovery.groups.get(GROUP_ID),
            self._snapshot_slot,
            is_damaged=is_damaged,
        )
        if self.host.groups[GROUP_ID].core.health != Health.WHOLE:
            log.error("the log is damaged, the other metadata processes have to heal it")
        self.peers.set_peers(self._addresses)
        self._tasks = [asyncio.create_task(each) for each in (self._tick(), self._keep_house(), self._watch())]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Hands the leadership over, stores the catalog and closes."""
        await self._hand_over()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.machine.slot > self._snapshot_slot:
            await self._store_snapshot()
        await self.peers.close()
        await self._wal.close()

    @property
    def is_ready(self) -> bool:
        """Whether this member can be counted on when another is stopped."""
        return is_in_step(self.host, GROUP_ID, now_ns())

    async def wait_ready(self) -> None:
        """Until the data folder names the cluster and somebody leads the group."""
        while not (self.identity.cluster_id and self.leader_node_id):
            await self._ticks.next().wait()

    async def _hand_over(self) -> None:
        self.host.hand_over(GROUP_ID)
        deadline_s = self._loop.time() + HAND_OVER_S
        is_under_way = self.host.hand_overs.is_under_way
        while self.peers.connected_node_ids() and is_under_way(GROUP_ID) and self._loop.time() < deadline_s:
            await self._ticks.next().wait()

    # Leading

    @property
    def is_serving_leader(self) -> bool:
        return self.host.is_serving_leader(GROUP_ID)

    @property
    def leader_node_id(self) -> int:
        return self.host.leader_of(GROUP_ID)[0]

    def leader_address(self) -> str:
        leader = self.leader_node_id
        return self._addresses.get(leader, "") if leader != self.config.node_id else ""

    def living_node_ids(self) -> list[int]:
        """A process that was halted keeps its connections; what it does not do is to say something."""
        silence_ms = max(self.config.node_silence_ms, 3 * self.config.heartbeat_ms)
        silent = self.host.disk.silent_node_ids(now_ns() - silence_ms * 1_000_000)
        return [node_id for node_id in self.peers.connected_node_ids() if node_id not in silent]

    async def propose(self, command: Command) -> object:
        """Replicates a command and returns what the catalog made of it. Raises that, if it is an error."""
        if self._wal.is_full:
            raise ServiceUnavailableError("the disk of the metadata service's leader is nearly full")
        future: asyncio.Future[Outcome] = self._loop.create_future()

        def done(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        self.host.propose(GROUP_ID, encode_command(command), done)
        outcome = await future
        if outcome.kind == OutcomeKind.UNKNOWN:
            raise InternalServerError("the metadata service's leader changed: the change may or may not be carried out")
        if outcome.kind != OutcomeKind.COMMITTED:
            raise ServiceUnavailableError(NO_LEADER)
        if isinstance(outcome.result, StatorError):
            raise outcome.result
        return outcome.result

    # Inside

    def _defer(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon(self._call, callback)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:
            # The replica may believe something that it has not written down: it must say nothing more.
            log.exception("what was to be done went wrong")
            self._fail(f"a replica failed: {error}")

    def _changed(self) -> None:
        self.attendance.changed.set()
        self.catalog_changes.notify()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task that goes on for ever has ended: a process that only seems to take part must not stay."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the node failed", exc_info=error)
            self._fail(f"the metadata process cannot go on: {error!r}")

    async def _tick(self) -> None:
        while True:
            self.host.disk.is_full = self._wal.is_full
            self.host.tick()
            self._ticks.notify()
            await asyncio.sleep(TICK_S)

    async def _keep_house(self) -> None:
        """Looks whenever something was reported or changed, and regularly."""
        while True:
            # Not wait_for: on Python 3.11 it may swallow a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECONCILE_S):
                    await self.attendance.changed.wait()
            self.attendance.changed.clear()
            self.attendance.forget_partitions(self.machine.catalog)
            if self.machine.catalog.cluster_id not in ("", self.identity.cluster_id):
                await self._note_cluster(self.machine.catalog.cluster_id)
            if self.machine.slot - self._snapshot_slot >= self.config.snapshot_every:
                await self._store_snapshot()
            if self.is_serving_leader:
                try:
                    async with asyncio.timeout(RECONCILE_TIMEOUT_S):
                        await self._reconciler.reconcile()
                except StatorError as error:
                    log.warning("reconciling was interrupted", reason=error.message)
                except TimeoutError:
                    log.warning("reconciling was interrupted", reason="nothing was committed in time")

    async def _watch(self) -> None:
        """Notes what happens, from when the catalog is the one of now."""
        while not self.is_ready:
            await self._ticks.next().wait()
        others = [address for node_id, address in self._addresses.items() if node_id != self.config.node_id]
        self.history.inherit(*await longest_history(others))
        while True:
            try:
                alive = {self.config.node_id, *self.living_node_ids()}
                view = look(self.machine.catalog, self.attendance, self._leader_seen(), alive)
                self.history.observe(view, self._loop.time(), wall_ms())
            except Exception as error:  # all processes see the same, and none may end of what only tells
                log.error("what has happened cannot be told", exc_info=error)
            await asyncio.sleep(WATCH_S)

    def _leader_seen(self) -> int:
        """Who leads, and not who was promised that and lost; 0: it is not known."""
        core = self.host.groups[GROUP_ID].core
        is_led = core.leadership is not None or core.is_led
        return self.leader_node_id if is_led and self.host.is_fresh(GROUP_ID) else 0

    async def _note_cluster(self, cluster_id: str) -> None:
        """Remembers which cluster the data folder belongs to, once that is known."""
        if self.identity.cluster_id:
            self._fail(
                f"the data folder {self.identity.directory} belongs to the cluster {self.identity.cluster_id}, "
                f"but the catalog is that of {cluster_id}"
            )
            return
        self.identity = await asyncio.to_thread(self.identity.joined, self.config.node_id, cluster_id)

    async def _store_snapshot(self) -> None:
        """Writes the catalog as it is now, and lets the log go of what that stands for."""
        if self._loop.time() < self._snapshot_not_before_s:
            return
        slot, content = self.machine.capture()
        try:
            await asyncio.to_thread(write_snapshot, self.identity.directory, slot, content)
        except OSError as error:
            self._snapshot_not_before_s = self._loop.time() + SNAPSHOT_RETRY_S
            log.error("the catalog's snapshot could not be stored, it will be tried again", reason=str(error))
            return
        self.machine.captured(slot, content)
        self._snapshot_slot = slot
        self.host.trim({GROUP_ID: slot})
        self._wal.trim({GROUP_ID: slot})
