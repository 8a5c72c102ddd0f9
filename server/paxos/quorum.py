"""Who belongs to a replication group, and what counts as a majority of it.

Configurations are values: the core asks the one in force and never assumes three members. A majority is counted over
distinct zones, so that losing one zone can never take an acknowledged write with it.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from server.paxos.ballot import ZERO, Ballot


class ReplicaKind(IntEnum):
    """What a member keeps: a log and a B-tree, or a log only."""

    STORAGE = 1
    LOG = 2


class Member(NamedTuple):
    """One member of a group: a node, the zone it is in and what it keeps."""

    node_id: int
    zone: str
    kind: ReplicaKind = ReplicaKind.STORAGE


@dataclass(frozen=True, slots=True)
class Configuration:
    """The members of a group. Requires at least one member and no node twice; raises ValueError otherwise."""

    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        ids = self.node_ids
        if not ids:
            raise ValueError("a configuration needs at least one member")
        if len(set(ids)) != len(ids):
            raise ValueError(f"a node is a member twice: {ids}")

    @property
    def node_ids(self) -> tuple[int, ...]:
        return tuple(member.node_id for member in self.members)

    @property
    def zones_needed(self) -> int:
        """How many distinct zones a majority spans: more than half the members, so two majorities share a member."""
        return len(self.members) // 2 + 1

    def member(self, node_id: int) -> Member | None:
        """The member that runs on `node_id`, or None."""
        for member in self.members:
            if member.node_id == node_id:
                return member
        return None

    def is_majority(self, node_ids: Collection[int]) -> bool:
        """Whether these nodes are a majority: enough members in enough distinct zones."""
        zones = {member.zone for member in self.members if member.node_id in node_ids}
        return len(zones) >= self.zones_needed

    def majority_value(self, values: Mapping[int, int]) -> int:
        """The highest value that a majority has reached (-1: none): slots that are on disk, times that leases hold."""
        best: dict[str, int] = {}
        for member in self.members:
            value = values.get(member.node_id)
            if value is not None and value > best.get(member.zone, -1):
                best[member.zone] = value
        if len(best) < self.zones_needed:
            return -1
        return sorted(best.values(), reverse=True)[self.zones_needed - 1]

    def survivors(self, successor: Configuration) -> tuple[int, ...]:
        """The nodes that are members here and in `successor`, the configuration after this one."""
        return tuple(node_id for node_id in self.node_ids if successor.member(node_id) is not None)


class Floor(NamedTuple):
    """What a group had reached, as its leader said, when a node that may have been a member before was to become one.

    Whatever the node promised in a former life is forgotten: it takes part in nothing older than that.
    `configuration_slot`: of the entry that put the members of then in force (0: the first ones). `ballot`: the
    leader's."""

    configuration_slot: int = 0
    ballot: Ballot = ZERO

    def raised_to(self, other: Floor) -> Floor:
        """What is above both."""
        return Floor(max(self.configuration_slot, other.configuration_slot), max(self.ballot, other.ballot))


NO_FLOOR = Floor()
"""That of a member since the group's birth, or of a node that never was one before."""

CONFIGURATION_MARK = b"\xffC"
"""What the payload of a configuration entry begins with, and that of no other entry."""

_COUNT = struct.Struct("<B")
_MEMBER = struct.Struct("<QBB")  # node id, kind, bytes of the zone's name


def encode_configuration(configuration: Configuration) -> bytes:
    """The payload of the entry that puts a configuration in force."""
    parts = [CONFIGURATION_MARK, _COUNT.pack(len(configuration.members))]
    for node_id, zone, kind in configuration.members:
        name = zone.encode()
        parts += (_MEMBER.pack(node_id, kind, len(name)), name)
    return b"".join(parts)


def decode_configuration(payload: bytes) -> Configuration:
    """The configuration in a payload that begins with CONFIGURATION_MARK. Raises ValueError where it is malformed."""
    offset = len(CONFIGURATION_MARK) + _COUNT.size
    members = []
    try:
        (count,) = _COUNT.unpack_from(payload, len(CONFIGURATION_MARK))
        for _ in range(count):
            node_id, kind, name_bytes = _MEMBER.unpack_from(payload, offset)
            offset += _MEMBER.size + name_bytes
            members.append(Member(node_id, payload[offset - name_bytes : offset].decode(), ReplicaKind(kind)))
    except struct.error as error:
        raise ValueError(f"a configuration ends early: {error}") from error
    if offset != len(payload):
        raise ValueError(f"a configuration of {len(payload)} bytes should have {offset}")
    return Configuration(tuple(members))
