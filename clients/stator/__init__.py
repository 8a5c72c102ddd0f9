"""Stator's client for Python: `AsyncClient` for asyncio, `Client` that blocks, and the errors that they raise.

import stator

with stator.Client() as client:
    client.put_item("music", {"artist": "Nina Simone", "year": 1964})
"""

from stator.client import AsyncClient
from stator.credentials import Credentials
from stator.descriptions import (
    CapacityLimits,
    ClusterDescription,
    KeyAttribute,
    LocalIndex,
    LocalIndexDescription,
    NewUser,
    NodeDescription,
    PartitionDescription,
    ReplicaDescription,
    TableDescription,
    UserDescription,
)
from stator.errors import (
    AccessDeniedError,
    ClientClosedError,
    ConditionalCheckFailedError,
    DeadlineExceededError,
    InternalServerError,
    ItemCollectionSizeLimitExceededError,
    LimitExceededError,
    ResourceInUseError,
    ResourceNotFoundError,
    SerializationError,
    StatorError,
    ThrottledError,
    UnavailableError,
    UnknownOperationError,
    ValidationError,
)
from stator.sync_client import Client
from stator.transport import Statistics
from stator.values import Item

__all__ = [
    "AccessDeniedError",
    "AsyncClient",
    "CapacityLimits",
    "Client",
    "ClientClosedError",
    "ClusterDescription",
    "ConditionalCheckFailedError",
    "Credentials",
    "DeadlineExceededError",
    "InternalServerError",
    "Item",
    "ItemCollectionSizeLimitExceededError",
    "KeyAttribute",
    "LimitExceededError",
    "LocalIndex",
    "LocalIndexDescription",
    "NewUser",
    "NodeDescription",
    "PartitionDescription",
    "ReplicaDescription",
    "ResourceInUseError",
    "ResourceNotFoundError",
    "SerializationError",
    "Statistics",
    "StatorError",
    "TableDescription",
    "ThrottledError",
    "UnavailableError",
    "UnknownOperationError",
    "UserDescription",
    "ValidationError",
]
