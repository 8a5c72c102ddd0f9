"""deploy/config/*.toml name every option of the processes, with its meaning and its default."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import metadata.config
import router.config
import storage_node.config
from server.runtime.config import load

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "config"
CONFIGS: dict[str, type[Any]] = {
    "router": router.config.Config,
    "storage_node": storage_node.config.Config,
    "metadata": metadata.config.Config,
}
_COMMENTED_OPTION = re.compile(r"^# (?=[a-z_]+ = )", re.MULTILINE)

pytestmark = pytest.mark.parametrize("name", CONFIGS)


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def required_options(config: type[Any]) -> set[str]:
    return {field.name for field in dataclasses.fields(config) if field.default is dataclasses.MISSING}


def test_every_option_is_there_and_no_other(name: str) -> None:
    """In the order in which `--help` lists them; those that must be given are set, the rest is commented out."""
    config = CONFIGS[name]
    every = tomllib.loads(_COMMENTED_OPTION.sub("", text_of(name)))
    assert list(every) == [field.name for field in dataclasses.fields(config)]
    assert set(tomllib.loads(text_of(name))) == required_options(config)


def test_what_is_commented_out_is_the_default(name: str) -> None:
    """The file as it is, and the file with every comment taken away, mean the same process."""
    config = CONFIGS[name]
    every = tomllib.loads(_COMMENTED_OPTION.sub("", text_of(name)))
    for field in dataclasses.fields(config):
        if field.name not in required_options(config):
            assert every[field.name] == field.default, field.name


def test_the_process_takes_the_file(name: str, tmp_path: Path) -> None:
    """As it is, and with every option set."""
    plain = FOLDER / f"{name}.toml"
    full = tmp_path / "full.toml"
    full.write_text(_COMMENTED_OPTION.sub("", text_of(name)), encoding="utf-8")
    assert load(CONFIGS[name], ["--config", str(plain)], {}) == load(CONFIGS[name], [], {"STATOR_CONFIG": str(full)})


def test_the_meaning_stands_above_each_option(name: str) -> None:
    """In the words of `--help`, so that the two cannot part."""
    comments: list[str] = []
    meanings: dict[str, str] = {}
    for line in text_of(name).splitlines():
        option = re.match(r"(?:# )?([a-z_]+) = ", line)
        if option is not None:
            meanings[option[1]] = " ".join(comments).lower()
        elif line.startswith("#"):
            comments.append(line.removeprefix("#").strip())
        else:
            comments = []
    for field in dataclasses.fields(CONFIGS[name]):
        assert field.metadata["help"].lower() in meanings[field.name], field.name
