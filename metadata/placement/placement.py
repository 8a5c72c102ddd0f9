"""Which nodes hold a new table's partitions: three zones each, replicas and leaders spread evenly."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import ceil

from metadata.catalog.commands import PlannedPartition
from server.model.errors import ServiceUnavailableError
from server.model.limits import PARTITION_RCU_MAX, PARTITION_WCU_MAX, PARTITIONS_MAX
from server.model.partition_map import even_starts

REPLICAS = 3


def partition_count(asked: int, read_units: int, write_units: int) -> int:
    """How many partitions a new table gets: as asked, or what its throughput needs at a partition's maximum of 3,000
    RCU and 1,000 WCU (developer guide), at most 256."""
    if asked:
        return asked
    return min(PARTITIONS_MAX, max(1, ceil(read_units / PARTITION_RCU_MAX + write_units / PARTITION_WCU_MAX)))


def place(
    count: int,
    zones: Mapping[str, Sequence[int]],
    replicas: Mapping[int, int],
    first_choices: Mapping[int, int],
    full: Collection[int] = (),
) -> tuple[PlannedPartition, ...]:
    """Plans `count` partitions that divide the hash space evenly, each on one node in each of three zones.

    `zones`: zone -> ids of its live nodes. `replicas`, `first_choices`: how many replicas a node holds, and of how many
    partitions it is the preferred leader (the first in `node_ids`). The least loaded comes first; ties go by name and
    id. `full`: nodes whose disk is: they come last, and lead last. Raises ServiceUnavailableError when fewer than three
    zones have a live node."""
    usable = sorted(zone for zone, node_ids in zones.items() if node_ids)
    if len(usable) < REPLICAS:
        raise ServiceUnavailableError(
            f"a table needs live storage nodes in {REPLICAS} zones; there are nodes in {len(usable)} (those that are "
            "drained do not count)"
        )
    nodes = {zone: [each for each in zones[zone] if each not in full] or zones[zone] for zone in usable}
    load = {node_id: replicas.get(node_id, 0) for zone in usable for node_id in zones[zone]}
    leads = {node_id: first_choices.get(node_id, 0) for node_id in load}
    starts = list(even_starts(count))
    planned: list[PlannedPartition] = []
    for index, start in enumerate(starts):
        by_load = sorted(
            usable,
            key=lambda zone: (nodes[zone][0] in full, *_zone_load([load[each] for each in nodes[zone]]), zone),
        )
        chosen = [min(nodes[zone], key=lambda node_id: (load[node_id], node_id)) for zone in by_load[:REPLICAS]]
        for node_id in chosen:
            load[node_id] += 1
        ordered = sorted(chosen, key=lambda node_id: (node_id in full, leads[node_id], node_id))
        leads[ordered[0]] += 1
        end = starts[index + 1] if index + 1 < count else b""
        planned.append(PlannedPartition(start, end, tuple(ordered)))
    return tuple(planned)


def _zone_load(loads: Sequence[int]) -> tuple[int, float]:
    """What zones are ordered by: the emptiest node's replicas, then the mean of all its nodes'."""
    return min(loads), sum(loads) / len(loads)
