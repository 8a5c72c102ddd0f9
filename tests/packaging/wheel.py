"""Building the wheel, and an environment that has it and not this checkout. Needs no network."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 120.0


def build_wheel(source: Path, output: Path) -> Path:
    """Builds the wheel of the sources in `source` with the build tools of this environment."""
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(output), str(source)], output)
    (wheel,) = output.glob("*.whl")
    return wheel


def make_environment(folder: Path, wheel: Path) -> Path:
    """Makes a virtual environment with the wheel in it, and returns the folder of its commands.

    What the wheel depends on is taken from this environment: its folder is added as a plain path, after the wheel was
    installed. A plain path does not carry out the `.pth` files in it, so the checkout's own editable installation
    stays out.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)]
    run([sys.executable, "-m", "pip", "--python", str(python), *install], folder)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    borrowed = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (Path(packages) / "borrowed.pth").write_text("".join(f"{path}\n" for path in borrowed), encoding="utf-8")
    return folder / "bin"


def clean_environment() -> dict[str, str]:
    """This process's environment without what would lead back to the checkout or to another cluster."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "STATOR_", "COV_", "COVERAGE_")) and name != "VIRTUAL_ENV"
    }


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Runs a command in `folder`, with a clean environment unless given one; its output. Raises if it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment() if environment is None else dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
