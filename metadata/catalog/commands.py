"""What changes the catalog. Commands carry every choice, id and time in them: applying them is deterministic."""

from __future__ import annotations

from dataclasses import dataclass

from server.model.table import KeySchema, LocalIndex


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """Gives the cluster its id, once."""

    cluster_id: str


@dataclass(frozen=True, slots=True)
class RegisterNode:
    """A storage node with a data folder of its own reports for duty at an address."""

    name: str
    zone: str
    address: str
    data_id: str


@dataclass(frozen=True, slots=True)
class PlannedPartition:
    """A range of the new table and the nodes that will hold it, the preferred leader first."""

    range_start: bytes
    range_end: bytes
    node_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CreateTable:
    """A new table. `read_units`, `write_units` 0: on-demand."""

    table_name: str
    key_schema: KeySchema
    read_units: int
    write_units: int
    table_id: str
    created_at_ms: int
    partitions: tuple[PlannedPartition, ...]
    local_indexes: tuple[LocalIndex, ...] = ()


@dataclass(frozen=True, slots=True)
class ActivateTable:
    """Every replica of the table has been opened and every partition has a leader."""

    table_number: int


@dataclass(frozen=True, slots=True)
class DeleteTable:
    """The table is to go."""

    table_name: str


@dataclass(frozen=True, slots=True)
class RemoveTable:
    """The table has gone; `garbage`: partition id -> nodes that still have to drop it when they come back."""

    table_number: int
    garbage: tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class PartitionsDropped:
    """A node has removed what it still had of partitions whose tables are gone."""

    node_id: int
    partition_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CreateUser:
    """Somebody may sign requests. `sealed_secret`: what only those can open who have the cluster's key."""

    user_name: str
    access_key_id: str
    sealed_secret: bytes
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class DisableUser:
    """Signatures of this user are to be refused from now on."""

    user_name: str


Command = (
    FoundCluster
    | RegisterNode
    | CreateTable
    | ActivateTable
    | DeleteTable
    | RemoveTable
    | PartitionsDropped
    | CreateUser
    | DisableUser
)
