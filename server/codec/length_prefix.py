"""Frames out of a connection's bytes, which come in pieces of any length."""

from __future__ import annotations

LENGTH_BYTES = 4

FRAME_BYTES_MAX = 17 * 1024 * 1024
"""The largest message between processes: what gRPC is allowed, too."""


class FrameTooLargeError(Exception):
    """A frame has more than FRAME_BYTES_MAX; nothing behind it can be read."""


class FrameReader:
    """`feed` it all that comes, in order."""

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._begun = bytearray()  # what has come of a frame that is not whole
        self._wanted = LENGTH_BYTES  # how much of it there has to be before it is looked at again

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole with this, without their lengths. Raises FrameTooLargeError."""
        if self._begun:
            self._begun += data
            if len(self._begun) < self._wanted:
                return []
            data = bytes(self._begun)
            self._begun.clear()
        frames = []
        at, end = 0, len(data)
        self._wanted = LENGTH_BYTES
        while end - at >= LENGTH_BYTES:
            size = int.from_bytes(data[at : at + LENGTH_BYTES], "big")
            if size > self._bytes_max:
                raise FrameTooLargeError(f"a frame of {size} bytes; at most {self._bytes_max} are read")
            self._wanted = LENGTH_BYTES + size
            if end - at < self._wanted:
                break
            frames.append(data[at + LENGTH_BYTES : at + self._wanted])
            at += self._wanted
            self._wanted = LENGTH_BYTES
        self._begun += data[at:]
        return frames
