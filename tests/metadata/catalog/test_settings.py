"""A table's settings."""

from __future__ import annotations

from metadata.catalog.settings import TableSettings


def test_a_table_without_units_is_on_demand() -> None:
    """That is what its billing mode is read from."""
    assert TableSettings().is_on_demand
    assert not TableSettings(read_units=1, write_units=1).is_on_demand
