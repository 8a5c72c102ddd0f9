"""The base image, made here: Debian's own Python instead of the hub's, and wheels, since the build has no network."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tests.deploy.compose import DEPLOY, REPOSITORY
from tests.deploy.cycle.machine import SkipError, environment

INCLUDED = ("python3-venv", "python-is-python3")
DOCKERFILE = """\
FROM scratch
ADD {archive} /
COPY {wheels} /wheels
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
"""
_DEBOOTSTRAP_TIMEOUT_S = 400.0
_DOWNLOAD_TIMEOUT_S = 200.0


def image_name(dockerfile: str) -> str:
    """What the Dockerfile builds on, unless told otherwise. Both of its stages do."""
    (version,) = re.findall(r"^ARG PYTHON_VERSION=(\S+)$", dockerfile, re.MULTILINE)
    (name,) = set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))
    return str(name).replace("${PYTHON_VERSION}", version)


def needed_wheels(pyproject: str) -> list[str]:
    """What has to be there to build the package, and to run the services."""
    document = tomllib.loads(pyproject)
    project = document["project"]
    return [
        *document["build-system"]["requires"],
        *project["dependencies"],
        *project["optional-dependencies"]["server"],
    ]


def choose_mirror(targets: str, suite: str) -> str:
    """The mirror of a suite's main packages, of apt's list ("URI SUITE COMPONENT" a line). Raises SkipError."""
    for line in targets.splitlines():
        uri, *rest = line.split()
        if rest == [suite, "main"]:
            return uri
    raise SkipError(f"apt knows no mirror of {suite}")


def make_base(cache: Path) -> str:
    """Makes what is not in the folder yet; a Dockerfile of the base image, whose context is the folder. Raises
    SkipError where Debian cannot be had."""
    archive = _make_archive(cache)
    python = _python_version(archive)
    wheels = _download_wheels(cache, python)
    print(f"base image: {archive.name}, Python {python}, {len(list(wheels.iterdir()))} wheels", flush=True)
    return DOCKERFILE.format(archive=archive.name, wheels=wheels.name)


def _make_archive(cache: Path) -> Path:
    """A minimal Debian of this machine's release, with Python."""
    suite = _release()
    archive = cache / f"{suite}-{_digest(INCLUDED)}.tar"
    if archive.exists():
        return archive
    print(f"debootstrap {suite}: takes a minute, once", flush=True)
    form = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"]
    mirror = choose_mirror(_run(form, 30.0), suite)
    root, partial = cache / "root", cache / "partial.tar"
    shutil.rmtree(root, ignore_errors=True)
    # With mounts of its own, so that none of those that it makes can stay; not writing to disk what is thrown away.
    apart = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}", suite, str(root), mirror]
    try:
        _run([*apart, *command], _DEBOOTSTRAP_TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        lines = f"{error.stdout}{error.stderr}".strip().splitlines()
        raise SkipError(f"debootstrap failed: {lines[-1] if lines else error.returncode}") from None
    left_out = ["--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*"]
    _run(["tar", "--create", "--file", str(partial), "--directory", str(root), *left_out, "."], 120.0)
    partial.rename(archive)
    shutil.rmtree(root)
    return archive


def _download_wheels(cache: Path, python: str) -> Path:
    needed = needed_wheels((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    folder = cache / f"wheels-{python}-{_digest(needed)}"
    if folder.exists():
        return folder
    print("downloading wheels", flush=True)
    partial = cache / "wheels-partial"
    shutil.rmtree(partial, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    _run(
        [*pip, "--python-version", python, "--only-binary", ":all:", "--dest", str(partial), *needed],
        _DOWNLOAD_TIMEOUT_S,
    )
    partial.rename(folder)
    return folder


def _python_version(archive: Path) -> str:
    """Such as "3.11", by the name of the interpreter in it."""
    names = _run(["tar", "--list", "--file", str(archive), "--wildcards", "./usr/bin/python3.*"], 60.0)
    (version,) = re.findall(r"^\./usr/bin/python(3\.\d+)$", names, re.MULTILINE)
    return str(version)


def _release() -> str:
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    found = re.search(r'^VERSION_CODENAME="?(\w+)"?$', text, re.MULTILINE)
    if found is None or not re.search(r'^ID="?debian"?$', text, re.MULTILINE):
        raise SkipError("it needs Debian, of which it makes the base image")
    return found[1]


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _run(command: Sequence[str], timeout_s: float) -> str:
    """Its output. Raises CalledProcessError, which has it, too."""
    done = subprocess.run(
        command,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


def base_image() -> str:
    return image_name((DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
