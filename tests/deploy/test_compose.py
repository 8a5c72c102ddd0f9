"""compose.yaml describes a cluster that the processes accept and that can find itself by host names."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter

import pytest

import metadata.config
from server.runtime.config import load
from tests.deploy.compose import CONFIGS, DEPLOY, dockerfile_json, read_document, read_services

SERVICES = read_services({})
NAMES = sorted(SERVICES)
DATA = "/var/lib/stator"


@pytest.mark.parametrize("bootstrap", ["", "true"])
@pytest.mark.parametrize("name", NAMES)
def test_the_process_accepts_its_command_line_and_environment(name: str, bootstrap: str) -> None:
    """And every variable means something to it: a misspelt one would be passed over in silence."""
    service = read_services({"STATOR_BOOTSTRAP": bootstrap})[name]
    config = CONFIGS[service.module]
    loaded = load(config, service.arguments, service.environment)
    assert loaded.name == name
    options = {variable.removeprefix("STATOR_").lower() for variable in service.environment}
    assert options <= set(config.__dataclass_fields__)
    if isinstance(loaded, metadata.config.Config):
        assert loaded.bootstrap == bool(bootstrap)


def test_every_zone_has_one_of_each() -> None:
    """Three zones, and the label that people select by says what the process is told."""
    zones = [f"zone-{number}" for number in (1, 2, 3)]
    counted = Counter((service.module, service.zone) for service in SERVICES.values())
    assert counted == Counter((module, zone) for module in CONFIGS for zone in zones)
    for service in SERVICES.values():
        assert service.environment["STATOR_ZONE"] == service.zone


def test_the_members_of_the_metadata_group_are_its_services() -> None:
    """Each under its own host name, at the port where it listens, with the id and zone that it is told."""
    members = {
        f"{service.environment['STATOR_NODE_ID']}@{service.zone}={name}:{_port(service.grpc_listen)}"
        for name, service in SERVICES.items()
        if service.module == "metadata"
    }
    for service in SERVICES.values():
        if service.module == "metadata":
            assert set(service.environment["STATOR_MEMBERS"].split(",")) == members
        else:
            addresses = {member.partition("=")[2] for member in members}
            assert set(service.environment["STATOR_METADATA"].split(",")) == addresses


def test_others_reach_a_storage_node_by_its_host_name() -> None:
    """It listens on every address of its container, which nobody could connect to."""
    for name, service in SERVICES.items():
        if service.module == "storage_node":
            assert service.environment["STATOR_ADVERTISE"] == f"{name}:{_port(service.grpc_listen)}"


def test_only_doors_are_published_and_only_on_loopback() -> None:
    """There is no access control yet."""
    published = {port for service in SERVICES.values() for port in service.ports}
    assert published == {f"127.0.0.1:{8000 + n}:8000" for n in range(3)} | {
        f"127.0.0.1:{9000 + n}:9000" for n in range(3)
    }
    for service in SERVICES.values():
        assert bool(service.ports) == (service.module == "router")
        if service.module == "router":
            inside = {port.rpartition(":")[2] for port in service.ports}
            assert inside == {_port(service.environment["STATOR_HTTP_LISTEN"]), _port(service.grpc_listen)}


def test_what_keeps_data_has_a_volume_of_its_own() -> None:
    """Named, so that it outlives the container, at the folder that the process is told."""
    mounted = [volume for service in SERVICES.values() for volume in service.volumes]
    assert sorted(mounted) == sorted(f"{name}:{DATA}" for name, s in SERVICES.items() if s.module != "router")
    assert set(read_document()["volumes"]) == {volume.partition(":")[0] for volume in mounted}
    for service in SERVICES.values():
        assert service.environment.get("STATOR_DATA", "") == (DATA if service.volumes else "")


def test_a_service_waits_for_its_own_zone_only() -> None:
    """For its health, not for its start; and the loss of a zone keeps no other from starting."""
    for service in SERVICES.values():
        assert set(service.depends_on.values()) <= {"service_healthy"}
        assert {SERVICES[other].zone for other in service.depends_on} <= {service.zone}
        assert bool(service.depends_on) == (service.module != "metadata")


def test_one_service_builds_the_image_for_all() -> None:
    """Simultaneous builds under one name fail now and then; and what is in no registry is not asked for there."""
    services = read_document()["services"]
    building = [name for name, content in services.items() if "build" in content]
    assert building == ["metadata-1"]
    folder = (DEPLOY / services["metadata-1"]["build"]["context"]).resolve()
    assert (folder / services["metadata-1"]["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    assert {(content["image"], content["pull_policy"]) for content in services.values()} == {("stator", "never")}


def test_every_container_is_shut_in() -> None:
    """Nothing in it is writable but its volume and /tmp, and it has no more rights than any process."""
    for name, content in read_document()["services"].items():
        assert content["read_only"] is True, name
        assert content["tmpfs"] == ["/tmp"], name
        assert content["cap_drop"] == ["ALL"], name
        assert content["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "user", "network_mode", "pid"} & set(content), name


def test_the_health_check_asks_where_every_service_serves() -> None:
    """One check for the whole image: every service serves gRPC on the same port of its container."""
    python, dash_m, module, address = dockerfile_json("HEALTHCHECK")
    assert (python, dash_m) == ("python", "-m")
    assert importlib.util.find_spec(module) is not None
    host, _, port = address.rpartition(":")
    assert host == "127.0.0.1"
    assert {_port(service.grpc_listen) for service in SERVICES.values()} == {port}


def test_the_image_runs_modules_and_not_as_root() -> None:
    """compose.yaml names the module; the user is a number, which can be checked without the image."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    last_stage = text[text.rindex("\nFROM ") :]
    assert dockerfile_json("ENTRYPOINT") == ["python", "-m"]
    user = re.search(r"^USER (\d+):(\d+)$", last_stage, re.MULTILINE)
    assert user is not None
    assert "0" not in user.groups()
    assert text.count("\nFROM ") == 2
    assert "COPY --from=build" in last_stage


def _port(address: str) -> str:
    return address.rpartition(":")[2]
