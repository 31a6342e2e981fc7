"""A server that is told to end, and one that is killed."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from simulator.testing import SimulatorProcess
from tests.conftest import StartServer
from tests.server_process import ALICE, ServerProcess, copy_of, environment
from tests.streams.client import Api, Sent, ids, numbered
from tests.streams.conftest import USUAL

LONG = "[[sim slow n=3000 delay=10ms]]"


@pytest.fixture
def same_data(
    migrated: Path, simulator: SimulatorProcess, tmp_path: Path
) -> Iterator[list[ServerProcess]]:
    """Servers one after another on the same data; the first runs."""
    env = environment(copy_of(migrated, tmp_path / "data"), SIMULATOR_URL=simulator.url, **USUAL)
    servers = [ServerProcess(env)]
    yield servers
    for server in servers:
        server.stop()


def revive(servers: list[ServerProcess]) -> ServerProcess:
    servers.append(ServerProcess(servers[0].env))
    return servers[-1]


async def test_after_a_kill_the_run_is_lost_and_all_else_goes_on(
    same_data: list[ServerProcess],
) -> None:
    async with Api(same_data[0].url) as api:
        session, other = await api.session(), await api.session()
        await api.send(other, "hello")
        queued: list[str] = []

        async def enqueue() -> None:
            rows = await api.eventually(
                lambda: api.get(f"sessions/{session}/runs"), lambda page: bool(page["runs"])
            )
            queued.append(rows["runs"][0]["runId"])
            queued.append(await api.start(session, "[[sim text next]]", onBusy="enqueue"))

        queueing = asyncio.create_task(enqueue())
        async with api.post_stream(session, LONG) as stream:
            await queueing
            await stream.take(len(numbered(stream.seen)) + 100)
            same_data[0].signal(signal.SIGKILL)
            while await _more(stream):
                pass
        seen = numbered(stream.seen)
    same_data[0].wait(5)
    server = await asyncio.to_thread(revive, same_data)
    async with Api(server.url) as api:
        lost, next_run = queued
        row = await api.ended(session, lost)
        assert (row["status"], row["error"]["code"]) == ("failed", "RUN_LOST")
        assert (await api.ended(session, next_run))["status"] == "completed"
        assert await lost_runs(api) == 1
        status, body = await api.send(session, "[[sim text again]]")
        assert (status, body["response"]) == (200, "again")

        log = await api.log(session)
        known = {event.id: event.raw for event in seen}
        end = log[-1]["id"]
        cursor = 0
        for entry in log:
            if entry["event"] == "gap":
                assert entry["data"] == {"from": cursor + 1, "to": entry["id"]}
            else:
                assert entry["id"] == cursor + 1
                if entry["id"] in known:
                    assert entry["data"] == next(e for e in seen if e.id == entry["id"]).data
            cursor = entry["id"]
        assert [e["event"] for e in log].count("gap") == 1
        told = next(e for e in log if e["event"] == "error")
        assert told["data"]["error"]["code"] == "RUN_LOST"
        assert told["data"]["runId"] == lost
        assert told["id"] > seen[-1].id

        for cursor in (seen[-1].id, seen[-40].id, seen[0].id):
            async with api.stream(session, last=cursor) as stream:
                await stream.until(lambda event: event.id == end)
                assert_no_number_twice(cursor, stream.seen)
        async with api.stream(session, prompt=LONG, last=seen[-1].id) as stream:
            assert [e.name for e in numbered(await stream.all())] == ["gap", "error"]
        assert (await api.send(other, "hello"))[0] == 200


async def lost_runs(api: Api) -> float:
    """How many are counted, which Prometheus must have seen at 0 to notice the first."""
    async with api.http.get(f"{api.url}/metrics") as response:
        text = await response.text()
    rows = re.findall(r'^claudeapi_runs_total\{code="RUN_LOST",.*\} (.*)$', text, re.MULTILINE)
    assert len(rows) == 2
    return sum(map(float, rows))


async def _more(stream: Any) -> bool:
    try:
        async for _ in stream.events():
            return True
    except Exception as error:
        assert isinstance(error, OSError) or "payload" in str(error).lower(), error  # noqa: PT017
    return False


def assert_no_number_twice(cursor: int, events: list[Sent]) -> None:
    for event in numbered(events):
        assert event.id is not None
        if event.name == "gap":
            assert event.data == {"from": cursor + 1, "to": event.id}
        else:
            assert event.id == cursor + 1
        cursor = event.id


async def test_at_sigterm_runs_finish_idle_streams_end_and_new_messages_are_refused(
    start_server: StartServer, simulator: SimulatorProcess
) -> None:
    server = await asyncio.to_thread(start_server, SIMULATOR_URL=simulator.url, **USUAL)
    async with Api(server.url) as api:
        session, idle = await api.session(), await api.session()
        socket_url = f"{server.url.replace('http', 'ws')}/ws/v1/sessions/{idle}"
        async with (
            api.stream(idle) as follower,
            api.stream(session) as busy_follower,
            connect(socket_url, additional_headers={"x-api-key": ALICE}) as socket,
            api.post_stream(session, "[[sim slow n=100 delay=30ms]]") as stream,
        ):
            await socket.recv()
            await follower.until(lambda event: True)
            await stream.take(5)
            server.signal(signal.SIGTERM)
            refused = await api.eventually(
                lambda: api.send(idle, "hello", background=True), lambda got: got[0] != 202
            )
            assert (refused[0], refused[1]["error"]["code"]) == (503, "DRAINING")
            assert [event.name for event in await follower.all()] == ["connected"]
            await socket.wait_closed()
            assert socket.close_code == 1012
            assert (await stream.all())[-1].name == "complete"
            assert ids(stream.seen) == list(range(1, 110))
            assert (await busy_follower.all())[-1].name == "complete"
    assert await asyncio.to_thread(server.wait) == 0
    assert '"error"' not in "".join(line for line in server.output if "level" in line), server.log


@pytest.mark.slow
async def test_who_waits_in_the_queue_of_a_server_that_ends_may_send_again(
    same_data: list[ServerProcess],
) -> None:
    headers = {"Idempotency-Key": "once"}
    message = {"json": {"prompt": "[[sim text mine]]", "onBusy": "enqueue"}, "headers": headers}
    async with Api(same_data[0].url) as api:
        session = await api.session()
        async with api.post_stream(session, "[[sim slow n=100 delay=100ms]]") as stream:
            waiting = asyncio.create_task(
                api.call("POST", f"sessions/{session}/messages", **message)
            )
            await api.eventually(
                lambda: api.get(f"sessions/{session}/runs"), lambda page: len(page["runs"]) == 2
            )
            background = await api.start(session, "[[sim text theirs]]", onBusy="enqueue")
            same_data[0].signal(signal.SIGTERM)
            assert (await stream.all())[-1].name == "complete"
            status, body = await waiting
    assert (status, body["error"]["code"]) == (503, "DRAINING")
    await asyncio.to_thread(same_data[0].wait)
    server = await asyncio.to_thread(revive, same_data)
    async with Api(server.url) as api:
        refused = await api.ended(session, body["error"]["details"]["runId"])
        assert refused["error"]["details"] == {"reason": "draining"}
        assert (await api.ended(session, background))["status"] == "completed"
        status, body = await api.call("POST", f"sessions/{session}/messages", **message)
        assert (status, body["response"]) == (200, "mine")
        rows = (await api.get(f"sessions/{session}/runs"))["runs"]
        told = [row["status"] for row in rows]
        assert told == ["completed", "completed", "cancelled", "completed"]


@pytest.mark.slow
async def test_a_run_longer_than_the_drain_is_cancelled_and_its_clients_are_told(
    start_server: StartServer, simulator: SimulatorProcess
) -> None:
    variables = {**USUAL, "SIMULATOR_URL": simulator.url, "DRAIN_TIMEOUT": "1"}
    server = await asyncio.to_thread(start_server, **variables)
    async with Api(server.url) as api:
        session, waited = await api.session(), await api.session()
        socket_url = f"{server.url.replace('http', 'ws')}/ws/v1/sessions/{session}"
        async with (
            connect(socket_url, additional_headers={"x-api-key": ALICE}) as socket,
            api.post_stream(session, LONG) as stream,
        ):
            await stream.take(5)
            waiting = asyncio.create_task(api.send(waited, LONG))
            queued = asyncio.create_task(api.send(session, "hello", onBusy="enqueue"))
            await api.eventually(
                lambda: api.get(f"sessions/{session}/runs"), lambda page: len(page["runs"]) == 2
            )
            await api.eventually(
                lambda: api.get(f"sessions/{waited}"), lambda row: row["activeRun"] is not None
            )
            asked = time.monotonic()
            server.signal(signal.SIGTERM)
            end = (await stream.all())[-1]
            told = await asyncio.gather(waiting, queued)
            frames: list[str] = []
            with suppress(ConnectionClosedError):
                async for frame in socket:
                    frames.append(json.loads(frame)["event"])
    assert (frames[-1], socket.close_code) == ("error", 1012)
    assert (end.name, end.data["error"]["code"]) == ("error", "RUN_CANCELLED")
    assert end.data["error"]["details"]["reason"] == "draining"
    assert [body["error"]["code"] for _, body in told] == ["RUN_CANCELLED", "DRAINING"]
    assert await asyncio.to_thread(server.wait) == 0
    assert time.monotonic() - asked < 25  # the run alone would take 30
