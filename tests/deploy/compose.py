"""deploy/compose.yaml and deploy/Dockerfile, read as far as the tests need them; there need not be any Docker."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import metadata.config
import router.config
import storage_node.config

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
CONFIGS: dict[str, type[Any]] = {
    "metadata": metadata.config.Config,
    "router": router.config.Config,
    "storage_node": storage_node.config.Config,
}
_INTERPOLATION = re.compile(r"\$\{(\w+):-([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Service:
    """One service of compose.yaml. `ports` and `volumes` are as written, `depends_on` names with their conditions."""

    name: str
    module: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    zone: str  # as its label says
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    depends_on: dict[str, str]

    @property
    def grpc_listen(self) -> str:
        return self.environment["STATOR_GRPC_LISTEN" if self.module == "router" else "STATOR_LISTEN"]


def read_document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return document


def read_services(environ: Mapping[str, str]) -> dict[str, Service]:
    """The services as compose would start them with these variables, in the order of the file."""
    services = {}
    for name, content in read_document()["services"].items():
        module, *arguments = content["command"]
        services[name] = Service(
            name=name,
            module=module,
            arguments=tuple(arguments),
            environment={variable: _filled(text, environ) for variable, text in content["environment"].items()},
            zone=content["labels"]["stator.zone"],
            ports=tuple(content.get("ports", ())),
            volumes=tuple(content.get("volumes", ())),
            depends_on={other: how["condition"] for other, how in content.get("depends_on", {}).items()},
        )
    return services


def dockerfile_json(instruction: str) -> list[str]:
    """The command that an instruction of the last stage gives as JSON, continuation lines and options taken away."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = [line for line in text.splitlines() if line.startswith(instruction)]
    command: list[str] = json.loads(line[line.index("[") :])
    return command


def copy_context(target: Path) -> None:
    """Copies what an image is built from, as .dockerignore has it, and deploy/ itself."""
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in (*(line.removeprefix("!") for line in lines if line.startswith("!")), "deploy"):
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)


def _filled(text: str, environ: Mapping[str, str]) -> str:
    """With ${NAME:-default} replaced, as compose does it: the default counts for an empty variable too."""
    return _INTERPOLATION.sub(lambda match: environ.get(match[1]) or match[2], text)
