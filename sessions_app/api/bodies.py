"""From validated bodies, queries and frames to what the actions take."""

from __future__ import annotations

from typing import Any

from claudeapi.core.request_id import request_id_var
from sessions_app.actions.approvals import decide
from sessions_app.actions.messages import NewMessage
from sessions_app.actions.origins import NewSession
from sessions_app.models import Approval

CONFIG = ("cwd", "permissionMode", "maxTurns", "allowedTools", "disallowedTools")


def new_session(body: dict[str, Any]) -> NewSession:
    """What `CreateSession` asks for."""
    return NewSession(
        engine=body.get("engine", ""),
        model=body.get("model", ""),
        title=body.get("title", ""),
        system_prompt=body.get("systemPrompt", ""),
        append_system_prompt=body.get("appendSystemPrompt", ""),
        max_budget_usd=body.get("maxBudgetUsd"),
        timeout_ms=body.get("timeout"),
        resume=body.get("resume", ""),
        fork=body.get("fork", False),
        config={name: body[name] for name in CONFIG if name in body},
        metadata=body.get("metadata", {}),
    )


def new_message(body: dict[str, Any]) -> NewMessage:
    """What `SendMessage`, `StreamQuery` or `SocketMessage` asks for, in the request we are in."""
    return NewMessage(
        content=body["prompt"],
        timeout_ms=body["timeout"],
        on_busy=body["onBusy"],
        request_id=request_id_var.get(),
    )


def answer(row: Approval, body: dict[str, Any], decided_by: str) -> Approval:
    """Answer an approval as `Decide` says.

    Raises:
        InvalidRequest, ApprovalResolved, ApprovalExpired.
    """
    return decide(
        row,
        allow=body["decision"] == "allow",
        decided_by=decided_by,
        scope=body["scope"],
        updated_input=body.get("updatedInput"),
        message=body["message"],
    )
