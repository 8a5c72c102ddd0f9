"""The breakages: a rule of replication that is broken in one place of the code, and where it should be noticed."""

from __future__ import annotations

from dataclasses import dataclass

PAXOS = "tests/server/paxos"
HOST = "tests/server/runtime"
STORAGE = "tests/storage_node"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`before` stands once in the file at `path`, and is replaced by `after`. `tests`: those that are the nearest to
    it; `world`: of the simulation."""

    name: str
    path: str
    before: str
    after: str
    tests: str
    world: str = "group"


MUTANTS = (
    Mutant(
        "answer before the record is on disk",
        "server/runtime/replica_host.py",
        "        self._wal.append(encoded, group.group_id, last_slot, durable)\n",
        "        self._wal.append(encoded, group.group_id, last_slot, None)\n        durable()\n",
        HOST,
    ),
    Mutant(
        "promise without writing it down",
        "server/paxos/acceptor.py",
        "        self._effects.append(PersistRecord(PromiseRecord(message.ballot), (SendMessage(sender, promise),)))\n",
        "        self._send(sender, promise)\n",
        PAXOS,
    ),
    Mutant(
        "date a lease from when the grant came, not from when it was asked for",
        "server/paxos/lease.py",
        "        until_ns = grant.sent_ns + self.config.held_ns\n",
        "        until_ns = now_ns + self.config.held_ns\n",
        PAXOS,
    ),
    Mutant(
        "count two members of one zone as a majority",
        "server/paxos/quorum.py",
        "        zones = {member.zone for member in self.members if member.node_id in node_ids}\n",
        "        zones = {member.node_id for member in self.members if member.node_id in node_ids}\n",
        PAXOS,
    ),
    Mutant(
        "apply out of order",
        "server/runtime/replica_host.py",
        "        for slot, payload in enumerate(effect.payloads, effect.first_slot):\n",
        "        for slot, payload in reversed(list(enumerate(effect.payloads, effect.first_slot))):\n",
        HOST,
    ),
    Mutant(
        "answer reads without a state",
        "storage_node/replica.py",
        "        elif operation == _GET:\n            if self.is_restoring:\n",
        "        elif operation == _GET:\n            if False:\n",
        STORAGE,
    ),
    Mutant(
        "vote after a restart without waiting",
        "server/paxos/lease.py",
        "        self.votes_from_ns = now_ns if is_first_boot else now_ns + config.restart_wait_ns\n",
        "        self.votes_from_ns = now_ns\n",
        PAXOS,
    ),
    Mutant(
        "elect somebody despite a grant",
        "server/paxos/acceptor.py",
        "        elif self._is_bound(sender, message.released, now_ns):\n",
        "        elif False:\n",
        PAXOS,
    ),
    Mutant(
        "trim what no checkpoint stands for",
        "server/runtime/replica_host.py",
        "        limit = min(group.checkpointed_slot, self.snapshots.kept_from(group))\n",
        "        limit = min(group.core.applied_slot, self.snapshots.kept_from(group))\n",
        HOST,
    ),
    Mutant(
        "use a ballot again after a restart",
        "server/paxos/core.py",
        "        ballot = self._highest_seen.next_for(self.node_id)\n",
        "        ballot = Ballot(1, self.node_id)\n",
        PAXOS,
    ),
    Mutant(
        "accept with a hole",
        "server/paxos/acceptor.py",
        "        if run.first_slot > self._matched_slot + 1:\n",
        "        if run.first_slot > self.log.last_slot + 1:\n",
        PAXOS,
    ),
    Mutant(
        "take a configuration for committed although the new members have not got it",
        "server/paxos/core.py",
        "        return slot if leadership.successor.majority_value(acked_slots) >= slot else slot - 1\n",
        "        return slot\n",
        PAXOS,
    ),
    Mutant(
        "count a log replica that joins although its log begins behind what others have",
        "server/paxos/leader.py",
        "(is_held or (first == 1 and not is_joining))",
        "(is_held or first == 1)",
        PAXOS,
    ),
    Mutant(
        "follow who led before a former member came back",
        "server/paxos/acceptor.py",
        "        self.promised = promised = max(promised, floor.ballot)\n",
        "        self.promised = promised\n",
        PAXOS,
    ),
    Mutant(
        "vote for who knows only members of before",
        "server/paxos/acceptor.py",
        "        if configuration_slot < self.floor.configuration_slot:\n",
        "        if False:\n",
        PAXOS,
    ),
    Mutant(
        "bring a configuration into force without the promises of its members",
        "server/paxos/core.py",
        "        if successors and not successors[0].is_majority(candidacy.promises):\n",
        "        if False:\n",
        PAXOS,
    ),
    Mutant(
        "ask nobody who is to join for the promises of a configuration that phase 1 brought",
        "server/paxos/core.py",
        "member(node_id) is None:\n                    self._send(node_id, prepare)\n",
        "member(node_id) is False:\n                    self._send(node_id, prepare)\n",
        PAXOS,
    ),
    Mutant(
        "count a log replica among those that a slot is held by",
        "server/paxos/leader.py",
        "                if member.kind == ReplicaKind.STORAGE and member.node_id in slots\n",
        "                if member.node_id in slots\n",
        PAXOS,
    ),
    Mutant(
        "stay bound to who offers what it knows and cannot lead",
        "server/paxos/acceptor.py",
        "        if not message.runs and sender == self.promised.node_id and message.ballot == ZERO:\n",
        "        if False:\n",
        PAXOS,
    ),
    Mutant(
        "replace a member before another's promotion is in force",
        "metadata/healing.py",
        "            if in_force != decided:\n                return None",
        "            if not in_force:\n                return None",
        "tests/metadata",
    ),
    Mutant(
        "serve by the grants of former members",
        "server/runtime/replica_host.py",
        "                    group.lease_until_ns = 0\n",
        "                    pass\n",
        HOST,
    ),
    Mutant(
        "tell of what is committed where the log has been emptied",
        "server/paxos/acceptor.py",
        "                    self._send(node_id, Release(Ballot(ABOVE_ALL, self.node_id)))\n",
        "                    self._send(node_id, Release(Ballot(ABOVE_ALL, self.node_id)))\n"
        "                    self._send(node_id, CatchUp(ZERO, (), self.log.commit_slot))\n",
        PAXOS,
    ),
    Mutant(
        "bind others to a node whose log has no room",
        "server/runtime/hand_overs.py",
        "        if self._leases.may_stand or any(",
        "        if True or any(",
        HOST,
    ),
    Mutant(
        "keep on a full disk what was handed over for another reason",
        "server/runtime/hand_overs.py",
        "                if now_ns >= group.given_away_ns + self.again_ns and",
        "                if now_ns >= group.handed_over_ns + self.again_ns and",
        HOST,
    ),
    Mutant(
        "stand though nothing can be written",
        "server/paxos/core.py",
        "        elif not self.leases.may_stand:\n",
        "        elif False:\n",
        PAXOS,
    ),
    Mutant(
        "let go of a ballot before it is on disk",
        "server/paxos/acceptor.py",
        "        if ballot <= self._durable_own:\n",
        "        if True:\n",
        PAXOS,
    ),
    Mutant(
        "lead on though others have gone on",
        "server/paxos/acceptor.py",
        "        return commit_slot > max(self.log.commit_slot, leadership.recovered_slot)\n",
        "        return False\n",
        PAXOS,
    ),
    Mutant(
        "say nothing of what is committed in a group at rest",
        "server/runtime/commit_notes.py",
        "            elif left and commit_slot > group.noted_commit_slot and",
        "            elif False and commit_slot > group.noted_commit_slot and",
        HOST,
    ),
    Mutant(
        "take writes while the disk is full",
        "storage_node/node.py",
        "            replica.serve(request, reply, self.host.disk.is_full)\n",
        "            replica.serve(request, reply, False)\n",
        STORAGE,
    ),
    Mutant(
        "propose past a configuration that is not in force",
        "server/paxos/core.py",
        "        return self.leadership is not None and not self.leadership.configuration_slot\n",
        "        return self.leadership is not None\n",
        PAXOS,
    ),
    Mutant(
        "lead on past a configuration that phase 1 brought",
        "server/paxos/core.py",
        "        if successors:\n            # What lies",
        "        if False:\n            # What lies",
        PAXOS,
    ),
    Mutant(
        "serve before what phase 1 brought is applied",
        "server/paxos/acceptor.py",
        "            leadership is not None and self.applied_slot >= leadership.recovered_slot and now_ns",
        "            leadership is not None and now_ns",
        PAXOS,
    ),
    Mutant(
        "forget in a snapshot which writes were carried out",
        "storage_node/snapshots.py",
        "        if recent is not None:\n",
        "        if False:\n",
        STORAGE,
    ),
    Mutant(
        "believe what the B-tree holds without its checksum",
        "storage_node/codec/value.py",
        "    if crc32c(item, crc32c(key)) != crc:\n",
        "    if False:\n",
        STORAGE,
    ),
    Mutant(
        "let go of what is written again before it is on the disk",
        "server/wal.py",
        "        for record, group_id, last_slot in records[:-1]:\n",
        "        self._contents.repeated(group_ids, self._contents.segments[-1].number)\n"
        "        for record, group_id, last_slot in records[:-1]:\n",
        "tests/server",
    ),
    Mutant(
        "let go of where a log begins anew to heal once it has healed",
        "server/wal_recovery.py",
        "_NEEDED: Final = (RecordType.ENTRIES, RecordType.RESET, RecordType.HEAL)\n",
        "_NEEDED: Final = (RecordType.ENTRIES, RecordType.RESET)\n",
        "tests/server",
    ),
    Mutant(
        "write a log again without the snapshot that stands for its beginning",
        "server/runtime/log_records.py",
        "    if slot > checkpointed_slot:  # of a log replica",
        "    if False:  # of a log replica",
        "tests/server",
    ),
)
