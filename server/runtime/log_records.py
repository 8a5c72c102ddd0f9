"""The core's log records as bytes."""

from __future__ import annotations

from server.codec.record import Record, RecordType, encode_record
from server.paxos.acceptor import Health
from server.paxos.ballot import ZERO
from server.paxos.messages import HealedRecord, HealRecord, LogRecord, PromiseRecord, ResetRecord, Run
from server.runtime.group import Group

REPEATED_BYTES = 1024 * 1024
"""Of entries in a record that is written again."""

ENTRY_BYTES = 64
"""What an entry counts for besides its payload: its part of a frame and of a record, and the time that it takes."""


def encode_log_record(group_id: int, record: LogRecord, commit_slot: int) -> bytes:
    """The bytes of a record (server/codec/record.py)."""
    if isinstance(record, Run):
        full = Record(RecordType.ENTRIES, group_id, record.ballot, record.first_slot, commit_slot, record.payloads)
    elif isinstance(record, PromiseRecord):
        full = Record(RecordType.PROMISE, group_id, record.ballot, 0, commit_slot, ())
    elif isinstance(record, HealedRecord):
        full = Record(RecordType.HEALED, group_id, record.ballot, 0, 0, ())
    else:
        kind = RecordType.HEAL if isinstance(record, HealRecord) else RecordType.RESET
        full = Record(kind, group_id, record.ballot, record.slot + 1, record.slot, ())
    return encode_record(full)


def last_slot_of(record: LogRecord) -> int:
    """Up to which slot the log needs a record, until a checkpoint stands for that: of its entries, or of the snapshot
    that the log goes on from, also where it begins anew to heal."""
    if isinstance(record, Run):
        return record.last_slot
    return record.slot if isinstance(record, ResetRecord | HealRecord) else 0


def needed_records(group: Group | None, checkpointed_slot: int, bytes_max: int) -> list[tuple[bytes, int]]:
    """(record, last slot) of all that a group's log must have besides its promise: the entries above the checkpoint.
    Empty where these have more bytes than that, or are not all, since the log has been damaged, or where there is no
    such group."""
    if group is None or group.core.health is not Health.WHOLE:
        return []
    group_id, entries = group.group_id, group.core.log
    records: list[tuple[bytes, int]] = []
    slot = max(entries.first_slot - 1, checkpointed_slot)
    left = bytes_max
    for each in range(entries.last_slot, slot, -1):
        left -= ENTRY_BYTES + len(entries.entry(each)[1])
        if left < 0:
            return []
    if slot > checkpointed_slot:  # of a log replica, say: a snapshot that has not come yet stands for the rest
        records.append((encode_log_record(group_id, ResetRecord(ZERO, slot), slot), slot))
    while slot < entries.last_slot:
        for run in entries.runs(slot + 1, entries.last_slot, REPEATED_BYTES):
            slot = run.last_slot
            records.append((encode_log_record(group_id, run, min(entries.commit_slot, slot)), slot))
    return records
