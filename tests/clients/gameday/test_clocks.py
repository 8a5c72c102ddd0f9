"""Clocks that run too fast or too slow, where the library for it is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from stator.gameday.clocks import LIBRARY, Clocks, library, why_not
from stator.local.layout import ProcessPlan, Role

PLAN = ProcessPlan("storage-1", Role.STORAGE, "zone-1", (), ())


@pytest.fixture
def clocks() -> Clocks:
    sentence = why_not()
    if sentence:
        pytest.skip(sentence)
    return Clocks()


def test_where_the_library_is(tmp_path: Path) -> None:
    """In a place of any architecture; if it is nowhere, it is said which package has it."""
    assert library([str(tmp_path)]) is None
    folder = tmp_path / "x86_64" / "faketime"
    folder.mkdir(parents=True)
    (folder / LIBRARY).touch()
    assert library([str(tmp_path / "none"), str(tmp_path / "*" / "faketime")]) == folder / LIBRARY


def test_who_has_a_right_clock_is_left_alone(clocks: Clocks) -> None:
    """Also after it was wrong."""
    assert clocks.prefix(PLAN) == []
    clocks.set_rate("storage-1", -0.5)
    assert clocks.prefix(PLAN)[-1] == "FAKETIME=+0s x0.995000"
    clocks.set_rate("storage-1", 0)
    assert clocks.prefix(PLAN) == []


def test_a_clock_that_is_far_too_fast(clocks: Clocks) -> None:
    """Ten thousand times: a process sleeps for an hour of its own, while nobody else waits for long."""
    clocks.set_rate("storage-1", 999_900)
    code = "import time; began = time.monotonic(); time.sleep(3600); print(time.monotonic() - began)"
    line = [*clocks.prefix(PLAN), sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True)
    assert float(done.stdout) >= 3600
