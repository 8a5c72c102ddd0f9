"""`make models`: explores every spec to the end, and then each of its breakages, which has to be found.

Exit code 0: all specs hold in every state within their bounds, and each breakage failed the invariant that it should.
1: a surprise. 2: the checker could not be had.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.models import spin
from tests.models.catalogue import SPECS, Spec, bounds, broken
from tests.models.checker import CheckerError, Outcome, explore, install, trace

TIMEOUT_S = 900.0
LINE = "{:<42} {:>10} {:>8}  {}"


def verdict(outcome: Outcome, expected: str) -> tuple[bool, str]:
    """(whether it is as it should be, in words). `expected`: the invariant that should fail; empty: none should."""
    if outcome.failed == expected:
        return True, f"found: {expected}" if expected else "holds in every state"
    if not outcome.failed:
        return False, f"NOT FOUND, should fail: {expected}"
    return False, f"FAILS: {outcome.failed}" + (f", should fail: {expected}" if expected else "")


def check(spec: Spec, switch: str, folder: Path, timeout_s: float) -> bool:
    """Explores a spec, or one breakage of it (`switch`); prints a line, and the trace where there should be none."""
    text = broken(spec.text, switch) if switch else spec.text
    name = f"  {switch}" if switch else spec.name
    try:
        if spec.suffix == ".pml":
            outcome, history = spin.explore(text, folder, timeout_s=timeout_s)
        else:
            # One thread finds the same failure first, each time.
            outcome, output = explore(text, folder, threads=1 if switch else 2, timeout_s=timeout_s)
            history = trace(output)
    except CheckerError as error:
        print(LINE.format(name, "", "", f"UNDECIDED: {error}"), flush=True)
        return False
    is_right, words = verdict(outcome, spec.breakages[switch] if switch else "")
    print(LINE.format(name, outcome.states, f"{outcome.took_s:.1f}", words), flush=True)
    if not is_right and outcome.failed:
        print(history)
    return is_right


def main() -> int:
    """Runs it; prints a line a spec and a breakage."""
    parser = argparse.ArgumentParser(prog="make models", description=__doc__)
    parser.add_argument("--only", default="", help="specs whose name contains this")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds for one exploration (%(default)s)")
    options = parser.parse_args()
    try:
        install()
    except CheckerError as error:
        print(f"make models: {error}", file=sys.stderr)
        return 2
    print(LINE.format("spec", "states", "seconds", ""), flush=True)
    surprises = 0
    with tempfile.TemporaryDirectory() as folder:
        for spec in SPECS:
            if options.only not in spec.name:
                continue
            for switch in ("", *spec.breakages):
                surprises += not check(spec, switch, Path(folder), options.timeout)
            print(f"  bounds: {', '.join(f'{value} {name}' for name, value in bounds(spec.text).items())}", flush=True)
    print(f"{surprises} surprises")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
