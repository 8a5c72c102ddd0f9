"""What is found in a graph, and how it is told."""

from __future__ import annotations

from stator.gameday.cycles import Graph, Kind, Step

WW, WR, RW, TIME = Kind


def test_where_nobody_depends_on_himself_there_is_no_cycle() -> None:
    graph = Graph(3)
    for source, target in ((0, 1), (1, 2), (0, 2), (1, 1)):
        graph.add(source, target, WW, "x")
    assert graph.cycles() == []


def test_the_plainest_cycle_of_a_set_is_told() -> None:
    """As few old states as possible, then as little of time, then as few steps."""
    graph = Graph(4)
    graph.add(0, 1, RW, "x")
    graph.add(1, 0, RW, "y")
    graph.add(1, 2, WR, "x")
    graph.add(2, 3, WW, "x")
    graph.add(3, 0, WW, "x")
    assert graph.cycles() == [[Step(0, 1, RW, "x"), Step(1, 2, WR, "x"), Step(2, 3, WW, "x"), Step(3, 0, WW, "x")]]


def test_a_worse_cycle_is_told_instead_of_one_that_contains_it() -> None:
    """Writes in a circle are not hidden behind reads that are shorter to tell."""
    graph = Graph(3)
    graph.add(0, 1, WW, "x")
    graph.add(1, 2, WW, "y")
    graph.add(2, 0, WW, "z")
    graph.add(1, 0, RW, "x")
    assert graph.cycles() == [[Step(0, 1, WW, "x"), Step(1, 2, WW, "y"), Step(2, 0, WW, "z")]]


def test_each_set_is_told_once() -> None:
    graph = Graph(4)
    for one, two, kind in ((0, 1, RW), (2, 3, WR)):
        graph.add(one, two, kind, "x")
        graph.add(two, one, WW, "x")
    assert [[step.source for step in cycle] for cycle in graph.cycles()] == [[2, 3], [0, 1]]


def test_what_stands_between_others_is_part_of_a_step() -> None:
    """Two that have ended before two begin, of which one comes before them."""
    graph = Graph(4)
    first, second = graph.add_node(), graph.add_node()
    graph.add(0, first, TIME)
    graph.add(first, second, None)
    graph.add(1, second, TIME)
    for target in (2, 3):
        graph.add(second, target, None)
    graph.add(3, 0, WW, "x")
    assert graph.cycles() == [[Step(0, 3, TIME, ""), Step(3, 0, WW, "x")]]


def test_long_chains_are_no_matter() -> None:
    """No recursion: as long as a history is."""
    size = 50_000
    graph = Graph(size)
    for node in range(size):
        graph.add(node, (node + 1) % size, WW, "x")
    (cycle,) = graph.cycles()
    assert len(cycle) == size
