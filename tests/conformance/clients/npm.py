"""Packages from npm, installed once into a folder outside the repository."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

INSTALL_TIMEOUT_S = 180
NODE_VERSION_MIN = 20
_INSTALL = (
    *("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"),
    *("--fetch-retries=1", "--fetch-retry-mintimeout=1000"),
)


def node() -> str:
    """The program; skips the test if there is none that is new enough."""
    program = shutil.which("node")
    if program is None or shutil.which("npm") is None:
        pytest.skip("needs node and npm on the path")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    if int(version.lstrip("v").partition(".")[0]) < NODE_VERSION_MIN:
        pytest.skip(f"needs node {NODE_VERSION_MIN}; this is {version.strip()}")
    return program


def installed(packages: Mapping[str, str]) -> Path:
    """A folder with `node_modules` in it. `packages`: names, and which versions; a set is installed once.
    Skips the test where it cannot be had."""
    node()
    manifest = json.dumps({"private": True, "dependencies": dict(packages)}, sort_keys=True)
    digest = hashlib.sha256(manifest.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"stator-npm-{os.getuid()}" / digest
    if not folder.exists():
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=folder.parent, prefix="making-"))
        try:
            (making / "package.json").write_text(manifest)
            _install(making)
            making.rename(folder)
        except OSError:
            # Somebody else was faster, with the same.
            if not folder.exists():
                raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder


def _install(folder: Path) -> None:
    try:
        done = subprocess.run(
            _INSTALL, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm has not installed the packages in {INSTALL_TIMEOUT_S} s")
    if done.returncode != 0:
        pytest.skip(f"npm cannot install the packages: {done.stderr.strip()[-500:]}")


def run_scenario(
    script: Path, packages: Mapping[str, str], folder: Path, environment: Mapping[str, str], timeout_s: float
) -> None:
    """Runs a script of node's test runner, from `folder`, where it finds the packages."""
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(installed(packages) / "node_modules")
    copy = folder / script.name
    shutil.copyfile(script, copy)
    done = subprocess.run(
        [node(), "--test", "--test-reporter=spec", str(copy)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
