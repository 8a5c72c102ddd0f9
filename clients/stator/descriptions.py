"""What the client tells about tables and the cluster: plain, frozen values."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from statorpb import admin_pb2, tables_pb2

from stator.indexes import (
    GlobalIndexDescription,
    KeyAttribute,
    LocalIndexDescription,
    global_index_description,
    key_attribute,
    local_index_description,
)
from stator.stream_descriptions import StreamViewType, view_type

TableStatus = Literal["CREATING", "ACTIVE", "DELETING", "UPDATING", "UNKNOWN"]
TableClass = Literal["STANDARD", "STANDARD_INFREQUENT_ACCESS"]

LIFTED = -1
"""A limit of request units that is none any more."""

_ARN_PREFIX = "arn:aws:dynamodb:local:000000000000:table/"


@dataclass(frozen=True, slots=True)
class CapacityLimits:
    """Quotas on capacity units, a second."""

    account_max_read_capacity_units: int
    account_max_write_capacity_units: int
    table_max_read_capacity_units: int
    table_max_write_capacity_units: int


@dataclass(frozen=True, slots=True)
class TableDescription:
    """A table. `items` and `bytes` are as last counted by the storage nodes, so a little behind.

    `read_capacity_units` and `write_capacity_units` are None for a table on demand, `max_read_request_units` and
    `max_write_request_units` where there is no limit. Times are None for what has never happened; `on_demand_since` is
    when the table became on-demand last, also if it is not any more. `stream` is what the table's stream tells of a
    change, None: it has none, or none any more; `latest_stream_label` and `latest_stream_arn` are those of the newest
    stream, which can be read for a day after it was turned off.
    """

    name: str
    id: str
    status: TableStatus
    partition_key: KeyAttribute
    sort_key: KeyAttribute | None
    read_capacity_units: int | None
    write_capacity_units: int | None
    created_at: datetime
    partitions: int
    items: int
    bytes: int
    local_indexes: tuple[LocalIndexDescription, ...] = ()
    global_indexes: tuple[GlobalIndexDescription, ...] = ()
    max_read_request_units: int | None = None
    max_write_request_units: int | None = None
    warm_read_units_per_second: int = 0
    warm_write_units_per_second: int = 0
    table_class: TableClass = "STANDARD"
    deletion_protection: bool = False
    on_demand_since: datetime | None = None
    last_increase_at: datetime | None = None
    last_decrease_at: datetime | None = None
    decreases_today: int = 0
    stream: StreamViewType | None = None
    latest_stream_label: str | None = None
    latest_stream_arn: str | None = None


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """A metadata or storage process. `note` is empty, or says what is wrong. `is_draining`: it gets no replicas, and
    those it has are moved to others."""

    node_id: int
    name: str
    role: str
    zone: str
    address: str
    is_alive: bool
    is_leader: bool
    replicas: int
    leaders: int
    note: str
    is_draining: bool = False
    healed: int = 0
    """Replicas whose log or items were damaged, and are whole again, since the process began."""


@dataclass(frozen=True, slots=True)
class ReplicaDescription:
    """One copy of a partition."""

    node_id: int
    zone: str
    is_leader: bool
    state: str = ""
    """Empty: it has the items; "log": it has a log only, until it has got them; "restoring": it votes, and gets the
    items anew; "leaving": another takes its place."""
    restored_bytes: int = 0
    """How much of the items has come so far, where they are on their way."""
    restoring_bytes: int = 0
    """How much there is of them, about; 0: they are not on their way, or it is not known."""
    bytes_per_s: int = 0
    """How fast they have come so far."""


@dataclass(frozen=True, slots=True)
class PartitionDescription:
    """A range of the hashed keys of a table, or of its global index `index_name` (empty: of the table): from
    `range_start` up to but without `range_end` (empty: no bound)."""

    partition_id: int
    table_name: str
    range_start: bytes
    range_end: bytes
    replicas: tuple[ReplicaDescription, ...]
    index_name: str = ""

    @property
    def leader(self) -> ReplicaDescription | None:
        """The replica that takes the writes; None while there is none."""
        return next((replica for replica in self.replicas if replica.is_leader), None)


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """The nodes of a cluster, and where its partitions are."""

    nodes: tuple[NodeDescription, ...]
    partitions: tuple[PartitionDescription, ...]


def table_arn(table: str) -> str:
    """The Amazon Resource Name of a table; that of a name that is one already is that name."""
    return table if table.startswith("arn:") else _ARN_PREFIX + table


def table_description(wire: tables_pb2.TableDescription) -> TableDescription:
    """From the wire."""
    schema = wire.key_schema
    is_provisioned = wire.HasField("provisioned")
    statuses: dict[int, TableStatus] = {
        tables_pb2.CREATING: "CREATING",
        tables_pb2.ACTIVE: "ACTIVE",
        tables_pb2.DELETING: "DELETING",
        tables_pb2.UPDATING: "UPDATING",
    }
    return TableDescription(
        name=wire.table_name,
        id=wire.table_id,
        status=statuses.get(wire.status, "UNKNOWN"),
        partition_key=key_attribute(schema.partition_key),
        sort_key=key_attribute(schema.sort_key) if schema.HasField("sort_key") else None,
        read_capacity_units=wire.provisioned.read_capacity_units if is_provisioned else None,
        write_capacity_units=wire.provisioned.write_capacity_units if is_provisioned else None,
        created_at=datetime.fromtimestamp(wire.created_at_ms / 1000, UTC),
        partitions=wire.partitions,
        items=wire.items,
        bytes=wire.bytes,
        local_indexes=tuple(map(local_index_description, wire.local_indexes)),
        global_indexes=tuple(map(global_index_description, wire.global_indexes)),
        max_read_request_units=wire.on_demand.max_read_request_units or None,
        max_write_request_units=wire.on_demand.max_write_request_units or None,
        warm_read_units_per_second=wire.warm.read_units_per_second,
        warm_write_units_per_second=wire.warm.write_units_per_second,
        table_class=(
            "STANDARD_INFREQUENT_ACCESS" if wire.table_class == tables_pb2.STANDARD_INFREQUENT_ACCESS else "STANDARD"
        ),
        deletion_protection=wire.deletion_protection,
        on_demand_since=_time(wire.on_demand_since_ms),
        last_increase_at=_time(wire.last_increase_at_ms),
        last_decrease_at=_time(wire.last_decrease_at_ms),
        decreases_today=wire.decreases_today,
        stream=view_type(wire.stream.view_type) if wire.stream.enabled else None,
        latest_stream_label=wire.latest_stream_label or None,
        latest_stream_arn=(
            f"{table_arn(wire.table_name)}/stream/{wire.latest_stream_label}" if wire.latest_stream_label else None
        ),
    )


def capacity_limits(wire: tables_pb2.DescribeLimitsResponse) -> CapacityLimits:
    """From the wire."""
    return CapacityLimits(
        wire.account_max_read_capacity_units,
        wire.account_max_write_capacity_units,
        wire.table_max_read_capacity_units,
        wire.table_max_write_capacity_units,
    )


@dataclass(frozen=True, slots=True)
class UserDescription:
    """Whoever signs with an access key. `is_disabled`: signatures are refused, for good."""

    name: str
    access_key_id: str
    is_disabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user who has just been made, and the secret, which nobody is told again."""

    user: UserDescription
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """Something that has happened to the cluster. `kind`: "node", "leader", "members", "table" or "metadata"; `text`: a
    sentence for people. `at`: when it was seen. `node_id`: of a storage node, or, where the kind is "metadata", of a
    metadata process; it and `partition_id` are None where the event is about none, or many."""

    at: datetime
    kind: str
    text: str
    node_id: int | None = None
    partition_id: int | None = None


@dataclass(frozen=True, slots=True)
class ClusterEvents:
    """What one metadata process, `told_by`, knows of, `since` when; None: it has yet to learn what there is.
    `next`: the place behind these events, to go on from. `missed`: how many of those asked for it has let go of.
    `is_elsewhere`: another process told the events before, so that some of these may be repeated, and some missing."""

    events: tuple[ClusterEvent, ...]
    next: str
    told_by: str
    since: datetime | None
    missed: int = 0
    is_elsewhere: bool = False


def cluster_events(wire: admin_pb2.ListEventsResponse) -> ClusterEvents:
    """From the wire."""
    events = tuple(
        ClusterEvent(
            *(datetime.fromtimestamp(event.at_ms / 1000, UTC), event.kind, event.text),
            *(event.node_id or None, event.partition_id or None),
        )
        for event in wire.events
    )
    return ClusterEvents(events, wire.next, wire.told_by, _time(wire.since_ms), wire.missed, wire.elsewhere)


def user_description(wire: admin_pb2.User) -> UserDescription:
    """From the wire."""
    created_at = datetime.fromtimestamp(wire.created_at_ms / 1000, UTC)
    return UserDescription(wire.user_name, wire.access_key_id, wire.disabled, created_at)


def node_description(wire: admin_pb2.NodeStatus) -> NodeDescription:
    """From the wire."""
    return NodeDescription(
        *(wire.node_id, wire.name, wire.role, wire.zone, wire.address, wire.alive),
        *(wire.is_leader, wire.replicas, wire.leaders, wire.note, wire.draining, wire.healed),
    )


def _replica_description(wire: admin_pb2.ReplicaStatus) -> ReplicaDescription:
    return ReplicaDescription(
        *(wire.node_id, wire.zone, wire.is_leader, wire.state),
        *(wire.restored_bytes, wire.restoring_bytes, wire.bytes_per_s),
    )


def cluster_description(wire: admin_pb2.DescribeClusterResponse) -> ClusterDescription:
    """From the wire."""
    partitions = tuple(
        PartitionDescription(
            partition_id=partition.partition_id,
            table_name=partition.table_name,
            range_start=partition.range_start,
            range_end=partition.range_end,
            replicas=tuple(map(_replica_description, partition.replicas)),
            index_name=partition.index_name,
        )
        for partition in wire.partitions
    )
    return ClusterDescription(tuple(map(node_description, wire.nodes)), partitions)


def _time(time_ms: int) -> datetime | None:
    return datetime.fromtimestamp(time_ms / 1000, UTC) if time_ms else None
