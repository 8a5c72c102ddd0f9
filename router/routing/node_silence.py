"""Whether a node can be reached on a stream, by what it says on it."""

from __future__ import annotations

from collections import deque

PATIENCE_S = 1.0
"""More than twice as long as a node that has nothing to answer says nothing."""


class NodeSilence:
    """Of one stream of frames to a node. The node says something every few tenths of a second, though it has nothing to
    answer: a partition that cannot commit anything at the moment is silent, its node is not. Where it waits for more,
    it says how many frames it has read: ours may be lost on their way, while what it says arrives. Times in seconds, of
    any one clock."""

    __slots__ = ("_heard_s", "_is_counting", "_is_waiting", "_sent", "_unread")

    def __init__(self) -> None:
        self._heard_s = 0.0
        self._sent = 0
        self._unread: deque[float] = deque()  # when those were sent of which it is not known that they were read
        self._is_waiting = False
        self._is_counting = False  # nodes of older versions say nothing of it

    def sent(self, now_s: float) -> None:
        """A frame is sent."""
        self._sent += 1
        if self._is_counting:
            self._unread.append(now_s)

    def heard(self, now_s: float, frames_read: int | None) -> None:
        """The node has said something. `frames_read`: on this stream, and it waits for more; None: it is at work on
        one, or of an older version."""
        self._heard_s = now_s
        self._is_waiting = frames_read is not None
        if frames_read is None:
            return
        self._is_counting = True
        while self._unread and self._sent - len(self._unread) < frames_read:
            self._unread.popleft()

    def is_silent(self, now_s: float) -> bool:
        """Whether it has said nothing for PATIENCE_S, or has waited for so long for a frame that was sent."""
        since_s = now_s - PATIENCE_S
        return self._heard_s <= since_s or (self._is_waiting and bool(self._unread) and self._unread[0] <= since_s)
