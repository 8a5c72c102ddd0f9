"""What one process of a load has seen, while it was told to look."""

import time
from collections import Counter
from dataclasses import dataclass, field

from stator.bench.histogram import Histogram

now = time.perf_counter

MISSING = "ItemMissing"
"""The error of a read that found nothing: every item that is asked for was written before."""


@dataclass(slots=True)
class Measurement:
    """Counts only while `is_on`. `errors`: by name."""

    is_on: bool = False
    latencies: Histogram = field(default_factory=Histogram)
    errors: Counter[str] = field(default_factory=Counter)

    def note(self, began: float) -> None:
        """A request that began at `now()` value `began` has been answered."""
        if self.is_on:
            self.latencies.add(now() - began)

    def note_error(self, name: str) -> None:
        if self.is_on:
            self.errors[name] += 1
