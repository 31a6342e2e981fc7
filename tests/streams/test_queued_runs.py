"""Messages that wait their turn behind a long run, and are stopped before it comes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.streams.client import Api, assert_contiguous, numbered
from tests.streams.test_run_control import LONG

SOON = 3.0


async def queued_behind(api: Api, session: str, live: str) -> str:
    """The id of the run that came after the live one."""
    page = await api.eventually(
        lambda: api.get(f"sessions/{session}/runs"), lambda page: len(page["runs"]) == 2
    )
    assert page["runs"][1]["runId"] == live
    return str(page["runs"][0]["runId"])


async def cancelled(api: Api, session: str, run: str) -> Any:
    """The run's row, once it is cancelled, which must be soon."""
    return await api.eventually(
        lambda: api.run(session, run), lambda row: row["status"] == "cancelled", SOON
    )


@pytest.mark.parametrize("streams", [False, True])
async def test_a_client_that_leaves_the_queue_takes_its_message_with_it(
    api: Api, streams: bool
) -> None:
    session = await api.session()
    live = await api.start(session, LONG)
    fields = {"stream": streams, "onBusy": "enqueue", "onDisconnect": "cancel"}
    asked = asyncio.create_task(api.send(session, "never mind", **fields))
    waiting = await queued_behind(api, session, live)
    asked.cancel()
    row = await cancelled(api, session, waiting)
    assert (row["startedAt"], row["durationMs"]) == (None, 0)
    assert row["error"]["details"] == {"reason": "client_left"}
    assert (await api.run(session, live))["status"] == "running"
    await api.call("POST", f"sessions/{session}/cancel")


async def test_what_was_stopped_in_the_queue_is_told_of_in_the_midst_of_the_live_run(
    api: Api,
) -> None:
    session = await api.session()
    async with api.post_stream(session, "[[sim slow n=150 delay=20ms]]") as stream:
        await stream.take(5)
        live = stream.seen[0].data["runId"]
        async with api.stream(session, after=0) as follower:
            status, body = await api.send(session, "too late", onBusy="enqueue", timeout=100)
            assert (status, body["error"]["code"]) == (408, "REQUEST_TIMEOUT")
            run = body["error"]["details"]["runId"]
            end = await follower.until(lambda event: event.name == "error")
            assert end.data["runId"] == run
            await follower.until(lambda event: event.name == "complete")
        assert (await stream.all())[-1].data["runId"] == live
    assert_contiguous(numbered(follower.seen), 1)
    log = await api.log(session)
    assert [entry["id"] for entry in log] == list(range(1, len(log) + 1))
    own = [(e["event"], e["id"]) for e in log if e["data"]["runId"] == run]
    assert own == [("message", end.id - 1), ("error", end.id)]
    said = (await api.get(f"sessions/{session}/messages"))["messages"]
    row = await api.run(session, run)
    assert [entry["sequence"] for entry in said if entry["id"] == row["messageId"]] == [end.id - 1]


async def test_an_interrupt_goes_before_what_waits_and_leaves_it_there(api: Api) -> None:
    session = await api.session()
    live = await api.start(session, LONG)
    waiting = await api.start(session, "[[sim text waited]]", onBusy="enqueue")
    first, second = [
        await api.start(session, f"[[sim slow n={n} delay=20ms]]", onBusy="interrupt")
        for n in (500, 20)
    ]
    ended = [await api.ended(session, run) for run in (live, first, second, waiting)]
    assert [row["status"] for row in ended] == ["cancelled", "cancelled", "completed", "completed"]
    assert ended[2]["finishedAt"] <= ended[3]["startedAt"]


async def test_the_model_is_not_told_what_was_stopped_in_the_queue(api: Api) -> None:
    session = await api.session()
    await api.start(session, "[[sim slow n=50 delay=60ms]]")
    assert (await api.send(session, "forget it", onBusy="enqueue", timeout=50))[0] == 408
    status, body = await api.send(session, "How many messages?", onBusy="enqueue")
    assert status == 200
    assert "has 2 earlier messages" in body["response"], body["response"]


async def test_a_browser_goes_on_with_its_run_past_one_stopped_in_the_queue(api: Api) -> None:
    session = await api.session()
    prompt = "[[sim slow n=150 delay=20ms]]"
    async with api.stream(session, prompt=prompt) as stream:
        await stream.take(5)
        await api.send(session, "too late", onBusy="enqueue", timeout=50)
        reached = (await stream.until(lambda event: "tok60 " in event.text)).id
    async with api.stream(session, prompt=prompt, last=reached) as stream:
        assert (await stream.all())[-1].name == "complete"
