"""Ports: free ones are found, taken ones are named."""

import errno
import random
import socket
from collections.abc import Iterator

import pytest
from stator.local.errors import PortInUseError
from stator.local.ports import INTERNAL_PORT_MAX, INTERNAL_PORT_MIN, Ports, is_free

SEED = random.randrange(1 << 32)
"""Not the same in each run: these may run beside one another."""


@pytest.fixture
def ports() -> Iterator[Ports]:
    with Ports(random.Random(SEED)) as ports:
        yield ports


def test_a_port_in_use_is_named_with_its_flag(ports: Ports) -> None:
    """The error says which port, and which flag moves it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(PortInUseError, match=rf"Port {port} .*--http-port"):
            ports.doors(port, "--http-port")


def test_chosen_ports_differ_and_are_free(ports: Ports) -> None:
    """They lie in the range, none twice, none that is taken."""
    chosen = ports.choose_free(20)
    assert len(set(chosen)) == 20
    assert all(INTERNAL_PORT_MIN <= port <= INTERNAL_PORT_MAX and is_free(port) for port in chosen)
    with pytest.raises(PortInUseError, match="free ports"):
        ports.choose_free(1, range(65_536))


def test_what_another_cluster_has_chosen_is_not_free(ports: Ports) -> None:
    """Though nobody listens there yet; until it has ended."""
    chosen = ports.choose_free(20)
    before = dict(zip("abc", chosen, strict=False))
    with Ports(random.Random(SEED)) as others:
        assert not set(others.choose_free(20)) & set(chosen)
        assert not set(others.internal("abc", before).values()) & set(chosen)
        with pytest.raises(PortInUseError, match=f"Port {chosen[0]} "):
            others.doors(chosen[0], "--http-port")
    ports.close()
    with Ports(random.Random(SEED)) as later:
        assert set(later.choose_free(20)) & set(chosen)


def test_a_sandbox_without_abstract_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports are found there as well, though not kept."""

    class Sandboxed(socket.socket):
        def bind(self, address: object) -> None:
            if self.family == socket.AF_UNIX:
                raise PermissionError(errno.EPERM, "Operation not permitted")
            super().bind(address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "socket", Sandboxed)
    with Ports(random.Random(SEED)) as ports, Ports(random.Random(SEED)) as others:
        assert ports.choose_free(5) == others.choose_free(5)
        with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(PortInUseError, match="in use by another"):
            ports.doors(server.getsockname()[1], "--http-port")


def test_ports_are_kept_where_they_are_still_free(ports: Ports) -> None:
    """A restart finds the processes where they were; only what is taken meanwhile moves."""
    before = ports.internal(["a", "b", "c"], {})
    ports.close()
    assert ports.internal(["a", "b", "c"], before) == before
    ports.close()
    with socket.create_server(("127.0.0.1", before["a"])), Ports(random.Random()) as others:
        others.internal(["x"], {"x": before["b"]})
        after = ports.internal(["a", "b", "c"], before)
    assert after["c"] == before["c"]
    assert len({*after.values(), before["a"], before["b"]}) == 5


def test_doors_take_three_ports_in_a_row_or_any(ports: Ports) -> None:
    """0 means any free ones."""
    first = ports.doors(0, "--http-port")
    assert len(set(first)) == 3
    assert not set(first) & set(ports.doors(0, "--grpc-port"))


def test_any_ports_are_those_of_the_last_time(ports: Ports) -> None:
    """Where they are still free, and were any; others that were named are let go of."""
    first = ports.doors(0, "--http-port")
    ports.close()
    assert ports.doors(0, "--http-port", first) == first
    assert not set(ports.doors(0, "--grpc-port", [9000, first[1], 9002])) & {9000, first[1], 9002}
