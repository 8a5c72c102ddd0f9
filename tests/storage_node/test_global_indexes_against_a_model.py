"""Partitions of global indexes are the projection of their table's partition, whenever all is at rest: the real sender
and the real replicas of both sides, over a network that loses, repeats and delays what it pleases."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from statorpb import cluster_pb2, partition_pb2

from server.gathering import TURNS
from server.model.key_encoding import CURSORS, PREFIX_BYTES, own_rows
from server.model.table import GlobalIndex
from server.table_codec import put_global_index
from storage_node import backfill, changes
from storage_node.index_sender import IndexSender
from storage_node.partition import aim, delivery
from storage_node.partition_client import Answered, PartitionClient
from storage_node.taking import SOURCE
from tests.storage_node.members import Group, Member
from tests.storage_node.nodes import PARTITION
from tests.storage_node.test_feeds_against_a_model import Play

SEEDS = 40
STEPS = 300
STARTS = (b"", b"\x55", b"\xaa")


class Index:
    """The partitions of an index, each with a group of its own."""

    def __init__(self, index: GlobalIndex, directory: Path, count: int) -> None:
        self.index = index
        self.groups: list[Group] = []
        described = cluster_pb2.GlobalIndex()
        put_global_index(described, index)
        for place, start in enumerate(STARTS[:count]):
            end = STARTS[place + 1] if place + 1 < count else b""
            group = Group(
                directory / f"index-{index.number}-{place}",
                partition_id=10 * index.number + place,
                table_number=index.number,
                range_start=start,
                range_end=end,
                index=described,
            )
            self.groups.append(group)

    def take(self, group: Group, bytes_max: int) -> bool:
        """It is sent what it is to take."""
        return False

    @property
    def entries(self) -> dict[bytes, bytes]:
        """What the leaders of its partitions have."""
        found: dict[bytes, bytes] = {}
        for group in self.groups:
            found |= stored(group.leading)
        return found

    def route(self, rng: random.Random) -> cluster_pb2.IndexRoute:
        """Where it is; who leads there is told by chance."""
        route = cluster_pb2.IndexRoute(number=self.index.number)
        for group in self.groups:
            one = route.partitions.add(
                partition_id=group.descriptor.partition_id,
                range_start=group.descriptor.range_start,
                leader_node_id=rng.randrange(3),
            )
            for member in group.members:
                one.members.add(node_id=member.host.node_id, address=address(member))
        return route


def stored(member: Member) -> dict[bytes, bytes]:
    replica = member.replica
    return {key[PREFIX_BYTES:]: data for key, data in member.store.scan(replica.first_key, replica.end_key)}


def taken_slot(member: Member) -> int:
    descriptor = member.replica.descriptor
    key = own_rows(descriptor.table_number, CURSORS, descriptor.partition_id) + SOURCE + PARTITION.to_bytes(8, "big")
    return int.from_bytes(member.store.get(key) or b"", "big")


def address(member: Member) -> str:
    """Of its node, which has a member of every group."""
    return f"node-{member.host.node_id}"


@dataclass(slots=True)
class Message:
    """A request on its way, or carried out: it has `answers` then. `answered`: whom to tell of it, once."""

    address: str
    request: partition_pb2.PartitionRequest
    answered: Answered | None
    answers: list[partition_pb2.PartitionReply] | None = None

    def tell(self, reply: partition_pb2.PartitionReply | None) -> None:
        answered, self.answered = self.answered, None
        if answered is not None:
            answered(reply)


class Network:
    """From senders to the members of indexes."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def client(self) -> PartitionClient:
        """What a sender has in its node."""
        return cast(PartitionClient, Client(self))

    def deliver(self, message: Message, member: tuple[Group, Member] | None) -> None:
        """To a member, None: there is none, or from it."""
        if member is None:
            self.lose(message)
        elif message.answers is None:
            group, who = member
            message.answers = group.ask(message.request, who)
        elif message.answers:
            self.messages.remove(message)
            message.tell(message.answers[0])

    def repeat(self, message: Message) -> None:
        """The request comes once more, later."""
        self.messages.append(Message(message.address, message.request, None))

    def lose(self, message: Message) -> None:
        """Nothing comes of it any more."""
        self.messages.remove(message)
        message.tell(None)

    def time_out(self, message: Message) -> None:
        """Who asked waits no more; the request goes on its way."""
        message.tell(None)


class Client:
    """Of one sender."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._messages: list[Message] = []

    def ask(self, address: str, request: partition_pb2.PartitionRequest, answered: Answered) -> None:
        copy = partition_pb2.PartitionRequest()
        copy.CopyFrom(request)
        self._network.messages.append(message := Message(address, copy, answered))
        self._messages.append(message)

    def die(self) -> None:
        for each in self._messages:
            each.answered = None


class PlayWithIndexes(Play):
    """One history of a table's partition and those of its indexes."""

    def __init__(self, rng: random.Random, directory: Path) -> None:
        self.network = Network()
        self.directory = directory
        self.senders: dict[int, tuple[object, IndexSender, PartitionClient]] = {}  # by node id, with its node's replica
        self.taken: dict[int, int] = {}  # by partition of an index: what its leader has had of the table's
        super().__init__(rng, directory)

    # What there is

    @property
    def indexes(self) -> dict[int, Index]:
        return self.consumers

    def index_groups(self) -> Iterator[Group]:
        for each in self.indexes.values():
            yield from each.groups

    def find(self, message: Message) -> tuple[Group, Member] | None:
        """The member that a message is for."""
        for group in self.index_groups():
            if group.descriptor.partition_id == message.request.partition_id:
                return group, next(each for each in group.members if address(each) == message.address)
        return None

    def begin_walks(self) -> None:
        """Also called when a member has been started again."""
        super().begin_walks()
        for member in self.group.members:
            self.begin_sender(member)

    def begin_sender(self, member: Member) -> None:
        node_id = member.host.node_id
        former = self.senders.get(node_id)
        if former is not None and former[0] is member.replica:
            return
        if former is not None:
            cast(Client, former[2]).die()
            former[1].drop(PARTITION)
        client = self.network.client()
        sender = IndexSender(
            member.host.leader_ballot, lambda partition_id, sentence: member.rotten.append(sentence), client
        )
        sender.keep(PARTITION, member.replica.changes)
        self.senders[node_id] = (member.replica, sender, client)

    def consumer_of(self, index: GlobalIndex) -> Any:
        return Index(index, self.directory, self.rng.randrange(1, len(STARTS) + 1))

    def want(self) -> None:
        before = dict(self.indexes)
        super().want()
        for number in before.keys() - self.indexes.keys():
            for group in before[number].groups:
                group.close()

    def tell(self, members: list[Any]) -> None:
        super().tell(members)
        for each in members:
            _, sender, _ = self.senders[each.host.node_id]
            sender.set_routes([index.route(self.rng) for index in self.indexes.values()])

    # What happens

    def step(self) -> None:
        rng, kind = self.rng, self.rng.random()
        groups = list(self.index_groups())
        if kind < 0.35 or not groups:
            super().step()
        elif kind < 0.75:
            self.step_of_network()
        elif kind < 0.8:
            for _, sender, _ in self.senders.values():
                sender.tend()
        else:
            self.step_of_index(rng.choice(groups))

    def step_of_network(self) -> None:
        network, rng = self.network, self.rng
        if not network.messages:
            return
        message, kind = rng.choice(network.messages), rng.random()
        if kind < 0.05:
            network.lose(message)
        elif kind < 0.3:
            network.time_out(message)
        else:
            if kind < 0.45 and message.answers is None:
                network.repeat(message)
            network.deliver(message, self.find(message))

    def step_of_index(self, group: Group) -> None:
        rng, kind, member = self.rng, self.rng.random(), self.rng.choice(group.members)
        if kind < 0.65:
            group.commit(rng.randrange(1, 4))
        elif kind < 0.75:
            revived = rng.sample(group.lost, min(len(group.lost), rng.randrange(3)))
            group.lead(member, rng.randrange(len(group.proposed) + 1), revived)
        elif kind < 0.85:
            member.checkpoint()
        elif kind < 0.9:
            member.catch_up(rng.randrange(len(group.log) + 1))
        elif member is not group.leading:
            self.fail(group, member)

    def fail(self, group: Group, member: Member) -> None:
        """It is started again, or gets its state from the leader."""
        if self.rng.random() < 0.5:
            member.crash()
        else:
            group.leading.checkpoint()
            member.restore_from(group.leading)

    async def turns(self) -> None:
        """So that what is to be done in a moment is done."""
        for _ in range(self.rng.randrange(3 * TURNS)):
            await asyncio.sleep(0)

    async def come_to_rest(self) -> None:
        """Nothing is lost any more, until nothing is left to be done."""
        self.tell(self.group.members)
        log = self.group.leading.replica.changes
        for _ in range(2000):
            log.tend()
            is_busy = self.walk() or bool(self.group.proposed)
            self.group.commit()
            for group in self.index_groups():
                group.commit()
            for _, sender, _ in self.senders.values():
                sender.tend()
            for message in list(self.network.messages):
                self.network.deliver(message, self.find(message))
            for _ in range(3 * TURNS):
                await asyncio.sleep(0)
            is_quiet = all(each.complete and not each.pending for each in log.reports())
            if is_quiet and not is_busy and not self.network.messages and not self.group.proposed:
                return
        raise AssertionError("it does not come to rest")

    def check(self) -> None:
        """The index is the projection, on every member."""
        super().check()
        for group in self.index_groups():
            expected = stored(group.leading), taken_slot(group.leading)
            for member in group.members:
                member.catch_up(len(group.log))
                assert (stored(member), taken_slot(member)) == expected
                assert not member.rotten

    def check_order(self) -> None:
        """How far a partition has been taken never goes back, nor beyond what is committed there."""
        for group in self.index_groups():
            partition_id, slot = group.descriptor.partition_id, taken_slot(group.leading)
            assert self.taken.get(partition_id, 0) <= slot <= len(self.group.log)
            self.taken[partition_id] = slot

    def close(self) -> None:
        for _, sender, client in self.senders.values():
            cast(Client, client).die()
            sender.drop(PARTITION)
        for group in (self.group, *self.index_groups()):
            group.close()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_an_index_is_the_projection_of_its_table(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is lost, comes twice or late, whoever leads on either side, however far the back-fill is, and however
    many partitions the index has."""
    monkeypatch.setattr(backfill, "SLICE_ITEMS", 2)
    monkeypatch.setattr(changes, "MOVE_WAIT_S", 0.0)
    monkeypatch.setattr(changes, "MOVE_ROWS_MAX", 7)
    monkeypatch.setattr(aim, "BACKOFF_S_MAX", 0.0)
    rng = random.Random(seed)
    monkeypatch.setattr(delivery, "BATCH_BYTES_MAX", rng.choice((1, 200, 100_000)))
    monkeypatch.setattr(delivery, "WAITING_BYTES_MAX", rng.choice((1, 500, 100_000)))
    play = PlayWithIndexes(rng, tmp_path)
    for _ in range(3):
        for _ in range(STEPS):
            play.step()
            await play.turns()
            play.check_order()
        await play.come_to_rest()
        play.check()
    play.close()
