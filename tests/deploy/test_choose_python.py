"""deploy/choose_python.py: a Python that was built without optimisation makes way for one that was not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from deploy.choose_python import Interpreter, choose, main, probe

KIND: list[str | int] = ["cpython", 3, 11, "x86_64"]
SLOW = Interpreter("/home/me/.pyenv/bin/python3", KIND, "'--prefix=/home/me/.pyenv' '--enable-shared'", True)
FAST = SLOW._replace(path="/usr/bin/python3.11", arguments="'--enable-shared' '--prefix=/usr' '--libdir=/usr/lib'")
OFFICIAL = SLOW._replace(path="/usr/local/bin/python3.11", arguments="'--enable-optimizations' '--with-lto'")


def make(folder: Path, name: str, told: object) -> str:
    """A program that says this, as a Python does that is probed."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\nread -r line << END\n{json.dumps(told)}\nEND\nprintf '%s' \"$line\"\n")
    path.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("own", [FAST, OFFICIAL, SLOW._replace(arguments=None)])
def test_one_that_is_optimised_stays(own: Interpreter, tmp_path: Path) -> None:
    """Nobody else is asked. Where nothing is said of how it was built (Windows), it is taken for optimised."""
    assert choose(own, [make(tmp_path, "python3.11", OFFICIAL._replace(path="another"))]) is own


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(SLOW._replace(path="another"), id="not optimised either"),
        pytest.param(FAST._replace(has_pip=False), id="without ensurepip, as where python3-venv is not installed"),
        pytest.param(FAST._replace(kind=["cpython", 3, 12, "x86_64"]), id="another version under this name"),
        pytest.param(FAST._replace(kind=["cpython", 3, 11, "i686"]), id="for another machine"),
        pytest.param("no Python", id="what is no Python"),
    ],
)
def test_who_does_not_take_the_place(other: object, tmp_path: Path) -> None:
    """The one that runs this is slow, and works."""
    assert choose(SLOW, [str(tmp_path / "nothing"), make(tmp_path / "one", "python3.11", other)]) is SLOW


def test_the_first_on_the_path_that_will_do(tmp_path: Path) -> None:
    """Of the same version by its name."""
    folders = [
        make(tmp_path / "pyenv", "python3.11", SLOW),
        make(tmp_path / "newer", "python3.12", FAST._replace(path="newer")),
        make(tmp_path / "usr", "python3.11", FAST),
        make(tmp_path / "local", "python3.11", OFFICIAL),
    ]
    assert choose(SLOW, folders) == FAST


@pytest.mark.parametrize(
    ("is_slow", "others", "expected", "note"),
    [
        (False, [FAST], None, ""),
        (True, [FAST], FAST.path, "Taking /usr/bin/python3.11: "),
        (True, [], None, "Stator is a quarter slower on it"),
    ],
)
def test_what_is_said(
    is_slow: bool,
    others: list[Interpreter],
    expected: str | None,
    note: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The path alone goes to where make reads it."""
    own = probe(sys.executable)
    assert own is not None
    assert own.has_pip
    own = own._replace(kind=KIND, arguments=SLOW.arguments if is_slow else FAST.arguments)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "own" / "python"))
    make(tmp_path / "own", "python", own)
    folders = [make(tmp_path / f"other-{number}", "python3.11", other) for number, other in enumerate(others)]
    monkeypatch.setenv("PATH", ":".join(["", *folders]))
    main()
    printed = capsys.readouterr()
    assert printed.out == f"{expected or own.path}\n"
    assert note in printed.err
    assert bool(note) == bool(printed.err)


def test_one_that_says_more_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is set up for a Python may print something as it starts; where it tells nothing, it stays."""
    folder = Path(make(tmp_path, "python", FAST))
    program = folder / "python"
    program.write_text(program.read_text().replace("printf", "echo welcome\nprintf"))
    assert probe(str(program)) == FAST
    program.write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setattr(sys, "executable", str(program))
    main()
    assert capsys.readouterr().out == f"{program}\n"
