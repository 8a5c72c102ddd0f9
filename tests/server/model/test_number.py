"""Numbers: what is one, its one text, its size, and an encoding that orders as they do."""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.model.errors import ValidationError
from server.model.number import add_numbers, canonical_number, encode_number, number_bytes, subtract_numbers
from tests.server.model.strategies import numbers, plain, size_of_number

NOT_A_NUMBER = "The parameter cannot be converted to a numeric value"
TOO_MANY_DIGITS = "Attempting to store more than 38 significant digits in a Number"
OVERFLOW = "Number overflow. Attempting to store a number with magnitude larger than supported range"
UNDERFLOW = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
CANONICAL = re.compile(r"0|-?([1-9][0-9]*|0)(\.[0-9]*[1-9])?")
NINES = "9" * 38


def refusal(text: str) -> str:
    with pytest.raises(ValidationError) as raised:
        canonical_number(text)
    return raised.value.message


@st.composite
def written(draw: st.DrawFn) -> tuple[Decimal, str]:
    """A number and one of the many ways to write it."""
    number = draw(numbers())
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    shown = "0" * draw(st.integers(0, 3)) + "".join(map(str, digits))
    zeros = draw(st.integers(0, 3))
    shown, exponent = shown + "0" * zeros, exponent - zeros
    point = draw(st.integers(0, len(shown)))
    exponent += len(shown) - point
    text = shown[:point] + draw(st.sampled_from([".", ""]) if point == len(shown) else st.just(".")) + shown[point:]
    prefix = "-" if sign else draw(st.sampled_from(["", "+"]))
    mark = draw(st.sampled_from(["e", "E"]))
    tail = "" if exponent == 0 and draw(st.booleans()) else f"{mark}{exponent}"
    return number, prefix + text + tail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("+0.000", "0"),
        ("0e99", "0"),
        (".0", "0"),
        ("1", "1"),
        ("-1", "-1"),
        ("+1", "1"),
        ("007", "7"),
        ("1.", "1"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("100", "100"),
        ("1e2", "100"),
        ("1E+2", "100"),
        ("12.50", "12.5"),
        ("0.00123e1", "0.0123"),
        ("1234e-2", "12.34"),
        ("123e-3", "0.123"),
        ("9" * 21, "9" * 21),
        ("1" + "0" * 21, "1" + "0" * 21),
    ],
)
def test_the_one_text(text: str, expected: str) -> None:
    """No exponent, no superfluous zeros or signs, and only one zero."""
    assert canonical_number(text) == expected


@given(written())
def test_any_way_to_write_a_number_has_the_same_text(drawn: tuple[Decimal, str]) -> None:
    """The canonical text is the value's alone: exact, plain, and its own canonical text."""
    number, text = drawn
    canonical = canonical_number(text)
    assert canonical == plain(number)
    assert Decimal(canonical) == number
    assert CANONICAL.fullmatch(canonical)
    assert canonical_number(canonical) == canonical


@pytest.mark.parametrize(
    "text",
    [
        NINES,
        f"-{NINES}",
        f"0.{NINES}",
        f"{NINES[:19]}.{NINES[19:]}",
        f"000{NINES}000",
        f"{NINES}e88",
        f"-{NINES}e88",
        "1e125",
        "-1e125",
        "1" + "0" * 125,
        "1e-130",
        "-1e-130",
        "0." + "0" * 129 + "1",
        f"{NINES}e-167",
        "0e9999999999",
        "0" * 399 + "1",
    ],
)
def test_at_the_limits(text: str) -> None:
    """38 digits, 1E-130 to 9.99...E+125 and the negatives of both: nothing is refused, nothing is rounded."""
    assert Decimal(canonical_number(text)) == Decimal(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NINES + "9", TOO_MANY_DIGITS),
        (f"-{NINES}.9", TOO_MANY_DIGITS),
        (f"1{'0' * 37}1", TOO_MANY_DIGITS),
        (f"0.{'0' * 9}1{'0' * 37}1", TOO_MANY_DIGITS),
        ("1e126", OVERFLOW),
        ("-1e126", OVERFLOW),
        ("1" + "0" * 126, OVERFLOW),
        (f"{NINES}e89", OVERFLOW),
        ("1e9999999999", OVERFLOW),
        ("1e-131", UNDERFLOW),
        ("-1e-131", UNDERFLOW),
        ("9.99e-131", UNDERFLOW),
        ("0." + "0" * 130 + "9", UNDERFLOW),
        (f"{NINES}e-168", UNDERFLOW),
        ("1e-9999999999", UNDERFLOW),
    ],
)
def test_one_past_the_limits(text: str, message: str) -> None:
    """Is refused in DynamoDB's words; an exponent of any size costs no more than its text."""
    assert refusal(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "-",
        "+",
        ".",
        "-.",
        "e5",
        ".e5",
        "1e",
        "1e+",
        "x",
        "1x",
        " 1",
        "1 ",
        "1\n",
        "--1",
        "1.2.3",
        "1_0",
        "1,5",
        "1e99999999999",
    ],
)
def test_what_is_no_number(text: str) -> None:
    """Is refused, and named."""
    assert refusal(text) == f"{NOT_A_NUMBER}: {text}"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "0x10", "\u0661", "\uff11", "1e\u0661"])
def test_what_other_parsers_take_for_a_number(text: str) -> None:
    """Is none: not a number, infinity, other digits than ASCII's."""
    assert refusal(text) == f"{NOT_A_NUMBER}: {text}"


@pytest.mark.parametrize("text", ["", "x" * 101, "0" * 401, "1" + "0" * 400, "1e" + "0" * 399 + "1"])
def test_what_is_too_long_to_name(text: str) -> None:
    """Neither nothing nor a hundred characters and more are repeated; no number needs more than 400."""
    assert refusal(text) == NOT_A_NUMBER


def test_a_hundred_characters_are_named() -> None:
    """One less than what is not."""
    assert refusal("x" * 100) == f"{NOT_A_NUMBER}: {'x' * 100}"


@pytest.mark.parametrize(
    ("canonical", "expected"),
    [
        ("0", 1),
        ("1", 2),
        ("-1", 3),
        ("12", 2),
        ("123", 3),
        ("1000", 2),
        ("0.001", 2),
        ("-0.0012", 3),
        ("10.01", 3),
        ("1.5", 3),
        ("123.4", 4),
        ("100.5", 4),
        (NINES, 20),
        (f"-{NINES}", 21),
    ],
)
def test_a_numbers_size(canonical: str, expected: int) -> None:
    """A byte for two digits on either side of the point, one more, and one for a minus; zeros at either end do not
    count."""
    assert number_bytes(canonical) == expected


@given(numbers())
def test_the_size_of_any_number(number: Decimal) -> None:
    """Agrees with the rule read a second time; at most 22 bytes."""
    size = number_bytes(plain(number))
    assert size == size_of_number(number)
    assert 1 <= size <= 22


@pytest.mark.parametrize(
    ("canonical", "encoded"),
    [
        ("0", "80"),
        ("1", "8100c80b"),
        ("10", "8100c90b"),
        ("0.1", "8100c70b"),
        ("12", "8100c90d"),
        ("123", "8100ca0d1f"),
        ("99", "8100c964"),
        ("-1", "7fff37f4ff"),
        ("-12", "7fff36f2ff"),
        ("-123", "7fff35f2e0ff"),
    ],
)
def test_the_bytes_of_a_sort_key(canonical: str, encoded: str) -> None:
    """They are on disks: the encoding of a number never changes."""
    assert encode_number(canonical).hex() == encoded


def decoded(data: bytes) -> Decimal:
    """The number of an encoding, by its description."""
    if data[0] == 0x80:
        assert len(data) == 1
        return Decimal(0)
    is_negative = data[0] == 0x7F
    assert is_negative or data[0] == 0x81
    if is_negative:
        assert data[-1] == 0xFF
        data = bytes(255 - byte for byte in data[:-1])
    digits = "".join(f"{byte - 1:02}" for byte in data[3:])
    magnitude = int.from_bytes(data[1:3], "big") - 200
    return Decimal((int(is_negative), tuple(map(int, digits)), magnitude - len(digits) + 1))


@given(numbers())
def test_an_encoding_is_the_numbers_alone(number: Decimal) -> None:
    """Nothing is lost: the number can be read back."""
    assert decoded(encode_number(plain(number))) == number


@given(numbers(), numbers())
@example(Decimal(1), Decimal("1.01"))
@example(Decimal(-1), Decimal("-1.01"))
@example(Decimal(10), Decimal("10.5"))
@example(Decimal(9), Decimal(10))
@example(Decimal("-1e-130"), Decimal("1e-130"))
@example(Decimal("-1e125"), Decimal("1e125"))
def test_bytes_order_as_numbers_do(one: Decimal, two: Decimal) -> None:
    """Less, equal and greater are the same of the bytes as of the values."""
    first, second = encode_number(plain(one)), encode_number(plain(two))
    assert (first < second) == (one < two)
    assert (first == second) == (one == two)


@given(numbers(), st.integers(-5, 5))
def test_neighbours_order_too(number: Decimal, step: int) -> None:
    """Numbers that differ in their last digit only, where a mistake in padding would show."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    coefficient = int("".join(map(str, digits)))
    if not 0 < coefficient + step < 10**38 or len(str(coefficient + step)) != len(digits):
        return
    other = Decimal((sign, tuple(map(int, str(coefficient + step))), exponent))
    first, second = encode_number(plain(number)), encode_number(plain(other))
    assert (first < second) == (number < other)
    assert (first == second) == (number == other)


def sum_of(one: Decimal, two: Decimal) -> str:
    """The canonical sum in arithmetic without limits, or the error's words."""
    with decimal.localcontext(prec=1000):
        total = one + two
    if total == 0:
        return "0"
    if len("".join(map(str, total.as_tuple().digits)).strip("0")) > 38 or total.adjusted() > 125:
        return OVERFLOW
    return UNDERFLOW if total.adjusted() < -130 else plain(total)


def result_of(combine: Callable[[str, str], str], one: Decimal, two: Decimal) -> str:
    try:
        return combine(plain(one), plain(two))
    except ValidationError as error:
        return error.message


@given(numbers(), numbers())
@example(Decimal("9e125"), Decimal("9e125"))
@example(Decimal("1e50"), Decimal(1))
@example(Decimal("1e125"), Decimal("1e-130"))
@example(Decimal(10) ** 37 * 5, Decimal(10) ** 37 * 5)
@example(Decimal("1.5e-130"), Decimal("-1.4e-130"))
@example(Decimal(NINES), Decimal(1))
@example(Decimal(NINES[1:]), Decimal(NINES[1:]))
@example(Decimal(NINES), Decimal(NINES))
@example(Decimal("0.5"), Decimal("-0.5"))
def test_sums_are_exact(one: Decimal, two: Decimal) -> None:
    """Or refused; digits that would be lost are an overflow."""
    assert result_of(add_numbers, one, two) == sum_of(one, two)
    assert result_of(subtract_numbers, one, two) == sum_of(one, two.copy_negate())


@given(st.integers(-(10**40), 10**40), st.integers(-(10**40), 10**40))
def test_sums_of_integers(one: int, two: int) -> None:
    """The short way says what the long one does."""
    for left, right in ((Decimal(one), Decimal(two)), (Decimal(one // 10**20), Decimal(two // 10**20))):
        if len(plain(left).strip("-0")) <= 38 and len(plain(right).strip("-0")) <= 38:
            assert result_of(add_numbers, left, right) == sum_of(left, right)
            assert result_of(subtract_numbers, left, right) == sum_of(left, right.copy_negate())
