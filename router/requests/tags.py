"""TagResource, UntagResource and ListTagsOfResource: what a table is labelled with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from router.requests.shapes import Structure
from router.requests.table_shapes import INVALID, LIST_TAGS, TAG_RESOURCE, UNTAG_RESOURCE, read_body
from server.model.errors import ResourceNotFoundError, ValidationError
from server.model.limits import TABLE_NAME_LENGTH_MIN, TAGS_MAX
from server.model.table import is_reserved, name_in_arn

_RESERVED_PREFIX = "aws:"


@dataclass(frozen=True, slots=True)
class TagResourceRequest:
    """Sets tags, (key, value), in place of those of the same keys."""

    resource_arn: str
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class UntagResourceRequest:
    """Removes tags by their keys."""

    resource_arn: str
    tag_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListTagsRequest:
    """Asks for the tags of a table."""

    resource_arn: str


def tag_from_body(body: Mapping[str, Any], *, is_json: bool) -> TagResourceRequest:
    """Raises ValidationError or SerializationError."""
    content = _read(TAG_RESOURCE, body, is_json, needed="Tags")
    tags = read_tags(content["Tags"])
    if not tags:
        raise ValidationError("Atleast one Tag needs to be provided as Input.")
    return TagResourceRequest(content["ResourceArn"], tags)


def untag_from_body(body: Mapping[str, Any], *, is_json: bool) -> UntagResourceRequest:
    """Raises ValidationError or SerializationError."""
    content = _read(UNTAG_RESOURCE, body, is_json, needed="TagKeys")
    if not content["TagKeys"]:
        raise ValidationError("Atleast one Tag Key needs to be provided as Input.")
    return UntagResourceRequest(content["ResourceArn"], tuple(content["TagKeys"]))


def list_from_body(body: Mapping[str, Any], *, is_json: bool) -> ListTagsRequest:
    """Raises ValidationError or SerializationError."""
    content = _read(LIST_TAGS, body, is_json)
    if content.get("NextToken"):
        # All of a table's tags are on the first page.
        raise ValidationError(f"{INVALID}Invalid NextToken: {content['NextToken']}")
    return ListTagsRequest(content["ResourceArn"])


def read_tags(tags: Iterable[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    """(key, value) of tags that the model allows. Raises ValidationError."""
    found: dict[str, str] = {}
    for tag in tags:
        key = tag["Key"]
        if key in found:
            raise ValidationError(f"{INVALID}Duplicate tag key: {key}")
        if key.lower().startswith(_RESERVED_PREFIX):
            raise ValidationError(f"{INVALID}Tag keys that begin with {_RESERVED_PREFIX} are reserved: {key}")
        found[key] = tag["Value"]
    if len(found) > TAGS_MAX:
        raise ValidationError(f"{INVALID}Too many tags: a table has at most {TAGS_MAX}, and would have {len(found)}")
    return tuple(found.items())


def _read(shape: Structure, body: Mapping[str, Any], is_json: bool, *, needed: str = "") -> Mapping[str, Any]:
    content = read_body(shape, body, is_json=is_json)
    arn = content.get("ResourceArn")
    if arn is None:
        raise ValidationError("Invalid TableArn")
    if needed and needed not in content:
        raise ValidationError(
            f"1 validation error detected: Value null at '{needed[0].lower() + needed[1:]}' failed to satisfy "
            "constraint: Member must not be null"
        )
    name = name_in_arn(arn)
    if name is None or len(name) < TABLE_NAME_LENGTH_MIN:
        raise ValidationError(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
    if is_reserved(name):
        raise ResourceNotFoundError(f"Requested resource not found: ResourcArn: {arn} not found")
    return content
