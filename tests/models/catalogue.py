"""Which specs there are, how each may be broken, and which invariant notices that first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "specs"


@dataclass(frozen=True, slots=True)
class Spec:
    """A file in `specs/`. `breakages`: the constant that is 0 and breaks a rule as 1, and the invariant that fails."""

    name: str
    breakages: dict[str, str]

    @property
    def text(self) -> str:
        return (FOLDER / f"{self.name}.m").read_text(encoding="utf-8")


def switches(text: str) -> list[str]:
    """The constants of a spec that break something: those that are 0."""
    return re.findall(r"^ +([A-Z_]+): 0;", text, re.MULTILINE)


def bounds(text: str) -> dict[str, int]:
    """The other constants: how large the space is."""
    return {name: int(value) for name, value in re.findall(r"^ +([A-Z_]+): ([1-9][0-9]*);", text, re.MULTILINE)}


def broken(text: str, switch: str) -> str:
    """The spec with one rule broken. Raises ValueError where it has no such switch."""
    changed, count = re.subn(rf"^( +{re.escape(switch)}): 0;", r"\1: 1;", text, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"{switch} is not a constant that is 0")
    return changed


def invariants(text: str) -> list[str]:
    """What a spec says must hold, or must be within reach always (`liveness`), in its order."""
    return re.findall(r'^(?:invariant|liveness) "([^"]+)"', text, re.MULTILINE)


ONE_VALUE = "one value a slot"
ON_TWO_DISKS = "what was acknowledged is on two disks"
ON_TWO_MEMBERS = "what was acknowledged is on the disks of two members in force"
APPLIED = "what a follower applies was acknowledged"
NOBODY_ABOVE = "nobody has been elected above a leader that has its lease"
ITEMS_ARE_RIGHT = "what is committed is in the items or their marks, and nothing else is"
ONE_MOMENT = "a transactional read sees what was so at one moment"
STATE_IS_RIGHT = "a state is what was acknowledged, up to its slot"
LEDGER_IS_RIGHT = "who asks the ledger is told of what was committed"

SPECS = (
    Spec(
        "agreement",
        {
            "FORGETS_PROMISE": ON_TWO_DISKS,
            "FORGETS_ENTRY": ON_TWO_DISKS,
            "TAKES_LOWEST": ON_TWO_DISKS,
            "ACCEPTS_HOLE": "no log has a hole",
            "VOUCHES_FOR_ALL": APPLIED,
            "REUSES_BALLOT": APPLIED,
            "LOG_REPLICA_LEADS": "the log replica leads nowhere",
        },
    ),
    Spec(
        "members",
        {
            "COUNTS_WHO_LEAVES": ON_TWO_MEMBERS,
            "LEADS_ON": ONE_VALUE,
            "PROPOSES_PAST": ON_TWO_MEMBERS,
            "EMPTIES_MEMBERS": ON_TWO_MEMBERS,
            "NO_FLOOR_SLOT": ON_TWO_MEMBERS,
            "NO_FLOOR_BALLOT": ONE_VALUE,
        },
    ),
    Spec(
        "leases",
        {
            "NO_MARGIN": NOBODY_ABOVE,
            "DATED_FROM_GRANT": NOBODY_ABOVE,
            "IGNORES_GRANT": NOBODY_ABOVE,
            "IGNORES_EPOCH": NOBODY_ABOVE,
            "VOTES_AT_ONCE": NOBODY_ABOVE,
            "SERVES_RELEASED": NOBODY_ABOVE,
        },
    ),
    Spec(
        "trimming",
        {
            "TRIMS_UNCHECKPOINTED": ON_TWO_DISKS,
            "TRIM_DROPS_PROMISE": ONE_VALUE,
            "TRUSTS_TRIMMED": ON_TWO_DISKS,
            "CHECKPOINT_AHEAD": ON_TWO_DISKS,
            "APPLIES_EARLY": STATE_IS_RIGHT,
            "TAKES_OLD": STATE_IS_RIGHT,
            "RESET_DROPS_TAIL": ON_TWO_DISKS,
            "APPLIES_HOLE": STATE_IS_RIGHT,
            "INSTALL_FORGOTTEN": STATE_IS_RIGHT,
            "LEADS_WHILE_RESTORING": "who leads has a state",
            "LETS_GO_UNHELD": ON_TWO_DISKS,
        },
    ),
    Spec(
        "transactions",
        {
            "NEVER_REFUSES": ITEMS_ARE_RIGHT,
            "BEGINS_REFUSED": ITEMS_ARE_RIGHT,
            "BEGINS_TWICE": ITEMS_ARE_RIGHT,
            "BEGINS_AGAIN": LEDGER_IS_RIGHT,
            "CANCELS_BLINDLY": LEDGER_IS_RIGHT,
            "COMMITS_BLINDLY": ITEMS_ARE_RIGHT,
            "MARKS_OVER": ITEMS_ARE_RIGHT,
            "CHECKS_UNMARKED": "what was committed was computed from what was so then",
            "IGNORES_STAMPS": "conflicting transactions are committed in the order of their stamps",
            "NO_NUDGES": "marks go",
            "PREPARES_TWICE": ITEMS_ARE_RIGHT,
            "FINISHES_ANY": ITEMS_ARE_RIGHT,
            "DONE_EARLY": ITEMS_ARE_RIGHT,
            "DONE_ANY": ITEMS_ARE_RIGHT,
            "REFUSAL_EXPIRES": ITEMS_ARE_RIGHT,
            "BEGIN_EXPIRES": ITEMS_ARE_RIGHT,
            "EXPIRES_EARLY": ITEMS_ARE_RIGHT,
            "WRITES_MARKED": ITEMS_ARE_RIGHT,
            "READS_MARKED": ONE_MOMENT,
            "READS_ONCE": ONE_MOMENT,
        },
    ),
)
