"""Targets: texts of expressions, and trees as storage nodes get them."""

from __future__ import annotations

from collections.abc import Iterator

from server.expressions.codec import CorruptTreeError, decode, encode
from server.expressions.compiled import compiled_condition, compiled_projection, compiled_update
from server.expressions.expression import parse_condition, parse_projection, parse_update
from server.expressions.key_condition import key_condition
from server.expressions.placeholders import Placeholders
from server.model.errors import ValidationError
from server.model.item import Item, check_item, item_bytes
from server.wire import item_from_bytes, item_to_bytes
from tests.fuzz import seeds
from tests.fuzz.seeds import texts
from tests.server.expressions.reference import holds, projected, updated

ITEM: Item = {
    "pk": {"S": "a"},
    "a": {"L": [{"N": "1"}, {"M": {"b": {"SS": ["x", "y"]}}}, {"L": [{"S": ""}]}]},
    "b": {"M": {"a": {"N": "-2.5"}, "c": {"B": b"\x00\xff"}}},
    "c": {"NS": ["1", "2"]},
    "num": {"N": "10"},
    "str": {"S": "banana"},
    "tags": {"SS": ["a", "b"]},
}
ITEMS: tuple[Item, ...] = ({}, {"pk": {"S": "a"}}, ITEM)
NAMES = {"#a": "a", "#b": "b", "#n": "a.b", "#pk": "pk", "#size": "size"}
VALUES: Item = {**seeds.VALUES, ":b": {"B": b"\x00"}}


def _text(data: bytes) -> str:
    """As JSON and protobuf have it: without lone surrogates."""
    return data.decode("utf-8", "replace")


def text_seeds() -> Iterator[bytes]:
    return (text.encode() for text in texts())


def conditions(data: bytes) -> None:
    """A condition comes back from its bytes, holds or not as the reference says, and may be one on keys."""
    try:
        condition = parse_condition(_text(data), Placeholders(NAMES, VALUES), "KeyConditionExpression")
    except ValidationError:
        return
    encoded = encode(condition.tree)
    assert decode(encoded) == condition.tree
    check = compiled_condition(encoded)
    for item in ITEMS:
        assert check(item, condition.values) is holds(condition.tree, item, condition.values)
    for partition_keys, sort_keys in ((["pk"], ["num"]), (["pk"], []), (["pk", "num"], ["a", "b"])):
        try:
            key_condition(condition, partition_keys, sort_keys)
        except ValidationError:
            pass


def updates(data: bytes) -> None:
    """An update comes back from its bytes, leaves its argument alone, and does what the reference says."""
    try:
        update = parse_update(_text(data), Placeholders(NAMES, VALUES))
    except ValidationError:
        return
    encoded = encode(update.tree)
    assert decode(encoded) == update.tree
    compiled = compiled_update(encoded)
    for item in ITEMS:
        before = item_to_bytes(item)
        expected = updated(update.tree, item, update.values)
        try:
            new = compiled.apply(item, update.values)
        except ValidationError as error:
            assert isinstance(expected, set) and error.message in expected
            continue
        finally:
            assert item_to_bytes(item) == before
        assert new == expected
        assert check_item(new) == (new, item_bytes(new))
        assert item_from_bytes(item_to_bytes(new)) == new
        check_item(compiled.touched(new))


def projections(data: bytes) -> None:
    """A projection comes back from its bytes; what it makes, it leaves as it is."""
    try:
        projection = parse_projection(_text(data), Placeholders(NAMES, None))
    except ValidationError:
        return
    encoded = encode(projection.tree)
    assert decode(encoded) == projection.tree
    project = compiled_projection(encoded)
    for item in ITEMS:
        part = project(item)
        assert part == projected(projection.tree, item)
        assert check_item(part)[0] == part
        assert part.keys() <= item.keys()


def trees(data: bytes) -> None:
    """Bytes where a tree should be: refused, or a tree that does something."""
    try:
        tree = decode(data)
    except CorruptTreeError:
        return
    assert decode(encode(tree)) == tree
    for use in (
        lambda item: compiled_condition(data)(item, VALUES),
        lambda item: check_item(compiled_update(data).apply(item, VALUES)),
        lambda item: check_item(compiled_projection(data)(item)),
    ):
        for item in ITEMS:
            try:
                use(item)
            except (CorruptTreeError, ValidationError):
                continue


def tree_seeds() -> Iterator[bytes]:
    for text in texts():
        for parse in (
            lambda text: parse_condition(text, Placeholders(NAMES, VALUES)),
            lambda text: parse_update(text, Placeholders(NAMES, VALUES)),
            lambda text: parse_projection(text, Placeholders(NAMES, None)),
        ):
            try:
                yield encode(parse(text).tree)
            except ValidationError:
                continue
