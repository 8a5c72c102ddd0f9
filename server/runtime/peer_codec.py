"""Messages between members: the core's own objects <-> protobuf."""

from __future__ import annotations

from statorpb import replication_pb2

from server.codec.record import CorruptRecordError, RecordType, decode_record
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
    PeerMessage,
    Prepare,
    Promise,
    Reject,
    RejectReason,
    Release,
    Run,
)
from server.runtime.log_records import encode_log_record


class MalformedMessageError(Exception):
    """A peer sent something that cannot be read; the sentence says what."""


def encode_message(group_id: int, message: PeerMessage, record: bytes | None) -> replication_pb2.GroupMessage:
    """A message ready for a frame; `record` is the encoded run of an Accept."""
    encoded = replication_pb2.GroupMessage(group_id=group_id)
    match message:
        case Accept():
            assert record is not None
            encoded.accept.record = record
            encoded.accept.commit_slot = message.commit_slot
        case Accepted():
            _set_ballot(encoded.accepted.ballot, message.ballot)
            encoded.accepted.last_slot = message.last_slot
            encoded.accepted.grant_epoch = message.grant_epoch
        case Commit():
            _set_ballot(encoded.commit.ballot, message.ballot)
            encoded.commit.recovered_slot = message.recovered_slot
            encoded.commit.commit_slot = message.commit_slot
        case Reject():
            _set_ballot(encoded.reject.ballot, message.ballot)
            _set_ballot(encoded.reject.promised, message.promised)
            encoded.reject.last_slot = message.last_slot
            encoded.reject.reason = message.reason
        case Prepare():
            _set_ballot(encoded.prepare.ballot, message.ballot)
            encoded.prepare.from_slot = message.from_slot
            _set_ballot(encoded.prepare.released, message.released)
            encoded.prepare.configuration_slot = message.configuration_slot
        case Promise():
            promise = encoded.promise
            _set_ballot(promise.ballot, message.ballot)
            promise.from_slot = message.from_slot
            promise.log_first_slot = message.log_first_slot
            promise.commit_slot = message.commit_slot
            promise.records.extend(encode_log_record(group_id, run, message.commit_slot) for run in message.runs)
            promise.is_complete = message.is_complete
            promise.grant_epoch = message.grant_epoch
        case CatchUpRequest():
            encoded.catch_up_request.first_slot = message.first_slot
        case CatchUp():
            catch_up = encoded.catch_up
            _set_ballot(catch_up.ballot, message.ballot)
            catch_up.records.extend(encode_log_record(group_id, run, message.commit_slot) for run in message.runs)
            catch_up.commit_slot = message.commit_slot
        case _:
            _fill_rare(encoded, message)
    return encoded


def _fill_rare(encoded: replication_pb2.GroupMessage, message: PeerMessage) -> None:
    match message:
        case LogStart():
            _set_ballot(encoded.log_start.ballot, message.ballot)
            encoded.log_start.slot = message.slot
            encoded.log_start.held = message.is_held
        case Release():
            _set_ballot(encoded.release.ballot, message.ballot)
            encoded.release.handed_over = message.is_handed_over
        case LeadershipQuery():
            _set_ballot(encoded.leadership_query.ballot, message.ballot)
        case HandOverRequest():
            _set_ballot(encoded.hand_over_request.ballot, message.ballot)


def decode_message(encoded: replication_pb2.GroupMessage) -> tuple[PeerMessage, bytes | None]:
    """(message, the encoded run of an Accept or None). Raises MalformedMessageError."""
    kind = encoded.WhichOneof("message")
    if kind == "accept":
        accept = encoded.accept
        record = accept.record
        return Accept(_run(encoded.group_id, record), accept.commit_slot), record
    if kind == "accepted":
        accepted = encoded.accepted
        return Accepted(_ballot(accepted.ballot), accepted.last_slot, accepted.grant_epoch), None
    return _decode_rare(encoded, kind), None


def _decode_rare(encoded: replication_pb2.GroupMessage, kind: str | None) -> PeerMessage:
    group_id = encoded.group_id
    if kind == "commit":
        return Commit(_ballot(encoded.commit.ballot), encoded.commit.commit_slot, encoded.commit.recovered_slot)
    if kind == "reject":
        reject = encoded.reject
        try:
            reason = RejectReason(reject.reason)
        except ValueError as error:
            raise MalformedMessageError(f"group {group_id}: unknown reason {reject.reason} in a rejection") from error
        return Reject(_ballot(reject.ballot), _ballot(reject.promised), reject.last_slot, reason)
    if kind == "prepare":
        prepare = encoded.prepare
        ballot, released = _ballot(prepare.ballot), _ballot(prepare.released)
        return Prepare(ballot, prepare.from_slot, released, prepare.configuration_slot)
    if kind == "promise":
        promise = encoded.promise
        runs = tuple(_run(group_id, record) for record in promise.records)
        return Promise(
            _ballot(promise.ballot),
            promise.from_slot,
            promise.log_first_slot,
            promise.commit_slot,
            runs,
            promise.is_complete,
            promise.grant_epoch,
        )
    if kind == "catch_up_request":
        return CatchUpRequest(encoded.catch_up_request.first_slot)
    if kind == "catch_up":
        catch_up = encoded.catch_up
        runs = tuple(_run(group_id, record) for record in catch_up.records)
        return CatchUp(_ballot(catch_up.ballot), runs, catch_up.commit_slot)
    if kind == "log_start":
        return LogStart(_ballot(encoded.log_start.ballot), encoded.log_start.slot, encoded.log_start.held)
    if kind == "release":
        return Release(_ballot(encoded.release.ballot), encoded.release.handed_over)
    if kind == "leadership_query":
        return LeadershipQuery(_ballot(encoded.leadership_query.ballot))
    if kind == "hand_over_request":
        return HandOverRequest(_ballot(encoded.hand_over_request.ballot))
    raise MalformedMessageError(f"group {group_id}: a message of a kind this version does not know")


def _run(group_id: int, data: bytes) -> Run:
    try:
        record = decode_record(data)
    except CorruptRecordError as error:
        raise MalformedMessageError(f"group {group_id}: {error}") from error
    if record.type != RecordType.ENTRIES or record.group_id != group_id or not record.payloads:
        raise MalformedMessageError(f"group {group_id}: a record that is not of its entries")
    return Run(record.ballot, record.first_slot, record.payloads)


def _ballot(ballot: replication_pb2.Ballot) -> Ballot:
    return Ballot(ballot.round, ballot.node_id)


def _set_ballot(target: replication_pb2.Ballot, ballot: Ballot) -> None:
    target.round = ballot.round
    target.node_id = ballot.node_id
