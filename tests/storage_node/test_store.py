"""The store against a dictionary: writes, scans, checkpoints, crashes, snapshots; damage; growth."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.paxos.ballot import Ballot
from server.paxos.quorum import Configuration, Member, ReplicaKind
from storage_node.codec.mutation import Mutation
from storage_node.codec.snapshot import ChunkKind, encode_chunk
from storage_node.store import (
    CorruptChunkError,
    CorruptValueError,
    Store,
    StoreError,
    StoreFullError,
)

GROUPS = (100, 101)
ENDS = {100: (b"g", b"h"), 101: (b"h", b"i")}
KEYS = st.builds(
    lambda group, length, last: ENDS[group][0] + b"x" * length + last,
    st.sampled_from(GROUPS),
    st.sampled_from([0, 1, 510, 600, 1020]),
    st.sampled_from([b"", b"a", b"b", b"c"]),
)


def group_of(key: bytes) -> int:
    return 100 if key < b"h" else 101


def token(number: int) -> bytes:
    return number.to_bytes(16, "big")


def open_store(directory: Path, map_bytes: int = 1 << 20) -> Store:
    store = Store(directory, map_bytes=map_bytes, memtable_bytes=1 << 20)
    store.open()
    return store


def checkpoint(store: Store) -> None:
    frozen = store.freeze_for_checkpoint()
    if frozen is not None:
        store.write_checkpoint(frozen)
        store.finish_checkpoint(frozen)


def begin_restore(store: Store, group_id: int, ends: tuple[bytes, bytes] = ENDS[100]) -> None:
    store.begin_restore(group_id)
    while not store.remove_former(group_id, [ends], 7):
        pass


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "btree")
    yield store
    store.close()


class StoreMachine(RuleBasedStateMachine):
    """The store and its log of mutations, replayed after a crash, against one dictionary."""

    @initialize()
    def start(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.store = open_store(self.directory)
        self.model: dict[bytes, bytes] = {}
        self.logs: dict[int, list[Mutation | None]] = {group_id: [] for group_id in GROUPS}
        self.tokens = itertools.count(1)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.directory)

    @rule(key=KEYS, item=st.none() | st.binary(max_size=30))
    def write(self, key: bytes, item: bytes | None) -> None:
        mutation = Mutation(token(next(self.tokens)), key, item)
        log = self.logs[group_of(key)]
        log.append(mutation)
        self.store.apply(group_of(key), len(log), mutation)
        self.model.pop(key, None)
        if item is not None:
            self.model[key] = item

    @rule(group_id=st.sampled_from(GROUPS), item=st.binary(max_size=30), data=st.data())
    def write_again(self, group_id: int, item: bytes, data: st.DataObject) -> None:
        """A retry, or what an election brought back: it must not be carried out, whatever it says."""
        log = self.logs[group_id]
        earlier = [mutation for mutation in log if mutation is not None]
        if earlier:
            repeated = data.draw(st.sampled_from(earlier))
            log.append(repeated._replace(item=item))
            self.store.apply(group_id, len(log), repeated._replace(item=item))

    @rule(group_id=st.sampled_from(GROUPS))
    def no_op(self, group_id: int) -> None:
        self.logs[group_id].append(None)
        self.store.apply_no_op(group_id, len(self.logs[group_id]))

    @rule()
    def freeze(self) -> None:
        frozen = self.store.freeze_for_checkpoint()
        assert frozen is None or frozen is self.store.freeze_for_checkpoint()

    @rule()
    def fail_to_write(self) -> None:
        frozen = self.store.freeze_for_checkpoint()
        if frozen is not None:
            self.store.abandon_checkpoint(frozen)

    @rule()
    def write_and_crash_before_finishing(self) -> None:
        frozen = self.store.freeze_for_checkpoint()
        if frozen is not None:
            self.store.write_checkpoint(frozen)
        self.crash()

    @rule()
    def complete_checkpoint(self) -> None:
        checkpoint(self.store)
        checkpoint(self.store)
        for group_id, log in self.logs.items():
            assert self.store.checkpointed_slot(group_id) == len(log)
            items = {key: item for key, item in self.model.items() if group_of(key) == group_id}
            size = sum(len(key) + len(item) for key, item in items.items())
            sizes = self.store.sizes(group_id).values()
            assert (sum(count for count, _ in sizes), sum(each for _, each in sizes)) == (len(items), size)
        assert self.store.memtable_bytes == 0

    @rule()
    def crash(self) -> None:
        self.store.close()
        self.store = open_store(self.directory)
        for group_id, log in self.logs.items():
            first = self.store.checkpointed_slot(group_id)
            for slot, mutation in enumerate(log[first:], first + 1):
                if mutation is None:
                    self.store.apply_no_op(group_id, slot)
                else:
                    self.store.apply(group_id, slot, mutation)
            recent = self.store.recent_writes(group_id)
            assert all(recent.seen(mutation.token) for mutation in log if mutation is not None)

    @rule(group_id=st.sampled_from(GROUPS), chunk_bytes=st.sampled_from([1, 700, 100_000]))
    def move_by_snapshot(self, group_id: int, chunk_bytes: int) -> None:
        """The state goes out as a snapshot and comes back in its own place."""
        self.complete_checkpoint()
        start, end = ENDS[group_id]
        reader = self.store.read_snapshot(group_id, [(start, end)])
        chunks, slot = list(reader.chunks(chunk_bytes)), reader.slot
        reader.close()
        reader.close()
        assert slot == len(self.logs[group_id])
        begin_restore(self.store, group_id, (start, end))
        assert self.store.is_restoring(group_id)
        assert list(self.store.scan(start, end)) == []
        for at in range(0, len(chunks), 3):
            self.store.restore_chunks(group_id, chunks[at : at + 3])
        self.store.finish_restore(group_id, slot)
        assert not self.store.is_restoring(group_id)
        assert self.store.applied_slot(group_id) == slot

    @rule(group_id=st.sampled_from(GROUPS))
    def drop(self, group_id: int) -> None:
        start, end = ENDS[group_id]
        self.store.forget(group_id)
        while not self.store.delete_range(start, end, 2):
            pass
        self.store.delete_descriptor(group_id)
        self.logs[group_id] = []
        self.model = {key: item for key, item in self.model.items() if group_of(key) != group_id}

    @invariant()
    @precondition(lambda self: hasattr(self, "store"))
    def agrees(self) -> None:
        wanted = sorted(self.model.items())
        assert list(self.store.scan(b"g", b"i")) == wanted
        assert list(self.store.scan(b"g", b"i", reverse=True)) == wanted[::-1]
        middle = [pair for pair in wanted if b"gxa" <= pair[0] < b"hx"]
        assert list(self.store.scan(b"gxa", b"hx")) == middle
        for key, item in wanted:
            assert self.store.get(key) == item
        assert self.store.get(b"gnone") is None
        for group_id, log in self.logs.items():
            assert self.store.applied_slot(group_id) == len(log)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_slots_come_in_order(store: Store) -> None:
    """A slot is applied once: what replays too much is a mistake."""
    store.apply_no_op(100, 3)
    with pytest.raises(ValueError, match="slot 3 is applied after slot 3"):
        store.apply(100, 3, Mutation(b"", b"g", b""))
    assert store.applied_slot(100) == 3
    assert store.checkpointed_slot(100) == 0
    assert store.applied_slot(55) == 0
    assert store.checkpointed_slot(55) == 0
    assert store.size(55) == (0, 0)
    assert not store.is_restoring(55)


def test_nothing_to_checkpoint(store: Store) -> None:
    """A store that has applied nothing since has no checkpoint to write."""
    assert store.freeze_for_checkpoint() is None
    store.apply_no_op(100, 1)
    checkpoint(store)
    assert store.freeze_for_checkpoint() is None


def test_the_memtable_is_accounted_for(store: Store) -> None:
    """Bytes count what is held, replaced items do not; far above the limit the store is overloaded."""
    store.apply(100, 1, Mutation(b"", b"g", bytes(1000)))
    before = store.memtable_bytes
    store.apply(100, 2, Mutation(b"", b"g", bytes(2000)))
    assert store.memtable_bytes == before + 1000
    store.apply(100, 3, Mutation(b"", b"g", None))
    assert store.memtable_bytes == before - 1000
    assert not store.is_overloaded
    store.apply(100, 4, Mutation(b"", b"g", bytes(4 << 20)))
    assert store.is_overloaded


def test_dropped_groups_leave_no_memory_behind(store: Store) -> None:
    """The memtable lets go of a dropped group's writes, though there is nothing to write."""
    store.apply(100, 1, Mutation(b"", b"g", bytes(1000)))
    store.forget(100)
    assert store.get(b"g") is None
    assert store.freeze_for_checkpoint() is None
    assert store.memtable_bytes == 0


def test_a_restore_removes_any_number_of_items(store: Store) -> None:
    """What was there goes, in slices, before the snapshot comes."""
    for slot in range(1, 2502):
        store.apply(100, slot, Mutation(b"", b"g%d" % slot, b""))
    checkpoint(store)
    assert store.size(100)[0] == 2501
    begin_restore(store, 100)
    assert list(store.scan(b"g", b"h")) == []


def test_members_are_kept_with_the_state(tmp_path: Path) -> None:
    """As of the slot of the checkpoint, and of the snapshot; a group that is dropped leaves none behind."""
    store = open_store(tmp_path / "btree")
    first, second = Configuration((Member(1, "a"),)), Configuration((Member(1, "a"), Member(2, "b", ReplicaKind.LOG)))
    store.apply(100, 1, Mutation(b"", b"g", b"item"))
    assert store.configuration(100) is None
    store.apply_configuration(100, 2, first)
    checkpoint(store)
    store.apply_configuration(100, 3, second)
    assert store.configuration(100) == (3, second)
    reader = store.read_snapshot(100, [ENDS[100]])
    chunks = list(reader.chunks(1000))
    reader.close()
    store.close()

    store = open_store(tmp_path / "btree")
    assert (store.applied_slot(100), store.configuration(100)) == (2, (2, first))
    store.apply_configuration(100, 3, second)
    begin_restore(store, 100)
    assert store.configuration(100) == (3, second), "it votes while it has no state"
    store.close()
    store = open_store(tmp_path / "btree")
    assert store.is_restoring(100)
    assert store.configuration(100) == (3, second)
    begin_restore(store, 100)
    for chunk in chunks:
        store.restore_chunks(100, [chunk])
    store.finish_restore(100, 2)
    assert store.configuration(100) == (2, first)
    store.forget(100)
    store.delete_descriptor(100)
    store.close()
    store = open_store(tmp_path / "btree")
    assert store.configuration(100) is None
    store.close()


def test_descriptors(store: Store, tmp_path: Path) -> None:
    """Descriptors survive a restart until they are deleted."""
    store.put_descriptor(100, b"one")
    store.put_descriptor(101, b"two")
    store.put_descriptor(100, b"three")
    store.close()
    store.open()
    assert store.all_descriptors() == {100: b"three", 101: b"two"}
    store.delete_descriptor(100)
    assert store.all_descriptors() == {101: b"two"}


def test_a_crash_while_restoring_is_remembered(store: Store) -> None:
    """Until a restore is finished the group has no state to serve, also after a restart."""
    store.apply(100, 1, Mutation(token(1), b"ga", b"1"))
    checkpoint(store)
    begin_restore(store, 100)
    store.restore_chunks(100, [b""])
    store.close()
    store.open()
    assert store.is_restoring(100)
    assert store.checkpointed_slot(100) == 1
    assert not store.recent_writes(100).seen(token(1))
    assert store.get(b"ga") is None


def test_a_restore_replaces_what_only_the_memtable_has(store: Store) -> None:
    """Writes of the old state that no checkpoint has are void, also where a checkpoint is on its way."""
    store.apply(100, 1, Mutation(b"", b"ga", b"old"))
    frozen = store.freeze_for_checkpoint()
    assert frozen is not None
    store.apply(100, 2, Mutation(b"", b"gb", b"old"))
    begin_restore(store, 100)
    store.write_checkpoint(frozen)
    store.finish_checkpoint(frozen)
    store.finish_restore(100, 7)
    assert list(store.scan(b"g", b"h")) == []
    assert store.get(b"ga") is None
    assert store.get(b"gb") is None
    assert store.checkpointed_slot(100) == 7
    store.apply(100, 8, Mutation(b"", b"gb", b"new"))
    assert store.get(b"gb") == b"new"
    checkpoint(store)
    assert list(store.scan(b"g", b"h")) == [(b"gb", b"new")]
    assert store.size(100) == (1, 5)


def test_a_restore_keeps_the_slot_that_the_log_was_trimmed_to(tmp_path: Path) -> None:
    """The log begins behind the former checkpoint; a restart in the middle of a restore must not see a hole there."""
    store = open_store(tmp_path)
    for slot in (1, 2, 3):
        store.apply(100, slot, Mutation(b"", b"ga", b"old"))
    checkpoint(store)
    begin_restore(store, 100)
    store.restore_chunks(100, [encode_chunk(ChunkKind.ITEMS, [(b"gb", b"new")])])
    store.close()
    store = open_store(tmp_path)
    assert store.is_restoring(100)
    assert store.checkpointed_slot(100) == 3
    store.close()


def test_no_chunk_is_taken_while_the_former_state_is_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there was no room to remove it, what was deleted since would come back among the snapshot's items."""
    store.apply(100, 1, Mutation(b"", b"ga", b"deleted since"))
    checkpoint(store)

    def full(start: bytes, end: bytes, items_max: int) -> bool:
        raise StoreFullError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(store, "delete_range", full)
        with pytest.raises(StoreFullError):
            begin_restore(store, 100)
    with pytest.raises(StoreFullError, match="replaces"):
        store.restore_chunks(100, [encode_chunk(ChunkKind.ITEMS, [(b"gb", b"new")])])
    with pytest.raises(StoreFullError, match="replaces"):
        store.finish_restore(100, 9)
    begin_restore(store, 100)
    store.restore_chunks(100, [encode_chunk(ChunkKind.ITEMS, [(b"gb", b"new")])])
    store.finish_restore(100, 9)
    assert list(store.scan(b"g", b"h")) == [(b"gb", b"new")]


def test_a_write_that_is_in_the_log_twice_is_carried_out_once(tmp_path: Path) -> None:
    """Also around another's, and after a restart that begins between the two."""
    store = open_store(tmp_path)
    store.apply(100, 1, Mutation(token(1), b"g", b"first", 1_000))
    store.apply(100, 2, Mutation(token(2), b"g", b"second", 1_001))
    checkpoint(store)
    store.close()
    store = open_store(tmp_path)
    store.apply(100, 3, Mutation(token(1), b"g", b"first", 1_000))
    assert store.get(b"g") == b"second"
    assert store.applied_slot(100) == 3
    store.close()


def test_what_a_deposed_leader_proposed_is_not_carried_out_behind_its_successors(tmp_path: Path) -> None:
    """Also where the checkpoint, or a snapshot of it, begins between the two."""
    store = open_store(tmp_path)
    store.apply(100, 1, Mutation(token(1), b"g", b"new", 5, Ballot(2, 2)))
    checkpoint(store)
    store.close()
    store = open_store(tmp_path)
    store.apply(100, 2, Mutation(token(2), b"g", b"old", 6, Ballot(1, 1)))
    assert store.get(b"g") == b"new"
    assert store.applied_slot(100) == 2
    store.close()


def test_a_damaged_chunk_is_not_stored(store: Store) -> None:
    """A chunk with a flipped bit changes nothing."""
    begin_restore(store, 100)
    with pytest.raises(CorruptChunkError):
        store.restore_chunks(100, [encode_chunk(ChunkKind.ITEMS, [(b"g1", b"whole")]), b"\x01\x01\x00\x00abcdefgh"])
    assert list(store.scan(b"g", b"h")) == []


def test_the_map_grows_under_writes_and_reads(store: Store) -> None:
    """Far more data than the first map holds is taken, readable all along."""
    for slot in range(1, 3001):
        store.apply(100, slot, Mutation(b"", b"g%d" % slot, bytes(1000)))
        if slot % 500 == 0:
            checkpoint(store)
            assert store.get(b"g1") == bytes(1000)
    assert sum(1 for _ in store.scan(b"g", b"h")) == 3000


def test_the_map_waits_for_snapshots(tmp_path: Path) -> None:
    """While a snapshot is being read the map does not grow; a checkpoint that needs it fails and is written later."""
    store = Store(tmp_path, map_bytes=1 << 20, memtable_bytes=1 << 20, grow_wait_s=0.01)
    store.open()
    store.apply(100, 1, Mutation(b"", b"g", b"kept"))
    checkpoint(store)
    reader = store.read_snapshot(100, [(b"g", b"h")])
    chunks = reader.chunks(1)
    for slot in range(2, 2002):
        store.apply(100, slot, Mutation(b"", b"g%d" % slot, bytes(1000)))
    frozen = store.freeze_for_checkpoint()
    assert frozen is not None
    with pytest.raises(StoreFullError, match="snapshot"):
        store.write_checkpoint(frozen)
    store.abandon_checkpoint(frozen)
    assert len(list(chunks)) == 2, "recent writes, and the item"
    assert reader.slot == 1
    reader.close()
    checkpoint(store)
    assert store.checkpointed_slot(100) == 2001
    store.close()


def flip_in_file(path: Path, needle: bytes) -> None:
    data = bytearray(path.read_bytes())
    position = data.find(needle)
    assert position >= 0
    while position >= 0:
        data[position] ^= 1
        position = data.find(needle, position + 1)
    path.write_bytes(data)


def test_bit_rot_is_never_served(store: Store, tmp_path: Path) -> None:
    """A flipped bit in a stored item makes get, scan and snapshots fail, and deleting still works."""
    store.apply(100, 1, Mutation(b"", b"g1", b"a needle in the hay"))
    store.apply(100, 2, Mutation(b"", b"g2", b"whole"))
    checkpoint(store)
    store.close()
    flip_in_file(tmp_path / "btree" / "data.mdb", b"needle")
    store.open()
    with pytest.raises(CorruptValueError):
        store.get(b"g1")
    assert store.get(b"g2") == b"whole"
    with pytest.raises(CorruptValueError):
        list(store.scan(b"g", b"h"))
    reader = store.read_snapshot(100, [(b"g", b"h")])
    with pytest.raises(CorruptValueError):
        list(reader.chunks(1000))
    reader.close()
    assert store.delete_range(b"g", b"h", 10)
    assert list(store.scan(b"g", b"h")) == []


def test_no_b_tree_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    """A file that is not LMDB's, and a format from the future, are refused."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(tmp_path / "one")
    store = open_store(tmp_path / "two")
    btree = store._btree
    btree.write(lambda txn: btree.put_row(txn, btree.meta, b"format", b"2"))
    store.close()
    with pytest.raises(StoreError, match="format 2"):
        store.open()
    store.close()
    store.close()


def test_errors_of_the_disk_are_told_apart(store: Store) -> None:
    """A full disk can be tried again; any other error of LMDB cannot."""

    def full(_: object) -> None:
        raise lmdb.DiskError("no space left on device")

    def broken(_: object) -> None:
        raise lmdb.PanicError("input/output error")

    with pytest.raises(StoreFullError):
        store._btree.write(full)
    with pytest.raises(StoreError):
        store._btree.write(broken)
