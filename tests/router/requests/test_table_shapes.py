"""Bodies of operations on tables, before anything in them has a meaning."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from router.requests import table_shapes
from router.requests.shapes import Flag, Integer, ListOf, Shape, Structure, Text
from router.requests.table_shapes import CREATE_TABLE, LIST_TABLES, read_body, refuse
from tests.router.requests.failing import refusal

_MODEL = boto3.client(
    "dynamodb", region_name="local", aws_access_key_id="a", aws_secret_access_key="a"
).meta.service_model
_SHAPES = [each for each in vars(table_shapes).values() if isinstance(each, Structure) and each.name.endswith("Input")]
_TYPES: dict[type, set[str]] = {
    Text: {"string"},
    Flag: {"boolean"},
    Integer: {"integer", "long"},
    ListOf: {"list"},
    Structure: {"structure"},
}


def compare(shape: Shape, model: Any) -> None:
    """Every member has the model's type and values."""
    assert model.type_name in _TYPES[type(shape)]
    if isinstance(shape, Structure):
        assert shape.required <= shape.members.keys() <= model.members.keys()
        for name, member in shape.members.items():
            compare(member, model.members[name])
    elif isinstance(shape, ListOf):
        compare(shape.element, model.member)
    elif isinstance(shape, Integer):
        assert shape.is_long == (model.type_name == "long")
    elif isinstance(shape, Text):
        assert set(shape.enum) == set(model.enum)


@pytest.mark.parametrize("shape", _SHAPES, ids=lambda shape: shape.name)
def test_shapes_are_the_service_models(shape: Structure) -> None:
    """Nothing is called otherwise than by AWS."""
    compare(shape, _MODEL.shape_for(shape.name))


def test_what_is_null_in_a_list_is_not_there() -> None:
    """It cannot make anything fail that expects an element."""
    body = {
        "TableName": "music",
        "AttributeDefinitions": [None, {"AttributeName": "a", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}, None],
        "Tags": [None],
    }
    content = read_body(CREATE_TABLE, body, is_json=True)
    assert (len(content["AttributeDefinitions"]), len(content["KeySchema"]), content["Tags"]) == (1, 1, [])


def test_what_the_model_does_not_have_is_left_out() -> None:
    """As DynamoDB does."""
    assert read_body(LIST_TABLES, {"Limit": 3, "Order": "up"}, is_json=True) == {"Limit": 3}


def test_what_is_not_supported() -> None:
    """Is refused by name, unless it is null."""
    refuse({"A": None, "C": 1}, "CreateTable", ["A", "B"])
    message = "The parameter B of CreateTable is not supported yet"
    assert refusal(refuse, {"B": []}, "CreateTable", ["A", "B"]) == ("ValidationException", message)
