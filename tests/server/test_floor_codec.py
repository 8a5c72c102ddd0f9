"""A floor in a message, there and back."""

from __future__ import annotations

import pytest
from statorpb import cluster_pb2

from server.floor_codec import floor_of, put_floor
from server.paxos.ballot import Ballot
from server.paxos.quorum import NO_FLOOR, Floor


@pytest.mark.parametrize("floor", [NO_FLOOR, Floor(5, Ballot(7, 2))])
def test_round_trip(floor: Floor) -> None:
    """What is there says so, also where nothing has been reached: an older version says nothing at all."""
    message = cluster_pb2.CatalogPartition()
    assert not message.HasField("floor")
    assert floor_of(message.floor) == NO_FLOOR
    put_floor(message.floor, floor)
    message = cluster_pb2.CatalogPartition.FromString(message.SerializeToString())
    assert message.HasField("floor")
    assert floor_of(message.floor) == floor
