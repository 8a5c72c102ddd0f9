"""What changes the catalog. Commands carry every choice, id and time in them: applying them is deterministic."""

from __future__ import annotations

from dataclasses import dataclass

from metadata.catalog.settings import TableSettings
from server.model.table import GlobalIndex, KeySchema, LocalIndex
from server.paxos.quorum import NO_FLOOR, Floor


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """Gives the cluster its id, once."""

    cluster_id: str


@dataclass(frozen=True, slots=True)
class RegisterNode:
    """A storage node with a data folder of its own reports for duty at an address."""

    name: str
    zone: str
    address: str
    data_id: str


@dataclass(frozen=True, slots=True)
class PlannedPartition:
    """A range of the new table and the nodes that will hold it, the preferred leader first."""

    range_start: bytes
    range_end: bytes
    node_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PlannedIndex:
    """A new global index: its number in `definition` is 0, it gets one when it is made. Of the settings it has those of
    its throughput."""

    definition: GlobalIndex
    settings: TableSettings
    partitions: tuple[PlannedPartition, ...]


@dataclass(frozen=True, slots=True)
class IndexUpdate:
    """Changes a global index's throughput. What is 0 stays as it is; `max_` units of -1 lift the limit."""

    name: str
    read_units: int = 0
    write_units: int = 0
    max_read_units: int = 0
    max_write_units: int = 0
    warm_read_units: int = 0
    warm_write_units: int = 0


@dataclass(frozen=True, slots=True)
class Shard:
    """A partition's part of a stream: no record has a lower sequence number than the first, nor a higher one than the
    last, which is 0 while there may be more."""

    partition_id: int
    first_sequence: int
    last_sequence: int = 0


@dataclass(frozen=True, slots=True)
class CreateTable:
    """A new table. `stream_view_type` empty: without a stream."""

    table_name: str
    key_schema: KeySchema
    settings: TableSettings
    table_id: str
    created_at_ms: int
    partitions: tuple[PlannedPartition, ...]
    local_indexes: tuple[LocalIndex, ...] = ()
    global_indexes: tuple[PlannedIndex, ...] = ()
    stream_view_type: str = ""


@dataclass(frozen=True, slots=True)
class ActivateTable:
    """Every replica of the table has been opened, every partition has a leader, its global indexes are active, and its
    stream is enabled."""

    table_number: int


@dataclass(frozen=True, slots=True)
class DeleteTable:
    """The table is to go."""

    table_name: str


@dataclass(frozen=True, slots=True)
class UpdateTable:
    """Changes a table's settings, and those of its global indexes, of which one may be made or removed at a time, and
    switches its stream. What is empty, 0 or None stays as it is; `max_` units of -1 lift the limit. `stream`: the view
    type of one that is to be made, or empty: there is to be none any more."""

    table_name: str
    time_ms: int
    billing_mode: str = ""
    read_units: int = 0
    write_units: int = 0
    max_read_units: int = 0
    max_write_units: int = 0
    warm_read_units: int = 0
    warm_write_units: int = 0
    table_class: str = ""
    is_protected: bool | None = None
    created_index: PlannedIndex | None = None
    deleted_index: str = ""
    index_updates: tuple[IndexUpdate, ...] = ()
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class TagTable:
    """Sets tags, (key, value), in place of those of the same keys."""

    table_name: str
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class UntagTable:
    """Removes tags by their keys."""

    table_name: str
    tag_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UpdateTimeToLive:
    """Makes a table's items expire by an attribute, or not any more."""

    table_name: str
    time_ms: int
    attribute: str
    is_enabled: bool


@dataclass(frozen=True, slots=True)
class RemoveTable:
    """The table has gone; `garbage`: partition id -> nodes that still have to drop it when they come back."""

    table_number: int
    garbage: tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class OpenIndex:
    """Every replica of a global index has been opened and every partition has a leader: it can be fed."""

    number: int


@dataclass(frozen=True, slots=True)
class ActivateIndex:
    """A global index has every item that the table had when it was made, and gets every change since."""

    number: int


@dataclass(frozen=True, slots=True)
class RemoveIndex:
    """No partition of the table feeds the global index any more: what nodes have of it is to be removed."""

    number: int


@dataclass(frozen=True, slots=True)
class EnableStream:
    """Every partition of the table records its changes for the stream, from these first sequence numbers on."""

    number: int
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class DisableStream:
    """No partition of the table records anything for the stream any more: these are the last sequence numbers."""

    number: int
    shards: tuple[Shard, ...]
    time_ms: int


@dataclass(frozen=True, slots=True)
class RemoveStream:
    """What a disabled stream has has been kept for long enough."""

    number: int


@dataclass(frozen=True, slots=True)
class PartitionsDropped:
    """A node has removed what it still had of partitions whose tables are gone."""

    node_id: int
    partition_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReplaceMember:
    """A partition's replica on one node is to be replaced by one on another, a log replica at first. `floor`: what the
    group has reached by then."""

    partition_id: int
    leaving_node_id: int
    joining_node_id: int
    floor: Floor = NO_FLOOR


@dataclass(frozen=True, slots=True)
class MemberReplaced:
    """The partition's leader serves with the new members: what `left_node_id` still has is to be removed. `floor`: what
    the group has reached by then."""

    partition_id: int
    left_node_id: int
    floor: Floor = NO_FLOOR


@dataclass(frozen=True, slots=True)
class WithdrawMember:
    """`withdrawn_node_id`, which was to join, cannot be had. Instead of what was decided on, `joining_node_id` is to
    take the place of `leaving_node_id`, one of the members of before. `floor`: what the group has reached by then."""

    partition_id: int
    withdrawn_node_id: int
    leaving_node_id: int
    joining_node_id: int
    floor: Floor = NO_FLOOR


@dataclass(frozen=True, slots=True)
class AdoptMembers:
    """The partition's leader serves with these members, of those that hold it: they are the ones to have, whichever
    decision has led to them; what the other holders have is to be removed. `log_node_id`: of the members, the one that
    has a log only; 0: none. `floor`: what the group has reached by then."""

    partition_id: int
    node_ids: tuple[int, ...]
    log_node_id: int = 0
    floor: Floor = NO_FLOOR


@dataclass(frozen=True, slots=True)
class NoteFloor:
    """The group has gone on, and not to the members that it is to have: its way to them begins anew from there."""

    partition_id: int
    floor: Floor


@dataclass(frozen=True, slots=True)
class PromoteMember:
    """The log replica on a node has the state now: it is to be a storage replica."""

    partition_id: int
    node_id: int


@dataclass(frozen=True, slots=True)
class DrainNode:
    """A storage node is to hold nothing any more, so that it can go; or is to hold something again after all."""

    name: str
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class RemoveNode:
    """A storage node that holds nothing leaves the cluster, for good."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateUser:
    """Somebody may sign requests. `sealed_secret`: what only those can open who have the cluster's key."""

    user_name: str
    access_key_id: str
    sealed_secret: bytes
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class DisableUser:
    """Signatures of this user are to be refused from now on."""

    user_name: str


TableCommand = DeleteTable | UpdateTable | TagTable | UntagTable | UpdateTimeToLive
"""What is asked for by a table's name, and may be refused."""

MemberCommand = ReplaceMember | MemberReplaced | WithdrawMember | AdoptMembers | PromoteMember | NoteFloor
"""What changes who holds a partition."""

IndexCommand = OpenIndex | ActivateIndex | RemoveIndex
"""The steps of a global index's life, as the storage nodes report that they are due."""

StreamCommand = EnableStream | DisableStream | RemoveStream
"""The steps of a stream's life, likewise."""

NodeCommand = DrainNode | RemoveNode
"""What an operator wants of a storage node."""

Command = (
    FoundCluster
    | RegisterNode
    | CreateTable
    | ActivateTable
    | TableCommand
    | RemoveTable
    | IndexCommand
    | StreamCommand
    | PartitionsDropped
    | MemberCommand
    | NodeCommand
    | CreateUser
    | DisableUser
)
