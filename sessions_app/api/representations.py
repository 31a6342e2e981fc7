"""How rows look on the wire."""

from __future__ import annotations

from typing import Any

from claudeapi.core.errors import timestamp
from keys_app.budgets import money
from sessions_app import payloads
from sessions_app.models import UNFINISHED, Message, Run, RunStatus, Session

NOT_IN_SUMMARY = ("system_prompt", "append_system_prompt", "config")
CONFIG_DEFAULTS = {"cwd": None, "permissionMode": "default", "maxTurns": 10}


def summary(session: Session, status: str | None = None) -> dict[str, Any]:
    """A session as the list shows it. `status` spares a query where it is known."""
    return {
        "sessionId": str(session.id),
        "engine": session.engine,
        "model": session.model,
        "status": status or session.current_status,
        "createdAt": timestamp(session.created_at),
        "expiresAt": timestamp(session.expires_at),
        "lastActivity": timestamp(session.last_activity),
        "messageCount": session.message_count,
        "title": session.title,
        "metadata": session.metadata,
        "costUsd": money(session.cost_usd),
    }


def detail(session: Session) -> dict[str, Any]:
    """A session with all there is to know."""
    active = session.runs.unfinished().without_texts().in_turn().first()
    return {
        **summary(session, "active" if active and session.status == "active" else None),
        "claudeSessionId": session.claude_session_id or None,
        "activeRun": {"runId": str(active.id), "status": active.status} if active else None,
        "pendingApprovals": session.approvals.filter(status="pending").count(),
        "usage": payloads.usage(session),
        "maxBudgetUsd": money(session.max_budget_usd) if session.max_budget_usd else None,
        "timeout": session.timeout_ms,
        "config": {
            **CONFIG_DEFAULTS,
            **session.config,
            "systemPrompt": session.system_prompt or None,
            "appendSystemPrompt": session.append_system_prompt or None,
        },
        "forkedFrom": str(session.forked_from_id) if session.forked_from_id else None,
        "lastEventId": session.last_event_id,
    }


def run(row: Run) -> dict[str, Any]:
    """A run."""
    return {
        "runId": str(row.id),
        "sessionId": str(row.session_id),
        "messageId": str(row.message_id),
        "status": row.status,
        "createdAt": timestamp(row.created_at),
        "startedAt": timestamp(row.started_at) if row.started_at else None,
        "finishedAt": timestamp(row.finished_at) if row.finished_at else None,
        "stopReason": row.stop_reason or None,
        "error": row.error,
        "model": row.model or None,
        "usage": payloads.usage(row),
        "costUsd": money(row.cost_usd),
        "durationMs": row.duration_ms if row.status not in UNFINISHED else None,
        "requestId": row.request_id or None,
    }


def accepted(row: Run) -> dict[str, Any]:
    """The answer to a message that is answered in the background, the same also later."""
    return {
        "messageId": str(row.message_id),
        "runId": str(row.id),
        "sessionId": str(row.session_id),
        "status": RunStatus.QUEUED.value,
    }


def message(row: Message) -> dict[str, Any]:
    """An entry of the history."""
    return {
        "id": str(row.id),
        "runId": str(row.run_id) if row.run_id else None,
        "type": row.type,
        "subtype": row.subtype or None,
        "content": row.content,
        "sequence": row.sequence,
        "timestamp": timestamp(row.created_at),
        "source": row.source,
    }


def cancelled(row: Run | None) -> dict[str, Any]:
    """The answer to a cancel: the run that is being stopped, if there was one."""
    if row is None:
        return {"runId": None, "status": "idle"}
    return {"runId": str(row.id), "status": row.status}
