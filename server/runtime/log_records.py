"""The core's log records as bytes."""

from __future__ import annotations

from server.codec.record import Record, RecordType, encode_record
from server.paxos.messages import HealedRecord, HealRecord, LogRecord, PromiseRecord, Run


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
