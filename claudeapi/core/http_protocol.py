"""uvicorn's HTTP protocol with the bounds it lacks: on headers and on the time of bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from claudeapi.core.errors import ApiError, InvalidRequest, encoded
from claudeapi.core.request_id import HEADER, accept

MAX_HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 30.0
# A body that has not ended must bring so much in so long: who sends slower holds memory.
BODY_SECONDS = 30.0
BODY_BYTES = 16 * 1024


def refusal(error: ApiError, request_id: str) -> bytes:
    """The whole answer to what no application sees."""
    body = encoded(error, request_id)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        HEADER.lower(): request_id,
        "connection": "close",
        **error.response_headers(),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    status = HTTPStatus(error.status or 500)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{lines}\r\n".encode() + body


class BoundedHttpProtocol(HttpToolsProtocol):
    """Refuses endless headers, drops clients that take too long to send them, or a body.

    What is not HTTP is answered with the envelope too, since no application sees it.
    """

    _timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _body_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Start the clock for the first request."""
        super().connection_made(transport)
        self._start_timer(HEADER_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins: its headers are counted anew."""
        self._header_bytes = 0
        if self._timer is None:
            self._start_timer(HEADER_SECONDS, self.transport.close)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers are there in time; now the body has to come."""
        self._stop_timer()
        self._await_body()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there, whole."""
        self._stop_timer()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """From here on another protocol has the connection."""
        self._stop_timer()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, and close."""
        self.transport.write(refusal(InvalidRequest(msg), accept(None)))
        self.transport.close()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            # The parser turns this into its own error, which is answered with a 400.
            raise ValueError("headers too large")

    def _await_body(self) -> None:
        self._body_bytes = 0
        self._start_timer(BODY_SECONDS, self._look_at_body)

    def _look_at_body(self) -> None:
        # What we do not read cannot come.
        if self._body_bytes >= BODY_BYTES or self.flow.read_paused:
            self._await_body()
        else:
            self.transport.close()

    def _start_timer(self, seconds: float, act: Callable[[], None]) -> None:
        self._timer = self.loop.call_later(seconds, act)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
