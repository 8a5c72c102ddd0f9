"""Results that are kept, bounded in number and in size."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")


SHARE: Final = 8
"""Results weigh an eighth, on average, of what one may weigh: more of the heavy ones are not kept."""


def kept(
    count_max: int, weight_max: int, weigh: Callable[[Any, Any], int]
) -> Callable[[Callable[[K], V]], Callable[[K], V]]:
    """Keeps what a function of one argument makes: up to `count_max` results, of which the oldest makes room for the
    next. What weighs more than `weight_max` by `weigh(key, result)` is made each time, and all together weigh at most
    `count_max * weight_max / SHARE`, so that nobody fills the memory with a few long names or many long texts. What
    raises is not kept."""
    total_max = count_max * weight_max // SHARE

    def decorate(make: Callable[[K], V]) -> Callable[[K], V]:
        results: dict[K, V] = {}
        total = 0

        @wraps(make)
        def find(key: K) -> V:
            nonlocal total
            result = results.get(key)
            if result is None:
                result = make(key)
                weight = weigh(key, result)
                if weight <= min(weight_max, total_max):
                    total += weight
                    while results and (len(results) >= count_max or total > total_max):
                        oldest = next(iter(results))
                        total -= weigh(oldest, results.pop(oldest))
                    results[key] = result
            return result

        return find

    return decorate
