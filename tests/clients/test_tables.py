"""Operations on tables: what is sent, what comes back, and what a lost reply does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import stator
from stator import AsyncClient, LocalIndex
from stator.descriptions import table_arn, table_description
from stator.indexes import GlobalIndex, GlobalIndexDescription, KeyAttribute, LocalIndexDescription, wire_global_index
from statorpb import tables_pb2

from tests.clients.fake_cluster import FakeRouter, FakeState

BY_LABEL = LocalIndex("by-label", ("label", "S"), "INCLUDE", ("title",))


async def test_a_table_is_made_as_it_was_asked_for() -> None:
    """With its indexes and its settings."""
    state = FakeState()
    async with FakeRouter(state) as router, AsyncClient([router.address]) as client:
        table = await client.create_table(
            "music",
            ("artist", "S"),
            ("year", "N"),
            local_indexes=[BY_LABEL, LocalIndex("by-sales", ("sales", "N"))],
            max_read_request_units=7,
            max_write_request_units=-1,
            table_class="STANDARD_INFREQUENT_ACCESS",
            deletion_protection=True,
            tags={"stage": "test"},
        )
        assert table.local_indexes == (
            LocalIndexDescription("by-label", KeyAttribute("label", "S"), "INCLUDE", ("title",), 1, 10),
            LocalIndexDescription("by-sales", KeyAttribute("sales", "N"), "ALL", (), 1, 10),
        )
        assert table.max_read_request_units == 7
        assert (table.table_class, table.deletion_protection) == ("STANDARD_INFREQUENT_ACCESS", True)
        assert state.tables["music"].tags == {"stage": "test"}


async def test_a_table_is_changed() -> None:
    """What is not given stays as it is."""
    state = FakeState()
    state.add_table("music")
    async with FakeRouter(state) as router, AsyncClient([router.address]) as client:
        table = await client.update_table("music", read_capacity_units=5, write_capacity_units=6)
        assert (table.status, table.read_capacity_units, table.write_capacity_units) == ("UPDATING", 5, 6)
        table = await client.update_table(
            "music",
            on_demand=True,
            max_write_request_units=8,
            warm_read_units_per_second=9,
            warm_write_units_per_second=10,
            table_class="STANDARD",
            deletion_protection=True,
        )
        assert (table.read_capacity_units, table.max_write_request_units) == (None, 8)
        assert (table.warm_read_units_per_second, table.warm_write_units_per_second) == (9, 10)
        assert (await client.update_table("music", table_class="STANDARD_INFREQUENT_ACCESS")).deletion_protection


async def test_a_change_whose_reply_was_lost() -> None:
    """Is not taken for one that was refused; a refusal of the first attempt is one."""
    state = FakeState()
    state.add_table("music")
    async with FakeRouter(state) as router, AsyncClient([router.address]) as client:
        router.unavailable_after_next = 1
        table = await client.update_table("music", read_capacity_units=5, write_capacity_units=6)
        assert (table.status, table.read_capacity_units) == ("ACTIVE", 5)
        with pytest.raises(stator.ValidationError, match="will not change"):
            await client.update_table("music", read_capacity_units=5, write_capacity_units=6)
        router.unavailable_after_next = 1
        await client.update_time_to_live("music", "until")
        assert state.tables["music"].time_to_live == "until"
        with pytest.raises(stator.ValidationError, match="already"):
            await client.update_time_to_live("music", "until")


async def test_streams() -> None:
    """A table is made with one, or gets one; it is turned off, and its label stays."""
    state = FakeState()
    state.add_table("films")
    async with FakeRouter(state) as router, AsyncClient([router.address]) as client:
        made = await client.create_table("music", stream="NEW_IMAGE")
        assert (made.stream, made.latest_stream_label) == ("NEW_IMAGE", "2026-11-26T18:30:00.123")
        assert made.latest_stream_arn == table_arn("music") + "/stream/2026-11-26T18:30:00.123"
        assert (await client.update_table("films", deletion_protection=True)).stream is None
        changed = await client.update_table("films", stream="KEYS_ONLY")
        assert changed.stream == "KEYS_ONLY"
        changed = await client.update_table("films", stream="OFF")
        assert (changed.stream, changed.latest_stream_label) == (None, "2026-11-26T18:30:00.123")
        router.unavailable_after_next = 1
        assert (await client.update_table("films", stream="OLD_IMAGE")).stream == "OLD_IMAGE"
        router.unavailable_after_next = 1
        assert (await client.update_table("films", stream="OFF")).stream is None
        with pytest.raises(stator.ValidationError, match="'NEW_AND_OLD_IMAGES', not 'ALL'"):
            await client.update_table("films", stream="ALL")  # type: ignore[arg-type]
        router.unavailable_after_next = 1
        assert (await client.create_table("songs", stream="OLD_IMAGE")).stream == "OLD_IMAGE"
        router.unavailable_after_next = 1
        with pytest.raises(stator.ResourceInUseError):
            await client.create_table("songs", stream="NEW_IMAGE")


BY_GENRE = GlobalIndex("by-genre", ("genre", "S"), ("year", "N"), "KEYS_ONLY")
BY_MANY = GlobalIndex("by-many", [("genre", "S"), ("label", "S")], [("year", "N")], "INCLUDE", ("title",), 5, 6)


@pytest.mark.parametrize("keys", [["genre", "label"], "genre", [("genre", "S"), ("label", "S", "N")], [("genre",)]])
def test_what_is_no_key_is_not_left_out(keys: Any) -> None:
    """It would be another index."""
    with pytest.raises(stator.ValidationError, match=r"keys are|a key attribute's type is"):
        wire_global_index(GlobalIndex("by-genre", keys))


def test_several_keys_may_be_lists() -> None:
    """As they are where they were read from a file."""
    several: Any = [["genre", "S"], ["label", "N"]]
    wire = wire_global_index(GlobalIndex("by-genre", several, several[:1]))
    assert [each.name for each in wire.partition_keys] == ["genre", "label"]
    assert [each.name for each in wire.sort_keys] == ["genre"]


async def test_global_indexes() -> None:
    """Made with the table, or later; taken away; given other units."""
    state = FakeState()
    async with FakeRouter(state) as router, AsyncClient([router.address]) as client:
        made = await client.create_table("music", ("artist", "S"), global_indexes=[BY_MANY])
        assert made.global_indexes == (
            GlobalIndexDescription(
                "by-many",
                (KeyAttribute("genre", "S"), KeyAttribute("label", "S")),
                (KeyAttribute("year", "N"),),
                "INCLUDE",
                ("title",),
                "CREATING",
                is_backfilling=False,
                items_passed=0,
                pending=0,
                lag_ms=0,
                items=2,
                bytes=20,
                partitions=1,
                read_capacity_units=5,
                write_capacity_units=6,
            ),
        )
        assert [key.name for key in made.global_indexes[0].keys] == ["genre", "label", "year"]
        changed = await client.update_table("music", create_index=BY_GENRE)
        index = changed.global_indexes[1]
        assert (index.name, index.status, index.is_backfilling, index.items_passed) == ("by-genre", "CREATING", True, 7)
        assert index.read_capacity_units is None
        active = await client.wait_until_index_active("music", "by-genre")
        assert [each.status for each in active.global_indexes] == ["ACTIVE", "ACTIVE"]
        changed = await client.update_table("music", index_capacity_units={"by-many": (7, 8)})
        assert (changed.global_indexes[0].read_capacity_units, changed.global_indexes[0].write_capacity_units) == (7, 8)
        await client.update_table("music", delete_index="by-many")
        await client.wait_until_index_gone("music", "by-many")
        with pytest.raises(stator.ValidationError, match="does not have the specified index: by-many"):
            await client.wait_until_index_active("music", "by-many")


async def test_an_index_whose_making_or_going_was_not_heard_of() -> None:
    """What the first attempt did is no error of the second."""
    state = FakeState()
    state.add_table("music")
    async with FakeRouter(state) as router, AsyncClient([router.address]) as client:
        router.unavailable_after_next = 1
        made = await client.update_table("music", create_index=BY_GENRE)
        assert [each.name for each in made.global_indexes] == ["by-genre"]
        with pytest.raises(stator.ValidationError, match="already exists"):
            await client.update_table("music", create_index=BY_GENRE)
        router.unavailable_after_next = 1
        await client.update_table("music", delete_index="by-genre")
        with pytest.raises(stator.ResourceNotFoundError, match="no such index"):
            await client.update_table("music", delete_index="by-genre")


async def test_what_no_request_can_say() -> None:
    """Is refused before it is sent."""
    async with AsyncClient(["127.0.0.1:1"]) as client:
        for units in (0, -2):
            with pytest.raises(ValueError, match="at least 1, or -1 for none"):
                await client.update_table("music", max_read_request_units=units)
        with pytest.raises(ValueError, match="give both"):
            await client.update_table("music", read_capacity_units=1)
        with pytest.raises(stator.ValidationError, match="a projection is"):
            await client.create_table("music", local_indexes=[LocalIndex("a", ("b", "S"), "SOME")])  # type: ignore[arg-type]


async def test_tags_and_expiry() -> None:
    """Tags come in pages; a table that does not expire items has no attribute."""
    state = FakeState()
    state.add_table("music")
    async with FakeRouter(state) as router, AsyncClient([router.address]) as client:
        await client.tag_resource("music", {f"key-{number}": str(number) for number in range(5)})
        await client.untag_resource(table_arn("music"), ["key-3"])
        tags = await client.list_tags_of_resource("music")
        assert tags == {"key-0": "0", "key-1": "1", "key-2": "2", "key-4": "4"}
        with pytest.raises(stator.ResourceNotFoundError):
            await client.list_tags_of_resource("films")
        assert await client.describe_time_to_live("music") is None
        await client.update_time_to_live("music", "until")
        assert await client.describe_time_to_live("music") == "until"
        await client.update_time_to_live("music", "until", enabled=False)
        assert await client.describe_time_to_live("music") is None


async def test_limits() -> None:
    """As they are told."""
    async with FakeRouter(FakeState()) as router, AsyncClient([router.address]) as client:
        assert await client.describe_limits() == stator.CapacityLimits(4, 3, 2, 1)


def test_times_of_a_description() -> None:
    """None for what has never happened."""
    described = table_description(tables_pb2.TableDescription(last_increase_at_ms=1_500, decreases_today=2))
    assert described.last_increase_at == datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)
    assert (described.last_decrease_at, described.on_demand_since, described.decreases_today) == (None, None, 2)
