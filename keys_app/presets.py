"""Policies to begin with: what each is for, and what it fills in."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from keys_app import scopes
from keys_app.models import ApiKey, default_permission_modes, default_scopes

POLICY_FIELDS = (
    "scopes", "engines", "models", "permission_modes", "roots", "tools", "allow_slash_commands",
    "max_turns", "max_sessions", "max_runs", "rate_limit", "budget_day_usd", "budget_month_usd",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preset:
    """A policy with a name.

    Attributes:
        purpose: for whom it is, and what it comes to, in a sentence or two.
        lifetime: how long a key made with it lasts.
        policy: fields of the key that differ from an unrestricted one's.
    """

    name: str
    label: str
    purpose: str
    lifetime: timedelta
    policy: Mapping[str, Any]

    def fields(self, now: datetime | None = None) -> dict[str, Any]:
        """Every field of the policy, and the moment it ends."""
        return {
            **unrestricted(),
            **deepcopy(dict(self.policy)),
            "expires_at": (now or timezone.now()) + self.lifetime,
        }


def unrestricted() -> dict[str, Any]:
    """The fields of the policy as they are where nothing is said."""
    return policy_of(ApiKey())


def policy_of(key: ApiKey) -> dict[str, Any]:
    """The fields of a key's policy, for another one like it."""
    return {name: getattr(key, name) for name in POLICY_FIELDS}


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "read-only",
            "Read-only",
            "Reads sessions, streams and usage, sends nothing. A key sees only what was made "
            "with it: for a client that shall stop writing and keep its history. A year.",
            timedelta(days=365),
            {
                "scopes": [scopes.SESSIONS_READ, scopes.USAGE_READ],
                "permission_modes": [],
            },
        ),
        Preset(
            "chat",
            "Chat",
            "Conversations, without agents, tools or files. 20 sessions and 5 runs at once, "
            "$10 a day, $100 a month, for 90 days.",
            timedelta(days=90),
            {
                "scopes": [scopes.SESSIONS_READ, scopes.SESSIONS_WRITE, scopes.USAGE_READ],
                "engines": ["messages"],
                "permission_modes": [],
                "max_sessions": 20,
                "max_runs": 5,
                "budget_day_usd": Decimal(10),
                "budget_month_usd": Decimal(100),
            },
        ),
        Preset(
            "agent",
            "Agent",
            "Claude Code in private workspaces, and the right to answer what it asks. "
            "10 sessions, 3 runs at once, 50 turns a message, $25 a day, $250 a month, 90 days.",
            timedelta(days=90),
            {
                "scopes": default_scopes(),
                "engines": ["claude-code"],
                "permission_modes": default_permission_modes(),
                "max_turns": 50,
                "max_sessions": 10,
                "max_runs": 3,
                "budget_day_usd": Decimal(25),
                "budget_month_usd": Decimal(250),
            },
        ),
        Preset(
            "admin",
            "Admin",
            "Sees and changes the sessions of every key: for your own tools, never for a "
            "client. Fill in the addresses it may come from. $10 a day, for 30 days.",
            timedelta(days=30),
            {
                "scopes": [scopes.ADMIN],
                "budget_day_usd": Decimal(10),
                "budget_month_usd": Decimal(100),
            },
        ),
    )
}
