"""Requests for new tables as commands."""

from __future__ import annotations

import pytest
from statorpb import tables_pb2

from metadata.catalog.commands import CreateTable, PlannedPartition
from metadata.catalog.settings import TableSettings
from metadata.table_requests import create_command
from server.model.errors import ValidationError
from server.model.table import KeyAttribute, KeySchema

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
