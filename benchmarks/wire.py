"""A client that costs next to nothing: raw HTTP/1.1 over asyncio, parsed no further than needed.

Load is only worth measuring when the generator is not what is measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast
from urllib.parse import urlsplit

import orjson

EVENT, DELTA, ID = b"\nevent: ", b'"text_delta"', b"\nid: "
_END = b"\r\n0\r\n\r\n"
_KEEP = 64
"""Bytes of one read that the next one may complete a pattern with."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server, and how its client proves who it is."""

    url: str
    key: str

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80

    def request(
        self, method: str, path: str, body: dict[str, Any] | None = None, extra: str = ""
    ) -> bytes:
        """A whole request; `extra` is further header lines, each ended by CRLF."""
        content = b"" if body is None else orjson.dumps(body)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {urlsplit(self.url).netloc}\r\n"
            f"x-api-key: {self.key}\r\nanthropic-version: 2023-06-01\r\n{extra}"
        )
        if body is not None:
            head += f"content-type: application/json\r\ncontent-length: {len(content)}\r\n"
        return head.encode() + b"\r\n" + content


@dataclass(slots=True)
class Reading:
    """What came of one stream; times are seconds after its request was sent."""

    events: int = 0
    first_event: float = 0.0
    deltas: list[float] = field(default_factory=list)
    ids: int = 0
    last_id: int = 0
    first_id: int = 0
    ended: float = 0.0
    complete: bool = False
    status: int = 0


class Failed(Exception):
    """A request was not answered as it had to be."""


class Connection(asyncio.Protocol):
    """One connection; what arrives goes to a consumer, which says when the answer is whole."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._consume: Callable[[bytes], bool] = lambda data: False
        self._done: asyncio.Future[None] | None = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self._consume(data) and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        self.lost = True
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    async def run(self, request: bytes, consume: Callable[[bytes], bool]) -> None:
        """Send a request and wait until `consume` has seen all of the answer, or the end."""
        assert self._transport is not None
        self._consume = consume
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._done

    def close(self) -> None:
        """Leave, without saying good-bye."""
        if self._transport is not None:
            self._transport.abort()


async def connect(target: Target) -> Connection:
    """Open a connection."""
    _, protocol = await asyncio.get_running_loop().create_connection(Connection, *target.address)
    return protocol


async def ask(connection: Connection, request: bytes) -> tuple[int, bytes]:
    """A request with one whole answer: its status and its body."""
    answer = bytearray()

    def consume(data: bytes) -> bool:
        answer.extend(data)
        head, end, body = bytes(answer).partition(b"\r\n\r\n")
        if not end:
            return False
        found = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return len(body) >= int(found or 0)

    await connection.run(request, consume)
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    if not head:
        raise Failed("the connection was closed without an answer")
    return int(head[9:12]), body


async def stream(
    connection: Connection, request: bytes, stop: Callable[[Reading], bool] | None = None
) -> Reading:
    """A request with an event stream for an answer, counted as it arrives.

    Args:
        stop: asked after every read; true ends the reading before the stream ends.
    """
    reading, tail, sent = Reading(), b"", monotonic()

    def consume(data: bytes) -> bool:
        nonlocal tail
        now = monotonic() - sent
        if not reading.status:
            reading.status = int(data[9:12])
        window = tail + data
        events = window.count(EVENT) - tail.count(EVENT)
        if events:
            reading.first_event = reading.first_event or now
            reading.events += events
        reading.deltas.extend([now] * (window.count(DELTA) - tail.count(DELTA)))
        _count_ids(reading, window, tail)
        reading.complete = window.endswith(_END)
        tail = window[-_KEEP:]
        return reading.complete or (stop is not None and stop(reading))

    await connection.run(request, consume)
    reading.ended = monotonic() - sent
    return reading


def _count_ids(reading: Reading, window: bytes, tail: bytes) -> None:
    reading.ids += window.count(ID) - tail.count(ID)
    reading.first_id = reading.first_id or _number(window, window.find(ID))
    reading.last_id = _number(window, window.rfind(ID)) or reading.last_id


def _number(window: bytes, at: int) -> int:
    """The number at a place, once its line is whole; else 0, and the next read tells."""
    text, end, _ = window[at + len(ID) : at + _KEEP].partition(b"\n")
    return int(text) if at >= 0 and end else 0
