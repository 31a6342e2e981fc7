"""The Anthropic SDK's client, told everything by us and nothing by its surroundings."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

import httpx2
from anthropic import AsyncAnthropic, DefaultAioHttpClient

from sessions_app.engines.base import Upstream
from sessions_app.engines.messages.failures import retry_after

MAX_RETRIES = 2
LONGEST_RETRY_WAIT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 10.0

# aiohttp underneath: reading a stream costs a third of what it does with the default transport
# (benchmarks/engine_cpu.py). There is no read timeout: `Guard` bounds the wait for content.
_TIMEOUT = httpx2.Timeout(None, connect=CONNECT_TIMEOUT_SECONDS)
_LIMITS = httpx2.Limits(
    max_connections=10_000, max_keepalive_connections=100, keepalive_expiry=30.0
)


class UpstreamClient(AsyncAnthropic):
    """One upstream's client: the SDK's own authentication, retries and error classes.

    Two retries at most, and none that would have to wait long: whoever waits for the reply is
    told to come back later instead. Redirects are not followed, so credentials stay where they
    were sent.
    """

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(
            api_key=upstream.api_key,
            base_url=upstream.base_url,
            max_retries=MAX_RETRIES,
            timeout=_TIMEOUT,
            open_telemetry=False,
            http_client=DefaultAioHttpClient(
                timeout=_TIMEOUT,
                limits=_LIMITS,
                follow_redirects=False,
                trust_env=upstream.may_be_behind_a_proxy,
            ),
        )
        # The SDK adds the headers of ANTHROPIC_CUSTOM_HEADERS, which are not ours.
        self._custom_headers = {}

    def _should_retry(self, response: httpx2.Response) -> bool:
        wait = retry_after(response.headers)
        if wait is not None and wait > LONGEST_RETRY_WAIT_SECONDS:
            return False
        return super()._should_retry(response)


class Clients:
    """One client for each upstream and event loop, kept for its open connections."""

    def __init__(self) -> None:
        self._clients: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[tuple[str, str], UpstreamClient]
        ] = WeakKeyDictionary()

    def of(self, upstream: Upstream) -> UpstreamClient:
        """The client of this upstream in the running loop."""
        clients = self._clients.setdefault(asyncio.get_running_loop(), {})
        key = (upstream.base_url, upstream.api_key)
        if key not in clients:
            clients[key] = UpstreamClient(upstream)
        return clients[key]

    async def aclose(self) -> None:
        """Close those of the running loop; other loops' connections died with them."""
        for client in self._clients.pop(asyncio.get_running_loop(), {}).values():
            await client.close()
