"""A storage node: its replicas, and the work around them (opening, checkpoints, trimming, dropping)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from google.protobuf.message import DecodeError
from statorpb import cluster_pb2, partition_pb2

from server.floor_codec import floor_of
from server.paxos.acceptor import Health
from server.paxos.ballot import ZERO
from server.paxos.lease import LeaseConfig, NodeLeases
from server.paxos.quorum import Configuration, ReplicaKind
from server.runtime.clock import now_ns
from server.runtime.frame_connection import FrameListener
from server.runtime.freshness import Freshness
from server.runtime.identity import Identity
from server.runtime.peers import PeerStreams
from server.runtime.readiness import is_in_step
from server.runtime.snapshot_transfer import Pace
from server.wal import Recovery, Wal, WalError
from server.wal_recovery import RecoveredGroup
from storage_node.btree import DamagedStoreError, StoreError, StoreFullError
from storage_node.checkpoint_schedule import CheckpointSchedule
from storage_node.config import Config
from storage_node.descriptors import configuration_of, is_news, target_of, with_news
from storage_node.disk import DiskSpace
from storage_node.expiry import Expiry
from storage_node.feeding import Feeding
from storage_node.host import NodeHost
from storage_node.index_sender import IndexSender
from storage_node.last_life import LastLife
from storage_node.lost import LostReplicas
from storage_node.nudges import Nudges
from storage_node.partition.recent_writes import CorruptRecentWritesError
from storage_node.replica import PartitionReplica, key_ranges, own_ranges
from storage_node.replies import Reply
from storage_node.reports import leader_reports, partition_sizes
from storage_node.store import CorruptValueError, Store

TICK_S = 0.02
APPLY_DELAY_S = 0.001
"""How long a follower leaves what is committed unapplied, so that its log writes what the leader waits for first."""
HOUSEKEEPING_S = 0.25
HAND_OVER_S = 1.0
"""How long a node that stops waits for others to lead what it led."""
HAND_OVER_LOOK_S = 0.01
DROP_SLICE_ITEMS = 2_000

log = structlog.get_logger()


class DamagedDataError(Exception):
    """The data folder cannot be used; the sentence says why."""


class StorageNode:
    """Everything of one process but its doors. `fail(sentence)` ends the process: a disk that fails is not trusted."""

    def __init__(self, config: Config, identity: Identity, fail: Callable[[str], None]) -> None:
        self.config = config
        self.identity = identity
        self.replicas: dict[int, PartitionReplica] = {}
        self.damaged: set[int] = set()  # partitions whose log is damaged: they are being healed and do not vote
        self.missing: set[int] = set()  # partitions that should be here and are not
        self.without_room: set[int] = set()  # partitions that were assigned, and could not be opened on a full disk
        self.rotten: set[int] = set()  # partitions in which an item was found that is not what was stored
        self.healed = 0  # replicas whose log or B-tree was damaged, and is whole again, in this life
        self.dropped: set[int] = set()  # dropped, to be reported
        self.on_change: Callable[[], None] = lambda: None
        self._descriptors: dict[int, cluster_pb2.PartitionDescriptor] = {}  # of everything that is on disk
        self._logged: frozenset[int] = frozenset()  # groups that the log knew at the start
        self._targets: dict[int, tuple[Configuration, int | None]] = {}
        """Whom the partitions here are to have as members, decided on which configuration slot (None: not told)."""
        directory = Path(config.data)
        self._fail = fail
        self.last_life = LastLife(directory, directory / "btree")
        self._lost = LostReplicas(directory, directory / "btree")
        self._store = Store(directory / "btree", map_bytes=config.map_bytes, memtable_bytes=config.memtable_bytes)
        self._wal = Wal(
            directory / "wal",
            node_id=identity.node_id,
            segment_bytes=config.wal_segment_bytes,
            on_fatal=lambda error: fail(f"the log cannot be written any more: {error}"),
        )
        self.expiry = Expiry(self._store, self.replicas)
        self.feeding = Feeding(self._store, self.replicas)
        self.nudges = Nudges(self.replicas)
        self._disk = DiskSpace(directory, config.disk_reserve_bytes)
        self._loop = asyncio.get_running_loop()
        self._engine = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._tasks: list[asyncio.Task[None]] = []
        self._schedule = CheckpointSchedule(
            config.checkpoint_interval_ms,
            config.memtable_bytes,
            config.wal_segment_bytes,
            random.Random(),
            time.monotonic(),
        )
        self.listener = FrameListener()
        self.peers = PeerStreams(
            identity.node_id, identity.data_id, lambda: self.identity.cluster_id, fail, self.listener
        )
        lease = LeaseConfig(config.lease_ms * 1_000_000, config.heartbeat_ms * 1_000_000, config.clock_drift_ppm)
        leases = NodeLeases(lease, boot=identity.boot, is_first_boot=identity.boot == 1, now_ns=now_ns())
        self.host = NodeHost(
            identity.node_id,
            self._wal,
            self.peers,
            leases,
            random.Random(),
            now_ns,
            self._defer,
            later=self._later,
        )
        self.host.freshness = lambda: Freshness(config.eventual_read_age_ms * 1_000_000)
        self.host.snapshots.pace = Pace(config.snapshot_bytes_per_s)
        self.host.disk.slow_ns = config.slow_disk_ms * 1_000_000
        self.host.disk.on_change = self._note_disk
        self.host.on_leadership = self._note_leadership
        self.host.on_healed = self._healed
        self.host.snapshots.on_restored = self._restored
        self.host.snapshots.tell = log.info
        self.host.on_configured = lambda group_id: self.on_change()
        self.peers.bind(self.host)
        self.sender = IndexSender(self.host.leader_ballot, self._note_rotten)

    # Start and stop

    async def start(self) -> None:
        """Recovers what is on disk, without asking anybody, and takes part.

        Raises DamagedDataError, and OSError for a disk that fails or is full."""
        self._disk.prepare()
        try:
            recovery = await self._loop.run_in_executor(self._engine, self._recover)
        except (WalError, StoreError, CorruptValueError, CorruptRecentWritesError, DecodeError) as error:
            raise DamagedDataError(f"the data folder {self.config.data} cannot be used: {error}") from error
        for note in recovery.notes:
            log.warning("log recovered", note=note)
        self._wal.start(self._loop)
        damaged = recovery.damaged_groups | self._lost.group_ids
        for group_id, descriptor in self._descriptors.items():
            self._open(descriptor, recovery.groups.get(group_id), is_damaged=group_id in damaged)
        self._logged = frozenset(recovery.groups)
        self.missing |= self._lost.group_ids - self._descriptors.keys()  # until it is told what they are
        self._note_absent()
        self._not_lost_any_more()
        walks = (self.expiry.run(), self.feeding.run(), self.feeding.back_fill.run(), self.nudges.run())
        work = (self._tick(), self._keep_house(), *walks)
        self._tasks = [asyncio.create_task(each) for each in work]
        for task in self._tasks:
            task.add_done_callback(self.background_ended)

    def _recover(self) -> Recovery:
        """Opens the B-tree and reads the log; in the engine's thread. What cannot be used is closed again."""
        try:
            self._lost.load()
            self._look_at_last_life()
            self._open_store()
            floors = {group_id: self._store.checkpointed_slot(group_id) for group_id in self._descriptors}
            is_lost = self._lost.is_all
            recovery = self._wal.recover(floors, may_be_new=not floors and not is_lost and not self._lost.group_ids)
            if is_lost:
                self._lost.name(recovery.groups)
            return recovery
        except BaseException:
            self._store.close()
            raise

    def _look_at_last_life(self) -> None:
        """Where that ended by a signal, because of the B-tree, this one would end in the same way."""
        if note := self.last_life.note():
            log.error("the last life ended by a fatal signal", note=note)
            if not self._lost.is_all and (damage := self.last_life.damage()):
                log.error("the B-tree is damaged: it is set aside, and all replicas are rebuilt", reason=damage)
                self._lost.condemn()
            self.last_life.settle()

    def _open_store(self) -> None:
        """Opens the B-tree, or a new one in the place of one that is damaged."""
        if self._lost.is_all:
            self._lost.set_aside()
        try:
            self._store.open()
            for group_id, data in self._store.all_descriptors().items():
                self._descriptors[group_id] = cluster_pb2.PartitionDescriptor.FromString(data)
                self._store.recent_writes(group_id)  # a damaged row shows itself here
                self._store.stored(own_ranges(self._descriptors[group_id]))  # likewise
        except (DamagedStoreError, CorruptValueError, CorruptRecentWritesError, DecodeError) as error:
            if self._lost.is_all:
                raise  # it was made anew just now
            log.error("the B-tree is damaged: it is set aside, and all replicas are rebuilt", reason=str(error))
            self._store.close()
            self._descriptors.clear()
            self._lost.condemn()
            self._open_store()

    async def hand_over(self) -> None:
        """Gives every leadership away, and returns when others have them, or HAND_OVER_S later. Routers may go on
        asking meanwhile: they are told who leads."""
        under_way = [partition_id for partition_id in self.replicas if self.host.leader_ballot(partition_id) != ZERO]
        for partition_id in under_way:
            self.host.hand_over(partition_id)
        end_s = self._loop.time() + HAND_OVER_S
        while under_way and self.peers.connected_node_ids() and self._loop.time() < end_s:
            await asyncio.sleep(HAND_OVER_LOOK_S)
            under_way = [each for each in under_way if self.host.hand_overs.is_under_way(each)]

    async def stop(self) -> None:
        """Hands leaderships over and closes; everything acknowledged is on disk already. Nothing may be asked of the
        node any more."""
        await self.hand_over()
        await self.sender.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.peers.close()
        await self._wal.close()
        self._engine.shutdown(wait=True)
        self._store.close()

    @property
    def is_ready(self) -> bool:
        """Whether this node can be counted on when another is stopped: it has every replica that it should have, and
        each of them votes and is as far as its leader."""
        at_ns = now_ns()
        return not self.missing and all(is_in_step(self.host, each, at_ns) for each in self.replicas)

    @property
    def note(self) -> str:
        """What is wrong with this node, for people; empty: nothing."""
        notes = []
        if self.host.disk.is_full:
            notes.append("disk nearly full, writes are refused")
        if self.host.disk.is_slow:
            notes.append(f"disk slow: a write of the log takes {self.host.disk.write_ns // 1_000_000} ms or more")
        lost = self._lost.group_ids
        if self.damaged - lost:
            notes.append(f"log damaged, being healed: partitions {sorted(self.damaged - lost)}")
        if lost:
            notes.append(f"B-tree damaged and set aside, being rebuilt: partitions {sorted(lost)}")
        if self.rotten:
            notes.append(f"damaged items in the B-tree, being rebuilt: partitions {sorted(self.rotten)}")
        if self.missing - lost:
            notes.append(f"missing on disk: partitions {sorted(self.missing - lost)}")
        if overloaded := self.feeding.overloaded():
            notes.append(f"global secondary indexes do not keep up, writes are refused: partitions {overloaded}")
        return "; ".join(notes)

    # Requests

    def serve(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        """Answers one request of a router, now or later."""
        replica = self.replicas.get(request.partition_id)
        if replica is None:
            reply(request.id, partition_pb2.NOT_MINE)
        else:
            replica.serve(request, reply, self.host.disk.is_full)

    def leaders(self) -> list[cluster_pb2.LeaderReport]:
        """The partitions that this node leads and has recovered."""
        return leader_reports(self.host, self.replicas)

    def restoring(self) -> list[int]:
        """The partitions that this node has no state of yet."""
        return sorted(
            partition_id
            for partition_id, replica in self.replicas.items()
            if replica.is_restoring or self.host.groups[partition_id].core.is_restoring
        )

    def unopened(self) -> list[int]:
        """The partitions that this node was told to have, and has not."""
        return sorted(self.missing | self.without_room)

    @property
    def is_nearly_full(self) -> bool:
        """Whether the disk has no room for more than what is here, if for that."""
        return self.host.disk.is_full

    def snapshots(self) -> list[cluster_pb2.SnapshotProgress]:
        """The states that are on their way here."""
        return [
            cluster_pb2.SnapshotProgress(partition_id=each, bytes=stored, total_bytes=total, bytes_per_s=rate)
            for each, stored, total, rate in self.host.snapshots.progress()
        ]

    def sizes(self) -> list[cluster_pb2.PartitionSize]:
        """Items and bytes of each partition, as of the last checkpoint."""
        return partition_sizes(self._store, self.replicas)

    # Assignments

    async def assign(self, assignments: cluster_pb2.NodeAssignments) -> None:
        """Drops what is to be removed, opens what is new, and learns where the peers are.

        Raises StoreFullError where there was no room for some of it, when all else is done: it may be tried again."""
        self.peers.set_peers({each.node_id: each.address for one in assignments.partitions for each in one.members})
        self.peers.forget_peers(assignments.removed_node_ids)
        self.expiry.attributes = {
            each.partition_id: each.time_to_live_attribute
            for each in assignments.partitions
            if each.time_to_live_attribute and not each.HasField("index")
        }
        no_room: list[StoreFullError] = []
        for partition_id in assignments.removed:
            try:
                await self._drop(partition_id)
            except StoreFullError as error:
                no_room.append(error)
        without_room = set()
        for descriptor in assignments.partitions:
            try:
                await self._keep(descriptor)
            except StoreFullError as error:
                no_room.append(error)
                without_room |= {descriptor.partition_id} - self.replicas.keys()
        self.feeding.want(assignments.partitions, assignments.known_below)
        self.sender.set_routes(assignments.index_routes)
        if without_room != self.without_room:
            self.without_room = without_room
            self.on_change()
        self._note_absent()
        self._change_members()
        if no_room:
            raise no_room[0]

    async def _keep(self, descriptor: cluster_pb2.PartitionDescriptor) -> None:
        """Opens a partition that this node is to have, or takes what is new about it. Raises StoreFullError."""
        partition_id = descriptor.partition_id
        if (replica := self.replicas.get(partition_id)) is not None:
            self._targets[partition_id] = target_of(descriptor)
            if is_news(replica.descriptor, descriptor):
                kept = with_news(replica.descriptor, descriptor)
                await self._keep_descriptor(kept)
                replica.describe(kept)
            return
        if partition_id in self._lost:
            await self._begin_anew(descriptor)
            return
        if not descriptor.fresh or partition_id in self._logged:
            if partition_id not in self.missing:
                log.error("a partition that should be here is not", partition_id=partition_id)
            self.missing.add(partition_id)
            return
        if any(member.log_only and member.node_id == self.identity.node_id for member in descriptor.members):
            # Until it has the state it takes part with its log alone. Written down first: after a crash it must not be
            # taken for a replica whose state is empty.
            await self._loop.run_in_executor(self._engine, self._store.begin_restore, partition_id)
        await self._keep_descriptor(descriptor)
        self._open(descriptor, None)
        self.on_change()

    async def _begin_anew(self, descriptor: cluster_pb2.PartitionDescriptor) -> None:
        """Opens a replica whose state was lost with the B-tree: it takes no part until the others have healed it."""
        partition_id = descriptor.partition_id
        await self._loop.run_in_executor(self._engine, self._store.begin_restore, partition_id)
        await self._keep_descriptor(descriptor)
        self.missing.discard(partition_id)
        self._note_absent()
        self._open(descriptor, None, is_damaged=True)
        self.on_change()

    def _change_members(self) -> None:
        """Proposes, where this node leads, the members that the metadata service wants; hands over where it is not to
        be one of them. What cannot be done now is tried again."""
        for partition_id, (target, decided_on) in self._targets.items():
            if not self.host.is_serving_leader(partition_id):
                continue
            slot, in_force = self.host.configuration_of(partition_id)
            if in_force.members != target.members and decided_on not in (None, slot):
                continue  # it is to be decided anew: this node may have missed something
            own = target.member(self.identity.node_id)
            if own is None or own.kind == ReplicaKind.LOG:
                self.host.hand_over(partition_id, can_wait=True)
            elif self.host.configure(partition_id, target):
                log.info("members are changed", partition_id=partition_id, node_ids=target.node_ids)

    async def _keep_descriptor(self, descriptor: cluster_pb2.PartitionDescriptor) -> None:
        """Writes down what a partition is, but for what may change at any time. Raises StoreFullError."""
        kept = cluster_pb2.PartitionDescriptor()
        kept.CopyFrom(descriptor)
        kept.ClearField("time_to_live_attribute")
        kept.ClearField("feeds")
        kept.ClearField("streams")
        data = kept.SerializeToString()
        await self._loop.run_in_executor(self._engine, self._store.put_descriptor, descriptor.partition_id, data)
        self._descriptors[descriptor.partition_id] = kept

    def _open(
        self, descriptor: cluster_pb2.PartitionDescriptor, recovered: RecoveredGroup | None, *, is_damaged: bool = False
    ) -> None:
        partition_id = descriptor.partition_id
        replica = PartitionReplica(descriptor, self._store, self.host, self._run, self._note_rotten)
        replica.again = self.serve
        replica.decisions.collection_bytes_max = self.config.item_collection_bytes
        replica.changes.on_feeds = replica.streams.on_streams = self._note_feeds
        self.sender.keep(partition_id, replica.changes)
        configuration = configuration_of(descriptor.members)
        slot = self._store.checkpointed_slot(partition_id)
        floor = floor_of(descriptor.floor)
        self.host.open_group(partition_id, configuration, replica, recovered, slot, floor=floor, is_damaged=is_damaged)
        self.replicas[partition_id] = replica
        self.peers.set_peers({each.node_id: each.address for each in (*descriptor.members, *descriptor.peers)})
        if self.host.groups[partition_id].core.health == Health.WHOLE:
            log.info("replica opened", partition_id=partition_id, table=descriptor.table_name)
        else:
            self.damaged.add(partition_id)
            log.error("replica's log is damaged, the others have to heal it", partition_id=partition_id)

    def _healed(self, partition_id: int) -> None:
        self.damaged.discard(partition_id)
        self.healed += 1
        log.info("replica healed", partition_id=partition_id)
        self._not_lost_any_more(partition_id)
        self.on_change()

    def _restored(self, partition_id: int) -> None:
        if partition_id in self.rotten:
            self.rotten.discard(partition_id)
            self.healed += 1
            log.info("replica rebuilt, its damaged items are replaced", partition_id=partition_id)
        self._not_lost_any_more()
        self.on_change()

    def _not_lost_any_more(self, partition_id: int = 0) -> None:
        """Notes that a partition is healed, or is no more; 0: none. Once all are, and have their items, what is left of
        the former B-tree goes."""
        lost = self._lost
        is_over = lost.group_ids <= {partition_id} and not self.restoring()
        if partition_id not in lost and not (is_over and lost.has_remains):
            return

        def note() -> None:
            try:
                lost.discard(partition_id)
                if is_over:
                    lost.remove_remains()
            except OSError as error:
                log.error("a replica that is healed counts as lost at the next start", reason=str(error))

        self._run(note, self.on_change)

    async def _drop(self, partition_id: int) -> None:
        """Removes a deleted partition's replica and data; what is not here counts as removed. Raises StoreFullError,
        and then goes on where it was when it is called again."""
        if (replica := self.replicas.pop(partition_id, None)) is not None:
            replica.close()
        self.sender.drop(partition_id)
        self._targets.pop(partition_id, None)
        for kept in (self.damaged, self.missing, self.rotten):
            kept.discard(partition_id)
        self.host.close_group(partition_id)
        descriptor = self._descriptors.get(partition_id)
        is_here = descriptor is not None or partition_id in self._logged
        if descriptor is not None:
            run = self._loop.run_in_executor
            self._store.forget(partition_id)
            for first_key, end_key in key_ranges(descriptor):
                while not await run(self._engine, self._store.delete_range, first_key, end_key, DROP_SLICE_ITEMS):
                    pass
            await run(self._engine, self._store.delete_descriptor, partition_id)
            del self._descriptors[partition_id]
        if is_here:
            # On disk before it is reported: who is told may assign the partition anew, and what the log said of its
            # former life must not come back then.
            forgotten = asyncio.Event()
            self._wal.forget_group(partition_id, forgotten.set)
            await forgotten.wait()
            self._logged -= {partition_id}
            self._not_lost_any_more(partition_id)
            log.info("replica dropped", partition_id=partition_id)
        self.dropped.add(partition_id)
        self.on_change()

    def _note_feeds(self) -> None:
        self.on_change()

    def _note_leadership(self, group_id: int, is_serving: bool) -> None:
        self.on_change()
        self.sender.tend()
        if not is_serving and (replica := self.replicas.get(group_id)) is not None:
            replica.streams.wake()

    def _note_disk(self, is_slow: bool) -> None:
        if is_slow:
            log.warning("the disk is slow, others should lead", write_ms=self.host.disk.write_ns // 1_000_000)
        else:
            log.info("the disk is fast again")
        self.on_change()

    def _note_absent(self) -> None:
        self.host.set_absent(self.missing, self.peers.connected_node_ids())

    def _note_rotten(self, partition_id: int, error: str) -> None:
        """An item is not what was stored: told once a partition, served never."""
        if partition_id not in self.rotten:
            self.rotten.add(partition_id)
            log.error("an item in the B-tree is damaged", partition_id=partition_id, reason=error)
            self.on_change()

    # Background

    def background_ended(self, task: asyncio.Task[None]) -> None:
        """These tasks never end by themselves; a node without them would only look alive."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task failed", exc_info=error)
            self._fail(f"a background task failed: {error!r}")

    def _defer(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon(self._call, callback)

    def _later(self, callback: Callable[[], None]) -> None:
        self._loop.call_later(APPLY_DELAY_S, self._call, callback)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:
            # The replica may believe something that it has not written down: it must say nothing more.
            log.exception("what was to be done went wrong")
            self._fail(f"a replica failed: {error}")

    def _run(self, work: Callable[[], None], done: Callable[[], object]) -> None:
        """Runs blocking work in the engine's thread, in order, then `done` on the loop."""

        def finished(future: asyncio.Future[None]) -> None:
            if future.cancelled():
                return
            error = future.exception()
            if isinstance(error, StoreFullError):
                log.error("no room to restore a replica, it will be tried again", reason=str(error))
            elif error is not None:
                self._fail_store(error)
            else:
                done()

        self._loop.run_in_executor(self._engine, work).add_done_callback(finished)

    def _fail_store(self, error: BaseException) -> None:
        """Ends the process. Where the B-tree is damaged it would end again and again: the next start sets it aside."""
        try:
            if isinstance(error, DamagedStoreError | CorruptValueError):
                self._lost.condemn()
        except OSError as unwritten:
            log.error("that the B-tree is damaged cannot be written down", reason=str(unwritten))
        self._fail(f"the B-tree cannot be written: {error}")

    async def _tick(self) -> None:
        while True:
            self.host.tick()
            await asyncio.sleep(TICK_S)

    async def _keep_house(self) -> None:
        """Checkpoints when enough has gathered or enough time has passed; watches the disk and deadlines."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            now_s = time.monotonic()
            for replica in self.replicas.values():
                replica.expire(now_s)
            is_full = self._disk.is_nearly_full() or self._wal.is_full
            if is_full != self.host.disk.is_full:
                self.host.disk.is_full = is_full
                log.warning("disk nearly full: writes are refused" if is_full else "room on the disk again")
                self.on_change()
            self._change_members()
            self.sender.tend()
            for partition_id in self.rotten & self.replicas.keys():
                self.replicas[partition_id].heal()
            if self._schedule.is_due(now_s, self._store.memtable_bytes, self._wal.log_bytes):
                await self.checkpoint()

    async def checkpoint(self) -> None:
        """Writes the memtable to the B-tree and lets the log go of what that stands for, and of what else is void."""
        checkpoint = self._store.freeze_for_checkpoint()
        self._schedule.begin(time.monotonic())
        if checkpoint is not None:
            try:
                await self._loop.run_in_executor(self._engine, self._store.write_checkpoint, checkpoint)
            except StoreFullError as error:
                self._store.abandon_checkpoint(checkpoint)
                log.error("no room for a checkpoint, it will be tried again", reason=str(error))
            except (StoreError, CorruptValueError, OSError) as error:
                self._fail_store(error)
                return
            else:
                self._store.finish_checkpoint(checkpoint)
        floors = {group_id: self._store.checkpointed_slot(group_id) for group_id in self.replicas}
        self.host.trim(floors)
        self._wal.trim(floors, self.host.needed_records)
