"""The synchronous client's operations on tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from stator.blocking import Blocking
from stator.descriptions import CapacityLimits, TableClass, TableDescription
from stator.indexes import GlobalIndex, LocalIndex
from stator.stream_descriptions import StreamOff, StreamViewType
from stator.tables import TABLE_WAIT_S_DEFAULT

ResultT = TypeVar("ResultT")


class SyncTableOperations(Blocking):
    """What a client can do with tables; see TableOperations for what each does."""

    def create_table(
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
        """Begins to make a table. See AsyncClient.create_table."""
        return self._call(
            self._client.create_table(
                name,
                partition_key,
                sort_key,
                local_indexes=local_indexes,
                global_indexes=global_indexes,
                stream=stream,
                read_capacity_units=read_capacity_units,
                write_capacity_units=write_capacity_units,
                max_read_request_units=max_read_request_units,
                max_write_request_units=max_write_request_units,
                table_class=table_class,
                deletion_protection=deletion_protection,
                tags=tags,
                partitions=partitions,
                timeout_s=timeout_s,
            )
        )

    def update_table(
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
        """Changes what is given and leaves the rest as it is. See AsyncClient.update_table."""
        return self._call(
            self._client.update_table(
                name,
                read_capacity_units=read_capacity_units,
                write_capacity_units=write_capacity_units,
                on_demand=on_demand,
                max_read_request_units=max_read_request_units,
                max_write_request_units=max_write_request_units,
                warm_read_units_per_second=warm_read_units_per_second,
                warm_write_units_per_second=warm_write_units_per_second,
                table_class=table_class,
                deletion_protection=deletion_protection,
                create_index=create_index,
                delete_index=delete_index,
                stream=stream,
                index_capacity_units=index_capacity_units,
                timeout_s=timeout_s,
            )
        )

    def describe_table(self, name: str, *, timeout_s: float | None = None) -> TableDescription:
        """The table's key, state and size. See AsyncClient.describe_table."""
        return self._call(self._client.describe_table(name, timeout_s=timeout_s))

    def delete_table(self, name: str, *, timeout_s: float | None = None) -> None:
        """Begins to delete a table. See AsyncClient.delete_table."""
        self._call(self._client.delete_table(name, timeout_s=timeout_s))

    def list_tables(self, *, timeout_s: float | None = None) -> Iterator[str]:
        """The names of all tables, in order. See AsyncClient.list_tables."""
        return self._iterate(self._client.list_table_pages(timeout_s=timeout_s))

    def list_table_pages(self, *, timeout_s: float | None = None) -> Iterator[list[str]]:
        """As `list_tables`, a list for each page. See AsyncClient.list_table_pages."""
        return self._iterate_pages(self._client.list_table_pages(timeout_s=timeout_s))

    def wait_until_table_active(self, name: str, *, timeout_s: float = TABLE_WAIT_S_DEFAULT) -> TableDescription:
        """Returns once the table can be used. See AsyncClient.wait_until_table_active."""
        return self._call(self._client.wait_until_table_active(name, timeout_s=timeout_s))

    def wait_until_index_active(
        self, table: str, index: str, *, timeout_s: float = TABLE_WAIT_S_DEFAULT
    ) -> TableDescription:
        """Returns once a global index can be read. See AsyncClient.wait_until_index_active."""
        return self._call(self._client.wait_until_index_active(table, index, timeout_s=timeout_s))

    def wait_until_index_gone(self, table: str, index: str, *, timeout_s: float = TABLE_WAIT_S_DEFAULT) -> None:
        """Returns once a table has no such index. See AsyncClient.wait_until_index_gone."""
        self._call(self._client.wait_until_index_gone(table, index, timeout_s=timeout_s))

    def wait_until_table_gone(self, name: str, *, timeout_s: float = TABLE_WAIT_S_DEFAULT) -> None:
        """Returns once there is no such table. See AsyncClient.wait_until_table_gone."""
        self._call(self._client.wait_until_table_gone(name, timeout_s=timeout_s))

    def describe_limits(self, *, timeout_s: float | None = None) -> CapacityLimits:
        """The quotas on capacity units. See AsyncClient.describe_limits."""
        return self._call(self._client.describe_limits(timeout_s=timeout_s))

    def tag_resource(self, table: str, tags: Mapping[str, str], *, timeout_s: float | None = None) -> None:
        """Sets tags of a table. See AsyncClient.tag_resource."""
        self._call(self._client.tag_resource(table, tags, timeout_s=timeout_s))

    def untag_resource(self, table: str, tag_keys: Iterable[str], *, timeout_s: float | None = None) -> None:
        """Removes tags of a table. See AsyncClient.untag_resource."""
        self._call(self._client.untag_resource(table, tag_keys, timeout_s=timeout_s))

    def list_tags_of_resource(self, table: str, *, timeout_s: float | None = None) -> dict[str, str]:
        """All tags of a table. See AsyncClient.list_tags_of_resource."""
        return self._call(self._client.list_tags_of_resource(table, timeout_s=timeout_s))

    def update_time_to_live(
        self, table: str, attribute: str, *, enabled: bool = True, timeout_s: float | None = None
    ) -> None:
        """Makes items expire by an attribute, or not any more. See AsyncClient.update_time_to_live."""
        self._call(self._client.update_time_to_live(table, attribute, enabled=enabled, timeout_s=timeout_s))

    def describe_time_to_live(self, table: str, *, timeout_s: float | None = None) -> str | None:
        """The attribute by which items expire. See AsyncClient.describe_time_to_live."""
        return self._call(self._client.describe_time_to_live(table, timeout_s=timeout_s))
