"""A storage node's configuration: defaults here, then file, environment, flags."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.model.limits import COLLECTION_BYTES_MAX

MIB = 1024 * 1024
_EVERY_ADDRESS = ("0.0.0.0", "[::]", "*")


@dataclass(frozen=True, slots=True)
class Config:
    """One frozen object a process; `problems` says in sentences what is wrong with it."""

    name: str = field(metadata={"help": "the node's name, unique in the cluster"})
    zone: str = field(metadata={"help": "the availability zone the node is in"})
    data: str = field(metadata={"help": "folder for the node's log and data"})
    metadata: tuple[str, ...] = field(metadata={"help": "addresses (host:port) of the metadata processes"})
    listen: str = field(default="127.0.0.1:9100", metadata={"help": "address to serve gRPC on"})
    frame_listen: str = field(
        default="",
        metadata={"help": "address for frame connections; empty: on `listen`'s host, at any free port"},
    )
    advertise: str = field(default="", metadata={"help": "address others reach this node at; empty: as `listen`"})
    log_format: str = field(default="console", metadata={"help": "console or json"})
    log_level: str = field(default="info", metadata={"help": "debug, info, warning or error"})
    wal_segment_bytes: int = field(default=64 * MIB, metadata={"help": "size of a log segment"})
    memtable_bytes: int = field(
        default=16 * MIB, metadata={"help": "committed writes held in memory before a checkpoint writes them to disk"}
    )
    checkpoint_interval_ms: int = field(
        default=30_000, metadata={"help": "the longest a committed write waits for a checkpoint"}
    )
    snapshot_bytes_per_s: int = field(
        default=16 * MIB,
        metadata={"help": "how fast the node sends replicas' state to others, all together; 0: as fast as it can"},
    )
    map_bytes: int = field(
        default=1024 * MIB, metadata={"help": "initial size of the B-tree's map; it grows by itself"}
    )
    disk_reserve_bytes: int = field(
        default=256 * MIB,
        metadata={"help": "writes are refused when less than this is free on the disk, until an eighth more is"},
    )
    item_collection_bytes: int = field(
        default=COLLECTION_BYTES_MAX,
        metadata={"help": "the most that one partition key's items and entries of local indexes may have together"},
    )
    lease_ms: int = field(default=2_000, metadata={"help": "how long a node's grant to a leader lasts"})
    heartbeat_ms: int = field(default=500, metadata={"help": "interval of the heartbeats that renew grants"})
    slow_disk_ms: int = field(
        default=250,
        metadata={"help": "where each write of the log takes so long, and others' do not, others lead; 0: never"},
    )
    eventual_read_age_ms: int = field(
        default=4_000, metadata={"help": "how old the state may be that an eventually consistent read is answered from"}
    )
    clock_drift_ppm: int = field(
        default=10_000, metadata={"help": "how much two nodes' clock rates may differ, in parts per million"}
    )

    def problems(self) -> list[str]:
        """What is wrong, a sentence each; empty: nothing."""
        found = [f"{option} must not be empty." for option in ("name", "zone", "data") if not getattr(self, option)]
        if not self.metadata:
            found.append("metadata must name at least one address.")
        found += self._address_problems()
        if self.log_format not in ("console", "json"):
            found.append(f"log_format must be console or json, not {self.log_format!r}.")
        if self.log_level not in ("debug", "info", "warning", "error"):
            found.append(f"log_level must be debug, info, warning or error, not {self.log_level!r}.")
        if self.lease_ms < 2 * self.heartbeat_ms or self.heartbeat_ms < 10:
            found.append("lease_ms must be at least twice heartbeat_ms, and heartbeat_ms at least 10.")
        if self.eventual_read_age_ms < self.lease_ms + 2 * self.heartbeat_ms:
            found.append("eventual_read_age_ms must be at least lease_ms and twice heartbeat_ms together.")
        if self.slow_disk_ms < 0:
            found.append("slow_disk_ms must be at least 0.")
        if not 0 <= self.clock_drift_ppm < 500_000:
            found.append("clock_drift_ppm must be at least 0 and below 500000.")
        if self.wal_segment_bytes < 16 * MIB:  # more than what one log entry may have: GROUP_IN_FLIGHT_BYTES_MAX
            found.append("wal_segment_bytes must be at least 16 MiB.")
        if self.snapshot_bytes_per_s and self.snapshot_bytes_per_s < MIB:
            found.append("snapshot_bytes_per_s must be 0 or at least 1 MiB.")
        if not 0 < self.item_collection_bytes <= COLLECTION_BYTES_MAX:
            found.append(f"item_collection_bytes must be above 0, and at most {COLLECTION_BYTES_MAX} (10 GiB).")
        if self.memtable_bytes < MIB:
            found.append("memtable_bytes must be at least 1 MiB.")
        if self.map_bytes < 4 * self.memtable_bytes:
            found.append("map_bytes must be at least four times memtable_bytes.")
        return found

    def _address_problems(self) -> list[str]:
        found = []
        options = (("listen", self.listen), ("frame_listen", self.frame_listen), ("advertise", self.advertise))
        for option, address in options:
            host, _, port = address.rpartition(":")
            if (address or option == "listen") and (not host or not port.isdigit() or int(port) > 65_535):
                found.append(f"{option} must be host:port, not {address!r}.")
        host, _, port = (self.advertise or self.listen).rpartition(":")
        # What is advertised is what others connect to: any port and every address are good for listening only.
        if not found and (host in _EVERY_ADDRESS or int(port) == 0):
            found.append(f"advertise must be given: others cannot reach this node at {host}:{port}.")
        return found
