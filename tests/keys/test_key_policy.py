"""What a key may ask for, and how a refusal names it."""

from __future__ import annotations

from typing import Any

import pytest

from claudeapi.core.errors import InsufficientScope, PolicyDenied
from keys_app import policy, scopes
from keys_app.models import ApiKey


@pytest.mark.parametrize(
    ("check", "value", "policy_fields", "allowed"),
    [
        (policy.check_engine, "messages", {}, True),
        (policy.check_engine, "messages", {"engines": ["messages"]}, True),
        (policy.check_engine, "claude-code", {"engines": ["messages"]}, False),
        (policy.check_model, "claude-a-1", {}, True),
        (policy.check_model, "claude-a-1", {"models": ["claude-a-*"]}, True),
        (policy.check_model, "claude-b-1", {"models": ["claude-a-*"]}, False),
        (policy.check_model, "CLAUDE-A-1", {"models": ["claude-a-1"]}, False),
        (policy.check_permission_mode, "plan", {}, True),
        (policy.check_permission_mode, "bypassPermissions", {}, False),
        (policy.check_permission_mode, "default", {"permission_modes": []}, False),
        (policy.check_max_turns, 100, {}, True),
        (policy.check_max_turns, 5, {"max_turns": 5}, True),
        (policy.check_max_turns, 6, {"max_turns": 5}, False),
    ],
)
def test_a_value_passes_or_is_denied_by_name(
    check: Any, value: Any, policy_fields: dict[str, Any], allowed: bool
) -> None:
    key = ApiKey(name="Alice", **policy_fields)
    if allowed:
        check(key, value)
        return
    with pytest.raises(PolicyDenied) as denied:
        check(key, value)
    assert set(denied.value.details) == {"field", "requested", "allowed"}
    assert denied.value.details["requested"] == value


def test_a_missing_scope_is_named_beside_those_held() -> None:
    key = ApiKey(name="Alice", scopes=["usage:read"])
    policy.require_scope(key, scopes.USAGE_READ)
    with pytest.raises(InsufficientScope) as refused:
        policy.require_scope(key, scopes.SESSIONS_READ)
    assert refused.value.details == {"required": "sessions:read", "granted": ["usage:read"]}


@pytest.mark.parametrize("needed", scopes.ALL)
def test_admin_includes_every_scope(needed: str) -> None:
    policy.require_scope(ApiKey(name="Alice", scopes=[scopes.ADMIN]), needed)
