"""The report: what a person reads of a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest
from stator.bench.runner import BenchmarkError
from stator.gameday.availability import Availability
from stator.gameday.history import Event, EventKind, History
from stator.gameday.judge import judge
from stator.gameday.report import PLOT_FILE, REPORT_FILE, headline, page, write_report

from tests.clients.gameday.test_judge import BAD, GOOD, SCENARIO


def history(bad: str = "") -> History:
    calls = BAD[bad][0] if bad else GOOD["an eventual read within the bound"]
    events = [
        Event(EventKind.FAULT, 5_000_000_000, "kill storage-1 | x", 5_200_000_000),
        Event(EventKind.UNDONE, 8_000_000_000, "start storage-1", 9_500_000_000),
    ]
    reads = [] if bad else [*GOOD["a write and its reads"][1:2]]
    return History(SCENARIO, {"table": "t", "seed": 3}, [*calls, *reads], events, is_complete=True)


def test_a_lost_write_stands_in_the_first_lines() -> None:
    """With its key, what was there and what should have been."""
    verdict = judge(history("a lost write"))
    text = page(Path("a folder"), history("a lost write"), verdict, "")
    assert headline(history(), verdict).startswith("NO PASS: known: 1 lost, 1 not linearizable, 3 stale")
    assert "**NO PASS: known: 1 lost" in text
    assert "- **lost**: k: the read of client 1 at 90.000 s saw 'a'; by 0.004 s it had been replaced by 'b'." in text
    assert "| 1 | keys whose last acknowledged write is missing at the end |" in text


def test_the_timeline_and_how_to_judge_again() -> None:
    """In the order of time, with how long things took."""
    text = page(Path("a folder"), history(), judge(history()), "no plot today.")
    assert "| 5.000 | **fault** | kill storage-1 \\| x (0.2 s) |" in text
    assert text.index("kill storage-1") < text.index("start storage-1 (1.5 s)")
    assert "No plot: no plot today." in text
    assert "`stator gameday --check 'a folder'`" in text


def test_the_folder_has_a_page_and_a_plot(tmp_path: Path) -> None:
    """The page shows the plot."""
    pytest.importorskip("matplotlib")
    assert write_report(tmp_path, history(), judge(history())) == ""
    assert f"]({PLOT_FILE})" in (tmp_path / REPORT_FILE).read_text()
    assert (tmp_path / PLOT_FILE).read_text().startswith("<?xml")


def test_without_the_plotting_package_there_is_still_a_page(tmp_path: Path) -> None:
    """Which says what is missing."""

    def cannot(path: Path, history: History, availability: Availability) -> None:
        raise BenchmarkError("a plot needs matplotlib: pip install 'stator[plot]'.")

    assert "matplotlib" in write_report(tmp_path, history(), judge(history()), cannot)
    assert "No plot: a plot needs matplotlib" in (tmp_path / REPORT_FILE).read_text()
