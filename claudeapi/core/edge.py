"""The outermost layer, around Django and the streams alike: pure ASGI, nothing buffered.

Request ids, the host check, CORS, the bound on bodies, the last error handler, the access line.
A streamed event costs one function call here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from time import perf_counter
from typing import Any

import structlog
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from claudeapi.core import access_log, metrics, websocket
from claudeapi.core.asgi_types import App, Message, Receive, Scope, Send
from claudeapi.core.cors import Cors
from claudeapi.core.errors import ApiError, InternalError, InvalidRequest, PayloadTooLarge, encoded
from claudeapi.core.request_id import accept, request_id_var

logger = structlog.get_logger(__name__)

# Probes address a machine by its number, and answer nothing worth protecting.
ANY_HOST = frozenset({"/livez", "/readyz"})
QUIET = ANY_HOST | {"/metrics"}

# How much of a refused body is read and dropped, so that a client which sends all of it before
# it reads gets to see the answer instead of a reset connection.
LINGER_BYTES = 64 * 2**20
LINGER_SECONDS = 2.0


class Edge:
    """Wraps the whole application."""

    def __init__(self, app: App, max_body_bytes: int, cors: Cors) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._cors)
        try:
            await self._guarded(exchange, scope)
        finally:
            exchange.log()

    async def _guarded(self, exchange: _Exchange, scope: Scope) -> None:
        try:
            exchange.check_host()
            if exchange.is_preflight:
                await exchange.answer_preflight()
                return
            if scope["type"] == "http":
                exchange.bound_body(self._max_body_bytes)
            await self._app(scope, exchange.receive, exchange.send)
        except ApiError as error:
            await exchange.fail(error)
        except Exception:
            # The traceback goes to the log, and nowhere else.
            logger.exception("unhandled_exception")
            await exchange.fail(InternalError())


class _Exchange:
    """One request, or one WebSocket, from its first byte to its line in the log."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, cors: Cors) -> None:
        self._cors = cors
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = dict(scope["headers"])
        self._limit = 0
        self._read = 0
        self._unread = True
        self._status = 0
        self._began = perf_counter()
        self._connected = False
        self.receive: Receive = receive
        if scope["type"] == "websocket":
            self.receive = self._connecting_receive
        self.request_id = accept(self._header(b"x-request-id"))
        self._id = (b"x-request-id", self.request_id.encode())
        request_id_var.set(self.request_id)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=self.request_id)
        self._noted = access_log.begin()

    def _header(self, name: bytes) -> str:
        return str(self._headers.get(name, b"").decode("latin-1"))

    def check_host(self) -> None:
        """Refuse names that are not ours: what stops DNS rebinding."""
        if _plain(self._scope["path"]) in ANY_HOST:
            return
        domain, _ = split_domain_port(self._header(b"host"))
        if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
            raise InvalidRequest(
                "This server does not answer to the Host of this request (ALLOWED_HOSTS)."
            )

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks if a page of another origin may ask."""
        asked = self._header(b"access-control-request-method")
        method = self._scope.get("method", "")
        return self._cors.is_preflight(method, self._header(b"origin"), asked)

    async def answer_preflight(self) -> None:
        """Say what is allowed.

        Raises:
            InvalidRequest: nothing is, to this origin.
        """
        headers = self._cors.preflight(self._header(b"origin"))
        await self.send({"type": "http.response.start", "status": 204, "headers": headers})
        await self._send({"type": "http.response.body", "body": b""})

    def bound_body(self, limit: int) -> None:
        """Refuse a body by its announced length, or count it where none is announced."""
        self._limit = limit
        length = self._header(b"content-length")
        if length.isdigit() and int(length) > limit:
            raise self._too_large()
        if b"transfer-encoding" in self._headers:
            self.receive = self._counted_receive

    async def _connecting_receive(self) -> Message:
        """The first message of a WebSocket: whoever refuses it must know if it is still due."""
        self._connected = True
        self.receive = self._receive
        return await self._receive()

    async def _counted_receive(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        self._unread = message.get("more_body", False)
        if self._read > self._limit:
            raise self._too_large()
        return message

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"The body is larger than {self._limit} bytes.", details={"maxBytes": self._limit}
        )

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on; the first one gets the request id, and what CORS needs."""
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
            own = self._cors.headers(self._header(b"origin"))
            message = {**message, "headers": [*message.get("headers", ()), self._id, *own]}
        elif kind == "websocket.accept":
            self._status = 101
            message = {**message, "headers": [*message.get("headers", ()), self._id]}
        return self._send(message)

    async def fail(self, error: ApiError) -> None:
        """Answer with the envelope, where nothing was answered yet."""
        if self._scope["type"] == "websocket":
            await self._fail_websocket(error)
        elif not self._status:
            await self._fail_http(error)

    async def _fail_http(self, error: ApiError) -> None:
        body = encoded(error, self.request_id)
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
            **error.response_headers(),
        }
        encoded_headers = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
        await self.send(
            {
                "type": "http.response.start",
                "status": error.status or 500,
                "headers": encoded_headers,
            }
        )
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        if isinstance(error, PayloadTooLarge) and self._unread:
            await self._linger()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self) -> None:
        """Read and drop what the client still sends, within bounds."""
        dropped = 0
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while dropped < LINGER_BYTES:
                    message = await self._receive()
                    dropped += len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body"):
                        return
        except TimeoutError:
            return

    async def _fail_websocket(self, error: ApiError) -> None:
        if self._status:
            await self._send(websocket.close_message(error))
            return
        if not self._connected:
            await self.receive()
        await websocket.refuse_connected(self._scope, self.send, error, self.request_id)

    def log(self) -> None:
        """Write the access line, and count the request."""
        seconds = perf_counter() - self._began
        method = self._scope.get("method", "WEBSOCKET")
        path = self._scope["path"]
        route = self._noted.get("route", metrics.OTHER)
        metrics.count_request(method, route, self._status, seconds)
        write = access_log.logger.debug if _plain(path) in QUIET else access_log.logger.info
        write("request", **self._line(method, path, seconds))

    def _line(self, method: str, path: str, seconds: float) -> dict[str, Any]:
        return {
            **self._noted,
            "method": method,
            "path": path,
            "status": self._status or None,
            "ms": round(seconds * 1000, 1),
        }


def _plain(path: str) -> str:
    """A path without the slash that may end every one of ours."""
    return path.removesuffix("/")
