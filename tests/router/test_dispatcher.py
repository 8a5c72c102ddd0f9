"""router/dispatcher.py: splits requests, gathers answers, and always answers once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from statorpb import partition_pb2, passthrough_pb2, tables_pb2

from router.dispatcher import TABLE_POLL_S, Dispatcher, write_token
from router.item_json import batch_read
from router.item_messages import fill_reply
from router.partition_map_cache import PartitionMapCache
from router.requests import batch_get_item
from router.requests import scan as scan_request
from router.requests.batch_get_item import BatchGetItemRequest
from router.requests.batch_write_item import BatchWriteItemRequest
from router.requests.delete_item import DeleteItemRequest
from router.requests.get_item import GetItemRequest
from router.requests.put_item import PutItemRequest
from router.requests.scan import ScanRequest
from router.requests.table_requests import DescribeEndpointsRequest, DescribeLimitsRequest, DescribeTableRequest
from router.requests.transact_get_items import TransactGetItemsRequest
from router.requests.transact_write_items import TransactWriteItemsRequest
from router.results import BatchRead, Page, TransactRead, TransactWritten
from router.storage_client import DELETE, GET, PUT, PartitionCall
from router.transact import Transactions
from server.model.errors import (
    DeadlineExceededError,
    InternalServerError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    StatorError,
    ThrottledError,
    TransactionConflictError,
    ValidationError,
)
from server.model.item import Item
from server.model.key_encoding import hash_key
from server.model.limits import PAGE_BYTES_MAX
from server.model.table import GlobalIndex, KeyAttribute
from server.table_codec import put_global_index
from server.wire import item_from_bytes, item_to_bytes
from tests.router.fakes import TABLE, FakeMetadata, FakeStorage, Outcome, route

Answer = Callable[[PartitionCall], partition_pb2.PartitionReply | StatorError | None]


class Rig:
    """A dispatcher on a fake metadata service and fake storage."""

    def __init__(self, metadata: FakeMetadata, answer: Answer | None = None) -> None:
        self.metadata = metadata
        self.storage = FakeStorage(answer)
        self.cache = PartitionMapCache(metadata)
        self.dispatcher = Dispatcher(self.cache, self.storage, metadata)

    def start(self, request: Any, token_seed: bytes = b"", timeout_s: float = 5.0) -> Outcome:
        outcome = Outcome()
        self.dispatcher.submit(request, asyncio.get_running_loop().time() + timeout_s, token_seed, outcome.done)
        return outcome

    async def run(self, request: Any, token_seed: bytes = b"", timeout_s: float = 5.0) -> Any:
        return await self.start(request, token_seed, timeout_s).wait()


@pytest_asyncio.fixture
async def metadata() -> FakeMetadata:
    return FakeMetadata(route(partitions=4), route("sorted", number=2, has_sort_key=True))


@pytest_asyncio.fixture
async def rig(metadata: FakeMetadata) -> AsyncIterator[Rig]:
    yield Rig(metadata, lambda _: partition_pb2.PartitionReply())


def item(name: str) -> Item:
    return {"pk": {"S": name}}


def get(name: str, table: str = TABLE) -> GetItemRequest:
    return GetItemRequest(table, item(name), True)


def put(name: str) -> PutItemRequest:
    return PutItemRequest(TABLE, item(name))


def refuse(error: StatorError, *names: str) -> Answer:
    """Refuses what is done to the items of these names; the others are found."""
    refused = {hash_key("S", name) for name in names}
    return lambda call: error if call.position in refused else partition_pb2.PartitionReply(item=b"item")


# One item


async def test_an_item_is_read_and_what_is_not_there_is_none(rig: Rig, metadata: FakeMetadata) -> None:
    """GetItem's result is the item's bytes, or nothing."""
    assert (await rig.run(get("a"))).item is None
    found = Rig(metadata, lambda _: partition_pb2.PartitionReply(item=b"item"))
    assert (await found.run(get("a"))).item == b"item"
    (call,) = found.storage.calls
    assert call.operation == GET and call.is_consistent


async def test_a_write_carries_the_item_and_a_token(rig: Rig) -> None:
    """A client's name for a write gives the same token each time; without one, each write has its own."""
    await rig.run(put("a"), b"mine")
    await rig.run(put("a"), b"mine")
    await rig.run(DeleteItemRequest(TABLE, item("a")))
    await rig.run(DeleteItemRequest(TABLE, item("a")))
    one, two, three, four = rig.storage.calls
    assert (one.operation, one.item) == (PUT, item_to_bytes(item("a")))
    assert one.token == two.token == write_token(b"mine")
    assert three.operation == DELETE
    assert len({one.token, three.token, four.token}) == 3
    assert {len(call.token) for call in rig.storage.calls} == {16}


@pytest.mark.parametrize(
    "request_",
    [get("a", "nothing"), BatchGetItemRequest((get("a"), get("a", "nothing")))],
    ids=["one table", "one of two tables"],
)
async def test_an_unknown_table_is_an_error(rig: Rig, request_: Any) -> None:
    """And nothing has been asked of storage."""
    with pytest.raises(ResourceNotFoundError):
        await rig.run(request_)
    assert not rig.storage.calls


async def test_a_table_that_is_being_created_is_not_there_yet(rig: Rig, metadata: FakeMetadata) -> None:
    """As DynamoDB has it."""
    metadata.routes[TABLE].status = tables_pb2.CREATING
    with pytest.raises(ResourceNotFoundError):
        await rig.run(get("a"))


@pytest.mark.parametrize("was_known", [False, True])
async def test_an_index_that_has_just_been_made_is_read(metadata: FakeMetadata, was_known: bool) -> None:
    """Whoever was told that it is active may read it through any router: one that has heard less asks a leader. So it
    does for one that there is not, before it says so."""
    rig = Rig(metadata, Partitions([]).answer)
    made = route(partitions=4)
    index = made.global_indexes.add(status=tables_pb2.INDEX_ACTIVE)
    put_global_index(index.index, GlobalIndex(7, "by-year", (KeyAttribute("year", "N"),), (), "ALL"))
    index.partitions.extend(made.partitions[:1])
    if was_known:
        metadata.routes[TABLE].global_indexes.add().CopyFrom(index)
        metadata.routes[TABLE].global_indexes[0].status = tables_pb2.INDEX_CREATING
    metadata.newest_routes = dict(metadata.routes)
    read = scan_request.from_body({"TableName": TABLE, "IndexName": "by-year"}, is_json=True)
    with pytest.raises(ValidationError, match="backfilling" if was_known else "does not have the specified index"):
        await rig.run(read)
    metadata.newest_routes[TABLE] = made
    await rig.run(read)
    await rig.run(read)
    assert [call.table.number for call in rig.storage.calls] == [7, 7]
    asked = [each.linearizable for each in metadata.look_ups]
    assert asked == [False, True] if was_known else [False, True, True], "it is known by then"


async def test_nobody_knows_the_table_in_time(rig: Rig, metadata: FakeMetadata) -> None:
    """The request ends when its time does."""
    metadata.is_up.clear()
    with pytest.raises(ServiceUnavailableError):
        await rig.run(get("a"), timeout_s=0.1)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (TABLE, {}),
        (TABLE, {"pk": {"N": "1"}}),
        (TABLE, {"pk": {"S": "a"}, "more": {"S": "b"}}),
        ("sorted", {"pk": {"S": "a"}}),
        ("sorted", {"pk": {"S": "a"}, "sk": {"B": b"b"}}),
    ],
)
async def test_a_key_that_does_not_fit_the_table_is_refused(rig: Rig, table: str, key: Item) -> None:
    """In whatever it occurs."""
    for request in (
        GetItemRequest(table, key, False),
        DeleteItemRequest(table, key),
        BatchGetItemRequest((GetItemRequest(table, key, False),)),
        BatchWriteItemRequest((DeleteItemRequest(table, key),)),
        ScanRequest(table, 0, key, False),
    ):
        with pytest.raises(ValidationError, match="The provided key element does not match the schema"):
            await rig.run(request)
    assert not rig.storage.calls


# Batches


async def test_a_batch_is_written_member_by_member(rig: Rig) -> None:
    """Nothing is left over; two members never share a token."""
    result = await rig.run(BatchWriteItemRequest((put("a"), DeleteItemRequest(TABLE, item("b")))), b"mine")
    assert result.unprocessed == []
    assert [call.operation for call in rig.storage.calls] == [PUT, DELETE]
    assert len({call.token for call in rig.storage.calls}) == 2


async def test_a_batch_sent_again_in_part_keeps_its_tokens(rig: Rig) -> None:
    """What came back unprocessed is sent with fewer others around it: a member's token goes by its key."""
    await rig.run(BatchWriteItemRequest((put("a"), put("b"))), b"mine")
    await rig.run(BatchWriteItemRequest((put("b"),)), b"mine")
    _, whole, again = rig.storage.calls
    assert whole.token == again.token


async def test_writes_refused_for_now_come_back(metadata: FakeMetadata) -> None:
    """In the order they were given; the others have been carried out."""
    rig = Rig(metadata, refuse(ThrottledError("later"), "b", "d"))
    result = await rig.run(BatchWriteItemRequest(tuple(put(name) for name in "abcd")))
    assert result.unprocessed == [put("b"), put("d")]


async def test_items_that_a_transaction_is_under_way_on_come_back(metadata: FakeMetadata) -> None:
    """Also where that is all that was asked for: DynamoDB has no such error of a batch. But what else stands in the way
    of all of it is told."""
    rig = Rig(metadata, refuse(TransactionConflictError(), "a", "b"))
    assert (await rig.run(BatchWriteItemRequest((put("a"), put("c"))))).unprocessed == [put("a")]
    result = await rig.run(BatchWriteItemRequest((put("a"), put("b")), "TOTAL"))
    assert (result.unprocessed, result.capacity) == ([put("a"), put("b")], [])
    answers = {hash_key("S", "a"): TransactionConflictError(), hash_key("S", "b"): ThrottledError("later")}
    rig = Rig(metadata, lambda call: answers[call.position])
    with pytest.raises(ThrottledError):
        await rig.run(BatchWriteItemRequest((put("a"), put("b"))))


@pytest.mark.parametrize(
    "request_", [BatchWriteItemRequest((put("a"), put("b"))), BatchGetItemRequest((get("a"), get("b")))]
)
async def test_a_batch_whose_answer_cannot_be_given_ends_with_an_error(rig: Rig, request_: Any) -> None:
    """Whoever is to tell the client fails: it is told of that, and does not wait for ever."""
    await rig.run(put("a"))  # the table is known from here on
    told: list[type] = []

    def done(_: Any, error: StatorError | None) -> None:
        told.append(type(error))
        if error is None:
            raise RuntimeError("a bug")

    rig.dispatcher.submit(request_, asyncio.get_running_loop().time() + 5, b"", done)
    assert told == [type(None), InternalServerError]


class FakeTransactions(Transactions):
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def write(self, request: Any, tables: Any, deadline: float, token_seed: bytes, done: Any, begun: float) -> None:
        self.asked.append((request, sorted(tables), token_seed, begun))
        done(TransactWritten(), None)

    def read(self, request: Any, tables: Any, deadline: float, done: Any) -> None:
        self.asked.append((request, sorted(tables)))
        done(TransactRead([]), None)


async def test_a_transaction_is_carried_out_once_its_tables_are_known(rig: Rig) -> None:
    """All of them, each asked for once; with the name that its client gives it."""
    transactions = rig.dispatcher.transactions = FakeTransactions()
    write = TransactWriteItemsRequest((put("a"), put("b"), PutItemRequest("sorted", item("c"))))
    read = TransactGetItemsRequest((get("a"), get("b", "sorted")))
    for _ in range(2):  # unknown, then known
        assert await rig.run(write, b"mine") == TransactWritten()
        assert await rig.run(read) == TransactRead([])
    assert transactions.asked == [(write, [TABLE, "sorted"], b"mine", math.inf), (read, [TABLE, "sorted"])] * 2
    assert [[*each.table_names] for each in rig.metadata.look_ups] in ([[TABLE], ["sorted"]], [["sorted"], [TABLE]])
    with pytest.raises(ResourceNotFoundError):
        await rig.run(TransactWriteItemsRequest((put("a"), PutItemRequest("nothing", item("c")))))


def certain(error: StatorError) -> StatorError:
    """Of a write that was not carried out, for certain."""
    error.is_not_carried_out = True
    return error


async def test_a_batch_says_that_nothing_was_carried_out_only_if_that_is_so(metadata: FakeMetadata) -> None:
    """Of every member: neither where one may have been, nor where one was."""
    at_a, at_b = hash_key("S", "a"), hash_key("S", "b")
    doubtful, fatal = DeadlineExceededError("who knows"), certain(ValidationError("never"))
    for of_a, of_b, is_certain in (
        (certain(ThrottledError("later")), certain(ThrottledError("later")), True),
        (certain(ThrottledError("later")), doubtful, False),
        (fatal, None, False),
    ):
        answers = {at_a: of_a, at_b: of_b}
        rig = Rig(metadata, lambda call, answers=answers: answers[call.position] or partition_pb2.PartitionReply())  # type: ignore[misc]
        with pytest.raises(StatorError) as raised:
            await rig.run(BatchWriteItemRequest((put("a"), put("b"))))
        assert raised.value.is_not_carried_out == is_certain


async def test_what_may_have_been_carried_out_is_not_left_over_of_a_named_batch(metadata: FakeMetadata) -> None:
    """It would be sent again under another name; who has named nothing gets it back."""
    rig = Rig(metadata, refuse(DeadlineExceededError("who knows"), "b"))
    batch = BatchWriteItemRequest((put("a"), put("b")))
    assert (await rig.run(batch)).unprocessed == [put("b")]
    outcome = Outcome()
    now = asyncio.get_running_loop().time()
    rig.dispatcher.submit(batch, now + 5, b"mine", outcome.done, now)
    with pytest.raises(DeadlineExceededError) as raised:
        await outcome.wait()
    assert not raised.value.is_not_carried_out


async def test_reads_refused_for_now_come_back(metadata: FakeMetadata) -> None:
    """With what was found of the others, and the tables that were asked."""
    rig = Rig(metadata, refuse(ThrottledError("later"), "a"))
    result = await rig.run(BatchGetItemRequest((get("a"), get("b"))))
    assert result == BatchRead([TABLE], [(TABLE, b"item")], [get("a")])


async def test_what_is_to_be_asked_again_is_asked_in_the_same_way(metadata: FakeMetadata) -> None:
    """With the projection and the names that the batch had for its table."""
    rig = Rig(metadata, refuse(ThrottledError("later"), "a"))
    body = {"Keys": [item("a"), item("b")], "ConsistentRead": True}
    how = {"ProjectionExpression": "#v", "ExpressionAttributeNames": {"#v": "v"}}
    result = await rig.run(batch_get_item.from_body({"RequestItems": {TABLE: {**body, **how}}}, is_json=True))
    shown = batch_read(result._replace(found=[]))
    assert shown["UnprocessedKeys"] == {TABLE: {"Keys": [item("a")], "ConsistentRead": True, **how}}
    reply = passthrough_pb2.RawSessionReply()
    fill_reply(reply, "batch_get_item", result)
    (again,) = reply.batch_get_item.unprocessed
    assert (again.projection_expression, dict(again.expression_attribute_names)) == ("#v", {"#v": "v"})
    assert (again.consistent_read, list(again.keys)) == (True, [item_to_bytes(item("a"))])


async def test_a_read_of_nothing_is_no_answer_and_not_unprocessed(rig: Rig) -> None:
    """An item that is not there is left out."""
    assert await rig.run(BatchGetItemRequest((get("a"),))) == BatchRead([TABLE], [], [])


@pytest.mark.parametrize("kind", ["write", "read"])
async def test_a_batch_of_which_nothing_was_done_is_an_error(metadata: FakeMetadata, kind: str) -> None:
    """The first refusal is the answer."""
    rig = Rig(metadata, lambda _: ThrottledError("later"))
    batch = BatchWriteItemRequest((put("a"), put("b"))) if kind == "write" else BatchGetItemRequest((get("a"),))
    with pytest.raises(ThrottledError):
        await rig.run(batch)


@pytest.mark.parametrize("kind", ["write", "read"])
async def test_an_error_that_would_come_again_fails_the_batch(metadata: FakeMetadata, kind: str) -> None:
    """The client would send such a member for ever."""
    rig = Rig(metadata, refuse(ValidationError("never"), "b"))
    batch = (
        BatchWriteItemRequest((put("a"), put("b"))) if kind == "write" else BatchGetItemRequest((get("a"), get("b")))
    )
    with pytest.raises(ValidationError, match="never"):
        await rig.run(batch)


async def test_a_batch_waits_for_all_its_members(metadata: FakeMetadata) -> None:
    """In whatever order they are answered."""
    rig = Rig(metadata)
    outcome = rig.start(BatchGetItemRequest((get("a"), get("b"))))
    await metadata.wait_look_ups(1)
    while len(rig.storage.calls) < 2:
        await asyncio.sleep(0)
    one, two = rig.storage.calls
    two.done(partition_pb2.PartitionReply(item=b"b"), None)
    assert not outcome.future.done()
    one.done(partition_pb2.PartitionReply(item=b"a"), None)
    assert (await outcome.wait()).found == [(TABLE, b"b"), (TABLE, b"a")]


@pytest.mark.parametrize(
    "request_",
    [
        BatchWriteItemRequest((put("a"), DeleteItemRequest(TABLE, item("a")))),
        BatchGetItemRequest((get("a"), get("a"))),
    ],
)
async def test_no_key_twice_in_a_batch(rig: Rig, request_: Any) -> None:
    """Refused before anything is done."""
    with pytest.raises(ValidationError, match="Provided list of item keys contains duplicates"):
        await rig.run(request_)
    assert not rig.storage.calls


async def test_a_batch_read_is_bounded(metadata: FakeMetadata) -> None:
    """What would make the answer larger than 16 MB is to be asked for again."""
    rig = Rig(metadata, lambda _: partition_pb2.PartitionReply(item=bytes(PAGE_BYTES_MAX)))
    result = await rig.run(BatchGetItemRequest(tuple(get(str(number)) for number in range(20))))
    assert len(result.found) == 15
    assert result.unprocessed == [get(str(number)) for number in range(15, 20)]


# Scans


class Partitions:
    """What is stored: `names[i]` are the items of the i-th of four partitions, each with `size` bytes more."""

    def __init__(self, *names: list[str], size: int = 0) -> None:
        self.names = sorted((name for each in names for name in each), key=position)
        self.size = size

    def answer(self, call: PartitionCall) -> partition_pb2.PartitionReply:
        """A slice of the part of the call's range that one partition has."""
        details = call.details
        assert isinstance(details, partition_pb2.ScanDetails)
        low, high = call.covered
        names = [name for name in self.names if low <= position(name) and (not high or position(name) < high)]
        if call.is_backwards:
            names.reverse()
        reply = partition_pb2.PartitionReply()
        slice_ = reply.scan
        for name in names:
            if slice_.evaluated_bytes >= details.bytes_max or slice_.evaluated == details.items_max > 0:
                return reply
            slice_.items.append(item_to_bytes({**item(name), "v": {"B": bytes(self.size)}}))
            slice_.matched += 1
            slice_.evaluated += 1
            slice_.evaluated_bytes += len(slice_.items[-1])
            slice_.last_key, slice_.last_key_item = bytes(10) + position(name), item_to_bytes(item(name))
        slice_.is_complete = True
        return reply


def position(name: str) -> bytes:
    return hash_key("S", name)


def names_in(partition: int, count: int) -> list[str]:
    """Names whose hashes lie in one of four partitions."""
    found = (name for name in map(str, range(10_000)) if position(name)[0] // 64 == partition)
    return [next(found) for _ in range(count)]


def names_of(page: Page) -> list[str]:
    return [item_from_bytes(each)["pk"]["S"] for each in page.items]


STORED = [names_in(0, 3), [], names_in(2, 1), names_in(3, 2)]
ALL = sorted((name for names in STORED for name in names), key=position)


async def test_a_scan_goes_through_all_partitions(metadata: FakeMetadata) -> None:
    """In order, also through one that is empty; at the end there is no key to go on from."""
    rig = Rig(metadata, Partitions(*STORED).answer)
    page = await rig.run(ScanRequest(TABLE, 0, None, True))
    assert (names_of(page), page.last_key) == (ALL, None)
    assert len(rig.storage.calls) == 4


@pytest.mark.parametrize("limit", range(1, 8))
async def test_pages_of_any_length_are_the_whole_table(metadata: FakeMetadata, limit: int) -> None:
    """Nothing twice, nothing left out; every page but the last is full."""
    rig = Rig(metadata, Partitions(*STORED).answer)
    found: list[str] = []
    start: Item | None = None
    while True:
        page = await rig.run(ScanRequest(TABLE, limit, start, True))
        found += names_of(page)
        if page.last_key is None:
            break
        start = item_from_bytes(page.last_key)
        assert len(page.items) == page.count == page.scanned_count == limit
    assert found == ALL


async def test_a_page_holds_about_a_megabyte(metadata: FakeMetadata) -> None:
    """It ends with the item that passes the limit, and says where to go on."""
    rig = Rig(metadata, Partitions(*STORED, size=PAGE_BYTES_MAX // 4).answer)
    page = await rig.run(ScanRequest(TABLE, 0, None, True))
    assert names_of(page) == ALL[:4]
    assert page.last_key == item_to_bytes(item(ALL[3]))
    details = [call.details for call in rig.storage.calls]
    bounds = [each.bytes_max for each in details if isinstance(each, partition_pb2.ScanDetails)]
    assert bounds[0] == PAGE_BYTES_MAX
    assert all(0 < bound <= PAGE_BYTES_MAX // 4 for bound in bounds[1:])


async def test_an_empty_table_is_an_empty_page(metadata: FakeMetadata) -> None:
    """And the only one."""
    rig = Rig(metadata, Partitions([], [], [], []).answer)
    assert await rig.run(ScanRequest(TABLE, 5, None, True)) == Page([], 0, 0, None)


async def test_a_partition_that_fails_fails_the_scan(metadata: FakeMetadata) -> None:
    """Half a page would look like a whole one."""
    stored = Partitions(*STORED)
    rig = Rig(
        metadata,
        lambda call: stored.answer(call) if not call.position else ServiceUnavailableError("gone"),
    )
    with pytest.raises(ServiceUnavailableError):
        await rig.run(ScanRequest(TABLE, 0, None, True))


# What must not happen


async def test_a_bug_is_answered(metadata: FakeMetadata) -> None:
    """Whoever waits gets an error, whether the table was known or not."""

    def fail(call: PartitionCall) -> None:
        raise ZeroDivisionError

    rig = Rig(metadata, fail)
    for _ in range(2):
        with pytest.raises(InternalServerError):
            await rig.run(get("a"))


@pytest.mark.parametrize("failure", [ZeroDivisionError(), ServiceUnavailableError("nobody")], ids=["bug", "error"])
async def test_a_call_to_the_metadata_service_that_fails_is_answered(
    rig: Rig, metadata: FakeMetadata, failure: Exception
) -> None:
    """With the error that it is, or the one that stands for a bug."""
    metadata.answers["DescribeTable"] = failure
    outcome = Outcome()
    rig.dispatcher.submit_tables(DescribeTableRequest(TABLE), asyncio.get_running_loop().time() + 5, outcome.done)
    with pytest.raises(ServiceUnavailableError if isinstance(failure, StatorError) else InternalServerError):
        await outcome.wait()


async def test_what_the_metadata_service_answers_is_the_result(rig: Rig, metadata: FakeMetadata) -> None:
    """Unchanged."""
    answer = tables_pb2.DescribeTableResponse()
    metadata.answers["DescribeTable"] = answer
    outcome = Outcome()
    rig.dispatcher.submit_tables(DescribeTableRequest(TABLE), asyncio.get_running_loop().time() + 5, outcome.done)
    assert await outcome.wait() is answer


async def test_what_a_router_answers_by_itself(rig: Rig) -> None:
    """Quotas and its own address need nobody else."""
    outcome = Outcome()
    rig.dispatcher.submit_tables(DescribeLimitsRequest(), asyncio.get_running_loop().time() + 5, outcome.done)
    limits = await outcome.wait()
    assert (limits.account_max_read_capacity_units, limits.table_max_write_capacity_units) == (80_000, 40_000)
    rig.dispatcher.http_address = "host:8000"
    outcome = Outcome()
    rig.dispatcher.submit_tables(DescribeEndpointsRequest(), asyncio.get_running_loop().time() + 5, outcome.done)
    assert await outcome.wait() == "host:8000"


async def test_a_table_is_described_once_it_is_active(rig: Rig, metadata: FakeMetadata) -> None:
    """For a moment that is waited for: an SDK that is told CREATING looks again after 20 s."""
    metadata.answers["DescribeTable"] = described(tables_pb2.CREATING)
    outcome = Outcome()
    rig.dispatcher.submit_tables(DescribeTableRequest(TABLE), asyncio.get_running_loop().time() + 60, outcome.done)
    await asyncio.sleep(TABLE_POLL_S * 2)
    metadata.answers["DescribeTable"] = described(tables_pb2.ACTIVE)
    assert (await outcome.wait()).table.status == tables_pb2.ACTIVE


async def test_a_table_that_is_being_deleted_is_described_as_gone(rig: Rig, metadata: FakeMetadata) -> None:
    """Likewise."""
    metadata.answers["DescribeTable"] = described(tables_pb2.DELETING)
    outcome = Outcome()
    rig.dispatcher.submit_tables(DescribeTableRequest(TABLE), asyncio.get_running_loop().time() + 60, outcome.done)
    await asyncio.sleep(TABLE_POLL_S * 2)
    metadata.answers["DescribeTable"] = ResourceNotFoundError("Requested resource not found")
    with pytest.raises(ResourceNotFoundError):
        await outcome.wait()


async def test_a_table_that_stays_in_the_making_is_described_as_that(rig: Rig, metadata: FakeMetadata) -> None:
    """Within the request's own time."""
    metadata.answers["DescribeTable"] = described(tables_pb2.CREATING)
    outcome = Outcome()
    rig.dispatcher.submit_tables(DescribeTableRequest(TABLE), asyncio.get_running_loop().time() + 0.2, outcome.done)
    assert (await outcome.wait()).table.status == tables_pb2.CREATING


def described(status: tables_pb2.TableStatus.ValueType) -> tables_pb2.DescribeTableResponse:
    return tables_pb2.DescribeTableResponse(table=tables_pb2.TableDescription(table_name=TABLE, status=status))
