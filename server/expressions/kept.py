"""Results that are kept, bounded in number and in size."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def kept(
    count_max: int, weight_max: int, weigh: Callable[[Any, Any], int]
) -> Callable[[Callable[[K], V]], Callable[[K], V]]:
    """Keeps what a function of one argument makes: up to `count_max` results, of which the oldest makes room for the
    next. What weighs more than `weight_max` by `weigh(key, result)` is made each time, so that nobody fills the memory
    with a few long names. What raises is not kept."""

    def decorate(make: Callable[[K], V]) -> Callable[[K], V]:
        results: dict[K, V] = {}

        @wraps(make)
        def find(key: K) -> V:
            result = results.get(key)
            if result is None:
                result = make(key)
                if weigh(key, result) <= weight_max:
                    if len(results) >= count_max:
                        del results[next(iter(results))]
                    results[key] = result
            return result

        return find

    return decorate
