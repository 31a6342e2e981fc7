"""Approvals: answer one."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from claudeapi.core import errors
from sessions_app import decisions
from sessions_app.actions.messages import recover_if_orphaned
from sessions_app.approvals import UNANSWERED
from sessions_app.models import Approval, ApprovalStatus
from sessions_app.runner import runner


def decide(
    row: Approval,
    *,
    allow: bool,
    decided_by: str,
    scope: str = "once",
    updated_input: dict[str, Any] | None = None,
    message: str = "",
) -> Approval:
    """Answer a pending approval. Of two answers at once, one wins.

    Args:
        scope: `once` or `session`; with another input than the agent's own only `once`.
        decided_by: a key's prefix, or an operator's name: kept for good.

    Raises:
        InvalidRequest: the agent could not act on this answer as it is meant.
        ApprovalResolved: it was answered, or its run has ended.
        ApprovalExpired: nobody answered in time.
    """
    if allow:
        _check_input(row, updated_input)
        if row.suggestions and row.replaced_by(updated_input):
            # The rule for the session is made of what somebody has just replaced.
            scope = "once"
    recover_if_orphaned(row.session_id)  # nobody hears an answer to a run that is lost
    with transaction.atomic():
        if row.expires_at <= timezone.now():
            row.settle(ApprovalStatus.EXPIRED, message=UNANSWERED[ApprovalStatus.EXPIRED])
        won = row.settle(
            ApprovalStatus.ALLOWED if allow else ApprovalStatus.DENIED,
            scope=scope if allow else "",
            updated_input=updated_input if allow else None,
            message=message,
            decided_by=decided_by[:200],
        )
        row.refresh_from_db()
        if won:
            decisions.tell(row)
        transaction.on_commit(lambda: runner.nudge(row.run_id, row.run.owner))
    if not won:
        details = {"approvalId": str(row.id), "status": row.status}
        if row.status == ApprovalStatus.EXPIRED:
            raise errors.ApprovalExpired(details=details)
        raise errors.ApprovalResolved(details=details)
    return row


def _check_input(row: Approval, updated_input: dict[str, Any] | None) -> None:
    """Pass if the agent does with this input what somebody says yes to."""
    if row.tool_name == "AskUserQuestion":
        answers = (updated_input or {}).get("answers")
        if not isinstance(answers, dict) or not answers:
            raise errors.InvalidRequest.field(
                "updatedInput", 'must have the answers, {"answers": {QUESTION: LABEL}}.'
            )
    elif updated_input == {} and row.input:
        # The agent takes it for no change.
        raise errors.InvalidRequest.field("updatedInput", "must not be empty.")
