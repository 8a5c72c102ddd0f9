"""What a new table or a new global index of a table is to be like: how many partitions, and where they go."""

from __future__ import annotations

import uuid
from collections import Counter

from statorpb import tables_pb2

from metadata.attendance import Attendance
from metadata.catalog.catalog import Catalog, Table
from metadata.catalog.commands import CreateTable, PlannedIndex, PlannedPartition, UpdateTable
from metadata.placement.placement import partition_count, place
from metadata.settings_codec import update_command
from metadata.table_requests import check_stream, create_command, planned_index
from server.model.errors import ValidationError
from server.model.limits import PARTITIONS_MAX
from server.model.table import check_table_name


class Planner:
    """Of one request: what it places, it counts. Two requests must not be planned on the same counts."""

    def __init__(self, catalog: Catalog, attendance: Attendance) -> None:
        self._catalog = catalog
        self._zones, self._full = attendance.usable_nodes(catalog)
        self._replicas: Counter[int] = Counter()
        self._first_choices: Counter[int] = Counter()
        for table in catalog.tables.values():
            for partition in table.all_partitions:
                self._count(partition.node_ids)

    def table(self, request: tables_pb2.CreateTableRequest, now_ms: int) -> CreateTable:
        """Raises ValidationError, ResourceInUseError, ServiceUnavailableError."""
        check_table_name(request.table_name)
        if request.partitions > PARTITIONS_MAX:
            raise ValidationError(f"a table has at most {PARTITIONS_MAX} partitions when it is created")
        self._catalog.check_new_name(request.table_name)
        units = request.provisioned
        count = partition_count(request.partitions, units.read_capacity_units, units.write_capacity_units)
        partitions = self._place(count)
        indexes = tuple(self._index(each, count) for each in request.global_indexes)
        return create_command(request, str(uuid.uuid4()), now_ms, partitions, indexes)

    def update(self, request: tables_pb2.UpdateTableRequest, now_ms: int) -> UpdateTable:
        """Raises ValidationError, ServiceUnavailableError."""
        check_stream(request.stream)
        table: Table | None = self._catalog.tables.get(request.table_name)
        if table is None or not request.HasField("create_index"):
            return update_command(request, now_ms)
        return update_command(request, now_ms, self._index(request.create_index, len(table.partitions)))

    def _index(self, message: tables_pb2.GlobalIndex, table_count: int) -> PlannedIndex:
        """One that is on-demand is to take as much as its table."""
        units = message.provisioned
        asked = 0 if units.write_capacity_units else min(PARTITIONS_MAX, table_count)
        count = partition_count(asked, units.read_capacity_units, units.write_capacity_units)
        return planned_index(message, self._place(count))

    def _place(self, count: int) -> tuple[PlannedPartition, ...]:
        partitions = place(count, self._zones, self._replicas, self._first_choices, self._full)
        for partition in partitions:
            self._count(partition.node_ids)
        return partitions

    def _count(self, node_ids: tuple[int, ...]) -> None:
        self._first_choices[node_ids[0]] += 1
        self._replicas.update(node_ids)
