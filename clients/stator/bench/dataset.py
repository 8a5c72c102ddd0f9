"""The table that a load works on."""

import asyncio

from stator.bench.runner import BenchmarkError
from stator.bench.workload import FIELD, PARTITION_KEY, Workload, key
from stator.client import AsyncClient
from stator.errors import ResourceInUseError

_WRITES_AT_ONCE = 256


async def prepare(client: AsyncClient, workload: Workload, partitions: int, *, is_filled: bool) -> bool:
    """Makes the table unless it is there, and writes every item if `is_filled`. Returns whether it was made.

    Raises BenchmarkError for a table with another key, and what the client raises.
    """
    try:
        await client.create_table(workload.table, (PARTITION_KEY, "S"), partitions=partitions)
        is_made = True
    except ResourceInUseError:
        is_made = False
    table = await client.wait_until_table_active(workload.table)
    if (table.partition_key.name, table.partition_key.type, table.sort_key) != (PARTITION_KEY, "S", None):
        raise BenchmarkError(
            f"the table {workload.table} has another key than {PARTITION_KEY}:S; name another --table."
        )
    if is_filled:
        await _fill(client, workload)
    return is_made


async def _fill(client: AsyncClient, workload: Workload) -> None:
    value = workload.value()
    indexes = iter(range(workload.items))

    async def write() -> None:
        for index in indexes:
            await client.put_item(workload.table, {PARTITION_KEY: key(index), FIELD: value})

    async with asyncio.TaskGroup() as group:
        for _ in range(_WRITES_AT_ONCE):
            group.create_task(write())
