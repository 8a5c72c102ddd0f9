"""stator.v1.Tables at the gRPC door."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from statorpb import tables_pb2, tables_pb2_grpc

from router import table_bodies
from router.grpc_door import Context, UnaryService
from router.requests import create_table, table_requests, tags, time_to_live, update_table


class TablesService(UnaryService, tables_pb2_grpc.TablesServicer):
    """stator.v1.Tables."""

    service = tables_pb2.DESCRIPTOR.services_by_name["Tables"]

    async def _answer(self, context: Context, from_body: Callable[..., Any], body: dict[str, Any]) -> Any:
        """The answer to what `from_body` makes of a body."""
        read = partial(from_body, body, is_json=False)
        return await self.call(context, lambda deadline, done: self.dispatcher.submit_tables(read(), deadline, done))

    async def CreateTable(self, request: tables_pb2.CreateTableRequest, context: Context) -> Any:  # noqa: N802
        from_body = partial(create_table.from_body, partitions=request.partitions)
        return await self._answer(context, from_body, table_bodies.create_table_body(request))

    async def UpdateTable(self, request: tables_pb2.UpdateTableRequest, context: Context) -> Any:  # noqa: N802
        return await self._answer(context, update_table.from_body, table_bodies.update_table_body(request))

    async def DescribeTable(self, request: tables_pb2.DescribeTableRequest, context: Context) -> Any:  # noqa: N802
        return await self._answer(context, table_requests.describe_from_body, {"TableName": request.table_name})

    async def DeleteTable(self, request: tables_pb2.DeleteTableRequest, context: Context) -> Any:  # noqa: N802
        return await self._answer(context, table_requests.delete_from_body, {"TableName": request.table_name})

    async def ListTables(self, request: tables_pb2.ListTablesRequest, context: Context) -> Any:  # noqa: N802
        body: dict[str, Any] = {"Limit": request.limit} if request.limit else {}
        if request.exclusive_start_table_name:
            body["ExclusiveStartTableName"] = request.exclusive_start_table_name
        return await self._answer(context, table_requests.list_from_body, body)

    async def DescribeLimits(self, request: tables_pb2.DescribeLimitsRequest, context: Context) -> Any:  # noqa: N802
        return await self._answer(context, table_requests.limits_from_body, {})

    async def TagResource(self, request: tables_pb2.TagResourceRequest, context: Context) -> Any:  # noqa: N802
        return await self._answer(context, tags.tag_from_body, table_bodies.tag_resource_body(request))

    async def UntagResource(self, request: tables_pb2.UntagResourceRequest, context: Context) -> Any:  # noqa: N802
        body = {"ResourceArn": request.resource_arn, "TagKeys": list(request.tag_keys)}
        return await self._answer(context, tags.untag_from_body, body)

    async def ListTagsOfResource(  # noqa: N802
        self, request: tables_pb2.ListTagsOfResourceRequest, context: Context
    ) -> Any:
        body = {"ResourceArn": request.resource_arn, "NextToken": request.next_token}
        return await self._answer(context, tags.list_from_body, body)

    async def UpdateTimeToLive(  # noqa: N802
        self, request: tables_pb2.UpdateTimeToLiveRequest, context: Context
    ) -> Any:
        return await self._answer(context, time_to_live.update_from_body, table_bodies.time_to_live_body(request))

    async def DescribeTimeToLive(  # noqa: N802
        self, request: tables_pb2.DescribeTimeToLiveRequest, context: Context
    ) -> Any:
        return await self._answer(context, time_to_live.describe_from_body, {"TableName": request.table_name})
