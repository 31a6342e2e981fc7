"""Two servers on one PostgreSQL database and one Redis are one service."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator

import pytest

from sessions_app.processes import LEASE_SECONDS
from simulator.testing import Probe
from tests.server_process import ServerProcess, manage
from tests.streams.client import LAST, Api, Sent, assert_contiguous, ids, numbered
from tests.timing import fastest

pytestmark = [pytest.mark.postgresql, pytest.mark.redis, pytest.mark.slow]

LONG = "[[sim slow n=3000 delay=20ms]]"
Pair = tuple[ServerProcess, ServerProcess]


@pytest.fixture
async def here(pair: Pair) -> AsyncIterator[Api]:
    """Alice at the first server."""
    async with Api(pair[0].url) as client:
        yield client


@pytest.fixture
async def there(pair: Pair) -> AsyncIterator[Api]:
    """Alice at the second."""
    async with Api(pair[1].url) as client:
        yield client


async def follow(api: Api, session: str, joined: asyncio.Semaphore) -> list[Sent]:
    async with api.stream(session, after=0) as stream:
        joined.release()
        await stream.until(lambda event: event.name in LAST)
        return numbered(stream.seen)


async def test_followers_on_both_servers_see_the_same(here: Api, there: Api) -> None:
    sessions = await asyncio.gather(*(here.session() for _ in range(20)))
    joined = asyncio.Semaphore(0)
    followers = [
        asyncio.create_task(follow(api, session, joined))
        for session in sessions
        for api in (here, there)
    ]
    for _ in followers:
        await joined.acquire()
    for session in sessions:
        await here.start(session, "[[sim slow n=100 delay=20ms]]")
    results = await asyncio.gather(*followers)
    for near, far in zip(results[::2], results[1::2], strict=True):
        assert_contiguous(near, 1)
        assert ids(near)[-1] == 109
        assert [(e.id, e.raw) for e in near] == [(e.id, e.raw) for e in far]


async def test_a_far_follower_hears_within_a_moment(here: Api, there: Api) -> None:
    session = await here.session()
    async with there.stream(session, after=0) as far:
        await far.until(lambda event: event.name == "connected")
        async with here.post_stream(session, "[[sim slow n=100 delay=20ms]]") as near:
            await near.take(20)
            seen = time.monotonic()
            await far.take(20)
            assert time.monotonic() - seen < 12
            await near.all()
        await far.until(lambda event: event.name in LAST)


async def test_a_cancel_at_the_other_server_ends_run_and_upstream(
    here: Api, there: Api, probe: Probe
) -> None:
    async def measure() -> float:
        session = await here.session()
        async with here.post_stream(session, LONG) as stream:
            await stream.take(8)
            assert (await there.call("POST", f"sessions/{session}/cancel"))[0] == 202
            asked = time.monotonic()
            end = (await stream.all())[-1]
        assert end.data["error"]["code"] == "RUN_CANCELLED"
        await probe.until(lambda stats: stats["in_flight"] == 0)
        last = (await probe.requests())[-1]
        assert last["outcome"] == "cancelled"
        return float(last["ended_monotonic"]) - asked

    # By the bell; without it the heartbeat would need up to two seconds.
    await fastest(measure, 0.5)


async def test_two_servers_racing_for_one_session_start_one_run(here: Api, there: Api) -> None:
    session = await here.session()
    answers = await asyncio.gather(
        *(api.send(session, LONG, background=True) for api in (here, there, here, there))
    )
    told = sorted((status, body.get("error", {}).get("code", "")) for status, body in answers)
    assert told == [(202, "")] + [(409, "SESSION_BUSY")] * 3
    await there.call("POST", f"sessions/{session}/cancel")


async def test_messages_queued_at_the_other_server_run_in_turn(here: Api, there: Api) -> None:
    session = await here.session()
    await here.start(session, "[[sim slow n=30 delay=20ms]]")
    answers = await asyncio.gather(
        *(api.send(session, "hello", onBusy="enqueue") for api in (here, there, here, there))
    )
    assert [status for status, _ in answers] == [200] * 4
    log = await there.log(session)
    assert [entry["id"] for entry in log] == list(range(1, len(log) + 1))
    assert [entry["event"] for entry in log].count("complete") == 5


async def test_what_was_queued_at_the_other_server_is_stopped_at_once(
    here: Api, there: Api
) -> None:
    session = await here.session()
    live = await here.start(session, LONG)
    await here.eventually(lambda: here.run(session, live), lambda row: row["status"] == "running")
    status, body = await there.send(session, "never mind", onBusy="enqueue", timeout=100)
    assert (status, body["error"]["code"]) == (408, "REQUEST_TIMEOUT")
    run = body["error"]["details"]["runId"]
    row = await there.eventually(
        lambda: there.run(session, run), lambda row: row["finishedAt"] is not None, 3.0
    )
    assert (row["status"], row["startedAt"]) == ("cancelled", None)
    assert (await here.run(session, live))["status"] == "running"
    await there.call("POST", f"sessions/{session}/cancel")


async def test_a_session_deleted_at_one_server_ends_followers_at_the_other(
    here: Api, there: Api
) -> None:
    session = await here.session()
    async with there.stream(session) as follower:
        await follower.until(lambda event: True)
        await here.call("DELETE", f"sessions/{session}")
        asked = time.monotonic()
        await follower.all()
    assert time.monotonic() - asked < 12


async def test_a_revoked_key_ends_streams_on_every_server(
    pair: Pair, here: Api, there: Api
) -> None:
    told = await asyncio.to_thread(manage, "api_keys", "create", "Alice", "--json", env=pair[0].env)
    key = json.loads(told[told.index("{") :])
    async with Api(here.url, key["key"]) as near, Api(there.url, key["key"]) as far:
        session = await near.session()
        async with near.stream(session) as one, far.stream(session) as two:
            await one.until(lambda event: True)
            await two.until(lambda event: True)
            await asyncio.to_thread(manage, "api_keys", "revoke", key["prefix"], env=pair[0].env)
            revoked = time.monotonic()
            await asyncio.gather(one.all(), two.all())
            assert time.monotonic() - revoked < 3.0


async def test_two_hundred_streams_over_both_servers_are_whole(here: Api, there: Api) -> None:
    sessions = await asyncio.gather(*(here.session() for _ in range(200)))

    async def one(api: Api, session: str) -> list[Sent]:
        async with api.post_stream(session, "[[sim slow n=100 delay=20ms]]") as stream:
            return await stream.all()

    streams = await asyncio.gather(
        *(one((here, there)[at % 2], session) for at, session in enumerate(sessions))
    )
    for events in streams:
        assert ids(events) == list(range(1, 110))
        assert events[-1].name == "complete"


async def test_when_a_server_is_killed_the_other_ends_its_runs_and_goes_on(
    shared: dict[str, str], there: Api
) -> None:
    doomed = await asyncio.to_thread(ServerProcess, shared)
    try:
        async with Api(doomed.url) as api:
            session = await api.session()
            async with there.stream(session, after=0) as survivor:
                await survivor.until(lambda event: event.name == "connected")
                lost = await api.start(session, LONG)
                queued = await api.start(session, "[[sim text next]]", onBusy="enqueue")
                await survivor.take(30)
                doomed.signal(signal.SIGKILL)
                killed = time.monotonic()
                end = await survivor.until(lambda event: event.name in LAST)
                assert time.monotonic() - killed < LEASE_SECONDS + 5
                assert end.data["error"]["code"] == "RUN_LOST"
                assert end.data["runId"] == lost
                assert (await survivor.until(lambda e: e.name in LAST)).name == "complete"
        assert (await there.ended(session, queued))["status"] == "completed"
        cursor = 0
        for event in numbered(survivor.seen):
            assert event.id is not None
            if event.name == "gap":
                assert event.data == {"from": cursor + 1, "to": event.id}
            else:
                assert event.id == cursor + 1
            cursor = event.id
        assert (await there.send(session, "hello"))[0] == 200
    finally:
        doomed.stop()
