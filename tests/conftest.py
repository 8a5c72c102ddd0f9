"""For all tests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

from server.runtime import frame_connection
from server.runtime.frame_connection import FrameConnection

settings.register_profile("untimed", deadline=None)  # how long something takes is never asserted in a unit test
settings.load_profile("untimed")


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[FrameConnection[Any]]:
    """All connections of frames that are made, on both sides, in their order."""
    made: list[FrameConnection[Any]] = []

    class Kept(FrameConnection[Any]):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(frame_connection, "FrameConnection", Kept)
    return made
