"""The error tree."""

import stator
from stator.errors import StatorError, error_from_wire

from server.model import errors as server_errors


def test_each_code_has_its_class() -> None:
    """A code from the wire becomes the class that is documented for it; an unknown one keeps its code."""
    throttled = error_from_wire("ProvisionedThroughputExceededException", "slow down", is_retriable=True)
    assert type(throttled) is stator.ThrottledError
    assert (throttled.code, throttled.message) == ("ProvisionedThroughputExceededException", "slow down")
    unknown = error_from_wire("NewException", "what?", is_retriable=False)
    assert type(unknown) is StatorError
    assert (unknown.code, unknown.is_retriable) == ("NewException", False)


def test_the_server_decides_what_is_retriable() -> None:
    """The wire's flag wins over the class's default."""
    assert not error_from_wire("ThrottlingException", "no", is_retriable=False).is_retriable
    assert error_from_wire("ValidationException", "yes", is_retriable=True).is_retriable


def test_the_client_knows_every_code_of_the_servers() -> None:
    """No error that the servers can send is without a class of its own here."""
    kinds = [kind for kind in vars(server_errors).values() if isinstance(kind, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, server_errors.StatorError)}
    assert "TransactionConflictException" in codes
    unknown = {code for code in codes if type(error_from_wire(code, "", is_retriable=False)) is StatorError}
    assert not unknown
