"""What Spin's program prints is read right: a pass is one only where all was explored."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.models.catalogue import SPECS, Spec, broken
from tests.models.checker import CheckerError, Outcome
from tests.models.spin import explore, has_claim, read_outcome, trace

SAFE = """
(Spin Version 6.5.2 -- 6 December 2019)
	+ Partial Order Reduction

Full statespace search for:
	never claim         	- (none specified)
	assertion violations	+
	cycle checks       	- (disabled by -DSAFETY)
	invalid end states	+

State-vector 148 byte, depth reached 1048, errors: 0
  8003998 states, stored
 68788071 states, matched
 76792069 transitions (= stored+matched)
"""
LIVE = """
Full statespace search for:
	never claim         	+ (it_ends)
	assertion violations	+ (if within scope of claim)
	acceptance   cycles 	+ (fairness enabled)
	invalid end states	- (disabled by never claim)

State-vector 268 byte, depth reached 372, errors: 0
  3922117 states, stored (1.38547e+07 visited)
"""


def failed(output: str, how: str) -> str:
    """As it prints it: the error first, and a search that stops there."""
    stopped = output.replace("errors: 0", "errors: 1").replace("\n\nFull", "\nWarning: Search not completed\n\nFull")
    return f"pan:1: {how} (at depth 229)\npan: wrote spec.pml.trail\n{stopped}"


def test_all_explored_and_all_well() -> None:
    """The states that are stored count, not how often they were come to."""
    assert read_outcome(SAFE, 0, 1.5, is_live=False) == Outcome("", 8003998, 1.5)
    assert read_outcome(LIVE, 0, 1.5, is_live=True) == Outcome("", 3922117, 1.5)


def test_what_fails_has_a_name() -> None:
    """An assertion's is that of its variable, a cycle's that of the claim; its exit code is 0 then, too."""
    asserted = failed(SAFE, "assertion violated all_is_well")
    assert read_outcome(asserted, 0, 1.5, is_live=False) == Outcome("all_is_well", 8003998, 1.5)
    cycle = failed(LIVE, "acceptance cycle")
    assert read_outcome(cycle, 0, 1.5, is_live=True) == Outcome("it_ends", 3922117, 1.5)


def test_a_history_that_is_too_long_for_the_rest_is_a_failure_all_the_same() -> None:
    """What has been found is there, whatever else was not looked at."""
    output = "error: max search depth too small\n" + failed(SAFE, "assertion violated all_is_well")
    assert read_outcome(output, 0, 1.5, is_live=False).failed == "all_is_well"


@pytest.mark.parametrize(
    ("output", "code", "is_live"),
    [
        (SAFE, 1, False),
        (SAFE, -9, False),
        ("error: max search depth too small\n" + SAFE, 0, False),
        (SAFE.replace("\n\nFull", "\nWarning: Search not completed\n\nFull"), 0, False),
        ("pan: reached -DMEMLIM bound\n" + SAFE, 0, False),
        ("pan: out of memory\n" + SAFE, 0, False),
        (SAFE.replace("Full statespace", "Bit statespace"), 0, False),
        (SAFE.replace("Full statespace search", "Full statespace search with hash-compact"), 0, False),
        (SAFE.replace("errors: 0", "errors: 1"), 0, False),
        (SAFE.replace("8003998 states, stored", ""), 0, False),
        (SAFE, 0, True),
        (LIVE.replace("+ (it_ends)", "- (not selected)"), 0, True),
        (LIVE.replace("+ (fairness enabled)", "- (not selected)"), 0, True),
        (LIVE.replace("(fairness enabled)", "(fairness disabled)"), 0, True),
        (failed(SAFE, "invalid end state"), 0, False),
        (failed(SAFE, "assertion violated ((x==1))"), 0, False),
        (failed(SAFE, "acceptance cycle"), 0, False),
        (failed(SAFE, "assertion violated all_is_well").replace("8003998 states, stored", ""), 0, False),
        ("", 0, False),
    ],
)
def test_undecided_is_no_pass_and_no_failure(output: str, code: int, is_live: bool) -> None:
    """Cut short by depth or memory, killed, states not kept whole, no look at cycles, or no claim's error: all but one
    of these with exit code 0."""
    with pytest.raises(CheckerError):
        read_outcome(output, code, 1.0, is_live=is_live)


def test_a_history_is_one_line_a_step_and_its_end() -> None:
    """A step is many statements."""
    steps = "  1:\tproc  0 (A:1) first\n  1:\tproc  0 (A:1) second\n  2:\tproc  1 (B:1) third\n"
    assert trace(f"{steps}spin: trail ends after 2 steps\n x = 1\n") == (
        "  1:\tproc  0 (A:1) first\n  2:\tproc  1 (B:1) third\nafter 2 steps\n x = 1\n"
    )


def spec_of(name: str) -> Spec:
    (spec,) = (spec for spec in SPECS if spec.name == name)
    return spec


LACKS_SPIN = shutil.which("spin") is None or shutil.which("gcc") is None
needs_spin = pytest.mark.skipif(LACKS_SPIN, reason="needs spin and gcc, which `make models` installs")


@needs_spin
def test_a_small_spec_of_what_must_hold_is_explored_and_its_breakage_found(tmp_path: Path) -> None:
    """With two ballots and an entry for each, in seconds."""
    text = spec_of("ballots").text.replace("define BALLOTS 3", "define BALLOTS 2").replace("== 1 -> SLOTS", "== 1 -> 1")
    outcome, _ = explore(text, tmp_path, timeout_s=100)
    assert outcome.failed == ""
    assert outcome.states > 10_000
    outcome, history = explore(broken(text, "PROPOSES_ITS_OWN"), tmp_path, timeout_s=100)
    assert outcome.failed == spec_of("ballots").breakages["PROPOSES_ITS_OWN"]
    assert "proc  0 (Storage_0:1)" in history
    assert "acknowledged_at[0] = 1" in history


@needs_spin
def test_a_small_spec_of_what_must_come_about_is_explored_and_its_breakage_found(tmp_path: Path) -> None:
    """Without duels and with one leader before faults end, in seconds."""
    spec = spec_of("election")
    assert has_claim(spec.text)
    small = spec.text.replace("define FAULTY 2", "define FAULTY 1").replace("EARLY 1", "EARLY 0")
    outcome, _ = explore(small, tmp_path, timeout_s=100)
    assert outcome.failed == ""
    assert outcome.states > 10_000
    outcome, history = explore(broken(spec.text, "SAYS_NOTHING"), tmp_path, timeout_s=100)
    assert outcome.failed == spec.breakages["SAYS_NOTHING"]
    assert "stable = 1" in history
