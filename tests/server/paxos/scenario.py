"""Scenarios as text: commands, a line of dashes, what they have to print.

A file is a list of blocks with an empty line between any two. A block has lines of comment (`#`), commands, `----` and
the expected output. The commands, with N, A and B for nodes and numbers of milliseconds or seconds for durations:

    cluster zones=a,b,c [log=N,..]   nodes 1, 2, 3 in these zones, all started for the first time; `log`: log replicas
    tick N                           lets N do what is due
    advance DURATION                 lets time pass
    propose N PAYLOAD ..             N proposes entries
    sync N                           what N has written is on disk now
    deliver A->B [all]               the oldest message from A to B (or all of them) arrives
    drop A->B [all]                  ... or is lost
    duplicate A->B                   the oldest message from A to B is there twice
    cut A->B | cut N                 messages of a link, or to and from N, are lost from now on
    mend                             no link is cut any more, streams are up again
    connect A-B                      the stream between A and B is new
    heartbeat A->B                   A asks B for a grant
    heartbeats                       everybody asks everybody
    crash N | restart N              N loses what was not synced, and what was on its way to it | starts again
    damage N                         all that is in the log of N, which is down, is lost
    join N ZONE NODES                N starts with nothing, and is told that the members are to be NODES: 1,2,4-log
    expect N NODES                   the leader N is to propose these members: those who are to join begin to follow
    configure N NODES                the leader N proposes them
    hand-over N                      the leader N gives its leadership to somebody else
    checkpoint N SLOT                N's state as of SLOT is on disk, the log up to there is trimmed
    ask A->B                         A, which has no state, asks B for a snapshot
    snapshot A->B [fails]            the snapshot that A has to send to B arrives
    settle                           syncs and delivers until nothing is left, as `live` prints
    live DURATION                    time passes and everything works; prints leadership, what is applied, snapshots
    state                            what each node knows
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.paxos.acceptor import Health
from server.paxos.election import Role
from server.paxos.messages import (
    ApplyConfiguration,
    ApplyEntries,
    CatchUpRequest,
    Effect,
    LeadershipChanged,
    SendSnapshot,
)
from server.paxos.quorum import Configuration, Member, ReplicaKind
from tests.server.paxos.group import Group, Node
from tests.server.paxos.notation import (
    parse_duration,
    show_ballot,
    show_effect,
    show_epoch,
    show_message,
    show_payloads,
    show_time,
)

SEPARATOR = "----"
NOTHING = "nothing happens"


@dataclass
class Block:
    """One step of a scenario."""

    comments: list[str]
    commands: list[str]
    expected: list[str]

    def render(self) -> str:
        lines = [*self.comments, *self.commands]
        if self.commands:
            lines += [SEPARATOR, *self.expected]
        return "\n".join(lines)


def parse(text: str) -> list[Block]:
    """The blocks of a file; raises ValueError where one is not complete."""
    blocks = []
    for part in text.strip().split("\n\n"):
        head, dashes, tail = part.strip("\n").partition(f"\n{SEPARATOR}")
        lines = head.split("\n")
        comments = [line for line in lines if line.startswith("#")]
        commands = [line for line in lines if not line.startswith("#")]
        if bool(commands) != bool(dashes):
            raise ValueError(f"a block needs commands and {SEPARATOR}: {part!r}")
        blocks.append(Block(comments, commands, tail.strip("\n").split("\n") if commands else []))
    return blocks


def render(blocks: Sequence[Block]) -> str:
    return "\n\n".join(block.render() for block in blocks) + "\n"


def link(text: str) -> tuple[int, int]:
    """(1, 2) of `1->2`."""
    sender, _, to = text.partition("->")
    return int(sender), int(to)


class Scenario:
    """Carries out the commands of one file; `run` returns what they print."""

    def __init__(self) -> None:
        self.group: Group
        self._output: list[str] = []
        self._is_brief = False
        self._commands: dict[str, Callable[[list[str]], None]] = {
            "cluster": self._cluster,
            "tick": self._tick,
            "advance": self._advance,
            "propose": self._propose,
            "sync": lambda words: self.group.sync(int(words[0])),
            "deliver": self._deliver,
            "drop": self._drop,
            "duplicate": self._duplicate,
            "cut": self._cut,
            "mend": self._mend,
            "connect": self._connect,
            "heartbeat": self._heartbeat,
            "heartbeats": self._heartbeats,
            "crash": lambda words: self.group.crash(int(words[0])),
            "restart": lambda words: self.group.boot(int(words[0])),
            "damage": lambda words: self.group.damage(int(words[0])),
            "join": self._join,
            "expect": self._expect,
            "configure": self._configure,
            "hand-over": self._hand_over,
            "checkpoint": lambda words: self.group.checkpoint(int(words[0]), int(words[1])),
            "ask": self._ask,
            "snapshot": self._snapshot,
            "settle": self._settle,
            "live": self._live,
            "state": self._state,
        }

    def run(self, commands: Sequence[str]) -> list[str]:
        self._output = []
        for command in commands:
            name, *words = command.split()
            if name not in self._commands:
                raise ValueError(f"no such command: {command!r}")
            try:
                self._commands[name](words)
            except Exception as error:
                error.add_note(f"in the command: {command}\n" + "\n".join(self._output))
                raise
        return self._output or [NOTHING]

    def _say(self, line: str) -> None:
        self._output.append(line)

    def _trace(self, node_id: int, effect: Effect) -> None:
        if not self._is_brief:
            self._say(f"  {show_effect(node_id, effect)}")
        elif isinstance(effect, LeadershipChanged | ApplyEntries | ApplyConfiguration | SendSnapshot):
            self._say(f"  [{show_time(self.group.now_ns)}] {show_effect(node_id, effect)}")

    # Commands

    def _cluster(self, words: list[str]) -> None:
        options = dict(word.split("=", 1) for word in words)
        logs = set(map(int, filter(None, options.pop("log", "").split(","))))
        zones = options.pop("zones").split(",")
        if options:
            raise ValueError(f"unknown options: {options}")
        self.group = Group(
            [
                Member(node_id, zone, ReplicaKind.LOG if node_id in logs else ReplicaKind.STORAGE)
                for node_id, zone in enumerate(zones, 1)
            ]
        )
        self.group.trace = self._trace
        self._state([])

    def _tick(self, words: list[str]) -> None:
        node_id = int(words[0])
        self.group.carry_out(node_id, self.group.core(node_id).tick(self.group.now_ns))

    def _advance(self, words: list[str]) -> None:
        self.group.now_ns += parse_duration(words[0])
        self.group.check()

    def _propose(self, words: list[str]) -> None:
        node_id = int(words[0])
        payloads = tuple(word.encode() for word in words[1:])
        self.group.carry_out(node_id, self.group.core(node_id).propose(payloads, self.group.now_ns))

    def _deliver(self, words: list[str]) -> None:
        sender, to = link(words[0])
        for _ in range(len(self.group.in_flight[sender, to]) if "all" in words else 1):
            self._say(f"{sender}->{to} {show_message(self.group.in_flight[sender, to][0])}")
            self.group.deliver(sender, to)

    def _drop(self, words: list[str]) -> None:
        sender, to = link(words[0])
        for _ in range(len(self.group.in_flight[sender, to]) if "all" in words else 1):
            self._say(f"lost: {sender}->{to} {show_message(self.group.in_flight[sender, to].pop(0))}")

    def _duplicate(self, words: list[str]) -> None:
        messages = self.group.in_flight[link(words[0])]
        messages.insert(0, messages[0])
        self._say(f"twice: {words[0]} {show_message(messages[0])}")

    def _cut(self, words: list[str]) -> None:
        group = self.group
        if "->" in words[0]:
            group.cuts.add(link(words[0]))
        else:
            node_id = int(words[0])
            group.cuts |= {each for other in group.nodes for each in ((node_id, other), (other, node_id))}

    def _mend(self, words: list[str]) -> None:
        cuts, self.group.cuts = self.group.cuts, set()
        for one, two in sorted({(min(cut), max(cut)) for cut in cuts}):
            if one != two:
                self.group.connect(one, two)

    def _connect(self, words: list[str]) -> None:
        one, _, two = words[0].partition("-")
        self.group.connect(int(one), int(two))

    def _heartbeat(self, words: list[str]) -> None:
        grantee, grantor = link(words[0])
        if not self.group.heartbeat(grantee, grantor):
            self._say(f"{grantor} grants {grantee} nothing")
            return
        _, leases = self.group.nodes[grantee].running()
        until_ns, epoch = leases.held(grantor)
        self._say(f"{grantee} holds {grantor}'s grant until {show_time(until_ns)}, epoch {show_epoch(epoch)}")

    def _heartbeats(self, words: list[str]) -> None:
        for grantee in self.group.nodes:
            for grantor in self.group.nodes:
                if grantee != grantor:
                    self.group.heartbeat(grantee, grantor)

    def _members(self, text: str) -> Configuration:
        nodes = self.group.nodes
        members = []
        for word in text.split(","):
            node_id, _, kind = word.partition("-")
            zone = nodes[int(node_id)].member.zone
            members.append(Member(int(node_id), zone, ReplicaKind.LOG if kind == "log" else ReplicaKind.STORAGE))
        return Configuration(tuple(members))

    def _join(self, words: list[str]) -> None:
        member = Member(int(words[0]), words[1], ReplicaKind.LOG)
        self.group.nodes[member.node_id] = Node(member, self.group.configuration)  # so that its zone is known
        self.group.join(member, self._members(words[2]))

    def _expect(self, words: list[str]) -> None:
        core, configuration = self.group.core(int(words[0])), self._members(words[1])
        self.group.carry_out(int(words[0]), core.expect_configuration(configuration, self.group.now_ns))

    def _configure(self, words: list[str]) -> None:
        core, configuration = self.group.core(int(words[0])), self._members(words[1])
        if core.may_configure(configuration, self.group.now_ns):
            self.group.carry_out(int(words[0]), core.propose_configuration(configuration, self.group.now_ns))
        else:
            self._say(f"{words[0]} may not")

    def _hand_over(self, words: list[str]) -> None:
        node_id = int(words[0])
        self.group.carry_out(node_id, self.group.core(node_id).hand_over(self.group.now_ns))

    def _ask(self, words: list[str]) -> None:
        sender, to = link(words[0])
        self.group.carry_out(to, self.group.core(to).handle(sender, CatchUpRequest(0), self.group.now_ns))

    def _snapshot(self, words: list[str]) -> None:
        sender, to = link(words[0])
        if "fails" in words:
            self.group.snapshots_due.remove((sender, to))
            self.group.carry_out(sender, self.group.core(sender).snapshot_sent(to, 0, self.group.now_ns))
        else:
            self._say(f"snapshot as of {len(self.group.nodes[sender].checkpoint)}")
            self.group.transfer_snapshot(sender, to)

    def _settle(self, words: list[str]) -> None:
        self._is_brief = True
        self.group.settle()
        self._is_brief = False

    def _live(self, words: list[str]) -> None:
        self._is_brief = True
        self.group.live(parse_duration(words[0]))
        self._is_brief = False

    def _state(self, words: list[str]) -> None:
        now_ns = self.group.now_ns
        self._say(f"at {show_time(now_ns)}")
        for node_id, node in self.group.nodes.items():
            core = node.core
            if core is None:
                self._say(f"{node_id}: down")
                continue
            leads = core.role == Role.LEADER
            if leads:
                serves = "serves" if core.is_serving(now_ns) else "does not serve"
                what = f"{serves}, lease until {show_time(core.lease_until_ns())}"
            else:
                leader = core.leader_node_id or "nobody"
                what = f"follows {leader}, deadline {show_time(core.deadline_ns())}"
            if core.health != Health.WHOLE:
                what += f", {core.health.name.lower()}"
            log = core.log
            self._say(
                f"{node_id}: {core.role.name.lower()} promised {show_ballot(core.promised)} "
                f"log {log.first_slot}..{log.last_slot} commit {log.commit_slot} "
                f"state [{show_payloads(node.state)}] {what}"
            )
