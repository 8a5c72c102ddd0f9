"""The asynchronous client's operations on tables."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from statorpb import tables_pb2

from stator.descriptions import (
    LIFTED,
    CapacityLimits,
    TableClass,
    TableDescription,
    capacity_limits,
    table_arn,
    table_description,
)
from stator.errors import (
    DeadlineExceededError,
    LimitExceededError,
    ResourceInUseError,
    ResourceNotFoundError,
    ValidationError,
)
from stator.indexes import GlobalIndex, LocalIndex, wire_global_index, wire_key_attribute, wire_local_index
from stator.stream_descriptions import StreamOff, StreamViewType, wire_stream
from stator.transport import Transport

TABLE_WAIT_S_DEFAULT = 60.0
_TABLES = "/stator.v1.Tables/"
_POLL_S_MIN = 0.05
_POLL_S_MAX = 0.5

AnswerT = TypeVar("AnswerT")
_Settings: TypeAlias = tables_pb2.CreateTableRequest | tables_pb2.UpdateTableRequest


class TableOperations(ABC):
    """What a client can do with tables."""

    @abstractmethod
    def _transport(self) -> Transport: ...

    @abstractmethod
    def _limit_s(self, timeout_s: float | None) -> float: ...

    async def create_table(
        self,
        name: str,
        partition_key: tuple[str, str] = ("pk", "S"),
        sort_key: tuple[str, str] | None = None,
        *,
        local_indexes: Sequence[LocalIndex] = (),
        global_indexes: Sequence[GlobalIndex] = (),
        stream: StreamViewType | None = None,
        read_capacity_units: int | None = None,
        write_capacity_units: int | None = None,
        max_read_request_units: int | None = None,
        max_write_request_units: int | None = None,
        table_class: TableClass = "STANDARD",
        deletion_protection: bool = False,
        tags: Mapping[str, str] | None = None,
        partitions: int | None = None,
        timeout_s: float | None = None,
    ) -> TableDescription:
        """Begins to make a table; `wait_until_table_active` tells when it can be used.

        Keys are (name, type), type "S" (str), "N" (number) or "B" (bytes). Local indexes give items of one partition
        key another order; a table has at most 5, and they can be made with the table only. Global indexes find items by
        another key; a table has at most 20, and they can be made later.

        `stream`: the table's changes are kept for a day, and tell of an item "KEYS_ONLY", the "NEW_IMAGE" (as it is
        now), the "OLD_IMAGE" (as it was before) or "NEW_AND_OLD_IMAGES"; `changes` reads them.

        Without capacity units the table is on demand, and may have a limit of request units; with them, give both; all
        are a second. `partitions` None: derived from them. Raises ResourceInUseError if the table exists,
        ValidationError.

            await client.create_table("music", ("artist", "S"), ("year", "N"), partitions=4)
        """
        schema = tables_pb2.KeySchema(partition_key=wire_key_attribute(partition_key))
        if sort_key is not None:
            schema.sort_key.CopyFrom(wire_key_attribute(sort_key))
        request = tables_pb2.CreateTableRequest(
            table_name=name,
            key_schema=schema,
            partitions=partitions or 0,
            local_indexes=[wire_local_index(index) for index in local_indexes],
            global_indexes=[wire_global_index(index) for index in global_indexes],
            table_class=tables_pb2.TableClass.Value(table_class),
            deletion_protection=deletion_protection,
            tags=[tables_pb2.Tag(key=key, value=value) for key, value in (tags or {}).items()],
            stream=wire_stream(stream),
        )
        _put_capacity(request, read_capacity_units, write_capacity_units)
        _put_limits(request, max_read_request_units, max_write_request_units)
        limit_s = self._limit_s(timeout_s)
        try:
            response = await self._transport().unary(
                _TABLES + "CreateTable", request, tables_pb2.CreateTableResponse, limit_s
            )
        except ResourceInUseError as error:
            # The attempt before, whose reply was lost, may have made it.
            if error.follows_unknown_attempt:
                made = await self._describe(name, limit_s)
                is_same = (
                    made.key_schema == schema
                    and [each.index for each in made.local_indexes] == list(request.local_indexes)
                    and [each.index.name for each in made.global_indexes]
                    == [each.name for each in request.global_indexes]
                    and made.stream == request.stream
                )
                if is_same:
                    return table_description(made)
            raise
        return table_description(response.table)

    async def update_table(
        self,
        name: str,
        *,
        read_capacity_units: int | None = None,
        write_capacity_units: int | None = None,
        on_demand: bool = False,
        max_read_request_units: int | None = None,
        max_write_request_units: int | None = None,
        warm_read_units_per_second: int | None = None,
        warm_write_units_per_second: int | None = None,
        table_class: TableClass | None = None,
        deletion_protection: bool | None = None,
        create_index: GlobalIndex | None = None,
        delete_index: str | None = None,
        stream: StreamViewType | StreamOff | None = None,
        index_capacity_units: Mapping[str, tuple[int, int]] | None = None,
        timeout_s: float | None = None,
    ) -> TableDescription:
        """Changes what is given and leaves the rest as it is.

        With capacity units (both) the table is provisioned from now on; `on_demand` makes it an on-demand table. Only
        that may have a limit of request units; -1 lifts one. Raises ValidationError, also where nothing would change,
        ResourceNotFoundError, LimitExceededError where a table may be changed so only so often.

        `create_index` begins to make a global index, `delete_index` to remove one, one at a time:
        `wait_until_index_active` and `wait_until_index_gone` tell when it is done. Meanwhile the table can be used.
        `index_capacity_units`: by name of the index, (reads, writes).

        `stream` turns a stream on, as of `create_table`, or "OFF": `wait_until_table_active` tells when that is done.
        To have another view, turn it off first, and wait; that is another stream then.

            await client.update_table("music", deletion_protection=True)
            await client.update_table("music", create_index=stator.GlobalIndex("by-genre", ("genre", "S")))
        """
        request = tables_pb2.UpdateTableRequest(table_name=name, deletion_protection=deletion_protection)
        _put_capacity(request, read_capacity_units, write_capacity_units)
        _put_limits(request, max_read_request_units, max_write_request_units)
        if on_demand:
            request.billing_mode = tables_pb2.PAY_PER_REQUEST
        elif request.HasField("provisioned"):
            request.billing_mode = tables_pb2.PROVISIONED
        if warm_read_units_per_second is not None:
            request.warm.read_units_per_second = warm_read_units_per_second
        if warm_write_units_per_second is not None:
            request.warm.write_units_per_second = warm_write_units_per_second
        if table_class is not None:
            request.table_class = tables_pb2.TableClass.Value(table_class)
        if create_index is not None:
            request.create_index.CopyFrom(wire_global_index(create_index))
        if delete_index is not None:
            request.delete_index = delete_index
        for index, (reads, writes) in (index_capacity_units or {}).items():
            units = request.update_indexes.add(name=index).provisioned
            units.read_capacity_units, units.write_capacity_units = reads, writes
        if stream is not None:
            request.stream.CopyFrom(wire_stream(stream) or tables_pb2.StreamSpecification(enabled=False))
        limit_s = self._limit_s(timeout_s)
        try:
            response = await self._transport().unary(
                _TABLES + "UpdateTable", request, tables_pb2.UpdateTableResponse, limit_s
            )
        except (ValidationError, ResourceInUseError, ResourceNotFoundError, LimitExceededError) as error:
            # The attempt before, whose reply was lost, may have made the change: then there is none left to be made.
            if error.follows_unknown_attempt:
                changed = await self._describe(name, limit_s)
                if _has_changed(changed, request):
                    return table_description(changed)
            raise
        return table_description(response.table)

    async def describe_table(self, name: str, *, timeout_s: float | None = None) -> TableDescription:
        """The table's key, state and size. Raises ResourceNotFoundError."""
        return table_description(await self._describe(name, self._limit_s(timeout_s)))

    async def delete_table(self, name: str, *, timeout_s: float | None = None) -> None:
        """Begins to delete a table with all its items; `wait_until_table_gone` tells when it is done.

        Raises ResourceNotFoundError, and ResourceInUseError while the table is being created.
        """
        request = tables_pb2.DeleteTableRequest(table_name=name)
        try:
            await self._transport().unary(
                _TABLES + "DeleteTable", request, tables_pb2.DeleteTableResponse, self._limit_s(timeout_s)
            )
        except ResourceNotFoundError as error:
            # The attempt before, whose reply was lost, may have deleted it.
            if not error.follows_unknown_attempt:
                raise

    async def list_tables(self, *, timeout_s: float | None = None) -> AsyncIterator[str]:
        """The names of all tables, in order. `timeout_s` bounds each page of 100.

        names = [name async for name in client.list_tables()]
        """
        async for page in self.list_table_pages(timeout_s=timeout_s):
            for name in page:
                yield name

    async def list_table_pages(self, *, timeout_s: float | None = None) -> AsyncGenerator[list[str], None]:
        """As `list_tables`, a list for each page."""
        last = ""
        while True:
            request = tables_pb2.ListTablesRequest(exclusive_start_table_name=last)
            response = await self._transport().unary(
                _TABLES + "ListTables", request, tables_pb2.ListTablesResponse, self._limit_s(timeout_s)
            )
            yield list(response.table_names)
            last = response.last_evaluated_table_name
            if not last:
                return

    async def wait_until_table_active(self, name: str, *, timeout_s: float = TABLE_WAIT_S_DEFAULT) -> TableDescription:
        """Returns once the table can be used. Raises DeadlineExceededError, ResourceNotFoundError."""

        async def is_active() -> TableDescription | None:
            table = await self.describe_table(name)
            return table if table.status == "ACTIVE" else None

        return await _poll(is_active, f"table {name} is not active", timeout_s)

    async def wait_until_index_active(
        self, table: str, index: str, *, timeout_s: float = TABLE_WAIT_S_DEFAULT
    ) -> TableDescription:
        """Returns once a global index of a table can be read. Raises DeadlineExceededError, ResourceNotFoundError, and
        ValidationError where the table has no such index (any more)."""

        async def is_active() -> TableDescription | None:
            described = await self.describe_table(table)
            found = next((each for each in described.global_indexes if each.name == index), None)
            if found is None:
                raise ValidationError(f"The table does not have the specified index: {index}")
            return described if found.status in ("ACTIVE", "UPDATING") else None

        return await _poll(is_active, f"index {index} of table {table} is not active", timeout_s)

    async def wait_until_index_gone(self, table: str, index: str, *, timeout_s: float = TABLE_WAIT_S_DEFAULT) -> None:
        """Returns once a table has no such index. Raises DeadlineExceededError, ResourceNotFoundError."""

        async def is_gone() -> bool | None:
            described = await self.describe_table(table)
            return None if any(each.name == index for each in described.global_indexes) else True

        await _poll(is_gone, f"index {index} of table {table} is not gone", timeout_s)

    async def wait_until_table_gone(self, name: str, *, timeout_s: float = TABLE_WAIT_S_DEFAULT) -> None:
        """Returns once there is no such table. Raises DeadlineExceededError."""

        async def is_gone() -> bool | None:
            try:
                await self.describe_table(name)
            except ResourceNotFoundError:
                return True
            return None

        await _poll(is_gone, f"table {name} is not gone", timeout_s)

    async def describe_limits(self, *, timeout_s: float | None = None) -> CapacityLimits:
        """The quotas on capacity units, as DynamoDB has them at first. Nothing enforces them here."""
        response = await self._transport().unary(
            _TABLES + "DescribeLimits",
            tables_pb2.DescribeLimitsRequest(),
            tables_pb2.DescribeLimitsResponse,
            self._limit_s(timeout_s),
        )
        return capacity_limits(response)

    async def tag_resource(self, table: str, tags: Mapping[str, str], *, timeout_s: float | None = None) -> None:
        """Sets tags of a table, in place of those that have the same keys; a table has at most 50.

        await client.tag_resource("music", {"stage": "test"})
        """
        request = tables_pb2.TagResourceRequest(
            resource_arn=table_arn(table), tags=[tables_pb2.Tag(key=key, value=value) for key, value in tags.items()]
        )
        await self._transport().unary(
            _TABLES + "TagResource", request, tables_pb2.TagResourceResponse, self._limit_s(timeout_s)
        )

    async def untag_resource(self, table: str, tag_keys: Iterable[str], *, timeout_s: float | None = None) -> None:
        """Removes the tags with these keys; there need not be any."""
        request = tables_pb2.UntagResourceRequest(resource_arn=table_arn(table), tag_keys=tag_keys)
        await self._transport().unary(
            _TABLES + "UntagResource", request, tables_pb2.UntagResourceResponse, self._limit_s(timeout_s)
        )

    async def list_tags_of_resource(self, table: str, *, timeout_s: float | None = None) -> dict[str, str]:
        """All tags of a table. Raises ResourceNotFoundError."""
        tags: dict[str, str] = {}
        request = tables_pb2.ListTagsOfResourceRequest(resource_arn=table_arn(table))
        while True:
            page = await self._transport().unary(
                _TABLES + "ListTagsOfResource",
                request,
                tables_pb2.ListTagsOfResourceResponse,
                self._limit_s(timeout_s),
            )
            tags.update((tag.key, tag.value) for tag in page.tags)
            if not page.next_token:
                return tags
            request.next_token = page.next_token

    async def update_time_to_live(
        self, table: str, attribute: str, *, enabled: bool = True, timeout_s: float | None = None
    ) -> None:
        """Makes items expire once the time in their `attribute`, in seconds since 1970, is over; or, not `enabled`,
        not any more. A table is changed so once an hour at most. Raises ValidationError.

            await client.update_time_to_live("sessions", "expires_at")
        """
        request = tables_pb2.UpdateTimeToLiveRequest(table_name=table)
        request.time_to_live.attribute_name, request.time_to_live.enabled = attribute, enabled
        limit_s = self._limit_s(timeout_s)
        try:
            await self._transport().unary(
                _TABLES + "UpdateTimeToLive", request, tables_pb2.UpdateTimeToLiveResponse, limit_s
            )
        except ValidationError as error:
            # The attempt before, whose reply was lost, may have made the change.
            if not error.follows_unknown_attempt:
                raise
            if await self.describe_time_to_live(table, timeout_s=limit_s) != (attribute if enabled else None):
                raise

    async def describe_time_to_live(self, table: str, *, timeout_s: float | None = None) -> str | None:
        """The attribute by which a table's items expire; None: they do not. Raises ResourceNotFoundError."""
        response = await self._transport().unary(
            _TABLES + "DescribeTimeToLive",
            tables_pb2.DescribeTimeToLiveRequest(table_name=table),
            tables_pb2.DescribeTimeToLiveResponse,
            self._limit_s(timeout_s),
        )
        return response.time_to_live.attribute_name if response.time_to_live.enabled else None

    async def _describe(self, name: str, timeout_s: float) -> tables_pb2.TableDescription:
        request = tables_pb2.DescribeTableRequest(table_name=name)
        response = await self._transport().unary(
            _TABLES + "DescribeTable", request, tables_pb2.DescribeTableResponse, timeout_s
        )
        return response.table


def _has_changed(table: tables_pb2.TableDescription, request: tables_pb2.UpdateTableRequest) -> bool:
    """Whether a table is as a request wants it that asks for something which can be told: capacity units, an index that
    is made, one that goes, a stream."""
    indexes = {each.index.name: each for each in table.global_indexes}
    wanted: list[bool] = []
    if request.HasField("provisioned"):
        wanted.append(table.provisioned == request.provisioned)
    if request.HasField("create_index"):
        wanted.append(request.create_index.name in indexes)
    if request.delete_index:
        left = indexes.get(request.delete_index)
        wanted.append(left is None or left.status == tables_pb2.INDEX_DELETING)
    if request.HasField("stream"):
        wanted.append(table.stream == request.stream)
    return bool(wanted) and all(wanted)


def _put_capacity(
    request: tables_pb2.CreateTableRequest | tables_pb2.UpdateTableRequest,
    read_units: int | None,
    write_units: int | None,
) -> None:
    """Raises ValueError for one without the other."""
    if read_units is None and write_units is None:
        return
    if read_units is None or write_units is None:
        raise ValueError("give both read_capacity_units and write_capacity_units, or neither.")
    request.provisioned.read_capacity_units = read_units
    request.provisioned.write_capacity_units = write_units


def _put_limits(
    request: tables_pb2.CreateTableRequest | tables_pb2.UpdateTableRequest,
    read_units: int | None,
    write_units: int | None,
) -> None:
    """Raises ValueError for 0, which the wire takes for none."""
    for units in (read_units, write_units):
        if units is not None and units < 1 and units != LIFTED:
            raise ValueError(f"a limit of request units is at least 1, or {LIFTED} for none, not {units}.")
    if read_units is not None:
        request.on_demand.max_read_request_units = read_units
    if write_units is not None:
        request.on_demand.max_write_request_units = write_units


async def _poll(question: Callable[[], Awaitable[AnswerT | None]], what: str, timeout_s: float) -> AnswerT:
    """Asks until the answer is not None. Raises DeadlineExceededError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    delay_s = _POLL_S_MIN
    while True:
        answer = await question()
        if answer is not None:
            return answer
        if loop.time() + delay_s > deadline:
            raise DeadlineExceededError(f"{what} after {timeout_s:g} s")
        await asyncio.sleep(delay_s)
        delay_s = min(_POLL_S_MAX, delay_s * 1.5)
