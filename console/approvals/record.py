"""Every decision, whoever made it, in the audit log: it outlives the approval's session."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User

from console import audit
from console.reading.text import bounded, code, pretty
from sessions_app import decisions
from sessions_app.models import Approval, ApprovalStatus

BY = "operator:"
"""What stands before a person's name in `decided_by`; a key is there by its prefix alone."""
KEPT_CHARACTERS = 2_000
KEPT_MESSAGE = 500


@decisions.register
def keep(row: Approval) -> None:
    """Write down what was asked, what was decided, and by whom."""
    changed = row.updated_input is not None
    audit.record(
        _decider(row.decided_by),
        "approval.allowed" if row.status == ApprovalStatus.ALLOWED else "approval.denied",
        row,
        session=str(row.session_id),
        tool=code(row.tool_name),
        scope=row.scope,
        input=_shortened(row.input),
        changed=changed,
        changed_input=_shortened(row.updated_input) if changed else "",
        message=code(row.message[:KEPT_MESSAGE]),
    )


def _decider(decided_by: str) -> User | str:
    if not decided_by.startswith(BY):
        return f"key:{decided_by}"
    name = decided_by.removeprefix(BY)
    return User.objects.filter(username=name).first() or name


def _shortened(value: Any) -> str:
    # Marked as well: PostgreSQL keeps no NUL in JSON.
    told, left_out = bounded(code(pretty(value)), KEPT_CHARACTERS)
    return f"{told}… ({left_out} more characters)" if left_out else told
