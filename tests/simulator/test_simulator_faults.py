"""Slow, broken and abandoned replies, over a socket."""

from __future__ import annotations

import asyncio
import time

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic

from simulator.testing import Probe, request_body


async def say(sdk: AsyncAnthropic, prompt: str) -> str:
    """The text of the reply to one prompt, streamed."""
    async with sdk.messages.stream(**request_body(prompt)) as stream:
        return await stream.get_final_text()


async def collect(sdk: AsyncAnthropic, prompt: str, seen: list[str]) -> None:
    """Append every text delta to ``seen``, so that it is known even after a failure."""
    async with sdk.messages.stream(**request_body(prompt)) as stream:
        async for text in stream.text_stream:
            seen.append(text)


async def test_statuses_become_the_sdks_exceptions(sdk: AsyncAnthropic) -> None:
    for code, exception in (
        (401, anthropic.AuthenticationError),
        (403, anthropic.PermissionDeniedError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.InternalServerError),
    ):
        with pytest.raises(exception):
            await say(sdk, f"[[sim status {code}]]")


async def test_a_retry_after_two_failures_succeeds(probe: Probe, sdk: AsyncAnthropic) -> None:
    patient = sdk.with_options(max_retries=2)
    prompt = "[[sim status code=529 times=2 retry-after=0.001]] [[sim text good]]"
    message = await patient.messages.create(**request_body(prompt))
    assert message.content[0].type == "text"
    assert message.content[0].text == "good"
    assert (await probe.stats())["refused"] == 2


async def test_an_error_in_mid_stream(sdk: AsyncAnthropic) -> None:
    prompt = "[[sim midstream-error type=api_error after=3]]"
    seen: list[str] = []
    with pytest.raises(anthropic.APIStatusError) as failed:
        await collect(sdk, prompt, seen)
    assert seen == ["tok0 ", "tok1 ", "tok2 "]
    assert failed.value.type == "api_error"
    whole = await sdk.messages.create(**request_body(prompt))
    assert whole.stop_reason == "end_turn"


async def test_a_cut(probe: Probe, sdk: AsyncAnthropic) -> None:
    seen: list[str] = []
    with pytest.raises(httpx2.RemoteProtocolError):
        await collect(sdk, "[[sim cut after=5]]", seen)
    assert len(seen) == 5
    with pytest.raises(httpx2.RemoteProtocolError):
        await probe.post("[[sim cut]]")
    stats = await probe.until(lambda stats: stats["in_flight"] == 0)
    assert stats["cut"] == 2


async def test_a_stall_with_pings_goes_on_afterwards(probe: Probe) -> None:
    prompt = "[[sim slow n=4 delay=0]] [[sim stall after=2 pings=true every=10ms for=500ms]]"
    response = await probe.post(prompt, stream=True)
    before, *pings, after = response.text.split("event: ping")[1:]
    assert (before.count("text_delta"), after.count("text_delta")) == (2, 2)
    assert len(pings) >= 3


async def test_a_silence_and_a_stall_outlast_the_clients_patience(probe: Probe) -> None:
    for prompt in ("[[sim silence]]", "[[sim stall after=1]]"):
        with pytest.raises(httpx2.ReadTimeout):
            await probe.http.post(
                "/v1/messages", json=request_body(prompt, stream=True), timeout=0.05
            )
    stats = await probe.until(lambda stats: stats["in_flight"] == 0)
    assert stats["cancelled"] == 2


@pytest.mark.parametrize(
    "prompt",
    ["[[sim slow n=1000 delay=10ms]]", "[[sim stall after=3]]", "[[sim burst n=1000000]]"],
)
async def test_a_client_that_leaves_is_noticed_at_once(probe: Probe, prompt: str) -> None:
    async with probe.http.stream(
        "POST", "/v1/messages", json=request_body(prompt, stream=True)
    ) as r:
        async for line in r.aiter_lines():
            if "tok2 " in line:
                break
    left = time.monotonic()
    await probe.until(lambda stats: stats["cancelled"] == 1)
    entry = (await probe.requests())[-1]
    assert entry["outcome"] == "cancelled"
    assert entry["deltas_sent"] < 1_000_000
    assert entry["ended_monotonic"] - left < 0.5


async def test_a_client_that_leaves_before_any_answer(probe: Probe) -> None:
    asked = asyncio.create_task(probe.post("[[sim silence]]"))
    await probe.until(lambda stats: stats["in_flight"] == 1)
    asked.cancel()
    stats = await probe.until(lambda stats: stats["in_flight"] == 0)
    assert stats["cancelled"] == 1


async def test_a_slow_stream_keeps_its_schedule(sdk: AsyncAnthropic) -> None:
    started = time.monotonic()
    text = await say(sdk, "[[sim slow n=201 delay=2ms]]")
    took = time.monotonic() - started
    assert text.split() == [f"tok{number}" for number in range(201)]
    assert 0.4 <= took < 5


async def test_a_burst_arrives_whole(sdk: AsyncAnthropic) -> None:
    text = await say(sdk, "[[sim burst n=10000]]")
    assert text == "".join(f"tok{number} " for number in range(10000))


async def test_a_big_reply_has_exactly_its_size(sdk: AsyncAnthropic) -> None:
    assert len(await say(sdk, "[[sim big size=2MB chunk=10KB]]")) == 2_000_000
    assert len(await say(sdk, "[[sim big size=1001 chunk=10]]")) == 1001


async def test_a_reader_who_does_not_read_stops_the_writer(probe: Probe) -> None:
    body = request_body("[[sim big size=200MB]]", stream=True)
    async with probe.http.stream("POST", "/v1/messages", json=body):
        await probe.until(lambda stats: stats["in_flight"] == 1)
        sent = -1
        async with asyncio.timeout(5):
            while sent != (sent := ((await probe.requests())[-1])["deltas_sent"]):
                await probe.stats()
    assert 0 < sent < 50_000
