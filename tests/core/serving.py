"""A uvicorn as ours, in the test's own event loop, around an application of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from claudeapi.core.asgi_types import App
from claudeapi.core.cors import Cors
from claudeapi.core.edge import Edge
from claudeapi.core.http_protocol import BoundedHttpProtocol
from claudeapi.core.websocket_protocol import EnvelopeWebSocketProtocol
from claudeapi.server import listen

MAX_BODY = 1000
NO_CORS = Cors(())


@asynccontextmanager
async def serving(app: App, cors: Cors = NO_CORS) -> AsyncIterator[int]:
    """Serve the application behind the edge; gives the port."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        Edge(app, MAX_BODY, cors),
        http=BoundedHttpProtocol,
        ws=EnvelopeWebSocketProtocol,
        lifespan="off",
        log_config=None,
        server_header=False,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 10)


async def exchange(port: int, *chunks: bytes, end: bool = False) -> bytes:
    """Send bytes as they are; everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for chunk in chunks:
        writer.write(chunk)
        await writer.drain()
    if end:
        writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer
