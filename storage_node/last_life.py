"""Whether the last life of this process ended by a fatal signal, and whether it was the B-tree that ended it.

LMDB trusts its pages: of some that are damaged it makes an assertion that fails (SIGABRT), or an address where nothing
is (SIGSEGV, SIGBUS, the latter also where the disk cannot read what is mapped). No exception is raised then, and the
next life would end in the same way. So each life leaves a note when it ends like that, and the next one has another
process read the whole B-tree first.
"""

from __future__ import annotations

import faulthandler
import signal
import subprocess
import sys
from pathlib import Path

import structlog

from server.runtime.lifecycle import EXIT_DAMAGED

_SIGNALS_OF_DAMAGE = (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS)
_NOTE_CHARS_SHOWN = 4000

log = structlog.get_logger()


class LastLife:
    """Of the process whose data folder is `directory`; `btree`: of its B-tree."""

    def __init__(self, directory: Path, btree: Path) -> None:
        self._note = directory / "fatal-signal.txt"
        self._btree = btree

    def watch(self) -> None:
        """From now on a fatal signal leaves a note, where there is room for one. Once a process."""
        try:
            # Appended to: what is in it has not been looked at yet. Stays open for as long as the process lives.
            file = self._note.open("a", encoding="utf-8")
        except OSError as error:
            log.warning("a fatal signal will leave no note", reason=str(error))
            return
        faulthandler.enable(file)

    def note(self) -> str:
        """What the last life left: what each thread was at. Empty if it did not end by a fatal signal. Raises
        OSError."""
        if not self._note.exists():
            return ""
        return self._note.read_text(encoding="utf-8", errors="replace")[:_NOTE_CHARS_SHOWN]

    def damage(self) -> str:
        """What another process finds wrong with the B-tree, which nobody may have open; empty: nothing. Blocks for as
        long as it takes to read all of it. What cannot be looked at counts as whole. Raises OSError."""
        if not self._btree.exists():
            return ""
        command = [sys.executable, "-m", "storage_node.btree_check", str(self._btree)]
        check = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if check.returncode in _SIGNALS_OF_DAMAGE:
            return f"who reads it ends by {signal.Signals(-check.returncode).name}"
        if check.returncode == EXIT_DAMAGED:
            return check.stdout.strip()
        if check.returncode:
            log.error("the B-tree could not be checked", exit_code=check.returncode, reason=check.stderr[-500:])
        else:
            log.info("all of the B-tree can be read")
        return ""

    def settle(self) -> None:
        """What the note told of has been dealt with. Raises OSError."""
        if self._note.exists():
            with self._note.open("r+b") as file:  # the same file: `watch` has it open
                file.truncate(0)
