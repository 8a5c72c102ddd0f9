"""The cycle itself, as the first process of its namespaces: build, up, load, down, up, down.

python -m tests.deploy.cycle.inside WORK CACHE DOCKERFILE_OF_BASE ZONE
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from stator.errors import StatorError

from tests.deploy.cycle.base import base_image
from tests.deploy.cycle.engine import Engine, Services
from tests.deploy.cycle.load import Round
from tests.deploy.cycle.machine import SkipError

PASSED, FAILED, SKIPPED = 0, 1, 3
_BEGAN = time.monotonic()


def tell(text: str) -> None:
    print(f"{time.monotonic() - _BEGAN:7.1f} s  {text}", flush=True)


def main(work: Path, cache: Path, base: str, zone: str) -> int:
    """Plays it; an exit code."""
    engine = Engine(work)
    try:
        engine.start()
    except SkipError as error:
        print(error, file=sys.stderr)
        return SKIPPED
    tell("the engine runs")
    engine.docker("build", "--tag", base_image(), "--file", "-", str(cache), stdin=base)
    tell(f"{base_image()} is there")
    services = Services(engine, work / "source")
    services.build()
    tell("the image is built")
    try:
        services.up({"STATOR_BOOTSTRAP": "true"})
        tell(f"{len(services.states())} containers are healthy")
        is_pass = asyncio.run(Round(services, work, zone, tell).play())
    except (AssertionError, StatorError):
        print(services.logs())
        raise
    services.down("--volumes")
    assert not services.volumes()
    tell("down: no container and no volume is left")
    return PASSED if is_pass else FAILED


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
