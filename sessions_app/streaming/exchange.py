"""An HTTP exchange on Channels whose answer is made by a task of its own.

A request handler that looped would keep the consumer from hearing that the client left.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import structlog
from channels.consumer import AsyncConsumer, get_handler_name
from channels.exceptions import StopConsumer

from claudeapi.core import errors
from claudeapi.core.aside import aside
from claudeapi.core.drf import StrictSerializer
from claudeapi.core.exceptions import as_api_error
from claudeapi.core.json_body import parse_json
from claudeapi.core.media import acceptable, is_encoded
from claudeapi.core.query import parse_query
from claudeapi.core.request_id import request_id_var
from keys_app.asgi import headers_of
from keys_app.limits import RateState
from sessions_app.api import serializers as wire

log = structlog.get_logger(__name__)


class QuietConsumer(AsyncConsumer):
    """A consumer that needs neither a channel of its own nor Channels' database hygiene.

    What we do with the database goes through `in_db`, which keeps its own connections.
    """

    channel_layer_alias = "none"
    scope: dict[str, Any]

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Call the handler of a message."""
        await getattr(self, get_handler_name(message))(message)


class HttpExchange(QuietConsumer):
    """One request and its answer; subclasses say the answer in `respond`.

    Attributes:
        size: how many bytes the body has, once it is read.
    """

    def __init__(self) -> None:
        super().__init__()
        self._body: list[bytes] = []
        self._whole = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._started = False
        self.size = 0
        self.rate: RateState | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request.

        Raises:
            PayloadTooLarge: from the edge, while the body is read.
        """
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._task is not None:
                self._task.cancel()

    @property
    def session_id(self) -> str:
        """The session named in the path, as it was written."""
        return str(self.scope["url_route"]["kwargs"]["session_id"])

    async def respond(self) -> None:
        """Make the answer. What it raises becomes the error envelope."""
        raise NotImplementedError

    async def http_request(self, message: dict[str, Any]) -> None:
        """Let a task answer, and collect the body for it: it may refuse without one."""
        self._body.append(message.get("body", b""))
        if not message.get("more_body"):
            self._whole.set()
        if self._task is None:
            self._task = asyncio.ensure_future(self._respond())

    async def http_disconnect(self, message: dict[str, Any]) -> None:
        """The client has left, or the answer is complete."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        raise StopConsumer()

    async def _respond(self) -> None:
        try:
            if not acceptable(headers_of(self.scope)):
                raise errors.NotAcceptable()
            await self.respond()
        except Exception as exc:
            error = as_api_error(exc)
            if error is None:
                log.exception("stream_failed")
                error = errors.InternalError()
            await self.fail(error)

    async def json(self, fields: type[StrictSerializer]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The body, as soon as it is whole: as it was sent, and its validated values.

        Raises:
            UnsupportedMediaType, InvalidJson, InvalidRequest, ValidationError.
        """
        await self._whole.wait()
        body = b"".join(self._body)
        self._body.clear()
        headers = headers_of(self.scope)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and (kind != "application/json" or is_encoded(headers)):
            raise errors.UnsupportedMediaType()
        self.size = len(body)
        return await aside(self.size, _read, body, fields)

    def query(self) -> dict[str, str]:
        """The query's parameters.

        Raises:
            InvalidRequest.
        """
        return parse_query(self.scope["query_string"])

    async def start(self, status: int, headers: dict[str, str]) -> None:
        """Send the head, with the rate limit's headers."""
        self._started = True
        if self.rate is not None:
            headers = {**headers, **self.rate.headers()}
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()],
            }
        )

    async def write(self, body: bytes, *, more: bool = True) -> None:
        """Send a piece of the body."""
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(
        self, status: int, body: dict[str, Any] | None, headers: dict[str, str] | None = None
    ) -> None:
        """Send a whole JSON answer."""
        content = b"" if body is None else orjson.dumps(body)
        kind = {"Content-Type": "application/json"} if body is not None else {}
        length = {} if status == 204 else {"Content-Length": str(len(content))}
        await self.start(status, {**kind, **length, **(headers or {})})
        await self.write(content, more=False)

    async def fail(self, error: errors.ApiError) -> None:
        """Answer with the envelope; a stream that has begun ends instead."""
        if self._started:
            await self.write(b"", more=False)
            return
        body = errors.envelope(error, request_id_var.get())
        status = error.status or errors.OUTCOME_STATUS[error.code]
        await self.answer(status, body, error.response_headers())


def _read(body: bytes, fields: type[StrictSerializer]) -> tuple[dict[str, Any], dict[str, Any]]:
    raw = parse_json(body)
    return raw, wire.checked(fields, raw)
