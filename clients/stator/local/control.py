"""Talking to a running supervisor: one JSON line each way over TCP on the loopback address."""

import asyncio
import hmac
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from stator.local.errors import LocalClusterError, NotRunningError, UnknownProcessError
from stator.local.folder import DataFolder, SupervisorAddress, data_flag
from stator.local.layout import LOOPBACK

REQUEST_BYTES_MAX = 64 * 1024
_CONNECT_TIMEOUT_S = 2.0

Command = Callable[[str, Sequence[str]], Awaitable[dict[str, Any]]]


class ControlServer:
    """The supervisor's side. `carry_out(command, names)` answers a dictionary or raises LocalClusterError."""

    def __init__(self, token: str, carry_out: Command) -> None:
        self.token = token
        self._carry_out = carry_out
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listens on a free port of the loopback address and returns it."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0, limit=REQUEST_BYTES_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stops listening; answers under way are given first."""
        if self._server is not None:
            self._server.close()
        if self._connections:
            await asyncio.wait(self._connections, timeout=1.0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            answer = await self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (ConnectionError, ValueError):
            # Whoever asked went away, or sent something that is no line: nobody is left to tell.
            return
        finally:
            writer.close()
            self._connections.discard(task)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            token, command, names = str(request["token"]), str(request["command"]), [str(n) for n in request["names"]]
        except (ValueError, KeyError, TypeError):
            return {"error": "This is not a request of `stator local`."}
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            return {"error": "The token is not this cluster's."}
        try:
            return await self._carry_out(command, names)
        except UnknownProcessError as error:
            return {"error": str(error), "is_unknown_process": True}
        except LocalClusterError as error:
            return {"error": str(error)}


def ask(folder: DataFolder, command: str, names: Sequence[str] = (), *, timeout_s: float = 30.0) -> dict[str, Any]:
    """Sends one command to the supervisor of the cluster in `folder` and returns its answer.

    Raises NotRunningError when no supervisor answers, UnknownProcessError for a wrong name, LocalClusterError when it
    refuses.
    """
    address = folder.read().supervisor
    not_running = NotRunningError(
        f"The cluster in {folder.path} is not running: start it with `stator local up{data_flag(folder.path)}`."
    )
    if address is None:
        raise not_running
    try:
        answer = _converse(address, command, names, timeout_s)
    except TimeoutError as error:
        raise LocalClusterError(
            f"The supervisor (pid {address.pid}) has not answered `{command}` within {timeout_s:g} s; "
            f"see {folder.log_path('supervisor')}."
        ) from error
    except (OSError, ValueError) as error:
        raise not_running from error
    if answer.get("is_unknown_process"):
        raise UnknownProcessError(str(answer["error"]))
    if "error" in answer:
        raise LocalClusterError(str(answer["error"]))
    return answer


def _converse(address: SupervisorAddress, command: str, names: Sequence[str], timeout_s: float) -> dict[str, Any]:
    request = json.dumps({"token": address.token, "command": command, "names": list(names)}).encode() + b"\n"
    with socket.create_connection((LOOPBACK, address.control_port), timeout=_CONNECT_TIMEOUT_S) as connection:
        connection.settimeout(timeout_s)
        connection.sendall(request)
        with connection.makefile("rb") as lines:
            answer = json.loads(lines.readline())
    if not isinstance(answer, dict):
        raise ValueError("the answer is not a JSON object")
    return answer
