"""The agent's only network: a small HTTP proxy on a unix socket.

An agent knows a token that is good for its session alone, and only while a run is in
progress. The operator's credentials are added here and never reach the agent. Streams pass
through unbuffered.
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

from sessions_app.engines.base import Upstream
from sessions_app.engines.claude_code import answering, asking, socket_folders
from sessions_app.engines.claude_code.failures import Failure
from sessions_app.engines.claude_code.lease import Lease, Purse

CONNECT_TIMEOUT = 10.0
MAX_IN_FLIGHT = 8
"""Requests of one agent at once: a budget is looked at as each begins."""


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
            return answering.refusal(401, "authentication_error", "This token opens nothing.")
        if (request.method, request.path) not in asking.ROUTES:
            return answering.refusal(
                404, "not_found_error", "The relay does not forward this path."
            )
        if lease.upstream is None:
            return answering.refusal(403, "permission_error", "No run is in progress.")
        if lease.stalled:
            return answering.refusal(504, "timeout_error", "The upstream has stalled.")
        if whose := lease.spent_up:
            lease.failure = Failure("budget", type=whose)
            return answering.refusal(403, "billing_error", "The budget of this run is spent.")
        if lease.in_flight >= MAX_IN_FLIGHT:
            return answering.refusal(
                429, "rate_limit_error", "Too many requests of one agent at once."
            )
        with lease.entered():
            try:
                body = await asking.body_of(request, lease)
                return await self._forward(request, body, lease, lease.upstream)
            except asking.Refused as refused:
                lease.failure = refused.failure
                return answering.refusal(refused.status, refused.kind, refused.message)

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
                clock = answering.Idle(idle, upstream)
                async with self._open(request, body, upstream) as answer:
                    if answer.status >= 400:
                        return await answering.passed_error(answer, lease, clock)
                    if answer.status >= 300:
                        return answering.redirected(answer, lease)
                    return await answering.passed(request, answer, lease, clock)
        except TimeoutError:
            lease.failure = Failure("stalled")
            lease.on_stall()
            return answering.broken(request, 504, "The upstream sent nothing for too long.")
        except (aiohttp.ClientError, ConnectionResetError) as error:
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError from error  # The agent left, not the upstream.
            cut = isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError)
            lease.failure = Failure("cut" if cut else "unreachable")
            return answering.broken(
                request, 502, "The upstream could not be reached, or broke off."
            )

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
