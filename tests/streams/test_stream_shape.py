"""What a stream looks like, whichever of the four ways opened it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.streams.client import LAST, Api, Stream, assert_contiguous, ids, numbered, texts

PROMPT = "[[sim slow n=20 delay=5ms]]"
TEXT = "".join(f"tok{n} " for n in range(20)).strip()


@asynccontextmanager
async def opened(api: Api, session: str, way: str) -> AsyncIterator[Stream]:
    if way == "get":
        async with api.stream(session, prompt=PROMPT) as stream:
            yield stream
    elif way == "follow":
        async with api.stream(session, after=0) as stream:
            await api.start(session, PROMPT)
            yield stream
    else:
        async with api.post_stream(session, PROMPT, way) as stream:
            yield stream


@pytest.mark.parametrize("way", ["messages", "stream", "get", "follow"])
async def test_a_stream_greets_then_numbers_every_event_up_to_complete(api: Api, way: str) -> None:
    session = await api.session()
    async with opened(api, session, way) as stream:
        headers = stream.response.headers
        assert headers["Content-Type"].startswith("text/event-stream")
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["X-Request-ID"]
        assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= set(headers)
        end = await stream.until(lambda event: event.name in LAST)
        if way != "follow":
            assert await stream.all() == stream.seen
    greeting, *events = stream.seen
    assert (greeting.name, greeting.id) == ("connected", None)
    assert greeting.data["sessionId"] == session
    assert greeting.data["lastEventId"] == 0
    assert (greeting.data["runId"] is None) == (way == "follow")
    assert stream.retries == [2000]
    assert_contiguous(events, 1)
    assert end.name == "complete"
    assert end.data["summary"].strip() == TEXT
    assert texts(events).strip() == TEXT
    assert all(e.data["sequence"] == e.id for e in events if e.name == "message")


async def test_the_stream_is_open_before_the_upstream_has_answered(api: Api) -> None:
    session = await api.session()
    async with api.post_stream(session, "[[sim silence for=600s]]") as stream:
        greeting = await stream.until(lambda event: True)
        assert greeting.name == "connected"
        await api.call("POST", f"sessions/{session}/cancel")
        assert (await stream.all())[-1].data["error"]["code"] == "RUN_CANCELLED"


async def test_without_partial_only_whole_messages_come(api: Api) -> None:
    session = await api.session()
    async with api.stream(session, prompt=PROMPT, partial="false") as stream:
        events = numbered(await stream.all())
    kinds = [e.data["message"]["type"] for e in events if e.name == "message"]
    assert kinds == ["user", "assistant", "result"]
    assert events[-1].name == "complete"
    async with api.stream(session, after=0, partial="false") as replay:
        again = [await replay.until(lambda event: event.id is not None) for _ in events]
    assert [(e.id, e.raw) for e in again] == [(e.id, e.raw) for e in events]


async def test_all_followers_of_a_session_get_the_same_bytes(api: Api) -> None:
    session = await api.session()

    async def follow() -> tuple[bytes, list[int]]:
        async with api.stream(session, after=0) as stream:
            joined.release()
            await stream.until(lambda event: event.name in LAST)
            return bytes(stream.raw), ids(stream.seen)

    joined = asyncio.Semaphore(0)
    followers = [asyncio.create_task(follow()) for _ in range(8)]
    for _ in followers:
        await joined.acquire()
    run = await api.start(session, PROMPT)
    results = await asyncio.gather(*followers)
    assert len({raw for raw, _ in results}) == 1
    await api.ended(session, run)
    late = await follow()
    assert late == results[0]


async def test_the_log_as_json_is_what_was_streamed(api: Api) -> None:
    session = await api.session()
    async with api.post_stream(session, PROMPT) as stream:
        events = numbered(await stream.all())
    log = await api.log(session)
    assert [(e["id"], e["event"], e["data"]) for e in log] == [
        (e.id, e.name, e.data) for e in events
    ]
    detail = await api.get(f"sessions/{session}")
    assert detail["lastEventId"] == events[-1].id


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"after": "x"}, "after"),
        ({"after": "-1"}, "after"),
        ({"after": "7"}, "after"),
        ({"last": "x"}, "Last-Event-ID"),
        ({"last": "7"}, "after"),
        ({"partial": "perhaps"}, "partial"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_cursor_or_option_is_refused(
    api: Api, options: dict[str, Any], field: str
) -> None:
    session = await api.session()
    async with api.stream(session, **options) as stream:
        assert stream.status == 400
        body = await stream.response.json()
    assert field in body["error"]["details"]["fields"]
