"""Which replicas' state was lost with a damaged B-tree, until the others have healed them.

A B-tree that cannot be read is set aside, as a whole, and a new one is made. Its replicas have forgotten what they
accepted before their log begins. Until they are healed they are damaged, however often the node is started meanwhile:
the file says which.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from server.runtime.identity import sync_directory, write_atomically
from storage_node.btree import DamagedStoreError

FORMAT_VERSION = 1


class LostReplicas:
    """Of the data folder `directory`; `btree` is the B-tree's in it. Every method but `__contains__` blocks, and raises
    OSError.

    Invariant: while a damaged B-tree is being replaced the file says that everything is lost; it names groups only once
    a new B-tree is there, and all groups that the log knows are among them."""

    def __init__(self, directory: Path, btree: Path) -> None:
        self.group_ids: frozenset[int] = frozenset()
        self.is_all = False
        self.has_remains = False  # a damaged B-tree was set aside, and is there still
        self._path = directory / "lost.json"
        self._btree = btree
        self._aside = directory / "btree-damaged"

    def __contains__(self, group_id: int) -> bool:
        return group_id in self.group_ids

    def load(self) -> None:
        """Takes what the file says. Raises DamagedStoreError where it is none: then nobody knows what is lost."""
        self.has_remains = self._aside.exists()
        if not self._path.exists():
            return
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            if content["format_version"] != FORMAT_VERSION:
                raise ValueError(f"it has format version {content['format_version']}, not {FORMAT_VERSION}")
            self.is_all, self.group_ids = bool(content["all"]), frozenset(map(int, content["groups"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedStoreError(f"{self._path} cannot be read: {error}") from error

    def condemn(self) -> None:
        """The B-tree is damaged: at the next start it is set aside."""
        self._write(self.group_ids, is_all=True)

    def set_aside(self) -> None:
        """Makes room for a new B-tree. The damaged one may be of use to somebody for as long as nothing has taken its
        place; so an earlier one goes only where there is a later."""
        self.condemn()
        if self._btree.exists():
            shutil.rmtree(self._aside, ignore_errors=True)
            self._btree.rename(self._aside)
            sync_directory(self._aside.parent)
        self.has_remains = self._aside.exists()

    def name(self, group_ids: Iterable[int]) -> None:
        """A new B-tree is there, and these are all groups that the log knows."""
        self._write(self.group_ids.union(group_ids), is_all=False)

    def discard(self, group_id: int) -> None:
        """A group is healed, or is no more."""
        if group_id in self.group_ids:
            self._write(self.group_ids - {group_id}, is_all=self.is_all)

    def remove_remains(self) -> None:
        """Nothing is lost any more."""
        shutil.rmtree(self._aside, ignore_errors=True)
        self.has_remains = False

    def _write(self, group_ids: frozenset[int], *, is_all: bool) -> None:
        self.group_ids, self.is_all = group_ids, is_all
        if not group_ids and not is_all:
            self._path.unlink(missing_ok=True)
            sync_directory(self._path.parent)
            return
        content = {"format_version": FORMAT_VERSION, "all": is_all, "groups": sorted(group_ids)}
        write_atomically(self._path, json.dumps(content).encode())
