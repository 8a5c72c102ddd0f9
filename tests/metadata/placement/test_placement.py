"""Placement: three zones, evenly spread, the whole hash space and nothing twice."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.placement.placement import REPLICAS, partition_count, place
from server.model.errors import ServiceUnavailableError
from server.model.partition_map import PartitionMap


@pytest.mark.parametrize(
    ("asked", "read_units", "write_units", "expected"),
    [
        (7, 1_000_000, 0, 7),
        (0, 0, 0, 1),
        (0, 3_000, 0, 1),
        (0, 3_000, 1, 2),
        (0, 1_500, 500, 1),
        (0, 6_000, 1_000, 3),
        (0, 0, 1_001, 2),
        (0, 10**9, 10**9, 256),
    ],
)
def test_partition_count(asked: int, read_units: int, write_units: int, expected: int) -> None:
    """As asked; else as many as a partition's 3,000 RCU and 1,000 WCU need, 1 to 256."""
    assert partition_count(asked, read_units, write_units) == expected


@st.composite
def zones(draw: st.DrawFn, zones_max: int = 5) -> dict[str, list[int]]:
    """Three or more zones with equally many nodes."""
    count = draw(st.integers(REPLICAS, zones_max))
    per_zone = draw(st.integers(1, 4))
    return {f"zone-{zone}": [zone * 10 + node for node in range(per_zone)] for zone in range(1, count + 1)}


@given(st.integers(1, 256), zones(), st.data())
def test_ranges_cover_the_hash_space(count: int, nodes: dict[str, list[int]], data: st.DataObject) -> None:
    """Every position is in exactly one range, and the ranges are equally wide to within one."""
    planned = place(count, nodes, {}, {})
    assert len(planned) == count
    assert planned[0].range_start == b""
    assert planned[-1].range_end == b""
    assert all(one.range_end == two.range_start for one, two in itertools.pairwise(planned))
    edges = [int.from_bytes(each.range_start.ljust(16, b"\0"), "big") for each in planned] + [1 << 128]
    widths = {two - one for one, two in itertools.pairwise(edges)}
    assert max(widths) - min(widths) <= 1
    position = data.draw(st.binary(min_size=16, max_size=20))
    found = PartitionMap(tuple(each.range_start for each in planned), tuple(range(count))).index_of(position)
    holding = [
        index
        for index, each in enumerate(planned)
        if each.range_start <= position and (not each.range_end or position < each.range_end)
    ]
    assert holding == [found]


@given(st.integers(1, 60), zones())
def test_three_zones_and_balance(count: int, nodes: dict[str, list[int]]) -> None:
    """Each partition has members in three zones; nodes differ by one replica at most, and leaders are spread."""
    zone_of = {node_id: zone for zone, node_ids in nodes.items() for node_id in node_ids}
    planned = place(count, nodes, {}, {})
    for each in planned:
        assert len({zone_of[node_id] for node_id in each.node_ids}) == len(each.node_ids) == REPLICAS
    replicas = Counter(node_id for each in planned for node_id in each.node_ids)
    loads = [replicas[node_id] for node_id in zone_of]
    assert max(loads) - min(loads) <= 1
    leaders = Counter(each.node_ids[0] for each in planned)
    assert sum(leaders.values()) == count
    if len(nodes) == REPLICAS:
        led = [leaders[node_id] for node_id in zone_of]
        assert max(led) - min(led) <= 1


@pytest.mark.parametrize("sizes", list(itertools.product(range(1, 5), repeat=3)))
@pytest.mark.parametrize("count", [1, 2, 3, 7, 24])
def test_three_zones_of_any_sizes(sizes: tuple[int, int, int], count: int) -> None:
    """Each zone holds every partition once, however many nodes it has, and its own nodes differ by one at most."""
    nodes = {f"zone-{zone}": [zone * 10 + node for node in range(size)] for zone, size in enumerate(sizes, 1)}
    planned = place(count, nodes, {}, {})
    for node_ids in nodes.values():
        held = [sum(node_id in each.node_ids for each in planned) for node_id in node_ids]
        assert sum(held) == count
        assert max(held) - min(held) <= 1
    leaders = Counter(each.node_ids[0] for each in planned)
    assert max(leaders.values()) <= -(-count // REPLICAS)


@given(st.integers(1, 20), zones(), st.randoms(use_true_random=False))
def test_placement_does_not_depend_on_the_order_of_what_it_is_told(
    count: int, nodes: dict[str, list[int]], rng: random.Random
) -> None:
    """The same nodes with the same load get the same plan: a retry by another leader plans alike."""
    loads = {node_id: rng.randrange(5) for node_ids in nodes.values() for node_id in node_ids}
    leads = {node_id: rng.randrange(3) for node_id in loads}
    names = list(nodes)
    rng.shuffle(names)
    told = {name: rng.sample(nodes[name], len(nodes[name])) for name in names}
    assert place(count, told, dict(reversed(loads.items())), leads) == place(count, nodes, loads, leads)


@given(zones(), st.data())
def test_a_zone_without_a_live_node_is_left_out(nodes: dict[str, list[int]], data: st.DataObject) -> None:
    """As long as three others have one; nothing is put on what is not there."""
    dead = data.draw(st.sampled_from(sorted(nodes)))
    nodes[dead] = []
    if len(nodes) == REPLICAS:
        with pytest.raises(ServiceUnavailableError, match="there are nodes in 2"):
            place(4, nodes, {}, {})
        return
    live = {node_id for node_ids in nodes.values() for node_id in node_ids}
    planned = place(4, nodes, {}, {})
    assert all(set(each.node_ids) <= live and len(set(each.node_ids)) == REPLICAS for each in planned)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_tables_one_after_the_other_stay_balanced(counts: list[int]) -> None:
    """What is there already counts: many small tables are spread like one large one."""
    nodes = {f"zone-{zone}": [zone, zone + 10] for zone in (1, 2, 3)}
    replicas: Counter[int] = Counter()
    first_choices: Counter[int] = Counter()
    for count in counts:
        for each in place(count, nodes, replicas, first_choices):
            replicas.update(each.node_ids)
            first_choices[each.node_ids[0]] += 1
    loads = [replicas[node_id] for node_ids in nodes.values() for node_id in node_ids]
    assert max(loads) - min(loads) <= 1


def test_fewest_replicas_first_and_ties_by_id() -> None:
    """In each zone the node with the fewest replicas is taken; among equals the lowest id."""
    nodes = {"zone-1": [4, 1], "zone-2": [5, 2], "zone-3": [6, 3]}
    (planned,) = place(1, nodes, {1: 2, 4: 1}, {4: 5})
    assert planned.node_ids == (2, 3, 4)


def test_the_emptiest_zones_come_first() -> None:
    """With more than three zones, those with the least loaded nodes are taken."""
    nodes = {"zone-1": [1], "zone-2": [2], "zone-3": [3], "zone-4": [4]}
    (planned,) = place(1, nodes, {1: 1}, {})
    assert set(planned.node_ids) == {2, 3, 4}


@pytest.mark.parametrize("nodes", [{}, {"zone-1": [1], "zone-2": [2]}, {"zone-1": [1], "zone-2": [2, 4], "zone-3": []}])
def test_fewer_than_three_zones(nodes: dict[str, list[int]]) -> None:
    """A table that could not survive the loss of a zone is not made; the error says what is missing."""
    usable = sum(1 for node_ids in nodes.values() if node_ids)
    with pytest.raises(ServiceUnavailableError, match=f"live storage nodes in 3 zones; there are nodes in {usable}"):
        place(1, nodes, {}, {})


@pytest.mark.parametrize(
    ("zones", "full", "expected"),
    [
        # Another node of the zone, though it holds more.
        ({"a": [1, 4], "b": [2], "c": [3]}, {1}, {4, 2, 3}),
        # Another zone, where the zone has no other.
        ({"a": [1], "b": [2], "c": [3], "d": [5]}, {1}, {2, 3, 5}),
        # Only as many as it takes, the emptiest of them.
        ({"a": [1], "b": [2], "c": [3], "d": [5]}, {1, 2}, {1, 3, 5}),
        ({"a": [1], "b": [2], "c": [3]}, {1, 2, 3}, {1, 2, 3}),
    ],
)
def test_full_nodes_come_last(zones: dict[str, list[int]], full: set[int], expected: set[int]) -> None:
    """Node 1 holds nothing, 2 something, the others much; and a full node is the last to lead."""
    replicas = {2: 1, 3: 9, 4: 9, 5: 9}
    (planned,) = place(1, zones, replicas, {3: 9, 4: 9, 5: 9}, full)
    assert set(planned.node_ids) == expected
    assert [node_id in full for node_id in planned.node_ids] == sorted(node_id in full for node_id in expected)
