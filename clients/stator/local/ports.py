"""Finding out whether ports are free, and choosing free ones. Loopback only.

That nobody listens on a port does not mean that nobody is about to: a cluster chooses its ports some seconds before its
last process listens, and while one of them is restarted nobody listens on its. So whoever has chosen a port keeps it,
by an abstract socket of that name (Linux has them; elsewhere two clusters that start at once may choose the same port,
and one of them says so and ends).
"""

import errno
import random
import socket
import sys
from collections.abc import Container, Sequence
from types import TracebackType

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


class Ports:
    """Chooses ports and keeps them until it is closed: another cluster on this machine takes none of them meanwhile."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._kept: dict[int, socket.socket | None] = {}

    def __enter__(self) -> "Ports":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of all of them."""
        for mark in self._kept.values():
            if mark is not None:
                mark.close()
        self._kept.clear()

    def choose_free(self, count: int, taken: Container[int] = ()) -> list[int]:
        """`count` different free ports between 20000 and 29999, none of them in `taken`. Raises PortInUseError."""
        chosen: list[int] = []
        for _ in range(_TRIES_MAX):
            if len(chosen) == count:
                break
            port = self._rng.randint(INTERNAL_PORT_MIN, INTERNAL_PORT_MAX)
            if port not in taken and port not in self._kept and self._keep(port):
                chosen.append(port)
        if len(chosen) < count:
            raise PortInUseError(
                f"No {count} free ports were found between {INTERNAL_PORT_MIN} and {INTERNAL_PORT_MAX}."
            )
        return chosen

    def doors(self, first: int, flag: str, before: Sequence[int] = ()) -> list[int]:
        """The three ports of one door: `first` and the next two, or any free ones when `first` is 0: those that it had
        `before`, where they were so chosen, too, and are still free.

        Raises PortInUseError, which names the first port that is in use and the `flag` that moves it.
        """
        if first == 0:
            chosen = {
                zone: port
                for zone, port in zip(ZONES, before, strict=False)
                if INTERNAL_PORT_MIN <= port <= INTERNAL_PORT_MAX
            }
            ports_of = self.internal(ZONES, chosen)
            return [ports_of[zone] for zone in ZONES]
        ports = list(range(first, first + len(ZONES)))
        in_use = [port for port in ports if not self._keep(port)]
        if in_use:
            raise PortInUseError(
                f"Port {in_use[0]} is in use by another program. Stop it, or choose three other ports with "
                f"{flag} FIRST ({flag} 0 takes any free ones)."
            )
        return ports

    def internal(self, names: Sequence[str], before: dict[str, int]) -> dict[str, int]:
        """A free port for each name; the one it had before where that is still free."""
        kept = {
            name: before[name]
            for name in names
            if name in before and before[name] not in self._kept and self._keep(before[name])
        }
        missing = [name for name in names if name not in kept]
        chosen = self.choose_free(len(missing), set(before.values()))
        return kept | dict(zip(missing, chosen, strict=True))

    def _keep(self, port: int) -> bool:
        """Whether the port was free; now it is kept."""
        mark = None
        if sys.platform == "linux":
            try:
                mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                mark.bind(f"\0stator port {port}")
            except OSError as error:
                if mark is not None:
                    mark.close()
                if error.errno == errno.EADDRINUSE:
                    return False
                mark = None  # some sandboxes forbid it
        if not is_free(port):
            if mark is not None:
                mark.close()
            return False
        self._kept[port] = mark
        return True
