"""What is wrong with an expression is said in DynamoDB's words.

Messages of PutItem, UpdateItem and DeleteItem come in an envelope in most regions ("1 validation error detected: "),
which `Refusal` leaves out.
"""

from __future__ import annotations

import pytest

from tests.conformance.database import Database, Native, invalid, placeholders, typed, unique

pytestmark = pytest.mark.cluster

Values = dict[str, Native]

UNDEFINED_NAME = "An expression attribute name used in the document path is not defined; attribute name: "
UNDEFINED_VALUE = "An expression attribute value used in expression is not defined; attribute value: "
RESERVED = "Attribute name is a reserved keyword; reserved keyword: "
OPERANDS = "Incorrect number of operands for operator or function; operator or function: "
OPERAND_TYPE = "Incorrect operand type for operator or function; operator or function: "
CLAUSE_TYPE = "Incorrect operand type for operator or function; operator: "
PATH_NEEDED = "Operator or function requires a document path; operator or function: "
MISUSED = "The function is not allowed to be used this way in an expression; function: "
DISTINCT = "The first operand must be distinct from the remaining operands for this operator or function; operator: "
BOUNDS = "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: "
BOUND_TYPES = "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: "
OVERLAP = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: "
CONFLICT = "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: "
PARENTHESES = "The expression has redundant parentheses;"

CONDITIONS: list[tuple[str, Values, str]] = [
    ("", {}, "The expression can not be empty;"),
    # syntax
    ("a =", {}, 'Syntax error; token: "<EOF>", near: "="'),
    ("a", {}, 'Syntax error; token: "<EOF>", near: "a"'),
    ("a == :v", {"v": 1}, 'Syntax error; token: "=", near: "== :v"'),
    ("(a = :v", {"v": 1}, 'Syntax error; token: "<EOF>", near: ":v"'),
    ("a IN ()", {}, 'Syntax error; token: ")", near: "()"'),
    # names and values
    ("#a = :v", {"v": 1}, UNDEFINED_NAME + "#a"),
    ("a.#b = :v", {"v": 1}, UNDEFINED_NAME + "#b"),
    ("a = :w", {"v": 1}, UNDEFINED_VALUE + ":w"),
    ("name = :v", {"v": 1}, RESERVED + "name"),
    ("a.Status = :v", {"v": 1}, RESERVED + "Status"),
    ("attribute_exists(DATE)", {}, RESERVED + "DATE"),
    # functions
    ("dog(a)", {}, "Invalid function name; function: dog"),
    ("Attribute_Exists(a)", {}, "Invalid function name; function: Attribute_Exists"),
    ("attribute_exists(a, b)", {}, OPERANDS + "attribute_exists, number of operands: 2"),
    ("attribute_type(a)", {}, OPERANDS + "attribute_type, number of operands: 1"),
    ("begins_with(a)", {}, OPERANDS + "begins_with, number of operands: 1"),
    ("contains(a, :v, b)", {"v": 1}, OPERANDS + "contains, number of operands: 3"),
    ("size(a, b) = :v", {"v": 1}, OPERANDS + "size, number of operands: 2"),
    ("attribute_exists(:v)", {"v": 1}, PATH_NEEDED + "attribute_exists"),
    ("attribute_not_exists(:v)", {"v": 1}, PATH_NEEDED + "attribute_not_exists"),
    ("attribute_exists(size(a))", {}, PATH_NEEDED + "attribute_exists"),
    ("begins_with(a, :v)", {"v": 1}, OPERAND_TYPE + "begins_with, operand type: N"),
    ("begins_with(:v, a)", {"v": ["x"]}, OPERAND_TYPE + "begins_with, operand type: L"),
    ("attribute_type(a, :v)", {"v": 1}, OPERAND_TYPE + "attribute_type, operand type: N"),
    (
        "attribute_type(a, :v)",
        {"v": "DOG"},
        "Invalid attribute type name found; type: DOG, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
    ),
    ("size(:v) = :v", {"v": 1}, OPERAND_TYPE + "size, operand type: N"),
    ("size(:v) = a", {"v": True}, OPERAND_TYPE + "size, operand type: BOOL"),
    ("size(a)", {}, MISUSED + "size"),
    ("NOT size(a)", {}, MISUSED + "size"),
    ("attribute_exists(a) = :v", {"v": True}, MISUSED + "attribute_exists"),
    ("a = contains(b, :v)", {"v": 1}, MISUSED + "contains"),
    # operands
    ("a = a", {}, DISTINCT + "=, first operand: [a]"),
    ("a.b[0] < a.b[0]", {}, DISTINCT + "<, first operand: [a, b, [0]]"),
    ("contains(a, a)", {}, DISTINCT + "contains, first operand: [a]"),
    ("begins_with(a, a)", {}, DISTINCT + "begins_with, first operand: [a]"),
    (
        "a BETWEEN :v AND :w",
        {"v": 2, "w": 1},
        BOUNDS + "AttributeValue: {N:2}, upper bound operand: AttributeValue: {N:1}",
    ),
    (
        "a BETWEEN :v AND :w",
        {"v": "b", "w": "a"},
        BOUNDS + "AttributeValue: {S:b}, upper bound operand: AttributeValue: {S:a}",
    ),
    (
        "a BETWEEN :v AND :w",
        {"v": 2, "w": "dog"},
        BOUND_TYPES + "AttributeValue: {N:2}, upper bound operand: AttributeValue: {S:dog}",
    ),
    # parentheses
    ("((a = :v))", {"v": 1}, PARENTHESES),
    ("(a = :v) AND ((b = :v))", {"v": 1}, PARENTHESES),
    ("(((attribute_exists(a))))", {}, PARENTHESES),
]


@pytest.mark.parametrize(("expression", "values", "message"), CONDITIONS, ids=[each[0] for each in CONDITIONS])
@pytest.mark.parametrize("parameter", ["ConditionExpression", "FilterExpression"])
def test_a_condition(database: Database, parameter: str, expression: str, values: Values, message: str) -> None:
    """Of a write and of a read: the same, but for the name."""
    parameters = {parameter: expression, **placeholders(values)}
    expected = invalid(f"Invalid {parameter}: {message}")
    if parameter == "FilterExpression":
        assert database.refusal("scan", TableName=database.plain, **parameters) == expected
    else:
        key = typed({"pk": "a"})
        for operation, name in (("put_item", "Item"), ("delete_item", "Key"), ("update_item", "Key")):
            named = {"TableName": database.plain, name: key}
            assert database.refusal(operation, **named, **parameters) == expected, operation


ORDERED_TYPES = [True, None, [1], {"a": 1}, {"x"}, {1}, {b"x"}]


@pytest.mark.parametrize("value", ORDERED_TYPES, ids=str)
@pytest.mark.parametrize("expression", ["a < :v", ":v >= a", "a BETWEEN :v AND :v", "a <= :v"])
def test_a_value_that_has_no_order(database: Database, expression: str, value: Native) -> None:
    """It is the request that is wrong, not the item. (How the operator is spelt in the message is not known of all.)"""
    refused = database.refusal(
        "scan", TableName=database.plain, FilterExpression=expression, **placeholders({"v": value})
    )
    assert refused is not None
    assert refused.message.startswith("Invalid FilterExpression: Incorrect operand type for operator or function; ")


UPDATES: list[tuple[str, Values, str]] = [
    ("", {}, "The expression can not be empty;"),
    # syntax
    ("INVALID SYNTAX HERE", {"v": 1}, 'Syntax error; token: "INVALID", near: "INVALID SYNTAX"'),
    ("SET", {}, 'Syntax error; token: "<EOF>", near: "SET"'),
    ("SET a", {}, 'Syntax error; token: "<EOF>", near: "a"'),
    ("SET a = ", {}, 'Syntax error; token: "<EOF>", near: "="'),
    ("ADD a", {}, 'Syntax error; token: "<EOF>", near: "a"'),
    ("REMOVE a,", {}, 'Syntax error; token: "<EOF>", near: ","'),
    # sections
    ("SET a = :v SET b = :v", {"v": 1}, 'The "SET" section can only be used once in an update expression;'),
    ("REMOVE a SET c = :v REMOVE b", {"v": 1}, 'The "REMOVE" section can only be used once in an update expression;'),
    ("ADD a :v ADD b :v", {"v": 1}, 'The "ADD" section can only be used once in an update expression;'),
    ("DELETE a :v DELETE b :v", {"v": {1}}, 'The "DELETE" section can only be used once in an update expression;'),
    # names and values
    ("SET #a = :v", {"v": 1}, UNDEFINED_NAME + "#a"),
    ("SET a = :w", {"v": 1}, UNDEFINED_VALUE + ":w"),
    ("SET name = :v", {"v": 1}, RESERVED + "name"),
    ("REMOVE a.size", {}, RESERVED + "size"),
    # functions
    ("SET a = dog(b)", {}, "Invalid function name; function: dog"),
    ("SET a = LIST_APPEND(:v, :v)", {"v": [1]}, "Invalid function name; function: LIST_APPEND"),
    ("SET a = list_append(b)", {}, OPERANDS + "list_append, number of operands: 1"),
    ("SET a = if_not_exists(b)", {}, OPERANDS + "if_not_exists, number of operands: 1"),
    ("SET a = if_not_exists(:v, :v)", {"v": 1}, PATH_NEEDED + "if_not_exists"),
    ("SET a = list_append(:v, b)", {"v": "x"}, OPERAND_TYPE + "list_append, operand type: S"),
    ("SET a = b + :v", {"v": "x"}, OPERAND_TYPE + "+, operand type: S"),
    ("SET a = :v - b", {"v": [1]}, OPERAND_TYPE + "-, operand type: L"),
    # ADD and DELETE
    ("ADD a :v", {"v": "x"}, CLAUSE_TYPE + "ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"),
    ("ADD a :v", {"v": [1]}, CLAUSE_TYPE + "ADD, operand type: LIST, typeSet: ALLOWED_FOR_ADD_OPERAND"),
    ("ADD a :v", {"v": {"x": 1}}, CLAUSE_TYPE + "ADD, operand type: MAP, typeSet: ALLOWED_FOR_ADD_OPERAND"),
    ("DELETE a :v", {"v": "x"}, CLAUSE_TYPE + "DELETE, operand type: STRING, typeSet: ALLOWED_FOR_DELETE_OPERAND"),
    ("DELETE a :v", {"v": 1}, CLAUSE_TYPE + "DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND"),
    # paths
    ("SET a = :v, a = :v", {"v": 1}, OVERLAP + "[a], path two: [a]"),
    ("SET a = :v REMOVE a", {"v": 1}, OVERLAP + "[a], path two: [a]"),
    ("SET a = :v, a.b = :v", {"v": 1}, OVERLAP + "[a], path two: [a, b]"),
    ("SET a.b.c = :v, a.b = :v", {"v": 1}, OVERLAP + "[a, b, c], path two: [a, b]"),
    ("SET a[1][1] = :v, a[1] = :v", {"v": 1}, OVERLAP + "[a, [1], [1]], path two: [a, [1]]"),
    ("SET a.b = :v, a[1] = :v", {"v": 1}, CONFLICT + "[a, b], path two: [a, [1]]"),
]


@pytest.mark.parametrize(("expression", "values", "message"), UPDATES, ids=[each[0] for each in UPDATES])
def test_an_update(database: Database, expression: str, values: Values, message: str) -> None:
    """Nothing is done."""
    key = {"pk": unique()}
    refused = database.refusal(
        "update_item",
        TableName=database.plain,
        Key=typed(key),
        UpdateExpression=expression,
        **placeholders(values),
    )
    assert refused == invalid("Invalid UpdateExpression: " + message)
    assert database.get(database.plain, key) is None


SYNTAX = [
    "SET a = :v + :v + :v",
    "SET a = if_not_exists(a, :v + :v)",
    "SET :v = :v",
    "SET a[b] = :v",
    "SET a[#b] = :v",
    "SET a[:v] = :v",
    "SET a = b.",
    "SET _a = :v",
    "SET 1a = :v",
    "SET a-b = :v",
    'SET "a" = :v',
    "SET a = 1",
    "SET a = 'x'",
    "SET a = :v,",
    "SET a = :v; b = :v",
    "SET a = :v AND b = :v",
    "REMOVE a b",
    "REMOVE :v",
    "ADD a",
    "ADD a b",
    "ADD a = :v",
    "DELETE a b",
    "set",
    "HELLO a = :v",
]


@pytest.mark.parametrize("expression", SYNTAX)
def test_a_syntax_error_of_an_update(database: Database, expression: str) -> None:
    """It names the token where it is noticed."""
    values = placeholders({"v": 1}) if ":v" in expression else {}
    refused = database.refusal(
        "update_item", TableName=database.plain, Key=typed({"pk": "a"}), UpdateExpression=expression, **values
    )
    assert refused is not None
    assert refused.message.startswith('Invalid UpdateExpression: Syntax error; token: "')


CONDITION_SYNTAX = [
    "a != :v",
    "a = :v AND",
    "AND a = :v",
    "a = :v b = :v",
    "a < :v < :v",
    "a BETWEEN :v",
    "a BETWEEN :v OR :v",
    "a IN :v",
    "NOT",
    ")a = :v(",
    "a = 1",
    "a = 'x'",
    "a[b] = :v",
    "attribute_exists a",
    "attribute_exists(a",
    "a = :v;",
    "a + :v = :v",
]


@pytest.mark.parametrize("expression", CONDITION_SYNTAX)
def test_a_syntax_error_of_a_condition(database: Database, expression: str) -> None:
    """It names the token where it is noticed."""
    values = placeholders({"v": 1}) if ":v" in expression else {}
    refused = database.refusal(
        "delete_item", TableName=database.plain, Key=typed({"pk": "a"}), ConditionExpression=expression, **values
    )
    assert refused is not None
    assert refused.message.startswith('Invalid ConditionExpression: Syntax error; token: "')


WORDS = [
    "name",
    "NAME",
    "Name",
    "abort",
    "zone",
    "ttl",
    "value",
    "values",
    "timestamp",
    "user",
    "hash",
    "range",
    "key",
    "count",
    "size",
    "data",
    "order",
    "year",
]


@pytest.mark.parametrize("word", WORDS)
def test_reserved_words(database: Database, word: str) -> None:
    """In any case; by a placeholder they are fine."""
    key = {"pk": unique()}
    parameters = {"TableName": database.plain, "Key": typed(key), **placeholders({"v": 1})}
    refused = database.refusal("update_item", UpdateExpression=f"SET {word} = :v", **parameters)
    assert refused == invalid(f"Invalid UpdateExpression: {RESERVED}{word}")
    names = {"ExpressionAttributeNames": {"#n": word}}
    assert database.refusal("update_item", UpdateExpression="SET #n = :v", **names, **parameters) is None
    assert database.get(database.plain, key) == {**key, word: 1}


@pytest.mark.parametrize("function", ["if_not_exists(a, :v)", "list_append(a, :v)"])
def test_a_function_of_updates_in_a_condition(database: Database, function: str) -> None:
    """It is known, but not allowed there."""
    refused = database.refusal(
        "delete_item",
        TableName=database.plain,
        Key=typed({"pk": "a"}),
        ConditionExpression=f"{function} = :v",
        **placeholders({"v": [1]}),
    )
    assert refused is not None
    # "The function is not allowed in a condition expression; function: ...", as far as is known.
    assert refused.message.startswith("Invalid ConditionExpression: ") and "not allowed" in refused.message
