"""storage_node/reads.py: a slice is cut where it has taken its time, and the next goes on there."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import pytest_asyncio
from statorpb import partition_pb2

from server.expressions.codec import encode
from server.expressions.expression import parse_condition
from server.expressions.placeholders import Placeholders
from server.model.item import item_bytes
from server.model.key_encoding import prefix
from server.table_codec import key_schema, local_indexes
from server.wire import item_from_bytes, item_to_bytes
from storage_node.reads import SLICE_CPU_S, Reads
from tests.storage_node.nodes import PARTITION, TABLE, NodeSet, RunningNode, put, scan
from tests.storage_node.test_writes import indexed, row

COUNT = 11


@pytest_asyncio.fixture
async def leader(tmp_path: Path) -> AsyncIterator[RunningNode]:
    nodes = NodeSet(tmp_path, 1)
    leader = await nodes.found(indexed(nodes))
    for number in range(COUNT):
        item = {**row(f"k{number}", n=number), "b": {"B": bytes(100 * number)}}
        assert await leader.status(put(f"k{number}", item_to_bytes(item))) == partition_pb2.OK
    yield leader
    await leader.stop()


def _never(*_: Any) -> NoReturn:
    raise AssertionError("it is served")


def slices(node: RunningNode, step_s: float, index: int, **details: Any) -> list[partition_pb2.ScanResult]:
    """All slices of a scan; each look at the clock takes `step_s`."""
    clock = itertools.count(step=step_s)
    reads = Reads(PARTITION, node.node._store, node.node.host, _never, _never)
    reads.cpu_s = lambda: next(clock)
    descriptor = node.node.replicas[PARTITION].descriptor
    reads.describe(TABLE, key_schema(descriptor), local_indexes(descriptor))
    request = scan(consistent=False)
    request.key, request.scan.end_key = prefix(TABLE, index), prefix(TABLE, index + 1)
    request.scan.MergeFrom(partition_pb2.ScanDetails(**details))
    found: list[partition_pb2.ScanResult] = []
    while not found or not found[-1].is_complete:
        reply = partition_pb2.PartitionReply()
        reads.scan(request, lambda *_, reply=reply, **__: reply)
        found.append(reply.scan)
        request.key = reply.scan.last_key + b"\x00"
    return found


@pytest.mark.parametrize(("index", "whole_items"), [(0, False), (1, False), (2, True)])
async def test_a_slice_ends_when_its_time_is_up(leader: RunningNode, index: int, whole_items: bool) -> None:
    """With one item at least; every item comes once, and is counted once."""
    (whole,) = slices(leader, 0, index, whole_items=whole_items)
    assert len(whole.items) == whole.evaluated == COUNT
    for step_s, most in ((SLICE_CPU_S * 2, 1 if whole_items else 2), (SLICE_CPU_S / 3, 4)):
        several = slices(leader, step_s, index, whole_items=whole_items)
        assert [item for each in several for item in each.items] == list(whole.items)
        assert max(each.evaluated for each in several) == most
        for count in ("evaluated", "matched", "evaluated_bytes", "fetched_units"):
            assert sum(getattr(each, count) for each in several) == getattr(whole, count)
    if index == 0:
        assert whole.evaluated_bytes == sum(item_bytes(item_from_bytes(each)) for each in whole.items)


async def test_a_filter_that_nothing_passes_is_cut_too(leader: RunningNode) -> None:
    """What it has looked at is what it says. It goes on for as long as it took to get ready."""
    condition = parse_condition("attribute_exists(nowhere)", Placeholders(None, None))
    several = slices(leader, SLICE_CPU_S * 2, 0, filter=encode(condition.tree), count_only=True)
    assert [(each.evaluated, each.matched) for each in several] == [(2, 0)] * (COUNT // 2) + [(COUNT % 2, 0)]
