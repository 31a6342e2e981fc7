"""The relay: no request of an agent hides another one in it."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from sessions_app.engines.base import Upstream
from sessions_app.engines.claude_code.lease import Lease
from sessions_app.engines.claude_code.relay import Relay

SMUGGLED = "GET /v1/organizations/secrets"


@dataclass
class Hasty:
    """An upstream that answers before it has read the body, and keeps the connection."""

    url: str = ""
    seen: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(f"{scope['method']} {scope['path']}")
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        headers = [(b"content-length", b"2"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})


@pytest.fixture
async def hasty() -> AsyncIterator[Hasty]:
    upstream = Hasty()
    listener = socket.create_server(("127.0.0.1", 0))
    upstream.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(upstream, lifespan="off", log_level="critical"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield upstream
    server.should_exit = True
    await serving


@dataclass
class Agent:
    """Somebody in the sandbox who writes his requests by hand."""

    socket: Path
    lease: Lease

    async def send(self, line: str, body: bytes = b"", headers: str = "") -> int:
        """Send one request; the status of its answer."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        if "transfer-encoding" not in headers:
            headers += f"content-length: {len(body)}\r\n"
        head = f"{line} HTTP/1.1\r\nhost: x\r\nx-api-key: {self.lease.token}\r\n{headers}\r\n"
        writer.write(head.encode() + body)
        async with asyncio.timeout(10):
            status = int((await reader.readline()).split()[1])
        writer.close()
        return status


@pytest.fixture
async def agent(hasty: Hasty) -> AsyncIterator[Agent]:
    relay = Relay()
    agent = Agent(await relay.start(), relay.grant())
    agent.lease.open(Upstream(hasty.url, "sk-operator"))
    yield agent
    await relay.aclose()


MESSAGES = "POST /v1/messages"
COUNT = "POST /v1/messages/count_tokens"


async def test_what_is_short_once_it_is_unpacked_does_not_swallow_the_next_request(
    agent: Agent, hasty: Hasty
) -> None:
    declared_more = gzip.compress(b"{}") + gzip.compress(b"") * 20
    hidden = f"GET /nope HTTP/1.1\r\nhost: x\r\n\r\n{SMUGGLED} HTTP/1.1\r\nx-swallow: ".encode()

    await agent.send(COUNT, declared_more, "content-encoding: gzip\r\n")
    await agent.send(COUNT, b"\r\n" * 300 + hidden)
    await agent.send(COUNT, b"{}")

    assert SMUGGLED not in hasty.seen
    assert set(hasty.seen) <= {COUNT}


async def test_how_long_a_request_is_is_told_by_the_relay_alone(agent: Agent, hasty: Hasty) -> None:
    steering = (
        "transfer-encoding: chunked\r\nconnection: upgrade, x-app\r\nupgrade: h2c\r\n"
        "expect: 100-continue\r\n"
        "trailer: content-length\r\nte: trailers\r\nkeep-alive: max=1\r\ncontent_length: 1\r\n"
        "x-http-method-override: DELETE\r\nx-original-url: /v1/files\r\nx-forwarded-host: x\r\n"
        "content-type: text/plain; charset=utf-16\r\nx-app: cli\r\n"
    )
    chunks = b'5\r\n{ "a"\r\n3\r\n:1}\r\n0\r\nx-app: trailing\r\n\r\n'

    assert await agent.send(f"{MESSAGES}?beta=true", chunks, steering) == 404

    assert hasty.seen == [MESSAGES]
    assert hasty.headers.pop("host") in hasty.url
    assert hasty.headers == {
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": str(len(b'{"a":1}')),
        "content-type": "application/json",
        "user-agent": hasty.headers["user-agent"],
        "x-api-key": "sk-operator",
        "x-app": "cli",
    }


REFUSED = [
    (415, MESSAGES, gzip.compress(b"{}", mtime=0), "content-encoding: gzip\r\n"),
    (415, MESSAGES, b"{}", "content-encoding: identity\r\n"),
    (400, "GET /v1/models", b"{}", ""),
    (400, MESSAGES, b"{}", "content-length: 1\r\n"),
    (400, MESSAGES, b"{}", "content-length: 2\r\ntransfer-encoding: chunked\r\n"),
    (400, MESSAGES, b"{}", "transfer-encoding: chunked, identity\r\n"),
    (400, MESSAGES, b"2\r\n{}\r\n0\r\ncontent-length: 9\r\n\r\n", "transfer-encoding: chunked\r\n"),
    (400, MESSAGES, b"", ""),
    (400, MESSAGES, b"[]", ""),
    (400, MESSAGES, b'\xef\xbb\xbf{"a": 1}', ""),
    (400, MESSAGES, '{"a": 1}'.encode("utf-16"), ""),
    (400, MESSAGES, b'{"a": NaN}', ""),
    (400, MESSAGES, rb'{"a": "\ud800"}', ""),
    (400, MESSAGES, b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", ""),
]


@pytest.mark.parametrize(("status", "line", "body", "headers"), REFUSED)
async def test_what_is_no_plain_request_of_a_route_goes_nowhere(
    agent: Agent, hasty: Hasty, status: int, line: str, body: bytes, headers: str
) -> None:
    assert await agent.send(line, body, headers) == status
    assert hasty.seen == []
