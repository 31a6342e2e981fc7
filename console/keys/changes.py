"""What was done to a key, for the audit log: old and new values, never a secret."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet

from claudeapi.core.errors import timestamp
from console.models import AuditEntry
from keys_app.budgets import money
from keys_app.models import ApiKey

FIELDS = (
    "name", "owner", "expires_at", "scopes", "engines", "models", "permission_modes", "roots",
    "tools", "allow_slash_commands", "max_turns", "max_sessions", "max_runs", "rate_limit",
    "budget_day_usd", "budget_month_usd", "allowed_ips", "metadata",
)  # fmt: skip
"""What staff may set."""


def values(key: ApiKey) -> dict[str, Any]:
    """Every field that staff may set, as JSON."""
    return {name: _shown(getattr(key, name)) for name in FIELDS}


def made(key: ApiKey) -> dict[str, Any]:
    """What a new key was given, without what is empty."""
    return {name: value for name, value in _told(values(key)).items() if value not in EMPTY}


def between(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`{field: {old, new}}` for each that differs."""
    before, after = _told(old), _told(new)
    return {
        name: {"old": before[name], "new": after[name]} for name in FIELDS if old[name] != new[name]
    }


def entries_of(key: ApiKey) -> QuerySet[AuditEntry]:
    """What the audit log has of a key, the newest first."""
    mine = AuditEntry.objects.filter(target_type=key._meta.label_lower, target_id=str(key.pk))
    return mine.order_by("-at")


def version(key: ApiKey) -> str:
    """A mark of the key's fields as they are: a form that has another one is out of date."""
    text = json.dumps(values(key), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def secret_version(key: ApiKey) -> str:
    """A mark of the key's present secret, which says nothing about it."""
    return hashlib.sha256(f"version:{key.secret_hash}".encode()).hexdigest()[:16]


EMPTY: tuple[Any, ...] = (None, "", [], {}, False)


def _told(fields: dict[str, Any]) -> dict[str, Any]:
    """Metadata is the operator's own, and may be long: only whether there is any."""
    entries = len(fields["metadata"])
    return {**fields, "metadata": f"{entries} entries" if entries else ""}


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, Decimal):
        return money(value)
    if hasattr(value, "get_username"):
        return value.get_username()
    return value
