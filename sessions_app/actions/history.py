"""Taking a conversation over into another session: its history, and what its agent knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID, uuid4

from sessions_app import agents, eventlog, payloads
from sessions_app.hub import Event
from sessions_app.models import Message, Session

ROWS_READ = 16
"""Rows of the history that are read at once: each may have megabytes."""


def take_over(
    origin: Session, session: Session, *, branch: bool, until: Message | None = None
) -> None:
    """Give a new session the conversation of another. Inside the caller's transaction.

    Args:
        branch: leave the origin's conversation as it is, and go on in a copy of it; the
            private folder has been copied, see `origins`.
        until: the last message to take; None is all.
    """
    renamed: dict[str, str] = {}
    if session.engine == agents.CLAUDE_CODE:
        renamed = _take_over_agent(origin, session, branch=branch, until=until)
    _copy_history(origin, session, until, renamed)


def _take_over_agent(
    origin: Session, session: Session, *, branch: bool, until: Message | None
) -> dict[str, str]:
    """Give the session the agent's side of it. The new names of messages by their old ones."""
    conversation = origin.claude_session_id
    renamed: dict[str, str] = {}
    if branch:
        conversation, renamed = agents.branch_transcript(conversation, _anchors(origin, until))
    else:
        agents.keep_folder(origin, session)
    session.claude_session_id = conversation
    session.save(update_fields=["claude_session_id", "config"])
    return renamed


def _anchors(origin: Session, until: Message | None) -> list[str] | None:
    """The transcript's names for a message and those before it, the last one first."""
    if until is None:
        return None
    rows = Message.objects.filter(session=origin, sequence__lte=until.sequence)
    return [anchor(row) for row in rows.order_by("-sequence").iterator(chunk_size=ROWS_READ)]


def anchor(message: Message) -> str:
    """The transcript's name for a message; the user's own carry the id we gave them."""
    content: dict[str, Any] = message.content
    return str(content.get("uuid") or message.pk)


def _copy_history(
    origin: Session, session: Session, until: Message | None, renamed: Mapping[str, str]
) -> None:
    """The origin's messages, numbered from 1, as events and history: a chunk in memory at once."""
    rows = Message.objects.filter(session=origin).order_by("sequence")
    if until is not None:
        rows = rows.filter(sequence__lte=until.sequence)
    silent = set(_silent_runs(origin))
    number, size = 0, 0
    events: list[Event] = []
    messages: list[Message] = []
    for number, row in enumerate(rows.iterator(chunk_size=ROWS_READ), start=1):
        if session.engine == agents.CLAUDE_CODE:
            name = anchor(row)
            row.content = {**row.content, "uuid": renamed.get(name, name)}
        events.append(payloads.copied(session.id, number, row))
        messages.append(_copied(row, session, number, unanswered=row.run_id in silent))
        size += len(events[-1].data)
        if size >= eventlog.CHUNK_BYTES:
            eventlog.store(session.id, events, messages)
            events, messages, size = [], [], 0
    eventlog.store(session.id, events, messages)
    Session.objects.filter(pk=session.pk).update(last_event_id=number, reserved_event_id=number)
    session.refresh_from_db()


def _copied(row: Message, session: Session, number: int, *, unanswered: bool) -> Message:
    return Message(
        id=uuid4(),
        session=session,
        run=None,
        sequence=number,
        type=row.type,
        subtype=row.subtype,
        source=row.source,
        content=row.content,
        unanswered=row.unanswered or unanswered,
        created_at=row.created_at,
    )


def _silent_runs(session: Session) -> Iterable[UUID]:
    """The runs that have not ended and have said nothing yet: the copy knows no answer."""
    silent = session.runs.unfinished().exclude(messages__type="assistant")
    return silent.values_list("pk", flat=True)
