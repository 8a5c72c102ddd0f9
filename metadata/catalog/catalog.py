"""The catalog: nodes, tables and their partitions; the state machine of the metadata service's group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from metadata.catalog import changes, indexes, streams
from metadata.catalog.commands import (
    ActivateIndex,
    ActivateTable,
    Command,
    CreateTable,
    CreateUser,
    DeleteTable,
    DisableStream,
    DisableUser,
    DrainNode,
    EnableStream,
    FoundCluster,
    IndexCommand,
    MemberCommand,
    NodeCommand,
    OpenIndex,
    PartitionsDropped,
    PlannedIndex,
    PlannedPartition,
    RegisterNode,
    RemoveIndex,
    RemoveNode,
    RemoveStream,
    RemoveTable,
    ReplaceMember,
    StreamCommand,
    TableCommand,
    TagTable,
    UntagTable,
    UpdateTable,
    UpdateTimeToLive,
    WithdrawMember,
)
from metadata.catalog.indexes import IndexStatus, TableIndex
from metadata.catalog.members import Partition, with_member
from metadata.catalog.settings import TableSettings
from metadata.catalog.streams import TableStream
from server.model.errors import (
    LimitExceededError,
    ResourceInUseError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    StatorError,
    ValidationError,
)
from server.model.limits import USERS_MAX
from server.model.table import KeySchema, LocalIndex

FIRST_PARTITION_ID = 100
"""Partition ids are group ids too; the ones below are kept for groups of the system's own."""


class TableStatus(IntEnum):
    """A table's life (proto/statorpb/tables.proto)."""

    CREATING = 1
    ACTIVE = 2
    DELETING = 3


_STEPS: dict[type, tuple[IndexStatus, IndexStatus]] = {
    OpenIndex: (IndexStatus.CREATING, IndexStatus.FILLING),
    ActivateIndex: (IndexStatus.FILLING, IndexStatus.ACTIVE),
    RemoveIndex: (IndexStatus.DELETING, IndexStatus.DELETING),
}
"""What a global index must be for a step, and what it is then."""


@dataclass(frozen=True, slots=True)
class Node:
    """A storage node. `data_id` names its data folder. `is_draining`: it gets no replicas and is to lose its own."""

    node_id: int
    name: str
    zone: str
    address: str
    data_id: str
    is_draining: bool = False


@dataclass(slots=True)
class Table:
    """A table. `number` is in the keys of its items and never used again. `streams`: the oldest first; only the newest
    may be on."""

    name: str
    number: int
    table_id: str
    status: TableStatus
    key_schema: KeySchema
    settings: TableSettings
    created_at_ms: int
    partitions: tuple[Partition, ...]
    local_indexes: tuple[LocalIndex, ...] = ()
    global_indexes: tuple[TableIndex, ...] = ()
    streams: tuple[TableStream, ...] = ()

    @property
    def all_partitions(self) -> tuple[Partition, ...]:
        """Its own, then those of its global indexes."""
        return sum((index.partitions for index in self.global_indexes), self.partitions)

    @property
    def kept_partitions(self) -> tuple[Partition, ...]:
        """Of all, those that are in use: each has been opened by all members, and these may be replaced."""
        if self.status != TableStatus.ACTIVE:
            return ()
        return sum((index.partitions for index in self.global_indexes if index.is_fed), self.partitions)

    def put(self, partition: Partition) -> None:
        """Takes a partition in place of the one with its id."""

        def taken(partitions: tuple[Partition, ...]) -> tuple[Partition, ...]:
            return tuple(partition if each.partition_id == partition.partition_id else each for each in partitions)

        self.partitions = taken(self.partitions)
        self.global_indexes = tuple(replace(index, partitions=taken(index.partitions)) for index in self.global_indexes)


@dataclass(slots=True)
class User:
    """Who signs requests with an access key. Never removed: neither the name nor the key shall ever mean another."""

    name: str
    access_key_id: str
    sealed_secret: bytes
    created_at_ms: int
    is_disabled: bool = False


@dataclass(slots=True)
class Catalog:
    """Everything the cluster has agreed on. Ids only ever grow.

    Invariant: a partition's ranges cover its table's positions in order, without gap or overlap (placement makes them
    so); no two tables share a name or a number."""

    cluster_id: str = ""
    next_node_id: int = 1
    next_partition_id: int = FIRST_PARTITION_ID
    next_table_number: int = 1
    nodes: dict[int, Node] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    garbage: dict[int, set[int]] = field(default_factory=dict)  # partition id -> nodes that still have it
    users: dict[str, User] = field(default_factory=dict)
    users_by_key: dict[str, User] = field(default_factory=dict)  # the same, by access key id
    removed_data_ids: set[str] = field(default_factory=set)  # data folders of nodes that were removed

    def apply(self, command: Command) -> object:
        """Carries out a command. Returns what its proposer wants to know, or the error that it met (a value: the same
        on every member)."""
        match command:
            case FoundCluster():
                self.cluster_id = self.cluster_id or command.cluster_id
                return self.cluster_id
            case RegisterNode():
                return self._register(command)
            case CreateTable():
                return self._create(command)
            case ActivateTable():
                table = self.table_of(command.table_number)
                if table is not None and table.status == TableStatus.CREATING:
                    table.status = TableStatus.ACTIVE
                return table
            case RemoveTable():
                return self._remove(command)
            case OpenIndex() | ActivateIndex() | RemoveIndex():
                return self._change_index(command)
            case EnableStream() | DisableStream() | RemoveStream():
                return self._change_stream(command)
            case CreateUser():
                return self._create_user(command)
            case DisableUser():
                return self._disable_user(command)
            case DrainNode() | RemoveNode():
                return self._change_node(command)
            case PartitionsDropped():
                self._dropped(command)
                return None
            case DeleteTable() | UpdateTable() | TagTable() | UntagTable() | UpdateTimeToLive():
                try:
                    return self._change(command)
                except StatorError as error:
                    return error
            case _:
                return self._change_member(command)

    def table_of(self, number: int) -> Table | None:
        """The table with a number, or None."""
        return next((table for table in self.tables.values() if table.number == number), None)

    def index_of(self, number: int) -> tuple[Table, TableIndex] | None:
        """The global index with a number, and its table; or None."""
        found = ((table, index) for table in self.tables.values() for index in table.global_indexes)
        return next(((table, index) for table, index in found if index.number == number), None)

    def stream_of(self, number: int) -> tuple[Table, TableStream] | None:
        """The stream with a number, and its table; or None."""
        found = ((table, stream) for table in self.tables.values() for stream in table.streams)
        return next(((table, stream) for table, stream in found if stream.number == number), None)

    def table_named(self, name: str) -> Table:
        """The table with a name. Raises ResourceNotFoundError."""
        table = self.tables.get(name)
        if table is None:
            raise ResourceNotFoundError(f"Requested resource not found: Table: {name} not found")
        return table

    def check_new_name(self, name: str) -> None:
        """Raises ResourceInUseError if there is such a table."""
        if name in self.tables:
            raise ResourceInUseError(f"Table already exists: {name}")

    def check_new_user(self, user_name: str, access_key_id: str) -> None:
        """Raises ResourceInUseError if there is such a user, or such a key; LimitExceededError if there are too many
        users."""
        if user_name in self.users:
            raise ResourceInUseError(f"User already exists: {user_name}")
        if access_key_id in self.users_by_key:
            raise ResourceInUseError(f"Access key id already exists: {access_key_id}")
        if len(self.users) >= USERS_MAX:
            raise LimitExceededError(f"A cluster has at most {USERS_MAX} users, disabled ones among them")

    def add_user(self, user: User) -> None:
        """Takes a user that is new by name and by key."""
        self.users[user.name] = self.users_by_key[user.access_key_id] = user

    def node_named(self, name: str) -> Node | None:
        """The node with a name, or None."""
        return next((node for node in self.nodes.values() if node.name == name), None)

    def is_removed(self, node_id: int) -> bool:
        """Whether there was such a node, and is none any more: ids are never given twice."""
        return node_id < self.next_node_id and node_id not in self.nodes

    def held_by(self, node_id: int) -> int:
        """How many replicas a node holds, with those that are about to leave it."""
        return sum(node_id in each.holders for table in self.tables.values() for each in table.all_partitions)

    def refusal_of(self, command: RegisterNode) -> StatorError | None:
        """Why a node cannot be registered as it says it is; None: it can. ResourceNotFoundError: it was removed."""
        if command.data_id in self.removed_data_ids:
            return ResourceNotFoundError(
                f"the storage node with this data folder was removed from the cluster: {command.name} may join anew "
                "with an empty data folder, but not with this one"
            )
        known = self.node_named(command.name)
        if known is not None and known.data_id != command.data_id:
            return ValidationError(
                f"{command.name} is registered with another data folder: a node that has lost its data has "
                "forgotten what it promised: it must come under another name, or be removed first (`stator node remove "
                f"{command.name}`)"
            )
        if known is not None and known.zone != command.zone:
            return ValidationError(f"{command.name} is registered in {known.zone}, not in {command.zone}")
        return None

    def _register(self, command: RegisterNode) -> Node | StatorError:
        refusal = self.refusal_of(command)
        if refusal is not None:
            return refusal
        known = self.node_named(command.name)
        node_id = known.node_id if known is not None else self.next_node_id
        is_draining = known is not None and known.is_draining
        node = Node(node_id, command.name, command.zone, command.address, command.data_id, is_draining)
        self.nodes[node_id] = node
        self.next_node_id = max(self.next_node_id, node_id + 1)
        return node

    def check_removable(self, name: str) -> Node:
        """The node with a name, which holds nothing. Raises ResourceNotFoundError, and ResourceInUseError, which says
        what to do, if it does hold something."""
        node = self._node_to_change(name)
        held = self.held_by(node.node_id)
        has = f"{name} still has {held} replica{'s' if held > 1 else ''}"
        if held and node.is_draining:
            raise ResourceInUseError(f"{has}: wait until it has none (`stator node list`), then remove it")
        if held:
            raise ResourceInUseError(
                f"{has}: drain it (`stator node drain {name}`), and remove it when it has none (`stator node list`)"
            )
        return node

    def _node_to_change(self, name: str) -> Node:
        node = self.node_named(name)
        if node is None:
            raise ResourceNotFoundError(f"Requested resource not found: Node: {name} not found")
        return node

    def _change_node(self, command: NodeCommand) -> Node | StatorError:
        try:
            if isinstance(command, DrainNode):
                node = self._node_to_change(command.name)
                self.nodes[node.node_id] = drained = replace(node, is_draining=not command.is_cancelled)
                return drained
            node = self.check_removable(command.name)
        except StatorError as error:
            return error
        del self.nodes[node.node_id]
        self.removed_data_ids.add(node.data_id)
        # What it should have removed it never will; and it can never come back with it.
        self._dropped(PartitionsDropped(node.node_id, tuple(self.garbage)))
        return node

    def _create(self, command: CreateTable) -> Table | StatorError:
        if command.table_name in self.tables:
            return ResourceInUseError(f"Table already exists: {command.table_name}")
        planned = command.global_indexes
        try:
            indexes.check_definitions(command.key_schema, command.local_indexes, [each.definition for each in planned])
            for each in planned:
                indexes.check_throughput(each, is_on_demand=command.settings.is_on_demand)
            for partitions in (command.partitions, *(each.partitions for each in planned)):
                self._check_nodes(partitions)
        except StatorError as error:
            return error
        table = Table(
            command.table_name,
            self._new_number(),
            command.table_id,
            TableStatus.CREATING,
            command.key_schema,
            command.settings,
            command.created_at_ms,
            self._new_partitions(command.partitions),
            command.local_indexes,
        )
        table.global_indexes = tuple(self._new_index(each, command.created_at_ms) for each in planned)
        if command.stream_view_type:
            number = self._new_number()
            table.streams = (streams.new_stream(number, command.stream_view_type, command.created_at_ms, ()),)
        self.tables[table.name] = table
        return table

    def _check_nodes(self, partitions: Iterable[PlannedPartition]) -> None:
        if any(self.is_removed(node_id) for planned in partitions for node_id in planned.node_ids):
            raise ServiceUnavailableError("a node on which the table was to be has just been removed: try again")

    def _new_number(self) -> int:
        self.next_table_number += 1
        return self.next_table_number - 1

    def _new_partitions(self, partitions: Sequence[PlannedPartition]) -> tuple[Partition, ...]:
        first = self.next_partition_id
        self.next_partition_id += len(partitions)
        return tuple(
            Partition(partition_id, planned.range_start, planned.range_end, planned.node_ids)
            for partition_id, planned in enumerate(partitions, first)
        )

    def _new_index(self, planned: PlannedIndex, now_ms: int) -> TableIndex:
        definition = replace(planned.definition, number=self._new_number())
        partitions = self._new_partitions(planned.partitions)
        return TableIndex(definition, IndexStatus.CREATING, planned.settings, now_ms, partitions)

    def _change(self, command: TableCommand) -> Table:
        table = self.table_named(command.table_name)
        is_deletion = isinstance(command, DeleteTable)
        if table.status == TableStatus.CREATING or (table.status == TableStatus.DELETING and not is_deletion):
            raise ResourceInUseError(
                "Attempt to change a resource which is still in use: Table is being "
                f"{'created' if table.status == TableStatus.CREATING else 'deleted'}: {table.name}"
            )
        settings = table.settings
        match command:
            case DeleteTable():
                if settings.is_protected:
                    raise ValidationError(
                        "Resource cannot be deleted as it is currently protected against deletion. Disable deletion "
                        "protection first."
                    )
                table.status = TableStatus.DELETING
            case UpdateTable():
                self._update(table, command)
            case TagTable():
                table.settings = changes.tagged(settings, command.tags)
            case UntagTable():
                table.settings = changes.untagged(settings, command.tag_keys)
            case _:
                table.settings = changes.with_time_to_live(settings, command)
        return table

    def _update(self, table: Table, command: UpdateTable) -> None:
        """All of it, or nothing where anything is refused."""
        streams.check_at_rest(table.name, table.streams)
        settings = changes.updated(table.settings, command, table.created_at_ms)
        kept = indexes.updated(table.global_indexes, table.local_indexes, command, settings)
        streams.check_switch(table.name, table.streams, command.stream)
        planned = command.created_index
        if planned is not None:
            indexes.check_new(table.key_schema, table.local_indexes, kept, planned, is_on_demand=settings.is_on_demand)
            self._check_nodes(planned.partitions)
            kept = (*kept, self._new_index(planned, command.time_ms))
        table.settings, table.global_indexes = settings, kept
        if command.stream:
            new = streams.new_stream(self._new_number(), command.stream, command.time_ms, table.streams)
            table.streams = (*table.streams, new)
        elif command.stream is not None:
            table.streams = streams.switched_off(table.streams)

    def _change_index(self, command: IndexCommand) -> TableIndex | None:
        """Returns the index as it is then; None if there is nothing to change (any more)."""
        found = self.index_of(command.number)
        if found is None:
            return None
        table, index = found
        before, after = _STEPS[type(command)]
        if index.status != before or table.status == TableStatus.DELETING:
            return None
        changed = replace(index, status=after)
        if isinstance(command, RemoveIndex):
            table.global_indexes = tuple(each for each in table.global_indexes if each is not index)
            for partition in index.partitions:
                self.garbage.setdefault(partition.partition_id, set()).update(partition.holders)
        else:
            table.global_indexes = tuple(changed if each is index else each for each in table.global_indexes)
        return changed

    def _change_stream(self, command: StreamCommand) -> TableStream | None:
        """Returns the stream as it is then, or was; None if there is nothing to change (any more)."""
        found = self.stream_of(command.number)
        if found is None:
            return None
        table, stream = found
        changed = streams.stepped(stream, command, [each.partition_id for each in table.partitions])
        if changed is None or table.status == TableStatus.DELETING:
            return None
        kept = () if isinstance(command, RemoveStream) else (changed,)
        table.streams = tuple(new for each in table.streams for new in (kept if each is stream else (each,)))
        return changed

    def _remove(self, command: RemoveTable) -> Table | None:
        table = self.table_of(command.table_number)
        if table is not None and table.status == TableStatus.DELETING:
            del self.tables[table.name]
            for partition_id, node_ids in command.garbage:
                if node_ids:
                    self.garbage.setdefault(partition_id, set()).update(node_ids)
        return table

    def _dropped(self, command: PartitionsDropped) -> None:
        for partition_id in command.partition_ids:
            left = self.garbage.get(partition_id)
            if left is not None:
                left.discard(command.node_id)
                if not left:
                    del self.garbage[partition_id]

    def partition_of(self, partition_id: int) -> tuple[Table, Partition] | None:
        """A partition and its table, or None."""
        for table in self.tables.values():
            for partition in table.all_partitions:
                if partition.partition_id == partition_id:
                    return table, partition
        return None

    def _change_member(self, command: MemberCommand) -> Partition | None:
        """Returns the partition as it is then; None if there is nothing to change (any more)."""
        found = self.partition_of(command.partition_id)
        if found is None:
            return None
        table, partition = found
        if isinstance(command, ReplaceMember | WithdrawMember) and not self._may_join(command.joining_node_id):
            return None
        changed = with_member(partition, command, self.garbage.get(partition.partition_id, set()))
        if changed is None or partition not in table.kept_partitions:
            return None
        if left := set(partition.holders) - set(changed.holders):
            self.garbage.setdefault(partition.partition_id, set()).update(left)
        table.put(changed)
        return changed

    def _may_join(self, node_id: int) -> bool:
        """Whether a node may get a replica: what was decided on may be late, by an operator's command."""
        node = self.nodes.get(node_id)
        return not self.is_removed(node_id) and not (node is not None and node.is_draining)

    def _create_user(self, command: CreateUser) -> User | StatorError:
        try:
            self.check_new_user(command.user_name, command.access_key_id)
        except StatorError as error:
            return error
        user = User(command.user_name, command.access_key_id, command.sealed_secret, command.created_at_ms)
        self.add_user(user)
        return user

    def _disable_user(self, command: DisableUser) -> User | StatorError:
        user = self.users.get(command.user_name)
        if user is None:
            return ResourceNotFoundError(f"Requested resource not found: User: {command.user_name} not found")
        user.is_disabled = True
        return user
