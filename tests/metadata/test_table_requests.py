"""Requests for new tables as commands."""

from __future__ import annotations

import pytest
from statorpb import tables_pb2

from metadata.catalog.commands import CreateTable, PlannedIndex, PlannedPartition
from metadata.catalog.settings import TableSettings
from metadata.table_requests import create_command, planned_index
from server.model.errors import ValidationError
from server.model.table import GlobalIndex, KeyAttribute, KeySchema

PLAN = (PlannedPartition(b"", b"", (1, 2, 3)),)
NOW_MS = 1_700_000_000_000


def request() -> tables_pb2.CreateTableRequest:
    message = tables_pb2.CreateTableRequest(table_name="music")
    message.key_schema.partition_key.name, message.key_schema.partition_key.type = "artist", tables_pb2.S
    return message


def test_the_least_that_can_be_asked_for() -> None:
    """A table on demand, of the usual class, with nothing special; it has been on demand since it was made."""
    assert create_command(request(), "id", NOW_MS, PLAN) == CreateTable(
        "music", KeySchema(KeyAttribute("artist", "S")), TableSettings(on_demand_at_ms=(NOW_MS,)), "id", NOW_MS, PLAN
    )


def test_everything_that_can_be_asked_for() -> None:
    """Is in the command; tags in the order of their keys."""
    message = request()
    message.provisioned.read_capacity_units, message.provisioned.write_capacity_units = 5, 6
    message.warm.read_units_per_second, message.warm.write_units_per_second = 50, 60
    message.table_class = tables_pb2.STANDARD_INFREQUENT_ACCESS
    message.deletion_protection = True
    message.tags.add(key="b", value="1")
    message.tags.add(key="a")
    assert create_command(message, "id", NOW_MS, PLAN).settings == TableSettings(
        read_units=5,
        write_units=6,
        warm_read_units=50,
        warm_write_units=60,
        table_class="STANDARD_INFREQUENT_ACCESS",
        is_protected=True,
        tags=(("a", ""), ("b", "1")),
    )


@pytest.mark.parametrize(("asked", "kept"), [(7, 7), (-1, 0), (0, 0)])
def test_limits_of_an_on_demand_table(asked: int, kept: int) -> None:
    """No limit may be said in two ways."""
    message = request()
    message.on_demand.max_read_request_units = message.on_demand.max_write_request_units = asked
    settings = create_command(message, "id", NOW_MS, PLAN).settings
    assert (settings.max_read_units, settings.max_write_units) == (kept, kept)


def test_half_of_a_throughput() -> None:
    """Neither mode is described by it."""
    message = request()
    message.provisioned.read_capacity_units = 1
    with pytest.raises(ValidationError, match="given together"):
        create_command(message, "id", NOW_MS, PLAN)


def index_message() -> tables_pb2.GlobalIndex:
    return tables_pb2.GlobalIndex(
        name="by-label",
        partition_keys=[tables_pb2.KeyAttribute(name="label", type=tables_pb2.S)],
        sort_keys=[tables_pb2.KeyAttribute(name="year", type=tables_pb2.N)],
        projection=tables_pb2.Projection(type=tables_pb2.Projection.INCLUDE, non_key_attributes=["title"]),
    )


def test_a_global_index() -> None:
    """With all that can be asked for; it has no number yet."""
    message = index_message()
    message.provisioned.read_capacity_units, message.provisioned.write_capacity_units = 5, 6
    message.warm.read_units_per_second = 50
    keys = (KeyAttribute("label", "S"),), (KeyAttribute("year", "N"),)
    definition = GlobalIndex(0, "by-label", *keys, "INCLUDE", ("title",))
    settings = TableSettings(read_units=5, write_units=6, warm_read_units=50)
    assert planned_index(message, PLAN) == PlannedIndex(definition, settings, PLAN)
    limited = index_message()
    limited.on_demand.max_read_request_units, limited.on_demand.max_write_request_units = 7, -1
    assert planned_index(limited, PLAN).settings == TableSettings(max_read_units=7)
    planned = planned_index(message, PLAN)
    assert create_command(request(), "id", NOW_MS, PLAN, (planned,)).global_indexes == (planned,)


def test_a_global_index_that_makes_no_sense() -> None:
    """Routers let none of it through."""
    for name in ("name", "partition_keys", "projection"):
        message = index_message()
        message.ClearField(name)
        with pytest.raises(ValidationError):
            planned_index(message, PLAN)
    message = index_message()
    message.provisioned.read_capacity_units = 5
    with pytest.raises(ValidationError, match="are given together"):
        planned_index(message, PLAN)
    message = index_message()
    message.sort_keys.extend([message.sort_keys[0]] * 4)
    with pytest.raises(ValidationError, match="at most 4 sort keys"):
        planned_index(message, PLAN)
