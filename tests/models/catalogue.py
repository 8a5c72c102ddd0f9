"""Which specs there are, how each may be broken, and which invariant notices that first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "specs"


@dataclass(frozen=True, slots=True)
class Spec:
    """A file in `specs/`. `breakages`: the constant that is 0 and breaks a rule as 1, and the invariant that fails.
    `suffix`: .m is in Murphi, .pml in Promela."""

    name: str
    breakages: dict[str, str]
    suffix: str = ".m"

    @property
    def text(self) -> str:
        return (FOLDER / f"{self.name}{self.suffix}").read_text(encoding="utf-8")


def _constants(text: str) -> list[tuple[str, int]]:
    found = re.findall(r"^(?: +([A-Z_]+): ([0-9]+);|#define ([A-Z_]+) ([0-9]+)\b)", text, re.MULTILINE)
    return [(murphi or promela, int(value or other)) for murphi, value, promela, other in found]


def switches(text: str) -> list[str]:
    """The constants of a spec that break something: those that are 0."""
    return [name for name, value in _constants(text) if value == 0]


def bounds(text: str) -> dict[str, int]:
    """The other constants: how large the space is."""
    return {name: value for name, value in _constants(text) if value}


def broken(text: str, switch: str) -> str:
    """The spec with one rule broken. Raises ValueError where it has no such switch."""
    pattern = rf"^( +{re.escape(switch)}: |#define {re.escape(switch)} )0\b"
    changed, count = re.subn(pattern, r"\g<1>1", text, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"{switch} is not a constant that is 0")
    return changed


def invariants(text: str) -> list[str]:
    """What a spec says must hold, or must be within reach always (`liveness`), or must come about (`ltl`)."""
    murphi = re.findall(r'^(?:invariant|liveness) "([^"]+)"', text, re.MULTILINE)
    promela = re.findall(r"\bassert\(([a-z_]+)\)|^ltl ([a-z_]+) \{", text, re.MULTILINE)
    return [*murphi, *(assertion or claim for assertion, claim in promela)]


ONE_VALUE = "one value a slot"
ON_TWO_DISKS = "what was acknowledged is on two disks"
ON_TWO_MEMBERS = "what was acknowledged is on the disks of two members in force"
APPLIED = "what a follower applies was acknowledged"
NOBODY_ABOVE = "nobody has been elected above a leader that has its lease"
ITEMS_ARE_RIGHT = "what is committed is in the items or their marks, and nothing else is"
ONE_MOMENT = "a transactional read sees what was so at one moment"
STATE_IS_RIGHT = "a state is what was acknowledged, up to its slot"
LEDGER_IS_RIGHT = "who asks the ledger is told of what was committed"
LATER_LEADERS = "later_leaders_have_what_was_acknowledged"
A_WRITE_IS_COMMITTED = "a_write_is_committed_once_faults_have_ended"

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
    Spec(
        "ballots",
        {
            "FORGETS_PROMISE": LATER_LEADERS,
            "FORGETS_ENTRY": LATER_LEADERS,
            "TAKES_OLDEST": LATER_LEADERS,
            "PROPOSES_ITS_OWN": LATER_LEADERS,
            "ACCEPTS_OUTBID": LATER_LEADERS,
            "ACCEPTS_HOLE": "no_log_has_a_hole",
        },
        ".pml",
    ),
    Spec(
        "election",
        {
            "GIVES_UP": A_WRITE_IS_COMMITTED,
            "LEARNS_NOTHING": A_WRITE_IS_COMMITTED,
            "HOLDS_ON": A_WRITE_IS_COMMITTED,
            "LEAVES_HOLES": A_WRITE_IS_COMMITTED,
            "ASKS_NOBODY": A_WRITE_IS_COMMITTED,
            "PROPOSES_NOTHING": A_WRITE_IS_COMMITTED,
            "SAYS_NOTHING": A_WRITE_IS_COMMITTED,
            "WAITS_FOR_EVER": A_WRITE_IS_COMMITTED,
        },
        ".pml",
    ),
)
