"""Who comes while a run is in progress, and how a run is stopped."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from simulator.testing import Probe
from tests.streams.client import LAST, Api, Sent, assert_contiguous, ids, numbered
from tests.timing import fastest

LONG = "[[sim slow n=1000 delay=20ms]]"
SHORT = "[[sim slow n=5 delay=10ms]]"


def code_of(event: Sent) -> str:
    return str(event.data["error"]["code"])


async def statuses(api: Api, session: str) -> list[str]:
    """The runs' statuses, oldest first."""
    rows = (await api.get(f"sessions/{session}/runs"))["runs"]
    return [str(row["status"]) for row in reversed(rows)]


async def test_a_cancel_from_another_connection_ends_run_stream_and_upstream(
    api: Api, probe: Probe
) -> None:
    async def measure() -> float:
        session = await api.session()
        async with api.post_stream(session, LONG) as stream:
            await stream.take(8)
            asked = time.monotonic()
            status, body = await api.call("POST", f"sessions/{session}/cancel")
            assert status == 202
            end = (await stream.all())[-1]
        assert (end.name, code_of(end)) == ("error", "RUN_CANCELLED")
        assert end.data["runId"] == body["runId"]
        assert (await api.run(session, body["runId"]))["status"] == "cancelled"
        await probe.until(lambda stats: stats["in_flight"] == 0)
        last = (await probe.requests())[-1]
        assert last["outcome"] == "cancelled"
        return float(last["ended_monotonic"]) - asked

    # The cancel's own request is in it.
    await fastest(measure, 1.0)


async def test_a_cancel_where_nothing_runs_is_accepted(api: Api) -> None:
    session = await api.session()
    status, body = await api.call("POST", f"sessions/{session}/cancel")
    assert (status, body["runId"]) == (202, None)


async def test_a_cancelled_wait_answers_run_cancelled(api: Api) -> None:
    session = await api.session()
    waiting = asyncio.create_task(api.send(session, LONG))
    await api.eventually(lambda: statuses(api, session), lambda found: found == ["running"])
    await api.call("POST", f"sessions/{session}/cancel")
    status, body = await waiting
    assert body["error"]["code"] == "RUN_CANCELLED"
    assert status >= 400


async def test_a_busy_session_rejects_with_the_run_in_progress(api: Api) -> None:
    session = await api.session()
    run = await api.start(session, LONG)
    for fields in ({}, {"stream": True}, {"background": True}):
        status, body = await api.send(session, "me too", **fields)
        assert (status, body["error"]["code"]) == (409, "SESSION_BUSY")
        assert body["error"]["details"]["runId"] == run
    async with api.stream(session, prompt="me too") as stream:
        assert stream.status == 409
    await api.call("POST", f"sessions/{session}/cancel")
    await api.ended(session, run)


async def test_queued_messages_are_answered_in_turn_on_one_log(api: Api) -> None:
    session = await api.session()

    async def one(prompt: str) -> list[Sent]:
        async with api.post_stream(session, prompt, onBusy="enqueue") as stream:
            started.release()
            return numbered(await stream.all())

    started = asyncio.Semaphore(0)
    tasks = []
    for number in range(4):
        prompt = f"[[sim text number{number}]]" if number else "[[sim slow n=20 delay=10ms]]"
        tasks.append(asyncio.create_task(one(prompt)))
        await started.acquire()
    streams = await asyncio.gather(*tasks)
    for number, events in enumerate(streams):
        assert events[-1].name == "complete"
        assert_contiguous(events, events[0].id or 0)
        if number:
            assert events[-1].data["summary"] == f"number{number}"
            assert events[0].id == (streams[number - 1][-1].id or 0) + 1
    assert await statuses(api, session) == ["completed"] * 4


async def test_an_interrupt_ends_what_runs_and_then_is_answered(api: Api) -> None:
    session = await api.session()
    async with api.post_stream(session, LONG) as first:
        await first.take(8)
        status, body = await api.send(session, "[[sim text instead]]", onBusy="interrupt")
        end = (await first.all())[-1]
    assert (status, body["response"]) == (200, "instead")
    assert code_of(end) == "RUN_CANCELLED"
    assert await statuses(api, session) == ["cancelled", "completed"]


async def test_a_cancel_hits_the_queued_ones_too(api: Api) -> None:
    session = await api.session()
    run = await api.start(session, LONG)
    queued = [await api.start(session, SHORT, onBusy="enqueue") for _ in range(3)]
    status, body = await api.call("POST", f"sessions/{session}/cancel")
    assert (status, body["runId"]) == (202, run)
    for run_id in (run, *queued):
        assert (await api.ended(session, run_id))["status"] == "cancelled"
    assert (await api.send(session, "hello"))[0] == 200


async def test_the_callers_timeout_ends_the_run(api: Api, probe: Probe) -> None:
    session = await api.session()
    sent = time.monotonic()
    status, body = await api.send(session, LONG, timeout=300)
    assert (status, body["error"]["code"]) == (408, "REQUEST_TIMEOUT")
    assert 0.3 <= time.monotonic() - sent < 3.0
    await probe.until(lambda stats: stats["cancelled"] == 1)
    async with api.post_stream(session, LONG, timeout=300) as stream:
        end = (await stream.all())[-1]
    assert code_of(end) == "REQUEST_TIMEOUT"
    row = await api.run(session, end.data["runId"])
    assert (row["status"], row["error"]["code"]) == ("cancelled", "REQUEST_TIMEOUT")


async def test_the_callers_timeout_counts_while_the_message_waits_its_turn(api: Api) -> None:
    session = await api.session()
    live = await api.start(session, LONG)
    sent = time.monotonic()
    status, body = await api.send(session, "hello", timeout=300, onBusy="enqueue")
    assert (status, body["error"]["code"]) == (408, "REQUEST_TIMEOUT")
    assert time.monotonic() - sent < 3.0
    assert (await api.run(session, live))["status"] == "running"
    await api.call("POST", f"sessions/{session}/cancel")
    row = await api.ended(session, body["error"]["details"]["runId"])
    assert (row["status"], row["error"]["code"]) == ("cancelled", "REQUEST_TIMEOUT")


async def test_of_racing_messages_one_runs_and_the_others_are_told_so(api: Api) -> None:
    for _ in range(5):
        session = await api.session()
        answers = await asyncio.gather(
            *(api.send(session, LONG, background=True) for _ in range(6))
        )
        told = sorted((status, body.get("error", {}).get("code", "")) for status, body in answers)
        assert told == [(202, "")] + [(409, "SESSION_BUSY")] * 5
        assert await statuses(api, session) in (["queued"], ["running"])
        await api.call("POST", f"sessions/{session}/cancel")


@pytest.mark.slow
async def test_two_hundred_streams_of_a_hundred_events_each_are_whole(api: Api) -> None:
    sessions = await asyncio.gather(*(api.session() for _ in range(200)))

    async def one(session: str) -> list[Sent]:
        async with api.post_stream(session, "[[sim slow n=100 delay=20ms]]") as stream:
            assert stream.status == 200
            return await stream.all()

    for session, events in zip(sessions, await asyncio.gather(*map(one, sessions)), strict=True):
        assert events[0].data["sessionId"] == session
        assert ids(events) == list(range(1, 110))
        assert events[-1].name == "complete"
        assert [e.text for e in events if e.text] == [f"tok{n} " for n in range(100)]


@pytest.mark.parametrize("how", ["deleted", "expired"])
async def test_a_session_that_ends_ends_its_followers_and_refuses_messages(
    api: Api, how: str
) -> None:
    session = await api.session(**({"timeout": 3000} if how == "expired" else {}))
    async with api.stream(session) as idle:
        await idle.until(lambda event: event.name == "connected")
        if how == "deleted":
            assert (await api.call("DELETE", f"sessions/{session}"))[0] == 204
            asked = time.monotonic()
            await idle.all()
            assert time.monotonic() - asked < 5.0
    if how == "expired":
        await api.eventually(
            lambda: api.get(f"sessions/{session}"), lambda row: row["status"] == "expired"
        )
    status, body = await api.send(session, "hello?")
    wanted = {"deleted": (409, "SESSION_ENDED"), "expired": (410, "SESSION_EXPIRED")}
    assert (status, body["error"]["code"]) == wanted[how]


async def test_deleting_a_session_cancels_its_run_and_tells_all_followers(
    api: Api, probe: Probe
) -> None:
    session = await api.session()
    async with api.stream(session, after=0) as follower, api.post_stream(session, LONG) as stream:
        await stream.take(8)
        await api.call("DELETE", f"sessions/{session}")
        ends: list[Any] = [(await each.all())[-1] for each in (stream, follower)]
    assert [code_of(end) for end in ends] == ["RUN_CANCELLED"] * 2
    assert [end.name in LAST for end in ends] == [True, True]
    await probe.until(lambda stats: stats["cancelled"] == 1)
