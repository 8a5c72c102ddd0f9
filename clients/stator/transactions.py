"""Transactions, for asyncio: all of some writes or none, over any items of any tables; and reads of one moment."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from stator.connection import Connection
from stator.expressions import Condition, Update
from stator.item_requests import ItemRequests, RawMember, check_names, transaction_result
from stator.options import TransactGetOptions, TransactionOptions, TransactWriteOptions
from stator.results import TransactionResult, consumed_capacity
from stator.transaction_members import (
    TableName,
    TransactCheck,
    TransactDelete,
    TransactGet,
    TransactPut,
    TransactUpdate,
    TransactWrite,
    as_get,
)
from stator.typed_items import reader_of
from stator.values import decode_item

_CarryOut = Callable[[list[RawMember]], Awaitable[TransactionResult]]


class AsyncTransaction:
    """Gathers the writes of one transaction, and has them carried out: all of them, or none. Made by
    `AsyncClient.transaction`.

        async with client.transaction() as transfer:
            transfer.update("accounts", {"id": "a"}, update().add("balance", -30), condition=attr("balance").ge(30))
            transfer.update("accounts", {"id": "b"}, update().add("balance", 30), condition=attr("id").exists())

    The end of the block commits, unless the block ends with an error or has committed itself. Without a block:

        await client.transaction().put("songs", song).delete("drafts", {"id": 7}).commit()

    Nothing is sent before that. `put`, `update`, `delete` and `check` raise TypeError and ValidationError for what
    cannot be stored; up to 100 of them fit into one, with 4 MB, each for another item. A table is its name, or what
    `client.table` made.
    """

    def __init__(self, requests: ItemRequests, carry_out: _CarryOut) -> None:
        self._requests = requests
        self._carry_out = carry_out
        self._members: list[RawMember] = []
        self._is_committed = False
        self._result: TransactionResult | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and not self.is_committed:
            await self.commit()

    def __len__(self) -> int:
        return len(self._members)

    @property
    def is_committed(self) -> bool:
        """Whether `commit` was called, whatever came of it: nothing can be added then."""
        return self._is_committed

    @property
    def result(self) -> TransactionResult | None:
        """What came of it; None as long as it was not carried out."""
        return self._result

    def put(self, table: TableName, item: Any, **options: Unpack[TransactWriteOptions]) -> Self:
        """Writes a whole item, in place of any that has its key. See `stator.options.TransactWriteOptions`."""
        return self._with(TransactPut(table, item, **options))

    def update(
        self,
        table: TableName,
        key: Mapping[str, Any],
        update: str | Update | None = None,
        **options: Unpack[TransactWriteOptions],
    ) -> Self:
        """Changes attributes of the item with this key, which is made if there is none."""
        return self._with(TransactUpdate(table, key, update, **options))

    def delete(self, table: TableName, key: Mapping[str, Any], **options: Unpack[TransactWriteOptions]) -> Self:
        """Deletes the item with this key; nothing happens if there is none."""
        return self._with(TransactDelete(table, key, **options))

    def check(
        self,
        table: TableName,
        key: Mapping[str, Any],
        condition: str | Condition,
        *,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        return_values_on_condition_check_failure: Literal["NONE", "ALL_OLD"] = "NONE",
    ) -> Self:
        """Writes nothing: the condition must hold for the item with this key when the rest is written."""
        return self._with(
            TransactCheck(
                table,
                key,
                condition,
                names=names,
                values=values,
                return_values_on_condition_check_failure=return_values_on_condition_check_failure,
            )
        )

    async def commit(self) -> TransactionResult:
        """Has everything carried out that was gathered; of nothing, that is nothing. Errors are those of
        `transact_write_items`.

        After an error it may be called again, which sends the same once more. If the error left open whether the first
        was carried out, and there is no `token`, it may then be carried out twice.
        """
        if self._result is not None:
            raise RuntimeError("this transaction was carried out already: make another")
        self._is_committed = True
        self._result = await self._carry_out(self._members)
        return self._result

    def _with(self, member: TransactWrite) -> Self:
        if self._is_committed:
            raise RuntimeError("this transaction was committed already: make another")
        self._members.append(self._requests.transact_member(member))
        return self


class TransactionOperations:
    """Transactions, over any items of any tables.

    They are serializable: among themselves, and with single writes and strongly consistent reads of single items.
    Queries, scans and batches may see some writes of a transaction and not yet others.
    """

    _connection: Connection
    _requests: ItemRequests

    def transaction(self, **options: Unpack[TransactionOptions]) -> AsyncTransaction:
        """A transaction to be filled: see `AsyncTransaction`. Asks nothing of the cluster yet.

        Options: token, return_consumed_capacity, return_item_collection_metrics, conflict_attempts, timeout_s. See
        `stator.options.TransactionOptions`, and `transact_write_items` for errors and for what a token is good for.

            async with client.transaction() as order:
                order.put("orders", {"id": 7, "item": "lamp"}, condition=~attr("id").exists())
                order.update("stock", {"item": "lamp"}, update().add("left", -1), condition=attr("left").gt(0))
                order.check("customers", {"id": 12}, attr("is_blocked").eq(False))
        """
        check_names(options, TransactionOptions)

        async def carry_out(members: list[RawMember]) -> TransactionResult:
            return await self._carry_out(members, options)

        return AsyncTransaction(self._requests, carry_out)

    async def transact_write_items(
        self, writes: Iterable[TransactWrite], **options: Unpack[TransactionOptions]
    ) -> TransactionResult:
        """Carries out all writes and checks, or none: a list of TransactPut, TransactUpdate, TransactDelete and
        TransactCheck. `transaction` is the same with methods.

        Options: token, return_consumed_capacity, return_item_collection_metrics, conflict_attempts, timeout_s. See
        `stator.options.TransactionOptions`.

        Raises TransactionCanceledError, whose `reasons` say which condition did not hold; ValidationError (one item
        twice, more than 100, above 4 MB, ...); ResourceNotFoundError; TypeError for a value that cannot be stored. What
        was cancelled only because other transactions or writes were at work on its items is tried again, up to
        `conflict_attempts` times, after a random delay that grows, as long as the call's time lasts.

        **Once, or twice?** Within this call it is carried out once, whatever is lost and sent again. But where answers
        fail to come for more than 8 s, or the call's time, it ends with DeadlineExceededError, UnavailableError,
        InternalServerError or TransactionInProgressError: the transaction may or may not have been carried out. Calling
        again might carry it out a second time; unless it has a `token`, a text of your own, such as str(uuid4()). By
        that the servers know it again for ten minutes after it was carried out: call with the same token and content
        until there is an answer. The same token with another content is an IdempotentParameterMismatchError.

            token = str(uuid.uuid4())
            await client.transact_write_items(
                [
                    TransactPut("orders", {"id": 7, "item": "lamp"}, condition=~attr("id").exists()),
                    TransactUpdate("stock", {"item": "lamp"}, update().add("left", -1), condition=attr("left").gt(0)),
                ],
                token=token,
            )
        """
        return await self._carry_out([self._requests.transact_member(each) for each in writes], options)

    async def transact_get_items(
        self,
        gets: Iterable[TransactGet | tuple[TableName, Mapping[str, Any]]],
        **options: Unpack[TransactGetOptions],
    ) -> list[Any]:
        """Items of any tables as they all were at one moment, in the order asked for; None where there is none.

        Up to 100, each a pair (table, key) or a TransactGet, which knows a projection and a class to read it as. Of a
        table that `client.table` made with `as_type`, items come back as objects of that class. It sees everything that
        was acknowledged before, and of each transaction all or nothing. Costs twice what strongly consistent reads do.

        Options: on_capacity, conflict_attempts, timeout_s. Raises TransactionCanceledError if the items were written to
        each time that it was tried; ResourceNotFoundError, ValidationError.

            payer, payee = await client.transact_get_items([("accounts", {"id": "a"}), ("accounts", {"id": "b"})])
        """
        check_names(options, TransactGetOptions)
        wanted = [as_get(each) for each in gets]
        readers = [None if get.as_type is None else reader_of(get.as_type) for get in wanted]
        if not wanted:
            return []
        on_capacity = options.get("on_capacity")
        request = self._requests.transact_get(wanted, counts_capacity=on_capacity is not None)
        reply = await self._connection.send(request, options.get("timeout_s"), options.get("conflict_attempts"))
        answer = reply.transact_get_items
        if on_capacity is not None:
            for each in answer.consumed_capacity:
                on_capacity(consumed_capacity(each))
        found = [decode_item(each.item) if each.HasField("item") else None for each in answer.responses]
        return [item if item is None or read is None else read(item) for item, read in zip(found, readers, strict=True)]

    async def _carry_out(self, members: list[RawMember], options: TransactionOptions) -> TransactionResult:
        request = self._requests.transact_write(members, options)
        if not members:
            return TransactionResult()
        reply = await self._connection.send(request, options.get("timeout_s"), options.get("conflict_attempts"))
        return transaction_result(reply.transact_write_items)
