"""A Docker engine in this process's namespaces, and the services of compose.yaml in it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.deploy.compose import copy_context
from tests.deploy.cycle.machine import CGROUP, SkipError, environment

PROJECT = "stator"
READY_S_MAX = 90.0
_ENGINE_S_MAX = 30.0
_TIMEOUT_S = 120.0
_BUILD_TIMEOUT_S = 240.0
_POLL_S = 0.2
_LOG_LINES = 15


class Engine:
    """`docker` and `docker-compose`, spoken to through a socket in `work`; all of its data lies there, too."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._environment = {**environment(), "DOCKER_HOST": f"unix://{work}/docker.sock", "DOCKER_BUILDKIT": "1"}
        self._environment |= {"COMPOSE_DOCKER_CLI_BUILD": "1", "DOCKER_CONFIG": str(work / "client")}

    def start(self) -> None:
        """Returns once it answers. Raises SkipError where it does not begin: that is the machine's doing."""
        settings = {
            "data-root": f"{self._work}/data",
            "exec-root": f"{self._work}/exec",
            "pidfile": f"{self._work}/dockerd.pid",
            "hosts": [f"unix://{self._work}/docker.sock"],
            "deprecated-key-path": f"{self._work}/key.json",
            "cgroup-parent": f"/{CGROUP}",
            # For benchmarks of networks, so that no host's address is meant by chance.
            "bip": "198.18.0.1/24",
            "default-address-pools": [{"base": "198.19.0.0/16", "size": 24}],
        }
        (self._work / "daemon.json").write_text(json.dumps(settings), encoding="utf-8")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, env=self._environment, timeout=_TIMEOUT_S)
        log = self._work / "dockerd.log"
        with log.open("wb") as file:
            engine = subprocess.Popen(
                ["dockerd", "--config-file", f"{self._work}/daemon.json"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        deadline = time.monotonic() + _ENGINE_S_MAX
        while self._run(["docker", "version"], {}, _TIMEOUT_S).returncode != 0:
            if engine.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
                raise SkipError(f"no Docker engine starts here: {' '.join(last)}")
            time.sleep(_POLL_S)

    def docker(self, *arguments: str, stdin: str = "", timeout_s: float = _TIMEOUT_S) -> str:
        """Its output. Raises AssertionError with what it printed if it fails."""
        return self._checked(["docker", *arguments], {}, timeout_s, stdin)

    def compose_version(self) -> str:
        return self._checked(["docker-compose", "version", "--short"], {}, _TIMEOUT_S).strip().removeprefix("v")

    def compose(
        self, file: Path, *arguments: str, environ: Mapping[str, str] | None = None, timeout_s: float = _TIMEOUT_S
    ) -> str:
        """Its output. Raises AssertionError with what it printed if it fails."""
        command = ["docker-compose", "--project-name", PROJECT, "--file", str(file), *arguments]
        return self._checked(command, environ or {}, timeout_s)

    def _checked(self, command: Sequence[str], environ: Mapping[str, str], timeout_s: float, stdin: str = "") -> str:
        done = self._run(command, environ, timeout_s, stdin)
        assert done.returncode == 0, (
            f"{' '.join(command)}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
        return done.stdout

    def _run(
        self, command: Sequence[str], environ: Mapping[str, str], timeout_s: float, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env={**self._environment, **environ},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )


def without_name(text: str) -> str:
    """compose.yaml for Compose 1, which does not know the project's name there."""
    return re.sub(r"^name: .*\n", "", text, flags=re.MULTILINE)


class Services:
    """The services of compose.yaml, by their names there."""

    def __init__(self, engine: Engine, source: Path) -> None:
        """Copies what an image is built from into `source`."""
        self._engine = engine
        self._file = source / "deploy" / "compose.yaml"
        copy_context(source)
        if engine.compose_version().startswith("1."):
            self._file.write_text(without_name(self._file.read_text(encoding="utf-8")), encoding="utf-8")

    def build(self) -> None:
        self._engine.compose(self._file, "build", timeout_s=_BUILD_TIMEOUT_S)

    def up(self, environ: Mapping[str, str]) -> None:
        """Returns once every service is healthy."""
        self._engine.compose(self._file, "up", "--detach", environ=environ, timeout_s=READY_S_MAX)
        self.wait_healthy()

    def replace(self, name: str) -> None:
        """A new container in place of a service's, as an update makes it; returns once it is healthy."""
        before = self.container(name)
        self._engine.compose(self._file, "up", "--detach", "--no-deps", "--force-recreate", name)
        assert self.container(name) != before, f"{name} was not replaced"
        self.wait_healthy()

    def stop(self) -> dict[str, int]:
        """Exit codes by service, once all have ended."""
        self._engine.compose(self._file, "stop")
        return {name: int(state["ExitCode"]) for name, state in self.states().items()}

    def down(self, *arguments: str) -> None:
        """Nothing of them is left, but their volumes."""
        self._engine.compose(self._file, "down", *arguments)
        assert not self.states()

    def volumes(self) -> list[str]:
        return self._engine.docker("volume", "ls", "--quiet").split()

    def container(self, name: str) -> str:
        return str(self.inspected()[name]["Id"])

    def zone(self, zone: str) -> list[str]:
        """The services of a zone."""
        found = self.inspected().items()
        return [name for name, each in found if each["Config"]["Labels"]["stator.zone"] == zone]

    def disconnect(self, names: Sequence[str]) -> None:
        """Takes services off the network: nothing gets to them or from them, not even among themselves."""
        for name in names:
            self._engine.docker("network", "disconnect", f"{PROJECT}_default", self.container(name))

    def connect(self, names: Sequence[str]) -> None:
        """Back to the network, under their names."""
        for name in names:
            self._engine.docker("network", "connect", "--alias", name, f"{PROJECT}_default", self.container(name))

    def inspected(self) -> dict[str, dict[str, Any]]:
        """What the engine knows of each container."""
        ids = self._engine.docker("ps", "--all", "--quiet").split()
        found = json.loads(self._engine.docker("inspect", *ids)) if ids else []
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def states(self) -> dict[str, dict[str, Any]]:
        return {name: each["State"] for name, each in self.inspected().items()}

    def listed(self) -> list[dict[str, Any]]:
        """As `stator local status` has processes; in one question, since containers may be about to go."""
        form = '{{.Label "com.docker.compose.service"}} {{.State}} {{.Status}}'
        lines = [line.split(" ", 2) for line in self._engine.docker("ps", "--all", "--format", form).splitlines()]
        return [{"name": name, "state": state, "exit_code": status, "log": "its log"} for name, state, status in lines]

    def restarts(self) -> list[str]:
        """The services that the engine had to start again."""
        return [name for name, each in self.inspected().items() if each["RestartCount"]]

    def wait_healthy(self) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while ill := [name for name, state in self.states().items() if state["Health"]["Status"] != "healthy"]:
            assert time.monotonic() < deadline, f"not healthy: {', '.join(ill)}"
            time.sleep(_POLL_S)

    def logs(self) -> str:
        """The end of each service's log, for a cycle that failed."""
        return self._engine.compose(self._file, "logs", "--no-color", "--tail", str(_LOG_LINES))
