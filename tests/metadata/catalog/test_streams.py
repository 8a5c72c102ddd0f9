"""Streams in the catalog: how they are switched on and off, what partitions say of them, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metadata.catalog.catalog import Catalog, Table, TableStatus
from metadata.catalog.commands import (
    ActivateTable,
    Command,
    DeleteTable,
    DisableStream,
    EnableStream,
    RegisterNode,
    RemoveStream,
    RemoveTable,
    Shard,
    TagTable,
    UpdateTable,
)
from metadata.catalog.streams import StreamStatus, TableStream
from server.model.errors import LimitExceededError, ResourceInUseError, StatorError, ValidationError
from server.model.limits import STREAMS_MAX
from tests.metadata.catalog.test_catalog import NOW_MS, create
from tests.metadata.catalog.test_indexes import planned

BEGUN = (Shard(100, 2000), Shard(101, 3000))
ENDED = (Shard(100, 2000, 7001), Shard(101, 3000, 2999))
"""Nothing was recorded in the second."""


def switch(view_type: str, time_ms: int = NOW_MS + 1, **changes: object) -> UpdateTable:
    """The stream of `music` on, or with an empty view type off."""
    return UpdateTable("music", time_ms, stream=view_type, **changes)  # type: ignore[arg-type]


def music_with_stream(status: StreamStatus = StreamStatus.ENABLED) -> Catalog:
    """An active table `music` of the partitions 100 and 101; its number is 1, its stream's 2."""
    catalog = Catalog()
    for number in (1, 2, 3):
        catalog.apply(RegisterNode(f"storage-{number}", f"zone-{number}", f"host:{number}", f"d{number}"))
    assert isinstance(catalog.apply(create()), Table)
    catalog.apply(ActivateTable(1))
    assert isinstance(catalog.apply(switch("NEW_IMAGE")), Table)
    if status >= StreamStatus.ENABLED:
        catalog.apply(EnableStream(2, BEGUN))
    if status >= StreamStatus.DISABLING:
        catalog.apply(switch("", NOW_MS + 2))
    if status == StreamStatus.DISABLED:
        catalog.apply(DisableStream(2, ENDED, NOW_MS + 3))
    assert streams_of(catalog)[0].status == status
    return catalog


def streams_of(catalog: Catalog) -> tuple[TableStream, ...]:
    return catalog.tables["music"].streams


def refusal(catalog: Catalog, command: Command) -> StatorError:
    """Why a command is refused; it has changed nothing."""
    before = repr(catalog)
    error = catalog.apply(command)
    assert isinstance(error, StatorError)
    assert repr(catalog) == before
    return error


def test_a_streams_life() -> None:
    """Its number is its own, its label its creation; sequence numbers are told once all partitions have them,
    first ones when it begins and last ones when it has ended."""
    catalog = music_with_stream(StreamStatus.ENABLING)
    (stream,) = streams_of(catalog)
    assert stream == TableStream(2, "NEW_IMAGE", StreamStatus.ENABLING, NOW_MS + 1)
    assert stream.label == "2023-11-14T22:13:20.001"
    assert catalog.next_table_number == 3
    assert catalog.stream_of(2) == (catalog.tables["music"], stream)
    assert catalog.stream_of(1) is None
    enabled = catalog.apply(EnableStream(2, ENDED[::-1]))
    assert enabled == replace(stream, status=StreamStatus.ENABLED, shards=BEGUN)
    assert streams_of(catalog) == (enabled,)
    catalog.apply(switch(""))
    assert streams_of(catalog) == (replace(enabled, status=StreamStatus.DISABLING),)
    disabled = catalog.apply(DisableStream(2, ENDED, NOW_MS + 9))
    assert disabled == TableStream(2, "NEW_IMAGE", StreamStatus.DISABLED, NOW_MS + 1, NOW_MS + 9, ENDED)
    assert streams_of(catalog) == (disabled,)
    assert catalog.apply(RemoveStream(2)) == disabled
    assert streams_of(catalog) == ()
    assert catalog.tables["music"].status == TableStatus.ACTIVE


def test_a_stream_made_with_its_table() -> None:
    """Behind the table's indexes; the table waits for it."""
    catalog = Catalog()
    catalog.apply(replace(create(), global_indexes=(planned(),), stream_view_type="KEYS_ONLY"))
    table = catalog.tables["music"]
    assert [index.number for index in table.global_indexes] == [2]
    assert table.streams == (TableStream(3, "KEYS_ONLY", StreamStatus.ENABLING, table.created_at_ms),)
    assert catalog.apply(EnableStream(3, BEGUN)) is not None
    assert table.status == TableStatus.CREATING


@pytest.mark.parametrize("status", list(StreamStatus))
@pytest.mark.parametrize("view_type", ["OLD_IMAGE", "NEW_IMAGE", ""])
def test_what_may_be_switched(status: StreamStatus, view_type: str) -> None:
    """On where none is on, off where one is, in DynamoDB's words; nothing at all while it is changing."""
    catalog = music_with_stream(status)
    if status in (StreamStatus.ENABLING, StreamStatus.DISABLING):
        in_use = "Attempt to change a resource which is still in use: Table is being updated: music"
        for command in (switch(view_type), UpdateTable("music", NOW_MS, is_protected=True)):
            error = refusal(catalog, command)
            assert (type(error), error.message) == (ResourceInUseError, in_use)
        assert isinstance(catalog.apply(TagTable("music", (("stage", "test"),))), Table)
    elif (status == StreamStatus.ENABLED) == bool(view_type):
        error = refusal(catalog, switch(view_type))
        words = "Table already has an enabled stream" if view_type else "Table has no stream to disable"
        assert (type(error), error.message) == (ValidationError, f"{words}: TableName: music")
    else:
        assert isinstance(catalog.apply(switch(view_type)), Table)
        assert streams_of(catalog)[-1].is_changing


def test_a_table_that_never_had_one() -> None:
    """It has none to disable."""
    catalog = music_with_stream(StreamStatus.DISABLED)
    catalog.apply(RemoveStream(2))
    assert refusal(catalog, switch("")).message == "Table has no stream to disable: TableName: music"


def test_all_of_an_update_or_nothing() -> None:
    """A stream comes with an index; neither comes where one is refused."""
    catalog = music_with_stream(StreamStatus.DISABLED)
    assert isinstance(refusal(catalog, switch("OLD_IMAGE", created_index=planned("by-year"))), ValidationError)
    assert isinstance(refusal(catalog, switch("", created_index=planned())), ValidationError)
    assert isinstance(catalog.apply(switch("OLD_IMAGE", created_index=planned())), Table)
    assert ([each.number for each in catalog.tables["music"].global_indexes], streams_of(catalog)[1].number) == ([3], 4)


@pytest.mark.parametrize("time_ms", [NOW_MS + 1, NOW_MS - 10_000, NOW_MS + 2])
def test_labels_are_unique(time_ms: int) -> None:
    """Also where the clock stands still, or another's goes behind."""
    catalog = music_with_stream(StreamStatus.DISABLED)
    catalog.apply(switch("KEYS_ONLY", time_ms))
    former, stream = streams_of(catalog)
    assert (stream.number, stream.created_at_ms) == (3, NOW_MS + 2)
    assert (former.label, stream.label) == ("2023-11-14T22:13:20.001", "2023-11-14T22:13:20.002")
    assert former.status == StreamStatus.DISABLED


@pytest.mark.parametrize(
    ("created_at_ms", "label"), [(0, "1970-01-01T00:00:00.000"), (1_795_717_800_123, "2026-11-26T18:30:00.123")]
)
def test_labels_are_times(created_at_ms: int, label: str) -> None:
    """In UTC, always of the same length: their order as texts is that of their times."""
    assert TableStream(2, "KEYS_ONLY", StreamStatus.ENABLED, created_at_ms).label == label


@pytest.mark.parametrize("status", list(StreamStatus))
@pytest.mark.parametrize(
    ("command", "due"),
    [
        (EnableStream(2, (Shard(100, 5), Shard(101, 6))), StreamStatus.ENABLING),
        (DisableStream(2, (Shard(100, 5, 8), Shard(101, 6, 9)), NOW_MS + 50), StreamStatus.DISABLING),
        (RemoveStream(2), StreamStatus.DISABLED),
        (EnableStream(2, BEGUN[:1]), None),
        (EnableStream(2, (*BEGUN, Shard(102, 1))), None),
        (EnableStream(2, (*BEGUN, BEGUN[1])), None),
        (DisableStream(2, ENDED[1:], NOW_MS + 50), None),
        (DisableStream(2, (*ENDED, Shard(102, 1, 1)), NOW_MS + 50), None),
        (EnableStream(3, BEGUN), None),
    ],
)
def test_a_step_that_is_not_due(
    status: StreamStatus, command: EnableStream | DisableStream | RemoveStream, due: StreamStatus | None
) -> None:
    """Or that comes twice, or without a word of some partition: it changes nothing. First sequence numbers stay as they
    were told first."""
    catalog = music_with_stream(status)
    before = streams_of(catalog)
    result = catalog.apply(command)
    if status != due:
        assert result is None
        assert streams_of(catalog) == before
    elif before[0].shards and streams_of(catalog):
        assert [shard.first_sequence for shard in streams_of(catalog)[0].shards] == [2000, 3000]
        assert [shard.last_sequence for shard in streams_of(catalog)[0].shards] == [8, 9]


@pytest.mark.parametrize("status", list(StreamStatus))
def test_a_deleted_tables_stream(status: StreamStatus) -> None:
    """Whatever is going on with it: it goes with its table."""
    catalog = music_with_stream(status)
    before = streams_of(catalog)
    assert isinstance(catalog.apply(DeleteTable("music")), Table)
    for command in (EnableStream(2, BEGUN), DisableStream(2, ENDED, NOW_MS + 9), RemoveStream(2)):
        assert catalog.apply(command) is None
    assert streams_of(catalog) == before
    catalog.apply(RemoveTable(1, ()))
    assert catalog.stream_of(2) is None


def test_streams_are_limited() -> None:
    """Each is told to every node of its table, as long as it is kept."""
    catalog = music_with_stream(StreamStatus.DISABLED)
    for number in range(3, STREAMS_MAX + 2):
        assert isinstance(catalog.apply(switch("KEYS_ONLY", NOW_MS + number)), Table)
        catalog.apply(EnableStream(number, BEGUN))
        catalog.apply(switch(""))
        catalog.apply(DisableStream(number, ENDED, NOW_MS + number))
    assert isinstance(refusal(catalog, switch("KEYS_ONLY")), LimitExceededError)
    catalog.apply(RemoveStream(2))
    assert isinstance(catalog.apply(switch("KEYS_ONLY")), Table)
    assert len({stream.label for stream in streams_of(catalog)}) == STREAMS_MAX
