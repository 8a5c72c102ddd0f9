"""Which Python to set up .venv with: `python3 deploy/choose_python.py` prints its path.

A Python that was built without optimisation, which is what pyenv does unless told otherwise, runs Stator a quarter
slower than those of distributions, python.org and container images. So where the one that runs this was, and another of
the same version on the PATH was not, it is the other. (`make PYTHON=...` asks nobody.)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_PROBE = """
import importlib.util, json, platform, sys, sysconfig
kind = [sys.implementation.name, *sys.version_info[:2], platform.machine()]
has_pip = importlib.util.find_spec("ensurepip") is not None
print(json.dumps([sys.executable, kind, sysconfig.get_config_var("CONFIG_ARGS"), has_pip]))
"""
_PROBE_TIMEOUT_S = 10


class Interpreter(NamedTuple):
    """A Python. `kind`: what must be the same in another; `arguments`: it was configured with, before it was built;
    `has_pip`: environments can be made with it."""

    path: str
    kind: list[str | int]
    arguments: str | None
    has_pip: bool

    @property
    def is_optimised(self) -> bool:
        """As far as it tells: distributions that build for /usr have their own ways to say so."""
        known = ("--enable-optimizations", "'--prefix=/usr'")
        return self.arguments is None or any(each in self.arguments for each in known)


def probe(path: str) -> Interpreter | None:
    """The Python at a path; None: there is none that works."""
    try:
        told = subprocess.run([path, "-c", _PROBE], capture_output=True, timeout=_PROBE_TIMEOUT_S, check=True).stdout
        return Interpreter(*json.loads(told.splitlines()[-1]))  # what is set up for it may print something before
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, IndexError):
        return None


def choose(own: Interpreter, folders: list[str]) -> Interpreter:
    """`own`, or an optimised one of the same kind in one of the folders."""
    if own.is_optimised:
        return own
    for folder in folders:
        other = probe(str(Path(folder, "python{}.{}".format(*own.kind[1:]))))
        if other is not None and other.kind == own.kind and other.has_pip and other.is_optimised:
            return other
    return own


def main() -> None:
    own = probe(sys.executable) or Interpreter(sys.executable, [], None, has_pip=True)
    chosen = choose(own, [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder])
    if chosen is not own:
        sys.stderr.write(
            f"Taking {chosen.path}: {own.path} was built without optimisation, and is a quarter slower.\n"
            f"(`make PYTHON={own.path}` takes that one.)\n"
        )
    elif not own.is_optimised:
        sys.stderr.write(f"{own.path} was built without optimisation: Stator is a quarter slower on it.\n")
    sys.stdout.write(f"{chosen.path}\n")


if __name__ == "__main__":
    main()
