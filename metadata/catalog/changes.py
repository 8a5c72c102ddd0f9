"""DynamoDB's rules for changes of a table that is there: what they lead to, and when they are refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from metadata.catalog.commands import UpdateTable, UpdateTimeToLive
from metadata.catalog.settings import TableSettings
from server.model.errors import LimitExceededError, ValidationError
from server.model.limits import TAGS_MAX, WARM_READ_UNITS_MIN, WARM_WRITE_UNITS_MIN
from server.model.table import NO_UNITS_ON_DEMAND

_INVALID = "One or more parameter values were invalid: "
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

DECREASES_FREE = 4
"""Decreases of throughput a day (UTC) at any time; each one more must come an hour after the last."""

ON_DEMAND_SWITCHES_MAX = 4
"""Switches to on-demand in 24 hours."""

CLASS_CHANGES_MAX = 2
CLASS_CHANGES_MS = 30 * _DAY_MS
"""Changes of the table class, and in how much time."""

TIME_TO_LIVE_CHANGE_MS = _HOUR_MS
"""Time between two changes of how items expire."""


def decreases_today(settings: TableSettings, now_ms: int) -> int:
    """Decreases of throughput on the day (UTC) that it is now."""
    return settings.decreases if settings.last_decrease_ms // _DAY_MS == now_ms // _DAY_MS else 0


def warm_throughput(settings: TableSettings) -> tuple[int, int]:
    """(read, write) units a second that a table can serve at once."""
    if settings.is_on_demand:
        read_units, write_units = WARM_READ_UNITS_MIN, WARM_WRITE_UNITS_MIN
    else:
        read_units, write_units = settings.read_units, settings.write_units
    return max(read_units, settings.warm_read_units), max(write_units, settings.warm_write_units)


def updated(settings: TableSettings, command: UpdateTable, created_at_ms: int, what: str = "table") -> TableSettings:
    """The settings as an UpdateTable changes them. `what` they are of, in a sentence. Raises ValidationError,
    LimitExceededError."""
    result = _with_throughput(settings, command, created_at_ms, what)
    result = _with_warm_throughput(result, command, what)
    if command.table_class not in ("", result.table_class):
        result = _with_class(result, command)
    if command.is_protected is not None:
        result = replace(result, is_protected=command.is_protected)
    return result


def _with_throughput(settings: TableSettings, command: UpdateTable, created_at_ms: int, what: str) -> TableSettings:
    is_on_demand = command.billing_mode == "PAY_PER_REQUEST" if command.billing_mode else settings.is_on_demand
    has_units = command.read_units > 0
    if is_on_demand:
        if has_units:
            raise ValidationError(NO_UNITS_ON_DEMAND)
        if not settings.is_on_demand:
            settings = _on_demand(settings, command.time_ms, created_at_ms)
        return replace(
            settings,
            max_read_units=_limit(settings.max_read_units, command.max_read_units),
            max_write_units=_limit(settings.max_write_units, command.max_write_units),
        )
    if command.max_read_units or command.max_write_units:
        raise ValidationError(_INVALID + "OnDemandThroughput can only be specified when BillingMode is PAY_PER_REQUEST")
    if settings.is_on_demand:
        if not has_units:
            raise ValidationError(_INVALID + "ProvisionedThroughput must be specified when BillingMode is PROVISIONED")
        return replace(
            settings,
            read_units=command.read_units,
            write_units=command.write_units,
            max_read_units=0,
            max_write_units=0,
        )
    return _with_units(settings, command, what) if has_units else settings


def _limit(current: int, asked: int) -> int:
    """A limit of an on-demand table: 0 leaves it as it is, -1 lifts it."""
    return current if asked == 0 else max(asked, 0)


def _on_demand(settings: TableSettings, now_ms: int, created_at_ms: int) -> TableSettings:
    recent = [each for each in settings.on_demand_at_ms if now_ms - each < _DAY_MS and each != created_at_ms]
    if len(recent) >= ON_DEMAND_SWITCHES_MAX:
        raise LimitExceededError(
            f"Subscriber limit exceeded: Update to PayPerRequest mode are limited to {ON_DEMAND_SWITCHES_MAX} times in "
            f"1 day(s). Last update at {_date(recent[-1])}. Next update can be made at {_date(recent[0] + _DAY_MS)}"
        )
    return replace(
        settings,
        read_units=0,
        write_units=0,
        on_demand_at_ms=(*settings.on_demand_at_ms, now_ms)[-ON_DEMAND_SWITCHES_MAX:],
    )


def _with_units(settings: TableSettings, command: UpdateTable, what: str) -> TableSettings:
    before, after = (settings.read_units, settings.write_units), (command.read_units, command.write_units)
    if after == before:
        raise ValidationError(
            f"The provisioned throughput for the {what} will not change. The requested value equals the current value. "
            f"Current ReadCapacityUnits provisioned for the {what}: {before[0]}. Requested ReadCapacityUnits: "
            f"{after[0]}. Current WriteCapacityUnits provisioned for the {what}: {before[1]}. Requested "
            f"WriteCapacityUnits: {after[1]}. Refer to the Amazon DynamoDB Developer Guide for current limits and how "
            "to request higher limits."
        )
    now_ms = command.time_ms
    result = replace(settings, read_units=after[0], write_units=after[1])
    if after[0] > before[0] or after[1] > before[1]:
        result = replace(result, last_increase_ms=now_ms)
    if after[0] < before[0] or after[1] < before[1]:
        today = decreases_today(settings, now_ms)
        next_ms = settings.last_decrease_ms + _HOUR_MS
        if today >= DECREASES_FREE and now_ms < next_ms:
            raise LimitExceededError(
                "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. After "
                f"the first {DECREASES_FREE} decreases, each subsequent decrease in the same UTC day can be performed "
                f"at most once every 3600 seconds. Number of decreases today: {today}. Last decrease at "
                f"{_date(settings.last_decrease_ms)}. Next decrease can be made at {_date(next_ms)}"
            )
        result = replace(result, last_decrease_ms=now_ms, decreases=today + 1)
    return result


def _with_warm_throughput(settings: TableSettings, command: UpdateTable, what: str) -> TableSettings:
    current = warm_throughput(settings)
    asked = (command.warm_read_units, command.warm_write_units)
    for name, units, units_now in zip(("ReadUnitsPerSecond", "WriteUnitsPerSecond"), asked, current, strict=True):
        if 0 < units < units_now:
            raise ValidationError(
                f"{_INVALID}Requested {name} for WarmThroughput for {what} is lower than current WarmThroughput, "
                "decreasing WarmThroughput is not supported"
            )
    return replace(
        settings,
        warm_read_units=asked[0] or settings.warm_read_units,
        warm_write_units=asked[1] or settings.warm_write_units,
    )


def _with_class(settings: TableSettings, command: UpdateTable) -> TableSettings:
    recent = [each for each in settings.class_changed_ms if command.time_ms - each < CLASS_CHANGES_MS]
    if len(recent) >= CLASS_CHANGES_MAX:
        raise LimitExceededError(
            f"Subscriber limit exceeded: Updates of the table class are limited to {CLASS_CHANGES_MAX} times in 30 "
            f"day(s). Last update at {_date(recent[-1])}. Next update can be made at "
            f"{_date(recent[0] + CLASS_CHANGES_MS)}"
        )
    changes = (*settings.class_changed_ms, command.time_ms)[-CLASS_CHANGES_MAX:]
    return replace(settings, table_class=command.table_class, class_changed_ms=changes)


def with_time_to_live(settings: TableSettings, command: UpdateTimeToLive) -> TableSettings:
    """The settings as an UpdateTimeToLive changes them. Raises ValidationError."""
    current = settings.time_to_live
    if current and current != command.attribute:
        raise ValidationError(f"TimeToLive is active on a different AttributeName: current AttributeName is {current}")
    if command.is_enabled == bool(current):
        raise ValidationError(f"TimeToLive is already {'enabled' if current else 'disabled'}")
    changed_ms = settings.time_to_live_changed_ms
    if changed_ms and command.time_ms - changed_ms < TIME_TO_LIVE_CHANGE_MS:
        raise ValidationError("Time to live has been modified multiple times within a fixed interval")
    attribute = command.attribute if command.is_enabled else ""
    return replace(settings, time_to_live=attribute, time_to_live_changed_ms=command.time_ms)


def tagged(settings: TableSettings, tags: Iterable[tuple[str, str]]) -> TableSettings:
    """The settings with these tags, in place of those of the same keys. Raises ValidationError for too many."""
    merged = {**dict(settings.tags), **dict(tags)}
    if len(merged) > TAGS_MAX:
        raise ValidationError(f"{_INVALID}Too many tags: a table has at most {TAGS_MAX}, and would have {len(merged)}")
    return replace(settings, tags=tuple(sorted(merged.items())))


def untagged(settings: TableSettings, keys: Iterable[str]) -> TableSettings:
    """The settings without the tags of these keys; there need not be any."""
    gone = frozenset(keys)
    return replace(settings, tags=tuple(tag for tag in settings.tags if tag[0] not in gone))


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
