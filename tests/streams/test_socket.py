"""The WebSocket, by a client that is not ours."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from simulator.testing import Probe
from tests.server_process import ALICE, BOB, ServerProcess, manage
from tests.streams.client import LAST, PATIENCE, Api, numbered
from tests.streams.keys import issued

LONG = "[[sim slow n=6000 delay=20ms]]"


@asynccontextmanager
async def opened(
    api: Api, session: str, query: str = "", key: str | None = ALICE, **options: Any
) -> AsyncIterator[ClientConnection]:
    url = f"{api.url.replace('http', 'ws')}/ws/v1/sessions/{session}{query}"
    headers = {"x-api-key": key} if key else {}
    async with connect(url, additional_headers=headers, max_size=None, **options) as socket:
        yield socket


async def receive(socket: ClientConnection) -> Any:
    async with asyncio.timeout(PATIENCE):
        return json.loads(await socket.recv())


async def until(socket: ClientConnection, *names: str) -> list[Any]:
    """The frames up to the first of one of these events."""
    frames = [await receive(socket)]
    while frames[-1]["event"] not in names:
        frames.append(await receive(socket))
    return frames


async def ask(socket: ClientConnection, **frame: Any) -> Any:
    """Send a frame and wait for what answers it, whatever comes in between."""
    await socket.send(json.dumps({"ref": "r", **frame}))
    while True:
        answer = await receive(socket)
        if answer.get("ref") == "r":
            return answer


async def closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Read on to the end; its code and reason."""
    async with asyncio.timeout(PATIENCE):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed:
            pass
    return socket.close_code, socket.close_reason


async def test_frames_are_the_same_events_as_over_sse(api: Api) -> None:
    session = await api.session()
    async with opened(api, session) as socket:
        greeting = await receive(socket)
        assert greeting["event"] == "connected"
        assert greeting["data"] == {"sessionId": session, "runId": None, "lastEventId": 0}
        async with api.post_stream(session, "[[sim slow n=20 delay=5ms]]") as stream:
            events = numbered(await stream.all())
        frames = await until(socket, *LAST)
    assert [(f["id"], f["event"], f["data"]) for f in frames] == [
        (e.id, e.name, e.data) for e in events
    ]
    for cursor in (0, 7, len(events) - 1):
        async with opened(api, session, f"?after={cursor}") as socket:
            again = await until(socket, *LAST)
        assert again[0]["event"] == "connected"
        assert again[1:] == frames[cursor:]


async def test_without_a_cursor_it_begins_now(api: Api) -> None:
    session = await api.session()
    await api.send(session, "hello")
    async with opened(api, session) as socket:
        greeting = await receive(socket)
        assert (await ask(socket, type="ping"))["event"] == "pong"
        await api.send(session, "hello")
        first = await receive(socket)
        await until(socket, *LAST)  # unread frames would hold up its closing
    assert first["id"] == greeting["data"]["lastEventId"] + 1


async def test_a_message_is_acknowledged_then_streamed(api: Api) -> None:
    session = await api.session()
    async with opened(api, session) as socket:
        ack = await ask(socket, type="message", prompt="[[sim text hi]]", ref="r")
        assert ack["event"] == "ack"
        frames = await until(socket, *LAST)
    assert frames[-1]["event"] == "complete"
    assert frames[-1]["data"]["runId"] == ack["data"]["runId"]
    assert frames[-1]["data"]["summary"] == "hi"


async def test_a_cancel_is_acknowledged_and_ends_the_run(api: Api, probe: Probe) -> None:
    session = await api.session()
    async with opened(api, session) as socket:
        ack = await ask(socket, type="message", prompt=LONG)
        await until(socket, "message")
        assert (await ask(socket, type="cancel"))["data"]["runId"] == ack["data"]["runId"]
        end = (await until(socket, *LAST))[-1]
    assert end["data"]["error"]["code"] == "RUN_CANCELLED"
    await probe.until(lambda stats: stats["cancelled"] == 1)


BAD = [
    ({"type": "message"}, "INVALID_REQUEST"),
    ({"type": "message", "prompt": ""}, "INVALID_REQUEST"),
    ({"type": "message", "prompt": "x", "colour": "red"}, "INVALID_REQUEST"),
    ({"type": "dance"}, "INVALID_REQUEST"),
    ({"type": ["ping"]}, "INVALID_REQUEST"),
    ({}, "INVALID_REQUEST"),
    ({"type": "cancel", "all": True}, "INVALID_REQUEST"),
    ({"type": "approval", "decision": "allow"}, "INVALID_REQUEST"),
    (
        {
            "type": "approval",
            "decision": "allow",
            "approvalId": "00000000-0000-4000-8000-000000000000",
        },
        "APPROVAL_NOT_FOUND",
    ),
]


async def test_a_bad_frame_is_told_and_the_socket_stays_open(api: Api) -> None:
    session = await api.session()
    async with opened(api, session) as socket:
        assert (await receive(socket))["event"] == "connected"
        for frame, code in BAD:
            answer = await ask(socket, **frame)
            assert (answer["event"], answer["data"]["error"]["code"]) == ("error", code), frame
        for raw in ("", "{", "[]", "null", "7", '"x"', "[" * 50_000, b"\x00\xff", b"{}"):
            await socket.send(raw)
            answer = await receive(socket)
            assert answer["event"] == "error", raw[:20]
            assert answer["data"]["error"]["code"] in ("INVALID_JSON", "INVALID_REQUEST")
        assert (await ask(socket, type="ping"))["event"] == "pong"


async def test_refs_of_any_kind_come_back(api: Api) -> None:
    session = await api.session()
    async with opened(api, session) as socket:
        await receive(socket)
        for ref in ("a", 7, 0, False, {"x": [1]}, [], ""):
            await socket.send(json.dumps({"type": "ping", "ref": ref}))
            assert (await receive(socket))["ref"] == ref
        await socket.send(json.dumps({"type": "ping"}))
        assert "ref" not in await receive(socket)
        deep = '{"ref": 8, "prompt": ' + "[" * 200 + "]" * 200 + "}"
        for refused in ('{"ref": 8, "prompt": "a\\u0000"}', '{"ref": 8, "x": "\\ud800"}', deep):
            await socket.send(refused)
            assert (await receive(socket))["ref"] == 8


@pytest.mark.parametrize(
    ("query", "key", "code", "reason"),
    [
        ("?after=x", ALICE, 4400, "INVALID_REQUEST"),
        ("?after=99", ALICE, 4400, "INVALID_REQUEST"),
        ("?colour=red", ALICE, 4400, "INVALID_REQUEST"),
        ("", None, 4401, "MISSING_API_KEY"),
        ("", "capi_wrong", 4401, "INVALID_API_KEY"),
        ("", BOB, 4404, "SESSION_NOT_FOUND"),
    ],
)
async def test_a_refusal_says_why_in_a_frame_and_by_its_code(
    api: Api, query: str, key: str | None, code: int, reason: str
) -> None:
    session = await api.session()
    async with opened(api, session, query, key) as socket:
        frame = await receive(socket)
        assert frame["event"] == "error"
        assert frame["data"]["error"]["code"] == reason
        assert frame["data"]["requestId"]
        assert await closed(socket) == (code, reason)


async def test_a_socket_beyond_the_rate_limit_is_closed_with_4429(
    api: Api, server: ServerProcess
) -> None:
    key = await issued(server, "--rate-limit", "2")
    async with Api(api.url, key["key"]) as limited:
        session = await limited.session()
        async with opened(limited, session, key=key["key"]) as socket:
            assert (await receive(socket))["event"] == "connected"
            answer = await ask(socket, type="cancel")
            assert answer["data"]["error"]["code"] == "RATE_LIMIT_EXCEEDED"
            async with opened(limited, session, key=key["key"]) as another:
                assert (await receive(another))["event"] == "error"
                assert await closed(another) == (4429, "RATE_LIMIT_EXCEEDED")


async def test_every_frame_but_a_small_ping_counts(api: Api, server: ServerProcess) -> None:
    key = await issued(server, "--rate-limit", "5")
    async with Api(api.url, key["key"]) as limited:
        session = await limited.session()
        async with opened(limited, session, key=key["key"]) as socket:
            assert (await receive(socket))["event"] == "connected"
            for _ in range(10):
                assert (await ask(socket, type="ping"))["event"] == "pong"
            for frame in ("{", '{"type": "dance"}', json.dumps({"type": "ping", "x": "y" * 2000})):
                await socket.send(frame)
                answer = await receive(socket)
                assert "RATE_LIMIT" not in str(answer)
            large = json.dumps({"ref": "r", "type": "message", "prompt": "x" * 100_000})
            for frame in ("{", '{"type": "dance"}', large):
                await socket.send(frame)
                answer = await receive(socket)
                assert answer["data"]["error"]["code"] == "RATE_LIMIT_EXCEEDED"
            assert "ref" not in answer  # a large one is not read to be refused
            assert (await ask(socket, type="ping"))["event"] == "pong"


async def test_a_large_frame_is_a_frame_like_any_other(api: Api) -> None:
    session = await api.session()
    async with opened(api, session) as socket:
        await receive(socket)
        prompt = [
            {"type": "text", "text": "[[sim text hi]]"},
            {"type": "text", "text": "x" * 10**6},
        ]
        assert (await ask(socket, type="message", prompt=prompt))["event"] == "ack"
        assert (await until(socket, *LAST))[-1]["event"] == "complete"
        answer = await ask(socket, type="message", prompt=prompt, colour="red")
        assert list(answer["data"]["error"]["details"]["fields"]) == ["colour"]


async def test_a_ticket_opens_its_session_once(api: Api) -> None:
    session, other = await api.session(), await api.session()
    _, body = await api.call("POST", f"sessions/{session}/tickets")
    offer: Any = ["claudeapi.v1", body["ticket"]]
    async with opened(api, other, key=None, subprotocols=offer) as socket:
        await receive(socket)
        assert await closed(socket) == (4401, "INVALID_API_KEY")
    async with opened(api, session, key=None, subprotocols=offer) as socket:
        assert socket.subprotocol == "claudeapi.v1"
        assert (await receive(socket))["event"] == "connected"
        assert (await ask(socket, type="message", prompt="hello"))["event"] == "ack"
    async with opened(api, session, key=None, subprotocols=offer) as socket:
        await receive(socket)
        assert await closed(socket) == (4401, "INVALID_API_KEY")


async def test_a_mistake_does_not_use_a_ticket_up(api: Api) -> None:
    session = await api.session()
    _, body = await api.call("POST", f"sessions/{session}/tickets")
    offer: Any = ["claudeapi.v1", body["ticket"]]
    async with opened(api, session, "?after=x", key=None, subprotocols=offer) as socket:
        await receive(socket)
        assert await closed(socket) == (4400, "INVALID_REQUEST")
    url = f"{api.url}/api/v1/sessions/{session}/stream?ticket={body['ticket']}&prompt=hello"
    api.http.headers.pop("x-api-key")
    async with api.http.get(f"{url}&timeout=soon") as response:
        assert response.status == 400
    async with api.http.get(url) as response:
        assert response.status == 200


async def test_a_ticket_opens_an_event_stream_once(api: Api) -> None:
    session = await api.session()
    _, body = await api.call("POST", f"sessions/{session}/tickets")
    url = f"{api.url}/api/v1/sessions/{session}/stream?ticket={body['ticket']}&prompt=hello"
    api.http.headers.pop("x-api-key")
    async with api.http.get(url) as response:
        assert response.status == 200
        assert b"event: complete" in await response.read()
    async with api.http.get(url) as response:
        assert response.status == 401


async def test_leaving_cancels_what_was_sent_with_that_wish(api: Api, probe: Probe) -> None:
    session = await api.session()
    async with opened(api, session) as socket:
        ack = await ask(socket, type="message", prompt=LONG, onDisconnect="cancel")
        await until(socket, "message")
        left = time.monotonic()
        socket.transport.abort()
        await probe.until(lambda stats: stats["cancelled"] == 1)
    assert (await probe.requests())[-1]["ended_monotonic"] - left < 1.0
    assert (await api.ended(session, ack["data"]["runId"]))["status"] == "cancelled"


async def test_leaving_before_the_answer_cancels_all_the_same(
    api: Api, server: ServerProcess
) -> None:
    sessions = [await api.session() for _ in range(5)]
    frame = {"type": "message", "prompt": LONG, "onDisconnect": "cancel"}
    for session in sessions:
        async with opened(api, session) as socket:
            await receive(socket)
            await socket.send(json.dumps(frame))  # and the close frame right behind it

    async def runs() -> list[Any]:
        pages = [await api.get(f"sessions/{session}/runs") for session in sessions]
        return [run["status"] for page in pages for run in page["runs"]]

    await api.eventually(runs, lambda found: found == ["cancelled"] * 5, seconds=20)
    assert "ClientDisconnected" not in server.log


@pytest.mark.parametrize("offer", [["graphql-ws"], ["claudeapi.v1", "graphql-ws"]])
async def test_with_a_key_in_the_headers_other_subprotocols_are_no_tickets(
    api: Api, offer: Any
) -> None:
    async with opened(api, await api.session(), subprotocols=offer) as socket:
        assert (await receive(socket))["event"] == "connected"


async def test_leaving_lets_other_runs_go_on(api: Api) -> None:
    session = await api.session()
    async with opened(api, session) as socket:
        ack = await ask(socket, type="message", prompt="[[sim slow n=20 delay=20ms]]")
        await until(socket, "message")
    assert (await api.ended(session, ack["data"]["runId"]))["status"] == "completed"


@pytest.mark.parametrize("busy", [False, True])
async def test_a_session_that_ends_closes_its_sockets_normally(api: Api, busy: bool) -> None:
    session = await api.session()
    async with opened(api, session) as socket:
        await receive(socket)
        if busy:
            await ask(socket, type="message", prompt=LONG)
        await api.call("DELETE", f"sessions/{session}")
        asked = time.monotonic()
        if busy:
            assert (await until(socket, *LAST))[-1]["data"]["error"]["code"] == "RUN_CANCELLED"
        assert await closed(socket) == (1000, "")
    assert time.monotonic() - asked < 5


async def test_an_oversize_frame_closes_only_its_own_socket(start_server: Any) -> None:
    server = await asyncio.to_thread(start_server, MAX_BODY_BYTES="2048", DEFAULT_ENGINE="messages")
    async with Api(server.url) as api:
        session = await api.session()
        async with opened(api, session) as socket, opened(api, session) as other:
            await receive(socket)
            await receive(other)
            with pytest.raises(ConnectionClosed):
                await ask(socket, type="message", prompt="x" * 4096)
            assert socket.close_code == 1009
            assert (await ask(other, type="ping"))["event"] == "pong"


@pytest.mark.slow
async def test_a_revoked_key_ends_its_open_streams_within_two_seconds(
    api: Api, server: ServerProcess
) -> None:
    key = await issued(server)
    async with Api(api.url, key["key"]) as client:
        session = await client.session()
        await client.start(session, LONG)
        async with (
            opened(client, session, key=key["key"]) as socket,
            client.stream(session) as follower,
        ):
            await receive(socket)
            await follower.take(1)
            await asyncio.to_thread(manage, "api_keys", "revoke", key["prefix"], env=server.env)
            revoked = time.monotonic()
            assert (await follower.all())[-1].name != "complete"
            assert await closed(socket) == (4401, "INVALID_API_KEY")
            # The two seconds, and what a busy machine adds.
            assert time.monotonic() - revoked < 3.0
        async with client.stream(session) as refused:
            assert refused.status == 401
