"""A client that leaves is noticed at once, and its run ends if that was asked for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest

from simulator.testing import Probe
from tests.server_process import ALICE
from tests.streams.client import PATIENCE, Api
from tests.timing import fastest

SOON = 0.25
LONG = "[[sim slow n=1000 delay=20ms]]"


async def cancelled_upstream(probe: Probe, left: float) -> float:
    """Seconds from leaving to the end of the upstream's request."""
    await probe.until(lambda stats: stats["cancelled"] >= 1)
    return float((await probe.requests())[-1]["ended_monotonic"]) - left


async def open_streams(api: Api, kind: str = "sse") -> int:
    """How many streams the server knows to be open."""
    async with api.http.get(f"{api.url}/metrics") as response:
        text = await response.text()
    wanted = f'claudeapi_streams_open{{kind="{kind}"}} '
    found = [line for line in text.splitlines() if line.startswith(wanted)]
    return int(float(found[0].rpartition(" ")[2])) if found else 0


@pytest.mark.parametrize("way", ["messages", "stream", "get"])
async def test_leaving_cancels_the_upstream_request_if_asked(
    api: Api, probe: Probe, way: str
) -> None:
    async def measure() -> float:
        await probe.reset()
        session = await api.session()
        if way == "get":
            opened = api.stream(session, prompt=LONG, onDisconnect="cancel")
        else:
            opened = api.post_stream(session, LONG, way, onDisconnect="cancel")
        async with opened as stream:
            await stream.take(8)
            left = time.monotonic()
            stream.leave()
            took = await cancelled_upstream(probe, left)
        runs = (await api.get(f"sessions/{session}/runs"))["runs"]
        row = await api.ended(session, runs[0]["runId"])
        assert (row["status"], row["error"]["code"]) == ("cancelled", "RUN_CANCELLED")
        return took

    await fastest(measure, SOON)


async def waiting_post(api: Api, session: str, **fields: Any) -> asyncio.StreamWriter:
    """A POST that waits for its reply, on a socket of its own."""
    host, _, port = api.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    body = orjson.dumps({"prompt": LONG, **fields})
    head = (
        f"POST /api/v1/sessions/{session}/messages HTTP/1.1\r\nHost: {host}\r\n"
        f"x-api-key: {ALICE}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    return writer


async def test_leaving_a_waiting_post_cancels_the_upstream_request_if_asked(
    api: Api, probe: Probe
) -> None:
    async def measure() -> float:
        await probe.reset()
        writer = await waiting_post(api, await api.session(), onDisconnect="cancel")
        await probe.until(lambda stats: stats["in_flight"] == 1)
        left = time.monotonic()
        writer.close()
        return await cancelled_upstream(probe, left)

    await fastest(measure, SOON)


async def test_leaving_at_once_cancels_a_run_that_has_hardly_begun(api: Api, probe: Probe) -> None:
    sessions = [await api.session() for _ in range(10)]
    for session in sessions:
        writer = await waiting_post(api, session, onDisconnect="cancel")
        await writer.drain()
        writer.transport.abort()

    async def rows() -> list[Any]:
        pages = [await api.get(f"sessions/{session}/runs") for session in sessions]
        return [run for page in pages for run in page["runs"]]

    def ended(runs: list[Any]) -> bool:
        return bool(runs) and all(run["finishedAt"] for run in runs)

    # One that came too late to be a run is none.
    runs = await api.eventually(rows, ended)
    assert {run["status"] for run in runs} == {"cancelled"}


async def test_a_run_goes_on_without_its_client_unless_told_otherwise(api: Api) -> None:
    session = await api.session()
    async with api.post_stream(session, "[[sim slow n=30 delay=20ms]]") as stream:
        await stream.take(5)
        stream.leave()
    run = (await api.get(f"sessions/{session}/runs"))["runs"][0]["runId"]
    row = await api.ended(session, run)
    assert row["status"] == "completed"


async def test_a_follower_that_leaves_is_noticed_at_once(api: Api) -> None:
    session = await api.session()

    async def measure() -> float:
        before = await open_streams(api)
        async with api.stream(session) as stream:
            await stream.until(lambda event: True)
            assert await open_streams(api) == before + 1
            left = time.monotonic()
            stream.leave()
            await api.eventually(lambda: open_streams(api), lambda count: count == before)
            return time.monotonic() - left

    await fastest(measure, SOON)


async def test_leaving_in_the_middle_of_a_long_replay_does_not_wedge_the_server(api: Api) -> None:
    session = await api.session()
    run = await api.start(session, "[[sim burst n=20000]]")
    await api.ended(session, run)
    before = await open_streams(api)
    for _ in range(5):
        async with api.stream(session, after=0) as stream:
            await stream.take(100)
            stream.leave()
        asked = time.monotonic()
        await api.eventually(lambda: open_streams(api), lambda count: count == before)
        assert time.monotonic() - asked < 5.0
    async with asyncio.timeout(PATIENCE):
        assert (await api.send(session, "still there?"))[0] == 200


async def test_the_run_is_cancelled_also_when_leaving_while_its_replay_lasts(
    api: Api, probe: Probe
) -> None:
    session = await api.session()
    prompt = "[[sim burst n=20000]] [[sim stall after=20000 for=60s]]"
    async with api.stream(session, prompt=prompt, onDisconnect="cancel") as stream:
        await stream.take(100)
        await probe.until(lambda stats: stats["in_flight"] == 1)
        left = time.monotonic()
        stream.leave()
        await cancelled_upstream(probe, left)
