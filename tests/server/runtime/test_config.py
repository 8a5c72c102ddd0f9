"""Configuration: defaults, file, environment, flags, in that order; and sentences for what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from server.runtime.config import ConfigError, HelpRequested, help_text, load, load_or_exit


@dataclass(frozen=True, slots=True)
class Config:
    """An example of every kind of option."""

    name: str = field(metadata={"help": "who it is"})
    port: int = field(default=7, metadata={"help": "where it listens"})
    ratio: float = field(default=0.5, metadata={"help": "how much"})
    is_new: bool = field(default=False, metadata={"help": "whether it is"})
    peers: tuple[str, ...] = field(default=(), metadata={"help": "who else there is"})

    def problems(self) -> list[str]:
        return [] if self.port > 0 else ["port must be positive.", "and so on."]


@pytest.mark.parametrize(
    ("file", "environ", "argv", "port"),
    [
        ("", {}, [], 7),
        ("port = 1", {}, [], 1),
        ("port = 1", {"STATOR_PORT": "2"}, [], 2),
        ("port = 1", {"STATOR_PORT": "2"}, ["--port", "3"], 3),
        ("port = 1", {}, ["--port", "3"], 3),
        ("", {"STATOR_PORT": "2"}, ["--port=3"], 3),
    ],
)
def test_the_order_of_sources(tmp_path: Path, file: str, environ: dict[str, str], argv: list[str], port: int) -> None:
    """A flag wins over the environment, the environment over the file, the file over the default."""
    path = tmp_path / "config.toml"
    path.write_text(file + '\nname = "file"')
    assert load(Config, [*argv, "--config", str(path)], environ).port == port
    assert load(Config, argv, {**environ, "STATOR_CONFIG": str(path)}).port == port


def test_every_kind_of_value(tmp_path: Path) -> None:
    """The three sources give the same object."""
    expected = Config("n", 5, 2.0, True, ("a:1", "b:2"))
    path = tmp_path / "config.toml"
    path.write_text('name = "n"\nport = 5\nratio = 2\nis_new = true\npeers = ["a:1", "b:2"]')
    assert load(Config, ["--config", str(path)], {}) == expected
    environ = {
        "STATOR_NAME": "n",
        "STATOR_PORT": "5",
        "STATOR_RATIO": "2",
        "STATOR_IS_NEW": "yes",
        "STATOR_PEERS": "a:1, b:2,",
        "STATOR_SOMETHING_ELSE": "of another program",
    }
    assert load(Config, [], environ) == expected
    argv = ["--name", "n", "--port", "5", "--ratio=2.0", "--is-new", "true", "--peers", "a:1,b:2"]
    assert load(Config, argv, {}) == expected
    assert load(Config, ["--name", "n", "--is-new", "off"], {}).is_new is False


@pytest.mark.parametrize(
    ("file", "environ", "argv", "sentence"),
    [
        ("", {}, [], "name is required: give --name, STATOR_NAME or `name` in the file."),
        ("", {}, ["--nane", "x"], "--nane is not an option; --help lists them all."),
        ("", {}, ["name"], "name is not an option; --help lists them all."),
        ("", {}, ["--name"], "--name needs a value."),
        ("", {}, ["--name", "n", "--port", "x"], "the flag --port must be a whole number, not 'x'."),
        (
            "",
            {"STATOR_RATIO": "x"},
            ["--name", "n"],
            "the environment variable STATOR_RATIO must be a number, not 'x'.",
        ),
        ("", {}, ["--name", "n", "--is-new", "x"], "the flag --is-new must be true or false, not 'x'."),
        ("", {}, ["--name", "n", "--port", "0"], "port must be positive.\nand so on."),
        ("nane = 1", {}, ["--name", "n"], "has an option 'nane' that is not known."),
        ("name = 1", {}, [], "must be a text, not 1."),
        ("port = true", {}, ["--name", "n"], "must be a whole number, not True."),
        ('ratio = "1"', {}, ["--name", "n"], "must be a number, not '1'."),
        ("is_new = 1", {}, ["--name", "n"], "must be true or false, not 1."),
        ("peers = [1]", {}, ["--name", "n"], "must be a list of texts, not [1]."),
        ("name = ", {}, [], "is not TOML"),
    ],
)
def test_sentences(tmp_path: Path, file: str, environ: dict[str, str], argv: list[str], sentence: str) -> None:
    """Whatever is wrong is said so that it can be put right."""
    path = tmp_path / "config.toml"
    path.write_text(file)
    with pytest.raises(ConfigError) as raised:
        load(Config, [*argv] if argv[-1:] == ["--name"] else ["--config", str(path), *argv], environ)
    assert sentence in str(raised.value)


def test_all_problems_at_once() -> None:
    """Nobody has to start a process three times to learn of three mistakes."""
    with pytest.raises(ConfigError) as raised:
        load(Config, ["--name", "n", "--port", "x", "--ratio", "y"], {"STATOR_IS_NEW": "z"})
    assert len(str(raised.value).splitlines()) == 3


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is an error: a process never goes on with defaults that nobody meant."""
    with pytest.raises(ConfigError, match=r"nothing\.toml cannot be read: No such file"):
        load(Config, ["--name", "n", "--config", str(tmp_path / "nothing.toml")], {})


def test_help() -> None:
    """Every option with its meaning and default."""
    with pytest.raises(HelpRequested) as raised:
        load(Config, ["--help"], {})
    assert str(raised.value) == help_text(Config)
    for line in (
        "  --name  who it is (required)",
        "  --port  where it listens (default: 7)",
        "  --is-new  whether it is (default: false)",
        "  --peers  who else there is (default: empty)",
    ):
        assert line in help_text(Config).splitlines()


def test_at_the_start_of_a_process(capsys: pytest.CaptureFixture[str]) -> None:
    """Help ends with 0 on standard output, a mistake with 2 on standard error."""
    with pytest.raises(SystemExit) as ended:
        load_or_exit(Config, ["--help"])
    assert ended.value.code == 0
    assert "--port" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        load_or_exit(Config, ["--name", "n", "--port", "x"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "the flag --port must be a whole number, not 'x'.\n"
    assert load_or_exit(Config, ["--name", "n"]).name == "n"
