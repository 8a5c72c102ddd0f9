"""Stator's client for Python: `AsyncClient` for asyncio, `Client` that blocks, and the errors that they raise.

import stator

with stator.Client() as client:
    client.put_item("music", {"artist": "Nina Simone", "year": 1964})
"""

from stator.batch_writer import AsyncBatchWriter
from stator.changes import AsyncChanges
from stator.checkpoints import Checkpoint, FileCheckpoint
from stator.client import AsyncClient
from stator.credentials import Credentials
from stator.descriptions import (
    CapacityLimits,
    ClusterDescription,
    ClusterEvent,
    ClusterEvents,
    NewUser,
    NodeDescription,
    PartitionDescription,
    ReplicaDescription,
    TableDescription,
    UserDescription,
)
from stator.errors import (
    AccessDeniedError,
    CancellationReason,
    ClientClosedError,
    ConditionalCheckFailedError,
    DeadlineExceededError,
    ExpiredIteratorError,
    IdempotentParameterMismatchError,
    InternalServerError,
    ItemCollectionSizeLimitExceededError,
    LimitExceededError,
    ResourceInUseError,
    ResourceNotFoundError,
    SerializationError,
    StatorError,
    ThrottledError,
    TransactionCanceledError,
    TransactionConflictError,
    TransactionInProgressError,
    TrimmedDataAccessError,
    UnavailableError,
    UnknownOperationError,
    ValidationError,
)
from stator.expressions import attr, key, update
from stator.indexes import (
    GlobalIndex,
    GlobalIndexDescription,
    KeyAttribute,
    LocalIndex,
    LocalIndexDescription,
)
from stator.results import ConsumedCapacity, ItemCollectionMetrics, Page, TransactionResult, WriteResult
from stator.stream_descriptions import Change, RecordsPage, ShardDescription, StreamDescription, StreamSummary
from stator.sync_batch_writer import BatchWriter
from stator.sync_client import Client
from stator.sync_streams import Changes
from stator.sync_table import Table
from stator.sync_transactions import Transaction
from stator.table import AsyncTable
from stator.transaction_members import TransactCheck, TransactDelete, TransactGet, TransactPut, TransactUpdate
from stator.transactions import AsyncTransaction
from stator.transport import Statistics
from stator.typed_items import from_item, to_item
from stator.values import Item

__all__ = [
    "AccessDeniedError",
    "AsyncBatchWriter",
    "AsyncChanges",
    "AsyncClient",
    "AsyncTable",
    "AsyncTransaction",
    "BatchWriter",
    "CancellationReason",
    "CapacityLimits",
    "Change",
    "Changes",
    "Checkpoint",
    "Client",
    "ClientClosedError",
    "ClusterDescription",
    "ClusterEvent",
    "ClusterEvents",
    "ConditionalCheckFailedError",
    "ConsumedCapacity",
    "Credentials",
    "DeadlineExceededError",
    "ExpiredIteratorError",
    "FileCheckpoint",
    "GlobalIndex",
    "GlobalIndexDescription",
    "IdempotentParameterMismatchError",
    "InternalServerError",
    "Item",
    "ItemCollectionMetrics",
    "ItemCollectionSizeLimitExceededError",
    "KeyAttribute",
    "LimitExceededError",
    "LocalIndex",
    "LocalIndexDescription",
    "NewUser",
    "NodeDescription",
    "Page",
    "PartitionDescription",
    "RecordsPage",
    "ReplicaDescription",
    "ResourceInUseError",
    "ResourceNotFoundError",
    "SerializationError",
    "ShardDescription",
    "Statistics",
    "StatorError",
    "StreamDescription",
    "StreamSummary",
    "Table",
    "TableDescription",
    "ThrottledError",
    "TransactCheck",
    "TransactDelete",
    "TransactGet",
    "TransactPut",
    "TransactUpdate",
    "Transaction",
    "TransactionCanceledError",
    "TransactionConflictError",
    "TransactionInProgressError",
    "TransactionResult",
    "TrimmedDataAccessError",
    "UnavailableError",
    "UnknownOperationError",
    "UserDescription",
    "ValidationError",
    "WriteResult",
    "attr",
    "from_item",
    "key",
    "to_item",
    "update",
]
