"""The state machine of a seed: a replicated dictionary that carries out what the real storage node would."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.paxos.ballot import ZERO, Ballot
from server.paxos.quorum import Configuration, encode_configuration
from storage_node.codec.mutation import Mutation, decode_mutation, encode_mutation
from storage_node.partition.recent_writes import RecentWrites

if TYPE_CHECKING:
    from tests.simulation.world import World

SNAPSHOT_CHUNK_BYTES = 200


class InvariantError(AssertionError):
    """Something that must always hold did not."""


class Machine:
    """Of one node. `durable` survives crashes."""

    def __init__(self, world: World, node_id: int, durable: tuple[int, bytes]) -> None:
        self.is_restoring = False
        self.holds_back = False
        self.slot, state = durable
        self._load(state)
        self._world = world
        self._node_id = node_id
        self._restored: list[bytes] = []

    def apply(self, slot: int, payload: bytes) -> object:
        self._step(slot, payload)
        mutation = decode_mutation(payload)
        origin = ZERO if self._world.broken.overlooks_origins else mutation.origin
        if self.recent.admit(mutation.token, slot, mutation.time_ms, origin) and mutation.item is not None:
            self.items[mutation.key.decode()] = mutation.item.decode()
        return None

    def dump(self) -> bytes:
        """The state, for a checkpoint or a snapshot."""
        return pickle.dumps((self.items, self.recent.encode(), self.configuration))

    def _load(self, state: bytes) -> None:
        self.items: dict[str, str]
        self.configuration: tuple[int, Configuration] | None
        self.items, recent, self.configuration = pickle.loads(state)
        self.recent = RecentWrites.decode(recent)

    def applied_no_op(self, slot: int) -> None:
        self._step(slot, b"")

    def apply_configuration(self, slot: int, configuration: Configuration) -> None:
        self._step(slot, encode_configuration(configuration))
        self.configuration = (slot, configuration)

    @property
    def opening(self) -> Callable[[Ballot], bytes] | None:
        if self._world.broken.opens_nothing:
            return None
        return lambda ballot: encode_mutation(Mutation(b"", b"", None, origin=ballot))

    def _step(self, slot: int, payload: bytes) -> None:
        if slot != self.slot + 1:
            raise InvariantError(f"node {self._node_id} applied slot {slot} after slot {self.slot}")
        self.slot = slot
        chosen = self._world.chosen.setdefault(slot, payload)
        if chosen != payload:
            raise InvariantError(f"slot {slot} chosen twice: {chosen!r} and {payload!r} at node {self._node_id}")

    def open_snapshot(self) -> _Snapshot | None:
        slot, state = self._world.nodes[self._node_id].durable
        chunks = [state[at : at + SNAPSHOT_CHUNK_BYTES] for at in range(0, len(state), SNAPSHOT_CHUNK_BYTES)]
        return None if self.is_restoring else _Snapshot(slot, chunks)

    def begin_restore(self, slot: int, progressed: Callable[[], None]) -> None:
        self.is_restoring = True
        self._world.nodes[self._node_id].is_restoring = True
        self._restored = []

    def restore_chunk(self, body: bytes, done: Callable[[], None]) -> None:
        self._restored.append(body)
        self._world.later(self._node_id, done)

    def finish_restore(self, slot: int, done: Callable[[], None]) -> None:
        def finished() -> None:
            node = self._world.nodes[self._node_id]
            node.durable = (slot, b"".join(self._restored))
            node.is_restoring = self.is_restoring = False
            self.slot = slot
            self._load(node.durable[1])
            done()

        self._world.later(self._node_id, finished)


@dataclass
class _Snapshot:
    slot: int
    chunks: list[bytes]
    total_bytes: int = 0

    def next_chunk(self) -> bytes | None:
        return self.chunks.pop(0) if self.chunks else None

    def close(self) -> None:
        self.chunks.clear()


EMPTY = (0, pickle.dumps(({}, RecentWrites().encode(), None)))
