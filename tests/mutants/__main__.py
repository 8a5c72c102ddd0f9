"""`make mutants`: breaks the code in one place after the other, in a copy, and shows which tests notice.

For each breakage the tests nearest to it, and seeds of the simulation. Exit code 1 if one is noticed by neither.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.mutants import MUTANTS, Mutant
from tests.mutants.transactions import TRANSACTION_MUTANTS

ALL = (*MUTANTS, *TRANSACTION_MUTANTS)
ROOT = Path(__file__).resolve().parents[2]
PARTS = ("server", "storage_node", "metadata", "router", "clients", "proto", "tests")
TIMEOUT_S = 600.0
SLOWER = 4
"""So many times fewer seeds are played of other worlds than that of one group."""


def is_caught(copy: Path, *arguments: str) -> bool:
    """Whether a Python module, run on the copy, ends with a failure. Raises TimeoutExpired: undecided is not caught."""
    path = os.pathsep.join(str(copy / part) for part in ("", "clients", "proto"))
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return done.returncode == 1


def apply(mutant: Mutant, copy: Path) -> str:
    """Breaks the copy; returns what was in the file. Raises ValueError where the code is not as the list says."""
    path = copy / mutant.path
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.before) != 1:
        raise ValueError(f"{mutant.name}: {mutant.path} has not once what is to be replaced:\n{mutant.before}")
    path.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")
    return text


def main() -> int:
    """Runs it; prints a line a breakage."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", default="", help="those whose name contains this")
    parser.add_argument("--seeds", type=int, default=400, help="seeds of the simulation (400)")
    options = parser.parse_args()
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in PARTS:
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        for mutant in ALL:
            if options.only not in mutant.name:
                continue
            began = time.monotonic()
            seeds = str(options.seeds if mutant.world == "group" else options.seeds // SLOWER)
            text = apply(mutant, copy)
            pytest = ("pytest", "-x", "-q", "-p", "no:cacheprovider", mutant.tests)
            by_tests = is_caught(copy, *pytest)
            by_simulation = is_caught(copy, "tests.simulation", "--world", mutant.world, "--seed", "1", "--n", seeds)
            (copy / mutant.path).write_text(text, encoding="utf-8")
            layers = [name for name, caught in ((mutant.tests, by_tests), ("simulation", by_simulation)) if caught]
            took_s = time.monotonic() - began
            print(f"{mutant.name}: {' and '.join(layers) or 'NOT CAUGHT'} ({took_s:.0f} s)", flush=True)
            if not layers:
                survivors.append(mutant.name)
    print(f"{len(survivors)} not caught" + (f": {'; '.join(survivors)}" if survivors else ""))
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
