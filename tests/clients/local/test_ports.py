"""Ports: free ones are found, taken ones are named."""

import random
import socket

import pytest
from stator.local.errors import PortInUseError
from stator.local.ports import INTERNAL_PORT_MAX, INTERNAL_PORT_MIN, choose_free, door_ports, internal_ports, is_free


def test_a_port_in_use_is_named_with_its_flag() -> None:
    """The error says which port, and which flag moves it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(PortInUseError, match=rf"Port {port} .*--http-port"):
            door_ports(port, "--http-port", (), random.Random(1))


def test_chosen_ports_differ_and_are_free() -> None:
    """They lie in the range, none twice, none that is taken."""
    chosen = choose_free(20, (), random.Random(1))
    assert len(set(chosen)) == 20
    assert all(INTERNAL_PORT_MIN <= port <= INTERNAL_PORT_MAX and is_free(port) for port in chosen)
    again = choose_free(20, set(chosen), random.Random(1))
    assert not set(again) & set(chosen)
    with pytest.raises(PortInUseError, match="free ports"):
        choose_free(1, range(65_536), random.Random(1))


def test_ports_are_kept_where_they_are_still_free() -> None:
    """A restart finds the processes where they were; only what is taken meanwhile moves."""
    rng = random.Random(2)
    before = internal_ports(["a", "b", "c"], {}, set(), rng)
    assert internal_ports(["a", "b", "c"], before, set(), rng) == before
    with socket.create_server(("127.0.0.1", before["a"])):
        after = internal_ports(["a", "b", "c"], before, {before["b"]}, rng)
    assert after["c"] == before["c"]
    assert len({*after.values(), before["a"], before["b"]}) == 5


def test_doors_take_three_ports_in_a_row_or_any() -> None:
    """0 means any free ones."""
    assert len(set(door_ports(0, "--http-port", (), random.Random(3)))) == 3
