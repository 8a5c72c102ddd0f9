"""Dependencies as a graph, and the cycles in it that are the plainest to read."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

STARTS_MAX = 20
"""In a set of nodes that all depend on each other, from so many a way back is looked for, and the best one is told."""


class Kind(IntEnum):
    """Why one comes before another: it wrote before it, was read by it, read what was before it, or had ended."""

    WRITE_WRITE = 0
    WRITE_READ = 1
    READ_WRITE = 2
    TIME = 3


_WW, _WR, _RW, _TIME = Kind
_LAYERS = ((_WW,), (_WW, _WR), (_WW, _WR, _RW), (_WW, _WR, _TIME), (_WW, _WR, _RW, _TIME))
"""What is looked at, the worst that a cycle can consist of first."""

_Edge = tuple[int, Kind | None, str]
_Cost = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Step:
    """`source` comes before `target`, because of the list `key` or, if that is empty, of time."""

    source: int
    target: int
    kind: Kind
    key: str


class Graph:
    """Nodes 0 to `size` - 1 are what it is about. Others stand between them, so that everybody of one set can come
    before everybody of another without an edge for each pair: an edge that leaves them has no kind, and is part of the
    step that leads to them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._edges: list[list[_Edge]] = [[] for _ in range(size)]

    def add_node(self) -> int:
        """One that stands between others."""
        self._edges.append([])
        return len(self._edges) - 1

    def add(self, source: int, target: int, kind: Kind | None, key: str = "") -> None:
        """Nothing is before itself: that is no edge."""
        if source != target:
            self._edges[source].append((target, kind, key))

    def cycles(self) -> list[list[Step]]:
        """One of each set of nodes that depend on each other, as few reads of old states and as little of time in it as
        was found. Sets in which a worse one was found are not looked at again."""
        found: list[list[Step]] = []
        told: set[int] = set()
        for kinds in _LAYERS:
            for component in self._components(frozenset(kinds)):
                if told.isdisjoint(component):
                    cycle = self._plainest(component, frozenset(kinds))
                    told.update(step.source for step in cycle)
                    found.append(cycle)
        return found

    def _next(self, node: int, kinds: frozenset[Kind]) -> Iterator[_Edge]:
        return (edge for edge in self._edges[node] if edge[1] is None or edge[1] in kinds)

    def _components(self, kinds: frozenset[Kind]) -> Iterator[list[int]]:
        """Tarjan's strongly connected components of more than one node, without recursion."""
        index: dict[int, int] = {}
        lowest: dict[int, int] = {}
        stack: list[int] = []
        on_stack: set[int] = set()
        for root in range(self._size):
            if root in index:
                continue
            path = [(root, self._next(root, kinds))]
            index[root] = lowest[root] = len(index)
            stack.append(root)
            on_stack.add(root)
            while path:
                node, edges = path[-1]
                for target, _, _ in edges:
                    if target not in index:
                        index[target] = lowest[target] = len(index)
                        stack.append(target)
                        on_stack.add(target)
                        path.append((target, self._next(target, kinds)))
                        break
                    if target in on_stack:
                        lowest[node] = min(lowest[node], index[target])
                else:
                    path.pop()
                    if path:
                        lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[node])
                    if lowest[node] == index[node]:
                        component = _popped(stack, node)
                        on_stack.difference_update(component)
                        if len(component) > 1:
                            yield component

    def _plainest(self, component: Sequence[int], kinds: frozenset[Kind]) -> list[Step]:
        members = frozenset(component)
        starts = sorted(node for node in component if node < self._size)[:STARTS_MAX]
        return min((self._way_back(start, members, kinds) for start in starts), key=lambda way: way[0])[1]

    def _way_back(self, start: int, members: frozenset[int], kinds: frozenset[Kind]) -> tuple[_Cost, list[Step]]:
        """The cheapest cycle through `start`: there is one."""
        came: dict[int, tuple[int, _Edge]] = {}
        seen: set[int] = set()
        waiting: list[tuple[_Cost, int, int, _Edge | None]] = [((0, 0, 0), start, -1, None)]
        while True:
            cost, node, source, edge = heapq.heappop(waiting)
            if edge is not None:
                if node in seen:
                    continue
                seen.add(node)
                came[node] = (source, edge)
                if node == start:
                    return cost, self._steps(start, came)
            for following in self._next(node, kinds):
                target, kind, _ = following
                if target in members and target not in seen:
                    heapq.heappush(waiting, (_more(cost, kind), target, node, following))

    def _steps(self, start: int, came: dict[int, tuple[int, _Edge]]) -> list[Step]:
        """The way that ends at `start`, from there on; nodes between others are left out."""
        steps: list[Step] = []
        target, node = start, start
        while True:
            node, (_, kind, key) = came[node]
            if kind is not None:
                steps.append(Step(node, target, kind, key))
                target = node
            if node == start:
                return steps[::-1]


def _popped(stack: list[int], node: int) -> list[int]:
    """What lies on the stack down to `node`, which is taken from it."""
    component: list[int] = []
    while not component or component[-1] != node:
        component.append(stack.pop())
    return component


def _more(cost: _Cost, kind: Kind | None) -> _Cost:
    old_reads, times, length = cost
    return old_reads + (kind is Kind.READ_WRITE), times + (kind is Kind.TIME), length + (kind is not None)
