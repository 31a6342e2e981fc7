"""Refusing a WebSocket so that every server and browser shows the reason."""

from __future__ import annotations

from typing import Any

import orjson

from claudeapi.core.asgi_types import Receive, Scope, Send
from claudeapi.core.errors import ApiError, envelope

SUBPROTOCOL = "claudeapi.v1"
BAD_REQUEST, INTERNAL = 4400, 1011
_CLOSE_CODES = {401: 4401, 403: 4403, 404: 4404, 429: 4429, 500: INTERNAL, 503: 1012}


def close_code(error: ApiError) -> int:
    """What a socket is closed with for an error."""
    return _CLOSE_CODES.get(error.status or 500, BAD_REQUEST)


def error_frame(error: ApiError, request_id: str) -> str:
    """The error as a server frame."""
    frame = {"event": "error", "id": None, "data": envelope(error, request_id)}
    return orjson.dumps(frame).decode()


def accept_message(scope: Scope) -> dict[str, Any]:
    """The acceptance; browsers give up if the subprotocol they offered is not echoed."""
    offered = SUBPROTOCOL in scope.get("subprotocols", ())
    return {"type": "websocket.accept", "subprotocol": SUBPROTOCOL if offered else None}


async def refuse(
    scope: Scope, receive: Receive, send: Send, error: ApiError, request_id: str
) -> None:
    """Accept, say why not in a frame, and close.

    A refusal of the handshake itself would lose its reason: daphne drops it, and browsers
    don't tell it to a page.
    """
    message = await receive()
    if message["type"] == "websocket.connect":
        await refuse_connected(scope, send, error, request_id)


async def refuse_connected(scope: Scope, send: Send, error: ApiError, request_id: str) -> None:
    """The same, where `websocket.connect` was received already."""
    await send(accept_message(scope))
    await send({"type": "websocket.send", "text": error_frame(error, request_id)})
    await send(close_message(error))


def close_message(error: ApiError) -> dict[str, Any]:
    """The end of a socket for an error."""
    return {"type": "websocket.close", "code": close_code(error), "reason": error.code}
