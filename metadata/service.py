"""What routers and storage nodes ask of the metadata service.

Look-ups are answered by any process from its own memory. What changes the catalog, or must reflect everything
acknowledged before, is for the leader; the others pass it on, within the caller's deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import structlog
from statorpb import admin_pb2, cluster_pb2, cluster_pb2_grpc, tables_pb2

from metadata.assignments import assignments
from metadata.catalog import commands
from metadata.catalog.catalog import Node, Table
from metadata.config import Config
from metadata.descriptions import describe, describe_node, describe_replica
from metadata.group import NO_LEADER, CatalogGroup
from metadata.nodes import Nodes
from metadata.planning import Planner
from metadata.routes import put_table
from metadata.streams import look_up_streams
from metadata.users import Users
from metadata.vault import Vault
from server.model.errors import (
    DeadlineExceededError,
    InternalServerError,
    RequestLimitExceededError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    StatorError,
    ValidationError,
    error_by_code,
)
from server.model.limits import LIST_TABLES_MAX
from server.model.table import is_reserved
from server.runtime.clock import wall_ms
from server.runtime.grpc_server import abort, channel_options, error_of

TIMEOUT_S_DEFAULT = 5.0
TIMEOUT_S_MAX = 60.0
"""Of a call that goes to the leader, where its caller gives no deadline, and whatever deadline it gives."""

CONNECT_S = 1.0
"""How long to try to reach the leader: until then nothing has been sent, so nothing can have been carried out."""

REPORT_TIMEOUT_S = 5.0
"""Storage nodes report every half a second: a stream on which none has come for so long ends."""

CALLS_MAX = 1_000
"""Calls for the leader that are under way in this process; one more is refused at once."""

LIST_EVENTS_MAX = 1_000
"""Events in one answer."""

FORWARDED_KEY = "stator-forwarded"

_REMOVED = "this storage node was removed from the cluster"

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

log = structlog.get_logger()


class MetadataService(cluster_pb2_grpc.MetadataServicer):
    """stator.internal.v1.Metadata."""

    def __init__(
        self,
        config: Config,
        group: CatalogGroup,
        vault: Vault | None = None,
        *,
        timeout_s_default: float = TIMEOUT_S_DEFAULT,
        calls_max: int = CALLS_MAX,
        report_timeout_s: float = REPORT_TIMEOUT_S,
    ) -> None:
        self._config = config
        self._report_timeout_s = report_timeout_s
        self._group = group
        self._timeout_s_default = timeout_s_default
        self._calls_max = calls_max
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._calls = 0
        self._users = Users(group, vault)
        self._nodes = Nodes(group)
        self._creating = asyncio.Lock()  # two tables are never placed on the same counts

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()

    # At the leader

    async def _at_leader(
        self, method: str, request: Any, context: Context, carry_out: Callable[[], Awaitable[Any]]
    ) -> Any:
        """`carry_out()` if this process leads, else the leader's answer; ends the call with any error."""
        remaining_s = context.time_remaining()
        timeout_s = self._timeout_s_default if remaining_s is None else min(remaining_s, TIMEOUT_S_MAX)
        self._calls += 1
        try:
            if self._calls > self._calls_max:
                raise RequestLimitExceededError("too many calls are under way in this metadata process already")
            async with asyncio.timeout(timeout_s):
                if self._group.is_serving_leader:
                    return await carry_out()
                if FORWARDED_KEY in dict(context.invocation_metadata() or ()):
                    raise ServiceUnavailableError(NO_LEADER)
                return await self._forward(method, request, timeout_s)
        except TimeoutError:
            await abort(context, DeadlineExceededError("the metadata service could not finish in time"))
        except StatorError as error:
            await abort(context, error)
        finally:
            self._calls -= 1

    def _check_still_leads(self) -> None:
        """Asked after an answer was made from memory: it was true while the lease held."""
        if not self._group.is_serving_leader:
            raise ServiceUnavailableError(NO_LEADER)

    async def _forward(self, method: str, request: Any, timeout_s: float) -> Any:
        address = self._group.leader_address()
        if not address:
            raise ServiceUnavailableError(NO_LEADER)
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = grpc.aio.insecure_channel(address, options=channel_options())
        try:
            async with asyncio.timeout(CONNECT_S):
                await channel.channel_ready()
        except TimeoutError as error:
            raise ServiceUnavailableError(NO_LEADER) from error
        stub = cluster_pb2_grpc.MetadataStub(channel)
        try:
            return await getattr(stub, method)(request, timeout=timeout_s, metadata=((FORWARDED_KEY, "1"),))
        except grpc.aio.AioRpcError as error:
            known = error_of(error)
            if known is not None:
                code, message = known
                raise error_by_code(code)(message) from error
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise DeadlineExceededError("the metadata service could not finish in time") from error
            raise InternalServerError(
                "the metadata service's leader was lost: the request may or may not have been carried out"
            ) from error

    async def RegisterNode(  # noqa: N802
        self, request: cluster_pb2.RegisterNodeRequest, context: Context
    ) -> cluster_pb2.RegisterNodeResponse:
        async def carry_out() -> cluster_pb2.RegisterNodeResponse:
            catalog = self._group.machine.catalog
            if not catalog.cluster_id:
                raise ServiceUnavailableError("the cluster is still being founded")
            known = catalog.node_named(request.name)
            command = commands.RegisterNode(request.name, request.zone, request.address, request.data_id)
            if (refusal := catalog.refusal_of(command)) is not None:  # before it fills the log, over and over
                raise refusal
            _check_registration(request, known)  # not before: a node that was removed is told so
            if known is None or known.address != request.address:
                known = await self._group.propose(command)  # type: ignore[assignment]
            assert isinstance(known, Node)
            return cluster_pb2.RegisterNodeResponse(node_id=known.node_id, cluster_id=catalog.cluster_id)

        response: cluster_pb2.RegisterNodeResponse = await self._at_leader("RegisterNode", request, context, carry_out)
        return response

    async def CreateTable(  # noqa: N802
        self, request: tables_pb2.CreateTableRequest, context: Context
    ) -> tables_pb2.CreateTableResponse:
        async def carry_out() -> tables_pb2.CreateTableResponse:
            async with self._creating:
                planner = Planner(self._group.machine.catalog, self._group.attendance)
                result = await self._group.propose(planner.table(request, wall_ms()))
            assert isinstance(result, Table)
            return tables_pb2.CreateTableResponse(table=self._describe(result))

        response: tables_pb2.CreateTableResponse = await self._at_leader("CreateTable", request, context, carry_out)
        return response

    async def DescribeTable(  # noqa: N802
        self, request: tables_pb2.DescribeTableRequest, context: Context
    ) -> tables_pb2.DescribeTableResponse:
        async def carry_out() -> tables_pb2.DescribeTableResponse:
            table = self._group.machine.catalog.table_named(request.table_name)
            self._check_still_leads()
            return tables_pb2.DescribeTableResponse(table=self._describe(table))

        response: tables_pb2.DescribeTableResponse = await self._at_leader("DescribeTable", request, context, carry_out)
        return response

    async def DeleteTable(  # noqa: N802
        self, request: tables_pb2.DeleteTableRequest, context: Context
    ) -> tables_pb2.DeleteTableResponse:
        async def carry_out() -> tables_pb2.DeleteTableResponse:
            result = await self._group.propose(commands.DeleteTable(request.table_name))
            assert isinstance(result, Table)
            return tables_pb2.DeleteTableResponse(table=self._describe(result))

        response: tables_pb2.DeleteTableResponse = await self._at_leader("DeleteTable", request, context, carry_out)
        return response

    async def UpdateTable(  # noqa: N802
        self, request: tables_pb2.UpdateTableRequest, context: Context
    ) -> tables_pb2.UpdateTableResponse:
        async def carry_out() -> tables_pb2.UpdateTableResponse:
            async with self._creating:
                planner = Planner(self._group.machine.catalog, self._group.attendance)
                command = planner.update(request, wall_ms())
                result = await self._group.propose(command)
            assert isinstance(result, Table)
            only_protects = command == commands.UpdateTable(
                command.table_name, command.time_ms, is_protected=command.is_protected
            )
            return tables_pb2.UpdateTableResponse(table=self._describe(result, is_updating=not only_protects))

        response: tables_pb2.UpdateTableResponse = await self._at_leader("UpdateTable", request, context, carry_out)
        return response

    async def TagResource(  # noqa: N802
        self, request: tables_pb2.TagResourceRequest, context: Context
    ) -> tables_pb2.TagResourceResponse:
        async def carry_out() -> tables_pb2.TagResourceResponse:
            name = self._tagged_table(request.resource_arn).name
            await self._group.propose(commands.TagTable(name, tuple((tag.key, tag.value) for tag in request.tags)))
            return tables_pb2.TagResourceResponse()

        response: tables_pb2.TagResourceResponse = await self._at_leader("TagResource", request, context, carry_out)
        return response

    async def UntagResource(  # noqa: N802
        self, request: tables_pb2.UntagResourceRequest, context: Context
    ) -> tables_pb2.UntagResourceResponse:
        async def carry_out() -> tables_pb2.UntagResourceResponse:
            name = self._tagged_table(request.resource_arn).name
            await self._group.propose(commands.UntagTable(name, tuple(request.tag_keys)))
            return tables_pb2.UntagResourceResponse()

        response: tables_pb2.UntagResourceResponse = await self._at_leader("UntagResource", request, context, carry_out)
        return response

    async def ListTagsOfResource(  # noqa: N802
        self, request: tables_pb2.ListTagsOfResourceRequest, context: Context
    ) -> tables_pb2.ListTagsOfResourceResponse:
        """All at once: a table has few."""

        async def carry_out() -> tables_pb2.ListTagsOfResourceResponse:
            response = tables_pb2.ListTagsOfResourceResponse()
            for key, value in self._tagged_table(request.resource_arn).settings.tags:
                response.tags.add(key=key, value=value)
            self._check_still_leads()
            return response

        response: tables_pb2.ListTagsOfResourceResponse = await self._at_leader(
            "ListTagsOfResource", request, context, carry_out
        )
        return response

    def _tagged_table(self, arn: str) -> Table:
        """The table that an ARN names. Raises ResourceNotFoundError."""
        table = self._group.machine.catalog.tables.get(arn.rpartition("/")[2])
        if table is None:
            raise ResourceNotFoundError(f"Requested resource not found: ResourcArn: {arn} not found")
        return table

    async def UpdateTimeToLive(  # noqa: N802
        self, request: tables_pb2.UpdateTimeToLiveRequest, context: Context
    ) -> tables_pb2.UpdateTimeToLiveResponse:
        asked = request.time_to_live

        async def carry_out() -> tables_pb2.UpdateTimeToLiveResponse:
            await self._group.propose(
                commands.UpdateTimeToLive(request.table_name, wall_ms(), asked.attribute_name, asked.enabled)
            )
            return tables_pb2.UpdateTimeToLiveResponse(time_to_live=asked)

        response: tables_pb2.UpdateTimeToLiveResponse = await self._at_leader(
            "UpdateTimeToLive", request, context, carry_out
        )
        return response

    async def DescribeTimeToLive(  # noqa: N802
        self, request: tables_pb2.DescribeTimeToLiveRequest, context: Context
    ) -> tables_pb2.DescribeTimeToLiveResponse:
        async def carry_out() -> tables_pb2.DescribeTimeToLiveResponse:
            attribute = self._group.machine.catalog.table_named(request.table_name).settings.time_to_live
            self._check_still_leads()
            described = tables_pb2.TimeToLive(attribute_name=attribute, enabled=bool(attribute))
            return tables_pb2.DescribeTimeToLiveResponse(time_to_live=described)

        response: tables_pb2.DescribeTimeToLiveResponse = await self._at_leader(
            "DescribeTimeToLive", request, context, carry_out
        )
        return response

    async def ListTables(  # noqa: N802
        self, request: tables_pb2.ListTablesRequest, context: Context
    ) -> tables_pb2.ListTablesResponse:
        async def carry_out() -> tables_pb2.ListTablesResponse:
            after = request.exclusive_start_table_name
            limit = request.limit or LIST_TABLES_MAX
            tables = self._group.machine.catalog.tables
            names = [name for name in sorted(tables) if name > after and not is_reserved(name)]
            self._check_still_leads()
            last = names[limit - 1] if len(names) > limit else ""
            return tables_pb2.ListTablesResponse(table_names=names[:limit], last_evaluated_table_name=last)

        response: tables_pb2.ListTablesResponse = await self._at_leader("ListTables", request, context, carry_out)
        return response

    async def DescribeCluster(  # noqa: N802
        self, request: admin_pb2.DescribeClusterRequest, context: Context
    ) -> admin_pb2.DescribeClusterResponse:
        """From this process's own memory: it must work when nobody leads."""
        return self._cluster()

    async def ListEvents(  # noqa: N802
        self, request: admin_pb2.ListEventsRequest, context: Context
    ) -> admin_pb2.ListEventsResponse:
        """From this process's own memory, likewise."""
        try:
            return self._events(request)
        except StatorError as error:
            await abort(context, error)

    def _events(self, request: admin_pb2.ListEventsRequest) -> admin_pb2.ListEventsResponse:
        """Raises ValidationError."""
        history, limit = self._group.history, min(request.limit or LIST_EVENTS_MAX, LIST_EVENTS_MAX)
        page = history.after(request.after, limit) if request.after else history.newest(limit)
        return admin_pb2.ListEventsResponse(
            events=[
                admin_pb2.Event(
                    at_ms=event.at_ms,
                    kind=event.kind,
                    text=event.text,
                    node_id=event.node_id,
                    partition_id=event.partition_id,
                )
                for event in page.events
            ],
            next=page.place,
            told_by=history.process,
            since_ms=history.since_ms,
            missed=page.missed,
            elsewhere=page.is_elsewhere,
        )

    def _cluster(self) -> admin_pb2.DescribeClusterResponse:
        group, catalog, attendance = self._group, self._group.machine.catalog, self._group.attendance
        response = admin_pb2.DescribeClusterResponse()
        living = {self._config.node_id, *group.living_node_ids()}
        leader = group.leader_node_id
        if leader == self._config.node_id and not group.is_serving_leader:
            leader = 0  # it cannot know
        for member in self._config.member_addresses():
            response.nodes.add(
                node_id=member.node_id,
                name=f"metadata-{member.node_id}",
                role="metadata",
                zone=member.zone,
                address=member.address,
                alive=member.node_id in living,
                is_leader=member.node_id == leader,
            )
        replicas: dict[int, int] = {}
        for name, table in sorted(catalog.tables.items()):
            of_indexes = [(each, index.name) for index in table.global_indexes for each in index.partitions]
            for partition, index_name in [*((each, "") for each in table.partitions), *of_indexes]:
                status = response.partitions.add(
                    partition_id=partition.partition_id,
                    table_name=name,
                    index_name=index_name,
                    range_start=partition.range_start,
                    range_end=partition.range_end,
                )
                is_led = attendance.has_leader(partition.partition_id)
                leads = attendance.leaders[partition.partition_id][1] if is_led else 0
                for node_id in partition.holders:
                    replicas[node_id] = replicas.get(node_id, 0) + 1
                    status.replicas.append(describe_replica(partition, catalog.nodes[node_id], attendance, leads))
        for node_id, each in sorted(catalog.nodes.items()):
            response.nodes.append(describe_node(each, attendance, replicas.get(node_id, 0)))
        return response

    def _describe(self, table: Table, *, is_updating: bool = False) -> tables_pb2.TableDescription:
        return describe(table, self._group.attendance, wall_ms(), is_updating=is_updating)

    async def CreateUser(  # noqa: N802
        self, request: admin_pb2.CreateUserRequest, context: Context
    ) -> admin_pb2.CreateUserResponse:
        response: admin_pb2.CreateUserResponse = await self._at_leader(
            "CreateUser", request, context, lambda: self._users.create(request)
        )
        return response

    async def ListUsers(  # noqa: N802
        self, request: admin_pb2.ListUsersRequest, context: Context
    ) -> admin_pb2.ListUsersResponse:
        async def carry_out() -> admin_pb2.ListUsersResponse:
            response = self._users.list()
            self._check_still_leads()
            return response

        response: admin_pb2.ListUsersResponse = await self._at_leader("ListUsers", request, context, carry_out)
        return response

    async def DisableUser(  # noqa: N802
        self, request: admin_pb2.DisableUserRequest, context: Context
    ) -> admin_pb2.DisableUserResponse:
        response: admin_pb2.DisableUserResponse = await self._at_leader(
            "DisableUser", request, context, lambda: self._users.disable(request)
        )
        return response

    async def DrainNode(  # noqa: N802
        self, request: admin_pb2.DrainNodeRequest, context: Context
    ) -> admin_pb2.DrainNodeResponse:
        response: admin_pb2.DrainNodeResponse = await self._at_leader(
            "DrainNode", request, context, lambda: self._nodes.drain(request)
        )
        return response

    async def RemoveNode(  # noqa: N802
        self, request: admin_pb2.RemoveNodeRequest, context: Context
    ) -> admin_pb2.RemoveNodeResponse:
        response: admin_pb2.RemoveNodeResponse = await self._at_leader(
            "RemoveNode", request, context, lambda: self._nodes.remove(request)
        )
        return response

    # From memory

    async def LookUpUsers(  # noqa: N802
        self, request: cluster_pb2.LookUpUsersRequest, context: Context
    ) -> cluster_pb2.LookUpUsersResponse:
        if not request.linearizable:
            try:
                return self._users.look_up(request)
            except StatorError as error:
                await abort(context, error)

        async def carry_out() -> cluster_pb2.LookUpUsersResponse:
            response = self._users.look_up(request)
            self._check_still_leads()
            return response

        response: cluster_pb2.LookUpUsersResponse = await self._at_leader("LookUpUsers", request, context, carry_out)
        return response

    async def LookUpTables(  # noqa: N802
        self, request: cluster_pb2.LookUpTablesRequest, context: Context
    ) -> cluster_pb2.LookUpTablesResponse:
        if not request.linearizable:
            return self._look_up(request)

        async def carry_out() -> cluster_pb2.LookUpTablesResponse:
            response = self._look_up(request)
            self._check_still_leads()
            return response

        response: cluster_pb2.LookUpTablesResponse = await self._at_leader("LookUpTables", request, context, carry_out)
        return response

    async def LookUpStreams(  # noqa: N802
        self, request: cluster_pb2.LookUpStreamsRequest, context: Context
    ) -> cluster_pb2.LookUpStreamsResponse:
        if not request.linearizable:
            return look_up_streams(self._group.machine.catalog, request)

        async def carry_out() -> cluster_pb2.LookUpStreamsResponse:
            response = look_up_streams(self._group.machine.catalog, request)
            self._check_still_leads()
            return response

        response: cluster_pb2.LookUpStreamsResponse = await self._at_leader(
            "LookUpStreams", request, context, carry_out
        )
        return response

    def _look_up(self, request: cluster_pb2.LookUpTablesRequest) -> cluster_pb2.LookUpTablesResponse:
        catalog, attendance = self._group.machine.catalog, self._group.attendance
        response = cluster_pb2.LookUpTablesResponse(catalog_slot=self._group.machine.slot)
        for name in request.table_names:
            table = catalog.tables.get(name)
            if table is None:
                response.unknown.append(name)
                continue
            put_table(response.tables.add(), catalog, table, attendance.leaders)
        return response

    # Storage nodes

    async def Attend(  # type: ignore[override]  # noqa: N802 (the generated type knows only generators)
        self, request_iterator: AsyncIterator[cluster_pb2.NodeReport], context: Context
    ) -> None:
        """A storage node's stream: its reports come up, its assignments go down whenever they change."""
        first = await self._next_report(context)
        if first is None:
            return
        node_id = first.node_id
        if node_id == 0:
            await abort(context, ValidationError("a storage node attends under the id that it was registered with"))
        if self._group.machine.catalog.is_removed(node_id):
            await abort(context, ResourceNotFoundError(_REMOVED))
        self._group.attendance.report(first)
        writer = asyncio.create_task(self._assign(node_id, context))
        try:
            while not writer.done():
                report = await self._next_report(context)
                if report is None:
                    break
                self._group.attendance.report(report)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        if self._group.machine.catalog.is_removed(node_id):
            await abort(context, ResourceNotFoundError(_REMOVED))

    async def _next_report(self, context: Context) -> cluster_pb2.NodeReport | None:
        """None: the stream has ended. Ends it where none comes in time."""
        try:
            async with asyncio.timeout(self._report_timeout_s):
                report = await context.read()
        except TimeoutError:
            await abort(context, DeadlineExceededError("no report came in time"))
        return report if isinstance(report, cluster_pb2.NodeReport) else None

    async def _assign(self, node_id: int, context: Context) -> None:
        machine = self._group.machine
        retention_ms = self._config.stream_retention_s * 1000
        sent: bytes | None = None  # the first goes at once, whatever is in it: it is waited for
        while True:
            change = self._group.catalog_changes.next()
            if machine.catalog.is_removed(node_id):
                return
            leaders = self._group.attendance.leaders
            message = assignments(machine.catalog, machine.slot, node_id, leaders, retention_ms)
            content = message.SerializeToString(deterministic=True)
            if content != sent:
                await context.write(message)
                sent = content
            await change.wait()


def _check_registration(request: cluster_pb2.RegisterNodeRequest, known: Node | None) -> None:
    """Raises ValidationError for a data folder that other metadata than this has given its id."""
    if not request.name or not request.zone or not request.address or not request.data_id:
        raise ValidationError("a storage node registers with a name, a zone, an address and the id of its data folder")
    if request.node_id and (known is None or known.node_id != request.node_id):
        raise ValidationError(
            f"{request.name} says that it is node {request.node_id}, which is not registered under that name: its data "
            "folder belongs to another cluster"
        )
