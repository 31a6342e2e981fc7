"""One door to the audit log: every change that staff makes through the console."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from django.db.models import Model

from claudeapi.core.request_id import request_id_var
from console.models import AuditEntry

COMMAND_LINE = "command line"
"""Who did what was done with `manage.py`: no user can be named so."""

address_var: ContextVar[str] = ContextVar("console_address", default="")
"""The address that the current request to the console came from."""


def record(actor: Any, verb: str, target: Model | str = "", **details: Any) -> AuditEntry:
    """Write down that somebody did something; in the caller's transaction.

    Args:
        actor: the user, or the name that somebody tried to sign in with.
        verb: what was done, as `noun.verb`: `session.cancelled`, `key.revoked`.
        target: the row it was done to, or what else it was.
        details: JSON values; never a secret.
    """
    known = isinstance(actor, Model)
    row = target if isinstance(target, Model) else None
    return AuditEntry.objects.create(
        actor=(actor.get_username() if known else str(actor))[:150],
        actor_id=actor.pk if known else None,
        address=address_var.get() or None,
        verb=verb[:64],
        target_type=row._meta.label_lower[:64] if row else "",
        target_id=str(row.pk)[:64] if row else "",
        target=str(target)[:200],
        details=details,
        request_id=request_id_var.get(""),
    )


def in_words(details: dict[str, Any]) -> str:
    """Details in one line, for people: Django's change messages as it says them itself."""
    parts = []
    for name, value in details.items():
        if name == "message":
            parts.append(_message(value))
        elif isinstance(value, dict) and value.keys() == {"old", "new"}:
            parts.append(f"{name}: {_words(value['old'])} → {_words(value['new'])}")
        elif value not in ("", None, [], {}):
            parts.append(f"{name}: {_words(value)}")
    return "; ".join(parts)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(str(part) for part in value) or "none"
    return "none" if value in (None, "") else str(value)


def _message(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    words = []
    for part in value:
        for kind, what in part.items() if isinstance(part, dict) else ():
            fields = ", ".join(what.get("fields", ())) if isinstance(what, dict) else ""
            words.append(f"{kind} {fields}".strip())
    return "; ".join(words)
