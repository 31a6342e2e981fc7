"""A server that says exactly the bytes a test gives it: for what no decent server would send."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import orjson

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def frames(*texts: str, until: int | None = None, newline: bytes = b"\n") -> bytes:
    """The frames of a whole reply of these deltas, or its first `until` frames."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5"}
    usage = {"input_tokens": 12, "output_tokens": 1}
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": message | {"content": [], "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": text},
            }
            for text in texts
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    return b"".join(frame(event, newline) for event in events[:until])


def frame(event: dict[str, object], newline: bytes = b"\n") -> bytes:
    """One event as a server sends it."""
    name = str(event["type"]).encode()
    return b"event: " + name + newline + b"data: " + orjson.dumps(event) + newline * 2


def says(*pieces: bytes) -> Script:
    """Say these pieces, one write each, and close."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return script


class RawUpstream:
    """Runs `script` for each request, after its head; `async with` gives it with its `url`."""

    def __init__(self, script: Script) -> None:
        self.requests = 0
        self.connections = 0
        self.last_head = b""
        self._script = script

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self.last_head = await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            await self._script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left, which is what some tests are about
        finally:
            writer.close()
