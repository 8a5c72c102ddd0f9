"""A bank: money goes from account to account, each transfer once or not at all, and so the total stays what it was."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from stator.gameday.serializability import Fate


@dataclass(slots=True)
class Transfer:
    """Leaves a receipt of its name behind, in the same transaction. It is refused where an account has too little."""

    name: str
    source: str
    target: str
    amount: int
    fate: Fate = Fate.UNKNOWN


@dataclass(frozen=True, slots=True)
class Audit:
    """The balances that one transactional read, or a single read, has found; None: no such account."""

    name: str
    balances: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Bank:
    """`opening`: what each of the accounts begins with."""

    accounts: Collection[str]
    opening: int

    @property
    def total(self) -> int:
        """Of all accounts."""
        return len(self.accounts) * self.opening

    def wrong_audits(self, audits: Iterable[Audit]) -> list[str]:
        """What is wrong with them, a sentence each: all accounts together have the total, no account less than
        nothing, and some of them not more than all."""
        return [sentence for audit in audits if (sentence := self._wrong_audit(audit))]

    def _wrong_audit(self, audit: Audit) -> str:
        known = {account: balance for account, balance in audit.balances.items() if balance is not None}
        if missing := sorted(audit.balances.keys() - known.keys()):
            return f"{audit.name} found no account {missing[0]}"
        if overdrawn := sorted(account for account, balance in known.items() if balance < 0):
            return f"{audit.name} found {known[overdrawn[0]]} in {overdrawn[0]}"
        found = sum(known.values())
        if found > self.total or (found < self.total and known.keys() >= set(self.accounts)):
            return f"{audit.name} found {found} in {len(known)} accounts, and all have {self.total}"
        return ""

    def wrong_at_rest(
        self, transfers: Iterable[Transfer], receipts: Collection[str], balances: Mapping[str, int | None]
    ) -> list[str]:
        """Likewise, once nothing is under way: the receipts are of what was carried out, and that and nothing else is
        what happened to the balances. The total would not tell of a transfer that is lost or made twice."""
        audit = Audit("the end", balances)
        sentences = self.wrong_audits([audit])
        due = dict.fromkeys(self.accounts, self.opening)
        unclaimed = set(receipts)
        for transfer in transfers:
            is_made = transfer.name in unclaimed
            unclaimed.discard(transfer.name)
            if is_made:
                due[transfer.source] -= transfer.amount
                due[transfer.target] += transfer.amount
            if is_made and transfer.fate is Fate.ABORTED:
                sentences.append(f"{transfer.name} was refused, and has left a receipt")
            if not is_made and transfer.fate is Fate.COMMITTED:
                sentences.append(f"{transfer.name} was acknowledged, and has left no receipt")
        sentences += [f"{name} is a receipt of no transfer" for name in sorted(unclaimed)]
        for account, balance in sorted(due.items()):
            if balances.get(account) != balance:
                sentences.append(f"{account} has {balances.get(account)}, and by its receipts {balance}")
        return sentences
