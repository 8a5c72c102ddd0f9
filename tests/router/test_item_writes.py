"""router/item_writes.py: what the writes of a batch consumed together."""

from __future__ import annotations

from router.item_writes import sum_capacity
from router.results import Capacity


def test_the_capacity_of_several_writes_is_summed() -> None:
    """By table and by index, also where some of them concern no index, or another one."""
    consumed = [
        Capacity("a", 3.0, 1.0, {"one": 2.0}),
        Capacity("b", 1.0, 1.0),
        Capacity("a", 1.0, 1.0),
        Capacity("a", 4.0, 1.0, {"one": 1.0, "two": 2.0}),
        Capacity("b", 1.0, 1.0),
    ]
    assert sum_capacity(consumed) == [Capacity("a", 8.0, 3.0, {"one": 3.0, "two": 2.0}), Capacity("b", 2.0, 2.0)]
    assert sum_capacity([Capacity("a", 1.0), Capacity("a", 2.0)]) == [Capacity("a", 3.0)]
