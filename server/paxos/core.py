"""One member of a replication group: Multi-Paxos with leader leases, as a pure state machine.

Events go in through `handle`, `propose` and `tick` together with the time; effects come out and have to be carried out
in order. The shell around it keeps three rules: a `PersistRecord`'s messages leave only once
it and everything before it are on disk; entries are applied in the order given; every random choice comes from the
generator passed in. What a leader sends its followers does not wait for its own disk: its own acceptance is one vote
like any other and counts when `Durable` comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.paxos.ballot import ZERO, Ballot
from server.paxos.election import Candidacy, ElectionConfig, Role, choose_payloads, promise_of
from server.paxos.leader import RETRY_NS_MAX, RUN_BYTES_MAX, Leadership, begin_progress, split_run
from server.paxos.log import Log
from server.paxos.messages import (
    Accept,
    Accepted,
    ApplyEntries,
    CatchUp,
    CatchUpRequest,
    Commit,
    Durable,
    Effect,
    LeadershipChanged,
    LeadershipQuery,
    Message,
    PersistRecord,
    Prepare,
    Promise,
    PromiseRecord,
    Reject,
    RejectReason,
    Release,
    ResetRecord,
    Run,
    SendMessage,
    SendSnapshot,
)
from server.paxos.quorum import Configuration, ReplicaKind

if TYPE_CHECKING:
    import random

    from server.paxos.lease import NodeLeases


class PaxosCore:
    """One member. Requires: `log` and `promised` are exactly what this member had on disk.

    Guarantees, whatever the messages: promises never go back; entries applied on any two members agree slot by slot;
    at most one member serves at a time (`is_serving`), and it has applied everything that was ever acknowledged.
    """

    def __init__(
        self,
        node_id: int,
        configuration: Configuration,
        leases: NodeLeases,
        rng: random.Random,
        now_ns: int,
        *,
        promised: Ballot = ZERO,
        log: Log | None = None,
        election: ElectionConfig | None = None,
    ) -> None:
        self.node_id = node_id
        self.configuration = configuration
        self.leases = leases
        self.rng = rng
        self.election = election or ElectionConfig()
        self.log = log or Log(1, (), 0)
        self.promised = promised
        self.applied_slot = self.log.commit_slot
        self.role = Role.FOLLOWER
        self.leadership: Leadership | None = None
        self.candidacy: Candidacy | None = None
        self.is_restoring = False  # its state machine is being rebuilt: it votes, but must not lead
        self._matched_slot = self.log.commit_slot  # the log agrees with the leader of `promised` up to here
        self._durable_matched = self._matched_slot  # ... and that much of it is on disk
        self._highest_seen = promised
        self._released = ZERO  # a ballot whose owner is known not to lead under it, now or ever again
        self._is_led = False  # the owner of `promised` has been seen to lead under it
        self._stand_at_ns = self._first_stand_ns(now_ns)
        self._retry_ns = self.election.retry_ns
        self._effects: list[Effect] = []

    # What the shell may ask

    @property
    def leader_node_id(self) -> int:
        """Who leads as far as this member knows; 0: nobody."""
        if self.role == Role.LEADER:
            return self.node_id
        return 0 if self.promised.node_id == self.node_id or self._released == self.promised else self.promised.node_id

    @property
    def next_slot(self) -> int:
        return self.log.last_slot + 1

    def lease_until_ns(self) -> int:
        """Until when, on this node's clock, a majority's grants hold for this group; -1: they do not."""
        if self.leadership is None:
            return -1
        return self.configuration.majority_value(self.leadership.held_until_ns(self.node_id, self.leases))

    def is_serving(self, now_ns: int) -> bool:
        """Whether this member may answer strongly consistent reads and take writes at this moment."""
        leadership = self.leadership
        return (
            leadership is not None and self.applied_slot >= leadership.recovered_slot and now_ns < self.lease_until_ns()
        )

    def deadline_ns(self) -> int:
        """When `tick` has something to do next, if nothing else happens."""
        leadership = self.leadership
        if leadership is None:
            return self._stand_at_ns
        last_slot = self.log.last_slot
        times = [progress.retry_at_ns for progress in leadership.progress.values() if progress.is_behind(last_slot)]
        if leadership.flush_at_ns:
            times.append(leadership.flush_at_ns)
        return min(times, default=1 << 62)

    # Events

    def handle(self, sender: int, message: Message, now_ns: int) -> list[Effect]:
        """A message of another member. One from a node that is not a member is ignored."""
        if self.configuration.member(sender) is None:
            return []
        match message:
            case Accept():
                self._on_accept(sender, message, now_ns)
            case Accepted():
                self._on_accepted(sender, message, now_ns)
            case Commit():
                self._on_commit(sender, message, now_ns)
            case CatchUp():
                self._on_catch_up(sender, message, now_ns)
            case Reject():
                self._on_reject(sender, message, now_ns)
            case Prepare():
                self._on_prepare(sender, message, now_ns)
            case Promise():
                self._on_promise(sender, message, now_ns)
            case CatchUpRequest():
                self._on_catch_up_request(sender, message)
            case LeadershipQuery():
                self._on_leadership_query(sender, message)
            case _:
                self._on_release(sender, message, now_ns)
        return self._take()

    def propose(self, payloads: tuple[bytes, ...], now_ns: int) -> list[Effect]:
        """Proposes entries in the slots from `next_slot` on. Requires that this member leads."""
        leadership = self.leadership
        assert leadership is not None and payloads
        self._accept_own(Run(leadership.ballot, self.next_slot, payloads), now_ns)
        return self._take()

    def durable(self, event: Durable, now_ns: int) -> list[Effect]:
        """A record that was to come back as this event is on disk."""
        if event.is_promise:
            self._own_promise_durable(event, now_ns)
        elif event.ballot == self.promised:
            self._durable_matched = max(self._durable_matched, event.last_slot)
            if self.leadership is not None:
                self.leadership.durable_slot = max(self.leadership.durable_slot, event.last_slot)
                self._advance_commit(now_ns)
        return self._take()

    def tick(self, now_ns: int) -> list[Effect]:
        """Does what is due. Harmless at any time; needed at `deadline_ns`."""
        if self.leadership is not None:
            self._tick_leader(self.leadership, now_ns)
        elif now_ns >= self._stand_at_ns:
            self._tick_follower(now_ns)
        return self._take()

    def peer_renewed(self, node_id: int, now_ns: int) -> list[Effect]:
        """Node `node_id` is connected anew, or grants at a new epoch: what it last acknowledged may be void."""
        if self.leadership is not None and (progress := self.leadership.progress.get(node_id)) is not None:
            progress.restart_from(progress.acked_slot)
            progress.is_in_snapshot = False
            progress.retry_at_ns = now_ns + progress.retry_ns
            self._tell_commit(self.leadership, node_id)
        elif self.promised.node_id == self.node_id and self.role == Role.FOLLOWER:
            # It led in a former life, or gave up: grants that its node still holds must not keep others from leading.
            self._release(self.promised, (node_id,))
        return self._take()

    def snapshot_sent(self, node_id: int, slot: int, now_ns: int) -> list[Effect]:
        """The transfer that SendSnapshot asked for has ended: `node_id` holds the state as of `slot` (0: it failed)."""
        if self.leadership is not None and (progress := self.leadership.progress.get(node_id)) is not None:
            progress.is_in_snapshot = False
            progress.restart_from(max(progress.acked_slot, slot))
            progress.retry_at_ns = now_ns + progress.retry_ns
            self._tell_commit(self.leadership, node_id)
        return self._take()

    def snapshot_restored(self, slot: int) -> list[Effect]:
        """This member's state machine holds, durably, the state as of `slot`. Where the log goes further than that,
        what it holds after `slot` is applied again."""
        if slot > self.log.commit_slot:
            self.log.reset(slot)
            self.applied_slot = slot
            self._matched_slot = slot
            event = Durable(self.promised, slot, is_promise=False)
            self._effects.append(PersistRecord(ResetRecord(self.promised, slot), (), event))
        elif self.log.first_slot > slot + 1:
            return self._take()  # too old to be of use: the log has been trimmed past it
        elif slot < self.log.commit_slot:
            commit_slot = self.log.commit_slot
            self._effects.append(ApplyEntries(slot + 1, self.log.payloads(slot + 1, commit_slot)))
        self.is_restoring = False
        return self._take()

    def hand_over(self, now_ns: int) -> list[Effect]:
        """Ends this leadership in favour of the follower that has most of the log. Requires that this member leads."""
        leadership = self.leadership
        assert leadership is not None
        ballot = leadership.ballot
        candidates = [
            (self.leases.held(node_id)[0] > now_ns, progress.acked_slot, node_id)
            for node_id, progress in leadership.progress.items()
            if (member := self.configuration.member(node_id)) is not None and member.kind == ReplicaKind.STORAGE
        ]
        self._step_down(now_ns)
        self._stand_at_ns = now_ns + self.leases.config.duration_ns
        for _, _, node_id in sorted(candidates, reverse=True)[:1]:
            self._release(ballot, (node_id,))
        return self._take()

    def trim(self, slot: int) -> None:
        """Forgets log entries up to `slot`; they must be applied and in the state machine's checkpoint."""
        self.log.trim(min(slot, self.applied_slot))

    # Acceptor and follower

    def _adopt(self, ballot: Ballot, now_ns: int) -> bool:
        """Takes up a leadership that is at least as high as any promise; returns whether the promise went up.

        Its owner has won phase 1, so whoever led before leads no more; no grant needs to be looked at."""
        self._highest_seen = max(self._highest_seen, ballot)
        self._is_led = True
        self._retry_ns = self.election.retry_ns
        if ballot == self.promised:
            if self.role == Role.CANDIDATE:
                self._step_down(now_ns)
            return False
        self._step_down(now_ns)
        self.promised = ballot
        self._matched_slot = self._durable_matched = self.log.commit_slot
        self._stand_at_ns = now_ns + self.leases.config.duration_ns + self._jitter()
        return True

    def _reject(self, to: int, ballot: Ballot, reason: RejectReason) -> None:
        self._send(to, Reject(ballot, self.promised, self._matched_slot, reason))

    def _on_accept(self, sender: int, message: Accept, now_ns: int) -> None:
        run = message.run
        if run.ballot < self.promised or run.ballot.node_id != sender:
            self._reject(sender, run.ballot, RejectReason.LOWER_BALLOT)
            return
        has_risen = self._adopt(run.ballot, now_ns)
        if run.first_slot > self._matched_slot + 1:
            if has_risen:
                self._effects.append(PersistRecord(PromiseRecord(run.ballot)))
            self._reject(sender, run.ballot, RejectReason.HOLE)
            return
        self._take_run(run)
        last_slot = self._matched_slot
        accepted = Accepted(run.ballot, last_slot, self.leases.epoch_towards(sender))
        event = Durable(run.ballot, last_slot, is_promise=False)
        # A run that was here already is written again: it may not be on disk yet, and this is rare.
        self._effects.append(PersistRecord(run, (SendMessage(sender, accepted),), event))
        self._learn_commit(message.commit_slot)

    def _take_run(self, run: Run) -> None:
        """Puts into the log what of a run is not committed yet, and moves the matched slot."""
        skip = self.log.commit_slot + 1 - run.first_slot
        if skip < len(run.payloads):
            self.log.write(run if skip <= 0 else Run(run.ballot, run.first_slot + skip, run.payloads[skip:]))
        self._matched_slot = max(self._matched_slot, run.last_slot)

    def _learn_commit(self, commit_slot: int) -> None:
        self._commit(min(commit_slot, self._matched_slot))

    def _commit(self, slot: int) -> None:
        if slot > self.log.commit_slot:
            first_slot = self.log.commit_slot + 1
            self.log.commit_slot = slot
            self.applied_slot = slot
            self._effects.append(ApplyEntries(first_slot, self.log.payloads(first_slot, slot)))

    def _on_commit(self, sender: int, message: Commit, now_ns: int) -> None:
        if message.ballot < self.promised or message.ballot.node_id != sender:
            self._reject(sender, message.ballot, RejectReason.LOWER_BALLOT)
            return
        has_risen = self._adopt(message.ballot, now_ns)
        self._learn_commit(message.commit_slot)
        answer: Message
        if message.commit_slot > self._matched_slot:
            answer = Reject(message.ballot, self.promised, self._matched_slot, RejectReason.HOLE)
        else:
            answer = Accepted(message.ballot, self._durable_matched, self.leases.epoch_towards(sender))
        if has_risen:
            self._effects.append(PersistRecord(PromiseRecord(message.ballot), (SendMessage(sender, answer),)))
        else:
            self._send(sender, answer)

    def _on_catch_up(self, sender: int, message: CatchUp, now_ns: int) -> None:
        """Committed entries hold whoever sent them; only a leader in force is answered.

        What a leader in force sends continues the part of the log that agrees with it; what anybody else sends can only
        continue the part that is known to be committed."""
        if self.role == Role.LEADER:
            return
        is_from_leader = message.ballot >= self.promised and message.ballot.node_id == sender
        if is_from_leader and self._adopt(message.ballot, now_ns):
            self._effects.append(PersistRecord(PromiseRecord(message.ballot)))
        last = self._matched_slot if is_from_leader else self.log.commit_slot
        for run in message.runs:
            if run.first_slot > last + 1:
                break
            if run.last_slot > self.log.commit_slot:
                self._take_run(run)
                self._effects.append(PersistRecord(run))
            last = max(last, run.last_slot)
        self._commit(min(message.commit_slot, last))
        if is_from_leader:
            last_slot = self._matched_slot
            answer = Accepted(message.ballot, last_slot, self.leases.epoch_towards(sender))
            event = Durable(message.ballot, last_slot, is_promise=False)
            self._effects.append(PersistRecord(PromiseRecord(message.ballot), (SendMessage(sender, answer),), event))

    def _on_catch_up_request(self, sender: int, message: CatchUpRequest) -> None:
        first = message.first_slot
        if first < self.log.first_slot:
            self._effects.append(SendSnapshot(sender))
        elif first <= self.log.commit_slot:
            runs = self.log.runs(first, self.log.commit_slot, RUN_BYTES_MAX)
            self._send(sender, CatchUp(ZERO, runs, self.log.commit_slot))

    def _on_prepare(self, sender: int, message: Prepare, now_ns: int) -> None:
        self._highest_seen = max(self._highest_seen, message.ballot)
        if message.ballot < self.promised or message.ballot.node_id != sender:
            self._reject(sender, message.ballot, RejectReason.LOWER_BALLOT)
        elif now_ns < self.leases.votes_from_ns:
            self._reject(sender, message.ballot, RejectReason.WAITING)
        elif self._is_bound(sender, message.released, now_ns):
            self._reject(sender, message.ballot, RejectReason.BOUND_BY_GRANT)
        else:
            self._promise(sender, message, now_ns)

    def _is_bound(self, candidate: int, released: Ballot, now_ns: int) -> bool:
        """Whether a grant in force forbids to help `candidate`: this node granted to the node that leads, and that
        leadership has not let go. Another ballot's release says nothing, a later one's neither: it may never have won
        its election, while this one's leader serves on."""
        if self.role == Role.LEADER:
            return now_ns < self.lease_until_ns()
        leader = self.promised.node_id
        if leader in (0, self.node_id, candidate) or self.promised in (released, self._released):
            return False
        return self.leases.is_bound_to(leader, now_ns)

    def _promise(self, sender: int, message: Prepare, now_ns: int) -> None:
        self._step_down(now_ns)  # at the same ballot as well: this vouches for it anew, an own attempt must end
        if message.ballot > self.promised:
            self.promised = message.ballot
            self._is_led = False
            self._matched_slot = self._durable_matched = self.log.commit_slot
        self._stand_at_ns = now_ns + self.election.retry_ns * 2 + self._jitter()
        promise = promise_of(self.log, message.ballot, message.from_slot, self.leases.epoch_towards(sender))
        self._effects.append(PersistRecord(PromiseRecord(message.ballot), (SendMessage(sender, promise),)))

    def _on_release(self, sender: int, message: Release, now_ns: int) -> None:
        if message.ballot.node_id != sender or message.ballot < self.promised or self.role == Role.LEADER:
            return
        if message.ballot == self.promised:
            self._released = message.ballot
        else:
            self._is_led = False  # somebody has promised a later ballot: whether this one is still led must be asked
        if self.role == Role.FOLLOWER:
            rank = self.configuration.node_ids.index(self.node_id)
            self._stand_at_ns = min(self._stand_at_ns, now_ns + rank * self.election.rank_ns // 4)

    def _on_leadership_query(self, sender: int, message: LeadershipQuery) -> None:
        if self.leadership is not None and self.leadership.ballot >= message.ballot:
            self._tell_commit(self.leadership, sender)
        elif message.ballot.node_id == self.node_id and (
            self.candidacy is None or self.candidacy.ballot != message.ballot
        ):
            self._highest_seen = max(self._highest_seen, message.ballot)
            self._released = message.ballot
            # On disk first: a ballot that was let go of must not be taken again in a later life either.
            release = SendMessage(sender, Release(message.ballot))
            self._effects.append(PersistRecord(PromiseRecord(message.ballot), (release,)))

    # Candidate

    def _first_stand_ns(self, now_ns: int) -> int:
        from_ns = max(now_ns, self.leases.votes_from_ns)
        if self.promised.node_id in (0, self.node_id):
            rank = self.configuration.node_ids.index(self.node_id) if self.promised == ZERO else 0
            return from_ns + rank * self.election.rank_ns
        return from_ns + self.election.retry_ns + self._jitter()

    def _jitter(self) -> int:
        return self.rng.randrange(self.election.jitter_ns)

    def _tick_follower(self, now_ns: int) -> None:
        """The time to stand may have come: unless a grant binds this node, or it cannot lead, it does."""
        member = self.configuration.member(self.node_id)
        if member is None or member.kind == ReplicaKind.LOG or self.is_restoring:
            self._stand_at_ns = now_ns + self.leases.config.duration_ns
        elif now_ns < self.leases.votes_from_ns:
            self._stand_at_ns = self.leases.votes_from_ns + self._jitter()
        elif self._is_bound(self.node_id, ZERO, now_ns):
            self._step_down(now_ns)
            bound_until_ns = self.leases.bound_until_ns(self.promised.node_id)
            if not self._is_led:
                # A grant to a node that never came to lead must not keep everybody waiting.
                self._send(self.promised.node_id, LeadershipQuery(self.promised))
                bound_until_ns = min(bound_until_ns, now_ns + self.election.retry_ns)
            self._stand_at_ns = bound_until_ns + self._jitter()
        else:
            self._stand(now_ns)

    def _stand(self, now_ns: int) -> None:
        """Asks for promises at a new ballot. This member promises itself only once the others' promises would make a
        majority with its own: a member that nobody will elect disturbs nobody, the leader least of all."""
        self._highest_seen = max(self._highest_seen, self.promised)
        ballot = self._highest_seen.next_for(self.node_id)
        self._highest_seen = ballot
        self.role = Role.CANDIDATE
        self.candidacy = Candidacy(ballot, self.log.commit_slot + 1)
        # Longer each time: where disks are slow, an attempt must live until its promises are on them.
        self._stand_at_ns = now_ns + self._retry_ns + self._jitter()
        self._retry_ns = min(self._retry_ns * 2, max(self.election.retry_ns, self.leases.config.duration_ns))
        prepare = Prepare(ballot, self.candidacy.from_slot, self._released)
        for node_id in self.configuration.node_ids:
            if node_id != self.node_id:
                self._send(node_id, prepare)
        self._promise_itself(self.candidacy)

    def _on_promise(self, sender: int, message: Promise, now_ns: int) -> None:
        candidacy = self.candidacy
        # A ballot may have been used in a former life, whose promises tell of other slots.
        if candidacy is None or (message.ballot, message.from_slot) != (candidacy.ballot, candidacy.from_slot):
            return
        candidacy.promises[sender] = message
        self._promise_itself(candidacy)
        self._win_if_elected(candidacy, now_ns)

    def _promise_itself(self, candidacy: Candidacy) -> None:
        with_own = {*candidacy.promises, self.node_id}
        if candidacy.is_promising_itself or not self.configuration.is_majority(with_own):
            return
        candidacy.is_promising_itself = True
        self.promised = candidacy.ballot
        self._is_led = False
        self._matched_slot = self._durable_matched = self.log.commit_slot
        event = Durable(candidacy.ballot, 0, is_promise=True)
        self._effects.append(PersistRecord(PromiseRecord(candidacy.ballot), (), event))

    def _own_promise_durable(self, event: Durable, now_ns: int) -> None:
        candidacy = self.candidacy
        if candidacy is not None and candidacy.ballot == event.ballot == self.promised:
            candidacy.promises[self.node_id] = promise_of(self.log, event.ballot, candidacy.from_slot, 0)
            self._win_if_elected(candidacy, now_ns)

    def _win_if_elected(self, candidacy: Candidacy, now_ns: int) -> None:
        promises = candidacy.promises
        if self.node_id not in promises or not self.configuration.is_majority(promises) or self.is_restoring:
            return
        if better := candidacy.better_informed(self.node_id):
            # Another member knows of committed entries that this one cannot get by phase 1.
            self._step_down(now_ns)
            self._release(candidacy.ballot, tuple(n for n in self.configuration.node_ids if n != self.node_id))
            self._send(better, CatchUpRequest(self.log.commit_slot + 1))
            self._stand_at_ns = now_ns + self.leases.config.duration_ns + self._jitter()
            return
        self._lead(candidacy, now_ns)

    def _lead(self, candidacy: Candidacy, now_ns: int) -> None:
        """Phase 1 is won: what a majority may have chosen is proposed anew, at this ballot."""
        commit_slot = self.log.commit_slot
        chosen = choose_payloads(candidacy.from_slot, list(candidacy.promises.values()))
        payloads = chosen[commit_slot + 1 - candidacy.from_slot :]  # it may have learned more since it stood
        progress = begin_progress(self.configuration, self.node_id, candidacy.promises, commit_slot, now_ns)
        self.candidacy = None
        self.role = Role.LEADER
        self._retry_ns = self.election.retry_ns
        self.leadership = Leadership(candidacy.ballot, commit_slot + len(payloads), commit_slot, progress)
        self._effects.append(LeadershipChanged(candidacy.ballot, is_leader=True))
        for run in split_run(Run(candidacy.ballot, commit_slot + 1, payloads), RUN_BYTES_MAX):
            self._accept_own(run, now_ns)
        if not payloads:
            for node_id in progress:
                self._tell_commit(self.leadership, node_id)

    # Leader

    def _accept_own(self, run: Run, now_ns: int) -> None:
        leadership = self.leadership
        assert leadership is not None
        self.log.write(run)
        self._matched_slot = run.last_slot
        leadership.send_run(run, self.log.commit_slot, now_ns, self._effects)
        self._effects.append(PersistRecord(run, (), Durable(run.ballot, run.last_slot, is_promise=False)))

    def _on_accepted(self, sender: int, message: Accepted, now_ns: int) -> None:
        leadership = self.leadership
        if leadership is None or message.ballot != leadership.ballot:
            return
        progress = leadership.progress[sender]
        progress.support_epoch = max(progress.support_epoch, message.grant_epoch)
        if message.last_slot > progress.acked_slot:
            progress.note_acked(message.last_slot, now_ns)
            self._advance_commit(now_ns)
        if progress.sent_slot < self.log.last_slot:
            leadership.send_missing(sender, self.log, now_ns, self._effects)

    def _advance_commit(self, now_ns: int) -> None:
        leadership = self.leadership
        assert leadership is not None
        slot = self.configuration.majority_value(leadership.acked_slots(self.node_id))
        if slot > self.log.commit_slot:
            self._commit(slot)
            if not leadership.flush_at_ns:
                leadership.flush_at_ns = now_ns + self.election.flush_ns

    def _on_reject(self, sender: int, message: Reject, now_ns: int) -> None:
        self._highest_seen = max(self._highest_seen, message.promised)
        leadership = self.leadership
        if leadership is not None and message.ballot == leadership.ballot:
            if message.reason == RejectReason.HOLE:
                progress = leadership.progress[sender]
                # Each message after a hole is refused: one answer does. The hole may lie below what was acknowledged:
                # a follower that restarted vouches for what is committed only.
                if progress.hole_slot != message.last_slot:
                    progress.acked_slot = min(progress.acked_slot, message.last_slot)
                    progress.restart_from(message.last_slot)
                    progress.hole_slot = message.last_slot
                    leadership.send_missing(sender, self.log, now_ns, self._effects)
            elif message.promised > leadership.ballot:
                # A member is lost to this ballot. This leadership lets go of itself and stands again above it.
                self._step_down(now_ns)
                self._released = message.ballot
                self._stand(now_ns)
        elif self.candidacy is not None and message.ballot == self.candidacy.ballot:
            self._stand_at_ns = min(self._stand_at_ns, now_ns + self.election.retry_ns // 2 + self._jitter())

    def _tick_leader(self, leadership: Leadership, now_ns: int) -> None:
        for node_id, progress in leadership.progress.items():
            if progress.is_behind(self.log.last_slot) and now_ns >= progress.retry_at_ns:
                # Asks how far it is rather than sending everything again; the answer brings what it lacks.
                progress.retry_ns = min(progress.retry_ns * 2, RETRY_NS_MAX)
                progress.retry_at_ns = now_ns + progress.retry_ns
                progress.restart_from(progress.acked_slot)
                self._tell_commit(leadership, node_id)
        if leadership.flush_at_ns and now_ns >= leadership.flush_at_ns:
            leadership.flush_at_ns = 0
            for node_id, progress in leadership.progress.items():
                if progress.told_commit_slot < self.log.commit_slot:
                    self._tell_commit(leadership, node_id)

    def _tell_commit(self, leadership: Leadership, node_id: int) -> None:
        leadership.progress[node_id].told_commit_slot = self.log.commit_slot
        self._send(node_id, Commit(leadership.ballot, self.log.commit_slot))

    # Common

    def _step_down(self, now_ns: int) -> None:
        if self.leadership is not None:
            self._effects.append(LeadershipChanged(self.leadership.ballot, is_leader=False))
            self._stand_at_ns = now_ns + self.leases.config.duration_ns + self._jitter()
        self.role = Role.FOLLOWER
        self.leadership = None
        self.candidacy = None

    def _release(self, ballot: Ballot, node_ids: tuple[int, ...]) -> None:
        self._released = ballot
        for node_id in node_ids:
            self._send(node_id, Release(ballot))

    def _send(self, to: int, message: Message) -> None:
        self._effects.append(SendMessage(to, message))

    def _take(self) -> list[Effect]:
        effects = self._effects
        self._effects = []
        return effects
