"""However the upstream ends, the waiting POST, the stream and the run say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.testing import SimulatorProcess
from tests.conftest import StartServer
from tests.engines.raw_upstream import HEAD, RawUpstream, frames, says
from tests.server_process import ServerProcess, copy_of, environment
from tests.streams.client import LAST, Api
from tests.streams.conftest import USUAL

FAILURES = [
    ("[[sim status code=400 message=no]]", 502, "UPSTREAM_REJECTED"),
    ("[[sim status code=401]]", 502, "UPSTREAM_REJECTED"),
    ("[[sim status code=403]]", 502, "UPSTREAM_REJECTED"),
    ("[[sim status code=429]]", 503, "UPSTREAM_OVERLOADED"),
    ("[[sim status code=529]]", 503, "UPSTREAM_OVERLOADED"),
    ("[[sim status code=500]]", 502, "UPSTREAM_ERROR"),
    ("[[sim midstream-error type=overloaded_error after=3]]", 503, "UPSTREAM_OVERLOADED"),
    ("[[sim midstream-error type=api_error after=3]]", 502, "UPSTREAM_ERROR"),
    ("[[sim cut after=0]]", 502, "UPSTREAM_ERROR"),
    ("[[sim cut after=5]]", 502, "UPSTREAM_ERROR"),
    ("[[sim stall after=3]]", 504, "UPSTREAM_TIMEOUT"),
    ("[[sim stall after=3 pings=true every=50ms]]", 504, "UPSTREAM_TIMEOUT"),
    ("[[sim silence]]", 504, "UPSTREAM_TIMEOUT"),
]
ENDINGS = [
    ("hello", "end_turn"),
    ("[[sim text some]] [[sim max_tokens]]", "max_tokens"),
    ("[[sim refusal]]", "refusal"),
]


@pytest.fixture(scope="module")
def impatient(
    migrated: Path, simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server whose upstream has three seconds to say something, retries included."""
    data_dir = copy_of(migrated, tmp_path_factory.mktemp("impatient"))
    variables = {**USUAL, "SIMULATOR_URL": simulator.url, "UPSTREAM_IDLE_TIMEOUT": "3"}
    process = ServerProcess(environment(data_dir, **variables))
    yield process
    process.stop()


async def waited(api: Api, prompt: str) -> tuple[int, Any, Any]:
    session = await api.session()
    status, body = await api.send(session, prompt)
    runs = (await api.get(f"sessions/{session}/runs"))["runs"]
    assert len(runs) == 1
    return status, body, runs[0]


async def streamed(api: Api, prompt: str) -> tuple[Any, Any]:
    session = await api.session()
    async with api.post_stream(session, prompt) as stream:
        assert stream.status == 200
        end = (await stream.all())[-1]
    assert [event.name in LAST for event in stream.seen].count(True) == 1
    return end, (await api.get(f"sessions/{session}/runs"))["runs"][0]


async def test_every_failure_has_its_code_on_all_three(impatient: ServerProcess) -> None:
    async def check(api: Api, prompt: str, status: int, code: str) -> None:
        (told, body, row), (end, streamed_row) = await asyncio.gather(
            waited(api, prompt), streamed(api, prompt)
        )
        assert (told, body["error"]["code"]) == (status, code), prompt
        assert body["error"]["details"]["runId"] == row["runId"]
        assert end.name == "error"
        assert end.data["error"]["code"] == code, prompt
        assert end.data["runId"] == streamed_row["runId"]
        assert end.data["requestId"] == streamed_row["requestId"]
        for run in (row, streamed_row):
            assert (run["status"], run["error"]["code"]) == ("failed", code), prompt
            assert run["finishedAt"]

    async with Api(impatient.url) as api:
        await asyncio.gather(*(check(api, *failure) for failure in FAILURES))


@pytest.mark.parametrize(("prompt", "reason"), ENDINGS)
async def test_every_whole_reply_is_completed_with_its_stop_reason(
    api: Api, prompt: str, reason: str
) -> None:
    status, body, row = await waited(api, prompt)
    assert (status, body["stopReason"]) == (200, reason)
    assert (row["status"], row["stopReason"]) == ("completed", reason)
    end, row = await streamed(api, prompt)
    assert (end.name, end.data["stopReason"]) == ("complete", reason)
    assert (row["status"], row["stopReason"]) == ("completed", reason)
    assert row["usage"] == end.data["usage"]
    assert sum(row["usage"].values()) > row["usage"]["outputTokens"] > 0


async def test_after_a_failure_the_next_message_works_and_knows_the_conversation(api: Api) -> None:
    session = await api.session()
    await api.send(session, "[[sim cut after=5]]")
    status, body = await api.send(session, "and now?")
    assert (status, body["stopReason"]) == (200, "end_turn")


async def test_a_reply_with_absurd_figures_is_an_end_all_the_same(
    start_server: StartServer,
) -> None:
    absurd = frames("hi").replace(b'"end_turn"', b"7").replace(b'_tokens":7', b'_tokens":-7')
    absurd = absurd.replace(b'"input_tokens":12', b'"input_tokens":123456789012345678901')
    async with RawUpstream(says(HEAD, absurd)) as upstream:
        server = await asyncio.to_thread(
            start_server, ANTHROPIC_BASE_URL=upstream.url, ANTHROPIC_API_KEY="sk-none", **USUAL
        )
        async with Api(server.url) as api:
            status, body, row = await waited(api, "hello")
    assert (status, body["response"], body["stopReason"]) == (200, "hi", None)
    assert (row["status"], row["usage"]["outputTokens"]) == ("completed", 0)


async def test_a_reply_without_message_stop_is_never_completed(start_server: StartServer) -> None:
    cut = iter(range(8))

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(HEAD, frames("one", "two", until=next(cut)))(reader, writer)

    async with RawUpstream(script) as upstream:
        server = await asyncio.to_thread(
            start_server, ANTHROPIC_BASE_URL=upstream.url, ANTHROPIC_API_KEY="sk-none", **USUAL
        )
        async with Api(server.url) as api:
            for _ in range(7):
                status, body, row = await waited(api, "hello")
                assert (status, body["error"]["code"]) == (502, "UPSTREAM_ERROR")
                assert (row["status"], row["error"]["code"]) == ("failed", "UPSTREAM_ERROR")
            status, _, row = await waited(api, "hello")
            assert (status, row["status"]) == (200, "completed")
