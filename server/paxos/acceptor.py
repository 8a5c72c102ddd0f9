"""A member's state, and its part as acceptor and follower: promises, acceptances, what it learns to be committed."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from server.paxos.ballot import ABOVE_ALL, ZERO, Ballot
from server.paxos.election import Candidacy, ElectionConfig, Role, promise_of
from server.paxos.leader import RUN_BYTES_MAX, Leadership
from server.paxos.log import Log
from server.paxos.messages import (
    Accept,
    Accepted,
    ApplyConfiguration,
    ApplyEntries,
    CatchUp,
    CatchUpRequest,
    Commit,
    Durable,
    Effect,
    HealedRecord,
    HealRecord,
    LeadershipChanged,
    LeadershipQuery,
    LogStart,
    Message,
    PersistRecord,
    Prepare,
    PromiseRecord,
    Reject,
    RejectReason,
    Release,
    ResetRecord,
    Run,
    SendMessage,
    SendSnapshot,
)
from server.paxos.quorum import (
    CONFIGURATION_MARK,
    NO_FLOOR,
    Configuration,
    Floor,
    ReplicaKind,
    decode_configuration,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from server.paxos.lease import NodeLeases


HEAL_ROUNDS = 1 << 32
"""How far above every ballot that it hears of a damaged member promises. Rounds grow by one an election, so whatever it
has promised and forgotten lies below, unless another member was healed meanwhile. Of three members, the leader that it
then hears is one that helped with that, and is at a higher ballot itself. In a larger group it need not be: there this
would not be enough."""


class Health(IntEnum):
    """Whether a member remembers all that it has promised and accepted."""

    WHOLE = 1
    DAMAGED = 2  # it does not, and nobody has told it yet what the others are at
    HEALING = 3  # it is bound by a promise above all that it forgot, and is catching up; it does not vote


class Acceptor:
    """What PaxosCore (core.py) is made of, without candidates and leaders. Effects gather in `_effects`.

    `configuration` is in force behind the last slot known to be committed, since the entry of `configuration_slot` (0:
    since the group's birth). `floor`: where this member's replica began; its promise is never below that, nor does it
    promise anything to who knows of no configuration since. `opening(ballot)`: the payload of the entry that a
    leadership begins with, behind what phase 1 brought; None: it begins with none."""

    def __init__(
        self,
        node_id: int,
        configuration: Configuration,
        leases: NodeLeases,
        rng: random.Random,
        now_ns: int,
        *,
        configuration_slot: int = 0,
        floor: Floor = NO_FLOOR,
        promised: Ballot = ZERO,
        log: Log | None = None,
        health: Health = Health.WHOLE,
        election: ElectionConfig | None = None,
        opening: Callable[[Ballot], bytes] | None = None,
    ) -> None:
        self.node_id = node_id
        self.configuration = configuration
        self.configuration_slot = configuration_slot
        self.leases = leases
        self.rng = rng
        self.election = election or ElectionConfig()
        self.opening = opening
        self.log = log or Log(1, (), 0)
        self.health = health
        self.floor = floor
        self._durable_own = promised  # of the ballots that this member has promised itself, the highest on disk
        self.promised = promised = max(promised, floor.ballot)
        self.applied_slot = self.log.commit_slot
        self.role = Role.FOLLOWER
        self.leadership: Leadership | None = None
        self.candidacy: Candidacy | None = None
        self.is_restoring = False  # its state machine is being rebuilt: it votes, but must not lead
        self._matched_slot = self.log.commit_slot  # the log agrees with the leader of `promised` up to here
        self._durable_matched = self._matched_slot  # ... and that much of it is on disk
        self._highest_seen = promised
        # The slot of the configuration entry that this member proposed last, and at which ballots, without a break.
        self._own_configuration: tuple[int, frozenset[Ballot]] = (0, frozenset())
        self._released = ZERO  # a ballot whose owner is known not to lead under it, now or ever again
        self._is_led = False  # the owner of `promised` has been seen to lead under it
        for slot, committed in self._configurations(self.log.first_slot, self.log.commit_slot):
            self._configure(slot, committed)
        self._healed_slot = -1  # what the log has to reach before a healing member votes; -1: not known yet
        self._stand_at_ns = self._first_stand_ns(now_ns)
        self._retry_ns = self.election.retry_ns
        self._effects: list[Effect] = []

    # What the shell may ask

    @property
    def leader_node_id(self) -> int:
        """Who leads as far as this member knows; 0: nobody."""
        if self.role == Role.LEADER:
            return self.node_id
        if self.promised == self.floor.ballot and not self._is_led:
            return 0  # who led when this replica was made: it may not know of this member yet
        return 0 if self.promised.node_id == self.node_id or self._released == self.promised else self.promised.node_id

    @property
    def is_configuration_known(self) -> bool:
        """Whether another member knows of the configuration in force too, though this one may be lost: an entry behind
        it is committed."""
        return not self.configuration_slot or self.log.commit_slot > self.configuration_slot

    @property
    def is_led(self) -> bool:
        """Whether the owner of the ballot that this member promised has been seen to lead under it."""
        return self._is_led

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

    def begin_restoring(self, now_ns: int) -> None:
        """Its state is about to be replaced by another member's. An attempt to lead ends with that. Requires that this
        member does not lead."""
        self.is_restoring = True
        self._step_down(now_ns)

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
        self._healed_slot = -1
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
        self._note_healed()

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
            effects = self.apply_effects(first_slot, slot)
            self._effects += effects
            if len(effects) > 1 or isinstance(effects[0], ApplyConfiguration):
                for effect in effects:
                    if isinstance(effect, ApplyConfiguration):
                        self._configure(effect.slot, effect.configuration)

    def apply_effects(self, first_slot: int, last_slot: int) -> list[ApplyEntries | ApplyConfiguration]:
        """What to apply of the log from `first_slot` to `last_slot`: entries, and configurations in their places."""
        payloads = self.log.payloads(first_slot, last_slot)
        effects: list[ApplyEntries | ApplyConfiguration] = []
        start = 0
        for at, payload in enumerate(payloads):
            if payload.startswith(CONFIGURATION_MARK):
                if at > start:
                    effects.append(ApplyEntries(first_slot + start, payloads[start:at]))
                effects.append(ApplyConfiguration(first_slot + at, decode_configuration(payload)))
                start = at + 1
        if start < len(payloads):
            effects.append(ApplyEntries(first_slot + start, payloads[start:] if start else payloads))
        return effects

    def _configurations(self, first_slot: int, last_slot: int) -> list[tuple[int, Configuration]]:
        """(slot, configuration) of the configuration entries that the log holds in a range."""
        return [
            (slot, decode_configuration(payload))
            for slot, payload in enumerate(self.log.payloads(first_slot, last_slot), first_slot)
            if payload.startswith(CONFIGURATION_MARK)
        ]

    def _configure(self, slot: int, configuration: Configuration) -> None:
        """A configuration has come into force. A candidate that gathers promises of the former one begins anew: a
        promise may be of a former life of a node that was a member, is one again and has nothing left of that life."""
        if slot <= self.configuration_slot:
            return
        self.configuration, self.configuration_slot = configuration, slot
        if self.candidacy is not None:
            self.role = Role.FOLLOWER
            self.candidacy = None
            self._stand_at_ns = 0

    @property
    def is_log_replica(self) -> bool:
        """Whether this member, as far as it knows, has a log only, or does not belong to the group (any more)."""
        member = self.configuration.member(self.node_id)
        return member is None or member.kind == ReplicaKind.LOG

    def _on_commit(self, sender: int, message: Commit, now_ns: int) -> None:
        if message.ballot < self.promised or message.ballot.node_id != sender:
            self._reject(sender, message.ballot, RejectReason.LOWER_BALLOT)
            return
        has_risen = self._adopt(message.ballot, now_ns)
        self._learn_commit(message.commit_slot)
        self._healed_slot = message.recovered_slot
        answer: Message
        if message.commit_slot > self._matched_slot:
            answer = Reject(message.ballot, self.promised, self._matched_slot, RejectReason.HOLE)
        else:
            answer = Accepted(message.ballot, self._durable_matched, self.leases.epoch_towards(sender))
        if has_risen:
            self._effects.append(PersistRecord(PromiseRecord(message.ballot), (SendMessage(sender, answer),)))
        else:
            self._send(sender, answer)
        self._note_healed()

    def _on_catch_up(self, sender: int, message: CatchUp, now_ns: int) -> None:
        """Committed entries hold whoever sent them; only a leader in force is answered.

        What a leader in force sends continues the part of the log that agrees with it; what anybody else sends can only
        continue the part that is known to be committed."""
        if self.leadership is not None:
            if not self._is_overtaken(self.leadership, message.commit_slot):
                return
            self._released = self.leadership.ballot
            self._step_down(now_ns)
        if not message.runs and message.commit_slot > self.log.commit_slot:
            # Somebody who cannot lead knows more than this member, and nobody leads who would bring it.
            self._send(sender, CatchUpRequest(self.log.commit_slot + 1))
        if not message.runs and sender == self.promised.node_id and message.ballot == ZERO:
            # It offers what it knows, as only those do that cannot lead: it shall say that this ballot is let go of.
            self._send(sender, LeadershipQuery(self.promised))
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
            self._note_healed()

    def _is_overtaken(self, leadership: Leadership, commit_slot: int) -> bool:
        """Whether so much can only be committed if others lead, or have led, in the place of this member: it may never
        hear of it otherwise, since it asks the members that it knows of, and they may be gone."""
        if leadership.recovered_slot == ABOVE_ALL:  # it is to bring a configuration into force, and that is in force
            return commit_slot >= leadership.configuration_slot
        return commit_slot > max(self.log.commit_slot, leadership.recovered_slot)

    def _on_log_start(self, sender: int, message: LogStart, now_ns: int) -> None:
        """Only from the leader in force, and only while this member has no state that its log would have to reach. What
        it has acknowledged may be on no other disk but the leader's: it lets go of that only where it is told that it
        is."""
        if message.ballot < self.promised or message.ballot.node_id != sender:
            self._reject(sender, message.ballot, RejectReason.LOWER_BALLOT)
            return
        if self._adopt(message.ballot, now_ns):
            self._effects.append(PersistRecord(PromiseRecord(message.ballot)))
        may_begin = self.is_restoring and (message.is_held or self.log.last_slot < self.log.first_slot)
        if may_begin and message.slot > self.log.commit_slot:
            self.log.reset(message.slot)
            self.applied_slot = message.slot
            self._matched_slot = max(self._matched_slot, message.slot)
            self._effects.append(PersistRecord(ResetRecord(self.promised, message.slot)))
        elif may_begin and message.slot >= self.log.first_slot:
            self.log.trim(message.slot)
            self._effects.append(PersistRecord(ResetRecord(self.promised, message.slot)))
        elif message.slot > self._matched_slot:
            self._send(sender, CatchUpRequest(self.log.commit_slot + 1))  # what lies in between is needed
        last_slot = self._matched_slot
        answer = Accepted(message.ballot, last_slot, self.leases.epoch_towards(sender))
        event = Durable(message.ballot, last_slot, is_promise=False)
        self._effects.append(PersistRecord(PromiseRecord(message.ballot), (SendMessage(sender, answer),), event))
        self._note_healed()

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
        elif self._is_of_the_past(sender, message.configuration_slot):
            self._reject(sender, message.ballot, RejectReason.NOT_A_MEMBER)
        elif now_ns < self.leases.votes_from_ns or self.health != Health.WHOLE:
            self._reject(sender, message.ballot, RejectReason.WAITING)
        elif self._is_bound(sender, message.released, now_ns):
            self._reject(sender, message.ballot, RejectReason.BOUND_BY_GRANT)
        else:
            self._promise(sender, message, now_ns)

    def _is_of_the_past(self, candidate: int, configuration_slot: int) -> bool:
        """Whether the group has gone on without a candidate; or without this member since the configuration that the
        candidate knows: it may have been a member then, and has forgotten whom it elected. Before a member that joins
        knows more than its floor, those that it is to be a member with are a wish: others may be in force."""
        if configuration_slot < self.floor.configuration_slot:
            return True
        is_wish = self.is_log_replica and self.configuration_slot == self.floor.configuration_slot
        is_member = is_wish or self.configuration.member(candidate) is not None
        return not is_member and configuration_slot <= self.configuration_slot

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
        is_news = message.ballot != self._released
        if message.ballot == self.promised:
            self._released = message.ballot
        else:
            self._is_led = False  # somebody has promised a later ballot: whether this one is still led must be asked
        if message.is_handed_over and is_news:
            self._stand_at_ns = now_ns
        elif self.role == Role.FOLLOWER and self.health == Health.WHOLE:
            self._stand_at_ns = min(self._stand_at_ns, now_ns + self._rank() * self.election.rank_ns // 4)

    # Healing: a member whose log has lost something

    def _begin_healing(self, sender: int, ballot: Ballot) -> None:
        """Promises a ballot above all that it may have promised and forgotten, and refuses the leader that it hears.

        So nothing is accepted at a ballot that this member has helped to supersede. The leader stands again, above that
        promise and without this member's vote: its new phase 1 brings all that the votes forgotten here may have
        helped to choose, because any majority that this member was part of shares another member with one that it is
        not part of."""
        highest = max(self._highest_seen, self.promised, ballot)
        self.promised = self._highest_seen = Ballot(highest.round + HEAL_ROUNDS, self.node_id)
        self.health = Health.HEALING
        reject = Reject(ballot, self.promised, self._matched_slot, RejectReason.LOWER_BALLOT)
        heal = HealRecord(self.promised, self.log.commit_slot)
        self._effects.append(PersistRecord(heal, (SendMessage(sender, reject),)))

    def _note_healed(self) -> None:
        """Votes again once its log has, as the leader of `promised` has it, all that this leader's phase 1 brought.

        The record comes behind those entries in the log: a vote that is on disk has them on disk before it."""
        if self.health == Health.HEALING and 0 <= self._healed_slot <= self._matched_slot:
            self.health = Health.WHOLE
            self._effects.append(PersistRecord(HealedRecord(self.promised)))

    def _ask_to_heal(self, now_ns: int) -> None:
        """Instead of standing: asks the leader that it follows how far phase 1 reached, in case it was not told. Where
        nobody leads that it knows of, it may have led itself, and forgotten at which ballot: a release of a later one
        makes those ask who are bound to that, for as long as they grant to this node.

        It does not tell what is committed, as others do that cannot lead: its log has been emptied, so whoever asked
        for that would be sent its whole state, and give up the own one for it, though it may lack nothing but a word.
        """
        self._stand_at_ns = now_ns + self.leases.config.duration_ns + self._jitter()
        if self.promised.node_id not in (0, self.node_id):
            self._send(self.promised.node_id, LeadershipQuery(self.promised))
        if not self.leader_node_id:
            for node_id in self.configuration.node_ids:
                if node_id != self.node_id:
                    self._send(node_id, Release(Ballot(ABOVE_ALL, self.node_id)))

    # Common

    def _first_stand_ns(self, now_ns: int) -> int:
        from_ns = max(now_ns, self.leases.votes_from_ns)
        if self.promised.node_id in (0, self.node_id):
            return from_ns + (self._rank() * self.election.rank_ns if self.promised == ZERO else 0)
        return from_ns + self.election.retry_ns + self._jitter()

    def _rank(self) -> int:
        """The order in which members stand where nobody led, or the leader let go."""
        node_ids = self.configuration.node_ids
        return node_ids.index(self.node_id) if self.node_id in node_ids else len(node_ids)

    def _jitter(self) -> int:
        return self.rng.randrange(self.election.jitter_ns)

    def _step_down(self, now_ns: int) -> None:
        if self.leadership is not None:
            self._effects.append(LeadershipChanged(self.leadership.ballot, is_leader=False))
            self._stand_at_ns = now_ns + self.leases.config.duration_ns + self._jitter()
        self.role = Role.FOLLOWER
        self.leadership = None
        self.candidacy = None

    def _release(self, ballot: Ballot, node_ids: tuple[int, ...]) -> None:
        """Lets go of an own ballot, once it is on disk: it must not be taken again in a later life."""
        self._released = ballot
        releases = [SendMessage(node_id, Release(ballot)) for node_id in node_ids]
        if ballot <= self._durable_own:
            self._effects.extend(releases)
        else:
            self._effects.append(PersistRecord(PromiseRecord(ballot), tuple(releases)))

    def _send(self, to: int, message: Message) -> None:
        self._effects.append(SendMessage(to, message))

    def _take(self) -> list[Effect]:
        effects = self._effects
        self._effects = []
        return effects
