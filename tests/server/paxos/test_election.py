"""What a candidate makes of the promises it has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.paxos.ballot import Ballot
from server.paxos.election import Candidacy, choose_payloads
from server.paxos.messages import NO_OP, Promise, Run
from server.paxos.quorum import Configuration, Member

OWN = Ballot(9, 1)
ONE, TWO, THREE = Ballot(1, 1), Ballot(2, 2), Ballot(3, 3)


CONFIGURATION = Configuration((Member(1, "a"), Member(2, "b"), Member(9, "c")))


def promise(*runs: Run, log_first_slot: int = 1, commit_slot: int = 0, is_complete: bool = True) -> Promise:
    return Promise(OWN, 1, log_first_slot, commit_slot, runs, is_complete, 0)


@pytest.mark.parametrize(
    ("from_slot", "promises", "expected"),
    [
        (1, [], ()),
        (1, [promise(), promise()], ()),
        (5, [promise(Run(ONE, 5, (b"a", b"b"))), promise()], (b"a", b"b")),
        (1, [promise(Run(ONE, 1, (b"a", b"b"))), promise(Run(TWO, 1, (b"A",)))], (b"A", b"b")),
        (1, [promise(Run(TWO, 1, (b"A",))), promise(Run(ONE, 1, (b"a", b"b")))], (b"A", b"b")),
        (1, [promise(Run(ONE, 1, (b"a",)), Run(THREE, 2, (b"c",))), promise(Run(TWO, 1, (b"A", b"B")))], (b"A", b"c")),
        (3, [promise(Run(ONE, 1, (b"a", b"b", b"c", b"d")))], (b"c", b"d")),
        (3, [promise(Run(ONE, 1, (b"a", b"b")))], ()),
        (1, [promise(Run(ONE, 3, (b"c",)))], (NO_OP, NO_OP, b"c")),
        (1, [promise(Run(ONE, 1, (b"a",))), promise(Run(ONE, 3, (b"c",)))], (b"a", NO_OP, b"c")),
    ],
    ids=[
        "nobody",
        "nothing",
        "one of two",
        "highest ballot",
        "whoever comes first",
        "slot by slot",
        "from the middle",
        "all known",
        "holes before",
        "hole between",
    ],
)
def test_choose_payloads(from_slot: int, promises: list[Promise], expected: tuple[bytes, ...]) -> None:
    """For each slot the payload of the highest ballot; a no-op where there is none but later slots have one."""
    assert choose_payloads(from_slot, promises) == expected


@given(st.data())
def test_what_was_chosen_is_chosen_again(data: st.DataObject) -> None:
    """Play single-decree Paxos on each of three slots with three acceptors: whatever has been accepted by two at one
    ballot is what every later ballot proposes, whichever two promise it."""
    acceptors: list[dict[int, tuple[Ballot, bytes]]] = [{}, {}, {}]
    chosen: dict[int, bytes] = {}
    for number in range(1, data.draw(st.integers(1, 6)) + 1):
        ballot = Ballot(number, number % 3 + 1)
        voters = data.draw(st.sampled_from([(0, 1), (0, 2), (1, 2), (0, 1, 2)]))
        promises = [
            promise(*(Run(ballot_, slot, (payload,)) for slot, (ballot_, payload) in sorted(acceptors[voter].items())))
            for voter in voters
        ]
        payloads = list(choose_payloads(1, promises))
        while len(payloads) < 3:
            payloads.append(f"{number}/{len(payloads)}".encode())
        for slot, payload in enumerate(payloads, 1):
            if slot in chosen:
                assert payload == chosen[slot]
            takers = data.draw(st.sets(st.sampled_from([0, 1, 2])))
            for taker in takers:
                acceptors[taker][slot] = (ballot, payload)
            if len(takers) > 1:
                chosen[slot] = payload


@pytest.mark.parametrize(
    ("promises", "telling", "silent"),
    [
        ({}, [], 0),
        ({9: promise(), 2: promise(log_first_slot=5)}, [2, 9], 0),
        ({9: promise(), 2: promise(log_first_slot=6)}, [9], 2),
        ({9: promise(), 2: promise(is_complete=False)}, [9], 2),
        ({9: promise(), 1: promise(log_first_slot=6), 2: promise()}, [2, 9], 1),
        ({9: promise(log_first_slot=6), 1: promise()}, [1, 9], 0),
        ({9: promise()}, [9], 0),
        ({2: promise(log_first_slot=6)}, [], 0),
        ({9: promise(), 1: promise(log_first_slot=6, commit_slot=9), 2: promise(log_first_slot=6)}, [9], 1),
    ],
    ids=[
        "nobody",
        "trimmed up to what is known",
        "trimmed too much",
        "too much to tell",
        "one of two is silent",
        "its own counts",
        "no majority",
        "own promise not on disk",
        "the one that knows most",
    ],
)
def test_who_tells_what_a_candidate_needs(promises: dict[int, Promise], telling: list[int], silent: int) -> None:
    """The candidate, node 9, knows what is committed up to slot 4."""
    candidacy = Candidacy(OWN, 5, promises=promises)
    assert sorted(candidacy.telling(9)) == telling
    assert candidacy.silent_voter(9, CONFIGURATION) == silent
