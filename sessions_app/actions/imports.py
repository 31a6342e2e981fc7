"""Imports: a transcript file of Claude Code's becomes a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from django.db import transaction

from keys_app.models import ApiKey
from sessions_app import agents, eventlog, payloads
from sessions_app.actions.origins import NewSession
from sessions_app.actions.sessions import create_session
from sessions_app.models import Message, Session

SPOKEN = ("user", "assistant")


def import_transcript(key: ApiKey, lines: Sequence[bytes], *, title: str = "") -> Session:
    """Make a session of a transcript file's lines, for this key to carry on.

    Raises:
        InvalidRequest: a line is not JSON, or no message is in them.
        PolicyDenied, MaxSessionsReached: as for any new session.
    """
    with transaction.atomic():
        session = create_session(key, NewSession(engine=agents.CLAUDE_CODE, title=title))
        entries = agents.import_transcript(session.claude_session_id, lines)
        spoken = [entry for entry in entries if entry.get("type") in SPOKEN]
        messages = [_message(session, at, entry) for at, entry in enumerate(spoken, start=1)]
        events = [payloads.copied(session.id, row.sequence, row) for row in messages]
        eventlog.store(session.id, events, messages)
        Session.objects.filter(pk=session.pk).update(
            last_event_id=len(events), reserved_event_id=len(events)
        )
    session.refresh_from_db()
    return session


def _message(session: Session, number: int, entry: dict[str, Any]) -> Message:
    body = {
        "type": entry["type"],
        "message": entry.get("message", {}),
        "parent_tool_use_id": None,
        "session_id": session.claude_session_id,
        "uuid": entry.get("uuid"),
    }
    return Message(
        id=uuid4(),
        session=session,
        run=None,
        sequence=number,
        type=entry["type"],
        source="sdk" if entry["type"] == "assistant" else "user",
        content=body,
    )
