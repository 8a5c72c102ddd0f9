"""What storage nodes are asked of transactions: the items of one partition together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from statorpb import partition_pb2

from router.partition_map_cache import Table
from router.storage_client import FINISH, PartitionCall
from server.model.errors import InternalServerError, ResourceNotFoundError, StatorError
from server.model.key_encoding import PREFIX_BYTES, table_number

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Participant:
    """Items of a transaction that are in one partition: their numbers in the request, and their positions."""

    table: Table
    partition_id: int
    numbers: Sequence[int]
    positions: Sequence[bytes]

    @property
    def keys(self) -> list[bytes]:
        """Encoded."""
        return [self.table.key_prefix + position for position in self.positions]


def guarded(step: Callable[[], None], end: Callable[[None, StatorError], None]) -> None:
    """Takes a step of a transaction; a bug in it costs this request an error, and not its answer."""
    try:
        step()
    except StatorError as error:
        end(None, error)
    except Exception:
        log.exception("a transaction failed")
        end(None, InternalServerError("The request failed because of an internal error"))


def participants_of(places: Iterable[tuple[Table, bytes]]) -> list[Participant]:
    """The partitions that items are in, which are at these positions of these tables."""
    found: dict[int, Participant] = {}
    for number, (table, position) in enumerate(places):
        partition_id = table.partition_at(position).partition_id
        participant = found.get(partition_id)
        if participant is None:
            participant = found[partition_id] = Participant(table, partition_id, [], [])
        assert isinstance(participant.numbers, list) and isinstance(participant.positions, list)
        participant.numbers.append(number)
        participant.positions.append(position)
    return list(found.values())


def marked_in(table: Table, keys: Iterable[bytes]) -> list[Participant]:
    """The partitions that encoded keys are in; without those that are not this table's, but one's of its name that
    there was before: what it had is gone with it."""
    ours = [key for key in keys if table_number(key) == table.number]
    return participants_of((table, key[PREFIX_BYTES:]) for key in ours)


def finish_call(
    participant: Participant,
    ledger_id: bytes,
    attempt: bytes,
    deadline: float,
    done: Callable[[StatorError | None], None],
    *,
    is_committed: bool,
) -> PartitionCall:
    """The call that ends an attempt at one participant. Where the table is gone, so are the marks."""
    details = partition_pb2.TransactionDetails(
        ledger_id=ledger_id,
        attempt=attempt,
        is_committed=is_committed,
        items=[partition_pb2.TransactionItem(key=key) for key in participant.keys],
    )

    def answered(_: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
        done(None if isinstance(error, ResourceNotFoundError) else error)

    return PartitionCall(participant.table, FINISH, participant.positions[0], deadline, answered, details=details)
