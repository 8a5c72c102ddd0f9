"""Builds the image and brings deploy/compose.yaml up, all three zones, in an engine made for it alone.

Under a load that is checked for lost writes and linearizability a zone is taken off the network and put back, and a
container is replaced; then everything goes down and up again, and every key is read back. The engine has a network,
mounts and processes of its own: nothing of it touches this machine's, and nothing is left. Needs root and Debian, whose
packages it installs; where it cannot be played it says why, and that is no failure.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import sys
import time
from pathlib import Path

from tests.deploy.cycle.base import make_base
from tests.deploy.cycle.inside import PASSED, SKIPPED
from tests.deploy.cycle.machine import (
    FREE_BYTES_MIN,
    SYSTEMD,
    SkipError,
    check_machine,
    install,
    missing_packages,
    remove_traces,
    run_apart,
)

CACHE = Path("/var/cache/stator-compose")
INSIDE_S_MAX = 600.0


def main() -> int:
    """What the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(prog="make compose", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the base image and wheels stay (%(default)s)")
    parser.add_argument("--install", action="store_true", help="install packages also where systemd runs")
    parser.add_argument("--no-skip", action="store_true", help="what cannot be played here is a failure")
    parser.add_argument("--zone", default="", help="the one to take off the network (that of whoever leads most)")
    options = parser.parse_args()
    # So that what is left is removed then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began = time.monotonic()
    try:
        code = play(options.cache.absolute(), options.zone, even_for_good=options.install)
    except SkipError as error:
        return skipped(str(error), options.no_skip)
    if code == SKIPPED:
        return skipped("the engine does not start here (see above)", options.no_skip)
    print(f"{'PASS' if code == PASSED else 'NO PASS'}: make compose, {time.monotonic() - began:.0f} s", flush=True)
    return code


def play(cache: Path, zone: str, *, even_for_good: bool) -> int:
    """The exit code of tests.deploy.cycle.inside. Raises SkipError."""
    check_machine()
    install(missing_packages(), is_systemd=SYSTEMD.exists(), even_for_good=even_for_good)
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shutil.disk_usage(cache).free < FREE_BYTES_MIN:
        raise SkipError(f"it needs {FREE_BYTES_MIN >> 30} GiB in {cache}")
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SkipError(f"another one runs with {cache}") from None
        work = cache / "engine"
        remove_traces(work)
        base = make_base(cache)
        work.mkdir(mode=0o700)
        try:
            inside = [sys.executable, "-m", "tests.deploy.cycle.inside", str(work), str(cache), base, zone]
            return run_apart(inside, INSIDE_S_MAX)
        finally:
            remove_traces(work)


def skipped(why: str, is_failure: bool) -> int:
    """Says so; the exit code."""
    print(f"skipped: make compose: {why}.", file=sys.stderr if is_failure else sys.stdout, flush=True)
    return 1 if is_failure else 0


if __name__ == "__main__":
    sys.exit(main())
