"""Trees as bytes: every tree comes back, and the format stays what is documented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.expressions.codec import CorruptTreeError, decode, encode
from server.expressions.condition_parser import ConditionParser
from server.expressions.trees import (
    AddAction,
    Attribute,
    Comparison,
    ConditionTree,
    DeleteAction,
    Not,
    ProjectionTree,
    RemoveAction,
    SetAction,
    Tree,
    UpdateTree,
    Value,
)
from tests.server.expressions.strategies import conditions, projections, updates


@given(conditions | updates | projections | updates.map(lambda tree: UpdateTree(tree.actions, is_legacy=True)))
def test_every_tree_comes_back(tree: Tree) -> None:
    """Equal to what it was."""
    assert decode(encode(tree)) == tree


@pytest.mark.parametrize(
    ("tree", "data"),
    [
        (
            ConditionParser("attribute_not_exists(pk) OR age < :a").parse(),
            b'[1,["a","pk"],["f","attribute_not_exists",1],["a","age"],["v",":a"],["c","<"],["o",2]]',
        ),
        (
            ConditionParser("NOT size(a.b[1]) BETWEEN :v AND :w AND c IN (:v, :w)").parse(),
            b'[1,["a","a","b",1],["s",1],["v",":v"],["v",":w"],["b"],["n"],["a","c"],["v",":v"],["v",":w"],["i",3],["&",2]]',
        ),
        (
            UpdateTree(
                (
                    SetAction(("a", 0), Attribute(("b",))),
                    RemoveAction(("c", "d")),
                    AddAction(("e",), Value(":v")),
                    DeleteAction(("f",), Value(":w")),
                ),
                is_legacy=True,
            ),
            b'[1,["a","b"],["S","a",0],["R","c","d"],["A",":v","e"],["D",":w","f"],["U",4,true]]',
        ),
        (ProjectionTree((("a",), ("b", 0, "c"))), b'[1,["P",["a"],["b",0,"c"]]]'),
    ],
)
def test_the_bytes(tree: Tree, data: bytes) -> None:
    """As the module's docstring has them: other versions of the program read them."""
    assert encode(tree) == data
    assert decode(data) == tree


def test_depth_is_no_matter() -> None:
    """Nothing nests in the bytes, and nothing recurses on the way there and back."""
    tree: ConditionTree = Comparison("=", Attribute(("a",)), Value(":v"))
    for _ in range(300):
        tree = Not(tree)
    data = encode(tree)
    assert data.count(b'["n"]') == 300
    assert encode(decode(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"[1]",
        b"{}",
        b"[2]",
        b"\xff",
        b"[1,2]",
        b"[1,[]]",
        b'[1,["?"]]',
        b'[1,["n"]]',
        b'[1,["a","b"],["&",2]]',
        b'[1,["a","b"],["&",-1]]',
        b'[1,["a","b"],["a","c"]]',
        b'[1,["v"]]',
        b'[1,["i",0]]',
        b'[1,["a","b"]]',
        b'[1,["a"],["v",":v"],["c","="]]',
        b'[1,["a",1],["v",":v"],["c","="]]',
        b'[1,["a","b",true],["v",":v"],["c","="]]',
        b'[1,["a","b",-1],["v",":v"],["c","="]]',
        b'[1,["a","b"],["v",1],["c","="]]',
        b'[1,["a","b"],["v",":v"],["c","?"]]',
        b'[1,["a","b"],["c","="]]',
        b'[1,["a","b"],["f","attribute_exists",1],["v",":v"],["c","="]]',
        b'[1,["a","b"],["f","attribute_exists",2]]',
        b'[1,["v",":v"],["f","attribute_exists",1]]',
        b'[1,["a","b"],["f","if_not_exists",1]]',
        b'[1,["a","b"],["a","c"],["s",2],["v",":v"],["c","="]]',
        b'[1,["a","b"],["n"]]',
        b'[1,["R","a"]]',
        b'[1,["R"],["U",1,false]]',
        b'[1,["R","a"],["U",1,1]]',
        b'[1,["R","a"],["R","a"],["U",2,false]]',
        b'[1,["R","a",0],["R","a","b"],["U",2,false]]',
        b'[1,["U",0,false]]',
        b'[1,["v",":v"],["a","b"],["u","if_not_exists",2],["S","a"],["U",1,false]]',
        b'[1,["a","b"],["a","b"],["u","size",2],["S","a"],["U",1,false]]',
        b'[1,["a","b"],["a","b"],["+","*"],["S","a"],["U",1,false]]',
        b'[1,["P",["a"],["a","b"]]]',
        b'[1,["P",[]]]',
        b'[1,["P",1]]',
    ],
)
def test_what_is_no_tree(data: bytes) -> None:
    """Is refused, in one way."""
    with pytest.raises(CorruptTreeError):
        decode(data)


@given(st.binary(max_size=40))
def test_any_bytes(data: bytes) -> None:
    """Are refused, if they are no tree by chance."""
    with pytest.raises(CorruptTreeError):
        decode(data)
