"""Numbers: exact decimals of at most 38 significant digits, their canonical text and an order-preserving encoding.

The rules are checked on the text, before any arithmetic: turning "1e999999" into an integer first would take minutes.
"""

from __future__ import annotations

import decimal
import re

from server.model.errors import ValidationError
from server.model.limits import NUMBER_DIGITS_MAX, NUMBER_MAGNITUDE_MAX, NUMBER_MAGNITUDE_MIN

_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,10}))?")
_PLAIN_INTEGER = re.compile(r"-?[1-9][0-9]{0,20}|0")
_TEXT_LENGTH_MAX = 400

_OVERFLOW = "Number overflow. Attempting to store a number with magnitude larger than supported range"

_ZERO_MARK = 0x80
_EXPONENT_BIAS = 200


def _parts(text: str) -> tuple[bool, str, int]:
    """(is negative, significant digits without zeros at either end, magnitude): the value is 0.DIGITS x 10^(magnitude
    + 1). Digits are empty for zero. Raises ValidationError."""
    match = _NUMBER.fullmatch(text) if len(text) <= _TEXT_LENGTH_MAX else None
    if match is None or not (match[2] or match[3]):
        raise ValidationError(
            "The parameter cannot be converted to a numeric value" + (f": {text}" if 0 < len(text) <= 100 else "")
        )
    sign, whole, fraction, exponent = match[1], match[2], match[3] or "", int(match[4] or 0)
    digits = (whole + fraction).lstrip("0")
    magnitude = len(digits) - len(fraction) - 1 + exponent
    digits = digits.rstrip("0")
    if not digits:
        return False, "", 0
    if len(digits) > NUMBER_DIGITS_MAX:
        raise ValidationError("Attempting to store more than 38 significant digits in a Number")
    if magnitude > NUMBER_MAGNITUDE_MAX:
        raise ValidationError(_OVERFLOW)
    if magnitude < NUMBER_MAGNITUDE_MIN:
        raise ValidationError(
            "Number underflow. Attempting to store a number with magnitude smaller than supported range"
        )
    return sign == "-", digits, magnitude


def canonical_number(text: str) -> str:
    """The one text of a number's value: no exponent, no superfluous zeros or signs. Raises ValidationError."""
    if _PLAIN_INTEGER.fullmatch(text) is not None:
        return text
    is_negative, digits, magnitude = _parts(text)
    if not digits:
        return "0"
    point = magnitude + 1
    if point <= 0:
        plain = "0." + "0" * -point + digits
    elif point >= len(digits):
        plain = digits + "0" * (point - len(digits))
    else:
        plain = f"{digits[:point]}.{digits[point:]}"
    return "-" + plain if is_negative else plain


def number_bytes(canonical: str) -> int:
    """A number's share of an item's size: a byte, one for every two digits before the point and for every two behind it
    (zeros at either end of the number do not count), and one for a minus sign. Measured against DynamoDB."""
    if canonical.isdigit():
        return 1 + (len(canonical.rstrip("0")) + 1) // 2
    whole, _, fraction = canonical.lstrip("-").partition(".")
    if not fraction:
        whole = whole.rstrip("0")
    if whole == "0":
        whole, fraction = "", fraction.lstrip("0")
    return 1 + (len(whole) + 1) // 2 + (len(fraction) + 1) // 2 + (1 if canonical[0] == "-" else 0)


def encode_number(canonical: str) -> bytes:
    """Bytes that order as the numbers do: a byte for sign and zero, the magnitude, two digits a byte.

    Negative numbers have everything after the first byte inverted, and a final 0xFF so that a shorter one, which is
    greater, orders after the longer."""
    is_negative, digits, magnitude = _parts(canonical)
    if not digits:
        return bytes((_ZERO_MARK,))
    biased = magnitude + _EXPONENT_BIAS
    padded = digits if len(digits) % 2 == 0 else digits + "0"
    pairs = bytes(int(padded[index : index + 2]) + 1 for index in range(0, len(padded), 2))
    body = biased.to_bytes(2, "big") + pairs
    if not is_negative:
        return bytes((_ZERO_MARK + 1,)) + body
    return bytes((_ZERO_MARK - 1,)) + bytes(255 - byte for byte in body) + b"\xff"


_EXACT = decimal.Context(prec=2 * (NUMBER_MAGNITUDE_MAX - NUMBER_MAGNITUDE_MIN), traps=[decimal.Inexact])
"""More digits than lie between the largest number's first and the smallest one's last."""
_INTEGER_DIGITS_MAX = NUMBER_DIGITS_MAX - 1
"""The sum of two integers of so many digits has not too many."""


def add_numbers(left: str, right: str) -> str:
    """The sum of two canonical numbers, exact and canonical. Raises ValidationError if no number can hold it."""
    if len(left) <= _INTEGER_DIGITS_MAX and len(right) <= _INTEGER_DIGITS_MAX and "." not in left and "." not in right:
        return str(int(left) + int(right))
    return _representable(_EXACT.add(decimal.Decimal(left), decimal.Decimal(right)))


def subtract_numbers(left: str, right: str) -> str:
    """As `add_numbers`, the difference."""
    if len(left) <= _INTEGER_DIGITS_MAX and len(right) <= _INTEGER_DIGITS_MAX and "." not in left and "." not in right:
        return str(int(left) - int(right))
    return _representable(_EXACT.subtract(decimal.Decimal(left), decimal.Decimal(right)))


def _representable(number: decimal.Decimal) -> str:
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    if len(digits) > NUMBER_DIGITS_MAX:
        # DynamoDB's word for digits that are lost in arithmetic, whatever the magnitude.
        raise ValidationError(_OVERFLOW)
    return canonical_number(f"{number:f}")
