"""A cluster in a dictionary: the Session, Tables and Admin services over gRPC, with faults on demand.

`FakeState` is what the cluster holds; several `FakeRouter`s share one, as routers do. Writes are carried out once a
token, as the storage nodes do, and every token that arrives is noted.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import code_pb2, status_pb2
from statorpb import admin_pb2, admin_pb2_grpc, item_pb2, items_pb2, items_pb2_grpc, tables_pb2, tables_pb2_grpc
from statorpb.streams_pb2_grpc import add_StreamsServicer_to_server

from server.model.errors import StatorError
from server.wire import error_to_message
from tests.clients.fake_events import FakeEvents
from tests.clients.fake_expressions import Expressions, returned
from tests.clients.fake_streams import FakeStreams, FakeStreamServices
from tests.clients.fake_transactions import FakeTransactions

Key = tuple[bytes, ...]
Change = Callable[[Expressions, item_pb2.Item | None], tuple[item_pb2.Item | None, Any]]


class Refusal(Exception):  # noqa: N818 (it becomes an error on the wire)
    """An error of the server's."""

    def __init__(
        self, code: str, message: str, *, retriable: bool = False, item: bytes | None = None, certain: bool = False
    ) -> None:
        super().__init__(message)
        self.wire = items_pb2.Error(code=code, message=message, retriable=retriable, item=item, not_carried_out=certain)


@dataclass
class FakeTable:
    description: tables_pb2.TableDescription
    items: dict[Key, item_pb2.Item] = field(default_factory=dict)
    describes_until_active: int = 1
    tags: dict[str, str] = field(default_factory=dict)
    time_to_live: str = ""

    def key_names(self) -> list[str]:
        schema = self.description.key_schema
        return [schema.partition_key.name] + ([schema.sort_key.name] if schema.HasField("sort_key") else [])

    def step_indexes(self) -> None:
        """Indexes are made, or go, a little later."""
        left = [each for each in self.description.global_indexes if each.status != tables_pb2.INDEX_DELETING]
        for each in left:
            each.status, each.backfilling, each.items_passed = tables_pb2.INDEX_ACTIVE, False, 0
        del self.description.global_indexes[:]
        self.description.global_indexes.extend(left)

    def key_of(self, attributes: item_pb2.Item) -> Key:
        names = self.key_names()
        for name in names:
            if name not in attributes.attributes:
                raise Refusal("ValidationException", f"One of the required keys was not given a value: {name}")
        return tuple(attributes.attributes[name].SerializeToString() for name in names)


@dataclass
class FakeState(FakeTransactions):
    """What the cluster holds, and what happened to it."""

    tables: dict[str, FakeTable] = field(default_factory=dict)
    tokens: Counter[bytes] = field(default_factory=Counter)
    ages_s: list[float] = field(default_factory=list)  # how old each request said it was when it came
    # The answers to writes by their tokens: a repeated one gets the first answer.
    answers: dict[bytes, items_pb2.SessionReply] = field(default_factory=dict)
    writes_carried_out: int = 0
    # From so many writes on the table seems to be gone; None: never.
    refuse_after: int | None = None
    pages_read: list[items_pb2.SessionRequest] = field(default_factory=list)
    # Answered instead of the next requests, one each.
    refusals: deque[Refusal] = field(default_factory=deque)
    # The same for the next DescribeTable calls.
    describe_refusals: deque[Refusal] = field(default_factory=deque)
    streams: FakeStreams = field(default_factory=FakeStreams)
    users: dict[str, admin_pb2.User] = field(default_factory=dict)
    draining: set[str] = field(default_factory=set)
    replica_states: dict[int, str] = field(default_factory=dict)  # node id -> "log", "leaving"
    progress: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # node id -> bytes come, of, a second
    events: FakeEvents = field(default_factory=FakeEvents)
    # How many parts of each batch are left unprocessed; counted down to 0.
    unprocessed: int = 0

    def add_table(self, name: str, partition_key: str = "pk", sort_key: str | None = None) -> FakeTable:
        schema = tables_pb2.KeySchema(partition_key=tables_pb2.KeyAttribute(name=partition_key, type=tables_pb2.S))
        if sort_key is not None:
            schema.sort_key.CopyFrom(tables_pb2.KeyAttribute(name=sort_key, type=tables_pb2.N))
        description = tables_pb2.TableDescription(table_name=name, status=tables_pb2.ACTIVE, key_schema=schema)
        self.tables[name] = FakeTable(description, describes_until_active=0)
        return self.tables[name]

    def table(self, name: str) -> FakeTable:
        if name not in self.tables:
            raise Refusal("ResourceNotFoundException", f"Requested resource not found: Table: {name} not found")
        return self.tables[name]

    def answer(self, request: items_pb2.SessionRequest) -> items_pb2.SessionReply:
        """Carries one request out."""
        reply = items_pb2.SessionReply(id=request.id)
        if request.token:
            self.tokens[request.token] += 1
            if request.token in self.answers:
                reply.CopyFrom(self.answers[request.token])
                reply.id = request.id
                return reply
        try:
            if self.refusals:
                raise self.refusals.popleft()
            operation = request.WhichOneof("operation")
            assert operation is not None
            getattr(self, f"_{operation}")(request, reply)
        except Refusal as refusal:
            reply.error.CopyFrom(refusal.wire)
        except StatorError as error:
            reply.error.CopyFrom(error_to_message(error))
        if request.token and not (reply.error.retriable or reply.error.not_carried_out):
            self.answers[request.token] = reply
        return reply

    def _write(self, request: Any, reply: Any, key: item_pb2.Item, change: Change) -> None:
        """Checks the condition and carries the change out."""
        table = self.table(request.table_name)
        identity = table.key_of(key)
        old = table.items.get(identity)
        expressions = Expressions(request)
        holds = expressions.holds("condition_expression", "ConditionExpression", old)
        new, touched = change(expressions, old)
        expressions.check_all_used()
        if not holds:
            wants_item = request.return_values_on_condition_check_failure == items_pb2.RETURN_VALUES_ALL_OLD
            item = old.SerializeToString() if old is not None and wants_item else None
            raise Refusal("ConditionalCheckFailedException", "The conditional request failed", item=item)
        if self.refuse_after is not None and self.writes_carried_out >= self.refuse_after:
            raise Refusal("ResourceNotFoundException", "Requested resource not found")
        self.writes_carried_out += 1
        if new is None:
            table.items.pop(identity, None)
        else:
            table.items[identity] = new
        reply.SetInParent()
        attributes = returned(request.return_values, old, new, touched)
        if attributes is not None:
            reply.attributes.CopyFrom(attributes)
        if request.return_consumed_capacity >= items_pb2.RETURN_CONSUMED_CAPACITY_TOTAL:
            reply.consumed_capacity.CopyFrom(consumed(request))
        if request.return_item_collection_metrics == items_pb2.RETURN_ITEM_COLLECTION_METRICS_SIZE:
            metrics = reply.item_collection_metrics
            name = table.description.key_schema.partition_key.name
            metrics.item_collection_key[name].CopyFrom(key.attributes[name])
            metrics.size_estimate_upper_gb = 1.0

    def _put_item(self, request: items_pb2.SessionRequest, reply: items_pb2.SessionReply) -> None:
        item = request.put_item.item
        self._write(request.put_item, reply.put_item, item, lambda expressions, old: (item, None))

    def _delete_item(self, request: items_pb2.SessionRequest, reply: items_pb2.SessionReply) -> None:
        self._write(
            request.delete_item, reply.delete_item, request.delete_item.key, lambda expressions, old: (None, None)
        )

    def _update_item(self, request: items_pb2.SessionRequest, reply: items_pb2.SessionReply) -> None:
        key = request.update_item.key
        self._write(request.update_item, reply.update_item, key, lambda expressions, old: expressions.updated(old, key))

    def _get_item(self, request: items_pb2.SessionRequest, reply: items_pb2.SessionReply) -> None:
        table = self.table(request.get_item.table_name)
        reply.get_item.SetInParent()
        item = table.items.get(table.key_of(request.get_item.key))
        if item is not None:
            reply.get_item.item.CopyFrom(Expressions(request.get_item).projected(item))
        if request.get_item.return_consumed_capacity:
            reply.get_item.consumed_capacity.CopyFrom(consumed(request.get_item))

    def _take_unprocessed(self, parts: int) -> int:
        left = min(self.unprocessed, parts)
        self.unprocessed -= left
        return left

    def _batch_write_item(self, request: items_pb2.SessionRequest, reply: items_pb2.SessionReply) -> None:
        reply.batch_write_item.SetInParent()
        for part in request.batch_write_item.tables:
            table = self.table(part.table_name)
            writes = list(part.writes)
            if len(writes) > 25:
                raise Refusal("ValidationException", "Too many items requested for the BatchWriteItem call")
            keys = [table.key_of(write.put if write.HasField("put") else write.delete_key) for write in writes]
            if len(set(keys)) < len(keys):
                raise Refusal("ValidationException", "Provided list of item keys contains duplicates")
            left = self._take_unprocessed(len(writes))
            if left:
                reply.batch_write_item.unprocessed.add(table_name=part.table_name, writes=writes[-left:])
            for write in writes[: len(writes) - left]:
                if write.HasField("put"):
                    table.items[table.key_of(write.put)] = write.put
                else:
                    table.items.pop(table.key_of(write.delete_key), None)

    def _batch_get_item(self, request: items_pb2.SessionRequest, reply: items_pb2.SessionReply) -> None:
        reply.batch_get_item.SetInParent()
        for part in request.batch_get_item.tables:
            table = self.table(part.table_name)
            keys = list(part.keys)
            if len(keys) > 100:
                raise Refusal("ValidationException", "Too many items requested for the BatchGetItem call")
            left = self._take_unprocessed(len(keys))
            if left:
                reply.batch_get_item.unprocessed.add(table_name=part.table_name, keys=keys[-left:])
            found = [table.items.get(table.key_of(key)) for key in keys[: len(keys) - left]]
            # In another order than asked, as DynamoDB may.
            expressions = Expressions(part)
            answered = [expressions.projected(item) for item in reversed(found) if item is not None]
            reply.batch_get_item.tables.add(table_name=part.table_name, items=answered)

    def _scan(self, request: items_pb2.SessionRequest, reply: items_pb2.SessionReply) -> None:
        scan = request.scan
        keys = list(self.table(scan.table_name).items)
        if scan.HasField("segment"):
            keys = [key for number, key in enumerate(keys) if number % scan.total_segments == scan.segment]
        self._read_page(request, scan, reply.scan, keys, Expressions(scan))

    def _query(self, request: items_pb2.SessionRequest, reply: items_pb2.SessionReply) -> None:
        query = request.query
        table = self.table(query.table_name)
        expressions = Expressions(query)
        found = [
            key
            for key, item in table.items.items()
            if expressions.holds("key_condition_expression", "KeyConditionExpression", item)
        ]
        backwards = query.HasField("scan_index_forward") and not query.scan_index_forward
        found.sort(key=lambda key: sort_value(table, key), reverse=backwards)
        self._read_page(request, query, reply.query, found, expressions)

    def _read_page(self, request: Any, asked: Any, reply: Any, keys: list[Key], expressions: Expressions) -> None:
        self.pages_read.append(request)
        table = self.table(asked.table_name)
        reply.SetInParent()
        begin = 0
        if asked.HasField("exclusive_start_key"):
            begin = keys.index(table.key_of(asked.exclusive_start_key)) + 1
        end = begin + (asked.limit or 10)
        for key in keys[begin:end]:
            item = table.items[key]
            reply.scanned_count += 1
            if expressions.holds("filter_expression", "FilterExpression", item):
                reply.count += 1
                if asked.select != items_pb2.SELECT_COUNT:
                    reply.items.append(expressions.projected(item))
        if end < len(keys):
            last = table.items[keys[end - 1]]
            for name in table.key_names():
                reply.last_evaluated_key.attributes[name].CopyFrom(last.attributes[name])
        if asked.return_consumed_capacity >= items_pb2.RETURN_CONSUMED_CAPACITY_TOTAL:
            reply.consumed_capacity.CopyFrom(consumed(asked))


def consumed(request: Any) -> items_pb2.ConsumedCapacity:
    capacity = items_pb2.ConsumedCapacity(table_name=request.table_name, capacity_units=1.5)
    if request.return_consumed_capacity == items_pb2.RETURN_CONSUMED_CAPACITY_INDEXES:
        capacity.table = 1.0
        capacity.local_secondary_indexes["by-label"] = 0.5
    return capacity


def sort_value(table: FakeTable, key: Key) -> Any:
    name = table.key_names()[-1]
    value = table.items[key].attributes[name]
    return Decimal(value.n) if value.n else value.s or value.b


def set_stream(description: tables_pb2.TableDescription, wanted: tables_pb2.StreamSpecification) -> None:
    description.stream.CopyFrom(wanted)
    if wanted.enabled:
        description.latest_stream_label = "2026-11-26T18:30:00.123"


def _clock_ms() -> int:
    """Of every router, an hour ahead of the clients'."""
    return int((time.monotonic() + 3600) * 1000)


class FakeRouter:
    """One router over a FakeState. Use as an asynchronous context manager."""

    def __init__(self, state: FakeState, interceptors: Sequence[grpc.aio.ServerInterceptor] = ()) -> None:
        self.state = state
        self.interceptors = interceptors
        self.port = 0
        self.is_hung = False  # takes requests, carries nothing out, answers nothing
        self.is_full = False  # of subscriptions
        self.loses_replies = 0  # so many requests are carried out and not answered
        self.frames = 0
        self.requests = 0
        self.unavailable_after_next = 0  # so many unary calls are carried out, and answered with UNAVAILABLE
        self._server: grpc.aio.Server | None = None
        self._streams: set[Any] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> FakeRouter:
        await self.start()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Serves, on the same port as before if there was one."""
        self._server = grpc.aio.server(
            interceptors=self.interceptors, options=[("grpc.max_receive_message_length", 17 * 1024 * 1024)]
        )
        services = _Services(self)
        items_pb2_grpc.add_SessionServicer_to_server(services, self._server)
        tables_pb2_grpc.add_TablesServicer_to_server(services, self._server)
        admin_pb2_grpc.add_AdminServicer_to_server(services, self._server)
        add_StreamsServicer_to_server(FakeStreamServices(self), self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def kill(self) -> None:
        """Breaks every stream and stops listening."""
        if self._server is not None:
            await self._server.stop(0)
            self._server = None


class _Services(items_pb2_grpc.SessionServicer, tables_pb2_grpc.TablesServicer, admin_pb2_grpc.AdminServicer):
    def __init__(self, router: FakeRouter) -> None:
        self._router = router
        self._state = router.state

    async def Converse(
        self, request_iterator: AsyncIterator[items_pb2.SessionRequestFrame], context: Any
    ) -> AsyncIterator[items_pb2.SessionReplyFrame]:
        router = self._router
        yield items_pb2.SessionReplyFrame(clock_ms=_clock_ms())
        async for frame in request_iterator:
            for request in frame.requests:
                self._state.ages_s.append((_clock_ms() - frame.begun_ms + request.age_ms) / 1000)
            router.frames += 1
            router.requests += len(frame.requests)
            if router.is_hung:
                continue
            replies = [self._state.answer(request) for request in frame.requests]
            lost = min(router.loses_replies, len(replies))
            router.loses_replies -= lost
            if replies[lost:]:
                yield items_pb2.SessionReplyFrame(replies=replies[lost:], clock_ms=_clock_ms())

    async def _answer(self, context: Any, response: Any) -> Any:
        if self._router.is_hung:
            await asyncio.Event().wait()
        if self._router.unavailable_after_next:
            self._router.unavailable_after_next -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        return response

    async def _refuse(self, context: Any, refusal: Refusal) -> None:
        detail = any_pb2.Any()
        detail.Pack(refusal.wire)
        status = status_pb2.Status(code=code_pb2.INTERNAL, message=refusal.wire.message, details=[detail])
        trailing = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(grpc.StatusCode.INTERNAL, refusal.wire.message, trailing)

    async def CreateTable(self, request: tables_pb2.CreateTableRequest, context: Any) -> Any:
        if request.table_name in self._state.tables:
            await self._refuse(
                context, Refusal("ResourceInUseException", f"Table already exists: {request.table_name}")
            )
        description = tables_pb2.TableDescription(
            table_name=request.table_name,
            table_id="1-2-3",
            status=tables_pb2.CREATING,
            key_schema=request.key_schema,
            partitions=request.partitions or 1,
            created_at_ms=1_700_000_000_000,
        )
        if request.HasField("provisioned"):
            description.provisioned.CopyFrom(request.provisioned)
        if request.HasField("on_demand"):
            description.on_demand.CopyFrom(request.on_demand)
        description.warm.CopyFrom(request.warm)
        description.table_class = request.table_class
        description.deletion_protection = request.deletion_protection
        for index in request.local_indexes:
            description.local_indexes.add(index=index, items=1, bytes=10)
        for made in request.global_indexes:
            description.global_indexes.add(
                index=made, items=2, bytes=20, status=tables_pb2.INDEX_CREATING, partitions=1
            )
        set_stream(description, request.stream)
        self._state.tables[request.table_name] = FakeTable(description)
        self._state.tables[request.table_name].tags.update((tag.key, tag.value) for tag in request.tags)
        return await self._answer(context, tables_pb2.CreateTableResponse(table=description))

    async def DescribeTable(self, request: tables_pb2.DescribeTableRequest, context: Any) -> Any:
        if self._state.describe_refusals:
            await self._refuse(context, self._state.describe_refusals.popleft())
        try:
            table = self._state.table(request.table_name)
        except Refusal as refusal:
            await self._refuse(context, refusal)
            raise
        if table.describes_until_active:
            table.describes_until_active -= 1
        else:
            table.description.status = tables_pb2.ACTIVE
            table.step_indexes()
        table.description.items = len(table.items)
        return await self._answer(context, tables_pb2.DescribeTableResponse(table=table.description))

    async def ListTables(self, request: tables_pb2.ListTablesRequest, context: Any) -> Any:
        names = sorted(name for name in self._state.tables if name > request.exclusive_start_table_name)
        page = names[: request.limit or 2]
        response = tables_pb2.ListTablesResponse(table_names=page)
        if len(page) < len(names):
            response.last_evaluated_table_name = page[-1]
        return await self._answer(context, response)

    async def DeleteTable(self, request: tables_pb2.DeleteTableRequest, context: Any) -> Any:
        try:
            table = self._state.table(request.table_name)
        except Refusal as refusal:
            await self._refuse(context, refusal)
            raise
        del self._state.tables[request.table_name]
        return await self._answer(context, tables_pb2.DeleteTableResponse(table=table.description))

    async def CreateUser(self, request: admin_pb2.CreateUserRequest, context: Any) -> Any:
        user = admin_pb2.User(user_name=request.user_name, access_key_id="AKIA1", created_at_ms=1_000)
        self._state.users[request.user_name] = user
        return admin_pb2.CreateUserResponse(user=user, secret_access_key="secret/of+it")

    async def ListUsers(self, request: admin_pb2.ListUsersRequest, context: Any) -> Any:
        return admin_pb2.ListUsersResponse(users=[user for _, user in sorted(self._state.users.items())])

    async def DisableUser(self, request: admin_pb2.DisableUserRequest, context: Any) -> Any:
        self._state.users[request.user_name].disabled = True
        return admin_pb2.DisableUserResponse(user=self._state.users[request.user_name])

    async def DrainNode(self, request: admin_pb2.DrainNodeRequest, context: Any) -> Any:
        node = await self._node(request.name, context)
        (self._state.draining.discard if request.cancel else self._state.draining.add)(request.name)
        node.draining = not request.cancel
        return admin_pb2.DrainNodeResponse(node=node)

    async def RemoveNode(self, request: admin_pb2.RemoveNodeRequest, context: Any) -> Any:
        node = await self._node(request.name, context)
        if node.replicas:
            await self._refuse(context, Refusal("ResourceInUseException", f"{node.name} still has replicas"))
        return admin_pb2.RemoveNodeResponse(node=node)

    async def _node(self, name: str, context: Any) -> admin_pb2.NodeStatus:
        node = next((node for node in self._nodes() if node.name == name), None)
        if node is None:
            await self._refuse(context, Refusal("ResourceNotFoundException", f"Node: {name} not found"))
        assert node is not None
        return node

    def _nodes(self) -> list[admin_pb2.NodeStatus]:
        """storage-1 and storage-2 live, storage-3 does not, and storage-4 has nothing. storage-2 was healed twice."""
        return [
            admin_pb2.NodeStatus(
                node_id=index,
                name=f"storage-{index}",
                role="storage",
                zone=f"zone-{(index - 1) % 3 + 1}",
                alive=index != 3,
                replicas=int(index != 4),
                draining=f"storage-{index}" in self._state.draining,
                healed=2 if index == 2 else 0,
            )
            for index in (1, 2, 3, 4)
        ]

    async def _table(self, name: str, context: Any) -> FakeTable:
        try:
            return self._state.table(name)
        except Refusal as refusal:
            await self._refuse(context, refusal)
            raise

    async def UpdateTable(self, request: tables_pb2.UpdateTableRequest, context: Any) -> Any:
        description = (await self._table(request.table_name, context)).description
        same = request.HasField("provisioned") and description.provisioned == request.provisioned
        if same:
            await self._refuse(context, Refusal("ValidationException", "The provisioned throughput will not change."))
        if request.billing_mode == tables_pb2.PAY_PER_REQUEST:
            description.ClearField("provisioned")
        elif request.HasField("provisioned"):
            description.provisioned.CopyFrom(request.provisioned)
        description.on_demand.MergeFrom(request.on_demand)
        description.warm.MergeFrom(request.warm)
        description.table_class = request.table_class or description.table_class
        if request.HasField("deletion_protection"):
            description.deletion_protection = request.deletion_protection
        await self._update_indexes(description, request, context)
        if request.HasField("stream"):
            if request.stream.enabled == description.stream.enabled:
                await self._refuse(context, Refusal("ValidationException", "Table already has an enabled stream"))
            set_stream(description, request.stream)
        updating = tables_pb2.TableDescription()
        updating.CopyFrom(description)
        updating.status = tables_pb2.UPDATING
        return await self._answer(context, tables_pb2.UpdateTableResponse(table=updating))

    async def _update_indexes(
        self, description: tables_pb2.TableDescription, request: tables_pb2.UpdateTableRequest, context: Any
    ) -> None:
        going = tables_pb2.INDEX_DELETING
        known = {each.index.name: each for each in description.global_indexes if each.status != going}
        if request.HasField("create_index"):
            if request.create_index.name in known:
                await self._refuse(context, Refusal("ValidationException", "the index already exists"))
            made = description.global_indexes.add(index=request.create_index, status=tables_pb2.INDEX_CREATING)
            made.backfilling, made.items_passed = True, 7
        if request.delete_index:
            if request.delete_index not in known:
                await self._refuse(context, Refusal("ResourceNotFoundException", "no such index"))
            known[request.delete_index].status = going
        for update in request.update_indexes:
            known[update.name].index.provisioned.CopyFrom(update.provisioned)

    async def DescribeLimits(self, request: tables_pb2.DescribeLimitsRequest, context: Any) -> Any:
        limits = tables_pb2.DescribeLimitsResponse(
            account_max_read_capacity_units=4,
            account_max_write_capacity_units=3,
            table_max_read_capacity_units=2,
            table_max_write_capacity_units=1,
        )
        return await self._answer(context, limits)

    async def TagResource(self, request: tables_pb2.TagResourceRequest, context: Any) -> Any:
        table = await self._table(request.resource_arn.rpartition("/")[2], context)
        table.tags.update((tag.key, tag.value) for tag in request.tags)
        return await self._answer(context, tables_pb2.TagResourceResponse())

    async def UntagResource(self, request: tables_pb2.UntagResourceRequest, context: Any) -> Any:
        table = await self._table(request.resource_arn.rpartition("/")[2], context)
        for key in request.tag_keys:
            table.tags.pop(key, None)
        return await self._answer(context, tables_pb2.UntagResourceResponse())

    async def ListTagsOfResource(self, request: tables_pb2.ListTagsOfResourceRequest, context: Any) -> Any:
        """Two a page."""
        table = await self._table(request.resource_arn.rpartition("/")[2], context)
        keys = sorted(key for key in table.tags if key > request.next_token)
        response = tables_pb2.ListTagsOfResourceResponse(next_token=keys[1] if len(keys) > 2 else "")
        for key in keys[:2]:
            response.tags.add(key=key, value=table.tags[key])
        return await self._answer(context, response)

    async def UpdateTimeToLive(self, request: tables_pb2.UpdateTimeToLiveRequest, context: Any) -> Any:
        table = await self._table(request.table_name, context)
        if request.time_to_live.enabled == bool(table.time_to_live):
            await self._refuse(context, Refusal("ValidationException", "TimeToLive is already so"))
        table.time_to_live = request.time_to_live.attribute_name if request.time_to_live.enabled else ""
        return await self._answer(context, tables_pb2.UpdateTimeToLiveResponse(time_to_live=request.time_to_live))

    async def DescribeTimeToLive(self, request: tables_pb2.DescribeTimeToLiveRequest, context: Any) -> Any:
        attribute = (await self._table(request.table_name, context)).time_to_live
        described = tables_pb2.TimeToLive(attribute_name=attribute, enabled=bool(attribute))
        return await self._answer(context, tables_pb2.DescribeTimeToLiveResponse(time_to_live=described))

    async def DescribeCluster(self, request: admin_pb2.DescribeClusterRequest, context: Any) -> Any:
        response = admin_pb2.DescribeClusterResponse(nodes=self._nodes())
        partition = response.partitions.add(partition_id=100, table_name="music")
        for index in (1, 2, 3):
            state = self._state.replica_states.get(index, "")
            partition.replicas.add(node_id=index, zone=f"zone-{index}", is_leader=index == 2, state=state)
            replica = partition.replicas[-1]
            progress = self._state.progress.get(index, (0, 0, 0))
            replica.restored_bytes, replica.restoring_bytes, replica.bytes_per_s = progress
        of_index = response.partitions.add(partition_id=101, table_name="music", index_name="by-label")
        of_index.replicas.add(node_id=2, zone="zone-2", is_leader=True)
        return await self._answer(context, response)

    async def ListEvents(self, request: admin_pb2.ListEventsRequest, context: Any) -> Any:
        if self._state.events.is_unknown:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        if request.after and not request.after.isdigit():
            await self._refuse(context, Refusal("ValidationException", "no place"))
        return await self._answer(context, self._state.events.told(request))
