"""One request to the upstream and its streamed reply, read without an object per event."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import orjson

from claudeapi.core.errors import ApiError
from sessions_app.engines.base import Upstream
from sessions_app.engines.fold import Fold, MalformedStream
from sessions_app.engines.frames import FrameSplitter
from sessions_app.engines.messages.client import UpstreamClient
from sessions_app.engines.messages.failures import (
    VENDOR_ERRORS,
    broken_off,
    from_error_event,
    from_exception,
    not_a_stream,
)
from sessions_app.engines.messages.guard import Cancelled, Guard

# Identity: a compressing proxy would hold back small events until it has a block of them.
_HEADERS = {"accept-encoding": "identity"}

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

_END_OF_BODY_SECONDS = 0.05
"""How long a finished reply waits for the end of its body, which lets the connection be reused."""


class Exchange:
    """One reply while it arrives.

    Attributes:
        fold: the message so far.
    """

    def __init__(self, client: UpstreamClient, upstream: Upstream, request: dict[str, Any]) -> None:
        self.fold = Fold()
        self._client = client
        self._upstream = upstream
        self._request = request
        self._frames = FrameSplitter()
        self._failure: ApiError | None = None
        self._manager: Any = None
        self._request_id: str | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def open(self, guard: Guard) -> None:
        """Send the request and wait for the head of the answer.

        Raises:
            ApiError, Cancelled: how it ended instead.
        """
        try:
            await guard.wait(self._open)
        except VENDOR_ERRORS as error:
            raise from_exception(error, self._upstream) from error

    async def batch(self, guard: Guard) -> list[bytes]:
        """The next events, each one line of JSON; as many as have come; none at the end.

        Raises:
            ApiError, Cancelled: how it ended instead; after everything that came before.
        """
        while self._failure is None:
            try:
                chunk = await guard.wait(self._read)
                events = self._take(chunk)
            except VENDOR_ERRORS as error:
                self._failure = from_exception(error, self._upstream)
                break
            if self.fold.complete or events:
                return events
            if not chunk:
                self._failure = broken_off()
        raise self._failure

    async def drain(self, guard: Guard) -> None:
        """Read to the end of the body of a whole reply, so that the connection can be kept."""
        guard.restart(_END_OF_BODY_SECONDS)
        try:
            while await guard.wait(self._read):
                pass
        except (*VENDOR_ERRORS, ApiError, Cancelled):
            # The reply is whole; only its connection is lost.
            return

    async def aclose(self) -> None:
        """End the request, whatever state it is in."""
        manager, self._manager = self._manager, None
        if manager is not None:
            await manager.__aexit__(None, None, None)

    async def _open(self) -> None:
        self._manager = self._client.messages.with_streaming_response.create(
            **self._request, extra_headers=_HEADERS
        )
        reply = await self._manager.__aenter__()
        self._request_id = reply.headers.get("request-id")
        if not reply.headers.get("content-type", "").startswith("text/event-stream"):
            raise not_a_stream(reply.http_response)
        self._chunks = reply.iter_bytes()

    async def _read(self) -> bytes:
        return await anext(self._chunks, b"") if self._chunks is not None else b""

    def _take(self, chunk: bytes) -> list[bytes]:
        """Fold what has come, up to the first event that ends the reply one way or the other."""
        events: list[bytes] = []
        for data in self._frames.feed(chunk):
            if not data:
                continue
            try:
                raw, event = _decoded(data)
                kind = event.get("type")
                if kind == "error":
                    self._failure = from_error_event(event, self._request_id, self._upstream)
                    break
                self.fold.apply(event)
            except MalformedStream as error:
                self._failure = from_exception(error, self._upstream)
                break
            if kind != "ping":
                events.append(raw)
            if self.fold.complete:
                break
        return events


def _decoded(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """One event as a line of JSON that any parser takes, and as an object."""
    raw = data
    try:
        event = orjson.loads(data)
        if b"\n" in data:
            raw = orjson.dumps(event)
    except orjson.JSONDecodeError:
        # Half a surrogate pair is legal JSON, but no text: it becomes U+FFFD.
        try:
            lenient = json.loads(data.decode("utf-8", "replace"))
            text = json.dumps(lenient, ensure_ascii=False, allow_nan=False)
            raw = _LONE_SURROGATE.sub("\ufffd", text).encode()
            event = orjson.loads(raw)
        except (ValueError, RecursionError) as error:
            raise MalformedStream("an event that is not JSON") from error
    if not isinstance(event, dict):
        raise MalformedStream("an event that is not an object")
    return raw, event
