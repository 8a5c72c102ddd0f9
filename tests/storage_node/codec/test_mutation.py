"""Mutations survive encoding, and malformed bytes are refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.paxos.ballot import Ballot
from storage_node.codec.change import Change, EntryChange
from storage_node.codec.mutation import CorruptMutationError, Mutation, decode_mutation, encode_mutation
from storage_node.codec.stream_record import Event, StreamRecord
from tests.storage_node.codec.test_stream_record import STREAM_RECORDS

ITEMS = st.none() | st.binary(max_size=60)
ENTRIES = st.builds(EntryChange, st.integers(0, 2**64 - 1), st.binary(max_size=40), ITEMS)
MUTATIONS = st.builds(
    Mutation,
    st.just(b"") | st.binary(min_size=16, max_size=16),
    st.binary(max_size=60),
    ITEMS,
    st.integers(0, 2**64 - 1),
    st.builds(Ballot, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    st.lists(st.tuples(st.binary(max_size=40), ITEMS), max_size=3).map(tuple),
    st.none() | st.binary(max_size=30),
    st.none() | st.builds(Change, st.integers(0, 2**64 - 1), st.lists(ENTRIES, max_size=3).map(tuple)),
    st.lists(STREAM_RECORDS, max_size=2).map(tuple),
)
RECORD = StreamRecord(5, Event.MODIFY, 7, 8, 9, b"keys", b"old", b"item")


def numbers(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


@given(MUTATIONS)
@example(Mutation(b"t" * 16, b"key", b"item"))  # what most are, for which there is a shorter way
@example(Mutation(b"t" * 16, b"", b""))
@example(Mutation(b"t" * 16, b"k", b"item", more=((b"i", b"item"), (b"j", b"other"), (b"k", None)), result=b"r"))
@example(
    Mutation(b"t" * 16, b"k", b"item", change=Change(1, (EntryChange(2, b"p", b"item"), EntryChange(2, b"q", None))))
)
@example(Mutation(b"t" * 16, b"k", b"item", records=(RECORD,)))
@example(Mutation(b"t" * 16, b"k", b"item", change=Change(1, (EntryChange(2, b"p", b"item"),)), records=(RECORD,)))
def test_round_trip(mutation: Mutation) -> None:
    """What is decoded is what was encoded."""
    assert decode_mutation(encode_mutation(mutation)) == mutation


@given(st.binary(max_size=90))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    """Bytes from anywhere are a mutation, or an error."""
    try:
        mutation = decode_mutation(data)
    except CorruptMutationError:
        return
    assert decode_mutation(encode_mutation(mutation)) == mutation


@given(MUTATIONS, st.data())
def test_a_mutation_that_ends_before_its_item_is_noticed(mutation: Mutation, data: st.DataObject) -> None:
    """Header, token and key are whole or it is none; an item that reaches to the end is guarded by the record around
    it."""
    encoded = encode_mutation(mutation)
    is_plain = not (mutation.more or mutation.result is not None or mutation.change is not None or mutation.records)
    item_start = len(encoded) - (len(mutation.item or b"") if is_plain else 0)
    with pytest.raises(CorruptMutationError):
        decode_mutation(encoded[: data.draw(st.integers(0, item_start - 1))])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x03" + bytes(30), "shorter"),
        (b"\x01" + bytes(31), "version 1"),
        (b"\x03\x04" + bytes(30), "values"),
        (b"\x03\x0a" + bytes(30), "values"),
        (b"\x04\x02" + bytes(30), "values"),
        (b"\x04\x08" + bytes(30), "values"),
        (b"\x04\x0a" + bytes(30) + numbers(0, 0, 0), "shorter"),
        (b"\x04\x0a" + bytes(30) + numbers(0, 0, 0) + b"\x01" + bytes(16), "behind"),
        (b"\x03\x00\x05" + bytes(29), "values"),
        (b"\x03\x00\x00\x01" + bytes(28), "values"),
        (b"\x03\x00\x00\x00\x09" + bytes(27), "inside its key"),
        (b"\x03\x00\x10\x00\x09" + bytes(27 + 16), "inside its key"),
        (b"\x03\x01\x00\x00\x01" + bytes(27) + b"ki", "carries an item"),
        (b"\x03\x02" + bytes(30) + numbers(0, 0, 0), "nothing more"),
        (b"\x03\x03" + bytes(30) + numbers(1, 0, 1) + b"i", "carries an item"),
        (b"\x03\x02" + bytes(30) + numbers(0, 1, 1) + b"r", "does not announce"),
        (b"\x03\x03" + bytes(30) + numbers(0, 0, 1) + numbers(0, 2**32 - 2), "repeat"),
        (b"\x03\x06" + bytes(30) + numbers(0, 0, 0) + b"x", "behind its last part"),
        (b"\x03\x06" + bytes(30) + numbers(5, 0, 0) + b"x", "inside one of its parts"),
        (b"\x05\x02" + bytes(30), "values"),
        (b"\x05\x12" + bytes(30) + numbers(0, 0, 0, 0), "and has 0"),
        (b"\x05\x12" + bytes(30) + numbers(0, 0, 0, 1_001), "and has 1001"),
        (b"\x05\x12" + bytes(30) + numbers(0, 0, 0, 1, 3) + b"abc", "shorter than its header"),
        (b"\x05\x12" + bytes(30) + numbers(0, 0, 0, 1, 4) + b"abc", "inside one of its parts"),
    ],
)
def test_malformed(data: bytes, message: str) -> None:
    """Each way to be malformed has its sentence."""
    with pytest.raises(CorruptMutationError, match=message):
        decode_mutation(data)


@pytest.mark.parametrize("item", [b"item", None])
def test_what_the_version_before_wrote(item: bytes | None) -> None:
    """Is read: its mutations had one write, and no result."""
    mutation = Mutation(b"", b"key", item, 5, Ballot(2, 3))
    old = b"\x02" + encode_mutation(mutation)[1:]
    assert decode_mutation(old) == mutation
    with pytest.raises(CorruptMutationError, match="values"):
        decode_mutation(b"\x02\x02" + old[2:])


def test_only_what_needs_it_takes_a_new_version() -> None:
    """All else can be read by the versions before, too."""
    plain, with_more = Mutation(b"", b"key", b"item"), Mutation(b"", b"key", b"item", more=((b"other", None),))
    with_change = with_more._replace(change=Change(1, (EntryChange(2, b"p", b"item"),)))
    with_record = with_change._replace(records=(RECORD,))
    assert [encode_mutation(each)[0] for each in (plain, with_more, with_change, with_record)] == [3, 3, 4, 5]
    assert len(encode_mutation(with_change)) == len(encode_mutation(with_more)) + 16 + 16 + 1


def test_tokens_have_one_length() -> None:
    """A token is 16 bytes or none."""
    with pytest.raises(ValueError, match="3 bytes"):
        encode_mutation(Mutation(b"abc", b"key", b""))


def test_an_item_that_several_keys_share_is_written_once() -> None:
    """An index that has whole items costs its key, not another copy."""
    item = bytes(10_000)
    mutation = Mutation(b"", b"key", item, more=((b"index", item), (b"other", item), (b"gone", None)))
    assert len(encode_mutation(mutation)) < 10_200
    assert decode_mutation(encode_mutation(mutation)) == mutation
