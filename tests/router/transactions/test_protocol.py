"""Coordinators and recoveries of one transaction together, with everything that messages, and they, can come to.

Whatever is asked for is on its way until it is delivered, once or twice, in any order; who asked may be answered, or
given up on. Coordinators stop anywhere. In the end no mark is left, and the items of an attempt have all become what it
wanted, once, or none of them has.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from router.requests.update_item import UpdateItemRequest
from router.transactions import coordinator, ledger_requests, recovery
from router.transactions.coordinator import Answer, Conclusion, Coordinator
from router.transactions.ledger_row import LedgerRow, State
from router.transactions.recovery import Recovery
from tests.router.transactions.rows import NOW_MS, Rows

ID = b"i" * 16
STEPS_MAX = 4_000


@dataclass
class Item:
    """What a participant has, one for each: marks by attempt, and which attempts have changed it, how often."""

    will_refuse: bool
    marks: set[bytes] = field(default_factory=set)
    answered: dict[bytes, Answer] = field(default_factory=dict)
    changes: Counter[bytes] = field(default_factory=Counter)

    def prepare(self, attempt: bytes) -> Answer:
        """As a storage node does: what comes again is answered as before, and changes nothing."""
        if attempt not in self.answered:
            is_refused = self.will_refuse or bool(self.marks)
            self.answered[attempt] = Answer.REFUSED if is_refused else Answer.ACCEPTED
            if not is_refused:
                self.marks.add(attempt)
        return self.answered[attempt]

    def finish(self, attempt: bytes, *, is_committed: bool) -> None:
        if attempt in self.marks:
            self.marks.discard(attempt)
            self.changes[attempt] += is_committed


class World:
    """One transaction under one ledger id, by as many coordinators as there are attempts."""

    def __init__(self, rng: random.Random, attempts: int, refusing: tuple[bool, ...]) -> None:
        self.rng = rng
        self.items = [Item(will_refuse) for will_refuse in refusing]
        self.rows = Rows()
        self.committed: set[bytes] = set()  # that the ledger has ever said so of
        self.under_way: list[tuple[int, Callable[[], object]]] = []  # and the step before which it is not there
        self.step = 0
        self.conclusions: dict[bytes, list[Conclusion]] = {}
        self.cores: dict[bytes, Coordinator] = {}
        self.recovering = 0
        for number in range(attempts):
            attempt = bytes([number + 1]) * 16
            self.cores[attempt] = Coordinator(attempt, len(refusing), is_named=rng.random() < 0.5)
            self.conclusions[attempt] = []
            self.send(partial(self._start, attempt))

    # What is on its way

    def send(self, message: Callable[[], object]) -> None:
        """Most is soon there, and some takes long."""
        delay = 0 if self.rng.random() < 0.8 else self.rng.randrange(20, 100)
        self.under_way.append((self.step + delay, message))

    def _next(self) -> Callable[[], object]:
        there = [each for each in self.under_way if each[0] <= self.step] or [min(self.under_way, key=lambda it: it[0])]
        chosen = self.rng.choice(there)
        self.under_way.remove(chosen)
        self.step = max(self.step + 1, chosen[0])
        return chosen[1]

    def ask(self, question: Callable[[], Callable[[], None]], given_up: Callable[[], None]) -> None:
        """A question that is delivered at some time, perhaps twice, and whose asker is answered or gives up."""
        is_settled = False

        def deliver() -> None:
            answer = question()
            if self.rng.random() < 0.2:
                self.send(question)
            self.send(lambda: settle(answer))

        def settle(answer: Callable[[], None]) -> None:
            nonlocal is_settled
            if not is_settled:
                is_settled = True
                answer()

        self.send(deliver)
        if self.rng.random() < 0.3:
            self.send(lambda: settle(given_up))

    def update(self, request: UpdateItemRequest) -> tuple[bool, LedgerRow | None]:
        taken = self.rows.update(request)
        row = self.rows.get(ID)
        if row is not None and row.attempt and row.state is State.COMMITTED:
            self.committed.add(row.attempt)
        return taken

    def _ask_ledger(
        self,
        request: UpdateItemRequest,
        answered: Callable[[bool, LedgerRow | None], None],
        given_up: Callable[[], None],
    ) -> None:
        outcome: list[tuple[bool, LedgerRow | None]] = []

        def question() -> Callable[[], None]:
            if not outcome:  # what comes twice is known by its token
                outcome.append(self.update(request))
            return lambda: answered(*outcome[0])

        self.ask(question, given_up)

    # Coordinators

    def _start(self, attempt: bytes) -> None:
        if attempt in self.cores:
            self._coordinate(attempt, self.cores[attempt].start())

    def _handle(self, attempt: bytes, event: coordinator.Event) -> None:
        core = self.cores.get(attempt)
        if core is not None:
            self._coordinate(attempt, core.handle(event))

    def _coordinate(self, attempt: bytes, effects: list[coordinator.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, coordinator.Conclude):
                self.conclusions[attempt].append(effect.conclusion)
            elif isinstance(effect, coordinator.Prepare):
                self._prepare(attempt, effect.participant)
            elif isinstance(effect, coordinator.Finish):
                self._finish(attempt, effect)
            elif not isinstance(effect, coordinator.HandOver):  # which the end of the test is
                self._tell_ledger(attempt, effect)

    def _prepare(self, attempt: bytes, index: int) -> None:
        def question() -> Callable[[], None]:
            answer = self.items[index].prepare(attempt)
            return lambda: self._handle(attempt, coordinator.Prepared(index, answer))

        self.ask(question, lambda: self._handle(attempt, coordinator.Prepared(index, Answer.IN_DOUBT)))

    def _finish(self, attempt: bytes, effect: coordinator.Finish) -> None:
        index = effect.participant
        assert not effect.is_committed or attempt in self.committed

        def question() -> Callable[[], None]:
            self.items[index].finish(attempt, is_committed=effect.is_committed)
            return lambda: self._handle(attempt, coordinator.Finished(index))

        self.ask(question, lambda: self._handle(attempt, coordinator.FinishFailed(index)))

    def _tell_ledger(self, attempt: bytes, effect: coordinator.Begin | coordinator.Decide | coordinator.Close) -> None:
        taken: coordinator.Event
        lost: Callable[[LedgerRow | None], coordinator.Event] = coordinator.DecideLost
        failed: coordinator.Event
        if isinstance(effect, coordinator.Begin):
            keys = {"t": tuple(bytes([index]) for index in range(len(self.items)))}
            request = ledger_requests.begin(ID, attempt, 1, b"", keys, NOW_MS)
            taken, lost, failed = coordinator.Begun(), coordinator.BeginLost, coordinator.BeginFailed()
        elif isinstance(effect, coordinator.Decide):
            request = ledger_requests.decide(ID, attempt, is_committed=effect.is_committed)
            taken, failed = coordinator.Decided(), coordinator.DecideFailed(False)
        else:
            request = ledger_requests.close(ID, attempt, NOW_MS, is_committed=effect.is_committed)
            taken = failed = coordinator.Closed()

        def answered(is_taken: bool, row: LedgerRow | None) -> None:
            self._handle(attempt, taken if is_taken or taken == failed else lost(row))

        self._ask_ledger(request, answered, lambda: self._handle(attempt, failed))

    # Recoveries

    def recover(self, attempt: bytes, marks: tuple[bytes, ...]) -> None:
        core = Recovery(attempt, {"t": marks} if marks else {})
        self.recovering += 1
        self._go_on(attempt, core, core.start())

    def _go_on(self, attempt: bytes, core: Recovery, effect: recovery.Effect) -> None:
        def handle(event: recovery.Event) -> None:
            self._go_on(attempt, core, core.handle(event))

        def failed() -> None:
            handle(recovery.Failed())

        if isinstance(effect, recovery.End):
            self.recovering -= 1
        elif isinstance(effect, recovery.Read):

            def question() -> Callable[[], None]:
                row = self.rows.get(ID)
                return lambda: handle(recovery.RowRead(row))

            self.ask(question, failed)
        elif isinstance(effect, recovery.Finish):
            assert not effect.is_committed or attempt in self.committed
            keys, is_committed = effect.keys.get("t", ()), effect.is_committed

            def finish() -> Callable[[], None]:
                for key in keys:
                    self.items[key[0]].finish(attempt, is_committed=is_committed)
                return lambda: handle(recovery.Finished())

            self.ask(finish, failed)
        else:
            if isinstance(effect, recovery.Refuse):
                request = ledger_requests.refuse(ID, attempt, NOW_MS, is_over=effect.is_over)
            elif isinstance(effect, recovery.Cancel):
                request = ledger_requests.decide(ID, attempt, is_committed=False)
            else:
                request = ledger_requests.close(ID, attempt, NOW_MS, is_committed=effect.is_committed)

            def answered(is_taken: bool, row: LedgerRow | None) -> None:
                handle(recovery.Taken() if is_taken else recovery.Lost(row))

            self._ask_ledger(request, answered, failed)

    # The whole

    def disturb(self) -> None:
        """A coordinator dies, its client's time is over, or somebody recovers what may be under way."""
        chance, attempt = self.rng.random(), self.rng.choice(list(self.conclusions))
        if chance < 0.03:
            self.cores.pop(attempt, None)
        elif chance < 0.06:
            self._handle(attempt, coordinator.DeadlinePassed())
        elif chance < 0.16:
            self._recover_what_is_seen(attempt)

    def _recover_what_is_seen(self, attempt: bytes) -> None:
        marks = tuple(bytes([index]) for index, item in enumerate(self.items) if attempt in item.marks)
        row = self.rows.get(ID)
        if marks or (row is not None and row.is_of(attempt) and not row.is_done):
            self.recover(attempt, marks[:1])

    def run(self) -> None:
        """Until nothing is on its way, and nothing is left that anybody would ask about."""
        for _ in range(STEPS_MAX):
            if self.under_way:
                self._next()()
                self.disturb()
                continue
            for attempt in self.conclusions:
                self._recover_what_is_seen(attempt)
            if not self.under_way:
                return
        raise AssertionError("it does not end")


@settings(max_examples=600, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 3), st.lists(st.booleans(), min_size=1, max_size=3))
def test_all_or_nothing_whatever_happens(rng: random.Random, attempts: int, refusing: list[bool]) -> None:
    world = World(random.Random(rng.getrandbits(64)), attempts, tuple(each and rng.random() < 0.3 for each in refusing))
    world.run()
    assert not any(item.marks for item in world.items)
    for attempt, conclusions in world.conclusions.items():
        expected = 1 if attempt in world.committed else 0
        assert [item.changes[attempt] for item in world.items] == [expected] * len(world.items)
        assert len(conclusions) <= 1
        assert attempt not in world.cores or conclusions
        if conclusions and conclusions[0] is not Conclusion.IN_DOUBT:
            assert (conclusions[0] is Conclusion.COMMITTED) is bool(expected)
    assert len(world.committed) <= 1, "the second one is told that the first was carried out"
    row = world.rows.get(ID)
    assert row is None or row.is_done or not row.attempt


class Calm(World):
    """Where everything is answered at once, and nobody is in the way."""

    def ask(self, question: Callable[[], Callable[[], None]], given_up: Callable[[], None]) -> None:
        question()()

    def disturb(self) -> None:
        pass


def test_an_attempt_that_nobody_disturbs_is_carried_out() -> None:
    world = Calm(random.Random(1), 1, (False, False))
    world.run()
    assert list(world.conclusions.values()) == [[Conclusion.COMMITTED]]
    assert [sum(item.changes.values()) for item in world.items] == [1, 1]
