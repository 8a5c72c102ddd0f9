"""Seeds of the simulation of a table and its global indexes, and breakages that it has to catch."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from statorpb import partition_pb2

from server.model.key_encoding import CURSORS, PREFIX_BYTES, index_number
from storage_node.backfill import BackFill
from storage_node.codec.index_batch import decode_batch, encode_batch
from storage_node.partition.in_flight import InFlightWrites
from storage_node.partition_client import Answered
from storage_node.replica import PartitionReplica, own_ranges
from storage_node.store import Store
from storage_node.taking import SOURCE
from tests.simulation.index_world import IndexWorld
from tests.simulation.runner import empty_directory, run_seeds
from tests.simulation.storage_nodes import Broken, Client

SEEDS = 120
PLAY_S_MAX = 100
CAUGHT_WITHIN = 150


FAILED_ONCE = (20005,)
"""Seeds that find what has been mended: a back-fill that asked a leader again and again which was to hand over."""


def test_an_index_is_the_projection_of_its_table() -> None:
    """Once all is at rest, on every node: whatever was lost, came late or twice, whoever crashed, led or was rebuilt,
    and however the back-fill raced with writes. Each run plays new seeds; a failing one is printed."""
    first = secrets.randbelow(1 << 40)
    seeds = [*FAILED_ONCE, *range(first, first + SEEDS)]
    report = run_seeds(seeds, until=time.monotonic() + PLAY_S_MAX, world="indexes")
    print(report)
    assert not report.failures, "\n".join(report.failures)
    told = f"first seed {first}: {report}"
    assert report.counts["writes committed"] > report.seeds * 50, told
    assert report.counts["items filled in"] > report.seeds * 5, told
    assert report.counts["crashes"] > report.seeds, told
    assert report.counts["replicas rebuilt"] > report.seeds / 2, told


class ForgetsWhatWasTaken(Store):
    """An index does not know how far it has taken the table's changes."""

    def get(self, key: bytes) -> bytes | None:
        is_source = index_number(key) == CURSORS and key[PREFIX_BYTES + 8 :].startswith(SOURCE)
        return None if is_source else super().get(key)


class LosesDeletions(Client):
    """Sends no word of entries that go."""

    def ask(self, address: str, request: partition_pb2.PartitionRequest, answered: Answered) -> None:
        batch = decode_batch(request.item)
        kept = tuple(entry for entry in batch.entries if entry.item is not None)
        request.item = encode_batch(batch._replace(entries=kept))
        super().ask(address, request, answered)


class TakesSilenceForYes(Client):
    """What is not answered counts as taken."""

    def ask(self, address: str, request: partition_pb2.PartitionRequest, answered: Answered) -> None:
        yes = partition_pb2.PartitionReply(status=partition_pb2.OK)
        super().ask(address, request, lambda reply: answered(reply or yes))


class OverlooksWhatIsInFlight(BackFill):
    """Passes on items as they are, not as the writes that come before the slice will leave them."""

    def _slice(self, replica: PartitionReplica, feed: Any) -> Any:
        in_flight, replica.proposals.in_flight = replica.proposals.in_flight, InFlightWrites()
        try:
            return super()._slice(replica, feed)
        finally:
            replica.proposals.in_flight = in_flight


class LeavesChangesBehind(PartitionReplica):
    """Sends, and installs, snapshots without the changes that were not taken."""

    def describe(self, descriptor: Any) -> None:
        super().describe(descriptor)
        self.ranges = tuple(each for each in self.ranges if each not in own_ranges(descriptor))


class BeginsBehind(PartitionReplica):
    """In a new life it counts what waits as taken."""

    def __init__(self, descriptor: Any, store: Store, *others: Any) -> None:
        super().__init__(descriptor, store, *others)
        slot = store.applied_slot(self.partition_id)
        for number, feed in self.changes.feeds.items():
            self.changes.feeds[number] = replace(feed, taken_slot=slot)


class BeginsWithout(PartitionReplica):
    """In a new life it knows of no feeds."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.changes.forget()


BREAKAGES = {
    "take again what has been taken": Broken(store=ForgetsWhatWasTaken),
    "say nothing of entries that go": Broken(client=LosesDeletions),
    "take silence for an answer": Broken(client=TakesSilenceForYes),
    "back-fill without regard to what is in flight": Broken(back_fill=OverlooksWhatIsInFlight),
    "rebuild a replica without its changes": Broken(replica=LeavesChangesBehind),
    "begin a life behind what was not taken": Broken(replica=BeginsBehind),
    "begin a life without feeds": Broken(replica=BeginsWithout),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_rule_is_caught(name: str) -> None:
    """A simulation that cannot fail proves nothing."""
    for seed in range(CAUGHT_WITHIN):
        with empty_directory() as directory:
            world = IndexWorld(seed, Path(directory), broken=BREAKAGES[name])
            try:
                world.run()
            except Exception as error:  # noqa: BLE001 (however it shows)
                print(f"{name}: caught at seed {seed}: {str(error)[:120]}")
                return
            finally:
                world.close()
    pytest.fail(f"{name}: not caught by {CAUGHT_WITHIN} seeds")
