"""The catalog's commands and snapshots as protobuf."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from statorpb import cluster_pb2, streams_pb2, tables_pb2

from metadata.catalog.catalog import Catalog, Node, Table, TableStatus, User
from metadata.catalog.commands import (
    ActivateIndex,
    ActivateTable,
    AdoptMembers,
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
    MemberReplaced,
    NodeCommand,
    NoteFloor,
    OpenIndex,
    PartitionsDropped,
    PlannedPartition,
    PromoteMember,
    RegisterNode,
    RemoveIndex,
    RemoveNode,
    RemoveStream,
    RemoveTable,
    ReplaceMember,
    Shard,
    StreamCommand,
    TagTable,
    UntagTable,
    UpdateTable,
    UpdateTimeToLive,
    WithdrawMember,
)
from metadata.catalog.indexes import IndexStatus, TableIndex
from metadata.catalog.members import Partition
from metadata.catalog.streams import StreamStatus, TableStream
from metadata.settings_codec import (
    change_in,
    planned_index_in,
    put_change,
    put_planned_index,
    put_settings,
    settings_of,
    view_type_name,
    view_type_value,
)
from server.floor_codec import floor_of, put_floor
from server.table_codec import global_index, key_schema, local_indexes, put_global_index, put_schema

SNAPSHOT_VERSION = 1
SNAPSHOT_VERSION_INDEXES = 2
"""With global indexes: a version that does not know them must not read past them."""
SNAPSHOT_VERSION_STREAMS = 3
"""With streams, likewise; there may be global indexes too."""
_SNAPSHOT_VERSIONS = (SNAPSHOT_VERSION, SNAPSHOT_VERSION_INDEXES, SNAPSHOT_VERSION_STREAMS)


class CorruptCatalogError(Exception):
    """Bytes that are not a command or a snapshot of the catalog; the sentence says why."""


def encode_command(command: Command) -> bytes:
    """A command as an entry's payload."""
    message = cluster_pb2.CatalogCommand()
    match command:
        case FoundCluster():
            message.found_cluster = command.cluster_id
        case RegisterNode():
            message.register_node.CopyFrom(
                cluster_pb2.RegisterNodeRequest(
                    name=command.name, zone=command.zone, address=command.address, data_id=command.data_id
                )
            )
        case CreateTable():
            create = message.create_table
            create.table_name = command.table_name
            put_schema(create, command.key_schema, command.local_indexes)
            create.read_units, create.write_units = command.settings.read_units, command.settings.write_units
            put_settings(create.settings, command.settings)
            create.table_id, create.created_at_ms = command.table_id, command.created_at_ms
            for planned in command.partitions:
                create.partitions.add(
                    range_start=planned.range_start, range_end=planned.range_end, node_ids=planned.node_ids
                )
            for index in command.global_indexes:
                put_planned_index(create.global_indexes.add(), index)
            create.stream_view_type = view_type_value(command.stream_view_type)
        case ActivateTable():
            message.activate_table = command.table_number
        case DeleteTable():
            message.delete_table = command.table_name
        case UpdateTable() | TagTable() | UntagTable() | UpdateTimeToLive():
            put_change(message, command)
        case RemoveTable():
            message.remove_table.table_number = command.table_number
            for partition_id, node_ids in command.garbage:
                message.remove_table.garbage.add(partition_id=partition_id, node_ids=node_ids)
        case OpenIndex():
            message.open_index = command.number
        case ActivateIndex():
            message.activate_index = command.number
        case RemoveIndex():
            message.remove_index = command.number
        case EnableStream() | DisableStream() | RemoveStream():
            _put_stream_change(message, command)
        case PartitionsDropped():
            message.partitions_dropped.node_id = command.node_id
            message.partitions_dropped.partition_ids.extend(command.partition_ids)
        case ReplaceMember() | MemberReplaced() | WithdrawMember() | AdoptMembers() | PromoteMember() | NoteFloor():
            _put_member_change(message, command)
        case DrainNode():
            message.drain_node.name, message.drain_node.cancel = command.name, command.is_cancelled
        case RemoveNode():
            message.remove_node = command.name
        case CreateUser():
            user = message.create_user
            user.user_name, user.access_key_id = command.user_name, command.access_key_id
            user.sealed_secret, user.created_at_ms = command.sealed_secret, command.created_at_ms
        case DisableUser():
            message.disable_user = command.user_name
    return message.SerializeToString(deterministic=True)


def decode_command(data: bytes) -> Command:
    """The command in an entry. Raises CorruptCatalogError for one that this version does not know."""
    try:
        message = cluster_pb2.CatalogCommand.FromString(data)
    except DecodeError as error:
        raise CorruptCatalogError(f"the command is no protobuf message: {error}") from error
    kind = message.WhichOneof("command")
    if kind == "found_cluster":
        return FoundCluster(message.found_cluster)
    if kind == "register_node":
        node = message.register_node
        return RegisterNode(node.name, node.zone, node.address, node.data_id)
    if kind == "create_table":
        create = message.create_table
        planned = tuple(
            PlannedPartition(each.range_start, each.range_end, tuple(each.node_ids)) for each in create.partitions
        )
        return CreateTable(
            create.table_name,
            key_schema(create),
            settings_of(create),
            create.table_id,
            create.created_at_ms,
            planned,
            local_indexes(create),
            tuple(map(planned_index_in, create.global_indexes)),
            view_type_name(create.stream_view_type),
        )
    if kind == "activate_table":
        return ActivateTable(message.activate_table)
    if kind == "delete_table":
        return DeleteTable(message.delete_table)
    if kind == "remove_table":
        garbage = tuple((each.partition_id, tuple(each.node_ids)) for each in message.remove_table.garbage)
        return RemoveTable(message.remove_table.table_number, garbage)
    if kind == "partitions_dropped":
        dropped = message.partitions_dropped
        return PartitionsDropped(dropped.node_id, tuple(dropped.partition_ids))
    if kind == "create_user":
        user = message.create_user
        return CreateUser(user.user_name, user.access_key_id, user.sealed_secret, user.created_at_ms)
    if kind == "disable_user":
        return DisableUser(message.disable_user)
    found: Command | None = _member_change_in(message, kind) or _node_change_in(message, kind)
    found = found or _index_change_in(message, kind) or _stream_change_in(message, kind) or change_in(message)
    if found is not None:
        return found
    raise CorruptCatalogError("a command of a kind that this version does not know")


def _put_member_change(message: cluster_pb2.CatalogCommand, command: MemberCommand) -> None:
    match command:
        case ReplaceMember():
            change = message.replace_member
            change.partition_id = command.partition_id
            change.leaving_node_id, change.joining_node_id = command.leaving_node_id, command.joining_node_id
            put_floor(change.floor, command.floor)
        case MemberReplaced():
            message.member_replaced.partition_id = command.partition_id
            message.member_replaced.left_node_id = command.left_node_id
            put_floor(message.member_replaced.floor, command.floor)
        case NoteFloor():
            message.note_floor.partition_id = command.partition_id
            put_floor(message.note_floor.floor, command.floor)
        case WithdrawMember():
            withdrawal = message.withdraw_member
            withdrawal.partition_id, withdrawal.withdrawn_node_id = command.partition_id, command.withdrawn_node_id
            withdrawal.leaving_node_id, withdrawal.joining_node_id = command.leaving_node_id, command.joining_node_id
            put_floor(withdrawal.floor, command.floor)
        case AdoptMembers():
            adopted = message.adopt_members
            adopted.partition_id, adopted.log_node_id = command.partition_id, command.log_node_id
            adopted.node_ids.extend(command.node_ids)
            put_floor(adopted.floor, command.floor)
        case PromoteMember():
            message.promote_member.partition_id = command.partition_id
            message.promote_member.node_id = command.node_id


def _member_change_in(message: cluster_pb2.CatalogCommand, kind: str | None) -> MemberCommand | None:
    if kind == "replace_member":
        change = message.replace_member
        return ReplaceMember(
            change.partition_id, change.leaving_node_id, change.joining_node_id, floor_of(change.floor)
        )
    if kind == "member_replaced":
        replaced = message.member_replaced
        return MemberReplaced(replaced.partition_id, replaced.left_node_id, floor_of(replaced.floor))
    if kind == "withdraw_member":
        withdrawal = message.withdraw_member
        return WithdrawMember(
            withdrawal.partition_id,
            withdrawal.withdrawn_node_id,
            withdrawal.leaving_node_id,
            withdrawal.joining_node_id,
            floor_of(withdrawal.floor),
        )
    if kind == "adopt_members":
        adopted = message.adopt_members
        return AdoptMembers(adopted.partition_id, tuple(adopted.node_ids), adopted.log_node_id, floor_of(adopted.floor))
    if kind == "note_floor":
        return NoteFloor(message.note_floor.partition_id, floor_of(message.note_floor.floor))
    if kind == "promote_member":
        return PromoteMember(message.promote_member.partition_id, message.promote_member.node_id)
    return None


def _node_change_in(message: cluster_pb2.CatalogCommand, kind: str | None) -> NodeCommand | None:
    if kind == "drain_node":
        return DrainNode(message.drain_node.name, message.drain_node.cancel)
    return RemoveNode(message.remove_node) if kind == "remove_node" else None


def _index_change_in(message: cluster_pb2.CatalogCommand, kind: str | None) -> IndexCommand | None:
    if kind == "open_index":
        return OpenIndex(message.open_index)
    if kind == "activate_index":
        return ActivateIndex(message.activate_index)
    return RemoveIndex(message.remove_index) if kind == "remove_index" else None


def _put_stream_change(message: cluster_pb2.CatalogCommand, command: StreamCommand) -> None:
    match command:
        case EnableStream():
            message.enable_stream.number = command.number
            message.enable_stream.shards.extend(map(_shard_message, command.shards))
        case DisableStream():
            message.disable_stream.number, message.disable_stream.time_ms = command.number, command.time_ms
            message.disable_stream.shards.extend(map(_shard_message, command.shards))
        case RemoveStream():
            message.remove_stream = command.number


def _stream_change_in(message: cluster_pb2.CatalogCommand, kind: str | None) -> StreamCommand | None:
    if kind == "enable_stream":
        return EnableStream(message.enable_stream.number, tuple(map(_shard, message.enable_stream.shards)))
    if kind == "disable_stream":
        disabled = message.disable_stream
        return DisableStream(disabled.number, tuple(map(_shard, disabled.shards)), disabled.time_ms)
    return RemoveStream(message.remove_stream) if kind == "remove_stream" else None


def _shard_message(shard: Shard) -> cluster_pb2.CatalogShard:
    return cluster_pb2.CatalogShard(
        partition_id=shard.partition_id, first_sequence=shard.first_sequence, last_sequence=shard.last_sequence
    )


def _shard(source: cluster_pb2.CatalogShard) -> Shard:
    return Shard(source.partition_id, source.first_sequence, source.last_sequence)


def _version_of(catalog: Catalog) -> int:
    """The oldest that has words for all of it."""
    if any(table.streams for table in catalog.tables.values()):
        return SNAPSHOT_VERSION_STREAMS
    if any(table.global_indexes for table in catalog.tables.values()):
        return SNAPSHOT_VERSION_INDEXES
    return SNAPSHOT_VERSION


def encode_snapshot(catalog: Catalog) -> bytes:
    """The whole catalog; equal catalogs give equal bytes."""
    message = cluster_pb2.CatalogSnapshot(
        format_version=_version_of(catalog),
        next_node_id=catalog.next_node_id,
        next_partition_id=catalog.next_partition_id,
        next_table_number=catalog.next_table_number,
        cluster_id=catalog.cluster_id,
    )
    for _, node in sorted(catalog.nodes.items()):
        message.nodes.add(
            node_id=node.node_id,
            name=node.name,
            zone=node.zone,
            address=node.address,
            data_id=node.data_id,
            draining=node.is_draining,
        )
    message.removed_data_ids.extend(sorted(catalog.removed_data_ids))
    for _, table in sorted(catalog.tables.items()):
        encoded = message.tables.add(
            table_name=table.name,
            table_number=table.number,
            table_id=table.table_id,
            status=tables_pb2.TableStatus.Value(table.status.name),
            read_units=table.settings.read_units,
            write_units=table.settings.write_units,
            created_at_ms=table.created_at_ms,
        )
        put_schema(encoded, table.key_schema, table.local_indexes)
        put_settings(encoded.settings, table.settings)
        for partition in table.partitions:
            _put_partition(encoded.partitions.add(), partition)
        for index in table.global_indexes:
            _put_index(encoded.global_indexes.add(), index)
        for stream in table.streams:
            _put_stream(encoded.streams.add(), stream)
    for partition_id, node_ids in sorted(catalog.garbage.items()):
        message.garbage.add(partition_id=partition_id, node_ids=sorted(node_ids))
    for _, user in sorted(catalog.users.items()):
        message.users.add(
            user_name=user.name,
            access_key_id=user.access_key_id,
            sealed_secret=user.sealed_secret,
            created_at_ms=user.created_at_ms,
            disabled=user.is_disabled,
        )
    return message.SerializeToString(deterministic=True)


def _put_partition(target: cluster_pb2.CatalogPartition, partition: Partition) -> None:
    target.partition_id, target.log_node_id = partition.partition_id, partition.log_node_id
    target.range_start, target.range_end = partition.range_start, partition.range_end
    target.node_ids.extend(partition.node_ids)
    target.leaving_node_id = partition.leaving_node_id
    target.withdrawn_node_ids.extend(partition.withdrawn_node_ids)
    put_floor(target.floor, partition.floor)


def _partition(source: cluster_pb2.CatalogPartition) -> Partition:
    return Partition(
        source.partition_id,
        source.range_start,
        source.range_end,
        tuple(source.node_ids),
        source.log_node_id,
        source.leaving_node_id,
        floor_of(source.floor),
        tuple(source.withdrawn_node_ids),
    )


def _put_index(target: cluster_pb2.CatalogIndex, index: TableIndex) -> None:
    put_global_index(target.index, index.definition)
    target.status, target.created_at_ms = index.status, index.created_at_ms
    target.read_units, target.write_units = index.settings.read_units, index.settings.write_units
    put_settings(target.settings, index.settings)
    for partition in index.partitions:
        _put_partition(target.partitions.add(), partition)


def _index(source: cluster_pb2.CatalogIndex) -> TableIndex:
    return TableIndex(
        global_index(source.index),
        IndexStatus(source.status),
        settings_of(source),
        source.created_at_ms,
        tuple(map(_partition, source.partitions)),
    )


def _put_stream(target: cluster_pb2.CatalogStream, stream: TableStream) -> None:
    target.number, target.view_type = stream.number, view_type_value(stream.view_type)
    target.status = streams_pb2.StreamStatus.Value(stream.status.name)
    target.created_at_ms, target.disabled_at_ms = stream.created_at_ms, stream.disabled_at_ms
    target.shards.extend(map(_shard_message, stream.shards))


def _stream(source: cluster_pb2.CatalogStream) -> TableStream:
    return TableStream(
        source.number,
        view_type_name(source.view_type),
        StreamStatus(source.status),
        source.created_at_ms,
        source.disabled_at_ms,
        tuple(map(_shard, source.shards)),
    )


def decode_snapshot(data: bytes) -> Catalog:
    """The catalog of a snapshot. Raises CorruptCatalogError for a version that is not known."""
    try:
        message = cluster_pb2.CatalogSnapshot.FromString(data)
    except DecodeError as error:
        raise CorruptCatalogError(f"the snapshot is no protobuf message: {error}") from error
    if message.format_version not in _SNAPSHOT_VERSIONS:
        known = ", ".join(map(str, _SNAPSHOT_VERSIONS))
        raise CorruptCatalogError(f"the snapshot has version {message.format_version}, not one of {known}")
    catalog = Catalog(message.cluster_id, message.next_node_id, message.next_partition_id, message.next_table_number)
    for node in message.nodes:
        catalog.nodes[node.node_id] = Node(
            node.node_id, node.name, node.zone, node.address, node.data_id, node.draining
        )
    catalog.removed_data_ids.update(message.removed_data_ids)
    for table in message.tables:
        catalog.tables[table.table_name] = Table(
            table.table_name,
            table.table_number,
            table.table_id,
            TableStatus(table.status),
            key_schema(table),
            settings_of(table),
            table.created_at_ms,
            tuple(map(_partition, table.partitions)),
            local_indexes(table),
            tuple(map(_index, table.global_indexes)),
            tuple(map(_stream, table.streams)),
        )
    for each in message.garbage:
        catalog.garbage[each.partition_id] = set(each.node_ids)
    for user in message.users:
        catalog.add_user(
            User(user.user_name, user.access_key_id, user.sealed_secret, user.created_at_ms, user.disabled)
        )
    return catalog
