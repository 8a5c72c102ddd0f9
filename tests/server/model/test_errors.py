"""The tree of errors: each has the code, the prefix and the status that DynamoDB's clients know it by."""

from __future__ import annotations

import botocore.loaders
import grpc
import pytest

from server.model.errors import (
    COLLECTION_REASON,
    CONFLICT_REASON,
    FRAMEWORK_PREFIX,
    NO_REASON,
    PROVISIONED_REASON,
    SERVICE_PREFIX,
    THROTTLING_REASON,
    VALIDATION_PREFIX,
    AccessDeniedError,
    CancellationReason,
    ConditionalCheckFailedError,
    DeadlineExceededError,
    ExpiredIteratorError,
    IdempotentParameterMismatchError,
    IncompleteSignatureError,
    InternalServerError,
    InvalidSignatureError,
    ItemCollectionSizeLimitExceededError,
    LimitExceededError,
    MissingAuthenticationTokenError,
    ProvisionedThroughputExceededError,
    RequestLimitExceededError,
    ResourceInUseError,
    ResourceNotFoundError,
    SerializationError,
    ServiceUnavailableError,
    StatorError,
    ThrottledError,
    TransactionCanceledError,
    TransactionConflictError,
    TransactionInProgressError,
    TrimmedDataAccessError,
    UnknownOperationError,
    UnrecognizedClientError,
    ValidationError,
    condition_reason,
    error_by_code,
    validation_reason,
)

TREE: list[tuple[type[StatorError], str, str, int, str, bool]] = [
    (InternalServerError, "InternalServerError", SERVICE_PREFIX, 500, "INTERNAL", True),
    (DeadlineExceededError, "InternalServerError", SERVICE_PREFIX, 500, "DEADLINE_EXCEEDED", True),
    (ServiceUnavailableError, "ServiceUnavailableException", FRAMEWORK_PREFIX, 503, "UNAVAILABLE", True),
    (ValidationError, "ValidationException", VALIDATION_PREFIX, 400, "INVALID_ARGUMENT", False),
    (
        ConditionalCheckFailedError,
        "ConditionalCheckFailedException",
        SERVICE_PREFIX,
        400,
        "FAILED_PRECONDITION",
        False,
    ),
    (
        ItemCollectionSizeLimitExceededError,
        "ItemCollectionSizeLimitExceededException",
        SERVICE_PREFIX,
        400,
        "RESOURCE_EXHAUSTED",
        False,
    ),
    (TransactionConflictError, "TransactionConflictException", SERVICE_PREFIX, 400, "ABORTED", True),
    (TransactionInProgressError, "TransactionInProgressException", SERVICE_PREFIX, 400, "ABORTED", True),
    (
        IdempotentParameterMismatchError,
        "IdempotentParameterMismatchException",
        SERVICE_PREFIX,
        400,
        "INVALID_ARGUMENT",
        False,
    ),
    (SerializationError, "SerializationException", FRAMEWORK_PREFIX, 400, "INVALID_ARGUMENT", False),
    (UnknownOperationError, "UnknownOperationException", FRAMEWORK_PREFIX, 400, "UNIMPLEMENTED", False),
    (
        MissingAuthenticationTokenError,
        "MissingAuthenticationTokenException",
        FRAMEWORK_PREFIX,
        400,
        "UNAUTHENTICATED",
        False,
    ),
    (IncompleteSignatureError, "IncompleteSignatureException", FRAMEWORK_PREFIX, 400, "UNAUTHENTICATED", False),
    (InvalidSignatureError, "InvalidSignatureException", FRAMEWORK_PREFIX, 400, "UNAUTHENTICATED", False),
    (UnrecognizedClientError, "UnrecognizedClientException", FRAMEWORK_PREFIX, 400, "UNAUTHENTICATED", False),
    (AccessDeniedError, "AccessDeniedException", FRAMEWORK_PREFIX, 400, "PERMISSION_DENIED", False),
    (ResourceNotFoundError, "ResourceNotFoundException", SERVICE_PREFIX, 400, "NOT_FOUND", False),
    (ResourceInUseError, "ResourceInUseException", SERVICE_PREFIX, 400, "ALREADY_EXISTS", False),
    (LimitExceededError, "LimitExceededException", SERVICE_PREFIX, 400, "RESOURCE_EXHAUSTED", False),
    (ExpiredIteratorError, "ExpiredIteratorException", SERVICE_PREFIX, 400, "FAILED_PRECONDITION", False),
    (TrimmedDataAccessError, "TrimmedDataAccessException", SERVICE_PREFIX, 400, "OUT_OF_RANGE", False),
    (RequestLimitExceededError, "RequestLimitExceeded", SERVICE_PREFIX, 400, "RESOURCE_EXHAUSTED", True),
    (ThrottledError, "ThrottlingException", SERVICE_PREFIX, 400, "RESOURCE_EXHAUSTED", True),
    (
        ProvisionedThroughputExceededError,
        "ProvisionedThroughputExceededException",
        SERVICE_PREFIX,
        400,
        "RESOURCE_EXHAUSTED",
        True,
    ),
]


def leaves(error: type[StatorError]) -> set[type[StatorError]]:
    below = set(error.__subclasses__())
    return {error} if not below else set().union(*map(leaves, below))


@pytest.mark.parametrize(("error", "code", "prefix", "http_status", "grpc_status", "is_retriable"), TREE)
def test_what_a_client_is_told(
    error: type[StatorError], code: str, prefix: str, http_status: int, grpc_status: str, is_retriable: bool
) -> None:
    """Code, prefix and status are AWS's; what was not carried out, or may be repeated with its token, is retriable."""
    raised = error("what is wrong")
    assert (raised.code, raised.type_prefix, raised.http_status) == (code, prefix, http_status)
    assert (raised.grpc_status, raised.is_retriable) == (grpc_status, is_retriable)
    assert raised.message == str(raised) == "what is wrong"
    assert grpc_status in grpc.StatusCode.__members__


def test_the_table_is_the_whole_tree() -> None:
    """No error is told of that is not in it, but for the one that is not made of a message."""
    assert leaves(StatorError) | {ThrottledError} == {row[0] for row in TREE} | {TransactionCanceledError}


@pytest.mark.parametrize("error", [row[0] for row in TREE if row[0] is not DeadlineExceededError])
def test_a_code_leads_back_to_its_error(error: type[StatorError]) -> None:
    """So that what one process raised, another raises again."""
    assert error_by_code(error.code) is error


@pytest.mark.parametrize("code", ["", "validationexception", "DuplicateItemException"])
def test_a_code_of_another_version(code: str) -> None:
    """Is some failure on the servers' side, which a client may try again."""
    assert error_by_code(code) is InternalServerError


def test_the_services_own_errors_are_in_its_model() -> None:
    """What has the service's prefix is an error that SDKs make a class of, with our idea of whose fault it is."""
    loader = botocore.loaders.Loader()
    shapes = {
        **loader.load_service_model("dynamodbstreams", "service-2")["shapes"],
        **loader.load_service_model("dynamodb", "service-2")["shapes"],
    }
    for error, code, prefix, http_status, _, _ in TREE:
        if prefix == SERVICE_PREFIX:
            assert shapes[code]["exception"] is True, error
            assert bool(shapes[code].get("fault")) == (http_status >= 500), error


def test_the_messages_member_is_the_models() -> None:
    """An SDK that finds a message under another name has none."""
    shapes = botocore.loaders.Loader().load_service_model("dynamodb", "service-2")["shapes"]
    for error in (row[0] for row in TREE if row[2] == SERVICE_PREFIX and row[1] in shapes):
        assert error.message_member in shapes[error.code]["members"], error
    assert TransactionCanceledError.message_member in shapes[TransactionCanceledError.code]["members"]


def test_a_cancelled_transaction_says_why() -> None:
    """Item by item, in the order of the request; the message has the codes."""
    reasons = [condition_reason(b"item"), NO_REASON, COLLECTION_REASON]
    error = TransactionCanceledError(reasons)
    assert error.message == (
        "Transaction cancelled, please refer cancellation reasons for specific reasons "
        "[ConditionalCheckFailed, None, ItemCollectionSizeLimitExceeded]"
    )
    assert error.reasons == tuple(reasons)
    assert error.reasons[0] == ("ConditionalCheckFailed", "The conditional request failed", b"item")
    assert (error.code, error.type_prefix) == ("TransactionCanceledException", SERVICE_PREFIX)
    assert (error.http_status, error.grpc_status) == (400, "FAILED_PRECONDITION")
    assert error.is_not_carried_out


@pytest.mark.parametrize(
    ("reason", "is_retriable"),
    [
        (CONFLICT_REASON, True),
        (THROTTLING_REASON, True),
        (PROVISIONED_REASON, True),
        (COLLECTION_REASON, False),
        (condition_reason(), False),
        (validation_reason("what is wrong"), False),
    ],
)
def test_what_may_pass_is_worth_another_try(reason: CancellationReason, is_retriable: bool) -> None:
    """The same transaction may succeed where other requests were all that was in its way; one condition that does not
    hold is enough for it not to."""
    assert TransactionCanceledError([NO_REASON, reason]).is_retriable == is_retriable
    assert not TransactionCanceledError([CONFLICT_REASON, condition_reason()]).is_retriable


def test_what_was_refused_by_its_name_was_not_carried_out() -> None:
    """Whether one that is still under way will be is not known yet."""
    assert IdempotentParameterMismatchError().is_not_carried_out
    assert not TransactionInProgressError().is_not_carried_out
