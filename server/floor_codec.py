"""What a group had reached, in the messages between processes."""

from __future__ import annotations

from statorpb import cluster_pb2

from server.paxos.ballot import Ballot
from server.paxos.quorum import Floor


def put_floor(message: cluster_pb2.Floor, floor: Floor) -> None:
    """Writes a floor into a field of a message; the field is there then, whatever the floor is."""
    message.configuration_slot = floor.configuration_slot
    message.ballot_round, message.ballot_node_id = floor.ballot


def floor_of(message: cluster_pb2.Floor) -> Floor:
    """The floor in a field of a message; that of a field which is not there is NO_FLOOR."""
    return Floor(message.configuration_slot, Ballot(message.ballot_round, message.ballot_node_id))
