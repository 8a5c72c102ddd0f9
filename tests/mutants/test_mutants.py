"""The list of breakages fits the code; that each is caught is for `make mutants` to show, which takes minutes."""

from __future__ import annotations

import pytest

from tests.mutants.__main__ import ALL, ROOT
from tests.mutants.mutants import Mutant
from tests.simulation.runner import PLAYS


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_there_is_what_is_to_be_broken(mutant: Mutant) -> None:
    """Once, so that the breakage is the one that its name says."""
    assert (ROOT / mutant.path).read_text(encoding="utf-8").count(mutant.before) == 1
    assert (ROOT / mutant.tests).is_dir()
    assert mutant.world in PLAYS
