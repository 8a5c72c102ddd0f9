"""Which items have expired."""

from __future__ import annotations

import pytest

from server.model.item import Item
from storage_node.partition.expiration import FORGOTTEN_AFTER_S, has_expired

NOW_S = 1_800_000_000


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"until": {"N": str(NOW_S - 1)}}, True),
        ({"until": {"N": str(NOW_S)}}, True),
        ({"until": {"N": f"{NOW_S}.5"}}, False),
        ({"until": {"N": str(NOW_S + 1)}}, False),
        ({"until": {"N": str(NOW_S - FORGOTTEN_AFTER_S)}}, True),
        ({"until": {"N": str(NOW_S - FORGOTTEN_AFTER_S - 1)}}, False),
        ({"until": {"N": "0"}}, False),
        ({"until": {"S": str(NOW_S - 1)}}, False),
        ({"other": {"N": str(NOW_S - 1)}}, False),
        ({}, False),
    ],
)
def test_expired(item: Item, expected: bool) -> None:
    """A number of seconds that is over, and not for more than five years; nothing else."""
    assert has_expired(item, "until", NOW_S) is expected
