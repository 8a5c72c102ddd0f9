"""The catalogue fits the specs, and the checker's words are read right; that the specs hold `make models` shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.catalogue import FOLDER, SPECS, Spec, bounds, broken, invariants, switches
from tests.models.checker import CheckerError, Outcome, explore, missing, read_outcome, trace
from tests.models.run import verdict

SPACE = "\nState Space Explored:\n\n\t23382 states, 192587 rules fired in 1s.\n"
PASSED = "Status:\n\n\tNo error found.\n" + SPACE
FAILED = 'The following is the error trace for the error:\n\n\tinvariant "a" failed\n\nStartstate "s" fired.\n' + SPACE
STUCK = '\n\tliveness property "c" violated:\nStartstate "s" fired.\n' + SPACE


def test_every_spec_is_in_the_catalogue() -> None:
    """One that is not is never explored."""
    assert {path.name for path in FOLDER.iterdir()} == {spec.name + spec.suffix for spec in SPECS}
    assert len({spec.name for spec in SPECS}) == len(SPECS)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_catalogue_knows_all_switches_and_invariants(spec: Spec) -> None:
    """Each breakage is explored, names an invariant that there is, and is off; two at least."""
    assert switches(spec.text) == list(spec.breakages)
    assert len(spec.breakages) >= 2
    assert set(spec.breakages.values()) <= set(invariants(spec.text))
    assert bounds(spec.text)


def test_a_breakage_is_one_constant() -> None:
    """Nothing else changes; a switch that is not there is no breakage."""
    text = "const\n  N: 3;\n  FORGETS: 0;\n  FORGETS_ALL: 0;\n"
    assert broken(text, "FORGETS") == text.replace("FORGETS: 0", "FORGETS: 1")
    assert (switches(text), bounds(text)) == (["FORGETS", "FORGETS_ALL"], {"N": 3})
    with pytest.raises(ValueError, match="N is not"):
        broken(text, "N")


def test_a_breakage_in_promela_is_one_constant_too() -> None:
    """Macros with arguments are no constants."""
    text = "#define N 3 /* nodes */\n#define FORGETS 0 /* it does */\n#define OWNER(of) 0\n#define FORGETS_ALL 0\n"
    assert broken(text, "FORGETS") == text.replace("FORGETS 0", "FORGETS 1")
    assert (switches(text), bounds(text)) == (["FORGETS", "FORGETS_ALL"], {"N": 3})
    assert invariants("  assert(all_is_well);\nltl it_ends { <> ended }\n") == ["all_is_well", "it_ends"]


def test_what_the_checker_says_is_read() -> None:
    """A pass is a pass only with all states explored; an end without one says nothing."""
    assert read_outcome(PASSED, 0, 1.5) == Outcome("", 23382, 1.5)
    assert read_outcome(FAILED, 1, 1.5) == Outcome("a", 23382, 1.5)
    assert read_outcome(STUCK, 1, 1.5) == Outcome("c", 23382, 1.5)


def test_a_failure_is_shown_from_where_it_is_told_of() -> None:
    """Also where something is out of reach for ever."""
    assert trace("much\n" + FAILED).startswith("The following is the error trace")
    assert trace("much\n" + STUCK).startswith('\tliveness property "c"')


@pytest.mark.parametrize(
    ("output", "code"),
    [
        (PASSED, 1),
        (PASSED, -9),
        (SPACE, 0),
        ("Status:\n\n\tNo error found.\n", 0),
        ("out of memory", 0),
        (FAILED.replace('invariant "a" failed', "deadlock"), 1),
        (FAILED.replace(SPACE, ""), 1),
        (STUCK.replace(SPACE, ""), 1),
    ],
)
def test_undecided_is_no_pass_and_no_failure(output: str, code: int) -> None:
    """Killed, out of memory, or another error than an invariant's."""
    with pytest.raises(CheckerError):
        read_outcome(output, code, 1.0)


@pytest.mark.parametrize(
    ("failed", "expected", "is_right", "words"),
    [
        ("", "", True, "holds in every state"),
        ("a", "a", True, "found: a"),
        ("a", "", False, "FAILS: a"),
        ("a", "b", False, "FAILS: a, should fail: b"),
        ("", "b", False, "NOT FOUND, should fail: b"),
    ],
)
def test_a_surprise_is_one_whichever_way(failed: str, expected: str, is_right: bool, words: str) -> None:
    """A breakage that is found by another invariant than its own as well."""
    assert verdict(Outcome(failed, 1, 1.0), expected) == (is_right, words)


@pytest.mark.skipif(bool(missing()), reason="needs rumur, spin and gcc, which `make models` installs")
def test_a_small_spec_is_explored_and_its_breakage_found(tmp_path: Path) -> None:
    """With two ballots, in a second or two: the checker, the compiler and what is read of them work together."""
    (spec,) = (spec for spec in SPECS if spec.name == "agreement")
    text = spec.text.replace("BALLOTS: 3;", "BALLOTS: 2;")
    outcome, _ = explore(text, tmp_path, threads=1, timeout_s=100)
    assert (outcome.failed, outcome.states) == ("", 23382)
    outcome, output = explore(broken(text, "FORGETS_ENTRY"), tmp_path, threads=1, timeout_s=100)
    assert outcome.failed == spec.breakages["FORGETS_ENTRY"]
    assert 'Rule "forget the last entry"' in output
