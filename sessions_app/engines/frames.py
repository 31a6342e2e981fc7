"""Server-sent events, split out of a byte stream.

Follows the WHATWG standard, "Interpreting an event stream": a line ends with CR, LF or CRLF, a
blank line ends an event, several `data` lines are joined by LF, a line that starts with a colon
is a comment, and an event that the end of the stream cuts off does not count. Only the data is
kept: every event of the Messages API carries its own type.
"""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"
_EVENT, _DATA = b"event: ", b"\ndata: "


class FrameTooLong(ValueError):
    """One event is longer than this reader is willing to hold."""


class FrameSplitter:
    """Feed it what a socket read returned; it answers with the events that are complete.

    Args:
        limit: bytes one event may have, so that a peer that never ends one cannot fill memory.
    """

    def __init__(self, limit: int = 32 * 2**20) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._held = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of every event that `chunk` completes, in order.

        Raises:
            FrameTooLong: an event goes over the limit; the stream cannot be read on.
        """
        chunk = self._with_plain_newlines(chunk)
        if not self._ends_an_event(chunk):
            self._hold(chunk)
            return []
        if self._parts:
            self._parts.append(chunk)
            chunk = b"".join(self._parts)
            self._parts.clear()
            self._held = 0
        *blocks, tail = chunk.split(b"\n\n")
        self._hold(tail)
        if self._at_start:
            self._at_start = False
            blocks[0] = blocks[0].removeprefix(_BOM)
        return [data for block in blocks if (data := _data(block)) is not None]

    def _with_plain_newlines(self, chunk: bytes) -> bytes:
        """CR and CRLF become LF; a CRLF may be split between two chunks."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _ends_an_event(self, chunk: bytes) -> bool:
        if b"\n\n" in chunk:
            return True
        return bool(self._parts) and chunk[:1] == b"\n" and self._parts[-1][-1:] == b"\n"

    def _hold(self, rest: bytes) -> None:
        if rest:
            self._parts.append(rest)
            self._held += len(rest)
        if self._held > self._limit:
            raise FrameTooLong(f"an event of more than {self._limit} bytes")


def _data(block: bytes) -> bytes | None:
    """The data of one event; None for a block without any (comments, keepalives)."""
    if block.startswith(_EVENT):
        # The form every known server sends: one `event` line, one `data` line.
        start = block.find(_DATA)
        if start > 0 and block.find(b"\n", start + len(_DATA)) < 0 and block.find(b"\n") == start:
            return block[start + len(_DATA) :]
    lines = [line for line in block.split(b"\n") if line == b"data" or line[:5] == b"data:"]
    if not lines:
        return None
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)
