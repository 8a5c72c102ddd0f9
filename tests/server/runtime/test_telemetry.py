"""Logs: structured, on standard error, with who wrote them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from server.runtime.telemetry import configure


@pytest.fixture(autouse=True)
def configuration() -> Iterator[None]:
    """Logging is a process's own: what a test sets up goes with it."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A line is an object with time, level, process and zone; nothing goes to standard output."""
    configure("storage-1", "zone-1", "json")
    structlog.get_logger().info("group opened", group_id=7)
    out, err = capsys.readouterr()
    assert out == ""
    line = json.loads(err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "group opened", "group_id": 7, "level": "info", "process": "storage-1", "zone": "zone-1"}


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    """A line that people read, without colours where no terminal is."""
    configure("storage-1", "zone-1")
    structlog.get_logger().warning("disk nearly full", free_bytes=5)
    err = capsys.readouterr().err
    assert "disk nearly full" in err
    assert "free_bytes=5" in err
    assert "process=storage-1" in err
    assert "\x1b" not in err


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below the level is not written."""
    configure("storage-1", "zone-1", level="warning")
    log = structlog.get_logger()
    log.info("small talk")
    log.error("trouble")
    err = capsys.readouterr().err
    assert "small talk" not in err
    assert "trouble" in err


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_exceptions(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """Come with their traceback, and without a warning of the log's own."""
    configure("storage-1", "zone-1", log_format)
    structlog.get_logger().error("failed", exc_info=ValueError("the reason"))
    err = capsys.readouterr().err
    assert "ValueError" in err
    assert "the reason" in err
