"""All targets by name, each with what to begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.fuzz import door_targets, expression_targets, storage_targets, stored_targets


class Target(NamedTuple):
    """`run` returns, whatever the bytes are. `seeds()`: inputs that get far."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


TARGETS = {
    "batches": Target(stored_targets.batches, stored_targets.batch_seeds),
    "bodies": Target(door_targets.http_bodies, door_targets.body_seeds),
    "calls": Target(door_targets.calls, door_targets.call_seeds),
    "changes": Target(stored_targets.changes, stored_targets.change_seeds),
    "conditions": Target(expression_targets.conditions, expression_targets.text_seeds),
    "databases": Target(storage_targets.databases, storage_targets.database_seeds),
    "feeds": Target(stored_targets.feeds, stored_targets.feed_seeds),
    "gzip": Target(door_targets.gzip_bodies, door_targets.gzip_seeds),
    "http": Target(door_targets.http, door_targets.http_seeds),
    "mutations": Target(stored_targets.mutations, stored_targets.mutation_seeds),
    "partitions": Target(storage_targets.partitions, storage_targets.partition_seeds),
    "projections": Target(expression_targets.projections, expression_targets.text_seeds),
    "sessions": Target(door_targets.sessions, door_targets.session_seeds),
    "signatures": Target(door_targets.signatures, door_targets.signature_seeds),
    "streams": Target(stored_targets.streams, stored_targets.stream_seeds),
    "trees": Target(expression_targets.trees, expression_targets.tree_seeds),
    "updates": Target(expression_targets.updates, expression_targets.text_seeds),
}
