"""Where agents live: one process holds a conversation's agent, and answers it there."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from claudeapi.core.process import PROCESS_ID
from sessions_app import agents, processes
from sessions_app.doorbell import doorbell
from sessions_app.models import Run, RunQuerySet, ServerProcess, Session, SessionStatus


def owner_for(session: Session) -> str:
    """The process that shall drive the session's next run.

    An agent is best answered where it lives: two on one transcript must not happen. So the
    process that has the last run of the conversation, if only in its queue, gets the next
    one, for as long as it takes runs.
    """
    if session.engine != agents.CLAUDE_CODE:
        return PROCESS_ID
    last = of_conversation(session).order_by("-created_at", "-id").first()
    if last is None or last.owner == PROCESS_ID:
        return PROCESS_ID
    takes_runs = ServerProcess.objects.filter(pk=last.owner, draining=False).exists()
    return last.owner if takes_runs and last.owner in processes.living() else PROCESS_ID


def of_conversation(session: Session) -> RunQuerySet:
    """The runs of a session, and of those that it carries on or that carry it on."""
    return Run.objects.filter(session__claude_session_id=session.claude_session_id)


def last_driver(session: Session, but: Run | None = None) -> str:
    """The process that has driven an agent last; empty for none."""
    begun = of_conversation(session).exclude(started_at=None)
    if but is not None:
        begun = begun.exclude(pk=but.pk)
    found = begun.order_by("-started_at").values_list("owner", flat=True).first()
    return found or ""


def other_holders(session: Session, but: Run | None = None) -> set[str]:
    """Other living processes that may still hold this session's agent.

    Whoever drove it last: it has told those before it to let go.
    """
    if session.engine != agents.CLAUDE_CODE:
        return set()
    return ({last_driver(session, but)} - {PROCESS_ID}) & processes.living()


def tell_holders(process_ids: Collection[str], session_id: UUID) -> None:
    """Let other processes look at a session whose agent they may hold. After the commit."""
    for process_id in process_ids:
        doorbell.look_at(process_id, session_id)


def agent_here(session_id: UUID) -> tuple[str, str] | None:
    """Model and permission mode of the agent that this process shall hold; None for none."""
    session = Session.objects.filter(pk=session_id).first()
    if session is None or session.status != SessionStatus.ACTIVE:
        return None
    last = session.runs.exclude(started_at=None).order_by("-started_at").first()
    if last is None or last.owner != PROCESS_ID:
        return None
    return session.model, session.config.get("permissionMode", "default")
