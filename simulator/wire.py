"""One HTTP exchange over ASGI: its body, its headers, and whether the client is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

import orjson

from simulator.errors import ApiError
from simulator.identifiers import new_id

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY_BYTES = 32 * 1024 * 1024
"""What the Messages API accepts."""


def presented_key(headers: dict[str, str]) -> tuple[str, str]:
    """The header that holds the caller's key, and the key; two empty strings if there is none."""
    if key := headers.get("x-api-key", "").strip():
        return "x-api-key", key
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return "authorization", key.strip()
    return "", ""


class ClientLeftError(Exception):
    """The client closed the connection before the answer was complete."""


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope["query_string"].decode("latin-1")
        self.headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        self.request_id = new_id("req")
        self.started = False
        self._receive = receive
        self._send = send

    async def read_body(self) -> bytes:
        """The whole request body; 413 past the API's bound."""
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeftError
            body += message.get("body", b"")
            if len(body) > MAX_BODY_BYTES:
                raise ApiError(413, "Request exceeds the maximum size")
            if not message.get("more_body", False):
                return bytes(body)

    async def start(self, status: int, headers: dict[str, str]) -> None:
        """Send the response head, with the request's id."""
        self.started = True
        named = {"request-id": self.request_id, **headers}
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, body: bytes, *, more: bool) -> None:
        """Send a part of the response body; waits while the client's buffers are full."""
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def respond(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        """Send a whole JSON answer."""
        body = orjson.dumps(value)
        own = {"content-type": "application/json", "content-length": str(len(body))}
        await self.start(status, own | (headers or {}))
        await self.write(body, more=False)

    async def unless_client_leaves(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work``; if the client leaves, cancel it at once and raise ``ClientLeftError``.

        The request body must have been read: from then on, all that arrives is the disconnect.
        """
        working = asyncio.ensure_future(work)
        watching = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientLeftError
            working.result()
        finally:
            for task in (working, watching):
                task.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)
