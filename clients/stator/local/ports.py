"""Finding out whether ports are free, and choosing free ones. Loopback only."""

import contextlib
import random
import socket
from collections.abc import Container, Sequence

from stator.local.errors import PortInUseError
from stator.local.layout import LOOPBACK, ZONES

INTERNAL_PORT_MIN = 20_000
INTERNAL_PORT_MAX = 29_999
_TRIES_MAX = 2_000


def is_free(port: int) -> bool:
    """Whether a process could listen on this port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier run that linger in TIME_WAIT are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def choose_free(count: int, taken: Container[int], rng: random.Random) -> list[int]:
    """`count` different free ports between 20000 and 29999, none of them in `taken`. Raises PortInUseError."""
    with contextlib.ExitStack() as held:
        chosen: list[int] = []
        for _ in range(_TRIES_MAX):
            if len(chosen) == count:
                break
            port = rng.randint(INTERNAL_PORT_MIN, INTERNAL_PORT_MAX)
            if port in taken or port in chosen:
                continue
            # Held until all are chosen, so that two clusters that start together do not choose the same.
            probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            chosen.append(port)
    if len(chosen) < count:
        raise PortInUseError(f"No {count} free ports were found between {INTERNAL_PORT_MIN} and {INTERNAL_PORT_MAX}.")
    return chosen


def door_ports(first: int, flag: str, taken: Container[int], rng: random.Random) -> list[int]:
    """The three ports of one door: `first` and the next two, or any free ones when `first` is 0.

    Raises PortInUseError, which names the first port that is in use and the `flag` that moves it.
    """
    if first == 0:
        return choose_free(len(ZONES), taken, rng)
    ports = list(range(first, first + len(ZONES)))
    in_use = [port for port in ports if not is_free(port)]
    if in_use:
        raise PortInUseError(
            f"Port {in_use[0]} is in use by another program. Stop it, or choose three other ports with "
            f"{flag} FIRST ({flag} 0 takes any free ones)."
        )
    return ports


def internal_ports(names: Sequence[str], before: dict[str, int], taken: set[int], rng: random.Random) -> dict[str, int]:
    """A free port for each name; the one it had before where that is still free."""
    kept = {
        name: before[name] for name in names if name in before and before[name] not in taken and is_free(before[name])
    }
    missing = [name for name in names if name not in kept]
    chosen = choose_free(len(missing), taken | set(kept.values()), rng)
    return kept | dict(zip(missing, chosen, strict=True))
