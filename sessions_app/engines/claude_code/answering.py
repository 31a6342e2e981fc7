"""How the upstream's answer reaches the agent, and what is noted as it passes."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from sessions_app.engines.base import Upstream
from sessions_app.engines.claude_code.failures import Failure, in_midstream, refused
from sessions_app.engines.claude_code.lease import Lease
from sessions_app.engines.claude_code.sniffer import StreamSniffer, count_whole
from sessions_app.engines.redaction import bytes_without_key, without_key

MAX_WAIT_FOR_RETRY = 10
"""Seconds: an upstream that asks for a longer wait is not retried; the caller is told."""

MAX_WHOLE_BODY = 4 << 20
"""Bytes of an answer that is not streamed: it is held until it is counted."""

_MAX_ERROR = 64 << 10
_BEGUN = web.RequestKey("begun", web.StreamResponse)
_PASSING = frozenset({408, 409, 429})
_NOT_RETURNED = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "server",
        "set-cookie",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Idle:
    """The clock of one answer, put forward by content."""

    def __init__(self, timeout: asyncio.Timeout, upstream: Upstream) -> None:
        self._timeout = timeout
        self._seconds = upstream.idle_timeout
        self._loop = asyncio.get_running_loop()

    def content(self) -> None:
        """Note that some has come."""
        self._timeout.reschedule(self._loop.time() + self._seconds)


async def passed(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, lease: Lease, idle: Idle
) -> web.StreamResponse:
    """The upstream's answer: a stream byte by byte as it comes, any other once it is counted."""
    if answer.content_type != "text/event-stream":
        return await _whole(answer, lease, idle)
    response = web.StreamResponse(status=answer.status, headers=_returned(answer))
    request[_BEGUN] = response
    await response.prepare(request)
    await _stream(answer, response, lease, idle)
    await response.write_eof()
    return response


async def _stream(
    answer: aiohttp.ClientResponse, response: web.StreamResponse, lease: Lease, idle: Idle
) -> None:
    sniffer, key = StreamSniffer(lease.tally), lease.api_key
    async for chunk in answer.content.iter_any():
        if sniffer.feed(chunk):
            idle.content()
        await response.write(chunk if sniffer.error is None else bytes_without_key(chunk, key))
    if sniffer.error is not None:
        lease.failure = in_midstream(sniffer.error, key)
    else:
        lease.failure = None if sniffer.ended else Failure("cut")


async def _whole(answer: aiohttp.ClientResponse, lease: Lease, idle: Idle) -> web.Response:
    body = await _beginning(answer, MAX_WHOLE_BODY + 1, idle)
    if len(body) > MAX_WHOLE_BODY:
        said = "The upstream's answer is too large for one that is not streamed."
        return _unusable(answer, lease, "too_large", said)
    lease.failure = None
    count_whole(body, lease.tally)
    return web.Response(status=answer.status, body=body, headers=_returned(answer))


async def _beginning(answer: aiohttp.ClientResponse, size: int, idle: Idle) -> bytes:
    """So many bytes of an answer, or all that it has."""
    body = bytearray()
    async for chunk in answer.content.iter_any():
        idle.content()
        body += chunk
        if len(body) >= size:
            break
    return bytes(body[:size])


async def passed_error(answer: aiohttp.ClientResponse, lease: Lease, idle: Idle) -> web.Response:
    """The upstream's refusal, without the key that it may quote."""
    key = lease.api_key
    body = bytes_without_key(await _beginning(answer, _MAX_ERROR, idle), key)
    lease.failure = failure = refused(answer.status, body, answer.headers.get("retry-after", ""))
    headers = CIMultiDict(
        (name, without_key(value, key)) for name, value in _returned(answer).items()
    )
    hopeless = 400 <= answer.status < 500 and answer.status not in _PASSING
    if hopeless or (failure.retry_after or 0) > MAX_WAIT_FOR_RETRY:
        headers["x-should-retry"] = "false"
        headers.popall("retry-after", None)
    return web.Response(status=answer.status, body=body, headers=headers)


def redirected(answer: aiohttp.ClientResponse, lease: Lease) -> web.Response:
    """Where to is not the agent's affair: it could not go there, and would call that no answer."""
    said = "The upstream redirects. Its address is not the one of a Messages API."
    return _unusable(answer, lease, "redirect", said)


def _unusable(answer: aiohttp.ClientResponse, lease: Lease, kind: str, said: str) -> web.Response:
    lease.failure = Failure("status", answer.status, kind, said)
    return refusal(502, "api_error", said, again=False)


def _returned(answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in answer.headers.items() if name.lower() not in _NOT_RETURNED
    )


def broken(request: web.BaseRequest, status: int, message: str) -> web.StreamResponse:
    """An error answer; where an answer has begun already, its connection is broken off."""
    begun: web.StreamResponse | None = request.get(_BEGUN)
    if begun is None:
        return refusal(status, "api_error", message)
    if request.transport is not None:
        request.transport.abort()
    return begun


def refusal(status: int, kind: str, message: str, *, again: bool = True) -> web.Response:
    """An error in the upstream's shape; most need not be tried again."""
    hopeless = not again or status in (401, 403, 404, 504)
    headers = {"x-should-retry": "false"} if hopeless else {}
    return web.json_response(
        {"type": "error", "error": {"type": kind, "message": message}},
        status=status,
        headers=headers,
    )
