"""One member's log, in memory: the entries that have not been trimmed."""

from __future__ import annotations

from collections.abc import Sequence

from server.paxos.ballot import ZERO, Ballot
from server.paxos.messages import Run


class Log:
    """Entries from `first_slot` to `last_slot`, without a hole.

    Invariants, asserted at each change: `first_slot` - 1 <= `commit_slot` <= `last_slot` (what has been trimmed was
    committed); the committed part never changes; `bytes` is the sum of the payloads held.
    """

    __slots__ = ("_entries", "bytes", "commit_slot", "first_slot")

    def __init__(self, first_slot: int, entries: Sequence[tuple[Ballot, bytes]], commit_slot: int) -> None:
        self.first_slot = first_slot
        self._entries: list[tuple[Ballot, bytes]] = list(entries)
        self.commit_slot = commit_slot
        self.bytes = sum(len(payload) for _, payload in entries)
        assert first_slot - 1 <= commit_slot <= self.last_slot, (first_slot, commit_slot, self.last_slot)

    @property
    def last_slot(self) -> int:
        return self.first_slot + len(self._entries) - 1

    def entry(self, slot: int) -> tuple[Ballot, bytes]:
        """(ballot, payload) of a slot the log holds."""
        assert slot >= self.first_slot, (slot, self.first_slot)
        return self._entries[slot - self.first_slot]

    def write(self, run: Run) -> None:
        """Puts the run's entries at their slots. Requires that it leaves no hole and touches nothing committed; what
        lies after the run stays (an acceptor forgets nothing it has accepted)."""
        assert self.commit_slot < run.first_slot <= self.last_slot + 1, (run.first_slot, self.commit_slot)
        ballot = run.ballot
        entries = [(ballot, payload) for payload in run.payloads]
        offset = run.first_slot - self.first_slot
        replaced = self._entries[offset : offset + len(entries)]
        self.bytes += sum(map(len, run.payloads)) - sum(len(payload) for _, payload in replaced)
        self._entries[offset : offset + len(entries)] = entries

    def payloads(self, first_slot: int, last_slot: int) -> tuple[bytes, ...]:
        offset = first_slot - self.first_slot
        return tuple(payload for _, payload in self._entries[offset : last_slot - self.first_slot + 1])

    def runs(self, first_slot: int, last_slot: int, bytes_max: int) -> tuple[Run, ...]:
        """The entries from `first_slot` to at most `last_slot`, as runs; stops after `bytes_max` bytes of payload (at
        least one entry is returned, if there is one)."""
        found: list[Run] = []
        payloads: list[bytes] = []
        ballot, start, size = ZERO, first_slot, 0
        for slot in range(first_slot, last_slot + 1):
            entry_ballot, payload = self.entry(slot)
            if size + len(payload) > bytes_max and slot > first_slot:
                break
            if entry_ballot != ballot and payloads:
                found.append(Run(ballot, start, tuple(payloads)))
                start, payloads = slot, []
            ballot = entry_ballot
            payloads.append(payload)
            size += len(payload)
        if payloads:
            found.append(Run(ballot, start, tuple(payloads)))
        return tuple(found)

    def trim(self, slot: int) -> None:
        """Forgets entries up to `slot`, which must be committed."""
        assert slot <= self.commit_slot, (slot, self.commit_slot)
        count = slot - self.first_slot + 1
        if count > 0:
            self.bytes -= sum(len(payload) for _, payload in self._entries[:count])
            del self._entries[:count]
            self.first_slot = slot + 1

    def reset(self, slot: int) -> None:
        """A snapshot as of `slot`, which is not committed here yet, stands for everything up to it. What lies after it
        stays: this acceptor may be one of the majority that an acknowledged entry is on."""
        self.commit_slot = slot
        if slot < self.last_slot:
            self.trim(slot)
        else:
            self._entries.clear()
            self.first_slot = slot + 1
            self.bytes = 0
