"""The one tree of errors that a client can be told of; each carries its wire code. Translated at the doors only.

Codes, prefixes and HTTP statuses are DynamoDB's (developer guide, "Error handling"; botocore's service model).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SERVICE_PREFIX = "com.amazonaws.dynamodb.v20120810#"
FRAMEWORK_PREFIX = "com.amazon.coral.service#"
VALIDATION_PREFIX = "com.amazon.coral.validate#"


class StatorError(Exception):
    """A request that was not carried out as asked. `message` says what is wrong, and where."""

    code = "InternalServerError"
    type_prefix = SERVICE_PREFIX
    http_status = 500
    grpc_status = "INTERNAL"
    is_retriable = True
    is_not_carried_out = False
    """Of a write: that is certain. It may be sent again as if it had never been."""
    message_member = "message"
    """What DynamoDB's JSON calls the message: not with every error the same."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InternalServerError(StatorError):
    """Something failed on the servers' side; for a write, the outcome is unknown."""


class DeadlineExceededError(StatorError):
    """The request's time ran out; for a write, the outcome is unknown."""

    grpc_status = "DEADLINE_EXCEEDED"


class ServiceUnavailableError(StatorError):
    """Nobody can carry the request out at present; it was not carried out."""

    code = "ServiceUnavailableException"
    type_prefix = FRAMEWORK_PREFIX
    http_status = 503
    grpc_status = "UNAVAILABLE"


class _ClientError(StatorError):
    http_status = 400
    grpc_status = "INVALID_ARGUMENT"
    is_retriable = False


class ValidationError(_ClientError):
    """The request breaks a rule of the API."""

    code = "ValidationException"
    type_prefix = VALIDATION_PREFIX


class SerializationError(_ClientError):
    """The body is not what the protocol prescribes."""

    code = "SerializationException"
    type_prefix = FRAMEWORK_PREFIX


class UnknownOperationError(_ClientError):
    """There is no such operation here."""

    code = "UnknownOperationException"
    type_prefix = FRAMEWORK_PREFIX
    grpc_status = "UNIMPLEMENTED"


class _AuthenticationError(_ClientError):
    type_prefix = FRAMEWORK_PREFIX
    grpc_status = "UNAUTHENTICATED"


class MissingAuthenticationTokenError(_AuthenticationError):
    """The request is not signed."""

    code = "MissingAuthenticationTokenException"


class IncompleteSignatureError(_AuthenticationError):
    """Something is missing in the signature, or is not as it must be written."""

    code = "IncompleteSignatureException"


class InvalidSignatureError(_AuthenticationError):
    """The signature is not the request's, or not of this time, region or service."""

    code = "InvalidSignatureException"


class UnrecognizedClientError(_AuthenticationError):
    """There is no such access key, or it is disabled."""

    code = "UnrecognizedClientException"


class AccessDeniedError(_ClientError):
    """Whoever asks is known, and may not."""

    code = "AccessDeniedException"
    type_prefix = FRAMEWORK_PREFIX
    grpc_status = "PERMISSION_DENIED"


class ResourceNotFoundError(_ClientError):
    """The table does not exist, or is not active."""

    code = "ResourceNotFoundException"
    grpc_status = "NOT_FOUND"


class ResourceInUseError(_ClientError):
    """The table exists already, or is being created or deleted."""

    code = "ResourceInUseException"
    grpc_status = "ALREADY_EXISTS"


class LimitExceededError(_ClientError):
    """A limit on tables or partitions would be passed."""

    code = "LimitExceededException"
    grpc_status = "RESOURCE_EXHAUSTED"


class ConditionalCheckFailedError(_ClientError):
    """The write's condition does not hold. `item`: what it does not hold for, in canonical form, where that was asked
    for and there is such an item."""

    code = "ConditionalCheckFailedException"
    grpc_status = "FAILED_PRECONDITION"

    def __init__(self, message: str = "The conditional request failed", item: bytes | None = None) -> None:
        super().__init__(message)
        self.item = item


class ItemCollectionSizeLimitExceededError(_ClientError):
    """An item collection of a table with local indexes would grow over its limit."""

    code = "ItemCollectionSizeLimitExceededException"
    grpc_status = "RESOURCE_EXHAUSTED"


class CancellationReason(NamedTuple):
    """Why a transaction was cancelled, as far as one of its items goes. `code` "None": not because of this one. `item`:
    what a condition did not hold for, in canonical form, where that was asked for."""

    code: str = "None"
    message: str = ""
    item: bytes | None = None


NO_REASON = CancellationReason()
CONFLICT_REASON = CancellationReason("TransactionConflict", "Transaction is ongoing for the item")
COLLECTION_REASON = CancellationReason("ItemCollectionSizeLimitExceeded", "Collection size exceeded.")
THROTTLING_REASON = CancellationReason(
    "ThrottlingError",
    "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or "
    "index so please try again shortly. If exceptions persist, check if you have a hot key: "
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html.",
)
PROVISIONED_REASON = CancellationReason(
    "ProvisionedThroughputExceeded",
    "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning "
    "level with the UpdateTable API.",
)
"""Codes and messages are DynamoDB's (API reference, "TransactionCanceledException"), with all their advice."""
_PASSING_CODES = frozenset(each.code for each in (NO_REASON, CONFLICT_REASON, THROTTLING_REASON, PROVISIONED_REASON))


def condition_reason(item: bytes | None = None) -> CancellationReason:
    """An item's condition does not hold; `item` as in CancellationReason."""
    return CancellationReason("ConditionalCheckFailed", "The conditional request failed", item)


def validation_reason(message: str) -> CancellationReason:
    """What was to be done with an item breaks a rule of the API."""
    return CancellationReason("ValidationError", message)


class TransactionCanceledError(_ClientError):
    """A transaction that was not carried out, no part of it, and never will be. `reasons`: one for each of its items,
    in the order of the request. Sent again it may succeed where nothing but other transactions or too many requests
    stood in its way."""

    code = "TransactionCanceledException"
    grpc_status = "FAILED_PRECONDITION"
    is_not_carried_out = True
    message_member = "Message"

    def __init__(self, reasons: Sequence[CancellationReason]) -> None:
        codes = ", ".join(reason.code for reason in reasons)
        super().__init__(f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]")
        self.reasons = tuple(reasons)
        self.is_retriable = all(reason.code in _PASSING_CODES for reason in reasons)


class TransactionConflictError(_ClientError):
    """A write to an item that a transaction is under way on."""

    code = "TransactionConflictException"
    grpc_status = "ABORTED"
    is_retriable = True

    def __init__(self, message: str = CONFLICT_REASON.message) -> None:
        super().__init__(message)


class TransactionInProgressError(_ClientError):
    """A transaction whose client has sent it before: that one is still under way."""

    code = "TransactionInProgressException"
    grpc_status = "ABORTED"
    is_retriable = True
    message_member = "Message"

    def __init__(self, message: str = "Transaction from previous request is still in progress") -> None:
        super().__init__(message)


class IdempotentParameterMismatchError(_ClientError):
    """A transaction whose client has called another request by the same ClientRequestToken before."""

    code = "IdempotentParameterMismatchException"
    is_not_carried_out = True
    message_member = "Message"

    def __init__(
        self,
        message: str = "The request has the ClientRequestToken of an earlier one, and other parameters than that one",
    ) -> None:
        super().__init__(message)


class ExpiredIteratorError(_ClientError):
    """A place in a stream was asked for so long ago that it has to be asked for again."""

    code = "ExpiredIteratorException"
    grpc_status = "FAILED_PRECONDITION"


class TrimmedDataAccessError(_ClientError):
    """What comes next in a stream is not kept any more."""

    code = "TrimmedDataAccessException"
    grpc_status = "OUT_OF_RANGE"


class RequestLimitExceededError(_ClientError):
    """Too much is in flight; the request was not carried out."""

    code = "RequestLimitExceeded"
    grpc_status = "RESOURCE_EXHAUSTED"
    is_retriable = True


class ThrottledError(_ClientError):
    """A partition takes no more at present; the request was not carried out."""

    code = "ThrottlingException"
    grpc_status = "RESOURCE_EXHAUSTED"
    is_retriable = True


class ProvisionedThroughputExceededError(ThrottledError):
    """The same, of a table whose throughput is provisioned."""

    code = "ProvisionedThroughputExceededException"


NO_METADATA_LEADER = "no leader of the metadata service is available at present"
"""What a metadata process says that cannot decide anything; another one may, or this one a moment later."""

_BY_CODE: dict[str, type[StatorError]] = {
    error.code: error
    for error in (
        InternalServerError,
        ServiceUnavailableError,
        ValidationError,
        SerializationError,
        UnknownOperationError,
        MissingAuthenticationTokenError,
        IncompleteSignatureError,
        InvalidSignatureError,
        UnrecognizedClientError,
        AccessDeniedError,
        ResourceNotFoundError,
        ResourceInUseError,
        LimitExceededError,
        ConditionalCheckFailedError,
        ItemCollectionSizeLimitExceededError,
        TransactionConflictError,
        TransactionInProgressError,
        IdempotentParameterMismatchError,
        ExpiredIteratorError,
        TrimmedDataAccessError,
        RequestLimitExceededError,
        ThrottledError,
        ProvisionedThroughputExceededError,
    )
}


def error_by_code(code: str) -> type[StatorError]:
    """The class of a wire code whose errors are made of a message; InternalServerError for one that is not known."""
    return _BY_CODE.get(code, InternalServerError)
