"""The agent's only network: a small HTTP proxy on a unix socket.

An agent knows a token that is good for its session alone, and only while a run is in
progress. The operator's credentials are added here and never reach the agent. Bytes pass
through unbuffered, in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from weakref import WeakValueDictionary

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from sessions_app.engines.base import Upstream
from sessions_app.engines.claude_code import asking, socket_folders
from sessions_app.engines.claude_code.failures import Failure, in_midstream, refused
from sessions_app.engines.claude_code.lease import Lease, Purse
from sessions_app.engines.claude_code.sniffer import StreamSniffer, count_whole
from sessions_app.engines.redaction import bytes_without_key, without_key

CONNECT_TIMEOUT = 10.0
MAX_IN_FLIGHT = 8
"""Requests of one agent at once: a budget is looked at as each begins."""
MAX_WAIT_FOR_RETRY = 10
"""Seconds: an upstream that asks for a longer wait is not retried; the caller is told."""

_MAX_WHOLE_BODY = 4 << 20
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


class Relay:
    """One proxy for all live sessions of this process.

    The socket lies in a folder of its own, 0700, with a short name: the path of a unix
    socket may not be longer than 107 bytes.
    """

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}
        self._purses: WeakValueDictionary[str, Purse] = WeakValueDictionary()
        self._folder: Path | None = None
        self._runner: web.ServerRunner | None = None
        self._clients: dict[bool, aiohttp.ClientSession] = {}
        self._starting = asyncio.Lock()

    async def start(self) -> Path:
        """Listen, if this has not been done; the socket's path."""
        async with self._starting:
            if self._folder is None:
                self._folder = await self._listen()
        return self._folder / socket_folders.SOCKET

    async def _listen(self) -> Path:
        folder = await asyncio.to_thread(socket_folders.make)
        server = web.Server(
            self._answer,
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=75,
            auto_decompress=False,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(folder / socket_folders.SOCKET)).start()
        return folder

    def purse(self, key_id: str, left: Decimal | None) -> Purse:
        """The purse of a key, as full as is known now: US dollars, None for no bound."""
        purse = self._purses.setdefault(key_id, Purse())
        purse.left = left
        return purse

    def grant(self) -> Lease:
        """A lease for one process of one session."""
        lease = Lease()
        self._leases[lease.token] = lease
        return lease

    def revoke(self, lease: Lease) -> None:
        """End a lease and whatever it has in flight."""
        lease.shut()
        self._leases.pop(lease.token, None)

    async def aclose(self) -> None:
        """Stop listening."""
        for lease in tuple(self._leases.values()):
            self.revoke(lease)
        if self._runner is not None:
            await self._runner.cleanup()
        for client in self._clients.values():
            await client.close()
        self._clients.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._runner = self._folder = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        lease = self._lease_of(request.headers)
        if lease is None:
            return _refusal(401, "authentication_error", "This token opens nothing.")
        if (request.method, request.path) not in asking.ROUTES:
            return _refusal(404, "not_found_error", "The relay does not forward this path.")
        if lease.upstream is None:
            return _refusal(403, "permission_error", "No run is in progress.")
        if lease.stalled:
            return _refusal(504, "timeout_error", "The upstream has stalled.")
        if whose := lease.spent_up:
            lease.failure = Failure("budget", type=whose)
            return _refusal(403, "billing_error", "The budget of this run is spent.")
        if lease.in_flight >= MAX_IN_FLIGHT:
            return _refusal(429, "rate_limit_error", "Too many requests of one agent at once.")
        with lease.entered():
            try:
                body = await asking.body_of(request, lease)
                return await self._forward(request, body, lease, lease.upstream)
            except asking.Refused as refused:
                return _refusal(refused.status, refused.kind, refused.message)

    def _lease_of(self, headers: Mapping[str, str]) -> Lease | None:
        token = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        lease = self._leases.get(token)
        # The dictionary decides; the comparison only keeps timing from telling how close one was.
        return lease if lease and secrets.compare_digest(lease.token, token) else None

    async def _forward(
        self, request: web.BaseRequest, body: bytes, lease: Lease, upstream: Upstream
    ) -> web.StreamResponse:
        try:
            async with asyncio.timeout(upstream.idle_timeout) as idle:
                async with self._open(request, body, upstream) as answer:
                    if answer.status >= 400:
                        return await _passed_error(answer, lease)
                    if answer.status >= 300:
                        return _redirected(answer, lease)
                    return await _passed(request, answer, lease, _Idle(idle, upstream))
        except TimeoutError:
            lease.failure = Failure("stalled")
            lease.on_stall()
            return _broken(request, 504, "The upstream sent nothing for too long.")
        except (aiohttp.ClientError, ConnectionResetError) as error:
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError from error  # The agent left, not the upstream.
            cut = isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError)
            lease.failure = Failure("cut" if cut else "unreachable")
            return _broken(request, 502, "The upstream could not be reached, or broke off.")

    def _open(
        self, request: web.BaseRequest, body: bytes, upstream: Upstream
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._client_for(upstream).request(
            request.method,
            asking.url_of(request, upstream),
            headers=asking.headers_of(request, upstream),
            data=body or None,
            allow_redirects=False,
        )

    def _client_for(self, upstream: Upstream) -> aiohttp.ClientSession:
        """The client that uses the environment's proxy, or the one that does not."""
        proxied = upstream.may_be_behind_a_proxy
        if proxied not in self._clients:
            self._clients[proxied] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=20),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
                auto_decompress=False,
                trust_env=proxied,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._clients[proxied]


class _Idle:
    """The clock of one answer, put forward by content."""

    def __init__(self, timeout: asyncio.Timeout, upstream: Upstream) -> None:
        self._timeout = timeout
        self._seconds = upstream.idle_timeout
        self._loop = asyncio.get_running_loop()

    def content(self) -> None:
        self._timeout.reschedule(self._loop.time() + self._seconds)


async def _passed(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, lease: Lease, idle: _Idle
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_returned(answer))
    request[_BEGUN] = response
    await response.prepare(request)
    if answer.content_type == "text/event-stream":
        await _stream(answer, response, lease, idle)
    else:
        await _whole(answer, response, lease, idle)
    await response.write_eof()
    return response


async def _stream(
    answer: aiohttp.ClientResponse, response: web.StreamResponse, lease: Lease, idle: _Idle
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


async def _whole(
    answer: aiohttp.ClientResponse, response: web.StreamResponse, lease: Lease, idle: _Idle
) -> None:
    kept = bytearray()
    async for chunk in answer.content.iter_any():
        idle.content()
        if len(kept) < _MAX_WHOLE_BODY:
            kept += chunk
        await response.write(chunk)
    lease.failure = None
    count_whole(bytes(kept), lease.tally)


async def _passed_error(answer: aiohttp.ClientResponse, lease: Lease) -> web.Response:
    """The upstream's refusal, without the key that it may quote."""
    key = lease.api_key
    body = bytes_without_key(await answer.content.read(64 << 10), key)
    lease.failure = failure = refused(answer.status, body, answer.headers.get("retry-after", ""))
    headers = CIMultiDict(
        (name, without_key(value, key)) for name, value in _returned(answer).items()
    )
    hopeless = 400 <= answer.status < 500 and answer.status not in _PASSING
    if hopeless or (failure.retry_after or 0) > MAX_WAIT_FOR_RETRY:
        headers["x-should-retry"] = "false"
        headers.popall("retry-after", None)
    return web.Response(status=answer.status, body=body, headers=headers)


def _redirected(answer: aiohttp.ClientResponse, lease: Lease) -> web.Response:
    """Where to is not the agent's affair: it could not go there, and would call that no answer."""
    said = "The upstream redirects. Its address is not the one of a Messages API."
    lease.failure = Failure("status", answer.status, "redirect", said)
    return _refusal(502, "api_error", said, again=False)


def _returned(answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in answer.headers.items() if name.lower() not in _NOT_RETURNED
    )


def _broken(request: web.BaseRequest, status: int, message: str) -> web.StreamResponse:
    """An error answer; where an answer has begun already, its connection is broken off."""
    begun: web.StreamResponse | None = request.get(_BEGUN)
    if begun is None:
        return _refusal(status, "api_error", message)
    if request.transport is not None:
        request.transport.abort()
    return begun


def _refusal(status: int, kind: str, message: str, *, again: bool = True) -> web.Response:
    """An error in the upstream's shape; most need not be tried again."""
    hopeless = not again or status in (401, 403, 404, 504)
    headers = {"x-should-retry": "false"} if hopeless else {}
    return web.json_response(
        {"type": "error", "error": {"type": kind, "message": message}},
        status=status,
        headers=headers,
    )
