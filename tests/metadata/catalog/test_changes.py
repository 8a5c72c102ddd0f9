"""What may change about a table, when, and in which words it is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from metadata.catalog.changes import (
    decreases_today,
    tagged,
    untagged,
    updated,
    warm_throughput,
    with_time_to_live,
)
from metadata.catalog.commands import UpdateTable, UpdateTimeToLive
from metadata.catalog.settings import TableSettings
from server.model.errors import LimitExceededError, StatorError, ValidationError
from server.model.limits import TAGS_MAX

INVALID = "One or more parameter values were invalid: "
CREATED_MS = 1_699_920_000_000  # Tuesday, November 14, 2023, 00:00 UTC
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
PROVISIONED = TableSettings(read_units=10, write_units=20)
ON_DEMAND = TableSettings(on_demand_at_ms=(CREATED_MS,))


def update(settings: TableSettings, at_ms: int = CREATED_MS, **changes: Any) -> TableSettings:
    return updated(settings, UpdateTable("music", at_ms, **changes), CREATED_MS)


def refusal(settings: TableSettings, at_ms: int = CREATED_MS, **changes: Any) -> tuple[type[StatorError], str]:
    with pytest.raises(StatorError) as raised:
        update(settings, at_ms, **changes)
    return type(raised.value), raised.value.message


class TestThroughput:
    def test_more_and_less(self) -> None:
        """When it was raised and lowered last is remembered; both may happen at once."""
        more = update(PROVISIONED, CREATED_MS + 1, read_units=11, write_units=20)
        assert more == replace(PROVISIONED, read_units=11, last_increase_ms=CREATED_MS + 1)
        less = update(more, CREATED_MS + 2, read_units=11, write_units=19)
        assert less == replace(more, write_units=19, last_decrease_ms=CREATED_MS + 2, decreases=1)
        both = update(less, CREATED_MS + 3, read_units=1, write_units=100)
        assert (both.last_increase_ms, both.last_decrease_ms, both.decreases) == (CREATED_MS + 3, CREATED_MS + 3, 2)

    def test_the_same_again(self) -> None:
        """Is an error, in DynamoDB's words."""
        assert refusal(PROVISIONED, read_units=10, write_units=20) == (
            ValidationError,
            "The provisioned throughput for the table will not change. The requested value equals the current value. "
            "Current ReadCapacityUnits provisioned for the table: 10. Requested ReadCapacityUnits: 10. Current "
            "WriteCapacityUnits provisioned for the table: 20. Requested WriteCapacityUnits: 20. Refer to the Amazon "
            "DynamoDB Developer Guide for current limits and how to request higher limits.",
        )

    def test_decreases_of_a_day(self) -> None:
        """Four at any time, then one an hour, until the day is over."""
        settings = PROVISIONED
        for number in range(4):
            settings = update(settings, CREATED_MS + number, read_units=9 - number, write_units=20)
        assert decreases_today(settings, CREATED_MS + 4) == 4
        assert refusal(settings, CREATED_MS + 2 + HOUR_MS, read_units=1, write_units=20) == (
            LimitExceededError,
            "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. After the "
            "first 4 decreases, each subsequent decrease in the same UTC day can be performed at most once every 3600 "
            "seconds. Number of decreases today: 4. Last decrease at Tue Nov 14 00:00:00 UTC 2023. Next decrease can "
            "be made at Tue Nov 14 01:00:00 UTC 2023",
        )
        fifth = update(settings, CREATED_MS + 3 + HOUR_MS, read_units=1, write_units=20)
        assert fifth.decreases == 5
        assert update(settings, CREATED_MS + 4, read_units=99, write_units=20).decreases == 4
        tomorrow = CREATED_MS + DAY_MS
        assert decreases_today(fifth, tomorrow) == 0
        assert update(fifth, tomorrow, read_units=1, write_units=1).decreases == 1

    def test_units_for_an_on_demand_table(self) -> None:
        """There are none to be given, whether it is one or is to become one."""
        told = INVALID + (
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
        )
        assert refusal(ON_DEMAND, read_units=1, write_units=1) == (ValidationError, told)
        change: dict[str, Any] = {"billing_mode": "PAY_PER_REQUEST", "read_units": 1, "write_units": 1}
        assert refusal(PROVISIONED, **change) == (ValidationError, told)


class TestBillingMode:
    def test_there_and_back(self) -> None:
        """What belongs to one mode goes with it; when it became on-demand stays known."""
        later = CREATED_MS + 5
        on_demand = update(PROVISIONED, later, billing_mode="PAY_PER_REQUEST", max_read_units=7)
        assert on_demand == TableSettings(on_demand_at_ms=(later,), max_read_units=7)
        assert on_demand.is_on_demand
        back = update(on_demand, later + 1, billing_mode="PROVISIONED", read_units=3, write_units=4)
        assert back == TableSettings(read_units=3, write_units=4, on_demand_at_ms=(later,))

    def test_the_mode_that_it_has(self) -> None:
        """Nothing changes."""
        assert update(ON_DEMAND, billing_mode="PAY_PER_REQUEST") == ON_DEMAND
        assert update(PROVISIONED, billing_mode="PROVISIONED") == PROVISIONED

    def test_provisioned_without_units(self) -> None:
        """How many is to be said."""
        assert refusal(ON_DEMAND, billing_mode="PROVISIONED") == (
            ValidationError,
            INVALID + "ProvisionedThroughput must be specified when BillingMode is PROVISIONED",
        )

    def test_switches_to_on_demand(self) -> None:
        """Four in 24 hours; that it was made so is none."""
        settings, at_ms = ON_DEMAND, CREATED_MS
        for number in range(4):
            settings = update(settings, at_ms, billing_mode="PROVISIONED", read_units=1, write_units=1)
            at_ms = CREATED_MS + (number + 1) * HOUR_MS
            settings = update(settings, at_ms, billing_mode="PAY_PER_REQUEST")
        settings = update(settings, at_ms, billing_mode="PROVISIONED", read_units=1, write_units=1)
        assert refusal(settings, CREATED_MS + DAY_MS + HOUR_MS - 1, billing_mode="PAY_PER_REQUEST") == (
            LimitExceededError,
            "Subscriber limit exceeded: Update to PayPerRequest mode are limited to 4 times in 1 day(s). Last update "
            "at Tue Nov 14 04:00:00 UTC 2023. Next update can be made at Wed Nov 15 01:00:00 UTC 2023",
        )
        again = update(settings, CREATED_MS + DAY_MS + HOUR_MS, billing_mode="PAY_PER_REQUEST")
        assert len(again.on_demand_at_ms) == 4

    def test_limits_of_an_on_demand_table(self) -> None:
        """0 leaves one as it is, -1 lifts it; a provisioned table has none."""
        limited = update(ON_DEMAND, max_read_units=5, max_write_units=6)
        assert (limited.max_read_units, limited.max_write_units) == (5, 6)
        changed = update(limited, max_read_units=-1)
        assert (changed.max_read_units, changed.max_write_units) == (0, 6)
        told = INVALID + "OnDemandThroughput can only be specified when BillingMode is PAY_PER_REQUEST"
        assert refusal(PROVISIONED, max_read_units=5) == (ValidationError, told)
        assert refusal(PROVISIONED, max_write_units=5) == (ValidationError, told)


class TestWarmThroughput:
    def test_what_a_table_has(self) -> None:
        """What its mode gives it, or what was asked for, if that is more."""
        assert warm_throughput(ON_DEMAND) == (12_000, 4_000)
        assert warm_throughput(PROVISIONED) == (10, 20)
        assert warm_throughput(update(PROVISIONED, warm_write_units=100)) == (10, 100)
        assert warm_throughput(update(ON_DEMAND, warm_read_units=20_000)) == (20_000, 4_000)

    @pytest.mark.parametrize(
        ("changes", "name"),
        [({"warm_read_units": 11_999}, "ReadUnitsPerSecond"), ({"warm_write_units": 1}, "WriteUnitsPerSecond")],
    )
    def test_it_never_falls(self, changes: dict[str, int], name: str) -> None:
        """Less than there is cannot be asked for."""
        assert refusal(ON_DEMAND, **changes) == (
            ValidationError,
            f"{INVALID}Requested {name} for WarmThroughput for table is lower than current WarmThroughput, decreasing "
            "WarmThroughput is not supported",
        )


class TestClassAndProtection:
    def test_the_class(self) -> None:
        """Twice in 30 days; the class that it has is no change."""
        settings = update(PROVISIONED, table_class="STANDARD_INFREQUENT_ACCESS")
        assert (settings.table_class, settings.class_changed_ms) == ("STANDARD_INFREQUENT_ACCESS", (CREATED_MS,))
        assert update(settings, table_class="STANDARD_INFREQUENT_ACCESS") == settings
        settings = update(settings, CREATED_MS + 1, table_class="STANDARD")
        late = CREATED_MS + 30 * DAY_MS
        assert refusal(settings, late - 1, table_class="STANDARD_INFREQUENT_ACCESS") == (
            LimitExceededError,
            "Subscriber limit exceeded: Updates of the table class are limited to 2 times in 30 day(s). Last update at "
            "Tue Nov 14 00:00:00 UTC 2023. Next update can be made at Thu Dec 14 00:00:00 UTC 2023",
        )
        assert update(settings, late, table_class="STANDARD_INFREQUENT_ACCESS").class_changed_ms == (
            CREATED_MS + 1,
            late,
        )

    def test_protection(self) -> None:
        """On, off, and left as it is."""
        protected = update(PROVISIONED, is_protected=True)
        assert protected.is_protected
        assert update(protected, read_units=1, write_units=1).is_protected
        assert not update(protected, is_protected=False).is_protected


class TestTimeToLive:
    @staticmethod
    def change(
        settings: TableSettings, at_ms: int, *, attribute: str = "until", is_enabled: bool = True
    ) -> TableSettings:
        return with_time_to_live(settings, UpdateTimeToLive("music", at_ms, attribute, is_enabled))

    def test_on_and_off(self) -> None:
        """An hour apart."""
        on = self.change(PROVISIONED, CREATED_MS)
        assert (on.time_to_live, on.time_to_live_changed_ms) == ("until", CREATED_MS)
        off = self.change(on, CREATED_MS + HOUR_MS, is_enabled=False)
        assert (off.time_to_live, off.time_to_live_changed_ms) == ("", CREATED_MS + HOUR_MS)
        with pytest.raises(ValidationError) as raised:
            self.change(off, CREATED_MS + 2 * HOUR_MS - 1)
        assert raised.value.message == "Time to live has been modified multiple times within a fixed interval"
        assert self.change(off, CREATED_MS + 2 * HOUR_MS, attribute="other").time_to_live == "other"

    @pytest.mark.parametrize(
        ("current", "attribute", "is_enabled", "sentence"),
        [
            ("", "until", False, "TimeToLive is already disabled"),
            ("until", "until", True, "TimeToLive is already enabled"),
            ("until", "x", True, "TimeToLive is active on a different AttributeName: current AttributeName is until"),
            ("until", "x", False, "TimeToLive is active on a different AttributeName: current AttributeName is until"),
        ],
    )
    def test_what_is_so_already(self, current: str, attribute: str, is_enabled: bool, sentence: str) -> None:
        """Or would be two changes at once."""
        settings = replace(PROVISIONED, time_to_live=current)
        with pytest.raises(ValidationError) as raised:
            self.change(settings, CREATED_MS, attribute=attribute, is_enabled=is_enabled)
        assert raised.value.message == sentence


class TestTags:
    def test_set_and_removed(self) -> None:
        """In the order of their keys; one that is there gets a new value, one that is not need not be removed."""
        settings = tagged(PROVISIONED, [("b", "1"), ("a", "2")])
        assert settings.tags == (("a", "2"), ("b", "1"))
        settings = tagged(settings, [("b", "3"), ("c", "")])
        assert settings.tags == (("a", "2"), ("b", "3"), ("c", ""))
        assert untagged(settings, ["a", "c", "z"]).tags == (("b", "3"),)

    def test_too_many(self) -> None:
        """Fifty, whatever was set before."""
        full = tagged(PROVISIONED, [(f"key-{number}", "") for number in range(TAGS_MAX)])
        assert len(tagged(full, [("key-1", "again")]).tags) == TAGS_MAX
        with pytest.raises(ValidationError) as raised:
            tagged(full, [("one-more", "")])
        assert raised.value.message == INVALID + "Too many tags: a table has at most 50, and would have 51"
