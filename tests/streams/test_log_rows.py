"""The log in the database: written once, read in order, with its gaps told."""

from __future__ import annotations

import tracemalloc
from uuid import uuid4

import orjson
import pytest

from sessions_app import eventlog
from sessions_app.actions.origins import NewSession
from sessions_app.actions.sessions import create_session
from sessions_app.eventlog import LostOwnership
from sessions_app.hub import Event
from sessions_app.models import Message, Session

pytestmark = pytest.mark.django_db


def some(first: int, last: int) -> list[Event]:
    return [
        Event(n, "message", uuid4().hex, True, orjson.dumps({"n": n}))
        for n in range(first, last + 1)
    ]


def test_numbers_of_a_writer_that_died_are_not_given_out_again(session: Session) -> None:
    first, second = uuid4(), uuid4()
    start, limit = eventlog.acquire(session.id, first)
    eventlog.flush(session.id, first, some(start, 10), [], limit)
    again, _ = eventlog.acquire(session.id, second)
    assert (start, again) == (1, limit + 1)
    eventlog.flush(session.id, second, some(again, again + 4), [], again + 100)
    numbers = [(e.id, e.name) for e in eventlog.read(session.id, 0)]
    assert numbers[:10] == [(n, "message") for n in range(1, 11)]
    assert numbers[10] == (limit, "gap")
    assert numbers[11:] == [(n, "message") for n in range(again, again + 5)]


def test_a_writer_that_was_replaced_writes_nothing_more(session: Session) -> None:
    first, second = uuid4(), uuid4()
    start, limit = eventlog.acquire(session.id, first)
    eventlog.acquire(session.id, second)
    with pytest.raises(LostOwnership):
        eventlog.flush(session.id, first, some(start, 5), [], limit)
    with pytest.raises(LostOwnership):
        eventlog.release(session.id, first, 5)
    assert eventlog.read(session.id, 0) == []


def test_a_write_whose_answer_was_lost_is_not_written_twice(session: Session) -> None:
    run = uuid4()
    start, limit = eventlog.acquire(session.id, run)
    events = some(start, 20)
    eventlog.flush(session.id, run, events[:10], [], limit)
    eventlog.flush(session.id, run, events, [], limit)
    eventlog.flush(session.id, run, events, [], limit)
    assert eventlog.read(session.id, 0) == events


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
def test_a_page_ends_where_the_next_begins_also_at_a_gap(session: Session, limit: int) -> None:
    eventlog.store(session.id, [*some(3, 6), *some(9, 9), *some(12, 40)], [])
    cursor, numbers = 0, []
    while page := eventlog.read(session.id, cursor, limit):
        assert len(page) <= limit
        numbers += [(e.id, e.name) for e in page]
        cursor = page[-1].id
    gaps = [2, 8, 11]
    whole = [*range(3, 7), 9, *range(12, 41)]
    assert numbers == sorted([(n, "gap") for n in gaps] + [(n, "message") for n in whole])


def test_a_page_is_bounded_in_bytes(session: Session) -> None:
    big = [Event(n, "message", "", True, b'"%b"' % (b"x" * 100_000)) for n in range(1, 60)]
    eventlog.store(session.id, big, [])
    page = eventlog.read(session.id, 0)
    assert 10 <= len(page) <= 12
    assert eventlog.read(session.id, page[-1].id)[0].id == page[-1].id + 1


def test_a_long_history_is_copied_a_chunk_at_a_time(session: Session) -> None:
    text = "x" * 2**18
    for number in range(1, 65):
        content = {"n": number, "text": text}
        Message.objects.create(session=session, sequence=number * 3, type="user", content=content)
    tracemalloc.start()
    try:
        branch = create_session(session.key, NewSession(resume=str(session.pk), fork=True))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 64 * len(text)
    assert [row.content["n"] for row in branch.messages.order_by("sequence")] == [*range(1, 65)]
    told: list[Event] = []
    while more := eventlog.read(branch.pk, told[-1].id if told else 0):
        told += more
    assert [event.id for event in told] == [*range(1, 65)]
    assert all(orjson.loads(event.data)["message"]["n"] == event.id for event in told)
    assert (branch.last_event_id, branch.reserved_event_id, branch.message_count) == (64, 64, 64)
