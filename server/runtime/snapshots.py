"""The snapshots that a node sends and receives, for the members of its groups."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping

from server.paxos.election import Role
from server.paxos.messages import CatchUpRequest, Effect, LogStart
from server.runtime.group import SNAPSHOT_REQUEST_NS, Group, due_snapshot_requests
from server.runtime.host_surroundings import Transport
from server.runtime.snapshot_transfer import (
    DECLINED_SEQUENCE,
    HASTE_MAX,
    TOLD_NS,
    WAITING_SEQUENCE,
    Pace,
    SnapshotFailedError,
    SnapshotReceiver,
    SnapshotSender,
)

SNAPSHOTS_SENT_MAX = 2
"""Snapshots on their way from a node at once: more would only arrive later, all of them."""

LOGGED_BYTES_MAX = 256 * 1024 * 1024
"""What is written while a snapshot is on its way has to be kept in memory, here or where it goes. With so much of it
the snapshot is begun anew from a later checkpoint, twice as fast; where that can be foreseen it goes faster before."""


class Snapshots:
    """Of the node whose members `groups` are.

    What the host does for it: `carry_out` a core's effects, `apply_due` what was put off, `note_peers` of a group whose
    members may be others now.
    """

    def __init__(
        self,
        transport: Transport,
        rng: random.Random,
        now_ns: Callable[[], int],
        groups: Mapping[int, Group],
        carry_out: Callable[[Group, Iterable[Effect]], None],
        apply_due: Callable[[Group], None],
        note_peers: Callable[[Group], None],
    ) -> None:
        self._transport = transport
        self._rng = rng
        self._now_ns = now_ns
        self._groups = groups
        self._carry_out = carry_out
        self._apply_due = apply_due
        self._note_peers = note_peers
        self.pace = Pace(0)
        self.logged_bytes_max = LOGGED_BYTES_MAX
        self.tell: Callable[..., None] = lambda event, **details: None
        """Is told what operators want to know of."""
        self.on_restored: Callable[[int], None] = lambda group_id: None
        self._ready: dict[tuple[int, int], None] = {}  # (group id, node id) of transfers that may have more to send

    # Receiving

    def receive_chunk(
        self,
        sender: int,
        group_id: int,
        snapshot_id: int,
        slot: int,
        sequence: int,
        body: bytes,
        is_last: bool,
        total_bytes: int = 0,
    ) -> None:
        group = self._groups.get(group_id)
        if group is None:
            return
        receiver = group.receiver
        if sequence == 0 and (receiver is None or receiver.snapshot_id != snapshot_id):
            receiver = self._begin_to_receive(group, sender, snapshot_id, slot, total_bytes)
        if receiver is None or receiver.snapshot_id != snapshot_id:
            # Not in silence: the sender would wait for an answer for as long as a transfer may stall. Of one that this
            # node has given up, or forgotten in a restart, it learns that it has to begin anew.
            self._transport.send_snapshot_ack(sender, group_id, snapshot_id, DECLINED_SEQUENCE)
            return
        if not receiver.take(sequence, self._now_ns()):
            if receiver.misses(sequence):
                self._acknowledge(group_id, receiver, receiver.next_sequence)
            elif sequence < receiver.stored and not receiver.is_finishing:
                # The sender goes on after a stream broke, and does not know what arrived.
                self._acknowledge(group_id, receiver)
            return

        def restored() -> None:
            if group.receiver is receiver and self._groups.get(group_id) is group:
                self._restored(group, receiver)

        def stored() -> None:
            if group.receiver is not receiver:
                return
            receiver.stored += 1
            receiver.stored_bytes += len(body)
            receiver.progressed_ns = self._now_ns()
            if is_last and receiver.stored == receiver.next_sequence:
                receiver.is_finishing = True
                group.machine.finish_restore(slot, restored)
            else:
                self._acknowledge(group_id, receiver)

        group.machine.restore_chunk(body, stored)

    def _begin_to_receive(
        self, group: Group, sender: int, snapshot_id: int, slot: int, total_bytes: int
    ) -> SnapshotReceiver | None:
        """Makes room for a snapshot that begins to come, unless this member has no use for it, or takes another."""
        core, now_ns = group.core, self._now_ns()
        # Of no use: this member has more, or a log that begins behind it (on disk, perhaps, behind its checkpoint).
        is_old = not core.is_restoring and not group.is_rotten and slot <= core.applied_slot
        if core.role == Role.LEADER or is_old or slot < max(core.log.first_slot - 1, group.checkpointed_slot):
            return None
        if group.receiver is not None and group.receiver.keeps_out(sender, core.leader_node_id, now_ns):
            return None
        self._apply_due(group)
        core.begin_restoring(now_ns)
        group.fresh.void()
        receiver = group.receiver = SnapshotReceiver(
            sender, snapshot_id, slot, now_ns, told_ns=now_ns, began_ns=now_ns, total_bytes=total_bytes
        )
        self.tell("a snapshot begins to come", group_id=group.group_id, node_id=sender, slot=slot, bytes=total_bytes)

        def progressed() -> None:
            if group.receiver is receiver:
                receiver.progressed_ns = self._now_ns()
                if not receiver.stored and receiver.progressed_ns - receiver.told_ns > TOLD_NS:
                    receiver.told_ns = receiver.progressed_ns
                    self._acknowledge(group.group_id, receiver)

        group.machine.begin_restore(slot, progressed)
        return receiver

    def _acknowledge(self, group_id: int, receiver: SnapshotReceiver, missing: int = 0) -> None:
        sequence = receiver.stored - 1 if receiver.stored else WAITING_SEQUENCE
        self._transport.send_snapshot_ack(receiver.sender, group_id, receiver.snapshot_id, sequence, missing)

    def _restored(self, group: Group, receiver: SnapshotReceiver) -> None:
        """All that came is durable, and the state of its slot."""
        slot = receiver.slot
        group.receiver, group.is_rotten = None, False
        group.checkpointed_slot = max(group.checkpointed_slot, slot)
        self._apply_due(group)  # what was committed meanwhile is dropped: it is applied again, from `slot` on
        group.applied_slot = slot
        self._carry_out(group, group.core.snapshot_restored(slot, group.machine.configuration))
        self._note_peers(group)
        self._acknowledge(group.group_id, receiver)
        rate = receiver.bytes_per_s(self._now_ns())
        told = {"slot": slot, "bytes": receiver.stored_bytes, "bytes_per_s": rate}
        self.tell("a snapshot has come", group_id=group.group_id, node_id=receiver.sender, **told)
        self.on_restored(group.group_id)
        self._request(self._now_ns())

    def progress(self) -> list[tuple[int, int, int, int]]:
        """(group id, bytes stored, bytes in all or 0, bytes a second) of each snapshot that is on its way here."""
        now_ns = self._now_ns()
        return [
            (group_id, receiver.stored_bytes, receiver.total_bytes, receiver.bytes_per_s(now_ns))
            for group_id, group in self._groups.items()
            if (receiver := group.receiver) is not None and not receiver.is_stale(now_ns)
        ]

    # Sending

    def start(self, group: Group, to: int) -> None:
        """Begins to send a member the group's state, unless that is under way."""
        if to in group.senders:
            return
        source = None
        if self._under_way() < SNAPSHOTS_SENT_MAX:
            try:
                source = group.machine.open_snapshot()
            except SnapshotFailedError:
                pass
        now_ns = self._now_ns()
        transfer = SnapshotSender(self._rng.getrandbits(63), source, now_ns, haste=group.haste.get(to, 1.0))
        transfer.began_ns, transfer.logged_from = now_ns, group.logged_bytes
        group.senders[to] = transfer
        if source is not None:
            self._tell_log_start(group, to, source.slot)
        self._go_on(group.group_id, to)

    def _tell_log_start(self, group: Group, to: int, slot: int) -> None:
        """A log replica need not keep what it is about to get, if others have it."""
        core, leadership = group.core, group.core.leadership
        if leadership is not None and leadership.may_let_go(to, slot, core.configuration, core.node_id):
            self._transport.send(to, group.group_id, LogStart(leadership.ballot, slot, is_held=True), None)

    def _under_way(self) -> int:
        return sum(
            transfer.source is not None for group in self._groups.values() for transfer in group.senders.values()
        )

    def resume(self, group: Group, to: int) -> None:
        """The stream to a member broke and is up again: what it did not acknowledge may be lost."""
        if (transfer := group.senders.get(to)) is not None:
            transfer.resume(self._now_ns())
            self._go_on(group.group_id, to)

    def receive_ack(self, sender: int, group_id: int, snapshot_id: int, sequence: int, missing: int = 0) -> None:
        """`missing`: Transport.send_snapshot_ack says what that is."""
        group = self._groups.get(group_id)
        transfer = group.senders.get(sender) if group is not None else None
        if group is None or transfer is None or transfer.snapshot_id != snapshot_id:
            return
        if sequence == DECLINED_SEQUENCE:
            if transfer.acked_sequence >= 0:
                self.abort(group, sender)  # it has forgotten what it had taken
            else:
                # It takes another's, or nothing at all now: begun anew at once this would be declined again, at the
                # pace of the network, and each attempt opens the state and takes others' turn to send.
                transfer.fail(self._now_ns())
            return
        if sequence == WAITING_SEQUENCE:
            transfer.waited(self._now_ns())
        else:
            transfer.acknowledged(sequence, self._now_ns())
        if missing:
            transfer.resume(self._now_ns(), missing)
        if transfer.is_finished:
            transfer.close()
            del group.senders[sender]
            group.haste.pop(sender, None)
            self._carry_out(group, group.core.snapshot_sent(sender, transfer.slot, self._now_ns()))
        else:
            self._go_on(group_id, sender)

    def _go_on(self, group_id: int, to: int) -> None:
        self._ready[group_id, to] = None
        self.send_due()

    def send_due(self) -> None:
        """Sends as much as the pace allows by now, a chunk of each transfer in turn."""
        now_ns = self._now_ns()
        while self._ready and self.pace.may_send(now_ns):
            group_id, to = next(iter(self._ready))
            del self._ready[group_id, to]
            group = self._groups.get(group_id)
            transfer = group.senders.get(to) if group is not None else None
            if transfer is None:
                continue
            try:
                chunk = transfer.next_chunk()
            except SnapshotFailedError:
                transfer.fail(now_ns)
                continue
            if chunk is not None:
                sequence, body, is_last = chunk
                self._transport.send_snapshot_chunk(
                    to,
                    group_id,
                    transfer.snapshot_id,
                    transfer.slot,
                    sequence,
                    body,
                    is_last,
                    transfer.total_bytes,
                )
                transfer.sent_bytes += len(body)
                self.pace.sent(int(len(body) / transfer.haste), now_ns)
                self._ready[group_id, to] = None

    def abort(self, group: Group, node_id: int) -> None:
        """Ends what is being sent to a member, if anything is: it may begin anew."""
        transfer = group.senders.pop(node_id, None)
        if transfer is not None:
            transfer.close()
            self._carry_out(group, group.core.snapshot_sent(node_id, 0, self._now_ns()))

    def _begin_anew(self, group: Group, node_id: int, transfer: SnapshotSender) -> None:
        """More was written while the snapshot was on its way than can be kept."""
        details = {"node_id": node_id, "slot": transfer.slot, "logged_bytes": group.logged_bytes - transfer.logged_from}
        self.tell("a snapshot takes too long and is begun anew, faster", group_id=group.group_id, **details)
        group.haste[node_id] = min(transfer.haste * 2, HASTE_MAX)
        self.abort(group, node_id)
        self.start(group, node_id)

    def kept_from(self, group: Group) -> int:
        """Behind which slot the log has to be kept for members that are sent a snapshot: what they have acknowledged,
        they have themselves."""
        sent = [(to, transfer.slot) for to, transfer in group.senders.items() if transfer.source is not None]
        leadership = group.core.leadership
        acked_slots = leadership.acked_slots(group.core.node_id) if leadership is not None else {}
        return min((max(slot, acked_slots.get(to, 0)) for to, slot in sent), default=1 << 62)

    def tend(self) -> None:
        """Sends again what nobody answers, gives up transfers that have stalled, and asks for snapshots where there is
        no state."""
        now_ns, under_way = self._now_ns(), max(1, self._under_way())
        for group in tuple(self._groups.values()):
            for node_id, transfer in tuple(group.senders.items()):
                if transfer.is_stale(now_ns):
                    if transfer.source is not None:
                        self.tell(
                            "a snapshot is given up", group_id=group.group_id, node_id=node_id, slot=transfer.slot
                        )
                    self.abort(group, node_id)
                elif transfer.is_overdue(now_ns):
                    self.resume(group, node_id)
                if transfer.source is not None:
                    logged_bytes = group.logged_bytes - transfer.logged_from
                    transfer.hasten(logged_bytes, self.logged_bytes_max, self.pace.bytes_per_s // under_way, now_ns)
                    if logged_bytes > self.logged_bytes_max:
                        self._begin_anew(group, node_id, transfer)
        self._request(now_ns)

    def _request(self, now_ns: int) -> None:
        for group in due_snapshot_requests(self._groups.values(), now_ns):
            group.request_snapshot_at_ns = now_ns + SNAPSHOT_REQUEST_NS
            self._transport.send(group.core.leader_node_id, group.group_id, CatchUpRequest(0), None)
