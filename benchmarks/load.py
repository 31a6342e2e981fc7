"""The load generator: a process of its own, told what to do in one line of JSON.

It prepares (sessions, connections), says `ready`, waits for a line, does its work, and prints
what came of it as JSON. Whoever started it can so measure the servers for just that time.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from time import monotonic
from typing import Any

import orjson
import uvloop

from benchmarks.wire import Connection, Failed, Reading, Target, ask, connect, stream

CONNECTING_AT_ONCE = 50
FOLLOWERS_A_SESSION = 10
MODEL = "claude-sonnet-5-5"


def upstream_request(target: Target, prompt: str, *, streamed: bool) -> bytes:
    """The prompt, sent to a Messages API."""
    body = {
        "model": MODEL,
        "max_tokens": 64_000,
        "stream": streamed,
        "messages": [{"role": "user", "content": prompt}],
    }
    return target.request("POST", "/v1/messages", body)


def our_request(target: Target, session: str, prompt: str, *, streamed: bool) -> bytes:
    """The prompt, sent to a session of ours."""
    body = {"prompt": prompt, "stream": streamed}
    return target.request("POST", f"/api/v1/sessions/{session}/messages", body)


async def create(connection: Connection, target: Target, engine: str = "messages") -> str:
    """A new session's id."""
    status, body = await ask(
        connection, target.request("POST", "/api/v1/sessions", {"engine": engine})
    )
    if status != 201:
        raise Failed(f"{status} for a new session: {body.decode()[:200]}")
    return str(orjson.loads(body)["sessionId"])


async def connections(target: Target, count: int) -> list[Connection]:
    """So many open connections."""
    opened: list[Connection] = []
    while len(opened) < count:
        some = min(CONNECTING_AT_ONCE, count - len(opened))
        opened += await asyncio.gather(*(connect(target) for _ in range(some)))
    return opened


async def sessions(target: Target, count: int, engine: str = "messages") -> list[str]:
    """So many new sessions."""
    connection = await connect(target)
    made = [await create(connection, target, engine) for _ in range(count)]
    connection.close()
    return made


class Work:
    """One kind of load. `prepare` is not measured, `run` is.

    Args:
        direct: the target is a Messages API, not one of our servers.
    """

    def __init__(self, target: Target, *, direct: bool, **arguments: Any) -> None:
        self.target = target
        self.direct = direct
        self.arguments = arguments

    async def prepare(self) -> None:
        """Open connections, make sessions."""

    async def run(self) -> dict[str, Any]:
        """What is measured."""
        raise NotImplementedError


class Streams(Work):
    """`count` streams of one `prompt`, at once; `delay` seconds between their deltas, or 0."""

    async def prepare(self) -> None:
        """A connection and a session for each."""
        count, prompt = self.arguments["count"], self.arguments["prompt"]
        self._connections = await connections(self.target, count)
        if self.direct:
            self._requests = [upstream_request(self.target, prompt, streamed=True)] * count
            return
        self._requests = [
            our_request(self.target, session, prompt, streamed=True)
            for session in await sessions(self.target, count)
        ]

    async def run(self) -> dict[str, Any]:
        """All of them, to their ends."""
        began = monotonic()
        readings = await asyncio.gather(
            *(stream(c, r) for c, r in zip(self._connections, self._requests, strict=True))
        )
        delay = self.arguments.get("delay", 0.0)
        return {
            "seconds": monotonic() - began,
            "events": sum(r.events for r in readings),
            "deltas": sum(len(r.deltas) for r in readings),
            "first_event": [r.first_event for r in readings],
            "first_delta": [r.deltas[0] for r in readings if r.deltas],
            "late": [one for r in readings for one in _lateness(r, delay)] if delay else [],
            "broken": sum(not _is_whole(r, self.direct) for r in readings),
        }


def _lateness(reading: Reading, delay: float) -> list[float]:
    """How much later than its schedule each delta came; the request's sending is its start."""
    return [at - number * delay for number, at in enumerate(reading.deltas)]


def _is_whole(reading: Reading, direct: bool) -> bool:
    numbered = direct or reading.ids == reading.last_id - reading.first_id + 1
    return reading.status == 200 and reading.complete and numbered


class Requests(Work):
    """`count` requests of one `kind`, `parallel` at a time on connections kept open."""

    async def prepare(self) -> None:
        """A connection and, where the kind needs one, a session for each that asks."""
        self._connections = await connections(self.target, self.arguments["parallel"])
        kind = self.arguments["kind"]
        if self.direct:
            named = {
                "message": upstream_request(self.target, "hello", streamed=False),
                "list": self.target.request("GET", "/v1/models"),
            }
            self._requests = [named[kind]] * len(self._connections)
            return
        made = await sessions(self.target, len(self._connections)) if kind != "create" else []
        if kind == "create":
            new = self.target.request("POST", "/api/v1/sessions", {"engine": "messages"})
            self._requests = [new] * len(self._connections)
        elif kind == "message":
            self._requests = [
                our_request(self.target, session, "hello", streamed=False) for session in made
            ]
        else:
            self._requests = [self.target.request("GET", f"/api/v1/sessions/{s}") for s in made]

    async def run(self) -> dict[str, Any]:
        """All of them."""
        began = monotonic()
        share = self.arguments["count"] // len(self._connections)
        times = await asyncio.gather(
            *(
                self._ask(c, r, share)
                for c, r in zip(self._connections, self._requests, strict=True)
            )
        )
        each = [one for some in times for one in some]
        return {"seconds": monotonic() - began, "requests": len(each), "times": each}

    async def _ask(self, connection: Connection, request: bytes, count: int) -> list[float]:
        times = []
        for _ in range(count):
            sent = monotonic()
            status, body = await ask(connection, request)
            if status not in (200, 201):
                raise Failed(f"{status}: {body.decode()[:200]}")
            times.append(monotonic() - sent)
        return times


class Followers(Work):
    """`count` followers that hear nothing, by `how`: `sse` or `websocket`, ten a session.

    Directly: streams that stall after their first delta.
    """

    async def prepare(self) -> None:
        """The sessions; the connections are what is measured."""
        count = self.arguments["count"]
        if self.direct:
            prompt = "[[sim stall after=1 for=600s]]"
            self._requests = [upstream_request(self.target, prompt, streamed=True)] * count
            return
        made = await sessions(self.target, -(-count // FOLLOWERS_A_SESSION)) * FOLLOWERS_A_SESSION
        upgrade = (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        )
        self._requests = [
            self.target.request("GET", f"/ws/v1/sessions/{session}", extra=upgrade)
            if self.arguments["how"] == "websocket"
            else self.target.request("GET", f"/api/v1/sessions/{session}/stream")
            for session in made[:count]
        ]

    async def run(self) -> dict[str, Any]:
        """Open all of them, and stay until told to leave."""
        self._connections = await connections(self.target, len(self._requests))
        await asyncio.gather(
            *(c.run(r, _has_begun) for c, r in zip(self._connections, self._requests, strict=True))
        )
        return {"open": sum(not c.lost for c in self._connections)}


def _has_begun(data: bytes) -> bool:
    return data.find(b"connected") >= 0 or data.find(b"message_start") >= 0


class FanOut(Work):
    """One session with `count` followers, and one run with `prompt`."""

    async def prepare(self) -> None:
        """The session, and all followers on it."""
        count = self.arguments["count"]
        (self._session,) = await sessions(self.target, 1)
        path = f"/api/v1/sessions/{self._session}/stream"
        self._connections = await connections(self.target, count + 1)
        begun: asyncio.Queue[None] = asyncio.Queue()
        deltas: int = self.arguments["deltas"]

        def stop(reading: Reading) -> bool:
            if reading.events == 1:
                begun.put_nowait(None)
            return len(reading.deltas) >= deltas

        self._followers = [
            asyncio.ensure_future(stream(c, self.target.request("GET", path), stop))
            for c in self._connections[1:]
        ]
        for _ in range(count):
            await begun.get()

    async def run(self) -> dict[str, Any]:
        """The run, until everybody has seen all its deltas."""
        began = monotonic()
        request = our_request(self.target, self._session, self.arguments["prompt"], streamed=True)
        await stream(self._connections[0], request)
        readings = await asyncio.gather(*self._followers)
        return {
            "seconds": monotonic() - began,
            "events": sum(r.events for r in readings),
            "broken": sum(r.ids != r.last_id - r.first_id + 1 for r in readings),
        }


WORK: dict[str, type[Work]] = {
    "streams": Streams,
    "requests": Requests,
    "followers": Followers,
    "fan_out": FanOut,
}


async def _main(task: dict[str, Any]) -> None:
    target = Target(task.pop("url"), task.pop("key"))
    work = WORK[task.pop("work")](target, direct=task.pop("direct"), **task)
    await work.prepare()
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    result = await work.run()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result["client_cpu"] = usage.ru_utime + usage.ru_stime
    print(orjson.dumps(result).decode(), flush=True)
    # What was opened stays open until whoever measures has looked.
    await loop.run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    uvloop.run(_main(orjson.loads(sys.argv[1])))
