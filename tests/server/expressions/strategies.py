"""Expressions, items and values as Hypothesis draws them: from few names and few values, so that much coincides."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from server.expressions.trees import (
    COMPARATORS,
    AddAction,
    And,
    Arithmetic,
    Attribute,
    Between,
    Comparison,
    ConditionTree,
    DeleteAction,
    Function,
    In,
    Not,
    Operand,
    Or,
    Path,
    ProjectionTree,
    RemoveAction,
    SetAction,
    Size,
    UpdateAction,
    UpdateFunction,
    UpdateOperand,
    UpdateTree,
    Value,
)
from server.expressions.values import TYPES
from server.model.item import AttributeValue, Item

NAMES = ("a", "b", "c")

numbers = st.sampled_from(("0", "1", "-1", "2", "10", "9", "1.5", "-0.25", "1" + "0" * 40, "0." + "0" * 40 + "1"))
texts = st.sampled_from(("", "a", "b", "ab", "abc", "1", "é", "\U0001f600", "\uffff"))
binaries = st.sampled_from((b"", b"a", b"ab", b"\xff"))


def _sets(kind: str, members: st.SearchStrategy[Any]) -> st.SearchStrategy[AttributeValue]:
    return st.lists(members, min_size=1, max_size=3, unique=True).map(lambda drawn: {kind: drawn})


scalars: st.SearchStrategy[AttributeValue] = st.one_of(
    texts.map(lambda text: {"S": text}),
    numbers.map(lambda number: {"N": number}),
    binaries.map(lambda data: {"B": data}),
    st.booleans().map(lambda flag: {"BOOL": flag}),
    st.just({"NULL": True}),
)
sets = st.one_of(_sets("SS", texts), _sets("NS", numbers), _sets("BS", binaries))

attribute_values: st.SearchStrategy[AttributeValue] = st.recursive(
    scalars | sets,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda drawn: {"L": drawn})
        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3).map(lambda drawn: {"M": drawn})
    ),
    max_leaves=6,
)
items: st.SearchStrategy[Item] = st.dictionaries(st.sampled_from(NAMES), attribute_values, max_size=3)


@st.composite
def request_values(draw: st.DrawFn) -> Item:
    """Values by placeholder: of every sort that some operator asks for, and two of any."""
    return {
        ":type": {"S": draw(st.sampled_from(TYPES))},
        ":number": {"N": draw(numbers)},
        ":set": draw(sets),
        ":list": {"L": draw(st.lists(scalars, max_size=2))},
        ":x": draw(attribute_values),
        ":y": draw(attribute_values),
    }


value_names = st.sampled_from((":number", ":set", ":list", ":x", ":y")).map(Value)
paths: st.SearchStrategy[Path] = st.tuples(
    st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES) | st.integers(0, 3), max_size=2)
).map(lambda drawn: (drawn[0], *drawn[1]))
attributes = paths.map(Attribute)
plain_operands: st.SearchStrategy[Operand] = attributes | value_names
operands: st.SearchStrategy[Operand] = plain_operands | plain_operands.map(lambda operand: Size((operand,)))


def _function(name: str, *drawn: st.SearchStrategy[Operand]) -> st.SearchStrategy[ConditionTree]:
    return st.tuples(*drawn).map(lambda operands: Function(name, operands))


leaves: st.SearchStrategy[ConditionTree] = st.one_of(
    st.builds(Comparison, st.sampled_from(COMPARATORS), operands, operands),
    st.builds(Between, operands, operands, operands),
    st.builds(In, operands, st.lists(operands, min_size=1, max_size=3).map(tuple)),
    _function("attribute_exists", attributes),
    _function("attribute_not_exists", attributes),
    _function("attribute_type", operands, st.just(Value(":type"))),
    _function("begins_with", operands, operands),
    _function("contains", operands, operands),
)


def _opposite(tree: ConditionTree) -> ConditionTree:
    return tree.condition if isinstance(tree, Not) else Not(tree)


conditions: st.SearchStrategy[ConditionTree] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(_opposite),
        st.lists(inner, min_size=2, max_size=3).map(lambda drawn: And(tuple(drawn))),
        st.lists(inner, min_size=2, max_size=3).map(lambda drawn: Or(tuple(drawn))),
    ),
    max_leaves=6,
)

update_operands: st.SearchStrategy[UpdateOperand] = st.recursive(
    attributes | value_names,
    lambda inner: st.one_of(
        st.tuples(attributes, inner).map(lambda drawn: UpdateFunction("if_not_exists", drawn)),
        st.tuples(inner, inner).map(lambda drawn: UpdateFunction("list_append", drawn)),
    ),
    max_leaves=4,
)
assigned: st.SearchStrategy[UpdateOperand] = update_operands | st.builds(
    Arithmetic, st.sampled_from("+-"), update_operands, update_operands
)
members = st.sampled_from((Value(":number"), Value(":set")))
actions: st.SearchStrategy[UpdateAction] = st.one_of(
    st.builds(SetAction, paths, assigned),
    st.builds(RemoveAction, paths),
    st.builds(AddAction, paths, members),
    st.builds(DeleteAction, paths, st.just(Value(":set"))),
)


def go_together(several: list[Path]) -> bool:
    """Whether no path begins another or is in conflict with it: an obvious second reading of the rule."""
    for index, one in enumerate(several):
        for two in several[:index]:
            common = [left == right for left, right in zip(one, two, strict=False)]
            if all(common):
                return False
            at = common.index(False)
            if isinstance(one[at], str) != isinstance(two[at], str):
                return False
    return True


updates: st.SearchStrategy[UpdateTree] = (
    st.lists(actions, min_size=1, max_size=4)
    .filter(lambda drawn: go_together([action.path for action in drawn]))
    .map(lambda drawn: UpdateTree(tuple(drawn)))
)
projections: st.SearchStrategy[ProjectionTree] = (
    st.lists(paths, min_size=1, max_size=4).filter(go_together).map(lambda drawn: ProjectionTree(tuple(drawn)))
)
