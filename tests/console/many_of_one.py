"""One session with very much in it, among a hundred thousand others."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from claudeapi.core.process import PROCESS_ID
from sessions_app import eventlog
from sessions_app.hub import Event
from sessions_app.models import Approval, EventChunk, Message, Run, Session
from tests.console.many import before, copy, uuid_of

RUNS = 5_000
MESSAGES = 20_000
APPROVALS = 20_000
CHUNKS = 1_000
EVENTS_A_CHUNK = 100


def fill(session: Session) -> None:
    """5,000 runs, 20,000 messages and as many approvals, 100,000 events, 200 forks."""
    run = session.runs.get()
    copy(run, RUNS, id=uuid_of("n", 6), created_at=before("n * 25"), finished_at=before("n * 25"))
    message = session.messages.get()
    call = {"type": "tool_use", "id": "call", "name": "Bash", "input": {"command": "ls"}}
    message.type, message.source = "assistant", "sdk"
    message.content = {"message": {"content": [{"type": "text", "text": "*Well*"}, call]}}
    message.save()
    of_run = uuid_of(f"(n % {RUNS} + 1)", 6)
    copy(message, MESSAGES, id=uuid_of("n", 7), sequence="n + 1", run_id=of_run)
    approval = session.approvals.get()
    copy(approval, APPROVALS, id=uuid_of("n", 8), run_id=of_run, created_at=before("n"))
    copy(session, 200, id=uuid_of("n", 9), forked_from_id="t.id", created_at=before("n"))
    _wait(session)
    _fill_log(session)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _wait(session: Session) -> None:
    """A run with a question that is open, after all the others."""
    run = Run.objects.create(
        session=session, key=session.key, status="waiting", prompt=[], owner=PROCESS_ID
    )
    Message.objects.create(
        session=session,
        run=run,
        sequence=MESSAGES + 5,
        type="user",
        source="user",
        content={"message": {"content": "Go on"}},
    )
    Approval.objects.create(
        session=session,
        run=run,
        tool_name="Bash",
        input={"command": "ls"},
        expires_at=timezone.now() + timedelta(hours=1),
    )


def _fill_log(session: Session) -> None:
    EventChunk.objects.filter(session=session).delete()
    chunks = []
    for at in range(CHUNKS):
        first = at * EVENTS_A_CHUNK + 1
        numbers = range(first, first + EVENTS_A_CHUNK)
        events = [Event(number, "message", "", False, b'{"a": 1}') for number in numbers]
        last = numbers[-1]
        chunks.append(
            EventChunk(session=session, first=first, last=last, payload=eventlog.encode(events))
        )
    EventChunk.objects.bulk_create(chunks)
    last = CHUNKS * EVENTS_A_CHUNK
    Session.objects.filter(pk=session.pk).update(last_event_id=last, reserved_event_id=last)
