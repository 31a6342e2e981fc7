"""Sessions with something in them, without a server."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from keys_app.models import ApiKey
from sessions_app.models import Approval, Message, Run, Session


def key_of(name: str) -> ApiKey:
    """A key for somebody."""
    key, _ = ApiKey.objects.issue(f"{name}'s key")
    return key


def session_of(key: ApiKey, **fields: Any) -> Session:
    """An active session."""
    given = {"engine": "messages", "model": "claude-haiku-4-5", "timeout_ms": 3_600_000}
    fields.setdefault("expires_at", timezone.now() + timedelta(hours=1))
    return Session.objects.create(key=key, **{**given, **fields})


def run_of(session: Session, **fields: Any) -> Run:
    """A completed run."""
    given = {"status": "completed", "finished_at": timezone.now(), "prompt": []}
    return Run.objects.create(session=session, key=session.key, **{**given, **fields})


def said(run: Run, sequence: int, kind: str, content: Any, source: str = "sdk") -> Message:
    """A message of a run."""
    return Message.objects.create(
        session=run.session,
        run=run,
        sequence=sequence,
        type=kind,
        source=source,
        content={"type": kind, "message": {"role": kind, "content": content}},
    )


def asked(run: Run, tool: str, given: Any, **fields: Any) -> Approval:
    """An approval that waits."""
    fields.setdefault("expires_at", timezone.now() + timedelta(minutes=5))
    return Approval.objects.create(
        session=run.session, run=run, tool_name=tool, input=given, **fields
    )
