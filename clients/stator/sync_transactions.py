"""Transactions, for the synchronous client."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from stator.blocking import Blocking
from stator.expressions import Condition, Update
from stator.options import TransactGetOptions, TransactionOptions, TransactWriteOptions
from stator.results import TransactionResult
from stator.transaction_members import TableName, TransactGet, TransactWrite
from stator.transactions import AsyncTransaction

Call = Callable[[Coroutine[Any, Any, TransactionResult]], TransactionResult]


class Transaction:
    """Gathers the writes of one transaction, and has them carried out: all of them, or none. Made by
    `Client.transaction`, used by one thread. See `AsyncTransaction`.

        with client.transaction() as transfer:
            transfer.update("accounts", {"id": "a"}, update().add("balance", -30), condition=attr("balance").ge(30))
            transfer.update("accounts", {"id": "b"}, update().add("balance", 30), condition=attr("id").exists())
    """

    def __init__(self, transaction: AsyncTransaction, call: Call) -> None:
        self._transaction = transaction
        self._call = call

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and not self._transaction.is_committed:
            self.commit()

    def __len__(self) -> int:
        return len(self._transaction)

    @property
    def is_committed(self) -> bool:
        """Whether `commit` was called, whatever came of it: nothing can be added then."""
        return self._transaction.is_committed

    @property
    def result(self) -> TransactionResult | None:
        """What came of it; None as long as it was not carried out."""
        return self._transaction.result

    def put(self, table: TableName, item: Any, **options: Unpack[TransactWriteOptions]) -> Self:
        """Writes a whole item, in place of any that has its key. See AsyncTransaction.put."""
        self._transaction.put(table, item, **options)
        return self

    def update(
        self,
        table: TableName,
        key: Mapping[str, Any],
        update: str | Update | None = None,
        **options: Unpack[TransactWriteOptions],
    ) -> Self:
        """Changes attributes of the item with this key. See AsyncTransaction.update."""
        self._transaction.update(table, key, update, **options)
        return self

    def delete(self, table: TableName, key: Mapping[str, Any], **options: Unpack[TransactWriteOptions]) -> Self:
        """Deletes the item with this key. See AsyncTransaction.delete."""
        self._transaction.delete(table, key, **options)
        return self

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
        """Writes nothing: the condition must hold for the item. See AsyncTransaction.check."""
        self._transaction.check(
            table,
            key,
            condition,
            names=names,
            values=values,
            return_values_on_condition_check_failure=return_values_on_condition_check_failure,
        )
        return self

    def commit(self) -> TransactionResult:
        """Has everything carried out that was gathered. See AsyncTransaction.commit."""
        return self._call(self._transaction.commit())


class SyncTransactionOperations(Blocking):
    """Transactions. See TransactionOperations for what they promise."""

    def transaction(self, **options: Unpack[TransactionOptions]) -> Transaction:
        """A transaction to be filled: see `Transaction`, and AsyncClient.transaction for the options."""
        return Transaction(self._client.transaction(**options), self._call)

    def transact_write_items(
        self, writes: Iterable[TransactWrite], **options: Unpack[TransactionOptions]
    ) -> TransactionResult:
        """Carries out all writes and checks, or none. See AsyncClient.transact_write_items."""
        return self._call(self._client.transact_write_items(writes, **options))

    def transact_get_items(
        self,
        gets: Iterable[TransactGet | tuple[TableName, Mapping[str, Any]]],
        **options: Unpack[TransactGetOptions],
    ) -> list[Any]:
        """Items of any tables as they all were at one moment. See AsyncClient.transact_get_items."""
        return self._call(self._client.transact_get_items(gets, **options))
