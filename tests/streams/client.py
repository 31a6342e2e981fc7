"""A client of the API over real sockets, and a reader of server-sent events that keeps all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from tests.server_process import ALICE

PATIENCE = 60.0
"""Seconds that a wait may take before the test has failed."""

LAST = ("complete", "error")


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as it came over the wire."""

    id: int | None
    name: str
    raw: bytes

    @property
    def data(self) -> Any:
        return orjson.loads(self.raw)

    @property
    def text(self) -> str:
        """The text of a text delta; empty for anything else."""
        if self.name != "message":
            return ""
        event = self.data["message"].get("event", {})
        return str(event.get("delta", {}).get("text", ""))


@dataclass
class Stream:
    """An open stream: what has come so far, and the way to read on."""

    response: aiohttp.ClientResponse
    raw: bytearray = field(default_factory=bytearray)
    comments: list[bytes] = field(default_factory=list)
    retries: list[int] = field(default_factory=list)
    seen: list[Sent] = field(default_factory=list)
    _ready: deque[Sent] = field(default_factory=deque)
    _rest: bytes = b""

    @property
    def status(self) -> int:
        return self.response.status

    async def events(self) -> AsyncIterator[Sent]:
        """Every further event until the stream ends."""
        while self._ready or await self._fill():
            while self._ready:
                event = self._ready.popleft()
                self.seen.append(event)
                yield event

    async def _fill(self) -> bool:
        """Read on; False at the end."""
        chunk = await self.response.content.readany()
        self.raw += chunk
        *blocks, self._rest = (self._rest + chunk).split(b"\n\n")
        self._ready.extend(e for e in map(self._parse, blocks) if e is not None)
        return bool(chunk)

    def _parse(self, block: bytes) -> Sent | None:
        number, name, data = None, "message", None
        for line in block.split(b"\n"):
            key, _, value = line.partition(b": ")
            if line.startswith(b":"):
                self.comments.append(line)
            elif key == b"id":
                number = int(value)
            elif key == b"event":
                name = value.decode()
            elif key == b"data":
                data = value
            elif key == b"retry":
                self.retries.append(int(value))
        return None if data is None else Sent(number, name, data)

    async def all(self) -> list[Sent]:
        """Read to the end; everything that has come."""
        async with asyncio.timeout(PATIENCE):
            async for _ in self.events():
                pass
        return self.seen

    async def until(self, enough: Callable[[Sent], bool]) -> Sent:
        """Read up to the first event that is enough."""
        async with asyncio.timeout(PATIENCE):
            async for event in self.events():
                if enough(event):
                    return event
        raise AssertionError(f"the stream ended after {self.seen[-1:]}")

    async def take(self, count: int) -> list[Sent]:
        """Read until `count` numbered events have come in all."""
        if len(numbered(self.seen)) < count:
            await self.until(lambda _: len(numbered(self.seen)) >= count)
        return numbered(self.seen)

    def leave(self) -> None:
        """Close the connection, as a client does that is gone."""
        self.response.close()


class Api:
    """One client of one server; the cast is told by the key."""

    def __init__(self, url: str, key: str = ALICE) -> None:
        self.url = url
        self.headers = {"x-api-key": key}

    async def __aenter__(self) -> Self:
        self.http = aiohttp.ClientSession(
            f"{self.url}/api/v1/",
            headers=self.headers,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(PATIENCE * 2),
            read_bufsize=2**16,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.http.close()

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """A request with a JSON answer: its status and body."""
        async with self.http.request(method, path, **options) as response:
            body = await response.read()
            return response.status, orjson.loads(body) if body else None

    async def get(self, path: str) -> Any:
        """A GET that must succeed."""
        status, body = await self.call("GET", path)
        assert status == 200, body
        return body

    async def session(self, **fields: Any) -> str:
        """A new session's id."""
        status, body = await self.call("POST", "sessions", json=fields)
        assert status == 201, body
        return str(body["sessionId"])

    async def send(self, session: str, prompt: str, **fields: Any) -> tuple[int, Any]:
        """POST a message; the status and body of the answer."""
        return await self.call(
            "POST", f"sessions/{session}/messages", json={"prompt": prompt, **fields}
        )

    async def start(self, session: str, prompt: str, **fields: Any) -> str:
        """POST a message that runs in the background; the run's id."""
        status, body = await self.send(session, prompt, background=True, **fields)
        assert status == 202, body
        return str(body["runId"])

    async def run(self, session: str, run: str) -> Any:
        """A run as the API shows it."""
        return await self.get(f"sessions/{session}/runs/{run}")

    async def ended(self, session: str, run: str) -> Any:
        """The run, once it has ended."""
        return await self.eventually(
            lambda: self.run(session, run), lambda row: row["finishedAt"] is not None
        )

    async def log(self, session: str, after: int = 0) -> list[Any]:
        """The whole log as JSON."""
        events: list[Any] = []
        while True:
            page = await self.get(f"sessions/{session}/events?after={after}&limit=500")
            events += page["events"]
            if not page["hasMore"]:
                return events
            after = events[-1]["id"]

    @asynccontextmanager
    async def stream(self, session: str, **query: Any) -> AsyncIterator[Stream]:
        """GET the stream; `last` is the Last-Event-ID."""
        last = query.pop("last", None)
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        async with self.http.get(
            f"sessions/{session}/stream", params=query, headers=headers
        ) as response:
            yield Stream(response)

    @asynccontextmanager
    async def post_stream(
        self, session: str, prompt: str, path: str = "messages", **fields: Any
    ) -> AsyncIterator[Stream]:
        """POST a message whose answer is a stream."""
        body: dict[str, Any] = {"prompt": prompt, **fields}
        if path == "messages":
            body["stream"] = True
        async with self.http.post(f"sessions/{session}/{path}", json=body) as response:
            yield Stream(response)

    async def eventually(
        self,
        ask: Callable[[], Awaitable[Any]],
        enough: Callable[[Any], bool],
        seconds: float = PATIENCE,
    ) -> Any:
        """Ask again and again until the answer is enough."""
        last: Any = None
        try:
            async with asyncio.timeout(seconds):
                while not enough(last := await ask()):
                    pass
        except TimeoutError:
            raise AssertionError(f"waited {seconds} s; last: {last}") from None
        return last


def numbered(events: list[Sent]) -> list[Sent]:
    """The events of the log: all but `connected`."""
    return [event for event in events if event.id is not None]


def ids(events: list[Sent]) -> list[int]:
    """Their numbers, in the order they came."""
    return [event.id for event in events if event.id is not None]


def assert_contiguous(events: list[Sent], first: int) -> None:
    """Every number from `first`, once and in order."""
    assert ids(events) == list(range(first, first + len(ids(events))))


def texts(events: list[Sent]) -> str:
    """The text of all deltas."""
    return "".join(event.text for event in events)
