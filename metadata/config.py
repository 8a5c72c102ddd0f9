"""A metadata process's configuration: defaults here, then file, environment, flags."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from metadata.catalog.streams import RETENTION_MS

MIB = 1024 * 1024
STREAM_RETENTION_S_MAX = 365 * 86_400
MEMBERS_MAX = 3
"""How a member with a damaged log is healed is right for three (server/paxos/acceptor.py, HEAL_ROUNDS)."""

_MEMBER = re.compile(r"([1-9][0-9]*)@([^=@]+)=([^=@]+:[0-9]+)")


@dataclass(frozen=True, slots=True)
class MemberAddress:
    """A member of the metadata group: its id, its zone, where it serves gRPC."""

    node_id: int
    zone: str
    address: str


@dataclass(frozen=True, slots=True)
class Config:
    """One frozen object a process; `problems` says in sentences what is wrong with it."""

    name: str = field(metadata={"help": "the process's name"})
    zone: str = field(metadata={"help": "the availability zone the process is in"})
    node_id: int = field(metadata={"help": "this member's id in `members`"})
    data: str = field(metadata={"help": "folder for the catalog and its log"})
    members: tuple[str, ...] = field(metadata={"help": "all members of the metadata group: ID@ZONE=HOST:PORT,..."})
    listen: str = field(default="", metadata={"help": "address to serve gRPC on; empty: this member's in `members`"})
    bootstrap: bool = field(
        default=False, metadata={"help": "an empty data folder is right: the cluster is being made for the first time"}
    )
    secrets_key_file: str = field(
        default="", metadata={"help": "file with the key that seals the secrets of access keys"}
    )
    log_format: str = field(default="console", metadata={"help": "console or json"})
    log_level: str = field(default="info", metadata={"help": "debug, info, warning or error"})
    wal_segment_bytes: int = field(default=4 * MIB, metadata={"help": "size of a log segment"})
    snapshot_every: int = field(default=1_000, metadata={"help": "commands between two snapshots of the catalog"})
    lease_ms: int = field(default=2_000, metadata={"help": "how long a member's grant to the leader lasts"})
    heartbeat_ms: int = field(default=500, metadata={"help": "interval of the heartbeats that renew grants"})
    slow_disk_ms: int = field(
        default=250,
        metadata={"help": "where each write of the log takes so long, and others' do not, others lead; 0: never"},
    )
    clock_drift_ppm: int = field(
        default=10_000, metadata={"help": "how much two members' clock rates may differ, in parts per million"}
    )
    node_silence_ms: int = field(
        default=3_000, metadata={"help": "a node that has not been heard for this long counts as not alive"}
    )

    member_failure_ms: int = field(
        default=10_000,
        metadata={"help": "a storage node that has not reported for this long is replaced where another node can be"},
    )
    stream_retention_s: int = field(
        default=RETENTION_MS // 1000, metadata={"help": "how long the records of streams are kept"}
    )

    def member_addresses(self) -> tuple[MemberAddress, ...]:
        """The members, parsed; those that cannot be are left out (`problems` names them)."""
        matches = [_MEMBER.fullmatch(member) for member in self.members]
        return tuple(MemberAddress(int(match[1]), match[2], match[3]) for match in matches if match is not None)

    @property
    def own_address(self) -> str:
        return next((each.address for each in self.member_addresses() if each.node_id == self.node_id), "")

    def problems(self) -> list[str]:
        """What is wrong, a sentence each; empty: nothing."""
        found = [f"{option} must not be empty." for option in ("name", "zone", "data") if not getattr(self, option)]
        members = self.member_addresses()
        if len(members) != len(self.members) or not members:
            found.append(f"members must be a list of ID@ZONE=HOST:PORT, not {','.join(self.members)!r}.")
        ids = [member.node_id for member in members]
        if len(set(ids)) != len(ids):
            found.append("members must have distinct ids.")
        if len(members) > MEMBERS_MAX:
            found.append(f"members must be at most {MEMBERS_MAX}.")
        if len({member.zone for member in members}) != len(members):
            found.append("members must be in distinct zones: the loss of one zone must leave a majority.")
        if self.node_id not in ids:
            found.append(f"node_id {self.node_id} is not among the members.")
        elif next(member.zone for member in members if member.node_id == self.node_id) != self.zone:
            found.append(f"members has node {self.node_id} in another zone than {self.zone!r}.")
        host, _, port = self.listen.rpartition(":")
        if self.listen and (not host or not port.isdigit() or int(port) > 65_535):
            found.append(f"listen must be host:port, not {self.listen!r}.")
        if self.lease_ms < 2 * self.heartbeat_ms or self.heartbeat_ms < 10:
            found.append("lease_ms must be at least twice heartbeat_ms, and heartbeat_ms at least 10.")
        if self.slow_disk_ms < 0:
            found.append("slow_disk_ms must be at least 0.")
        if not 0 <= self.clock_drift_ppm < 500_000:
            found.append("clock_drift_ppm must be at least 0 and below 500000.")
        if self.wal_segment_bytes < 4 * MIB:
            found.append("wal_segment_bytes must be at least 4 MiB.")
        if self.snapshot_every < 1:
            found.append("snapshot_every must be at least 1.")
        if self.node_silence_ms < 1_000:
            found.append("node_silence_ms must be at least 1000: nodes report every 500 ms.")
        if self.member_failure_ms < self.node_silence_ms:
            found.append("member_failure_ms must be at least node_silence_ms.")
        if not 1 <= self.stream_retention_s <= STREAM_RETENTION_S_MAX:
            # What does not fit into a message to storage nodes would keep all of them from hearing anything.
            found.append(f"stream_retention_s must be at least 1 and at most {STREAM_RETENTION_S_MAX}, a year.")
        if self.log_level not in ("debug", "info", "warning", "error"):
            found.append(f"log_level must be debug, info, warning or error, not {self.log_level!r}.")
        if self.log_format not in ("console", "json"):
            found.append(f"log_format must be console or json, not {self.log_format!r}.")
        return found
