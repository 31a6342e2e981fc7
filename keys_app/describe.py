"""A key as facts, for the command line and the admin; never its secret or a hash."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from claudeapi.core.errors import timestamp
from keys_app.budgets import money
from keys_app.environment import is_gone
from keys_app.models import ApiKey

HIDDEN = "\N{BULLET}" * 8


def masked(key: ApiKey) -> str:
    """How the key's text is shown after the one time."""
    return f"{key.prefix}_{HIDDEN}" if key.is_changeable else key.prefix


def policy_facts(key: ApiKey) -> dict[str, Any]:
    """What it may ask for, JSON-ready, in the names of the wire."""
    return {
        "engines": key.engines,
        "models": key.models,
        "permissionModes": key.permission_modes,
        "roots": key.roots,
        "tools": key.tools,
        "allowSlashCommands": key.allow_slash_commands,
        "maxTurns": key.max_turns,
        "maxSessions": key.max_sessions,
        "maxRuns": key.max_runs,
        "rateLimit": key.rate_limit,
        "budgetDayUsd": None if key.budget_day_usd is None else money(key.budget_day_usd),
        "budgetMonthUsd": None if key.budget_month_usd is None else money(key.budget_month_usd),
        "allowedIps": key.allowed_ips,
    }


def facts(key: ApiKey) -> dict[str, Any]:
    """Everything about a key that is not secret, JSON-ready, in the names of the wire."""
    return {
        "id": str(key.pk),
        "name": key.name,
        "prefix": key.prefix,
        "source": str(key.source),
        "state": "gone" if is_gone(key) else key.state,
        "scopes": key.scopes,
        "policy": policy_facts(key),
        "owner": key.owner.get_username() if key.owner else None,
        "metadata": key.metadata,
        "createdAt": timestamp(key.created_at),
        "expiresAt": _time(key.expires_at),
        "revokedAt": _time(key.revoked_at),
        "previousValidUntil": _time(key.previous_valid_until),
        "lastUsedAt": _time(key.last_used_at),
        "lastUsedIp": key.last_used_ip,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
