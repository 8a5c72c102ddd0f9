"""For all tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # how long something takes is never asserted in a unit test
settings.load_profile("untimed")
