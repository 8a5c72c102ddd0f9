"""The table that a load works on."""

import asyncio

from stator.bench.runner import BenchmarkError
from stator.bench.workload import COLLECTION_ITEMS, FIELD, PARTITION_KEY, SORT_KEY, Workload, key
from stator.client import AsyncClient
from stator.errors import ResourceInUseError

_WRITES_AT_ONCE = 256


async def prepare(client: AsyncClient, workload: Workload, partitions: int, *, is_filled: bool) -> bool:
    """Makes the table unless it is there, and writes every item if `is_filled`. Returns whether it was made.

    Raises BenchmarkError for a table with another key, and what the client raises.
    """
    try:
        sort_key = (SORT_KEY, "N") if workload.has_collections else None
        await client.create_table(workload.table, (PARTITION_KEY, "S"), sort_key, partitions=partitions)
        is_made = True
    except ResourceInUseError:
        is_made = False
    table = await client.wait_until_table_active(workload.table)
    names = [(each.name, each.type) for each in (table.partition_key, table.sort_key) if each is not None]
    if names != [(PARTITION_KEY, "S"), (SORT_KEY, "N")][: 2 if workload.has_collections else 1]:
        raise BenchmarkError(f"the table {workload.table} has another key than this workload's; name another --table.")
    if is_filled:
        await _fill(client, workload)
    return is_made


async def _fill(client: AsyncClient, workload: Workload) -> None:
    value = workload.value()
    count = workload.keys * COLLECTION_ITEMS if workload.has_collections else workload.items
    indexes = iter(range(count))

    async def write() -> None:
        for index in indexes:
            item: dict[str, str | int] = {PARTITION_KEY: key(index), FIELD: value}
            if workload.has_collections:
                item = {**item, PARTITION_KEY: key(index % workload.keys), SORT_KEY: index // workload.keys}
            await client.put_item(workload.table, item)

    async with asyncio.TaskGroup() as group:
        for _ in range(_WRITES_AT_ONCE):
            group.create_task(write())
