"""What a body says about a table reaches the metadata service, through either door."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message
from statorpb import tables_pb2

from router import table_bodies
from router.requests import create_table, table_requests, tags, time_to_live, update_table
from router.table_messages import message_of
from server.model.errors import ValidationError
from server.model.table import table_arn

BY_LABEL = tables_pb2.GlobalIndex(
    name="by-label-and-year",
    partition_keys=[tables_pb2.KeyAttribute(name=name, type=tables_pb2.S) for name in ("label", "artist")],
    sort_keys=[tables_pb2.KeyAttribute(name=name, type=tables_pb2.N) for name in ("year", "month")],
    projection=tables_pb2.Projection(type=tables_pb2.Projection.ALL),
    on_demand=tables_pb2.OnDemandThroughput(max_write_request_units=9),
    warm=tables_pb2.WarmThroughput(write_units_per_second=8),
)
FULL = tables_pb2.CreateTableRequest(
    table_name="music",
    key_schema=tables_pb2.KeySchema(
        partition_key=tables_pb2.KeyAttribute(name="artist", type=tables_pb2.S),
        sort_key=tables_pb2.KeyAttribute(name="year", type=tables_pb2.N),
    ),
    partitions=4,
    on_demand=tables_pb2.OnDemandThroughput(max_read_request_units=7, max_write_request_units=-1),
    warm=tables_pb2.WarmThroughput(read_units_per_second=12_001),
    table_class=tables_pb2.STANDARD_INFREQUENT_ACCESS,
    deletion_protection=True,
    tags=[tables_pb2.Tag(key="stage", value="test"), tables_pb2.Tag(key="note")],
    local_indexes=[
        tables_pb2.LocalIndex(
            name="by-label",
            sort_key=tables_pb2.KeyAttribute(name="label", type=tables_pb2.S),
            projection=tables_pb2.Projection(type=tables_pb2.Projection.KEYS_ONLY),
        ),
        tables_pb2.LocalIndex(
            name="by-year",
            sort_key=tables_pb2.KeyAttribute(name="year", type=tables_pb2.N),
            projection=tables_pb2.Projection(type=tables_pb2.Projection.INCLUDE, non_key_attributes=["title"]),
        ),
    ],
    global_indexes=[BY_LABEL],
    stream=tables_pb2.StreamSpecification(enabled=True, view_type=tables_pb2.StreamSpecification.OLD_IMAGE),
)


def created(message: tables_pb2.CreateTableRequest) -> Message:
    """What becomes of a message that came through the gRPC door."""
    body = table_bodies.create_table_body(message)
    request = create_table.from_body(body, is_json=False, partitions=message.partitions)
    method, passed_on = message_of(request)
    assert method == "CreateTable"
    return passed_on


def updated(message: tables_pb2.UpdateTableRequest) -> Message:
    body = table_bodies.update_table_body(message)
    request = update_table.from_body(body, is_json=False)
    method, passed_on = message_of(request)
    assert method == "UpdateTable"
    return passed_on


def test_a_table_is_made_as_it_was_asked_for() -> None:
    """Nothing of a message gets lost between the doors and the metadata service."""
    assert created(FULL) == FULL
    provisioned = tables_pb2.CreateTableRequest()
    provisioned.CopyFrom(FULL)
    provisioned.ClearField("on_demand")
    provisioned.ClearField("local_indexes")
    provisioned.ClearField("stream")
    provisioned.key_schema.ClearField("sort_key")
    provisioned.provisioned.read_capacity_units, provisioned.provisioned.write_capacity_units = 5, 6
    provisioned.global_indexes[0].ClearField("on_demand")
    provisioned.global_indexes[0].provisioned.CopyFrom(provisioned.provisioned)
    assert created(provisioned) == provisioned
    small = tables_pb2.CreateTableRequest(table_name="music", table_class=tables_pb2.STANDARD)
    small.key_schema.partition_key.name, small.key_schema.partition_key.type = "artist", tables_pb2.B
    assert created(small) == small


@pytest.mark.parametrize(
    "change",
    [
        {"billing_mode": tables_pb2.PAY_PER_REQUEST},
        {"deletion_protection": False},
        {"deletion_protection": True},
        {"table_class": tables_pb2.STANDARD},
        {"provisioned": tables_pb2.Throughput(read_capacity_units=5, write_capacity_units=6)},
        {"on_demand": tables_pb2.OnDemandThroughput(max_read_request_units=-1)},
        {"warm": tables_pb2.WarmThroughput(write_units_per_second=9)},
        {"stream": tables_pb2.StreamSpecification(enabled=True, view_type=tables_pb2.StreamSpecification.NEW_IMAGE)},
        {"stream": tables_pb2.StreamSpecification()},
        {"create_index": BY_LABEL},
        {"delete_index": "by-label"},
        {
            "update_indexes": [
                tables_pb2.GlobalIndexUpdate(
                    name="by-label",
                    provisioned=tables_pb2.Throughput(read_capacity_units=5, write_capacity_units=6),
                    warm=tables_pb2.WarmThroughput(write_units_per_second=9),
                ),
                tables_pb2.GlobalIndexUpdate(
                    name="other", on_demand=tables_pb2.OnDemandThroughput(max_read_request_units=-1)
                ),
            ]
        },
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_table_is_changed_as_it_was_asked_for(change: dict[str, Any]) -> None:
    """Likewise."""
    message = tables_pb2.UpdateTableRequest(table_name="music", **change)
    assert updated(message) == message


def test_what_no_version_knows_is_refused() -> None:
    """Numbers of enumerations that a newer client may send."""
    for name, path in (("billing_mode", "billingMode"), ("table_class", "tableClass")):
        message = tables_pb2.UpdateTableRequest(table_name="music")
        setattr(message, name, 77)
        with pytest.raises(ValidationError, match=f"Value '77' at '{path}' failed to satisfy constraint"):
            updated(message)
    message = tables_pb2.UpdateTableRequest(table_name="music")
    message.stream.enabled, message.stream.view_type = True, 77  # type: ignore[assignment]
    with pytest.raises(ValidationError, match=r"Value '77' at 'streamSpecification\.streamViewType' failed"):
        updated(message)
    create = tables_pb2.CreateTableRequest()
    create.CopyFrom(FULL)
    create.key_schema.partition_key.type = 9  # type: ignore[assignment]
    with pytest.raises(ValidationError, match=r"Value '9' at 'attributeDefinitions\.1\.member\.attributeType'"):
        created(create)
    create.CopyFrom(FULL)
    create.local_indexes[0].projection.ClearField("type")
    with pytest.raises(ValidationError, match="Unknown ProjectionType: null"):
        created(create)


def test_an_attribute_of_two_types() -> None:
    """Is one too many."""
    message = tables_pb2.CreateTableRequest()
    message.CopyFrom(FULL)
    message.local_indexes[1].sort_key.type = tables_pb2.S
    with pytest.raises(ValidationError, match="Duplicate attribute definition: year"):
        created(message)


def test_the_other_requests() -> None:
    """Each has its method and its message."""
    named = {"TableName": "music"}
    arn = table_arn("music")
    tag = tables_pb2.TagResourceRequest(resource_arn=arn, tags=[tables_pb2.Tag(key="a", value="b")])
    specified = tables_pb2.TimeToLive(attribute_name="until", enabled=True)
    update = tables_pb2.UpdateTimeToLiveRequest(table_name="music", time_to_live=specified)
    cases: list[tuple[Any, str, Message]] = [
        (
            table_requests.describe_from_body(named, is_json=False),
            "DescribeTable",
            tables_pb2.DescribeTableRequest(table_name="music"),
        ),
        (
            table_requests.delete_from_body(named, is_json=False),
            "DeleteTable",
            tables_pb2.DeleteTableRequest(table_name="music"),
        ),
        (
            table_requests.list_from_body({"Limit": 3, "ExclusiveStartTableName": "abc"}, is_json=False),
            "ListTables",
            tables_pb2.ListTablesRequest(limit=3, exclusive_start_table_name="abc"),
        ),
        (tags.tag_from_body(table_bodies.tag_resource_body(tag), is_json=False), "TagResource", tag),
        (
            tags.untag_from_body({"ResourceArn": arn, "TagKeys": ["a"]}, is_json=False),
            "UntagResource",
            tables_pb2.UntagResourceRequest(resource_arn=arn, tag_keys=["a"]),
        ),
        (
            tags.list_from_body({"ResourceArn": arn}, is_json=False),
            "ListTagsOfResource",
            tables_pb2.ListTagsOfResourceRequest(resource_arn=arn),
        ),
        (
            time_to_live.update_from_body(table_bodies.time_to_live_body(update), is_json=False),
            "UpdateTimeToLive",
            update,
        ),
        (
            time_to_live.describe_from_body(named, is_json=False),
            "DescribeTimeToLive",
            tables_pb2.DescribeTimeToLiveRequest(table_name="music"),
        ),
    ]
    for request, method, message in cases:
        assert message_of(request) == (method, message)
