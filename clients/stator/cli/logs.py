"""Showing and following the logs of a local cluster."""

import sys
import time
from pathlib import Path

from stator.cli.exits import UsageError
from stator.local.child import tail
from stator.local.folder import DataFolder

_POLL_S = 0.2
_CHUNK_BYTES = 64 * 1024


def show_logs(folder: DataFolder, name: str, *, lines_max: int, is_following: bool) -> None:
    """Prints the end of one log or of all; goes on with what is appended when `is_following`. Raises UsageError."""
    folder.read()
    known = {path.stem: path for path in sorted(folder.log_folder.glob("*.log"))}
    if name != "all" and name not in known:
        raise UsageError(f"There is no log {name!r}. There are: {', '.join(known) or 'none yet'}.")
    chosen = known if name == "all" else {name: known[name]}
    prefix_width = max(len(n) for n in chosen) if len(chosen) > 1 else 0
    followers = [_Follower(n if prefix_width else "", prefix_width, path) for n, path in chosen.items()]
    for follower in followers:
        follower.show_tail(lines_max)
    while is_following:
        sys.stdout.flush()
        time.sleep(_POLL_S)
        for follower in followers:
            follower.show_news()


class _Follower:
    """One log file; begins again when the file is replaced or cut."""

    def __init__(self, label: str, width: int, path: Path) -> None:
        self._prefix = f"{label:<{width}} | " if label else ""
        self._path = path
        self._inode = 0
        self._position = 0
        self._partial = b""

    def show_tail(self, lines_max: int) -> None:
        status = self._path.stat()
        self._inode, self._position = status.st_ino, status.st_size
        for line in tail(self._path, lines_max):
            print(self._prefix + line)

    def show_news(self) -> None:
        if not self._path.exists():
            return
        status = self._path.stat()
        if status.st_ino != self._inode or status.st_size < self._position:
            self._inode, self._position, self._partial = status.st_ino, 0, b""
        with self._path.open("rb") as file:
            file.seek(self._position)
            while chunk := file.read(_CHUNK_BYTES):
                self._position += len(chunk)
                *lines, self._partial = (self._partial + chunk).split(b"\n")
                for line in lines:
                    print(self._prefix + line.decode("utf-8", "replace"))
