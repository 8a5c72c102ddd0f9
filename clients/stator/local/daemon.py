"""The supervisor as a process of its own: what `stator local up --detach` leaves behind.

It reports its start as JSON lines on an inherited pipe, which it closes once the cluster is ready or has failed.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from stator.local.errors import LocalClusterError, StartFailedError
from stator.local.folder import DataFolder
from stator.local.layout import ClusterOptions
from stator.local.supervisor import ClusterReady, ClusterStopping, Event, ProcessDied, StateChanged, Supervisor

_EVENTS: dict[str, Callable[..., Event]] = {
    kind.__name__: kind for kind in (StateChanged, ProcessDied, ClusterReady, ClusterStopping)
}


async def supervise(options: ClusterOptions, on_event: Callable[[Event], None], *, is_daemon: bool = False) -> None:
    """Runs the cluster here until Ctrl-C, SIGTERM, SIGHUP or `stator local down`. Raises LocalClusterError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    try:
        await Supervisor(options, os.environ, on_event, is_daemon=is_daemon).run(stop)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


def start_detached(options: ClusterOptions) -> Iterator[Event]:
    """Starts the cluster under a supervisor that outlives this process; yields what happens, at last ClusterReady.

    Raises LocalClusterError if the cluster does not start. If the caller is interrupted before it is ready, it stops.
    """
    folder = DataFolder(options.data)
    folder.prepare()
    read_end, write_end = os.pipe()
    line = [sys.executable, "-m", "stator.local.daemon", _dump_options(options), str(write_end)]
    with folder.log_path("supervisor").open("ab", buffering=0) as log:
        daemon = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(write_end,), start_new_session=True
        )
    os.close(write_end)
    try:
        with os.fdopen(read_end, encoding="utf-8") as report:
            yield from _read_report(report)
    except BaseException:
        # It failed, and is ending; or the caller was interrupted, and it must.
        daemon.terminate()
        daemon.wait()
        raise
    # It lives on; this process shall not warn that it left a child behind.
    daemon.returncode = 0


def _read_report(report: IO[str]) -> Iterator[Event]:
    for text in report:
        document = json.loads(text)
        kind = document.pop("event")
        if kind == "failed":
            raise LocalClusterError(document["sentence"])
        event = _EVENTS[kind](**{k: tuple(v) if isinstance(v, list) else v for k, v in document.items()})
        yield event
        if isinstance(event, ClusterReady):
            return
    raise StartFailedError("The supervisor ended before the cluster was ready; its log tells why: logs/supervisor.log.")


class _Report:
    """The writing end of the pipe; events after the start go to the log."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._pipe: IO[str] | None = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)

    def event(self, event: Event) -> None:
        self._write({"event": type(event).__name__, **asdict(event)})
        if isinstance(event, ClusterReady):
            self.close()

    def failure(self, sentence: str) -> None:
        self._write({"event": "failed", "sentence": sentence})
        self.close()

    def close(self) -> None:
        if self._pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                self._pipe.close()
            self._pipe = None

    def _write(self, document: Mapping[str, Any]) -> None:
        line = json.dumps(document) + "\n"
        sys.stderr.write(line)
        if self._pipe is not None:
            try:
                self._pipe.write(line)
            except BrokenPipeError:
                # Whoever started this cluster is gone; the cluster stays.
                self.close()


def _dump_options(options: ClusterOptions) -> str:
    return json.dumps({**asdict(options), "data": str(options.data)})


def _load_options(text: str) -> ClusterOptions:
    document = json.loads(text)
    return ClusterOptions(**{**document, "data": Path(document["data"])})


def main(arguments: list[str]) -> int:
    """Entry point of the detached process: options as JSON, and the number of the report's pipe."""
    report = _Report(int(arguments[1]))
    try:
        asyncio.run(supervise(_load_options(arguments[0]), report.event, is_daemon=True))
    except LocalClusterError as error:
        report.failure(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
