"""What a write-ahead log promises to those who use it, for the real one and for the simulation's alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from server.codec.record import Record, RecordType, encode_record
from server.paxos.ballot import ZERO, Ballot

ONE, TWO = Ballot(1, 1), Ballot(2, 3)


class Recovered(Protocol):
    promised: Ballot
    first_slot: int
    entries: list[tuple[Ballot, bytes]]
    commit_slot: int


class Log(Protocol):
    """The part of a log that these tests use."""

    on_idle: Callable[[], None] | None
    bytes_queued: int

    @property
    def is_full(self) -> bool: ...

    @property
    def is_idle(self) -> bool: ...

    def writing_ns(self) -> int: ...

    def stalled_ns(self) -> int: ...

    def append(self, record: bytes, group_id: int, last_slot: int, done: Callable[[], None] | None) -> None: ...

    def trim(self, floors: Mapping[int, int]) -> None: ...

    def forget_group(self, group_id: int, done: Callable[[], None] | None = None) -> None: ...


class Harness(Protocol):
    """A log that can be settled and restarted."""

    @property
    def log(self) -> Log: ...

    async def settle(self) -> None:
        """Returns once all that was appended is durable."""

    def fill(self) -> None:
        """The disk has no room, but for two or three kilobytes in what the log has already."""

    def make_room(self) -> None: ...

    async def stall(self) -> None:
        """Returns once the log waits for room."""

    async def restart(self, floors: dict[int, int], *, crash: bool = False) -> Mapping[int, Recovered]:
        """Ends the log, losing what is not durable if `crash`, and opens it again as `log`."""


def entries(group_id: int, first_slot: int, *payloads: bytes, ballot: Ballot = ONE, commit: int = 0) -> Record:
    return Record(RecordType.ENTRIES, group_id, ballot, first_slot, commit, payloads)


def put(harness: Harness, record: Record, done: Callable[[], None] | None = None) -> None:
    harness.log.append(encode_record(record), record.group_id, record.last_slot, done)


class WalContract:
    """Test cases; a subclass provides the fixture `harness`."""

    async def test_done_comes_in_order_and_after_the_sync(self, harness: Harness) -> None:
        """No `done` is called before its record is durable; they come in the order of the appends."""
        called: list[int] = []
        for slot in range(1, 8):
            put(harness, entries(5, slot, b"x"), lambda slot=slot: called.append(slot))  # type: ignore[misc]
        assert called == []
        assert harness.log.bytes_queued > 0
        await harness.settle()
        assert called == [1, 2, 3, 4, 5, 6, 7]
        assert harness.log.bytes_queued == 0
        assert harness.log.is_idle

    async def test_what_is_appended_while_writing_is_one_batch(self, harness: Harness) -> None:
        """on_idle follows the dones of each batch; what callbacks append goes into the next one."""
        events: list[str] = []
        harness.log.on_idle = lambda: events.append("idle")

        def again() -> None:
            events.append("first")
            put(harness, entries(5, 2, b"y"), lambda: events.append("second"))
            put(harness, entries(6, 1, b"y"), lambda: events.append("third"))

        put(harness, entries(5, 1, b"x"), again)
        await harness.settle()
        assert events == ["first", "idle", "second", "third", "idle"]

    async def test_what_finds_no_room_waits_for_it(self, harness: Harness) -> None:
        """In its order. Nothing is in flight meanwhile, and the log says for how long it has written nothing."""
        called: list[int] = []
        harness.fill()
        for slot in range(1, 9):
            put(harness, entries(5, slot, bytes(800)), lambda slot=slot: called.append(slot))  # type: ignore[misc]
        await harness.stall()
        log = harness.log
        assert 1 <= len(called) < 8
        assert (log.is_full, log.is_idle, log.writing_ns(), log.stalled_ns() > 0) == (True, True, 0, True)
        assert log.bytes_queued >= 800 * (8 - len(called))
        harness.make_room()
        await harness.settle()
        assert called == [1, 2, 3, 4, 5, 6, 7, 8]
        assert (log.is_full, log.stalled_ns(), log.bytes_queued) == (False, 0, 0)
        assert len((await harness.restart({5: 0}))[5].entries) == 8

    async def test_entries_come_back(self, harness: Harness) -> None:
        """Groups share the log and do not mix; entries, promises and commit slots come back."""
        put(harness, Record(RecordType.PROMISE, 5, ONE, 0, 0, ()))
        put(harness, entries(5, 1, b"a", b"b", commit=1))
        put(harness, entries(6, 1, b"c"))
        put(harness, Record(RecordType.PROMISE, 6, TWO, 0, 0, ()))
        await harness.settle()
        groups = await harness.restart({})
        five, six = groups[5], groups[6]
        assert (five.promised, five.first_slot, five.commit_slot) == (ONE, 1, 1)
        assert five.entries == [(ONE, b"a"), (ONE, b"b")]
        assert (six.promised, six.first_slot, six.entries) == (TWO, 1, [(ONE, b"c")])

    async def test_a_crash_loses_only_what_was_not_done(self, harness: Harness) -> None:
        """After a crash everything whose `done` was called is there."""
        put(harness, entries(5, 1, b"a"))
        await harness.settle()
        put(harness, entries(5, 2, b"b"))
        groups = await harness.restart({}, crash=True)
        assert groups[5].entries[0] == (ONE, b"a")

    async def test_a_later_record_replaces_the_slots_it_covers(self, harness: Harness) -> None:
        """A slot holds what was accepted there last; entries above it stay."""
        put(harness, entries(5, 1, b"a", b"b", b"c"))
        put(harness, entries(5, 2, b"B", ballot=TWO))
        await harness.settle()
        groups = await harness.restart({5: 0})
        assert groups[5].entries == [(ONE, b"a"), (TWO, b"B"), (ONE, b"c")]
        assert groups[5].promised == TWO

    async def test_floors_and_resets(self, harness: Harness) -> None:
        """Entries at or below the floor, and those before a reset, do not come back."""
        put(harness, entries(5, 1, b"a", b"b", b"c"))
        put(harness, entries(6, 1, b"a"))
        put(harness, Record(RecordType.RESET, 6, TWO, 11, 10, ()))
        put(harness, entries(6, 11, b"k", ballot=TWO))
        await harness.settle()
        groups = await harness.restart({5: 2, 6: 0})
        assert (groups[5].first_slot, groups[5].entries) == (3, [(ONE, b"c")])
        assert (groups[6].first_slot, groups[6].entries) == (11, [(TWO, b"k")])
        assert (groups[6].promised, groups[6].commit_slot) == (TWO, 10)

    async def test_a_reset_keeps_what_was_accepted_after_it(self, harness: Harness) -> None:
        """A snapshot older than the end of the log: the rest may be on a majority only because it is here."""
        put(harness, entries(5, 1, b"a", b"b"))
        put(harness, entries(5, 3, b"c", b"d"))
        put(harness, Record(RecordType.RESET, 5, TWO, 4, 3, ()))
        await harness.settle()
        groups = await harness.restart({5: 3})
        assert (groups[5].first_slot, groups[5].entries) == (4, [(ONE, b"d")])
        assert groups[5].promised == TWO

    async def test_trimming_keeps_promises(self, harness: Harness) -> None:
        """However much is trimmed, a group's highest ballot and the entries above its floor come back."""
        put(harness, Record(RecordType.PROMISE, 5, TWO, 0, 0, ()))
        for slot in range(1, 40):
            put(harness, entries(6, slot, bytes(500)))
            await harness.settle()
            harness.log.trim({5: 0, 6: slot - 2})
        await harness.settle()
        groups = await harness.restart({5: 0, 6: 37})
        assert groups[5].promised == TWO
        assert groups[6].promised == ONE
        assert (groups[6].first_slot, len(groups[6].entries)) == (38, 2)

    async def test_a_forgotten_group_starts_afresh(self, harness: Harness) -> None:
        """Nothing of a forgotten group comes back but what was appended since."""
        put(harness, entries(5, 1, b"a", b"b", ballot=TWO))
        forgotten: list[int] = []
        harness.log.forget_group(5, lambda: forgotten.append(5))
        put(harness, entries(6, 1, b"a"))
        assert forgotten == [], "it is not on the disk yet"
        await harness.settle()
        assert forgotten == [5]
        groups = await harness.restart({5: 0, 6: 0})
        assert 5 not in groups
        put(harness, entries(5, 1, b"c"))
        await harness.settle()
        groups = await harness.restart({5: 0, 6: 0})
        assert (groups[5].promised, groups[5].entries) == (ONE, [(ONE, b"c")])
        assert groups[5].promised > ZERO
