"""Clocks that run too fast or too slow: all of a process's clocks, by a library that is loaded before the others."""

from collections.abc import Iterable
from pathlib import Path

from stator.local.layout import ProcessPlan

LIBRARY = "libfaketimeMT.so.1"
_PLACES = ("/usr/lib/*/faketime", "/usr/lib64/faketime", "/usr/lib/faketime", "/usr/local/lib/faketime")


def library(places: Iterable[str] = _PLACES) -> Path | None:
    """Where the library is; None: nowhere."""
    for place in places:
        found = sorted(Path("/").glob(f"{place.removeprefix('/')}/{LIBRARY}"))
        if found:
            return found[0]
    return None


def why_not() -> str:
    """Why clocks cannot be changed on this machine, in a sentence; "" if they can."""
    if library() is None:
        return f"a clock that runs too fast or too slow needs {LIBRARY}: install the package faketime."
    return ""


class Clocks:
    """The clocks of processes; a rate holds from a process's next start on."""

    def __init__(self) -> None:
        found = library()
        assert found is not None, "why_not has looked"
        self.library = found
        self._percents: dict[str, float] = {}

    def set_rate(self, name: str, percent: float) -> None:
        """Too fast by `percent`, or below 0 too slow; 0 is right."""
        self._percents[name] = percent

    def prefix(self, plan: ProcessPlan) -> list[str]:
        """What to put before the command of a process, so that its clocks run as they are to."""
        percent = self._percents.get(plan.name, 0.0)
        if not percent:
            return []
        return ["env", f"LD_PRELOAD={self.library}", f"FAKETIME=+0s x{1 + percent / 100:.6f}"]
