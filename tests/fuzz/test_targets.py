"""Every target with every seed, and with seeds that Hypothesis has damaged."""

from __future__ import annotations

import time
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import PIECES
from tests.fuzz.targets import TARGETS

INPUT_S_MAX = 1.0
"""Of processor time; a thousand times what most take."""


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    return tuple(TARGETS[name].seeds())


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """A seed with pieces taken out, put in, or put in place of others; or of two seeds, one behind the other."""
    data = bytearray(draw(st.sampled_from(seeds(name))))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, min(8, len(data) - start)))
        piece = draw(
            st.sampled_from(PIECES) | st.binary(max_size=3) | st.sampled_from(seeds(name)).map(lambda s: s[:40])
        )
        data[start : start + length] = piece
    return bytes(data)


def run(name: str, data: bytes) -> None:
    began_s = time.thread_time()
    TARGETS[name].run(data)
    assert time.thread_time() - began_s < INPUT_S_MAX


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    """They are many, and nothing is wrong with any."""
    assert len(seeds(name)) > 1
    for seed in seeds(name):
        run(name, seed)


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None)
@given(data=st.data())
def test_damaged_seeds(name: str, data: st.DataObject) -> None:
    """Whatever they are: an answer, soon."""
    run(name, data.draw(damaged(name)))


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None)
@given(data=st.binary(max_size=100))
def test_any_bytes(name: str, data: bytes) -> None:
    """As with damaged seeds."""
    run(name, data)
