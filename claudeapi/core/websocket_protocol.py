"""uvicorn's WebSocket protocol, with our answer where a handshake fails."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidHandshake
from websockets.http11 import Request

from claudeapi.core.errors import ApiError, InvalidRequest, MethodNotAllowed
from claudeapi.core.http_protocol import refusal
from claudeapi.core.request_id import HEADER, accept


class EnvelopeWebSocketProtocol(WebSocketsSansIOProtocol):
    """Answers a handshake that is none with the envelope, since no application sees it."""

    def handle_connect(self, event: Request) -> None:
        """A request to upgrade."""
        error = self._refused(event)
        if error is None:
            super().handle_connect(event)
            return
        self.handshake_complete = self.close_sent = True
        self.transport.write(refusal(error, accept(event.headers.get(HEADER))))
        self.transport.close()

    def _refused(self, event: Request) -> ApiError | None:
        if event.method != "GET":
            return MethodNotAllowed(headers={"Allow": "GET"})
        try:
            self.conn.process_request(event)
        except InvalidHandshake as problem:
            return InvalidRequest(f"This is no WebSocket handshake: {problem}.")
        return None
