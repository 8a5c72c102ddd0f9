"""StreamSpecification in CreateTable and UpdateTable: whether a table's changes are recorded, and what of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.requests.table_shapes import INVALID
from server.model.errors import ValidationError

_CREATED_WITHOUT_TYPE = INVALID + "Table is being created with a stream enabled, UpdateViewType is required"
_CREATED_WITH_TYPE = INVALID + "Table is being created with a stream disabled, UpdateViewType should not be specified"
_ENABLED_WITHOUT_TYPE = INVALID + "If stream is being enabled then UpdateViewType is required"
_DISABLED_WITH_TYPE = INVALID + "If stream is being disabled, then UpdateViewType must not be specified"

_ALONE = (
    ("TableClass", "TableClass modification must be the only operation in the request"),
    ("DeletionProtectionEnabled", "DeletionProtection modification must be the only operation in the request"),
)
"""What does not go together with a stream's beginning or end, and what that is refused with."""


def created_stream(content: Mapping[str, Any]) -> str:
    """The view type of a new table's stream; empty: it has none. Raises ValidationError."""
    return _view_type(content, _CREATED_WITHOUT_TYPE, _CREATED_WITH_TYPE) or ""


def changed_stream(content: Mapping[str, Any]) -> str | None:
    """The view type of the stream that an UpdateTable begins; empty: it ends the one that there is; None: neither.
    Raises ValidationError."""
    view_type = _view_type(content, _ENABLED_WITHOUT_TYPE, _DISABLED_WITH_TYPE)
    if view_type is None:
        return None
    if "ProvisionedThroughput" in content and "BillingMode" not in content:
        raise ValidationError(INVALID + "You cannot modify stream status while updating table IOPS")
    if any(update.keys() & {"Create", "Delete"} for update in content.get("GlobalSecondaryIndexUpdates", ())):
        raise ValidationError(INVALID + "You cannot create or delete index while changing stream status")
    for name, sentence in _ALONE:
        if name in content:
            raise ValidationError(INVALID + sentence)
    return view_type


def _view_type(content: Mapping[str, Any], without_type: str, with_type: str) -> str | None:
    specification = content.get("StreamSpecification")
    if specification is None:
        return None
    view_type: str = specification.get("StreamViewType", "")
    if specification["StreamEnabled"] != bool(view_type):
        raise ValidationError(with_type if view_type else without_type)
    return view_type
