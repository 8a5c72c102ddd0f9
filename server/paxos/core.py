"""One member of a replication group: Multi-Paxos with leader leases, as a pure state machine.

Events go in through `handle`, `propose` and `tick` together with the time; effects come out and have to be carried out
in order. The shell around it keeps three rules: a `PersistRecord`'s messages leave only once it and everything before
it are on disk; entries are applied in the order given; every random choice comes from the generator passed in. What a
leader sends its followers does not wait for its own disk: its own acceptance is one vote like any other and counts when
`Durable` comes back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from server.paxos.acceptor import Acceptor, Health
from server.paxos.ballot import ABOVE_ALL, ZERO, Ballot
from server.paxos.election import Candidacy, Role, choose_payloads, promise_of
from server.paxos.leader import RETRY_NS_MAX, RUN_BYTES_MAX, Leadership, begin_progress, choose_successor, split_run
from server.paxos.messages import (
    NO_OP,
    Accept,
    Accepted,
    CatchUp,
    CatchUpRequest,
    Commit,
    Durable,
    Effect,
    LeadershipChanged,
    LeadershipQuery,
    LogStart,
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
)
from server.paxos.quorum import (
    CONFIGURATION_MARK,
    Configuration,
    ReplicaKind,
    decode_configuration,
    encode_configuration,
)

LAG_SLOTS_MAX = 1_000
"""How far a member may be behind that a change of members needs."""


class PaxosCore(Acceptor):
    """One member. Requires: `log` and `promised` are exactly what this member had on disk.

    Guarantees, whatever the messages: promises never go back; entries applied on any two members agree slot by slot;
    at most one member serves at a time (`is_serving`), and it has applied everything that was ever acknowledged.
    """

    # Events

    def handle(self, sender: int, message: Message, now_ns: int) -> list[Effect]:
        """A message of another node of the group. It may be a member of a configuration that this member has not heard
        of yet, or of one that it has left behind: whose votes count is looked at where they are counted."""
        if self.health == Health.DAMAGED and isinstance(message, Accept | Commit | CatchUp | LogStart):
            ballot = message.run.ballot if isinstance(message, Accept) else message.ballot
            if ballot.node_id == sender:
                self._begin_healing(sender, ballot)
            return self._take()
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
            case LogStart():
                self._on_log_start(sender, message, now_ns)
            case _:
                self._on_release(sender, message, now_ns)
                if message.is_handed_over and self.leadership is None and now_ns >= self._stand_at_ns:
                    self._tick_follower(now_ns)
        return self._take()

    def propose(self, payloads: tuple[bytes, ...], now_ns: int) -> list[Effect]:
        """Proposes entries in the slots from `next_slot` on. Requires `can_propose`."""
        leadership = self.leadership
        assert leadership is not None and payloads and self.can_propose
        self._accept_own(Run(leadership.ballot, self.next_slot, payloads), now_ns)
        return self._take()

    @property
    def can_propose(self) -> bool:
        """Whether this member leads and no configuration entry is on its way: nothing is proposed past one until it is
        committed, so that any slot's configuration is known to whoever proposes in it."""
        return self.leadership is not None and not self.leadership.configuration_slot

    def expect_configuration(self, configuration: Configuration, now_ns: int) -> list[Effect]:
        """The group's next members are to be proposed as soon as `may_configure`: whoever is to join begins to follow.
        Without effect where this member does not lead, or cannot propose anything now."""
        leadership = self.leadership
        if leadership is not None and self.can_propose:
            if leadership.successor != configuration:
                leadership.successor, leadership.expected_since_ns = configuration, now_ns
            is_held = leadership.held_slot(configuration, self.node_id) >= self.log.first_slot - 1
            if is_held or now_ns - leadership.expected_since_ns >= self.election.held_wait_ns:
                self._begin_joining(leadership, configuration, now_ns)
        return self._take()

    def _begin_joining(self, leadership: Leadership, successor: Configuration, now_ns: int) -> None:
        commit_slot = self.log.commit_slot
        for node_id in leadership.begin_joining(self.node_id, self.configuration, successor, commit_slot, now_ns):
            self._tell_commit(leadership, node_id)

    def propose_configuration(self, configuration: Configuration, now_ns: int) -> list[Effect]:
        """Proposes the group's next members. Requires `may_configure`."""
        leadership = self.leadership
        assert leadership is not None and self.may_configure(configuration, now_ns)
        self._begin_joining(leadership, configuration, now_ns)
        leadership.configuration_slot = self.next_slot
        leadership.successor = configuration
        leadership.reconsider_at_ns = now_ns + self.leases.config.duration_ns
        self._own_configuration = (self.next_slot, frozenset((leadership.ballot,)))
        self._accept_own(Run(leadership.ballot, self.next_slot, (encode_configuration(configuration),)), now_ns)
        return self._take()

    def may_configure(self, configuration: Configuration, now_ns: int) -> bool:
        """Whether `configuration` may be proposed now: this member serves and stays; majorities of both the members in
        force and the new ones follow closely, so that it will be committed soon: nothing else can be proposed
        meanwhile. Whoever joins is among those who follow, or has been waited for long enough; but who leaves is not
        given up for somebody who is not there."""
        leadership = self.leadership
        member = configuration.member(self.node_id)
        if leadership is None or member is None or member.kind == ReplicaKind.LOG:
            return False
        if not self.can_propose or not self.is_serving(now_ns):
            return False
        held = leadership.held_until_ns(self.node_id, self.leases)
        following = {
            node_id
            for node_id, slot in leadership.acked_slots(self.node_id).items()
            if slot + LAG_SLOTS_MAX >= self.log.commit_slot and held.get(node_id, 0) > now_ns
        }
        joining = set(configuration.node_ids) - set(self.configuration.node_ids)
        leaving = set(self.configuration.node_ids) - set(configuration.node_ids)
        if not following.issuperset(joining):
            is_expected = leadership.successor == configuration
            has_waited = is_expected and now_ns - leadership.expected_since_ns >= self.election.join_wait_ns
            if not has_waited or following & leaving:
                return False
        return configuration.is_majority(following) and self.configuration.is_majority(following)

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
        progress = self.leadership.progress.get(node_id) if self.leadership is not None else None
        if self.configuration.member(node_id) is None and progress is None:
            return []
        if self.health == Health.DAMAGED:
            # Which ballot it led at may be lost. A release of a later one makes the peer ask about the one it knows.
            self._send(node_id, Release(Ballot(ABOVE_ALL, self.node_id)))
        elif self.leadership is not None and progress is not None:
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

    def snapshot_restored(self, slot: int, configuration: tuple[int, Configuration] | None = None) -> list[Effect]:
        """This member's state machine holds, durably, the state as of `slot`. Where the log goes further than that,
        what it holds after `slot` is applied again. `configuration`: what the state says is in force, if it says."""
        if configuration is not None:
            self._configure(*configuration)
        if slot > self.log.commit_slot:
            self.log.reset(slot)
            self.applied_slot = slot
            self._matched_slot = slot
            event = Durable(self.promised, slot, is_promise=False)
            self._effects.append(PersistRecord(ResetRecord(self.promised, slot), (), event))
            self._note_healed()
        elif self.log.first_slot > slot + 1:
            return self._take()  # too old to be of use: the log has been trimmed past it
        elif slot < self.log.commit_slot:
            self._effects += self.apply_effects(slot + 1, self.log.commit_slot)
        self.is_restoring = False
        return self._take()

    def has_successor(self, now_ns: int, avoided: Collection[int] = ()) -> bool:
        """Whether this member leads, and another that may lead follows closely, and is none of `avoided`. Whoever
        hands over without need asks: where nobody takes over, nobody serves until this member does again."""
        if self.leadership is None:
            return False
        followers = self.leadership.successors(self.node_id, self.configuration, self.leases, now_ns)
        least_slot = self.log.commit_slot - LAG_SLOTS_MAX
        return any(each[0] and each[1] >= least_slot and each[2] not in avoided for each in followers)

    def hand_over(self, now_ns: int, avoided: Collection[int] = (), unfit: Collection[int] = ()) -> list[Effect]:
        """Ends this leadership in favour of a follower (`choose_successor`), which is none of `unfit`. Requires that
        this member leads."""
        leadership = self.leadership
        assert leadership is not None
        followers = leadership.successors(self.node_id, self.configuration, self.leases, now_ns)
        followers = [each for each in followers if each[2] not in unfit]
        if successor := choose_successor(followers, self.log.last_slot, (avoided, (self._released.node_id,)), self.rng):
            self._tell_commit(leadership, successor)  # it need not propose again what it knows to be committed
        self._step_down(now_ns)
        self._stand_at_ns = now_ns + self.leases.config.duration_ns
        if successor:
            self._released = leadership.ballot
            self._send(successor, Release(leadership.ballot, is_handed_over=True))
        return self._take()

    def trim(self, slot: int) -> None:
        """Forgets log entries up to `slot`; they must be applied and in the state machine's checkpoint."""
        self.log.trim(min(slot, self.applied_slot))

    def deadline_ns(self) -> int:
        """When `tick` has something to do next, if nothing else happens."""
        leadership = self.leadership
        if leadership is None:
            return self._stand_at_ns
        last_slot = leadership.end_slot(self.log)
        times = [progress.retry_at_ns for progress in leadership.progress.values() if progress.is_behind(last_slot)]
        if leadership.flush_at_ns:
            times.append(leadership.flush_at_ns)
        if leadership.reconsider_at_ns:
            times.append(leadership.reconsider_at_ns)
        return min(times, default=1 << 62)

    def _on_leadership_query(self, sender: int, message: LeadershipQuery) -> None:
        if self.leadership is not None and self.leadership.ballot >= message.ballot:
            self._tell_commit(self.leadership, sender)
        elif message.ballot.node_id == self.node_id and (
            self.candidacy is None or self.candidacy.ballot != message.ballot
        ):
            self._highest_seen = max(self._highest_seen, message.ballot)
            if message.ballot == self.promised:  # what is known of a later one's owner must not be forgotten
                self._released = message.ballot
            # On disk first: a ballot that was let go of must not be taken again in a later life either.
            release = SendMessage(sender, Release(message.ballot))
            self._effects.append(PersistRecord(PromiseRecord(message.ballot), (release,)))

    # Candidate

    def _tick_follower(self, now_ns: int) -> None:
        """The time to stand may have come: unless a grant binds this node, or it cannot lead, it does."""
        if self.is_log_replica or self.is_restoring:
            self._offer(now_ns)
        elif self.health != Health.WHOLE:
            self._ask_to_heal(now_ns)
        elif now_ns < self.leases.votes_from_ns:
            self._stand_at_ns = self.leases.votes_from_ns + self._jitter()
        elif not self.leases.may_stand:
            self._step_down(now_ns)
            self._stand_at_ns = now_ns + self.election.retry_ns + self._jitter()
        elif self._is_bound(self.node_id, ZERO, now_ns):
            self._step_down(now_ns)
            bound_until_ns = self.leases.bound_until_ns(self.promised.node_id)
            if not self._is_led:
                # A grant to a node that never came to lead must not keep everybody waiting.
                self._send(self.promised.node_id, LeadershipQuery(self.promised))
                bound_until_ns = min(bound_until_ns, now_ns + self.election.retry_ns)
            self._stand_at_ns = bound_until_ns + self._jitter()
        elif self.candidacy is not None and (silent := self.candidacy.silent_voter(self.node_id, self.configuration)):
            self._yield(silent, now_ns)
        else:
            self._stand(now_ns)

    def _offer(self, now_ns: int) -> None:
        """Instead of standing: a member that cannot lead, and hears nobody lead, tells the others how much it knows to
        be committed. It may be the only one that knows of the configuration that they are members of."""
        self._stand_at_ns = now_ns + self.leases.config.duration_ns + self._jitter()
        if self._is_bound(self.node_id, ZERO, now_ns):
            # Who led may lead no more, live, and be granted all the same: those that elect another may need this vote.
            self._send(self.promised.node_id, LeadershipQuery(self.promised))
        elif self.health == Health.WHOLE:
            for node_id in self.configuration.node_ids:
                if node_id != self.node_id:
                    self._send(node_id, CatchUp(ZERO, (), self.log.commit_slot))

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
        prepare = Prepare(ballot, self.candidacy.from_slot, self._released, self.configuration_slot)
        for node_id in self.configuration.node_ids:
            if node_id != self.node_id:
                self._send(node_id, prepare)
        for _, successor in self._configurations(self.log.commit_slot + 1, self.log.last_slot):
            # It may be in force, and this member the only one here that has not heard so.
            for node_id in successor.node_ids:
                if self.configuration.member(node_id) is None:
                    self._send(node_id, CatchUpRequest(self.log.commit_slot + 1))
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
        candidacy, self._durable_own = self.candidacy, max(self._durable_own, event.ballot)
        if candidacy is not None and candidacy.ballot == event.ballot == self.promised:
            own = promise_of(self.log, event.ballot, candidacy.from_slot, 0, self.log.bytes)
            candidacy.promises[self.node_id] = own
            self._win_if_elected(candidacy, now_ns)

    def _win_if_elected(self, candidacy: Candidacy, now_ns: int) -> None:
        telling = candidacy.telling(self.node_id)
        if self.node_id not in telling or self.is_restoring:
            return
        if not self.configuration.is_majority(telling):
            # What a voter cannot tell, another member may be able to: it is given a moment.
            self._stand_at_ns = min(self._stand_at_ns, now_ns + self.election.rank_ns)
            return
        first_slot = self.log.commit_slot + 1  # it may have learned more since it stood
        chosen = choose_payloads(candidacy.from_slot, list(telling.values()))
        payloads = self._withdraw(candidacy, telling, chosen[first_slot - candidacy.from_slot :], first_slot)
        successors = [decode_configuration(each) for each in payloads if each.startswith(CONFIGURATION_MARK)]
        if successors and not successors[0].is_majority(candidacy.promises):
            self._ask_successors(candidacy, successors[0])
        else:
            self._lead(candidacy, payloads, now_ns)

    def _ask_successors(self, candidacy: Candidacy, successor: Configuration) -> None:
        """The configuration that phase 1 has brought may be in force, and somebody lead its members, with the grants of
        a majority of those only: a majority of them has to promise, too, which they do not before that has ended."""
        if not candidacy.has_asked_joining:
            candidacy.has_asked_joining = True
            prepare = Prepare(candidacy.ballot, candidacy.from_slot, self._released, self.configuration_slot)
            for node_id in successor.node_ids:
                if self.configuration.member(node_id) is None:
                    self._send(node_id, prepare)

    def _yield(self, silent: int, now_ns: int) -> None:
        """Gives up: node `silent` knows of committed entries that this member cannot get by phase 1."""
        assert self.candidacy is not None
        self._release(self.candidacy.ballot, tuple(n for n in self.configuration.node_ids if n != self.node_id))
        self._step_down(now_ns)
        self._send(silent, CatchUpRequest(self.log.commit_slot + 1))
        self._stand_at_ns = now_ns + self.leases.config.duration_ns + self._jitter()

    def _lead(self, candidacy: Candidacy, payloads: tuple[bytes, ...], now_ns: int) -> None:
        """Phase 1 is won: what a majority may have chosen is proposed anew, at this ballot."""
        commit_slot = self.log.commit_slot
        recovered_slot = commit_slot + len(payloads)
        successors = [at for at, payload in enumerate(payloads) if payload.startswith(CONFIGURATION_MARK)]
        if successors:
            # What lies behind a configuration is for its members to promise: this leadership brings the configuration
            # into force, serves nobody, and ends.
            payloads, recovered_slot = payloads[: successors[0] + 1], ABOVE_ALL
        elif self.opening is not None:
            payloads, recovered_slot = (*payloads, self.opening(candidacy.ballot)), recovered_slot + 1
        progress = begin_progress(self.configuration, self.node_id, candidacy.promises, commit_slot, now_ns)
        self.candidacy = None
        self.role = Role.LEADER
        self._retry_ns = self.election.retry_ns
        self.leadership = Leadership(candidacy.ballot, recovered_slot, commit_slot, progress)
        if successors:
            self.leadership.configuration_slot = commit_slot + len(payloads)
            self.leadership.successor = decode_configuration(payloads[-1])
            self._begin_joining(self.leadership, self.leadership.successor, now_ns)
            if candidacy.ballot in self._own_configuration[1]:
                self.leadership.reconsider_at_ns = now_ns + self.leases.config.duration_ns
        self._effects.append(LeadershipChanged(candidacy.ballot, is_leader=True))
        for run in split_run(Run(candidacy.ballot, commit_slot + 1, payloads), RUN_BYTES_MAX):
            self._accept_own(run, now_ns)
        if not payloads:
            for node_id in progress:
                self._tell_commit(self.leadership, node_id)

    def _withdraw(
        self, candidacy: Candidacy, telling: Mapping[int, Promise], payloads: tuple[bytes, ...], first_slot: int
    ) -> tuple[bytes, ...]:
        """The payloads from `first_slot` on, without the configuration entry that this member has proposed, if those
        that stay and are heard from cannot carry it through: nothing else could be proposed for as long as that lasts.

        No majority of those that promised has it at another ballot than those at which this member alone could have
        counted it committed, and it has not: so nobody has, and nobody will."""
        slot, ballots = self._own_configuration
        at = slot - first_slot
        if not 0 <= at < len(payloads) or not payloads[at].startswith(CONFIGURATION_MARK):
            return payloads
        runs = [run for promise in telling.values() for run in promise.runs]
        if max(run.ballot for run in runs if run.first_slot <= slot <= run.last_slot) not in ballots:
            return payloads
        successor = decode_configuration(payloads[at])
        if successor.is_majority(candidacy.promises.keys() & set(self.configuration.survivors(successor))):
            self._own_configuration = (slot, ballots | {candidacy.ballot})
            return payloads
        return (*payloads[:at], NO_OP, *payloads[at + 1 :])

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
        progress = leadership.progress.get(sender)
        if progress is None:
            return  # it is a member no more
        if message.last_slot >= progress.joined_slot:
            progress.support_epoch = max(progress.support_epoch, message.grant_epoch)
        if message.last_slot > progress.acked_slot:
            progress.note_acked(message.last_slot, now_ns)
            self._advance_commit(now_ns)
        if leadership.progress.get(sender) is not progress:
            return  # with this it has ceased to be a member
        if self.leadership is leadership and progress.sent_slot < leadership.end_slot(self.log):
            self._send_missing(leadership, sender, now_ns)

    def _send_missing(self, leadership: Leadership, node_id: int, now_ns: int) -> None:
        held_slot = -1
        progress = leadership.progress[node_id]
        is_joining = self.configuration.member(node_id) is None
        if progress.is_log_replica and progress.sent_slot + 1 < self.log.first_slot:
            configuration = leadership.successor if is_joining else self.configuration
            assert configuration is not None  # whoever is no member is to become one
            held_slot = leadership.held_slot(configuration, self.node_id)
        leadership.send_missing(node_id, self.log, now_ns, self._effects, held_slot=held_slot, is_joining=is_joining)

    def _advance_commit(self, now_ns: int) -> None:
        leadership = self.leadership
        assert leadership is not None
        acked_slots = leadership.acked_slots(self.node_id)
        slot = self.configuration.majority_value(acked_slots)
        if leadership.configuration_slot and slot >= leadership.configuration_slot:
            slot = self._configuration_commit(leadership, acked_slots)
        if slot > self.log.commit_slot:
            self._commit(slot)
            if not leadership.flush_at_ns:
                leadership.flush_at_ns = now_ns + self.election.flush_ns
            if slot == leadership.configuration_slot:
                self._lead_on(leadership, now_ns)

    def _configuration_commit(self, leadership: Leadership, acked_slots: Mapping[int, int]) -> int:
        """Up to where the log is committed once a majority has the configuration entry at its end: all of it, if a
        majority of the new members has it too, and all before it: what of that a log replica among them has not, is on
        the disks of enough others (`Leadership.send_missing`)."""
        assert leadership.successor is not None
        slot = leadership.configuration_slot
        return slot if leadership.successor.majority_value(acked_slots) >= slot else slot - 1

    def _lead_on(self, leadership: Leadership, now_ns: int) -> None:
        """The configuration that this leadership proposed is in force. If it proposed it of its own accord, nobody can
        have proposed anything behind it at a lower ballot, and it goes on; if phase 1 brought it, somebody may have."""
        leadership.configuration_slot, leadership.successor = 0, None
        if leadership.recovered_slot == ABOVE_ALL:
            node_ids = tuple(leadership.progress)
            for node_id in node_ids:
                self._tell_commit(leadership, node_id)
            self._step_down(now_ns)
            if self.is_log_replica:
                self._release(leadership.ballot, node_ids)
            else:
                self._released = leadership.ballot
                self._stand(now_ns)
            return
        for node_id in tuple(leadership.progress):
            self._tell_commit(leadership, node_id)
            if self.configuration.member(node_id) is None:
                del leadership.progress[node_id]
        # Whoever has this is told with it that the configuration is in force, and remembers.
        self._accept_own(Run(leadership.ballot, self.next_slot, (NO_OP,)), now_ns)

    def _on_reject(self, sender: int, message: Reject, now_ns: int) -> None:
        self._highest_seen = max(self._highest_seen, message.promised)
        leadership = self.leadership
        if leadership is not None and message.ballot == leadership.ballot:
            if message.reason == RejectReason.HOLE:
                progress = leadership.progress.get(sender)
                if progress is None:
                    return  # it is a member no more
                # Each message after a hole is refused: one answer does. The hole may lie below what was acknowledged:
                # a follower that restarted vouches for what is committed only.
                if progress.hole_slot != message.last_slot:
                    progress.acked_slot = min(progress.acked_slot, message.last_slot)
                    progress.restart_from(message.last_slot)
                    progress.hole_slot = message.last_slot
                    self._send_missing(leadership, sender, now_ns)
            elif message.promised > leadership.ballot:
                # A member is lost to this ballot. This leadership lets go of itself and stands again above it.
                self._step_down(now_ns)
                self._released = message.ballot
                self._stand(now_ns)
        elif message.reason == RejectReason.NOT_A_MEMBER:
            # The group has gone on without this member, or is about to tell it that it has not.
            self._send(sender, CatchUpRequest(self.log.commit_slot + 1))
            self._stand_at_ns = max(self._stand_at_ns, now_ns + self.leases.config.duration_ns + self._jitter())
        elif self.candidacy is not None and message.ballot == self.candidacy.ballot:
            self._stand_at_ns = min(self._stand_at_ns, now_ns + self.election.retry_ns // 2 + self._jitter())

    def _tick_leader(self, leadership: Leadership, now_ns: int) -> None:
        for node_id, progress in leadership.progress.items():
            if progress.is_behind(leadership.end_slot(self.log)) and now_ns >= progress.retry_at_ns:
                # Asks how far it is rather than sending everything again; the answer brings what it lacks.
                progress.retry_ns = min(progress.retry_ns * 2, RETRY_NS_MAX)
                progress.retry_at_ns = now_ns + progress.retry_ns
                progress.restart_from(progress.acked_slot)
                self._tell_commit(leadership, node_id)
        if leadership.reconsider_at_ns and now_ns >= leadership.reconsider_at_ns:
            self._reconsider(leadership, now_ns)
        if leadership.flush_at_ns and now_ns >= leadership.flush_at_ns:
            leadership.flush_at_ns = 0
            for node_id, progress in leadership.progress.items():
                if progress.told_commit_slot < self.log.commit_slot:
                    self._tell_commit(leadership, node_id)

    def _reconsider(self, leadership: Leadership, now_ns: int) -> None:
        """A change of members is on its way for long. Where those that live cannot carry it through, and a majority
        lives, this member stands again: its next phase 1 withdraws the entry."""
        leadership.reconsider_at_ns = 0 if not leadership.configuration_slot else now_ns + self.election.retry_ns
        successor, held = leadership.successor, leadership.held_until_ns(self.node_id, self.leases)
        living = {node_id for node_id, until_ns in held.items() if until_ns > now_ns}
        if successor is None or successor.is_majority(living):
            return
        if self.configuration.is_majority(living):
            self._step_down(now_ns)
            self._released = leadership.ballot
            self._stand(now_ns)

    def _tell_commit(self, leadership: Leadership, node_id: int) -> None:
        if (progress := leadership.progress.get(node_id)) is not None:
            progress.told_commit_slot = self.log.commit_slot
        self._send(node_id, Commit(leadership.ballot, self.log.commit_slot, leadership.recovered_slot))
