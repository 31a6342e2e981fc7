"""No number is missing or doubled without a gap, whatever happens in whatever order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import orjson
import pytest
from django.db import OperationalError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from claudeapi.core import database
from sessions_app import eventlog, hub, logwriter
from sessions_app.eventlog import LostOwnership
from sessions_app.hub import Event, Topic
from sessions_app.logwriter import LogWriter

BOUND = 20.0


def event(number: int, size: int = 10, name: str = "message", partial: bool = True) -> Event:
    data = orjson.dumps({"n": number, "x": "y" * size})
    return Event(number, name, uuid4().hex, partial, data)


events_strategy = st.lists(
    st.builds(
        Event,
        id=st.integers(1, 2**40),
        name=st.sampled_from(["message", "approval", "complete", "error"]),
        run_id=st.one_of(st.just(""), st.uuids().map(lambda u: u.hex)),
        partial=st.booleans(),
        data=st.text().map(orjson.dumps),
    ),
    min_size=1,
)


@given(events_strategy)
def test_a_chunk_is_decoded_as_it_was_encoded(events: list[Event]) -> None:
    assert eventlog.decode(eventlog.encode(events)) == events


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 200_000)), min_size=1, max_size=40))
def test_rows_hold_consecutive_events_and_leave_none_out(steps: list[tuple[int, int]]) -> None:
    number, events = 0, []
    for skip, size in steps:
        number += 1 + skip
        events.append(event(number, size))
    parts = list(eventlog.split_chunks(events))
    assert [e for part in parts for e in part] == events
    for part in parts:
        assert [e.id for e in part] == list(range(part[0].id, part[0].id + len(part)))
        assert sum(len(e.data) for e in part[:-1]) < eventlog.CHUNK_BYTES


def test_a_gap_is_numbered_by_its_end() -> None:
    told = eventlog.gap(3, 9)
    assert (told.id, told.name, orjson.loads(told.data)) == (9, "gap", {"from": 3, "to": 9})


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("publish"), st.integers(1, 12)),
            st.tuples(st.just("write"), st.integers(0, 12)),
            st.tuples(st.just("skip"), st.integers(1, 5)),
        ),
        max_size=60,
    )
)
def test_a_ring_keeps_what_is_not_written_and_never_skips(ops: list[tuple[str, int]]) -> None:
    topic, next_id, unwritten = Topic(), 1, 1
    with patch.object(hub, "MAX_EVENTS", 10):
        for kind, count in ops:
            if kind == "publish":
                topic.publish([event(next_id + i) for i in range(count)])
                next_id += count
            elif kind == "write":
                last = min(unwritten + count, next_id) - 1
                topic.mark_written(last)
                unwritten = last + 1
            elif next_id > 1:  # an earlier writer's numbers stay unused
                topic.mark_written(next_id - 1)
                next_id += count
                unwritten = next_id
            for cursor in range(next_id):
                got = topic.since(cursor)
                if got:
                    numbers = [e.id for e in got]
                    assert numbers == list(range(cursor + 1, cursor + 1 + len(numbers)))
            held = topic.since(max(unwritten - 1, 0))
            if next_id > unwritten:
                assert held is not None
                assert [e.id for e in held] == list(range(unwritten, next_id))[: hub.BATCH]


class World:
    """A database that may be slow, and processes that may die, for one session."""

    def __init__(self, delays: Iterator[int]) -> None:
        self.session = uuid4()
        self.rows: list[Event] = []
        self.given: dict[int, Event] = {}
        self.next = 1
        self.reserved = 0
        self.topic = hub.hub.join(self.session, writing=True)
        self.pending: list[Event] = []
        self._delays = delays

    def append(self, count: int) -> None:
        for _ in range(count):
            new = event(self.next)
            self.reserved = max(self.reserved, new.id + 3)
            self.given[new.id] = new
            self.pending.append(new)
            self.topic.publish([new])
            self.next += 1

    def flush(self, count: int) -> None:
        written, self.pending = self.pending[:count], self.pending[count:]
        self.rows += written
        if written:
            self.topic.mark_written(written[-1].id)

    def crash(self, count: int) -> None:
        """The writer dies: what was not written is lost, its numbers stay unused."""
        self.pending = []
        self.next = self.reserved + 1
        self.elsewhere(count)

    def elsewhere(self, count: int) -> None:
        """Another process writes the next run; we hear of it."""
        self.flush(len(self.pending))
        for _ in range(count):
            new = event(self.next)
            self.given[new.id] = new
            self.rows.append(new)
            self.next += 1
        self.reserved = max(self.reserved, self.next - 1)
        if self.rows:
            self.topic.tell(self.rows[-1].id)

    async def in_db(self, fn: Callable[..., Any], *args: Any) -> Any:
        for _ in range(next(self._delays)):
            await asyncio.sleep(0)
        result = fn(*args)
        for _ in range(next(self._delays)):
            await asyncio.sleep(0)
        return result

    def read(self, session: UUID, after: int) -> list[Event]:
        found: list[Event] = []
        for row in self.rows:
            if row.id > after:
                if row.id > after + 1:
                    found.append(eventlog.gap(after + 1, row.id - 1))
                found.append(row)
                after = row.id
        return found[:7]

    def last(self, session: UUID) -> int:
        return self.rows[-1].id if self.rows else 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        with (
            patch.object(eventlog, "in_db", self.in_db),
            patch.object(eventlog, "read", self.read),
            patch.object(eventlog, "last_event_id", self.last),
            patch.object(hub, "MAX_EVENTS", 8),
            patch.object(hub, "BATCH", 5),
        ):
            yield


async def watch(world: World, after: int, paces: Iterator[int], seen: list[Event]) -> None:
    async with aclosing(eventlog.follow(world.session, after)) as batches:
        async for batch in batches:
            seen.extend(batch)
            for _ in range(next(paces)):
                await asyncio.sleep(0)


def check(world: World, after: int, seen: Sequence[Event]) -> None:
    cursor = after
    for got in seen:
        if got.name == "gap":
            told = orjson.loads(got.data)
            assert (told["from"], told["to"]) == (cursor + 1, got.id)
            assert got.id >= told["from"]
        else:
            assert got.id == cursor + 1
            assert got == world.given[got.id]
        cursor = got.id


def cycle(values: list[int]) -> Iterator[int]:
    while True:
        yield from values


ops_strategy = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "flush", "crash", "elsewhere", "wake", "follow"]),
        st.integers(0, 12),
        st.integers(0, 4),
    ),
    max_size=30,
)
pace_strategy = st.lists(st.integers(0, 5), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(ops_strategy, pace_strategy, pace_strategy)
def test_followers_miss_nothing_whatever_is_interleaved(
    ops: list[tuple[str, int, int]], delays: list[int], paces: list[int]
) -> None:
    asyncio.run(_interleave(ops, delays, paces))


async def _interleave(ops: list[tuple[str, int, int]], delays: list[int], paces: list[int]) -> None:
    world = World(cycle(delays))
    followers: list[tuple[int, list[Event], asyncio.Task[None]]] = []

    def follow(after: int) -> None:
        seen: list[Event] = []
        pace = cycle([*paces[len(followers) % len(paces) :], *paces])
        task = asyncio.create_task(watch(world, after, pace, seen))
        followers.append((after, seen, task))

    with world.installed():
        follow(0)
        for kind, count, pause in ops:
            if kind == "wake":
                world.topic.wake()
            elif kind == "follow":
                follow(min(count, world.last(world.session)))
            else:
                getattr(world, kind)(count)
            for _ in range(pause):
                await asyncio.sleep(0)
        world.elsewhere(1)  # so that there is an end that all must reach
        end = world.rows[-1].id
        try:
            # Far below the 15 s after which a follower looks by itself: no wake-up is lost.
            async with asyncio.timeout(BOUND / 4):
                while not all(seen and seen[-1].id == end for _, seen, _ in followers):  # noqa: ASYNC110
                    await asyncio.sleep(0)
        except TimeoutError:
            raise AssertionError([[e.id for e in seen] for _, seen, _ in followers]) from None
        finally:
            for _, _, task in followers:
                task.cancel()
            await asyncio.gather(*(t for _, _, t in followers), return_exceptions=True)
            hub.hub.leave(world.session, writing=True)
    for after, seen, _ in followers:
        check(world, after, seen)
    assert hub.hub.get(world.session) is None


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["plain", "durable", "left", "pause"]), st.integers(1, 9))),
    st.lists(st.booleans(), max_size=12),
)
@example([("left", 1)], [True] * 2)
def test_a_writer_loses_nothing_when_the_database_fails_now_and_then(
    ops: list[tuple[str, int]], faults: list[bool]
) -> None:
    asyncio.run(_write(ops, faults))


async def _write(ops: list[tuple[str, int]], faults: list[bool]) -> None:
    session, run = uuid4(), uuid4()
    stored: list[Event] = []
    acted: set[int] = set()
    acting: list[int] = []
    trouble = iter(faults)

    async def in_db(fn: Callable[..., Any], *args: Any) -> Any:
        await asyncio.sleep(0)
        if next(trouble, False):
            raise OperationalError("database is locked")
        return fn(*args)

    def flush(
        _: UUID, __: UUID, events: list[Event], messages: Any, reserve: int, acts: Any
    ) -> None:
        assert not events or reserve >= events[-1].id
        stored.extend(events)
        for act in acts:
            act()

    def conclude(events: Sequence[Event], messages: Any, acts: Any) -> Event:
        last = event(writer.last + 1, name="complete")
        stored.extend([*events, last])
        for act in acts:
            act()
        return last

    with (
        patch.object(logwriter, "in_db", in_db),
        patch.object(logwriter, "flush", flush),
        patch.object(logwriter, "last_event_id", lambda _: stored[-1].id if stored else 0),
        patch.object(database, "RETRY_SECONDS", 0),
        patch.object(logwriter, "FLUSH_SECONDS", 0.001),
        patch.object(logwriter, "RESERVE", 4),
        patch.object(logwriter, "PENDING_BYTES", 100),
    ):
        writer = LogWriter(session, run, 1, 4)
        shown: list[Event] = []
        topic = hub.hub.join(session)
        for kind, count in ops:
            for _ in range(count if kind != "pause" else 0):
                number = await writer.number()
                if kind == "plain":
                    writer.append(event(number, 40))
                    continue
                acting.append(number)
                waiting = asyncio.create_task(
                    writer.append_durably(event(number, 40), act=partial(acted.add, number))
                )
                if kind == "durable":
                    await waiting
                    assert stored[-1].id >= number
                else:
                    await asyncio.sleep(0)
                    waiting.cancel()
                    await asyncio.wait({waiting})
            await asyncio.sleep(0)
        while True:
            try:
                await writer.conclude(conclude)
                break
            except OperationalError:
                continue
        shown += topic.since(0) or []
        writer.close()
        hub.hub.leave(session)
    numbers = [e.id for e in stored]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [e.id for e in shown] == numbers[: len(shown)]
    assert acted == set(acting)


async def test_a_writer_that_lost_its_run_hears_it_at_its_next_number() -> None:
    session, run = uuid4(), uuid4()

    async def in_db(fn: Callable[..., Any], *args: Any) -> Any:
        raise LostOwnership(str(run))

    with patch.object(logwriter, "in_db", in_db):
        writer = LogWriter(session, run, 1, 1000)
        writer.append(event(await writer.number()))
        with pytest.raises(LostOwnership):
            await writer.flush()
        with pytest.raises(LostOwnership):
            await writer.number()
        writer.close()


async def test_silence_is_a_pause_after_which_the_log_is_asked_again() -> None:
    world = World(cycle([0]))
    with world.installed(), patch.object(eventlog, "IDLE_SECONDS", 0.02):
        async with aclosing(eventlog.follow(world.session, 0)) as batches, asyncio.timeout(BOUND):
            assert await anext(batches) == ()
            assert await anext(batches) == ()
            world.rows.append(event(1))  # its bell is lost
            while not (batch := await anext(batches)):
                pass
            assert [e.id for e in batch] == [1]
    hub.hub.leave(world.session, writing=True)


async def test_numbers_that_retention_removed_are_a_gap() -> None:
    world = World(cycle([0]))
    world.append(30)
    world.flush(30)
    removed, world.rows = world.rows, []
    with world.installed(), patch.object(world, "last", lambda _: removed[-1].id):
        world.topic.forget()
        patched = patch.object(eventlog, "last_event_id", lambda _: removed[-1].id)
        hub.hub.leave(world.session, writing=True)
        with patched:
            async with aclosing(eventlog.follow(world.session, 4)) as batches:
                async with asyncio.timeout(BOUND):
                    (told,) = await anext(batches)
    assert orjson.loads(told.data) == {"from": 5, "to": 30}
