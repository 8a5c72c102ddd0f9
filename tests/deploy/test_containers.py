"""Three zones as compose.yaml starts them, but without containers: the installed wheel in the layout of the image.

Only addresses and folders differ, as all processes share one machine here: a service's host name becomes `localhost`
with a port of its own.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import stator
from stator.local.ports import Ports

from tests.deploy.compose import Service, copy_context, dockerfile_json, read_services
from tests.packaging.wheel import build_wheel, clean_environment, make_environment

pytestmark = pytest.mark.cluster

DATA = "/var/lib/stator"
READY_S = 30.0
STOP_S = 15.0
EXIT_DAMAGED = 3
_POLL_S = 0.1


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Dockerfile makes of /opt/stator: the wheel of what .dockerignore lets through, and a link."""
    context = tmp_path_factory.mktemp("context")
    copy_context(context)
    installed = tmp_path_factory.mktemp("opt") / "stator"
    make_environment(installed, build_wheel(context, tmp_path_factory.mktemp("wheel")))
    (services,) = installed.glob("lib/python*/site-packages/stator/_services")
    (installed / "services").symlink_to(services)
    return installed


class Containers:
    """The services of compose.yaml as plain processes."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self._folder = folder
        services = read_services({})
        names = [*services, *(f"{name}/http" for name, service in services.items() if service.ports)]
        self._kept_ports = Ports(random.Random())
        self._ports = dict(zip(names, self._kept_ports.choose_free(len(names)), strict=True))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def address(self, name: str) -> str:
        """Where others reach a service's gRPC."""
        return f"localhost:{self._ports[name]}"

    def up(self, environ: Mapping[str, str]) -> None:
        """Starts every service once those that it depends on are healthy, and waits until all are."""
        waiting = list(read_services(environ).values())
        healthy: set[str] = set()
        while waiting:
            # All at once that can be: metadata processes are healthy only when a majority of them runs.
            now = [service for service in waiting if healthy.issuperset(service.depends_on)]
            assert now, f"{[service.name for service in waiting]} wait for each other"
            for service in now:
                self.start(service)
            for service in now:
                self._wait_healthy(service)
                healthy.add(service.name)
                waiting.remove(service)

    def start(self, service: Service) -> subprocess.Popen[bytes]:
        environment = self._environment() | {
            variable: self._here(service, text) for variable, text in service.environment.items()
        }
        folder = self._folder / service.name
        folder.mkdir(exist_ok=True)
        command = [*dockerfile_json("ENTRYPOINT"), service.module, *service.arguments]
        with (self._folder / f"{service.name}.log").open("ab") as log:
            process = subprocess.Popen(self._with_program(command), cwd=folder, env=environment, stdout=log, stderr=log)
        self._running[service.name] = process
        return process

    def down(self) -> dict[str, int]:
        """Tells every process to end as `docker stop` does, routers first; their exit codes."""
        for process in reversed(self._running.values()):
            process.terminate()
        codes = {name: process.wait(STOP_S) for name, process in self._running.items()}
        self._running = {}
        return codes

    def kill(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()
        self._kept_ports.close()

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def _wait_healthy(self, service: Service) -> None:
        """Runs the image's own health check until it succeeds."""
        check = [part.replace("127.0.0.1:9000", f"127.0.0.1:{self._ports[service.name]}") for part in _HEALTH_CHECK]
        deadline = time.monotonic() + READY_S
        while True:
            done = subprocess.run(
                self._with_program(check), env=self._environment(), capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return
            assert self._running[service.name].poll() is None, self.log(service.name)
            assert time.monotonic() < deadline, f"{done.stderr}\n{self.log(service.name)}"
            time.sleep(_POLL_S)

    def _environment(self) -> dict[str, str]:
        """What the Dockerfile's ENV sets."""
        return clean_environment() | {
            "PATH": f"{self._image / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(self._image / "services"),
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _with_program(self, command: list[str]) -> list[str]:
        """The first word looked up on the image's PATH, not on this process's."""
        return [str(self._image / "bin" / command[0]), *command[1:]]

    def _here(self, service: Service, text: str) -> str:
        """A variable of compose.yaml with the addresses and folders of this machine."""
        text = text.replace(DATA, str(self._folder / service.name))
        text = text.replace("0.0.0.0:8000", f"127.0.0.1:{self._ports.get(f'{service.name}/http', 0)}")
        text = text.replace("0.0.0.0:9000", f"127.0.0.1:{self._ports[service.name]}")
        return re.sub(r"\b((?:metadata|storage)-\d):9000", lambda match: self.address(match[1]), text)


_HEALTH_CHECK = dockerfile_json("HEALTHCHECK")


@contextmanager
def containers(image: Path, folder: Path) -> Iterator[Containers]:
    """None of their processes is left afterwards, whatever happens."""
    made = Containers(image, folder)
    try:
        yield made
    finally:
        made.kill()


def test_three_zones_start_serve_and_start_again(image: Path, tmp_path: Path) -> None:
    """With STATOR_BOOTSTRAP the first time and without ever after; what was written is there; SIGTERM ends cleanly."""
    with containers(image, tmp_path) as cluster:
        cluster.up({"STATOR_BOOTSTRAP": "true"})
        routers = [cluster.address(f"router-{number}") for number in (1, 2, 3)]
        with stator.Client(routers[:1]) as client:
            client.create_table("music", ("artist", "S"), partitions=3)
            client.wait_until_table_active("music")
            addresses = {node.name: node.address for node in client.describe_cluster().nodes if node.role == "storage"}
        assert addresses == {name: cluster.address(name) for name in ("storage-1", "storage-2", "storage-3")}
        for number, router in enumerate(routers):
            with stator.Client([router]) as client:
                client.put_item("music", {"artist": f"artist {number}", "number": number})
        assert set(cluster.down().values()) == {0}

        cluster.up({})
        for router in routers:
            with stator.Client([router]) as client:
                for number in range(3):
                    item = client.get_item("music", {"artist": f"artist {number}"}, consistent_read=True)
                    assert item == {"artist": f"artist {number}", "number": number}
        assert set(cluster.down().values()) == {0}


def test_an_empty_volume_is_refused_unless_the_cluster_is_new(image: Path, tmp_path: Path) -> None:
    """A member that has lost its disk must not vote as if nothing had happened; the log says so in a sentence."""
    with containers(image, tmp_path) as cluster:
        process = cluster.start(read_services({})["metadata-1"])
        assert process.wait(READY_S) == EXIT_DAMAGED
        assert "is empty, but the cluster exists already" in cluster.log("metadata-1")
