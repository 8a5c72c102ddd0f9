"""`make simulate [WORLD=indexes|transactions] [SEED=n] [N=n] [MINUTES=n]`: plays seeds and prints what failed."""

from __future__ import annotations

import argparse
import secrets
import sys
import time

from tests.simulation.runner import PLAYS, Report, run_seeds

ROUND = 500


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="the first seed (default: a random one, printed)")
    parser.add_argument("--n", type=int, default=1_000, help="how many seeds")
    parser.add_argument("--world", choices=PLAYS, default="group", help="what is played (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=0.0, help="go on for this long instead")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1 << 40)
    print(f"first seed {seed}")
    total = Report()
    end = time.monotonic() + arguments.minutes * 60
    while True:
        count = arguments.n if not arguments.minutes else ROUND
        report = run_seeds(range(seed, seed + count), world=arguments.world)
        seed += count
        total.add(report)
        total.seconds += report.seconds
        print(total, flush=True)
        for failure in report.failures:
            print(failure)
        if not arguments.minutes or time.monotonic() > end:
            return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
