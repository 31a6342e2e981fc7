"""A stream that broke off goes on exactly after the last number that its client saw."""

from __future__ import annotations

import asyncio

import pytest

from sessions_app import hub
from simulator.testing import Probe
from tests.streams.client import (
    LAST,
    Api,
    Sent,
    assert_contiguous,
    ids,
    numbered,
)

BURST = 20_000
AROUND = 9
"""Events of a run besides its deltas: the user's message, the reply's frame, its end."""


def wire(events: list[Sent]) -> list[tuple[int | None, bytes]]:
    return [(event.id, event.raw) for event in events]


async def rest_of(api: Api, session: str, enough: int, **cursor: int) -> list[Sent]:
    """What a follower gets after a cursor, up to a number."""
    async with api.stream(session, **cursor) as stream:
        await stream.until(lambda event: event.id == enough)
        return numbered(stream.seen)


@pytest.mark.parametrize("cursor", ["last", "after"])
async def test_a_finished_stream_resumes_at_every_number(api: Api, cursor: str) -> None:
    session = await api.session()
    async with api.post_stream(session, "[[sim slow n=40 delay=8ms]]") as stream:
        events = numbered(await stream.all())
    end = len(events)
    resumed = await asyncio.gather(
        *(rest_of(api, session, end, **{cursor: number}) for number in range(end))
    )
    for number, got in enumerate(resumed):
        assert wire(got) == wire(events[number:])


async def test_a_running_stream_resumes_at_every_number(api: Api) -> None:
    session = await api.session()
    followers: list[asyncio.Task[list[Sent]]] = []
    async with api.post_stream(session, "[[sim slow n=50 delay=20ms]]") as stream:
        async for event in stream.events():
            if event.id is not None and event.name not in LAST:
                # With a cursor one back, so that the event just seen comes again, live or not.
                follower = rest_of(api, session, 50 + AROUND, last=event.id - 1)
                followers.append(asyncio.create_task(follower))
    events = numbered(stream.seen)
    assert len(events) == 50 + AROUND
    for number, got in enumerate(await asyncio.gather(*followers)):
        assert wire(got) == wire(events[number:])


async def test_a_long_stream_resumes_over_the_edges_of_ring_and_rows(api: Api) -> None:
    session = await api.session()
    async with api.post_stream(session, f"[[sim burst n={BURST}]]") as stream:
        events = numbered(await stream.all())
    assert_contiguous(events, 1)
    end = len(events)
    assert end > BURST
    edge = end - hub.MAX_EVENTS
    cursors = [0, 1, 499, 500, 511, 512, edge - 1, edge, edge + 1, end - 2, end - 1]
    resumed = await asyncio.gather(
        *(rest_of(api, session, end, after=number) for number in cursors)
    )
    for number, got in zip(cursors, resumed, strict=True):
        assert wire(got) == wire(events[number:]), number


async def test_a_follower_that_falls_behind_reads_on_from_the_log(api: Api) -> None:
    session = await api.session()
    async with api.stream(session, after=0) as slow:
        await slow.until(lambda event: event.name == "connected")
        # It reads nothing while far more than the ring holds goes by.
        run = await api.start(session, "[[sim burst n=30000]]")
        row = await api.ended(session, run)
        assert row["status"] == "completed"
        await slow.until(lambda event: event.name in LAST)
    assert_contiguous(numbered(slow.seen), 1)
    assert len(ids(slow.seen)) > 30_000


async def test_a_second_run_is_seen_from_any_number_of_the_first(api: Api) -> None:
    session = await api.session()
    for _ in range(2):
        async with api.post_stream(session, "hello") as stream:
            await stream.all()
    end = ids(stream.seen)[-1]
    whole = await rest_of(api, session, end, after=0)
    assert_contiguous(whole, 1)
    assert [event.name for event in whole].count("complete") == 2
    assert ids(stream.seen)[0] > 1


async def test_a_browser_that_reconnects_does_not_send_its_prompt_twice(
    api: Api, probe: Probe
) -> None:
    session = await api.session()
    prompt = "[[sim slow n=20 delay=20ms]]"
    async with api.stream(session, prompt=prompt) as stream:
        first = await stream.take(5)
    async with api.stream(session, prompt=prompt, last=5) as stream:
        rest = numbered(await stream.all())
    assert ids(first)[:5] + ids(rest) == list(range(1, ids(rest)[-1] + 1))
    assert rest[-1].name == "complete"
    async with api.stream(session, prompt=prompt, last=rest[-1].id) as stream:
        assert stream.status == 204
    async with api.stream(session, prompt=prompt, last=rest[-1].id - 1) as stream:
        assert [event.name for event in numbered(await stream.all())] == ["complete"]
    assert (await probe.stats())["total"] == 1
    assert len((await api.get(f"sessions/{session}/runs"))["runs"]) == 1


async def test_a_browser_resumes_its_own_run_though_another_came_after(api: Api) -> None:
    session = await api.session()
    async with api.stream(session, prompt="one") as stream:
        one = numbered(await stream.all())
    async with api.stream(session, prompt="two") as stream:
        await stream.all()
    async with api.stream(session, prompt="one", last=3) as stream:
        rest = numbered(await stream.all())
    assert wire(rest) == wire(one[3:])


async def test_a_session_that_is_over_is_replayed_and_ends(api: Api) -> None:
    session = await api.session()
    async with api.post_stream(session, "hello") as stream:
        events = numbered(await stream.all())
    await api.call("DELETE", f"sessions/{session}")
    async with api.stream(session, after=0) as stream:
        assert wire(numbered(await stream.all())) == wire(events)
    async with api.stream(session, after=events[-1].id) as stream:
        assert stream.status == 204
    async with api.stream(session) as stream:
        assert stream.status == 204
