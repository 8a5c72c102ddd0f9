"""Conditions, key conditions and updates put together in Python, instead of written as expressions.

    from stator import attr, key, update

    client.put_item("music", song, condition=~attr("artist").exists())
    client.query("music", key("artist").eq("Nina Simone") & key("year").between(1960, 1969), filter=attr("plays").gt(9))
    client.update_item("music", song_key, update().set("plays", attr("plays") + 1).add("tags", {"live"}))

Everything here is a value: what looks like a change gives a new one. Texts come out with a placeholder for every name
(`#n0`) and value (`:v0`), so that no name is a reserved word and no value needs quoting:

    >>> placeholders = Placeholders()
    >>> (attr("a.b[0]").eq(1) & attr("size").between(1, 5) | ~attr("x").exists()).text(placeholders)
    '#n0.#n1[0] = :v0 AND #n2 BETWEEN :v1 AND :v2 OR NOT attribute_exists(#n3)'
    >>> placeholders.names["#n2"], placeholders.values[":v2"]
    ('size', 5)

A path is a text, "a.b[0]", or, where names have dots or brackets themselves, a list of names and indexes: ["a.b", 0].
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Placeholders:
    """The names and values of one request: those its sender gave, and those that its expressions need."""

    def __init__(self, names: Mapping[str, str] | None = None, values: Mapping[str, Any] | None = None) -> None:
        self.names: dict[str, str] = dict(names or {})
        self.values: dict[str, Any] = dict(values or {})
        self._made: dict[str, str] = {}

    def name(self, name: str) -> str:
        """The placeholder of an attribute's name; the same for the same name."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = _unused("#n", self.names)
            self.names[made] = name
        return made

    def value(self, value: Any) -> str:
        """A placeholder for a value."""
        made = _unused(":v", self.values)
        self.values[made] = value
        return made


def _unused(prefix: str, taken: Mapping[str, Any]) -> str:
    number = len(taken)
    while f"{prefix}{number}" in taken:
        number += 1
    return f"{prefix}{number}"


class Condition:
    """What must hold for an item: combine with `&` (and), `|` (or) and `~` (not)."""

    _binding = 3  # how closely the parts of the text hold together: 1 OR, 2 AND, 3 anything else

    def text(self, placeholders: Placeholders) -> str:
        """The expression; its names and values go into `placeholders`."""
        raise NotImplementedError

    def __and__(self, other: "Condition") -> "Condition":
        return _joined("AND", 2, self, other)

    def __or__(self, other: "Condition") -> "Condition":
        return _joined("OR", 1, self, other)

    def __invert__(self) -> "Condition":
        return _Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a condition is neither true nor false here: combine conditions with &, | and ~, not and, or, not"
        )


class _Plain(Condition):
    """A text with gaps that operands fill: "{} BETWEEN {} AND {}"."""

    def __init__(self, form: str, *operands: Any) -> None:
        self._form = form
        self._operands = operands

    def text(self, placeholders: Placeholders) -> str:
        return self._form.format(*(operand_text(operand, placeholders) for operand in self._operands))


class _Joined(Condition):
    def __init__(self, word: str, binding: int, parts: tuple[Condition, ...]) -> None:
        self.word = word
        self.parts = parts
        self._binding = binding

    def text(self, placeholders: Placeholders) -> str:
        return f" {self.word} ".join(_bound(part, self._binding, placeholders) for part in self.parts)


class _Not(Condition):
    def __init__(self, inner: Condition) -> None:
        self._inner = inner

    def text(self, placeholders: Placeholders) -> str:
        return "NOT " + _bound(self._inner, 3, placeholders)

    def __invert__(self) -> Condition:
        return self._inner


def _joined(word: str, binding: int, *sides: Condition) -> Condition:
    """`a & b & c` is one list, not a tree as deep as it is long."""
    parts: list[Condition] = []
    for side in sides:
        if not isinstance(side, Condition):
            raise TypeError(f"{word} joins conditions, such as attr('n').gt(1), not {type(side).__name__}")
        parts += side.parts if isinstance(side, _Joined) and side.word == word else [side]
    return _Joined(word, binding, tuple(parts))


def _bound(part: Condition, binding: int, placeholders: Placeholders) -> str:
    text = part.text(placeholders)
    return f"({text})" if part._binding < binding else text


class Operand:
    """What can stand beside a comparison or be set: an attribute, or what is calculated from some."""

    def text(self, placeholders: Placeholders) -> str:
        """As part of an expression; its names and values go into `placeholders`."""
        raise NotImplementedError


class _Call(Operand):
    """Operands in a form, such as "list_append({}, {})"."""

    def __init__(self, form: str, *operands: Any) -> None:
        self._form = form
        self._operands = operands

    def text(self, placeholders: Placeholders) -> str:
        return self._form.format(*(operand_text(operand, placeholders) for operand in self._operands))


class Comparable(Operand):
    """An operand that conditions compare, with a value or with another operand."""

    def eq(self, value: Any) -> Condition:
        """Equal, type included."""
        return _Plain("{} = {}", self, value)

    def ne(self, value: Any) -> Condition:
        """Not equal, or not there."""
        return _Plain("{} <> {}", self, value)

    def lt(self, value: Any) -> Condition:
        """Less than."""
        return _Plain("{} < {}", self, value)

    def le(self, value: Any) -> Condition:
        """Less than, or equal."""
        return _Plain("{} <= {}", self, value)

    def gt(self, value: Any) -> Condition:
        """Greater than."""
        return _Plain("{} > {}", self, value)

    def ge(self, value: Any) -> Condition:
        """Greater than, or equal."""
        return _Plain("{} >= {}", self, value)

    def between(self, low: Any, high: Any) -> Condition:
        """From `low` to `high`, both included."""
        return _Plain("{} BETWEEN {} AND {}", self, low, high)

    def is_in(self, values: Iterable[Any]) -> Condition:
        """Equal to one of these: 1 to 100."""
        if isinstance(values, str):
            raise TypeError(f"is_in takes a list of values: write [{values!r}]")
        listed = tuple(values)
        if not listed:
            raise ValueError("is_in needs at least one value")
        return _Plain(f"{{}} IN ({', '.join(['{}'] * len(listed))})", self, *listed)


class _Addable(Operand):
    """An operand that numbers are added to and subtracted from, in an update."""

    def __add__(self, value: Any) -> Operand:
        return _Call("{} + {}", self, value)

    def __radd__(self, value: Any) -> Operand:
        return _Call("{} + {}", value, self)

    def __sub__(self, value: Any) -> Operand:
        return _Call("{} - {}", self, value)

    def __rsub__(self, value: Any) -> Operand:
        return _Call("{} - {}", value, self)


class _Absent(_Addable):
    def __init__(self, path: "Attribute", value: Any) -> None:
        self._path = path
        self._value = value

    def text(self, placeholders: Placeholders) -> str:
        return f"if_not_exists({self._path.text(placeholders)}, {operand_text(self._value, placeholders)})"


class Attribute(Comparable, _Addable):
    """An attribute, or a place inside one. Made by `attr`."""

    def __init__(self, path: "Path") -> None:
        self.path: tuple[str | int, ...] = _steps(path)

    def __repr__(self) -> str:
        return f"attr({list(self.path)!r})"

    def __getitem__(self, step: str | int) -> "Attribute":
        """A key of the map, or an index of the list, that is there."""
        return Attribute((*self.path, step))

    def text(self, placeholders: Placeholders) -> str:
        return "".join(
            f"[{step}]" if isinstance(step, int) else f"{'.' if position else ''}{placeholders.name(step)}"
            for position, step in enumerate(self.path)
        )

    def exists(self) -> Condition:
        """It is there, whatever its value."""
        return _Plain("attribute_exists({})", self)

    def not_exists(self) -> Condition:
        """It is not there."""
        return _Plain("attribute_not_exists({})", self)

    def type_is(self, kind: str) -> Condition:
        """Its type is "S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L" or "M"."""
        return _Plain("attribute_type({}, {})", self, kind)

    def begins_with(self, value: "str | bytes | Operand") -> Condition:
        """A text or bytes that begin so."""
        return _Plain("begins_with({}, {})", self, value)

    def contains(self, value: Any) -> Condition:
        """A text that has this in it, or a set or list that has this element."""
        return _Plain("contains({}, {})", self, value)

    def size(self) -> Comparable:
        """How many characters, bytes or elements it has; to be compared: attr("tags").size().gt(2)."""
        return _Size(self)

    def if_not_exists(self, value: Any) -> _Addable:
        """In an update: its value, or this one where it is not there. attr("n").if_not_exists(0) + 1"""
        return _Absent(self, value)

    def append(self, values: "Sequence[Any] | Operand") -> Operand:
        """In an update: the list, with these at its end. update().set("log", attr("log").append(["x"]))"""
        return _Call("list_append({}, {})", self, _listed(values))

    def prepend(self, values: "Sequence[Any] | Operand") -> Operand:
        """In an update: the list, with these before its beginning."""
        return _Call("list_append({}, {})", _listed(values), self)


class _Size(Comparable):
    def __init__(self, of: Attribute) -> None:
        self._of = of

    def text(self, placeholders: Placeholders) -> str:
        return f"size({self._of.text(placeholders)})"


class KeyCondition:
    """Which items a query reads: `key("pk").eq(...)`, and it may be `&` one condition on the sort key."""

    def __init__(self, *parts: tuple[str, str, tuple[Any, ...]]) -> None:
        self._parts = parts

    def text(self, placeholders: Placeholders) -> str:
        """The expression; its names and values go into `placeholders`."""
        return " AND ".join(
            form.format(placeholders.name(name), *(placeholders.value(value) for value in values))
            for form, name, values in self._parts
        )

    def __and__(self, other: "KeyCondition") -> "KeyCondition":
        if not isinstance(other, KeyCondition):
            raise TypeError(
                f"a key condition has parts made by key(...) only, not {type(other).__name__}: see `filter`"
            )
        return KeyCondition(*self._parts, *other._parts)

    def __bool__(self) -> NoReturn:
        raise TypeError("a key condition is neither true nor false here: combine two with &, not and")


class Key:
    """An attribute of a key, in a key condition. Made by `key`. The partition key takes `eq` alone."""

    def __init__(self, name: str) -> None:
        self._name = name

    def eq(self, value: Any) -> KeyCondition:
        """Equal."""
        return KeyCondition(("{} = {}", self._name, (value,)))

    def lt(self, value: Any) -> KeyCondition:
        """Less than."""
        return KeyCondition(("{} < {}", self._name, (value,)))

    def le(self, value: Any) -> KeyCondition:
        """Less than, or equal."""
        return KeyCondition(("{} <= {}", self._name, (value,)))

    def gt(self, value: Any) -> KeyCondition:
        """Greater than."""
        return KeyCondition(("{} > {}", self._name, (value,)))

    def ge(self, value: Any) -> KeyCondition:
        """Greater than, or equal."""
        return KeyCondition(("{} >= {}", self._name, (value,)))

    def between(self, low: Any, high: Any) -> KeyCondition:
        """From `low` to `high`, both included."""
        return KeyCondition(("{} BETWEEN {} AND {}", self._name, (low, high)))

    def begins_with(self, value: str | bytes) -> KeyCondition:
        """A text or bytes that begin so."""
        return KeyCondition(("begins_with({}, {})", self._name, (value,)))


class Update:
    """What is to be changed in an item. Made by `update`; every method gives a new one, and no path may be named twice.

    >>> change = update().set("title", "Feeling Good").set("plays", attr("plays") + 1).remove("draft")
    >>> change.text(Placeholders())
    'SET #n0 = :v0, #n1 = #n1 + :v1 REMOVE #n2'
    """

    def __init__(self, parts: tuple[tuple[str, str, tuple[Any, ...]], ...] = ()) -> None:
        self._parts = parts

    def set(self, path: "Path", value: Any) -> "Update":
        """Writes a value there, or what is calculated: `set("n", attr("n") + 1)`, `set("a", attr("b"))`."""
        return self._with("SET", "{} = {}", Attribute(path), value)

    def set_if_absent(self, path: "Path", value: Any) -> "Update":
        """Writes a value there unless there is one."""
        target = Attribute(path)
        return self._with("SET", "{} = {}", target, target.if_not_exists(value))

    def remove(self, *paths: "Path") -> "Update":
        """Takes attributes, keys of maps or elements of lists away; it is no error if they are not there."""
        changed = self
        for path in paths:
            changed = changed._with("REMOVE", "{}", Attribute(path))
        return changed

    def add(self, path: "Path", value: Any) -> "Update":
        """Adds to a number (to 0 if it is not there), or puts the elements of a set into the set."""
        return self._with("ADD", "{} {}", Attribute(path), value)

    def delete(self, path: "Path", elements: Any) -> "Update":
        """Takes the elements of a set out of the set."""
        return self._with("DELETE", "{} {}", Attribute(path), elements)

    def text(self, placeholders: Placeholders) -> str:
        """The expression; its names and values go into `placeholders`."""
        clauses: dict[str, list[str]] = {"SET": [], "REMOVE": [], "ADD": [], "DELETE": []}
        for word, form, operands in self._parts:
            clauses[word].append(form.format(*(operand_text(operand, placeholders) for operand in operands)))
        return " ".join(f"{word} {', '.join(texts)}" for word, texts in clauses.items() if texts)

    def __bool__(self) -> bool:
        return bool(self._parts)

    def _with(self, word: str, form: str, *operands: Any) -> "Update":
        return Update((*self._parts, (word, form, operands)))


# Where in an item a value is: "a.b[0]"; names of attributes, keys of maps and indexes of lists; or what `attr` made.
Path = str | Sequence[str | int] | Attribute


def attr(path: str | Sequence[str | int]) -> Attribute:
    """An attribute in a condition, filter, projection or update: `attr("a.b[0]")`, or `attr(["a.b", 0])`."""
    return Attribute(path)


def key(name: str) -> Key:
    """The partition or sort key in a key condition: `key("artist").eq("Nina Simone") & key("year").gt(1960)`."""
    return Key(name)


def update() -> Update:
    """An update of nothing yet: `update().set("title", "Feeling Good").remove("draft")`."""
    return Update()


def operand_text(operand: Any, placeholders: Placeholders) -> str:
    """An operand's text, or the placeholder of a value."""
    if isinstance(operand, Operand):
        return operand.text(placeholders)
    if isinstance(operand, Condition | Key | KeyCondition | Update):
        raise TypeError(f"{type(operand).__name__.lstrip('_')} is no value: compare with a value or with attr(...)")
    return placeholders.value(operand)


def expression_text(
    expression: "str | Condition | KeyCondition | Update | None", kind: type, placeholders: Placeholders, what: str
) -> str:
    """The text of what was given for a parameter, `what`; empty for None. Raises TypeError for another kind."""
    if expression is None:
        return ""
    if isinstance(expression, str):
        if not expression:
            raise ValueError(f"{what} is empty: leave it out instead")
        return expression
    if not isinstance(expression, kind):
        raise TypeError(f"{what} is a text or made by {_MAKERS[kind]}, not {type(expression).__name__.lstrip('_')}")
    text: str = expression.text(placeholders)
    return text


def projection_text(projection: "str | Iterable[Path] | None", placeholders: Placeholders) -> str:
    """The text of a projection: one that is text already, or paths; empty for None."""
    if projection is None or isinstance(projection, str):
        return projection or ""
    if isinstance(projection, Attribute):
        raise TypeError(f"projection is a list of paths: write [{projection!r}]")
    return ", ".join(Attribute(path).text(placeholders) for path in projection)


_MAKERS: dict[type, str] = {
    Condition: "attr(...), such as attr('n').gt(1)",
    KeyCondition: "key(...), such as key('pk').eq('x')",
    Update: "update(), such as update().set('n', 1)",
}


def _listed(values: Any) -> Any:
    if isinstance(values, Operand | list | tuple):
        return values
    raise TypeError(f"a list is needed: write [{values!r}]")


def _steps(path: Any) -> tuple[str | int, ...]:
    """Raises ValueError for a text that is no path."""
    if isinstance(path, Attribute):
        return path.path
    if isinstance(path, str):
        return _parsed(path)
    steps = tuple(path)
    if not steps or not isinstance(steps[0], str):
        raise ValueError(f"a path begins with the name of an attribute, unlike {path!r}")
    for step in steps:
        if not isinstance(step, str | int) or isinstance(step, bool) or (isinstance(step, int) and step < 0):
            raise ValueError(f"a path has names and indexes from 0, unlike {path!r}")
    return steps


def _parsed(text: str) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    position = 0
    while position < len(text) or not steps:
        is_name = not steps or text[position] == "."
        found = _STEP.match(text, position + (is_name and bool(steps)))
        if found is None or (found[1] is not None) != is_name:
            raise ValueError(
                f"{text!r} is no path: write 'a.b[0]', or a list, ['a.b', 0], where names have dots or brackets"
            )
        steps.append(found[1] if is_name else int(found[2]))
        position = found.end()
    return tuple(steps)
