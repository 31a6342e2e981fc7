"""What a key may ask for. Each function passes in silence, or raises what the caller is told."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from claudeapi.core.errors import InsufficientScope, PolicyDenied
from keys_app import scopes
from keys_app.models import ApiKey


def require_scope(key: ApiKey, scope: str) -> None:
    """Pass if the key holds the scope; `admin` includes every other.

    Raises:
        InsufficientScope: with `{required, granted}`.
    """
    if not scopes.grants(key.scopes, scope):
        raise InsufficientScope(details={"required": scope, "granted": list(key.scopes)})


def check_engine(key: ApiKey, engine: str) -> None:
    """Pass if the key may use this engine; an empty list allows all.

    Raises:
        PolicyDenied: with `{field, requested, allowed}`.
    """
    if key.engines and engine not in key.engines:
        raise PolicyDenied.value("engine", engine, key.engines)


def check_model(key: ApiKey, model: str) -> None:
    """Pass if the key may use this model; an empty list allows all.

    Raises:
        PolicyDenied: with `{field, requested, allowed}`.
    """
    if not allows_model(key, model):
        raise PolicyDenied.value("model", model, key.models)


def allows_model(key: ApiKey, model: str) -> bool:
    """Whether a model is among the key's; an entry may hold `*`, as in `claude-haiku-*`."""
    return not key.models or _matches_any(model, key.models)


def check_permission_mode(key: ApiKey, mode: str) -> None:
    """Pass if the key may run agents in this permission mode; an empty list allows none.

    Raises:
        PolicyDenied: with `{field, requested, allowed}`.
    """
    if mode not in key.permission_modes:
        raise PolicyDenied.value("permissionMode", mode, key.permission_modes)


def check_max_turns(key: ApiKey, turns: int) -> None:
    """Pass if the key may ask for so many agent turns for one message.

    Raises:
        PolicyDenied: with `{field, requested, allowed}`.
    """
    if key.max_turns is not None and turns > key.max_turns:
        raise PolicyDenied.value("maxTurns", turns, {"max": key.max_turns})


def check_tools(key: ApiKey, rules: Sequence[str]) -> None:
    """Pass if every rule, as `Bash(git *)`, is for a tool the key may use; no tools allow all.

    Raises:
        PolicyDenied: with `{field, requested, allowed}`.
    """
    for rule in rules:
        if not has_tool(key, rule.partition("(")[0]):
            raise PolicyDenied.value("allowedTools", rule, key.tools)


def has_tool(key: ApiKey, name: str) -> bool:
    """Whether the key may use this tool."""
    return not key.tools or _matches_any(name, key.tools)


def _matches_any(value: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)
