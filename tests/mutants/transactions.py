"""Breakages of what keeps transactions apart and whole: each has to be noticed by the simulation of transactions."""

from __future__ import annotations

from tests.mutants.mutants import STORAGE, Mutant

ROUTER = "tests/router/transactions"
WORLD = "transactions"

COORDINATOR = "router/transactions/coordinator.py"
RECOVERY = "router/transactions/recovery.py"
LEDGER = "router/transactions/ledger_requests.py"
NODE = "storage_node/transactions.py"

TRANSACTION_MUTANTS = (
    Mutant(
        "prepare what another transaction has marked",
        NODE,
        "            if (mark := self._mark(item.key)) is not None:\n",
        "            if (mark := self._mark(item.key)) is not None and mark is None:\n",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "prepare what a transaction in flight is about to mark",
        NODE,
        "        newest = self._proposals.in_flight.newest(self._mark_key(key))\n        if newest is None:\n",
        "        newest = self._proposals.in_flight.newest(self._mark_key(key))\n"
        "        if newest is None or state is None:\n",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "finish the marks of any attempt",
        NODE,
        "            if data is None or (mark := decode_mark(data)).attempt != details.attempt:\n",
        "            if data is None or not (mark := decode_mark(data)):\n",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "write single items that are marked",
        "storage_node/writes.py",
        "        elif self._transactions.may_be_marked and self._is_marked(request, key):\n",
        "        elif False:\n",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "forget marks when a node starts",
        NODE,
        "        self.forget()\n        for key, data in rows:\n            self._take_row(key, data)\n",
        "        self.forget()\n",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "send snapshots without marks",
        "storage_node/replica.py",
        "        numbers.append(MARKS)\n",
        "        pass\n",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "read what transactions hold",
        NODE,
        "        result = partition_pb2.ItemsResult(slot=self._store.applied_slot(self._partition_id))\n",
        "        if self.marks:\n            marks, self.marks = self.marks, {}\n"
        "            self.read(request, reply)\n            self.marks = marks\n            return\n"
        "        result = partition_pb2.ItemsResult(slot=self._store.applied_slot(self._partition_id))\n",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "take what has changed for what was read",
        NODE,
        "        elif self.versions.last(key).slot > slot:\n",
        "        elif False:\n",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "know of nothing that was written before anybody asked",
        NODE,
        "            self.versions.begin(Version(slot, time_ms * 1000 + self._ahead_us, now_ms))\n",
        "            self.versions.begin(NEVER)\n",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "carry out twice what fits one entry of a log",
        NODE,
        "            if known is not None:\n                return known\n",
        "",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "answer once it is decided, not once it is done",
        COORDINATOR,
        "            return self._finish(Conclude(Conclusion.COMMITTED), is_committed=True)\n"
        "        if isinstance(event, DecideLost):\n            return self._as_row_says(event.row)\n"
        "        if isinstance(event, DecideFailed):\n            if event.is_certain:\n",
        "            finish = self._finish(Conclude(Conclusion.COMMITTED), is_committed=True)\n"
        "            return [*self._conclude(self._outcome), *finish]\n"
        "        if isinstance(event, DecideLost):\n            return self._as_row_says(event.row)\n"
        "        if isinstance(event, DecideFailed):\n            if event.is_certain:\n",
        ROUTER,
        WORLD,
    ),
    Mutant(
        "commit whatever participants have answered",
        COORDINATOR,
        "        accepted = all(answer is Answer.ACCEPTED for answer in self._answers)\n",
        "        accepted = True\n",
        ROUTER,
        WORLD,
    ),
    Mutant(
        "commit without a decision in the ledger",
        COORDINATOR,
        "            self._phase = _Phase.COMMITTING\n            return [Decide(True)]\n",
        "            return self._finish(Conclude(Conclusion.COMMITTED), is_committed=True)\n",
        ROUTER,
        WORLD,
    ),
    Mutant(
        "commit what somebody else has cancelled",
        COORDINATOR,
        "        if row is not None and row.is_of(self._attempt) and row.state is State.COMMITTED:\n",
        "        if True:\n",
        ROUTER,
        WORLD,
    ),
    Mutant(
        "cancel what may be committed",
        COORDINATOR,
        "            if event.is_certain:\n",
        "            if True:\n",
        ROUTER,
        WORLD,
    ),
    Mutant(
        "let a client's second request begin while the first is under way",
        LEDGER,
        '    "(attribute_not_exists(attempt) OR (done = :true AND (#state = :cancelled OR expires < :now))) "\n',
        '    "(attribute_not_exists(attempt) OR :true = :true OR #state = :cancelled OR expires < :now) "\n',
        ROUTER,
        WORLD,
    ),
    Mutant(
        "let an attempt begin that is refused",
        LEDGER,
        '    "AND NOT contains(refused, :attempt)"\n',
        '    "AND :attempt = :attempt"\n',
        ROUTER,
        WORLD,
    ),
    Mutant(
        "decide again what is decided",
        LEDGER,
        '_IS_UNDECIDED = "attempt = :attempt AND #state = :preparing"\n',
        '_IS_UNDECIDED = "attempt = :attempt AND (#state = :preparing OR attribute_exists(#state))"\n',
        ROUTER,
        WORLD,
    ),
    Mutant(
        "take marks away without asking the ledger",
        RECOVERY,
        "        if row.state is State.PREPARING:\n            return Cancel()\n",
        "        if row.state is State.PREPARING:\n            return self._finish(row, is_committed=False)\n",
        ROUTER,
        WORLD,
    ),
    Mutant(
        "take marks away whose attempt may yet begin",
        RECOVERY,
        "            return Refuse(is_over=row is None or not row.attempt or row.is_done)\n",
        "            return Finish(False, self._marks)\n",
        ROUTER,
        WORLD,
    ),
    Mutant(
        "cancel what is committed and not done",
        RECOVERY,
        "        return self._finish(row, is_committed=row.state is State.COMMITTED)\n",
        "        return self._finish(row, is_committed=False)\n",
        ROUTER,
        WORLD,
    ),
    Mutant(
        "end only the marks that are told of",
        RECOVERY,
        "        return Finish(is_committed, merged(row.participants, self._marks))\n",
        "        return Finish(is_committed, self._marks or row.participants)\n",
        ROUTER,
        WORLD,
    ),
    Mutant(
        "look once at items of several partitions",
        "router/transact_reads.py",
        "        if len(self.participants) == 1 or round_.were_so:\n",
        "        if True:\n",
        ROUTER,
        WORLD,
    ),
    Mutant(
        "take what was written just now for what has long been so",
        NODE,
        "        result.unchanged_ms = max(0, min(now_ms - last(item.key).seen_ms for item in wanted) - 1)\n",
        "        result.unchanged_ms = 60_000\n",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "say that a late item is late whatever its condition comes to",
        NODE,
        "                if details.stamp_us <= last_us and outcome.code == partition_pb2.ItemOutcome.ACCEPTED:\n",
        "                if details.stamp_us <= last_us:\n",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "take an earlier sending's marks for another transaction's",
        NODE,
        "                outcome.is_own = mark.ledger_id == details.ledger_id\n",
        "                outcome.is_own = False\n",
        STORAGE,
        WORLD,
    ),
    Mutant(
        "tell reasons where the ledger may know the transaction already",
        COORDINATOR,
        "        is_known_as_new = isinstance(self._begin, Begun) or not self._is_named\n",
        "        is_known_as_new = True\n",
        ROUTER,
        WORLD,
    ),
)
