"""Configuration of a process: one frozen object, from defaults, a TOML file, the environment and flags, in that order.

A configuration class is a frozen dataclass of str, int, float, bool and tuple[str, ...] fields, each with a help text
in its metadata, and a method `problems() -> list[str]`.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, get_type_hints

ENVIRONMENT_PREFIX = "STATOR_"
EXIT_CONFIGURATION = 2


class ConfigError(Exception):
    """The configuration cannot be used; one sentence a problem."""


class HelpRequested(Exception):  # noqa: N818 (not an error)
    """`--help` was given; the text is the argument."""


class _Config(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def problems(self) -> list[str]: ...


T = TypeVar("T", bound=_Config)

_TRUE, _FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off")


def load(cls: type[T], argv: Sequence[str], environ: Mapping[str, str]) -> T:
    """The configuration; raises ConfigError with everything that is wrong, or HelpRequested."""
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    flags = _flags(argv, fields, cls)
    problems: list[str] = []
    values: dict[str, Any] = {}
    path = flags.pop("config", environ.get(ENVIRONMENT_PREFIX + "CONFIG", ""))
    if path:
        values.update(_from_file(path, hints, problems))
    sources = (
        ("the environment variable", {name: environ.get(_variable(name)) for name in fields}),
        ("the flag", {name: flags.get(name) for name in fields}),
    )
    for source, texts in sources:
        for name, text in texts.items():
            if text is not None:
                label = _variable(name) if "environment" in source else _flag(name)
                _parse(name, text, hints[name], f"{source} {label}", values, problems)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values and not problems:
            problems.append(f"{name} is required: give {_flag(name)}, {_variable(name)} or `{name}` in the file.")
    if problems:
        raise ConfigError("\n".join(problems))
    config = cls(**values)
    if found := config.problems():
        raise ConfigError("\n".join(found))
    return config


def load_or_exit(cls: type[T], argv: Sequence[str]) -> T:
    """As `load` with this process's environment; prints what is wrong and exits with code 2, or the help with 0."""
    try:
        return load(cls, argv, os.environ)
    except HelpRequested as request:
        sys.stdout.write(f"{request}\n")
        sys.exit(0)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_CONFIGURATION)


def help_text(cls: type[_Config]) -> str:
    """Every option with its meaning and default."""
    lines = [f"{(cls.__doc__ or '').strip()}", "", "Options (file key, environment variable and flag are one name):"]
    lines.append("  --config FILE  a TOML file with any of the options below")
    for field in dataclasses.fields(cls):
        default = "required" if field.default is dataclasses.MISSING else f"default: {_show(field.default)}"
        lines.append(f"  {_flag(field.name)}  {field.metadata.get('help', '')} ({default})")
    return "\n".join(lines)


def _show(value: object) -> str:
    """A default as it would be given on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return (",".join(value) if isinstance(value, tuple) else str(value)) or "empty"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper()


def _flags(argv: Sequence[str], fields: Mapping[str, object], cls: type[_Config]) -> dict[str, str]:
    found: dict[str, str] = {}
    arguments = list(argv)
    while arguments:
        argument = arguments.pop(0)
        if argument in ("--help", "-h"):
            raise HelpRequested(help_text(cls))
        name, equals, value = argument.partition("=")
        key = name[2:].replace("-", "_")
        if not name.startswith("--") or (key not in fields and key != "config"):
            raise ConfigError(f"{name} is not an option; --help lists them all.")
        if not equals:
            if not arguments:
                raise ConfigError(f"{name} needs a value.")
            value = arguments.pop(0)
        found[key] = value
    return found


def _from_file(path: str, hints: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"the file {path} cannot be read: {error.strerror}.")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"the file {path} is not TOML: {error}.")
        return {}
    values: dict[str, Any] = {}
    for name, value in content.items():
        hint = hints.get(name)
        if hint is None:
            problems.append(f"the file {path} has an option {name!r} that is not known.")
        elif isinstance(value, list) and all(isinstance(each, str) for each in value) and hint == tuple[str, ...]:
            values[name] = tuple(value)
        elif hint is float and type(value) in (int, float):
            values[name] = float(value)
        elif isinstance(hint, type) and type(value) is hint:
            values[name] = value
        else:
            problems.append(f"{name} in the file {path} must be {_kind(hint)}, not {value!r}.")
    return values


def _kind(hint: object) -> str:
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return names[hint] if isinstance(hint, type) and hint in names else "a list of texts"


def _parse(name: str, text: str, hint: Any, source: str, values: dict[str, Any], problems: list[str]) -> None:
    if hint is str:
        values[name] = text
    elif hint is bool:
        if text.lower() in _TRUE + _FALSE:
            values[name] = text.lower() in _TRUE
        else:
            problems.append(f"{source} must be true or false, not {text!r}.")
    elif hint in (int, float):
        try:
            values[name] = hint(text)
        except ValueError:
            problems.append(f"{source} must be {_kind(hint)}, not {text!r}.")
    else:
        values[name] = tuple(part.strip() for part in text.split(",") if part.strip())
