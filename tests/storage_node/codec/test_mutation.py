"""Mutations survive encoding, and malformed bytes are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.paxos.ballot import Ballot
from storage_node.codec.mutation import CorruptMutationError, Mutation, decode_mutation, encode_mutation

MUTATIONS = st.builds(
    Mutation,
    st.just(b"") | st.binary(min_size=16, max_size=16),
    st.binary(max_size=60),
    st.none() | st.binary(max_size=60),
    st.integers(0, 2**64 - 1),
    st.builds(Ballot, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
)


@given(MUTATIONS)
def test_round_trip(mutation: Mutation) -> None:
    """What is decoded is what was encoded."""
    assert decode_mutation(encode_mutation(mutation)) == mutation


@given(st.binary(max_size=90))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    """Bytes from anywhere are a mutation that encodes to them, or an error."""
    try:
        mutation = decode_mutation(data)
    except CorruptMutationError:
        return
    assert encode_mutation(mutation) == data


@given(MUTATIONS, st.data())
def test_a_mutation_that_ends_before_its_item_is_noticed(mutation: Mutation, data: st.DataObject) -> None:
    """Header, token and key are whole or it is none; the item reaches to the end, which the record around it guards."""
    encoded = encode_mutation(mutation)
    item_start = len(encoded) - len(mutation.item or b"")
    with pytest.raises(CorruptMutationError):
        decode_mutation(encoded[: data.draw(st.integers(0, item_start - 1))])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x02" + bytes(30), "shorter"),
        (b"\x01" + bytes(31), "version 1"),
        (b"\x02\x02" + bytes(30), "values"),
        (b"\x02\x00\x05" + bytes(29), "values"),
        (b"\x02\x00\x00\x01" + bytes(28), "values"),
        (b"\x02\x00\x00\x00\x09" + bytes(27), "inside its key"),
        (b"\x02\x01\x00\x00\x01" + bytes(27) + b"ki", "carries an item"),
    ],
)
def test_malformed(data: bytes, message: str) -> None:
    """Each way to be malformed has its sentence."""
    with pytest.raises(CorruptMutationError, match=message):
        decode_mutation(data)


def test_tokens_have_one_length() -> None:
    """A token is 16 bytes or none."""
    with pytest.raises(ValueError, match="3 bytes"):
        encode_mutation(Mutation(b"abc", b"key", b""))
