"""Serializability of transactions on append-only lists: a list that was read tells the order of all that it holds, so
who depends on whom is known and not guessed, and an order of the transactions exists exactly if nobody depends on
himself. The time this takes grows with the size of the history, not faster.

After Adya's phenomena, and the way that "Elle: Inferring Isolation Anomalies from Experimental Observations" (VLDB
2020) has shown to find them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from stator.gameday.cycles import Graph, Kind, Step
from stator.gameday.linearizability import NEVER_NS

Values = tuple[str, ...]

SHOWN = 6
"""As many of a list's values are told, from its end."""


class Fate(StrEnum):
    """What became of a transaction, as its client was told."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Transaction:
    """`reads`: what lists were, before what it appended itself if it did; of one whose fate is unknown, what they were
    if it was carried out at all. `appends`: what it put at the end of lists; no value is appended to a list twice.
    What touches but one list may be a single read or write."""

    name: str
    fate: Fate = Fate.COMMITTED
    reads: Mapping[str, Values] = field(default_factory=dict)
    appends: Mapping[str, Values] = field(default_factory=dict)
    invoked_ns: int = 0
    returned_ns: int = NEVER_NS

    @property
    def keys(self) -> set[str]:
        """The lists that it touches."""
        return {*self.reads, *self.appends}


class Anomaly(StrEnum):
    """What can be wrong, worst first."""

    INVENTED = "invented value"
    DUPLICATE = "value twice"
    TORN = "part of an append"
    DISORDER = "two orders of a list"
    G1A = "G1a, aborted read"
    G1B = "G1b, intermediate read"
    G0 = "G0, write cycle"
    G1C = "G1c, circular information flow"
    G_SINGLE = "G-single, read skew"
    G2 = "G2, anti-dependency cycle"
    REALTIME = "against the order in time"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, told in full. `names`: of the transactions that are in it."""

    anomaly: Anomaly
    text: str
    names: tuple[str, ...]


def find_anomalies(transactions: Sequence[Transaction], *, is_strict: bool = False) -> list[Finding]:
    """Everything that no serial order of the transactions explains; a cycle for each set of transactions that depend on
    each other.

    `is_strict`: the order has to keep to time as well, as far as that can be asked. A single read waits for nobody: of
    a transaction that becomes visible, list by list, it may not see on its list what somebody else has seen before on
    another. So it is ordered in time behind what touches its own list, and a single write also behind transactions;
    transactions come behind everything that had ended.

    One of unknown fate counts as committed if anybody saw it, else it is as if it had never been.
    """
    history = _History(transactions)
    findings = history.misread()
    graph = history.dependencies()
    if is_strict:
        _add_time(graph, history.committed)
    for steps in graph.cycles():
        tellings = [_telling(history.committed, step) for step in steps]
        names = tuple(history.committed[step.source].name for step in steps)
        findings.append(Finding(_anomaly(steps), "; ".join(tellings) + ".", names))
    return sorted(findings, key=lambda finding: list(Anomaly).index(finding.anomaly))


class _History:
    """Transactions, and what their reads tell of the lists."""

    def __init__(self, transactions: Sequence[Transaction]) -> None:
        self._writers = {
            (key, value): transaction
            for transaction in transactions
            for key, values in transaction.appends.items()
            for value in values
        }
        self.committed = self._were_committed(transactions)
        self._numbers = {id(transaction): number for number, transaction in enumerate(self.committed)}
        self._longest: dict[str, Values] = {}
        for transaction in self.committed:
            for key, values in _states(transaction):
                if len(values) > len(self._longest.get(key, ())):
                    self._longest[key] = values
        self._values: dict[str, frozenset[str]] = {}

    def _were_committed(self, transactions: Sequence[Transaction]) -> list[Transaction]:
        """In their order; what was seen of those that nobody knows of, they have seen themselves."""
        known = {id(each) for each in transactions if each.fate is Fate.COMMITTED}
        waiting = [each for each in transactions if each.fate is Fate.COMMITTED]
        while waiting:
            for key, values in waiting.pop().reads.items():
                for value in values:
                    writer = self._writers.get((key, value))
                    if writer is not None and writer.fate is Fate.UNKNOWN and id(writer) not in known:
                        known.add(id(writer))
                        waiting.append(writer)
        return [each for each in transactions if id(each) in known]

    def misread(self) -> list[Finding]:
        """What lists say without regard to the order of transactions."""
        findings = [finding for key, values in self._longest.items() for finding in self._torn(key, values)]
        told: set[tuple[str, str]] = set()
        for transaction in self.committed:
            for key, values in _states(transaction):
                found = f"{transaction.name} found {_shown(values)} in {key}"
                if not self._is_in_order(key, values):
                    text = f"{found}, and somebody else {_shown(self._longest[key])}: neither begins with the other."
                    findings.append(Finding(Anomaly.DISORDER, text, (transaction.name,)))
                if len(set(values)) < len(values):
                    text = f"{found}: a value that was appended once is there twice."
                    findings.append(Finding(Anomaly.DUPLICATE, text, (transaction.name,)))
                writer = self._writers.get((key, values[-1])) if values else None
                if writer is not None and writer.appends[key][-1] != values[-1]:
                    text = f"{found}, without what {writer.name} appended behind {values[-1]}."
                    findings.append(Finding(Anomaly.G1B, text, (transaction.name, writer.name)))
                for value in values:
                    if (key, value) not in told:
                        told.add((key, value))
                        findings += self._impossible(found, transaction, key, value)
        return findings

    def _torn(self, key: str, values: Values) -> Iterable[Finding]:
        """A list is one append after the other, each of them whole; what the last one lacks is told of its readers."""
        place = 0
        while place < len(values):
            writer = self._writers.get((key, values[place]))
            appended = (values[place],) if writer is None else writer.appends[key]
            found = values[place : place + len(appended)]
            if writer is not None and found != appended[: len(found)]:
                text = f"{key} is {_shown(values)}: with {values[place]} begins what is not {_shown(appended)}."
                yield Finding(Anomaly.TORN, text, (writer.name,))
                return
            place += len(appended)

    def _impossible(self, found: str, reader: Transaction, key: str, value: str) -> Iterable[Finding]:
        writer = self._writers.get((key, value))
        if writer is None:
            yield Finding(Anomaly.INVENTED, f"{found}: nobody appended {value}.", (reader.name,))
        elif writer.fate is Fate.ABORTED:
            text = f"{found}: {value} is of {writer.name}, which was aborted."
            yield Finding(Anomaly.G1A, text, (reader.name, writer.name))

    def _is_in_order(self, key: str, values: Values) -> bool:
        return values == self._longest.get(key, ())[: len(values)]

    def _number(self, key: str, value: str) -> int | None:
        """Of the committed transaction that appended it."""
        writer = self._writers.get((key, value))
        return None if writer is None else self._numbers.get(id(writer))

    def dependencies(self) -> Graph:
        """Who has to come before whom, as far as lists tell."""
        graph = Graph(len(self.committed))
        behind = {key: self._add_writers(graph, key) for key in dict.fromkeys(self._keys())}
        for number, transaction in enumerate(self.committed):
            for key, values in transaction.appends.items():
                if not set(values) & self._read_values(key):
                    graph.add(behind[key], number, None, key)
            for key, values in transaction.reads.items():
                if self._is_in_order(key, values):
                    self._add_reader(graph, number, key, values, behind[key])
        return graph

    def _keys(self) -> Iterable[str]:
        return (key for transaction in self.committed for key in (*transaction.reads, *transaction.appends))

    def _read_values(self, key: str) -> frozenset[str]:
        if key not in self._values:
            self._values[key] = frozenset(self._longest.get(key, ()))
        return self._values[key]

    def _add_writers(self, graph: Graph, key: str) -> int:
        """Those of the values that were read, in their order; and, before those of which nothing was read, a node that
        is behind them."""
        behind = graph.add_node()
        last: int | None = None
        for value in self._longest.get(key, ()):
            writer = self._number(key, value)
            if writer is not None and last is not None:
                graph.add(last, writer, Kind.WRITE_WRITE, key)
            last = last if writer is None else writer
        if last is not None:
            graph.add(last, behind, Kind.WRITE_WRITE, key)
        return behind

    def _add_reader(self, graph: Graph, reader: int, key: str, values: Values, behind: int) -> None:
        """Behind who made the list what was read, and before who made it something else."""
        writer = self._number(key, values[-1]) if values else None
        if writer is not None:
            graph.add(writer, reader, Kind.WRITE_READ, key)
        longest = self._longest.get(key, ())
        following = self._number(key, longest[len(values)]) if len(values) < len(longest) else behind
        if following is not None:
            graph.add(reader, following, Kind.READ_WRITE, key)


def _states(transaction: Transaction) -> Iterable[tuple[str, Values]]:
    """What lists are known to have been, by this transaction."""
    for key, values in transaction.reads.items():
        yield key, values + transaction.appends.get(key, ())


def _add_time(graph: Graph, transactions: Sequence[Transaction]) -> None:
    """Who had ended before who began."""
    wide: list[int] = []
    single: list[int] = []
    by_key: dict[str, list[int]] = {}
    for number, transaction in enumerate(transactions):
        (wide if len(transaction.keys) > 1 else single).append(number)
        for key in transaction.keys:
            by_key.setdefault(key, []).append(number)
    _add_moments(graph, transactions, wide, wide + [number for number in single if transactions[number].appends])
    _add_moments(graph, transactions, single, wide)
    is_single = frozenset(single)
    for numbers in by_key.values():
        _add_moments(graph, transactions, numbers, [number for number in numbers if number in is_single])


def _add_moments(
    graph: Graph, transactions: Sequence[Transaction], before: Iterable[int], after: Iterable[int]
) -> None:
    """Each of the one that has ended comes before each of the other that begins later."""
    begins = [(transactions[number].invoked_ns, False, number) for number in after]
    ends = [
        (transactions[number].returned_ns, True, number)
        for number in before
        if transactions[number].fate is Fate.COMMITTED and transactions[number].returned_ns < NEVER_NS
    ]
    moment: int | None = None
    for _, is_end, number in sorted(begins + ends):
        if is_end:
            ended = graph.add_node()
            graph.add(number, ended, Kind.TIME)
            if moment is not None:
                graph.add(moment, ended, None)
            moment = ended
        elif moment is not None:
            graph.add(moment, number, None)


def _anomaly(steps: Sequence[Step]) -> Anomaly:
    kinds = [step.kind for step in steps]
    if Kind.TIME in kinds:
        return Anomaly.REALTIME
    if kinds.count(Kind.READ_WRITE) > 1:
        return Anomaly.G2
    if Kind.READ_WRITE in kinds:
        return Anomaly.G_SINGLE
    return Anomaly.G1C if Kind.WRITE_READ in kinds else Anomaly.G0


def _telling(transactions: Sequence[Transaction], step: Step) -> str:
    before, after = transactions[step.source].name, transactions[step.target].name
    return {
        Kind.WRITE_WRITE: f"{before} appended to {step.key} before {after}",
        Kind.WRITE_READ: f"{after} read in {step.key} what {before} appended",
        Kind.READ_WRITE: f"{before} read {step.key} without what {after} appended",
        Kind.TIME: f"{before} had ended before {after} began",
    }[step.kind]


def _shown(values: Values) -> str:
    return ("[… " if len(values) > SHOWN else "[") + ", ".join(values[-SHOWN:]) + "]"
