"""The event log: one numbered sequence a session, the truth that every client reads.

Rows hold chunks of consecutive events. A run's `LogWriter` is the only way in, `follow`
and `read` are the only ways out. Numbers are reserved in the database before they are given
out, so that none is used twice, whatever dies; what was shown live but not yet written when
a process died becomes a `gap`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

import orjson
import structlog
from django.db import transaction
from django.db.models import F

from claudeapi.core.database import in_db
from sessions_app.doorbell import doorbell
from sessions_app.hub import Event, Topic, hub
from sessions_app.models import EventChunk, Message, Session

log = structlog.get_logger(__name__)

RESERVE = 512
CHUNK_BYTES = 256 * 1024
READ_BYTES = 2**20
IDLE_SECONDS = 15.0


class LostOwnership(Exception):
    """Another process has taken this run over: nothing more may be written for it."""


def encode(events: Iterable[Event]) -> bytes:
    """Events as one chunk: a line `id name run flag data` each."""
    return b"\n".join(
        b"%d %b %b %b %b"
        % (e.id, e.name.encode(), e.run_id.encode() or b"-", b"p" if e.partial else b"w", e.data)
        for e in events
    )


def decode(payload: bytes | memoryview) -> list[Event]:
    """The events of one chunk."""
    events = []
    for line in bytes(payload).split(b"\n"):
        number, name, run_id, flag, data = line.split(b" ", 4)
        run = "" if run_id == b"-" else run_id.decode()
        events.append(Event(int(number), name.decode(), run, flag == b"p", data))
    return events


def gap(first: int, last: int) -> Event:
    """Tells that the numbers `first` to `last` can't be delivered any more."""
    return Event(last, "gap", "", False, orjson.dumps({"from": first, "to": last}))


def read(session_id: UUID, after: int, limit: int = 500) -> list[Event]:
    """Up to `limit` events after a number, at most about a MiB; missing numbers as `gap`."""
    found: list[Event] = []
    size, cursor = 0, after
    while True:
        rows = list(
            EventChunk.objects.filter(session_id=session_id, last__gt=cursor).order_by("last")[:4]
        )
        for row in rows:
            for event in decode(row.payload):
                if event.id <= cursor:
                    continue
                if event.id > cursor + 1:
                    found.append(gap(cursor + 1, event.id - 1))
                found.append(event)
                cursor = event.id
                size += len(event.data)
                if len(found) >= limit or size >= READ_BYTES:
                    return found[:limit]
        if len(rows) < 4:
            return found


def of_run(session_id: UUID, run_id: UUID, name: str, after: int) -> Iterator[Event]:
    """The events of one name that a run has written after a number."""
    mark = b" %b %b " % (name.encode(), run_id.hex.encode())
    rows = EventChunk.objects.filter(session_id=session_id, last__gt=after).order_by("last")
    for payload in rows.values_list("payload", flat=True).iterator(chunk_size=16):
        if mark in bytes(payload):  # most chunks are deltas: they need not be taken apart
            for event in decode(payload):
                if (event.name, event.run_id) == (name, run_id.hex):
                    yield event


def split_chunks(events: Sequence[Event]) -> Iterable[Sequence[Event]]:
    """Runs of consecutive events, each of a size that makes a good row."""
    start, size = 0, 0
    for index, event in enumerate(events):
        size += len(event.data)
        apart = index + 1 < len(events) and events[index + 1].id != event.id + 1
        if size >= CHUNK_BYTES or apart:
            yield events[start : index + 1]
            start, size = index + 1, 0
    if start < len(events):
        yield events[start:]


def store(session_id: UUID, events: Sequence[Event], messages: Sequence[Message]) -> None:
    """Write events and the messages among them. Inside the caller's transaction."""
    EventChunk.objects.bulk_create(
        EventChunk(session_id=session_id, first=part[0].id, last=part[-1].id, payload=encode(part))
        for part in split_chunks(events)
    )
    if messages:
        Message.objects.bulk_create(messages)
        Session.objects.filter(pk=session_id).update(
            message_count=F("message_count") + len(messages)
        )


def acquire(session_id: UUID, run_id: UUID) -> tuple[int, int]:
    """Make a run the log's writer. Returns the next number and the last reserved one.

    Inside the caller's transaction. Numbers that an earlier writer had reserved and may have
    given out stay unused.
    """
    rows = Session.objects.select_for_update().filter(pk=session_id)
    reserved = rows.values_list("reserved_event_id", flat=True).get()
    start, limit = reserved + 1, reserved + RESERVE
    Session.objects.filter(pk=session_id).update(writer=run_id, reserved_event_id=limit)
    return start, limit


def flush(
    session_id: UUID,
    run_id: UUID,
    events: Sequence[Event],
    messages: Sequence[Message],
    reserve: int,
    acts: Sequence[Callable[[], None]] = (),
) -> None:
    """Write what a run's log has gathered, and reserve numbers up to `reserve`.

    Args:
        acts: what belongs into the same transaction, and can be done twice.

    Raises:
        LostOwnership: another process has taken the run over.
    """
    fields = {"reserved_event_id": reserve}
    if events:
        fields["last_event_id"] = events[-1].id
    with transaction.atomic():
        mine = Session.objects.filter(pk=session_id, writer=run_id)
        new = mine.filter(last_event_id__lt=events[0].id) if events else mine
        if new.update(**fields):
            store(session_id, events, messages)
            for act in acts:
                act()
            return
        written = mine.values_list("last_event_id", flat=True).first()
        if written is None:
            raise LostOwnership(str(run_id))
        # An earlier try was committed, though its answer was lost: only the rest is new.
        events = [event for event in events if event.id > written]
        messages = [message for message in messages if message.sequence > written]
        flush(session_id, run_id, events, messages, reserve, acts)


def release(session_id: UUID, run_id: UUID, last: int, **changes: Any) -> None:
    """Give back the log and the numbers reserved beyond `last`, which were never given out.

    Inside the caller's transaction.

    Args:
        changes: what else the run's end changes in the session's row.

    Raises:
        LostOwnership: another process has taken the run over.
    """
    owned = Session.objects.filter(pk=session_id, writer=run_id).update(
        writer=None, last_event_id=last, reserved_event_id=last, **changes
    )
    if not owned:
        raise LostOwnership(str(run_id))


async def follow(session_id: UUID, after: int) -> AsyncGenerator[Sequence[Event], None]:
    """Every event after a number, in batches: first from the log, then live, for ever.

    An empty batch means that there is nothing more for now: once after the beginning, then
    after 15 s of silence, or when somebody wants the follower to look up. No number is left
    out without a `gap`, none comes twice. Memory is bounded by the session's ring, not by the
    follower's pace. Close it to stop.
    """
    topic = hub.join(session_id)
    cursor, calls = after, -1
    try:
        await doorbell.watch(session_id)
        topic.tell(await in_db(last_event_id, session_id))
        while True:
            batch = topic.since(cursor)
            if not batch and cursor < topic.told:
                batch = await _behind(session_id, topic, cursor)
            if batch:
                cursor = batch[-1].id
                yield batch
                if cursor < topic.told:
                    # A pump that always has something to send must still let others run.
                    await asyncio.sleep(0)
                continue
            silent = calls == topic.calls and not await topic.wait(IDLE_SECONDS)
            if silent:
                # A bell may be lost; the log is not.
                topic.tell(await in_db(last_event_id, session_id))
                topic.forget()
            if topic.told <= cursor and (silent or calls != topic.calls):
                calls = topic.calls
                yield ()
    finally:
        if hub.leave(session_id):
            await doorbell.unwatch(session_id)


def last_event_id(session_id: UUID) -> int:
    """The highest number written."""
    found = Session.objects.filter(pk=session_id).values_list("last_event_id", flat=True).first()
    return found or 0


async def _behind(session_id: UUID, topic: Topic, cursor: int) -> Sequence[Event]:
    """What a follower gets next whose place is not in the ring: from the log, or a gap."""
    # Taken before the log is read: what comes in meanwhile is not lost, only later.
    first, told = topic.first, topic.told
    events = await in_db(read, session_id, cursor)
    if events:
        return events
    # Whatever the ring does not hold was in the log when it was told of, or is lost: with its
    # process, or past retention.
    return (gap(cursor + 1, first - 1 if first > cursor + 1 else told),)
