"""A key's policy as a person reads it, for those who may only look."""

from __future__ import annotations

from typing import Any

from console.keys.forms import ApiKeyForm
from keys_app.budgets import money
from keys_app.models import ApiKey

# What an empty field means; see the help of the form.
EMPTY = {
    "engines": "every engine of this server",
    "models": "every model",
    "permission_modes": "no agents",
    "roots": "private workspaces only",
    "tools": "those the engine allows",
    "max_turns": "the server's bound",
    "max_sessions": "only the bound of the whole server",
    "max_runs": "no bound",
    "rate_limit": "the server's own limit",
    "budget_day_usd": "no bound",
    "budget_month_usd": "no bound",
    "allowed_ips": "from anywhere",
    "metadata": "none",
}
FIELDS = ("scopes", *EMPTY, "allow_slash_commands")


def policy(key: ApiKey) -> list[tuple[str, str]]:
    """Each field's label and what it says."""
    return [(_label(name), _words(name, getattr(key, name))) for name in FIELDS]


def _label(name: str) -> str:
    label = ApiKeyForm.base_fields[name].label
    return str(label or name.replace("_", " ").capitalize())


def _words(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in (None, [], {}):
        return EMPTY.get(name, "none")
    if name.endswith("_usd"):
        return f"${money(value)}"
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {entry}" for key, entry in value.items())
    return str(value)
