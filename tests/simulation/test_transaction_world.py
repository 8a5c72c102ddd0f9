"""Seeds of the simulation of transactions, and breakages that it has to catch."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import pytest
from statorpb import partition_pb2

from router.storage_client import FINISH, PREPARE, READ_ITEMS, PartitionCall
from server.model.errors import StatorError
from storage_node.replica import PartitionReplica
from tests.simulation.routers import Streams
from tests.simulation.runner import empty_directory, run_seeds
from tests.simulation.transaction_world import Broken, TransactionWorld

SEEDS = 100
PLAY_S_MAX = 45
CAUGHT_WITHIN = 100


def test_transactions_are_carried_out_in_an_order_and_once() -> None:
    """Whoever crashed, led, was cut off or came late; and soon nothing of them is left. Each run plays new seeds; a
    failing one is printed."""
    first = secrets.randbelow(1 << 40)
    report = run_seeds(range(first, first + SEEDS), until=time.monotonic() + PLAY_S_MAX, world="transactions")
    print(report)
    assert not report.failures, "\n".join(report.failures)
    told = f"first seed {first}: {report}"
    assert report.counts["calls done"] > report.seeds * 30, told
    assert report.counts["audits"] > report.seeds * 3, told
    assert report.counts["crashes of nodes"] > report.seeds, told
    assert report.counts["crashes of routers"] > report.seeds, told


class OverlooksMarks(PartitionReplica):
    """Decides single writes as if no transaction were at work on an item."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.transactions.is_marked = lambda key: False  # type: ignore[method-assign]


class FinishesAnything(Streams):
    """Does not say which attempt is to be finished: all of it is committed."""

    def submit(self, call: PartitionCall) -> None:
        if call.operation == FINISH:
            assert isinstance(call.details, partition_pb2.TransactionDetails)
            call.details.is_committed = True
        super().submit(call)


class LooksOnce(Streams):
    """What is read of several partitions is not looked at again."""

    def submit(self, call: PartitionCall) -> None:
        if call.operation == READ_ITEMS and isinstance(call.details, partition_pb2.ItemsRead):
            is_second_look = call.details.unchanged_since > 0
            if is_second_look:
                result = partition_pb2.ItemsResult(items=[partition_pb2.ItemFound() for _ in call.details.items])
                call.done(partition_pb2.PartitionReply(items=result), None)
                return
        super().submit(call)


class TakesNoForYes(Streams):
    """A participant that has refused counts as prepared."""

    def submit(self, call: PartitionCall) -> None:
        if call.operation == PREPARE:
            told = call.done

            def done(reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
                if reply is not None:
                    reply.status = partition_pb2.OK
                told(reply, error)

            call.done = done
        super().submit(call)


BREAKAGES = {
    "write what a transaction has marked": Broken(replica=OverlooksMarks),
    "commit what was cancelled": Broken(streams=FinishesAnything),
    "look once at what is in several partitions": Broken(streams=LooksOnce),
    "commit what is not prepared everywhere": Broken(streams=TakesNoForYes),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_rule_is_caught(name: str) -> None:
    """A simulation that cannot fail proves nothing. `make mutants` breaks rules within coordinators and nodes."""
    for seed in range(CAUGHT_WITHIN):
        with empty_directory() as directory:
            world = TransactionWorld(seed, Path(directory), broken=BREAKAGES[name])
            try:
                world.run()
            except Exception as error:  # noqa: BLE001 (however it shows)
                print(f"{name}: caught at seed {seed}: {str(error)[:120]}")
                return
            finally:
                world.close()
    pytest.fail(f"{name}: not caught by {CAUGHT_WITHIN} seeds")
