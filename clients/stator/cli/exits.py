"""Exit codes of the `stator` command, and how errors become one sentence and a code."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from stator.values import Item

OK = 0
REFUSED = 1  # the server said no, or some items failed
USAGE = 2  # the command line or a file it names is wrong
UNREACHABLE = 3  # nothing answered, or not in time
NOT_FOUND = 4  # `stator get`: there is no such item
CONDITION_FAILED = 5  # --if, or an "if" of a transaction, did not hold, and nothing was written
MACHINE = 6  # `stator gameday`: this machine cannot do what the scenario needs
CONFLICT = 7  # a transaction, or another write, was at work on the item each time: it may be run again
INTERRUPTED = 130  # Ctrl-C

HELP = (
    "Exit codes: 0 ok; 1 refused, or some items failed; 2 wrong usage; 3 no answer; 4 no such item; "
    "5 the condition did not hold; 6 this machine cannot do it; 7 others were at work on the item, try again; "
    "130 interrupted."
)


class UsageError(Exception):
    """The command line, or a file it names, is wrong. `str(error)` says what to do."""


def fail(sentence: str, code: int) -> NoReturn:
    """Ends the command with a sentence on stderr."""
    print(f"error: {sentence}", file=sys.stderr)
    raise SystemExit(code)


def leave(code: int) -> NoReturn:
    """Ends the process at once: Python's own way to end fails while a thread waits for the standard input."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def discard_output() -> None:
    """After the reader of our output (`head`) went away: what is still buffered must not be written at exit either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def found_item(item: "Item | None") -> str:
    """What a condition did not hold for."""
    from stator.cli.output import to_json

    return f"the item is {to_json(dict(sorted(item.items())))}" if item else "there is no such item"


@contextlib.contextmanager
def expected_errors() -> Iterator[None]:
    """Turns errors that can be expected into a sentence and an exit code; bugs keep their traceback."""
    from stator.errors import (
        ConditionalCheckFailedError,
        DeadlineExceededError,
        StatorError,
        UnavailableError,
        is_conflict,
    )
    from stator.local.errors import LocalClusterError, NotRunningError, UnknownProcessError

    try:
        yield
    except (UsageError, UnknownProcessError) as error:
        fail(str(error), USAGE)
    except NotRunningError as error:
        fail(str(error), UNREACHABLE)
    except LocalClusterError as error:
        fail(str(error), REFUSED)
    except (UnavailableError, DeadlineExceededError) as error:
        fail(error.message, UNREACHABLE)
    except ConditionalCheckFailedError as error:
        fail(f"the condition does not hold: {found_item(error.item)}.", CONDITION_FAILED)
    except StatorError as error:
        fail(f"{error.message} ({error.code})", CONFLICT if is_conflict(error) else REFUSED)
    except UnicodeEncodeError:
        # Half a surrogate pair stands for a byte of the command line that is no UTF-8.
        fail("the command line is not UTF-8 text.", USAGE)
    except (TypeError, ValueError) as error:
        if not getattr(error, "__notes__", None):
            raise
        fail(str(error), USAGE)
    except BrokenPipeError:
        discard_output()
        raise SystemExit(OK) from None
