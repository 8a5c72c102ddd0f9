"""A stand-in for the three services, as small as the supervisor's contract allows: it starts fast and has no data.

It serves health on its gRPC port, ends cleanly on SIGTERM and when its parent is gone, and writes the arguments it was
given to its data folder. `FAKE_<NAME>` in the environment makes one misbehave: "exit:CODE" (at start), "exit-late:CODE"
(when others have long been ready), "never-ready", "behind" (serves and never catches up), "stubborn" (ignores SIGTERM).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio

_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"


def options(arguments: list[str]) -> dict[str, str]:
    """`--name value` pairs."""
    return dict(zip((name.removeprefix("--") for name in arguments[::2]), arguments[1::2], strict=True))


class _Health(grpc.GenericRpcHandler):
    def __init__(self, behaviour: str) -> None:
        self._answer = _NOT_SERVING if behaviour == "never-ready" else _SERVING
        self._is_behind = behaviour == "behind"

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        async def watch(request: bytes, context: object) -> AsyncIterator[bytes]:
            yield _NOT_SERVING if self._is_behind and b"ready" in request else self._answer
            await asyncio.Event().wait()

        is_watch = details.method == "/grpc.health.v1.Health/Watch"
        return grpc.unary_stream_rpc_method_handler(watch) if is_watch else None


async def run(given: dict[str, str], behaviour: str) -> None:
    """Serves until told to end."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, (lambda: None) if behaviour == "stubborn" else ended.set)
    loop.add_reader(int(os.environ["STATOR_PARENT_FD"]), ended.set)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Health(behaviour),))
    server.add_insecure_port(given.get("grpc-listen") or given["listen"])
    await server.start()
    http = None
    if "http-listen" in given:
        host, port = given["http-listen"].split(":")
        http = await asyncio.start_server(lambda reader, writer: writer.close(), host, int(port))
    print(f"{given['name']} serves", flush=True)
    await ended.wait()
    if http is not None:
        http.close()
    await server.stop(0)


def main() -> None:
    """Entry point of all three."""
    given = options(sys.argv[1:])
    behaviour = os.environ.get("FAKE_" + given["name"].replace("-", "_").upper(), "")
    if "data" in given:
        folder = Path(given["data"])
        folder.mkdir(exist_ok=True)
        (folder / "arguments").write_text(" ".join(sys.argv[1:]))
    how, _, code = behaviour.partition(":")
    if how.startswith("exit"):
        if how == "exit-late":
            time.sleep(1)
        print(f"{given['name']} cannot go on", file=sys.stderr, flush=True)
        sys.exit(int(code))
    asyncio.run(run(given, behaviour))
