"""How operations read a body: a table's name and its ARN, and what becomes of a body that is not as most are."""

from __future__ import annotations

import pytest

from router.requests.reading import table_name_of
from tests.router.requests.failing import NAME_PATTERN, SHORT_NAME, refusal

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/"


@pytest.mark.parametrize("name", ["abc", "a" * 255, "A-z_0.9"])
@pytest.mark.parametrize("prefix", ["", ARN, ARN.replace("aws", "aws-cn"), ARN.replace("eu-west-1", "local")])
def test_a_name_and_an_arn(name: str, prefix: str) -> None:
    """Both give the name."""
    assert table_name_of(prefix + name) == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ab", SHORT_NAME.format("ab")),
        (ARN + "ab", SHORT_NAME.format("ab")),
        ("a" * 256, SHORT_NAME.format("a" * 256).replace("greater than or equal to 3", "less than or equal to 255")),
        ("a/b", NAME_PATTERN.format("a/b")),
        ("abc\n", NAME_PATTERN.format("abc\n")),
        (ARN.replace("123456789012", "1") + "abc", NAME_PATTERN.format(ARN.replace("123456789012", "1") + "abc")),
        (ARN + "abc/index/def", NAME_PATTERN.format(ARN + "abc/index/def")),
        (ARN.replace("dynamodb", "sqs") + "abc", NAME_PATTERN.format(ARN.replace("dynamodb", "sqs") + "abc")),
        (
            "x!",
            "2 validation errors detected: Value 'x!' at 'tableName' failed to satisfy constraint: Member must satisfy "
            "regular expression pattern: [a-zA-Z0-9_.-]+; Value 'x!' at 'tableName' failed to satisfy constraint: "
            "Member must have length greater than or equal to 3",
        ),
    ],
)
def test_what_is_neither(text: str, message: str) -> None:
    """Is told as a name."""
    assert refusal(table_name_of, text) == ("ValidationException", message)
