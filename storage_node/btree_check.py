"""Reads a whole B-tree: `python -m storage_node.btree_check DIR`.

Exits with 0 if all of it can be read, with 3 and a sentence if not; or ends by the signal that a damaged page leads to,
which is why this is a process of its own. Says nothing of single values: those have checksums, and are looked at where
they are used.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import lmdb

from server.runtime.lifecycle import EXIT_DAMAGED

_DATABASES_MAX = 8


def check(directory: str) -> str:
    """What is wrong with the B-tree; empty: nothing."""
    try:
        with lmdb.open(directory, readonly=True, lock=False, create=False, max_dbs=_DATABASES_MAX) as env:
            with env.begin() as txn:
                names = list(txn.cursor().iternext(values=False))
            findings = [_check_database(env, name) for name in names]
    except lmdb.Error as error:
        return str(error)
    return "; ".join(filter(None, findings))


def _check_database(env: Any, name: bytes) -> str:
    database = env.open_db(name, create=False)
    with env.begin() as txn:
        entries = txn.stat(database)["entries"]
        # Values are copied, so that every page is read. Damaged pages may lead in a circle.
        found = sum(1 for _ in itertools.islice(txn.cursor(database).iternext(), entries + 1))
    return "" if found == entries else f"{name.decode()} has not the {entries} entries that it should have"


if __name__ == "__main__":
    finding = check(sys.argv[1])
    sys.stdout.write(f"{finding}\n")
    sys.exit(EXIT_DAMAGED if finding else 0)
