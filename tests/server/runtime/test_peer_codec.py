"""Messages between members survive encoding; what is malformed is refused with the typed error."""

from __future__ import annotations

import struct
from typing import Any, get_args

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from statorpb import replication_pb2

from server.codec.record import Record, RecordType, encode_record
from server.paxos.ballot import Ballot
from server.paxos.messages import (
    Accept,
    Accepted,
    CatchUp,
    CatchUpRequest,
    Commit,
    HandOverRequest,
    LeadershipQuery,
    LogStart,
    Message,
    PeerMessage,
    Prepare,
    Promise,
    Reject,
    RejectReason,
    Release,
    Run,
)
from server.runtime.log_records import encode_log_record
from server.runtime.peer_codec import MalformedMessageError, decode_message, encode_message

U64 = st.integers(0, 2**64 - 1)
BALLOTS = st.builds(Ballot, U64, U64)
RUNS = st.builds(Run, BALLOTS, U64, st.lists(st.binary(max_size=20), min_size=1, max_size=4).map(tuple))
MANY_RUNS = st.lists(RUNS, max_size=3).map(tuple)
MESSAGES: dict[type, st.SearchStrategy[Any]] = {
    Prepare: st.builds(Prepare, BALLOTS, U64, BALLOTS, U64),
    Promise: st.builds(Promise, BALLOTS, U64, U64, U64, MANY_RUNS, st.booleans(), U64),
    Accept: st.builds(Accept, RUNS, U64),
    Accepted: st.builds(Accepted, BALLOTS, U64, U64),
    Reject: st.builds(Reject, BALLOTS, BALLOTS, U64, st.sampled_from(RejectReason)),
    Commit: st.builds(Commit, BALLOTS, U64, U64),
    CatchUpRequest: st.builds(CatchUpRequest, U64),
    CatchUp: st.builds(CatchUp, BALLOTS, MANY_RUNS, U64),
    Release: st.builds(Release, BALLOTS, st.booleans()),
    LeadershipQuery: st.builds(LeadershipQuery, BALLOTS),
    HandOverRequest: st.builds(HandOverRequest, BALLOTS),
    LogStart: st.builds(LogStart, BALLOTS, U64, st.booleans()),
}
GROUP = 7
RUN = Run(Ballot(3, 1), 5, (b"one", b"", b"three"))


def shown(value: Any) -> Any:
    """A message as something that compares; a Run is only equal to itself."""
    if isinstance(value, Run):
        return ("run", value.ballot, value.first_slot, value.payloads)
    if isinstance(value, tuple) and not isinstance(value, Ballot):
        return tuple(map(shown, value))
    if type(value) in MESSAGES:
        return (type(value), *(shown(getattr(value, name)) for name in value.__slots__))
    return value


def sent(group_id: int, message: Message) -> tuple[replication_pb2.GroupMessage, bytes | None]:
    """(the message as it arrives, the encoded run of an Accept)."""
    record = None
    if isinstance(message, Accept):
        record = encode_log_record(group_id, message.run, message.commit_slot)
    encoded = encode_message(group_id, message, record)
    return replication_pb2.GroupMessage.FromString(encoded.SerializeToString()), record


def with_record(kind: str, record: bytes) -> replication_pb2.GroupMessage:
    """A message of the group with this for its record."""
    message = replication_pb2.GroupMessage(group_id=GROUP)
    if kind == "accept":
        message.accept.record = record
    else:
        getattr(message, kind).records.append(record)
    return message


@pytest.mark.parametrize("kind", MESSAGES)
@given(data=st.data(), group_id=U64)
def test_round_trip(kind: type, data: st.DataObject, group_id: int) -> None:
    """What is decoded is what was encoded, to the bytes of an Accept's run, which go into the log as they came."""
    message = data.draw(MESSAGES[kind])
    arrived, record = sent(group_id, message)
    decoded, decoded_record = decode_message(arrived)
    assert arrived.group_id == group_id
    assert shown(decoded) == shown(message)
    assert decoded_record == record
    assert (record is not None) == (kind is Accept)


def test_every_message_is_covered() -> None:
    """A message that the core gets and the codec does not know would be lost in silence."""
    assert set(get_args(PeerMessage)) == MESSAGES.keys()


def test_ballots_are_not_mixed_up() -> None:
    """Where a message has two, each comes through as itself."""
    one, two = Ballot(1, 2), Ballot(3, 4)
    rejected, _ = decode_message(sent(GROUP, Reject(one, two, 9, RejectReason.HOLE))[0])
    assert rejected == Reject(one, two, 9, RejectReason.HOLE)
    prepared, _ = decode_message(sent(GROUP, Prepare(one, 5, two))[0])
    assert prepared == Prepare(one, 5, two)


def test_a_message_of_no_kind() -> None:
    """Is refused, and the group named."""
    with pytest.raises(MalformedMessageError, match="group 7: a message of a kind this version does not know"):
        decode_message(replication_pb2.GroupMessage(group_id=GROUP))


@pytest.mark.parametrize("kind", ["snapshot_chunk", "snapshot_ack"])
def test_snapshots_are_no_messages_of_the_core(kind: str) -> None:
    """They are another part's."""
    message = replication_pb2.GroupMessage(group_id=GROUP)
    getattr(message, kind).SetInParent()
    with pytest.raises(MalformedMessageError, match="does not know"):
        decode_message(message)


def test_a_kind_of_a_later_version() -> None:
    """Is refused as no kind at all: its field is not known here."""
    data = replication_pb2.GroupMessage(group_id=GROUP).SerializeToString() + b"\xa2\x06\x00"
    with pytest.raises(MalformedMessageError, match="does not know"):
        decode_message(replication_pb2.GroupMessage.FromString(data))


@pytest.mark.parametrize("reason", [0, max(RejectReason) + 1, 2**32 - 1])
def test_a_rejection_for_an_unknown_reason(reason: int) -> None:
    """Is refused: the core decides by it."""
    message = replication_pb2.GroupMessage(group_id=GROUP)
    message.reject.reason = reason
    with pytest.raises(MalformedMessageError, match=f"group 7: unknown reason {reason} in a rejection"):
        decode_message(message)


WITH_RECORDS = ["accept", "promise", "catch_up"]


@pytest.mark.parametrize("kind", WITH_RECORDS)
@pytest.mark.parametrize(
    "record",
    [
        Record(RecordType.ENTRIES, GROUP + 1, Ballot(1, 1), 5, 4, (b"a",)),
        Record(RecordType.ENTRIES, GROUP, Ballot(1, 1), 5, 4, ()),
        Record(RecordType.PROMISE, GROUP, Ballot(1, 1), 0, 4, ()),
        Record(RecordType.RESET, GROUP, Ballot(1, 1), 5, 4, ()),
        Record(RecordType.PROMISE, GROUP, Ballot(1, 1), 5, 4, (b"a",)),
    ],
)
def test_a_record_that_is_not_of_the_groups_entries(kind: str, record: Record) -> None:
    """Another group's, or of another type, or empty: however well formed it is."""
    with pytest.raises(MalformedMessageError, match="group 7: a record that is not of its entries"):
        decode_message(with_record(kind, encode_record(record)))


@pytest.mark.parametrize("kind", WITH_RECORDS)
@given(bit=st.integers(0, 8 * len(encode_log_record(GROUP, RUN, 4)) - 1))
def test_a_record_with_a_flipped_bit(kind: str, bit: int) -> None:
    """No entry is accepted, promised or caught up with that is not as it was sent."""
    record = bytearray(encode_log_record(GROUP, RUN, 4))
    record[bit // 8] ^= 1 << bit % 8
    with pytest.raises(MalformedMessageError, match="group 7: "):
        decode_message(with_record(kind, bytes(record)))


@pytest.mark.parametrize("kind", WITH_RECORDS)
@given(length=st.integers(0, len(encode_log_record(GROUP, RUN, 4)) - 1))
def test_a_record_that_is_cut_off(kind: str, length: int) -> None:
    """Nor a part of one."""
    with pytest.raises(MalformedMessageError, match="group 7: "):
        decode_message(with_record(kind, encode_log_record(GROUP, RUN, 4)[:length]))


@pytest.mark.parametrize("kind", ["promise", "catch_up"])
def test_one_bad_record_among_good_ones(kind: str) -> None:
    """Spoils the message: half a promise would hide what was accepted."""
    good = encode_log_record(GROUP, RUN, 4)
    message = with_record(kind, good)
    getattr(message, kind).records.extend([good, good[:-1]])
    with pytest.raises(MalformedMessageError):
        decode_message(message)


@given(st.binary(max_size=60))
def test_an_accept_of_any_bytes(data: bytes) -> None:
    """Raises nothing but the typed error, also where the checksum is made to match."""
    sealed = struct.pack("<I", crc32c(data)) + data
    for record in (data, sealed):
        try:
            decoded, raw = decode_message(with_record("accept", record))
        except MalformedMessageError:
            continue
        assert isinstance(decoded, Accept)
        assert raw == record
