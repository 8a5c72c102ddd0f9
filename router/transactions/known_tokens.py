"""What clients have asked for under which token, as far as one router has carried it out."""

from __future__ import annotations

from collections import OrderedDict

TOKENS_MAX = 20_000
KEPT_S = 600.0


class KnownTokens:
    """Hashes of requests by what their clients call them. A transaction within one partition leaves its token there,
    and one that differs may go elsewhere: so the router looks here first. Nothing is lost with it but that look."""

    __slots__ = ("_known", "_tokens_max")

    def __init__(self, tokens_max: int = TOKENS_MAX) -> None:
        self._tokens_max = tokens_max
        self._known: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()  # the one first noted comes first

    def note(self, token: bytes, request_hash: bytes, now_s: float) -> None:
        """A request was carried out, or is known to have been. The time counts from the first word of it."""
        if token not in self._known or self.differs(token, request_hash, now_s):
            self._known[token] = (request_hash, now_s + KEPT_S)
            self._known.move_to_end(token)
        if len(self._known) > self._tokens_max:
            self._known.popitem(last=False)

    def differs(self, token: bytes, request_hash: bytes, now_s: float) -> bool:
        """Whether something else was asked for under this token."""
        while self._known:
            oldest = next(iter(self._known))
            if self._known[oldest][1] > now_s:
                break
            del self._known[oldest]
        known = self._known.get(token)
        return known is not None and known[0] != request_hash
