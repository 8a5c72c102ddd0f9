"""`make compose`, as far as it decides anything: what it builds on, what an old Compose gets, when it skips."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.compose import DEPLOY, REPOSITORY, copy_context, read_document
from tests.deploy.cycle import machine
from tests.deploy.cycle.__main__ import skipped
from tests.deploy.cycle.base import base_image, choose_mirror, image_name, needed_wheels
from tests.deploy.cycle.engine import without_name

TARGETS = """\
http://one.example/debian/ trixie main
http://one.example/debian/ bookworm contrib
http://two.example/debian/ bookworm main
http://three.example/debian/ bookworm main
"""


def test_the_base_image_is_the_one_that_the_dockerfile_names() -> None:
    """With the version filled in; the real file names one, too."""
    text = "ARG PYTHON_VERSION=3.12\nFROM python:${PYTHON_VERSION}-slim AS build\nFROM python:${PYTHON_VERSION}-slim\n"
    assert image_name(text) == "python:3.12-slim"
    assert base_image().startswith("python:3.")


def test_wheels_are_those_of_the_build_and_of_the_services() -> None:
    """Not those of plots and tests."""
    text = """\
[build-system]
requires = ["hatchling>=1"]
[project]
dependencies = ["grpcio"]
[project.optional-dependencies]
server = ["lmdb"]
plot = ["matplotlib"]
"""
    assert needed_wheels(text) == ["hatchling>=1", "grpcio", "lmdb"]


def test_the_mirror_is_apt_s_own() -> None:
    """The first that has the main part of the suite; without one it cannot be played."""
    assert choose_mirror(TARGETS, "bookworm") == "http://two.example/debian/"
    with pytest.raises(machine.SkipError, match="no mirror of sid"):
        choose_mirror(TARGETS, "sid")


def test_an_old_compose_gets_the_same_but_the_project_s_name() -> None:
    """Compose 1 takes that on the command line only."""
    document = read_document()
    assert document.pop("name") == "stator"
    assert yaml.safe_load(without_name((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))) == document


def test_an_image_is_built_from_few_files(tmp_path: Path) -> None:
    """What .dockerignore lets through, and deploy/: neither tests nor caches."""
    copy_context(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {"server", "router", "deploy", "pyproject.toml"}
    assert not (tmp_path / "tests").exists()
    assert not list(tmp_path.rglob("__pycache__"))
    assert (tmp_path / "deploy" / "Dockerfile").exists()


def test_skipping_is_said_and_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """Unless it was asked for."""
    assert skipped("it needs root", is_failure=False) == 0
    assert capsys.readouterr().out == "skipped: make compose: it needs root.\n"
    assert skipped("it needs root", is_failure=True) == 1
    assert capsys.readouterr().err == "skipped: make compose: it needs root.\n"


def test_packages_are_not_installed_for_good_without_being_asked() -> None:
    """Where systemd runs, an engine would start at each boot from then on. What is there already needs nothing."""
    machine.install([], is_systemd=True, even_for_good=False)
    with pytest.raises(machine.SkipError, match="--install"):
        machine.install(["docker.io"], is_systemd=True, even_for_good=False)


def test_no_other_engine_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the caller's environment says, and whatever programs lie before the distribution's."""
    for name in ("DOCKER_HOST", "COMPOSE_FILE", "STATOR_BOOTSTRAP"):
        monkeypatch.setenv(name, "elsewhere")
    made = machine.environment()
    assert not {"DOCKER_HOST", "COMPOSE_FILE", "STATOR_BOOTSTRAP"} & set(made)
    assert made["PATH"] == machine.SYSTEM_PATH


def test_the_command_says_what_it_does() -> None:
    """--help teaches."""
    command = [sys.executable, "-m", "tests.deploy.cycle", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=60)
    assert "nothing is left" in done.stdout
    assert "--no-skip" in done.stdout
