"""What may change about a table once it is there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TableSettings:
    """Units are a second; times are milliseconds since 1970, 0 stands for never.

    `read_units` and `write_units` are both 0 for an on-demand table; only then may there be `max_` units (0: no limit).
    `warm_` units 0: what its throughput gives the table anyway. `decreases` were on the day (UTC) of the last one.
    `on_demand_at_ms`, `class_changed_ms`: the last few times. `tags` are in the order of their keys. `time_to_live` is
    the attribute by which items expire; empty: they do not."""

    read_units: int = 0
    write_units: int = 0
    last_increase_ms: int = 0
    last_decrease_ms: int = 0
    decreases: int = 0
    on_demand_at_ms: tuple[int, ...] = ()
    max_read_units: int = 0
    max_write_units: int = 0
    warm_read_units: int = 0
    warm_write_units: int = 0
    table_class: str = "STANDARD"
    class_changed_ms: tuple[int, ...] = ()
    is_protected: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    time_to_live: str = ""
    time_to_live_changed_ms: int = 0

    @property
    def is_on_demand(self) -> bool:
        """Whether what is used is paid for, and not what was reserved."""
        return self.read_units == 0
