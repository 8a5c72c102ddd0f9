"""What is said to a queue of packets, and what it says."""

from __future__ import annotations

import struct

from stator.gameday.delays import answered, message, packets


def told(*attributes: tuple[int, bytes], kind: int = 0x300) -> bytes:
    """A message of the kernel with these attributes, padded as the kernel pads them."""
    body = b"\2\0\0\7"
    for number, value in attributes:
        body += struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def header(number: int) -> tuple[int, bytes]:
    """A packet's number, with its protocol and hook."""
    return (1, struct.pack(">IHB", number, 0x800, 3))


def test_a_message_is_as_long_as_it_says() -> None:
    """The queue's number and the value in network order, the rest in the machine's; padded to four bytes."""
    whole = message(0x302, 5, 2, struct.pack(">IB", 0, 1), 5)
    assert whole == struct.pack("=IHHII", 32, 0x302, 5, 0, 0) + b"\0\0\0\5" + struct.pack("=HH", 9, 2) + (
        b"\0\0\0\0\1" + b"\0\0\0"
    )


def test_packets_are_found_among_what_is_told_of_them() -> None:
    """Of several messages at once; other attributes and other messages are passed over."""
    data = told((3, b"1234"), header(7), (9, b"abcde")) + told(kind=2) + told((0x8001, header(1 << 31)[1]))
    assert list(packets(data)) == [7, 1 << 31]
    assert list(packets(b"")) == []


def test_an_answer_has_an_error_number() -> None:
    """0 is none."""
    answers = [struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -code) + bytes(16) for code in (0, 1)]
    assert [answered(each) for each in answers] == [0, 1]
