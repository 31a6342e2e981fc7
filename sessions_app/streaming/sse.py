"""Server-sent events: bytes and headers. Pure. Source: the HTML standard, chapter 9.2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import orjson

from sessions_app.hub import Event

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
KEEPALIVE = b": keepalive\n\n"
RETRY_MS = 2000


def greeting(session_id: UUID, run_id: UUID | None, last_event_id: int) -> dict[str, Any]:
    """The payload of the `connected` event, over SSE and WebSocket alike."""
    return {
        "sessionId": str(session_id),
        "runId": str(run_id) if run_id else None,
        "lastEventId": last_event_id,
    }


def connected(payload: dict[str, Any]) -> bytes:
    """The first event of every stream, and how long to wait before a reconnect."""
    return b"retry: %d\nevent: connected\ndata: %b\n\n" % (RETRY_MS, orjson.dumps(payload))


def encoded(events: Iterable[Event]) -> bytes:
    """Events as one piece of the stream."""
    return b"".join(event.sse() for event in events)
