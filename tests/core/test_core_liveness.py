"""A slow upstream must not look like a dead server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.conftest import StartServer
from tests.server_process import ALICE


class SilentUpstream:
    """Takes connections, and never says a word."""

    def __init__(self) -> None:
        self.asked = 0
        self.url = ""

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        await reader.read()
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[SilentUpstream]:
        server = await asyncio.start_server(self._hear, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield self
        server.close()


async def test_many_who_wait_for_the_models_hold_up_nobody(start_server: StartServer) -> None:
    async with SilentUpstream().listening() as upstream:
        server = await asyncio.to_thread(start_server, ANTHROPIC_BASE_URL=upstream.url)
        headers = {"x-api-key": ALICE}
        patience = aiohttp.ClientTimeout(10)
        async with aiohttp.ClientSession(headers=headers, timeout=patience) as http:

            async def status(path: str) -> int:
                async with http.get(server.url + path) as answer:
                    return answer.status

            waiting = [asyncio.create_task(status("/api/v1/models")) for _ in range(20)]
            await asyncio.wait(waiting, timeout=1)
            assert not any(task.done() for task in waiting)
            for path in ("/livez", "/readyz/", "/api/v1/health", "/api/v1/me"):
                assert await status(path) == 200, path
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
        assert upstream.asked == 1
