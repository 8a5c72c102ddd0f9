"""Any sequence of writes and reads: a table is a dictionary, a local index is a sorted view of it.

Conditions, updates and projections come from small grammars whose meaning is written down here once more, in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.conformance.database import (
    CONDITION_FAILED,
    FAILED,
    Database,
    Native,
    Refusal,
    native,
    natives,
    placeholders,
    refusal_of,
    typed,
    unique,
)

pytestmark = pytest.mark.cluster

Item = dict[str, Native]
Key = tuple[str, str]

SORT_KEYS = ("a", "ab", "b", "é", "\U0001f600")
PARTITION_KEYS = ("p", "q")
NUMBERS = st.integers(-3, 3)
TAGS = st.sets(st.sampled_from(("x", "y", "z")), min_size=1)

# What the machine puts: a (S) and n (N) are keys of local indexes; t is a set, m a map with a list.
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "a": st.sampled_from(("A", "B", "C")),
        "n": NUMBERS,
        "v": NUMBERS,
        "t": TAGS,
        "m": st.fixed_dictionaries({"l": st.lists(NUMBERS, max_size=3)}, optional={"k": NUMBERS}),
    },
)


class Condition:
    """A condition's text, its values, and whether it holds of an item ({} where there is none)."""

    def __init__(self, text: str, values: Item, holds: Callable[[Item], bool]) -> None:
        self.text, self.values, self.holds = text, values, holds

    def __repr__(self) -> str:
        return f"{self.text} {self.values}"


def _compared(name: str, operator: str, value: int) -> Condition:
    compare: dict[str, Callable[[int], bool]] = {
        "=": lambda found: found == value,
        "<": lambda found: found < value,
        "<=": lambda found: found <= value,
        ">": lambda found: found > value,
        ">=": lambda found: found >= value,
    }
    if operator == "<>":
        return Condition(f"{name} <> :{name}", {name: value}, lambda item: item.get(name) != value)
    return Condition(
        f"{name} {operator} :{name}", {name: value}, lambda item: name in item and compare[operator](item[name])
    )


LEAVES = st.one_of(
    st.builds(_compared, st.sampled_from(("n", "v")), st.sampled_from(("=", "<>", "<", "<=", ">", ">=")), NUMBERS),
    st.sampled_from(("a", "n", "t", "m", "m.k")).map(
        lambda path: Condition(f"attribute_exists({path})", {}, lambda item: _at(item, path) is not None)
    ),
    st.sampled_from(("a", "t", "m.l[1]")).map(
        lambda path: Condition(f"attribute_not_exists({path})", {}, lambda item: _at(item, path) is None)
    ),
    st.sampled_from(("x", "y")).map(
        lambda tag: Condition("contains(t, :tag)", {"tag": tag}, lambda item: tag in item.get("t", ()))
    ),
    st.integers(0, 3).map(
        lambda size: Condition(
            "size(m.l) >= :size",
            {"size": size},
            lambda item: _at(item, "m.l") is not None and len(item["m"]["l"]) >= size,
        )
    ),
    st.tuples(NUMBERS, NUMBERS).map(
        lambda bounds: Condition(
            "v BETWEEN :low AND :high",
            {"low": min(bounds), "high": max(bounds)},
            lambda item: "v" in item and min(bounds) <= item["v"] <= max(bounds),
        )
    ),
)


def _both(one: Condition, other: Condition, word: str) -> Condition:
    """Joined, if they do not give one placeholder two values; else the first."""
    if any(one.values.get(name, value) != value for name, value in other.values.items()) or one.text == other.text:
        return one
    holds = {
        "AND": lambda item: one.holds(item) and other.holds(item),
        "OR": lambda item: one.holds(item) or other.holds(item),
    }[word]
    return Condition(f"({one.text}) {word} ({other.text})", {**one.values, **other.values}, holds)


CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(_both, inner, inner, st.sampled_from(("AND", "OR"))),
        inner.map(lambda each: Condition(f"NOT ({each.text})", each.values, lambda item: not each.holds(item))),
    ),
    max_leaves=4,
)
MAYBE_CONDITION = st.one_of(st.none(), CONDITIONS)


def _at(item: Item, path: str) -> Native:
    """What is at a path; None: nothing is (None itself is never put)."""
    found: Native = item
    for step in path.replace("[", ".[").split("."):
        if step.startswith("["):
            index = int(step[1:-1])
            found = found[index] if isinstance(found, list) and index < len(found) else None
        else:
            found = found.get(step) if isinstance(found, dict) else None
    return found


class RefusedError(Exception):
    """The update cannot be carried out on this item."""


class Change:
    """An update's text, its values, and what it does to an item, in place."""

    def __init__(self, text: str, values: Item, apply: Callable[[Item], None], makes_item: bool = True) -> None:
        self.text, self.values, self.apply, self.makes_item = text, values, apply, makes_item

    def __repr__(self) -> str:
        return f"{self.text} {self.values}"


def _set(name: str, value: Native) -> Change:
    return Change(f"SET {name} = :s", {"s": value}, lambda item: item.__setitem__(name, value))


def _remove(name: str) -> Change:
    return Change(f"REMOVE {name}", {}, lambda item: item.pop(name, None), makes_item=False)


def _add(number: int) -> Change:
    return Change("ADD v :s", {"s": number}, lambda item: item.__setitem__("v", item.get("v", 0) + number))


def _add_tags(tags: set[str]) -> Change:
    return Change("ADD t :s", {"s": tags}, lambda item: item.__setitem__("t", item.get("t", set()) | tags))


def _delete_tags(tags: set[str]) -> Change:
    def apply(item: Item) -> None:
        if left := item.pop("t", set()) - tags:
            item["t"] = left

    return Change("DELETE t :s", {"s": tags}, apply, makes_item=False)


def _increment(number: int) -> Change:
    def apply(item: Item) -> None:
        if "n" not in item:
            raise RefusedError
        item["n"] += number

    return Change("SET n = n + :s", {"s": number}, apply)


def _append(number: int) -> Change:
    def apply(item: Item) -> None:
        if _at(item, "m.l") is None:
            raise RefusedError
        item["m"] = {**item["m"], "l": [*item["m"]["l"], number]}

    return Change("SET m.l = list_append(m.l, :s)", {"s": [number]}, apply)


def _set_default(number: int) -> Change:
    return Change("SET v = if_not_exists(v, :s)", {"s": number}, lambda item: item.setdefault("v", number))


def _set_in_list(index: int, number: int) -> Change:
    def apply(item: Item) -> None:
        if (found := _at(item, "m.l")) is None:
            raise RefusedError
        changed = [*found[:index], number, *found[index + 1 :]]
        item["m"] = {**item["m"], "l": changed}

    return Change(f"SET m.l[{index}] = :s", {"s": number}, apply)


CHANGES = st.one_of(
    st.builds(_set, st.just("a"), st.sampled_from(("A", "B", "C"))),
    st.builds(_set, st.sampled_from(("n", "v")), NUMBERS),
    st.builds(_set, st.just("m"), st.builds(lambda numbers: {"l": numbers}, st.lists(NUMBERS, max_size=2))),
    st.builds(_remove, st.sampled_from(("a", "n", "v", "t", "m"))),
    st.builds(_add, NUMBERS),
    st.builds(_add_tags, TAGS),
    st.builds(_delete_tags, TAGS),
    st.builds(_increment, NUMBERS),
    st.builds(_append, NUMBERS),
    st.builds(_set_default, NUMBERS),
    st.builds(_set_in_list, st.integers(0, 4), NUMBERS),
)
KEYS = st.tuples(st.sampled_from(PARTITION_KEYS), st.sampled_from(SORT_KEYS))


def sort_key_order(item: Item) -> bytes:
    key: str = item["sk"]
    return key.encode()


def whole_key(item: Item) -> tuple[str, str]:
    return item["pk"], item["sk"]


class TableMachine(RuleBasedStateMachine):
    """One client, one table with local indexes: partition keys of its own, so that runs can share the table."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.table = self.database.indexed
        self.items: dict[Key, Item] = {}
        self.names: dict[str, str] = {}

    @initialize()
    def begin(self) -> None:
        self.names = {name: unique(name) for name in PARTITION_KEYS}

    def key(self, key: Key) -> Item:
        return {"pk": self.names[key[0]], "sk": key[1]}

    def write(self, operation: str, key: Key, condition: Condition | None, **parameters: Any) -> tuple[bool, Any]:
        """(whether the condition held, the answer). Checks the error of one that does not."""
        values = parameters.pop("values", {})
        if condition is not None:
            values = {**values, **condition.values}
            parameters |= {
                "ConditionExpression": condition.text,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        call = getattr(self.database.client, operation)
        old = self.items.get(key)
        if condition is None or condition.holds(old or {}):
            return True, call(TableName=self.table, **parameters, **placeholders(values))
        try:
            answer = call(TableName=self.table, **parameters, **placeholders(values))
        except ClientError as error:
            assert refusal_of(error) == Refusal(FAILED, CONDITION_FAILED)
            found = error.response.get("Item")
        else:
            raise AssertionError(f"{condition} held of {old}: {answer}")
        assert (None if found is None else native(found)) == old
        return False, None

    @rule(key=KEYS, attributes=ATTRIBUTES, condition=MAYBE_CONDITION)
    def put(self, key: Key, attributes: Item, condition: Condition | None) -> None:
        item = {**self.key(key), **attributes}
        held, answer = self.write("put_item", key, condition, Item=typed(item), ReturnValues="ALL_OLD")
        if held:
            assert native(answer.get("Attributes", {})) == self.items.get(key, {})
            self.items[key] = item

    @rule(key=KEYS, condition=MAYBE_CONDITION)
    def delete(self, key: Key, condition: Condition | None) -> None:
        held, answer = self.write("delete_item", key, condition, Key=typed(self.key(key)), ReturnValues="ALL_OLD")
        if held:
            assert native(answer.get("Attributes", {})) == self.items.pop(key, {})

    @rule(key=KEYS, change=CHANGES, condition=MAYBE_CONDITION)
    def update(self, key: Key, change: Change, condition: Condition | None) -> None:
        parameters: dict[str, Any] = {
            "Key": typed(self.key(key)),
            "UpdateExpression": change.text,
            "ReturnValues": "ALL_NEW",
        }
        old = self.items.get(key)
        new = dict(old) if old is not None else self.key(key)
        try:
            change.apply(new)
        except RefusedError:
            if condition is None or condition.holds(old or {}):
                values = {**change.values, **(condition.values if condition is not None else {})}
                if condition is not None:
                    parameters["ConditionExpression"] = condition.text
                refused = self.database.refusal(
                    "update_item", TableName=self.table, **parameters, **placeholders(values)
                )
                assert refused is not None and refused.code == "ValidationException"
            return
        held, answer = self.write("update_item", key, condition, values=change.values, **parameters)
        if not held:
            return
        if old is None and not change.makes_item:
            assert "Attributes" not in answer
        else:
            assert native(answer["Attributes"]) == new
            self.items[key] = new

    @rule(keys=st.lists(KEYS, min_size=1, max_size=6, unique=True), attributes=ATTRIBUTES, puts=st.integers(0, 63))
    def batch(self, keys: list[Key], attributes: Item, puts: int) -> None:
        requests: list[Any] = []
        for number, key in enumerate(keys):
            if puts >> number & 1:
                self.items[key] = {**self.key(key), **attributes}
                requests.append({"PutRequest": {"Item": typed(self.items[key])}})
            else:
                self.items.pop(key, None)
                requests.append({"DeleteRequest": {"Key": typed(self.key(key))}})
        answer = self.database.client.batch_write_item(RequestItems={self.table: requests})
        assert answer["UnprocessedItems"] == {}

    @rule(key=KEYS)
    def get(self, key: Key) -> None:
        assert self.database.get(self.table, self.key(key)) == self.items.get(key)

    def pages(self, limit: int | None, **parameters: Any) -> list[Item]:
        """All items of a query, which are read in pages."""
        found: list[Item] = []
        start: dict[str, Any] = {}
        limited = {} if limit is None else {"Limit": limit}
        while True:
            answer = self.database.client.query(
                TableName=self.table, ConsistentRead=True, **limited, **parameters, **start
            )
            found += natives(answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return found
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def collection(self, name: str) -> list[Item]:
        items = [item for (partition, _), item in self.items.items() if partition == name]
        return sorted(items, key=sort_key_order)

    @rule(
        name=st.sampled_from(PARTITION_KEYS),
        operator=st.sampled_from((None, "=", "<", "<=", ">", ">=", "begins_with", "BETWEEN")),
        bounds=st.tuples(st.sampled_from(SORT_KEYS), st.sampled_from(SORT_KEYS)),
        limit=st.sampled_from((None, 1, 2)),
        is_forward=st.booleans(),
        filter_=MAYBE_CONDITION,
    )
    def query(
        self,
        name: str,
        operator: str | None,
        bounds: tuple[str, str],
        limit: int | None,
        is_forward: bool,
        filter_: Condition | None,
    ) -> None:
        low, high = sorted(bounds, key=str.encode)
        text, values = "pk = :pk", {"pk": self.names[name]}
        if operator == "begins_with":
            text, values = f"{text} AND begins_with(sk, :lo)", {**values, "lo": low}
        elif operator == "BETWEEN":
            text, values = f"{text} AND sk BETWEEN :lo AND :hi", {**values, "lo": low, "hi": high}
        elif operator is not None:
            text, values = f"{text} AND sk {operator} :lo", {**values, "lo": low}
        within: dict[str | None, Callable[[bytes], bool]] = {
            None: lambda sk: True,
            "=": lambda sk: sk == low.encode(),
            "<": lambda sk: sk < low.encode(),
            "<=": lambda sk: sk <= low.encode(),
            ">": lambda sk: sk > low.encode(),
            ">=": lambda sk: sk >= low.encode(),
            "begins_with": lambda sk: sk.startswith(low.encode()),
            "BETWEEN": lambda sk: low.encode() <= sk <= high.encode(),
        }
        expected = [item for item in self.collection(name) if within[operator](sort_key_order(item))]
        parameters: dict[str, Any] = {"KeyConditionExpression": text, "ScanIndexForward": is_forward}
        if filter_ is not None:
            parameters["FilterExpression"] = filter_.text
            values |= filter_.values
            expected = [item for item in expected if filter_.holds(item)]
        found = self.pages(limit, **parameters, **placeholders(values))
        assert found == (expected if is_forward else expected[::-1])

    @rule(
        name=st.sampled_from(PARTITION_KEYS),
        index=st.sampled_from(("a", "n")),
        limit=st.sampled_from((None, 1, 2)),
        is_forward=st.booleans(),
        whole=st.booleans(),
    )
    def query_index(self, name: str, index: str, limit: int | None, is_forward: bool, whole: bool) -> None:
        expected = sorted(
            (item for item in self.collection(name) if index in item),
            key=lambda item: (item[index], sort_key_order(item)),
        )
        if index == "n" and not whole:
            expected = [{part: item[part] for part in ("pk", "sk", "n")} for item in expected]
        found = self.pages(
            limit,
            IndexName=f"by-{index}",
            KeyConditionExpression="pk = :pk",
            ScanIndexForward=is_forward,
            **({"Select": "ALL_ATTRIBUTES"} if whole else {}),
            **placeholders({"pk": self.names[name]}),
        )
        assert found == (expected if is_forward else expected[::-1])

    @rule(condition=CONDITIONS, limit=st.sampled_from((None, 3)), segments=st.sampled_from((1, 3)))
    def scan(self, condition: Condition, limit: int | None, segments: int) -> None:
        found: list[Item] = []
        names = {f"mine{number}": name for number, name in enumerate(self.names.values())}
        for segment in range(segments):
            start: dict[str, Any] = {}
            while True:
                answer = self.database.client.scan(
                    TableName=self.table,
                    ConsistentRead=True,
                    Segment=segment,
                    TotalSegments=segments,
                    FilterExpression=f"pk IN ({', '.join(f':{each}' for each in names)}) AND ({condition.text})",
                    **placeholders({**names, **condition.values}),
                    **({"Limit": limit * 20} if limit else {}),
                    **start,
                )
                found += natives(answer["Items"])
                if "LastEvaluatedKey" not in answer:
                    break
                start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        expected = [item for item in self.items.values() if condition.holds(item)]
        assert sorted(found, key=whole_key) == sorted(expected, key=whole_key)

    @invariant()
    def indexes_are_views(self) -> None:
        """Of what is in the table, whatever the last write was."""
        for name in self.names:
            keys = placeholders({"pk": self.names[name]})
            items = self.collection(name)
            counted = self.database.client.query(
                TableName=self.table,
                IndexName="by-a",
                KeyConditionExpression="pk = :pk",
                ConsistentRead=True,
                Select="COUNT",
                **keys,
            )
            assert counted["Count"] == sum("a" in item for item in items)


def test_a_table_is_a_dictionary(database: Database) -> None:
    """And stays one through 30 steps, 40 times."""

    class Machine(TableMachine):
        pass

    Machine.database = database
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # No shrinking: the table has changed meanwhile, and the steps are short.
            phases=(Phase.generate,),
        ),
    )
