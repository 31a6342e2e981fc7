"""The relay: what it lets through, what it adds, and how it is cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from sessions_app.engines.base import Upstream
from sessions_app.engines.claude_code import answering, asking
from sessions_app.engines.claude_code.lease import Allowance, Lease
from sessions_app.engines.claude_code.loop_share import LoopShare
from sessions_app.engines.claude_code.relay import MAX_IN_FLIGHT, Relay
from tests.claude_code.streams import COUNTED, DELTA, PING, START, STOP, TALK

KEY = "sk-operator-0123456789"


@dataclass
class Upstreams:
    """A made-up upstream that keeps what it was sent."""

    url: str
    seen: list[tuple[str, str, dict[str, str], bytes]]
    left: asyncio.Event


@pytest.fixture
async def made_up() -> AsyncIterator[Upstreams]:
    upstream = Upstreams("", [], asyncio.Event())

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        upstream.seen.append((request.method, request.path_qs, dict(request.headers), body))
        kind = orjson.loads(body).get("kind")
        if kind == "status":
            headers = {"retry-after": "60", "set-cookie": "a=b"}
            error = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}
            return web.json_response(error, status=429, headers=headers)
        if kind == "quoted":
            words = f"no such key: {request.headers['x-api-key']}, that is {KEY[:12]}..."
            error = {"type": "authentication_error", "message": words}
            return web.json_response(
                {"error": error}, status=401, headers={"www-authenticate": words}
            )
        if kind == "quoted in mid-stream":
            error = {"type": "api_error", "message": f"bad key {KEY}"}
            told = b'data: {"type":"error","error":%b}\n\n' % orjson.dumps(error)
            return web.Response(body=START + told, content_type="text/event-stream")
        if kind == "moved":
            raise web.HTTPFound("https://login.example.com/")
        if kind == "whole":
            usage = {"input_tokens": 2, "output_tokens": 4}
            return web.json_response({"model": "m", "content": "x" * 1_000_000, "usage": usage})
        if kind == "pieces":
            response = web.StreamResponse(status=400)
            await response.prepare(request)
            for piece in (b'{"error": {"type": "invalid_request_error", ', b'"message": "so"}}'):
                await response.write(piece)
                await asyncio.sleep(0.05)
            return response
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(START)
        try:
            if kind == "talk":
                await response.write(TALK)
            while kind in ("stall", "pings", "talk"):
                await asyncio.sleep(0.05)
                if kind == "pings":
                    await response.write(PING)
        except (asyncio.CancelledError, ConnectionError):
            upstream.left.set()
            raise
        if kind == "cut" and request.transport is not None:
            request.transport.abort()
            return response
        await response.write(DELTA + STOP)
        return response

    runner = web.ServerRunner(web.Server(answer, handler_cancellation=True))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield upstream
    await runner.cleanup()


@dataclass
class Caller:
    """An agent with a lease."""

    relay: Relay
    lease: Lease
    http: aiohttp.ClientSession

    async def post(
        self, body: bytes, path: str = "/v1/messages", token: str | None = None
    ) -> tuple[int, bytes, Any]:
        headers = {"x-api-key": token or self.lease.token}
        async with self.http.post(f"http://x{path}", data=body, headers=headers) as answer:
            return answer.status, await answer.read(), answer.headers

    def asking(self, kind: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """An answer of which not all need be read."""
        headers = {"x-api-key": self.lease.token}
        body = {"model": "m", "kind": kind}
        return self.http.post("http://x/v1/messages", json=body, headers=headers)

    async def ask(
        self, kind: str, path: str = "/v1/messages", token: str | None = None, **more: Any
    ) -> tuple[int, bytes, Any]:
        """Ask the made-up upstream for one kind of answer."""
        return await self.post(orjson.dumps({"model": "m", "kind": kind, **more}), path, token)


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    relay = Relay()
    connector = aiohttp.UnixConnector(str(await relay.start()))
    async with aiohttp.ClientSession(connector=connector) as http:
        yield Caller(relay, relay.grant(), http)
    await relay.aclose()


async def test_an_answer_passes_unchanged_and_is_counted(
    caller: Caller, made_up: Upstreams
) -> None:
    caller.lease.open(Upstream(made_up.url, "sk-operator"))

    status, body, _ = await caller.ask("x" * 100_000, "/v1/messages?beta=true")

    assert (status, body) == (200, START + DELTA + STOP)
    assert caller.lease.tally.usage == COUNTED
    method, path, headers, sent = made_up.seen[0]
    assert (method, path) == ("POST", "/v1/messages?beta=true")
    assert orjson.loads(sent) == {"model": "m", "kind": "x" * 100_000}
    assert headers["x-api-key"] == "sk-operator"
    assert caller.lease.token not in str(headers)


async def test_an_answer_that_is_not_streamed_is_counted_too(
    caller: Caller, made_up: Upstreams
) -> None:
    caller.lease.open(Upstream(made_up.url, "sk-operator"))

    await caller.ask("whole")

    assert caller.lease.tally.usage.output_tokens == 4


async def test_who_leaves_an_answer_half_way_has_paid_for_what_he_saw(
    caller: Caller, made_up: Upstreams
) -> None:
    caller.lease.open(Upstream(made_up.url, "sk-operator"))

    async with asyncio.timeout(5), caller.asking("talk") as answer:
        await answer.content.readuntil(TALK)
    assert caller.lease.tally.usage.output_tokens == 1 + 1000

    caller.lease.open(Upstream(made_up.url, "sk-operator"))
    async with asyncio.timeout(5), caller.asking("whole"):
        assert caller.lease.tally.usage.output_tokens == 4


async def test_an_answer_that_is_too_large_to_be_counted_is_not_passed_on(
    caller: Caller, made_up: Upstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "MAX_WHOLE_BODY", 1000)
    caller.lease.open(Upstream(made_up.url, "sk-operator"))

    status, body, headers = await caller.ask("whole")

    assert (status, headers["x-should-retry"]) == (502, "false")
    assert len(body) < 1000
    assert caller.lease.failure is not None
    assert "too large" in caller.lease.failure.message


async def test_an_error_that_comes_in_pieces_is_told_whole(
    caller: Caller, made_up: Upstreams
) -> None:
    caller.lease.open(Upstream(made_up.url, "sk-operator"))

    status, body, _ = await caller.ask("pieces")

    assert (status, orjson.loads(body)["error"]["message"]) == (400, "so")
    assert caller.lease.failure is not None
    assert caller.lease.failure.message == "so"


@pytest.mark.parametrize(
    "path",
    ["/v1/files", "/v1/messages/batches", "/", "/v1/messages/", "/v1/messages/../models"],
)
async def test_other_paths_are_not_forwarded(caller: Caller, made_up: Upstreams, path: str) -> None:
    caller.lease.open(Upstream(made_up.url, "sk-operator"))

    status, _, _ = await caller.post(b"", path)

    assert status == 404
    assert made_up.seen == []


async def test_a_token_is_good_only_while_a_run_is_in_progress(
    caller: Caller, made_up: Upstreams
) -> None:
    assert (await caller.ask("x"))[0] == 403
    caller.lease.open(Upstream(made_up.url, "sk-operator"))
    assert (await caller.ask("x"))[0] == 200
    assert (await caller.ask("x", token="guessed"))[0] == 401
    caller.lease.shut()
    assert (await caller.ask("x"))[0] == 403
    caller.relay.revoke(caller.lease)
    assert (await caller.ask("x"))[0] == 401


async def test_shutting_a_lease_ends_what_is_in_flight(caller: Caller, made_up: Upstreams) -> None:
    caller.lease.open(Upstream(made_up.url, "sk-operator"))
    posting = asyncio.create_task(caller.ask("stall"))
    async with asyncio.timeout(5):
        while not made_up.seen:  # noqa: ASYNC110 - the upstream sends no signal
            await asyncio.sleep(0.01)
        caller.lease.shut()
        with pytest.raises(aiohttp.ClientError):
            await posting
        await made_up.left.wait()
    assert caller.lease.in_flight == 0


@pytest.mark.parametrize("kind", ["stall", "pings"])
async def test_an_answer_without_content_is_a_stall_and_ends_the_run(
    caller: Caller, made_up: Upstreams, kind: str
) -> None:
    stalled = asyncio.Event()
    caller.lease.open(Upstream(made_up.url, "sk-operator", idle_timeout=0.3))
    caller.lease.on_stall = stalled.set

    async with asyncio.timeout(5):
        with pytest.raises(aiohttp.ClientError):
            await caller.ask(kind)

    assert stalled.is_set()
    assert caller.lease.stalled
    assert (await caller.ask("x"))[0] == 504


async def test_a_cut_answer_is_told_as_one(caller: Caller, made_up: Upstreams) -> None:
    caller.lease.open(Upstream(made_up.url, "sk-operator"))

    with pytest.raises(aiohttp.ClientError):
        await caller.ask("cut")
    assert caller.lease.failure is not None
    assert caller.lease.failure.kind == "cut"

    await caller.ask("x")
    assert caller.lease.failure is None


async def test_a_long_wait_asked_for_is_told_and_not_waited(
    caller: Caller, made_up: Upstreams
) -> None:
    caller.lease.open(Upstream(made_up.url, "sk-operator"))

    status, _, headers = await caller.ask("status")

    assert status == 429
    assert headers["x-should-retry"] == "false"
    assert "set-cookie" not in headers
    assert caller.lease.failure is not None
    assert caller.lease.failure.retry_after == 60


@pytest.mark.parametrize("kind", ["quoted", "quoted in mid-stream"])
async def test_a_key_that_the_upstream_quotes_reaches_neither_agent_nor_caller(
    caller: Caller, made_up: Upstreams, kind: str
) -> None:
    caller.lease.open(Upstream(made_up.url, KEY))

    _, body, headers = await caller.ask(kind)

    told = f"{body!r} {headers} {caller.lease.failure}"
    assert "key" in told
    assert KEY[:8] not in told


async def test_a_redirect_is_told_as_one_and_not_followed(
    caller: Caller, made_up: Upstreams
) -> None:
    caller.lease.open(Upstream(made_up.url, KEY))

    status, _, headers = await caller.ask("moved")

    assert (status, headers["x-should-retry"]) == (502, "false")
    assert "location" not in headers
    assert caller.lease.failure is not None
    assert caller.lease.failure.status == 302


async def test_a_run_that_has_cost_what_it_may_gets_no_more_answers(
    caller: Caller, made_up: Upstreams
) -> None:
    caller.lease.open(Upstream(made_up.url, "sk-operator"), Allowance(limit=Decimal("0.0001")))

    assert (await caller.ask("x"))[0] == 200
    assert caller.lease.tally.cost > Decimal("0.0001")
    assert (await caller.ask("x"))[0] == 403
    assert caller.lease.failure is not None
    assert caller.lease.failure.kind == "budget"
    assert len(made_up.seen) == 1


async def test_runs_of_one_key_share_what_is_left_of_its_budget(
    caller: Caller, made_up: Upstreams
) -> None:
    other = caller.relay.grant()
    for lease in (caller.lease, other):
        purse = caller.relay.purse("alice", Decimal("0.0001"))
        lease.open(Upstream(made_up.url, "sk-operator"), Allowance(purse=purse))

    assert (await caller.ask("x"))[0] == 200
    assert (await caller.ask("x", token=other.token))[0] == 403
    caller.lease.shut()
    assert (await caller.ask("x", token=other.token))[0] == 403

    caller.relay.purse("alice", Decimal(1))
    assert (await caller.ask("x", token=other.token))[0] == 200


async def test_a_model_that_the_policy_lacks_is_not_reached_whoever_asks(
    caller: Caller, made_up: Upstreams
) -> None:
    allowance = Allowance(models=("haiku", "claude-haiku-*"))
    caller.lease.open(Upstream(made_up.url, "sk-operator"), allowance)

    assert (await caller.post(b'{"model": "claude-haiku-5-5"}'))[0] == 200
    for body in (b'{"model": "claude-opus-5-5"}', b"{}"):
        assert (await caller.post(body))[0] == 403
    assert (await caller.post(b'{"model": "haiku", "mcp_servers": [{}]}'))[0] == 403
    assert len(made_up.seen) == 1


BESIDE = [
    ({"fallbacks": [{"model": "claude-haiku-5-5"}, {"model": "claude-opus-5-5"}]}, 403),
    ({"fallbacks": "default"}, 403),
    ({"tools": [{"type": "advisor_20260301", "name": "a", "model": "claude-opus-5-5"}]}, 403),
    ({"later": {"model": "claude-opus-5-5"}}, 403),
    ({"fallbacks": [{"model": "claude-haiku-4-5"}]}, 200),
    (
        {"tools": [{"name": "a", "input_schema": {"properties": {"model": {"enum": ["opus"]}}}}]},
        200,
    ),
]


@pytest.mark.parametrize(("beside", "status"), BESIDE)
async def test_nor_is_one_that_is_named_beside_the_model(
    caller: Caller, made_up: Upstreams, beside: dict[str, Any], status: int
) -> None:
    body = orjson.dumps({"model": "claude-haiku-5-5", **beside})
    caller.lease.open(Upstream(made_up.url, KEY), Allowance(models=("default", "claude-haiku-*")))
    assert (await caller.post(body))[0] == status

    caller.lease.open(Upstream(made_up.url, KEY))
    assert (await caller.post(body))[0] == 200


async def test_what_was_looked_at_is_what_goes(caller: Caller, made_up: Upstreams) -> None:
    caller.lease.open(Upstream(made_up.url, "sk-operator"), Allowance(models=("haiku",)))

    await caller.post(
        b'{"model": "opus", "mcp_servers": [{}], "model": "haiku", "mcp_servers": []}'
    )

    assert made_up.seen[0][3] == b'{"model":"haiku","mcp_servers":[]}'


async def test_one_agent_has_so_many_requests_at_once_and_no_more(
    caller: Caller, made_up: Upstreams
) -> None:
    caller.lease.open(Upstream(made_up.url, "sk-operator"))
    posting = [asyncio.create_task(caller.ask("stall")) for _ in range(MAX_IN_FLIGHT)]
    async with asyncio.timeout(5):
        while len(made_up.seen) < MAX_IN_FLIGHT:  # noqa: ASYNC110 - the upstream sends no signal
            await asyncio.sleep(0.01)
        assert (await caller.ask("x"))[0] == 429
        caller.lease.shut()
        await asyncio.gather(*posting, return_exceptions=True)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"image": "' + b"QUJD" * (4 << 20) + b'"}', 200),
        (b'{"kind": [' + b"[]," * 100_000 + b"0]}", 200),
        (b'{"image": "' + b"QUJD" * (8 << 20) + b'"}', 413),
        (b'{"kind": [' + b"[]," * 600_000 + b"0]}", 413),
    ],
    ids=["a large image", "many values", "too large an image", "too many values"],
)
async def test_a_large_request_passes_and_one_that_would_hold_up_the_server_does_not(
    caller: Caller, made_up: Upstreams, body: bytes, status: int
) -> None:
    caller.lease.open(Upstream(made_up.url, "sk-operator"))

    assert (await caller.post(body))[0] == status
    failure = caller.lease.failure
    assert (failure.type if failure else "") == ("request_too_large" if status == 413 else "")


async def test_what_one_agent_asks_at_once_has_so_many_bytes_and_no_more(
    caller: Caller, made_up: Upstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MAX_BODY", 1000)
    other = caller.relay.grant()
    for lease in (caller.lease, other):
        lease.open(Upstream(made_up.url, "sk-operator"))
    posting = asyncio.create_task(caller.ask("stall", more="x" * 600))
    async with asyncio.timeout(5):
        while not made_up.seen:  # noqa: ASYNC110 - the upstream sends no signal
            await asyncio.sleep(0.01)
        assert (await caller.ask("x", more="x" * 600))[0] == 429
        assert (await caller.ask("x"))[0] == 200
        assert (await caller.ask("x", more="x" * 600, token=other.token))[0] == 200
        caller.lease.shut()
        await asyncio.gather(posting, return_exceptions=True)
    assert caller.lease.held == 0


async def test_who_holds_up_the_event_loop_waits_four_times_as_long() -> None:
    share = LoopShare()
    async with share.taken():
        begun = time.monotonic()
        while time.monotonic() < begun + 0.02:
            pass
    ended = time.monotonic()

    async with share.taken():
        assert time.monotonic() - ended > 0.07


async def test_the_proxy_of_the_environment_is_used_but_not_on_this_machine(
    caller: Caller, made_up: Upstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", made_up.url)
    monkeypatch.setenv("NO_PROXY", "")
    caller.lease.open(Upstream("http://api.example.com", "sk-operator"))
    assert (await caller.ask("x"))[0] == 200
    assert made_up.seen[0][2]["Host"] == "api.example.com"

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    caller.lease.open(Upstream(made_up.url, "sk-operator"))
    assert (await caller.ask("x"))[0] == 200


async def test_an_unreachable_upstream_is_told(caller: Caller) -> None:
    caller.lease.open(Upstream("http://127.0.0.1:9", "sk-operator"))

    assert (await caller.ask("x"))[0] == 502
    assert caller.lease.failure is not None
    assert caller.lease.failure.kind == "unreachable"
