"""Builders of expressions: the texts they make, what the servers make of these, and what is no expression."""

import doctest
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stator import attr, expressions, key, update
from stator.expressions import Condition, Placeholders, expression_text, projection_text
from stator.values import ValueEncoder
from statorpb import item_pb2

from server.expressions import expression as server_expressions
from server.expressions.codec import encode
from server.expressions.compiled import compiled_condition, compiled_update
from server.expressions.placeholders import Placeholders as ServerPlaceholders
from server.wire import item_from_message


def text_of(expression: Any) -> tuple[str, dict[str, str], dict[str, Any]]:
    placeholders = Placeholders()
    return expression.text(placeholders), placeholders.names, placeholders.values


def wire(item: dict[str, Any]) -> Any:
    """As the servers have it."""
    message = item_pb2.Item()
    ValueEncoder().fill_item(message, item)
    return item_from_message(message)


def holds(condition: Condition, item: dict[str, Any]) -> bool:
    """What the servers find."""
    text, names, values = text_of(condition)
    placeholders = ServerPlaceholders(names or None, wire(values) or None)
    parsed = server_expressions.parse_condition(text, placeholders)
    placeholders.check_all_used()
    return compiled_condition(encode(parsed.tree))(wire(item), parsed.values)


def test_the_examples_in_the_documentation() -> None:
    """They are what happens."""
    assert doctest.testmod(expressions).failed == 0
    assert doctest.testmod(expressions).attempted >= 5


N, S = attr("n"), attr("s")
X: Any = N  # whose types nobody checks, as in what people write
K: Any = key("a")


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (N.eq(1), "#n0 = :v0"),
        (N.ne(1), "#n0 <> :v0"),
        (N.lt(1), "#n0 < :v0"),
        (N.le(1), "#n0 <= :v0"),
        (N.gt(1), "#n0 > :v0"),
        (N.ge(1), "#n0 >= :v0"),
        (N.eq(S), "#n0 = #n1"),
        (N.between(1, S), "#n0 BETWEEN :v0 AND #n1"),
        (N.is_in([1, 2]), "#n0 IN (:v0, :v1)"),
        (S.exists(), "attribute_exists(#n0)"),
        (S.not_exists(), "attribute_not_exists(#n0)"),
        (S.type_is("SS"), "attribute_type(#n0, :v0)"),
        (S.begins_with("x"), "begins_with(#n0, :v0)"),
        (S.contains("x"), "contains(#n0, :v0)"),
        (S.size().gt(N.size()), "size(#n0) > size(#n1)"),
        (attr("a.b[2][0].c").exists(), "attribute_exists(#n0.#n1[2][0].#n2)"),
        (attr(["a.b", 0, "[c]"]).exists(), "attribute_exists(#n0[0].#n1)"),
        (attr("a")["b.c"][1].exists(), "attribute_exists(#n0.#n1[1])"),
        (N.eq(1) & S.eq(2) & N.eq(3), "#n0 = :v0 AND #n1 = :v1 AND #n0 = :v2"),
        (N.eq(1) & (S.eq(2) | N.eq(3)), "#n0 = :v0 AND (#n1 = :v1 OR #n0 = :v2)"),
        (N.eq(1) & S.eq(2) | N.eq(3), "#n0 = :v0 AND #n1 = :v1 OR #n0 = :v2"),
        (~N.eq(1), "NOT #n0 = :v0"),
        (~(N.eq(1) & S.eq(2)), "NOT (#n0 = :v0 AND #n1 = :v1)"),
        (~~N.eq(1), "#n0 = :v0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_conditions(condition: Condition, text: str) -> None:
    """Names and values by placeholders; brackets where they are needed, and nowhere else."""
    assert text_of(condition)[0] == text


Judge = Callable[[dict[str, Any]], bool]
conditions: st.SearchStrategy[tuple[Condition, Judge]] = st.recursive(
    st.sampled_from(
        [
            (N.eq(1), lambda item: item.get("n") == 1),
            (N.lt(5), lambda item: "n" in item and item["n"] < 5),
            (S.exists(), lambda item: "s" in item),
            (S.begins_with("a"), lambda item: item.get("s", "").startswith("a")),
        ]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: (pair[0][0] & pair[1][0], lambda i: pair[0][1](i) and pair[1][1](i))),
        st.tuples(inner, inner).map(lambda pair: (pair[0][0] | pair[1][0], lambda i: pair[0][1](i) or pair[1][1](i))),
        inner.map(lambda one: (~one[0], lambda i: not one[1](i))),
    ),
    max_leaves=12,
)
items = st.fixed_dictionaries(
    {"pk": st.just("x")}, optional={"n": st.integers(0, 8), "s": st.sampled_from(["a", "b", "ab"])}
)


@settings(deadline=None)
@given(conditions, items)
def test_the_servers_read_them_as_python_does(condition: tuple[Condition, Judge], item: dict[str, Any]) -> None:
    """However they are combined: no bracket too few, and none that the servers would call redundant."""
    assert holds(condition[0], item) == condition[1](item)


def test_updates() -> None:
    """Each part in its clause, in the order in which they were named."""
    change = (
        update()
        .remove("r", "m.x")
        .set("a", 1)
        .set(attr("n"), attr("n") + 1)
        .set("d", 10 - attr("n"))
        .set("e", 5 + attr("n"))
        .set("c", attr("c").if_not_exists(0) - 1)
        .set_if_absent("f", "x")
        .set("l", attr("l").append([1]))
        .set("k", attr("l").prepend(attr("k")))
        .add("t", {"x"})
        .delete("u", {"y"})
    )
    text, names, values = text_of(change)
    assert text == (
        "SET #n3 = :v0, #n4 = #n4 + :v1, #n5 = :v2 - #n4, #n6 = :v3 + #n4, #n7 = if_not_exists(#n7, :v4) - :v5, "
        "#n8 = if_not_exists(#n8, :v6), #n9 = list_append(#n9, :v7), #n10 = list_append(#n10, #n9) "
        "REMOVE #n0, #n1.#n2 ADD #n11 :v8 DELETE #n12 :v9"
    )
    placeholders = ServerPlaceholders(names, wire(values))
    parsed = server_expressions.parse_update(text, placeholders)
    placeholders.check_all_used()
    old = {"n": 3, "l": [0], "k": [9], "m": {"x": 1}, "u": {"y", "z"}}
    new = compiled_update(encode(parsed.tree)).apply(wire(old), parsed.values)
    assert new == wire(
        {"a": 1, "n": 4, "d": 7, "e": 8, "c": -1, "f": "x", "l": [0, 1], "k": [9, 0], "m": {}, "t": {"x"}, "u": {"z"}}
    )


def test_an_update_is_a_value() -> None:
    """What is added to one does not show in another that began as it did."""
    common = update().set("a", 1)
    assert text_of(common.set("b", 2))[0] == "SET #n0 = :v0, #n1 = :v1"
    assert text_of(common.remove("c"))[0] == "SET #n0 = :v0 REMOVE #n1"
    assert (bool(update()), bool(common)) == (False, True)


def test_key_conditions() -> None:
    """Every operator there is."""
    pk, sk = key("pk").eq("x"), key("sk")
    assert text_of(pk)[0] == "#n0 = :v0"
    for condition, text in [
        (sk.eq(1), "#n1 = :v1"),
        (sk.lt(1), "#n1 < :v1"),
        (sk.le(1), "#n1 <= :v1"),
        (sk.gt(1), "#n1 > :v1"),
        (sk.ge(1), "#n1 >= :v1"),
        (sk.between(1, 2), "#n1 BETWEEN :v1 AND :v2"),
        (sk.begins_with("a"), "begins_with(#n1, :v1)"),
    ]:
        assert text_of(pk & condition)[0] == f"#n0 = :v0 AND {text}"


def test_placeholders_keep_out_of_the_senders_way() -> None:
    """Those that a text brings along are kept."""
    placeholders = Placeholders({"#n1": "mine"}, {":v1": 7})
    assert N.eq(1).text(placeholders) == "#n2 = :v2"
    assert placeholders.names == {"#n1": "mine", "#n2": "n"}
    assert placeholders.values == {":v1": 7, ":v2": 1}


def test_texts_pass_as_they_are() -> None:
    """Also projections."""
    assert expression_text("a = :a", Condition, Placeholders(), "filter") == "a = :a"
    assert projection_text("a, b[0]", Placeholders()) == "a, b[0]"
    placeholders = Placeholders()
    assert projection_text(["a.b", attr("c"), ["d.e", 1]], placeholders) == "#n0.#n1, #n2, #n3[1]"
    assert placeholders.names["#n3"] == "d.e"
    assert expression_text(None, Condition, Placeholders(), "filter") == ""
    assert projection_text(None, Placeholders()) == ""


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: X.eq(1) and S.eq(2), "combine conditions with &"),
        (lambda: K.eq(1) and 1, "combine two with &"),
        (lambda: X.eq(1) & "x", "not str"),
        (lambda: X.eq(1) & K.eq(1), "not KeyCondition"),
        (lambda: K.eq(1) & X.eq(1), "see `filter`"),
        (lambda: text_of(N.eq(S.exists())), "is no value"),
        (lambda: text_of(N.eq(key("a"))), "is no value"),
        (lambda: N.is_in("abc"), r"write \['abc'\]"),
        (lambda: N.is_in([]), "at least one"),
        (lambda: attr("a..b"), "is no path"),
        (lambda: attr(""), "is no path"),
        (lambda: attr("[0]"), "is no path"),
        (lambda: attr("a[x]"), "is no path"),
        (lambda: attr("a[0]b"), "is no path"),
        (lambda: attr("a."), "is no path"),
        (lambda: attr([0]), "begins with the name"),
        (lambda: attr([]), "begins with the name"),
        (lambda: attr(["a", -1]), "indexes from 0"),
        (lambda: attr(["a", True]), "indexes from 0"),
        (lambda: attr("l").append("x"), "a list is needed"),
        (lambda: expression_text("", Condition, Placeholders(), "filter"), "filter is empty"),
        (lambda: expression_text(key("a").eq(1), Condition, Placeholders(), "filter"), "made by attr"),
        (lambda: projection_text(X, Placeholders()), r"write \[attr"),
    ],
)
def test_what_is_no_expression(wrong: Any, words: str) -> None:
    """A TypeError or ValueError that says what to write."""
    with pytest.raises((TypeError, ValueError), match=words):
        wrong()
