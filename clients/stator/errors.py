"""The errors that calls raise: one tree, each with the wire's code, a message, and whether trying again can help.

    StatorError
      ValidationError              ValidationException: the request breaks a rule; the message says which
      ResourceNotFoundError        ResourceNotFoundException: no such table, or not ready yet
      ResourceInUseError           ResourceInUseException: the table exists already, or is being created or deleted
      LimitExceededError           LimitExceededException
      ConditionalCheckFailedError  ConditionalCheckFailedException
      TransactionCanceledError     TransactionCanceledException: nothing was written; `reasons` says why, by member
      TransactionConflictError     TransactionConflictException: a transaction is at work on the item of a single write
      TransactionInProgressError   TransactionInProgressException: the transaction with this token has not ended yet
      IdempotentParameterMismatchError  IdempotentParameterMismatchException: the token names another transaction
      TrimmedDataAccessError       TrimmedDataAccessException: changes that a stream does not keep any more
      ExpiredIteratorError         ExpiredIteratorException: a shard iterator that is too old
      ItemCollectionSizeLimitExceededError  10 GB of one partition key's items and index entries
      UnknownOperationError        UnknownOperationException: this server is older than this client
      SerializationError           SerializationException
      AccessDeniedError            AccessDeniedException and its kin: no signature, a wrong one, a key that is not known
      ThrottledError               ThrottlingException, ProvisionedThroughputExceededException, RequestLimitExceeded
      InternalServerError          InternalServerError
      UnavailableError             nothing answered, or nobody can serve the request at present
      DeadlineExceededError        the call's time ran out; a write may or may not have been carried out
      ClientClosedError            the client was closed

Calls retry by themselves what can be retried, within `timeout_s`; what they raise is what the last attempt met.
"""

from dataclasses import dataclass
from typing import Any


class StatorError(Exception):
    """A call that was not carried out, or of which that is not known.

    `code` is DynamoDB's name of the error, `message` a sentence, `is_retriable` says whether the same call may succeed
    later. `follows_unknown_attempt`: an earlier attempt of the same call ended without a reply, so it may have been
    carried out (calls on tables, and writes).
    """

    code = "InternalServerError"
    is_retriable = False
    follows_unknown_attempt = False

    def __init__(self, message: str, *, code: str | None = None, is_retriable: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if is_retriable is not None:
            self.is_retriable = is_retriable


class ValidationError(StatorError):
    """The request breaks a rule of the data model or the API."""

    code = "ValidationException"


class ResourceNotFoundError(StatorError):
    """There is no such table, or it is not ready yet."""

    code = "ResourceNotFoundException"


class ResourceInUseError(StatorError):
    """The table exists already, or is being created or deleted."""

    code = "ResourceInUseException"


class LimitExceededError(StatorError):
    """A limit on tables or partitions would be passed."""

    code = "LimitExceededException"


class ConditionalCheckFailedError(StatorError):
    """The condition of a write did not hold; nothing was written.

    `item`: the item as it is, where return_values_on_condition_check_failure="ALL_OLD" asked for it and there is one.
    """

    code = "ConditionalCheckFailedException"
    item: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CancellationReason:
    """What a transaction's cancellation has to do with one of its members, the one at `index`, from 0.

    `code` is DynamoDB's: "None" if the member is no reason; else such as "ConditionalCheckFailed",
    "TransactionConflict", "ValidationError" or "ItemCollectionSizeLimitExceeded". `item`: the item as it is, where a
    condition did not hold, return_values_on_condition_check_failure="ALL_OLD" asked for it, and there is one.
    """

    index: int
    code: str
    message: str = ""
    item: dict[str, Any] | None = None

    @property
    def is_cause(self) -> bool:
        """Whether the transaction was cancelled for this member, among others."""
        return self.code != "None"


class TransactionCanceledError(StatorError):
    """A transaction was not carried out; nothing of it was written.

    `reasons` has one for each member, in their order; `causes` are those that are not "None".
    """

    code = "TransactionCanceledException"
    reasons: tuple[CancellationReason, ...] = ()

    @property
    def causes(self) -> tuple[CancellationReason, ...]:
        """Those of the members for which it was cancelled."""
        return tuple(reason for reason in self.reasons if reason.is_cause)

    @property
    def is_conflict(self) -> bool:
        """Whether it was cancelled only because others were at work on its items: the same may succeed a little later.

        Calls that end with this have tried again; see `conflict_attempts` in `stator.options`.
        """
        return bool(self.causes) and all(reason.code == "TransactionConflict" for reason in self.causes)


class TransactionConflictError(StatorError):
    """A transaction was at work on the item of a single write, which was not carried out.

    Calls that end with this have tried again; see `conflict_attempts` in `stator.options`.
    """

    code = "TransactionConflictException"
    is_retriable = True


class TransactionInProgressError(StatorError):
    """A transaction with the same token has not ended yet, such as an earlier attempt of the same call. It may or may
    not be carried out; a call with the same token and content later says which."""

    code = "TransactionInProgressException"
    is_retriable = True


class IdempotentParameterMismatchError(StatorError):
    """In the last ten minutes a transaction was carried out that had the same token and another content."""

    code = "IdempotentParameterMismatchException"


class TrimmedDataAccessError(StatorError):
    """Changes were asked for that a stream does not keep any more: they are kept for 24 hours, unless the metadata
    service is configured otherwise. They are lost to whoever needs them: read the table (`scan`), then go on from
    "oldest"."""

    code = "TrimmedDataAccessException"


class ExpiredIteratorError(StatorError):
    """A shard iterator is good for 15 minutes: get another, behind the last sequence number."""

    code = "ExpiredIteratorException"


class ItemCollectionSizeLimitExceededError(StatorError):
    """The items of one partition key, with their entries in local indexes, would have more than 10 GB."""

    code = "ItemCollectionSizeLimitExceededException"


class UnknownOperationError(StatorError):
    """The server does not know this operation."""

    code = "UnknownOperationException"


class SerializationError(StatorError):
    """The server could not read the request."""

    code = "SerializationException"


class AccessDeniedError(StatorError):
    """The server does not let this client do that."""

    code = "AccessDeniedException"


class ThrottledError(StatorError):
    """More was asked than is admitted at present; the request was not carried out."""

    code = "ThrottlingException"
    is_retriable = True


class InternalServerError(StatorError):
    """Something failed on the servers' side; a write may or may not have been carried out."""

    code = "InternalServerError"
    is_retriable = True


class UnavailableError(StatorError):
    """Nothing answers at the endpoints, or nobody can serve the request at present."""

    code = "ServiceUnavailableException"
    is_retriable = True


class DeadlineExceededError(StatorError):
    """The call's time ran out. A write may or may not have been carried out."""

    code = "DeadlineExceeded"
    is_retriable = True


class ClientClosedError(StatorError):
    """The client was closed before the call ended."""

    code = "ClientClosed"


_KINDS: tuple[type[StatorError], ...] = (
    ValidationError,
    ResourceNotFoundError,
    ResourceInUseError,
    LimitExceededError,
    ConditionalCheckFailedError,
    TransactionCanceledError,
    TransactionConflictError,
    TransactionInProgressError,
    IdempotentParameterMismatchError,
    TrimmedDataAccessError,
    ExpiredIteratorError,
    ItemCollectionSizeLimitExceededError,
    UnknownOperationError,
    SerializationError,
    AccessDeniedError,
    ThrottledError,
    InternalServerError,
    UnavailableError,
    DeadlineExceededError,
)
_BY_CODE: dict[str, type[StatorError]] = {kind.code: kind for kind in _KINDS} | {
    "ProvisionedThroughputExceededException": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "UnrecognizedClientException": AccessDeniedError,
    "MissingAuthenticationTokenException": AccessDeniedError,
    "InvalidSignatureException": AccessDeniedError,
    "IncompleteSignatureException": AccessDeniedError,
    "ExpiredTokenException": AccessDeniedError,
}


def is_conflict(error: StatorError) -> bool:
    """Whether it was not carried out because of a transaction on the same items, and for nothing else."""
    return isinstance(error, TransactionConflictError) or (
        isinstance(error, TransactionCanceledError) and error.is_conflict
    )


def error_from_wire(code: str, message: str, *, is_retriable: bool) -> StatorError:
    """The error that a server named; StatorError itself for a code that this version does not know."""
    return _BY_CODE.get(code, StatorError)(message, code=code, is_retriable=is_retriable)
