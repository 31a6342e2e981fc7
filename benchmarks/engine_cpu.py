"""CPU of the `messages` engine for each event, beside plain clients of the same stream.

    python -m benchmarks.engine_cpu [--events 2000] [--runs 5]

A server in a process of its own sends a Messages API stream over loopback, paced (an event a
millisecond: each costs a wake-up) or as fast as it can. What is measured is the CPU time of this
process alone, the median of the runs, on uvloop as in production. `set-up` is a reply of one
event. Compare figures only within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

import aiohttp
import anthropic
import httpx2
import orjson
import uvloop

from sessions_app.engines.base import Decision, Question, Turn, Upstream
from sessions_app.engines.events import Delta
from sessions_app.engines.messages import MessagesEngine

Client = Callable[[str], Awaitable[int]]

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_BODY: dict[str, Any] = {
    "model": "claude-sonnet-5-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
    "stream": True,
}
_IDENTITY = {"accept-encoding": "identity"}


def _chunk(*events: dict[str, Any]) -> bytes:
    body = b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event))
        for event in events
    )
    return b"%x\r\n%s\r\n" % (len(body), body)


_MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 1},
}
_START = _chunk(
    {"type": "message_start", "message": _MESSAGE},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
)
_DELTA = _chunk(
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "some words "},
    }
)
_END = (
    _chunk(
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 99},
        },
        {"type": "message_stop"},
    )
    + b"0\r\n\r\n"
)


async def _serve() -> None:
    """Answer `/N/GAP/v1/messages` with N deltas, GAP seconds apart."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _request(reader):
            count, gap = head.split(b"/")[1:3]
            writer.write(_HEAD + _START)
            await _deltas(writer, int(count), float(gap))
            writer.write(_END)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _request(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    lines = head.lower().split(b"\r\n")
    length = next((line[15:] for line in lines if line.startswith(b"content-length:")), b"0")
    await reader.readexactly(int(length))
    return head


async def _deltas(writer: asyncio.StreamWriter, count: int, gap: float) -> None:
    clock = asyncio.get_running_loop().time
    due = clock()
    for number in range(count):
        writer.write(_DELTA)
        if gap:
            due += gap
            await asyncio.sleep(max(due - clock(), 0))
        elif number % 64 == 0:
            await writer.drain()


class _Clients:
    """Each reads one reply and returns its number of events."""

    def __init__(self) -> None:
        self.aiohttp = aiohttp.ClientSession()
        self.httpx = httpx2.AsyncClient(timeout=None)
        self.engine = MessagesEngine()
        self._sdks: dict[str, anthropic.AsyncAnthropic] = {}

    async def aiohttp_bytes(self, url: str) -> int:
        async with self.aiohttp.post(
            f"{url}/v1/messages", json=_BODY, headers=_IDENTITY
        ) as response:
            return sum([chunk.count(b"data: ") async for chunk in response.content.iter_any()])

    async def httpx2_bytes(self, url: str) -> int:
        async with self.httpx.stream(
            "POST", f"{url}/v1/messages", json=_BODY, headers=_IDENTITY
        ) as response:
            return sum([chunk.count(b"data: ") async for chunk in response.aiter_bytes()])

    async def sdk_create(self, url: str) -> int:
        if url not in self._sdks:
            self._sdks[url] = anthropic.AsyncAnthropic(api_key="key", base_url=url)
        events = await self._sdks[url].messages.create(**_BODY)
        return len([event async for event in events])

    async def our_engine(self, url: str) -> int:
        turn = Turn(
            run_id="r",
            session_id="s",
            key_id="k",
            prompt=[{"type": "text", "text": "hello"}],
            model="sonnet",
            upstream=Upstream(url, "key"),
        )
        return len([1 async for event in self.engine.run(turn, _Host()) if type(event) is Delta])

    async def aclose(self) -> None:
        await self.aiohttp.close()
        await self.httpx.aclose()
        await self.engine.aclose()
        for sdk in self._sdks.values():
            await sdk.close()


class _Host:
    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    async def decide(self, question: Question) -> Decision:
        return Decision(allow=False)


async def _measure(client: Client, url: str, runs: int) -> float:
    """Microseconds of CPU an event, the median; the first reply warms up and does not count."""
    await client(url)
    figures = []
    for _ in range(runs):
        before = time.process_time()
        events = await client(url)
        figures.append((time.process_time() - before) / events * 1e6)
    return statistics.median(figures)


async def _report(origin: str, events: int, runs: int) -> None:
    clients = _Clients()
    named: dict[str, Client] = {
        "aiohttp, bytes": clients.aiohttp_bytes,
        "httpx2, bytes": clients.httpx2_bytes,
        "SDK create(stream=True)": clients.sdk_create,
        "our engine": clients.our_engine,
    }
    print(f"{'':26}{'paced, µs/event':>18}{'burst, µs/event':>18}{'set-up, µs':>14}")
    for name, client in named.items():
        paced = await _measure(client, f"{origin}/{events}/0.001", runs)
        burst = await _measure(client, f"{origin}/{events}/0", runs)
        setup = await _measure(client, f"{origin}/1/0", 20 * runs) * 6
        print(f"{name:26}{paced:18.1f}{burst:18.1f}{setup:14.0f}")
    await clients.aclose()


def main() -> None:
    """Start the server, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(_serve())
        return
    packages = ("anthropic", "httpx2", "aiohttp", "uvloop")
    print(f"Python {platform.python_version()}, {platform.machine()}:", end=" ")
    print(", ".join(f"{name} {version(name)}" for name in packages))
    command = [sys.executable, "-m", "benchmarks.engine_cpu", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        origin = f"http://127.0.0.1:{int(server.stdout.readline())}"
        try:
            uvloop.run(_report(origin, options.events, options.runs))
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
