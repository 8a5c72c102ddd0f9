"""One member alone, in whatever state a test needs: node 2 of three."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from server.paxos.acceptor import Health
from server.paxos.ballot import ZERO, Ballot
from server.paxos.core import PaxosCore
from server.paxos.election import ElectionConfig
from server.paxos.lease import LeaseConfig, NodeLeases
from server.paxos.log import Log
from server.paxos.messages import (
    Effect,
    Message,
    PersistRecord,
    Promise,
)
from server.paxos.quorum import NO_FLOOR, Configuration, Floor, Member
from tests.server.paxos.notation import MS, show_effect

OLD = Ballot(1, 1)
GROUP = Configuration((Member(1, "a"), Member(2, "b"), Member(3, "c")))


def member(
    *,
    entries: Sequence[tuple[Ballot, bytes]] = (),
    first_slot: int = 1,
    commit_slot: int = 0,
    promised: Ballot = ZERO,
    boot: int = 1,
    configuration: Configuration = GROUP,
    floor: Floor = NO_FLOOR,
    health: Health = Health.WHOLE,
    opening: Callable[[Ballot], bytes] | None = None,
) -> PaxosCore:
    """Node 2, as it comes up at time 0."""
    leases = NodeLeases(LeaseConfig(), boot=boot, is_first_boot=boot == 1, now_ns=0)
    log = Log(first_slot, entries, commit_slot)
    election = ElectionConfig(jitter_ns=1)
    rng = random.Random(0)
    return PaxosCore(
        2,
        configuration,
        leases,
        rng,
        0,
        configuration_slot=floor.configuration_slot,
        floor=floor,
        promised=promised,
        log=log,
        health=health,
        election=election,
        opening=opening,
    )


def shown(effects: list[Effect]) -> list[str]:
    return [show_effect(2, effect) for effect in effects]


def handle(core: PaxosCore, sender: int, message: Message, now_ns: int = 0) -> list[str]:
    return shown(core.handle(sender, message, now_ns))


def entries(payloads: str, ballot: Ballot = OLD) -> list[tuple[Ballot, bytes]]:
    return [(ballot, letter.encode()) for letter in payloads]


def candidate(core: PaxosCore, now_ns: int = 1000 * MS) -> Ballot:
    """Lets the member stand; returns its ballot."""
    core.tick(now_ns)
    assert core.candidacy is not None
    return core.candidacy.ballot


def promised_by(core: PaxosCore, sender: int, ballot: Ballot) -> list[Effect]:
    """An empty promise comes, and the member's own gets to disk."""
    assert core.candidacy is not None
    effects = core.handle(sender, Promise(ballot, core.candidacy.from_slot, 1, 0, (), True, 0), 1000 * MS)
    for effect in effects:
        if isinstance(effect, PersistRecord) and effect.event is not None:
            effects = effects + core.durable(effect.event, 1000 * MS)
    return effects


def leader(core: PaxosCore) -> Ballot:
    """Makes the member lead, with node 1's promise."""
    ballot = candidate(core)
    promised_by(core, 1, ballot)
    assert core.leadership is not None
    return ballot
