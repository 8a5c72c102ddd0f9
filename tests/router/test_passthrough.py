"""proto/statorpb/passthrough.proto: every twin looks on the wire like the public message that it stands for."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from statorpb import item_pb2, items_pb2, passthrough_pb2, streams_pb2

TWINS: dict[str, Descriptor] = {
    name.removeprefix("Raw"): twin
    for name, twin in passthrough_pb2.DESCRIPTOR.message_types_by_name.items()
    if name.startswith("Raw")
}

PUBLIC: dict[str, Descriptor] = {
    **items_pb2.DESCRIPTOR.message_types_by_name,
    **streams_pb2.DESCRIPTOR.message_types_by_name,
}


def shape(field: FieldDescriptor) -> tuple[object, ...]:
    """What decides how a field is written, and whether its absence is seen. Items and keys count as bytes."""
    kind: object = field.type
    if field.message_type is not None:
        kind = field.message_type.name.removeprefix("Raw")
        if field.message_type is item_pb2.Item.DESCRIPTOR:
            kind = FieldDescriptor.TYPE_BYTES
    oneof = field.containing_oneof
    # `optional` is a oneof of one field, named after it.
    oneof_name = oneof.name if oneof is not None and oneof.name != f"_{field.name}" else None
    return field.name, field.number, kind, field.is_repeated, field.has_presence, oneof_name


@pytest.mark.parametrize("name", sorted(TWINS))
def test_a_twin_has_the_fields_of_its_public_message(name: str) -> None:
    """All of them: what a twin did not know would be dropped by whoever reads it."""
    assert sorted(map(shape, TWINS[name].fields)) == sorted(map(shape, PUBLIC[name].fields))


def holds_items(message: Descriptor) -> bool:
    """Whether items are in it; attribute values by themselves, of keys, are not."""
    if message is item_pb2.AttributeValue.DESCRIPTOR:
        return False
    return any(
        field.message_type is not None
        and (field.message_type is item_pb2.Item.DESCRIPTOR or holds_items(field.message_type))
        for field in message.fields
    )


def test_every_public_message_that_holds_items_has_a_twin() -> None:
    """Read as itself, it would lose the levels that protobuf counts for what is around an item."""
    assert sorted(name for name, message in PUBLIC.items() if holds_items(message)) == sorted(TWINS)
