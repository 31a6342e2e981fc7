"""Presets: every field of a policy, valid, and as narrow as they say."""

from __future__ import annotations

import pytest

from claudeapi.core.errors import InsufficientScope, PolicyDenied
from keys_app import policy
from keys_app.models import ApiKey
from keys_app.presets import POLICY_FIELDS, PRESETS, policy_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_makes_a_valid_key_and_fills_in_the_whole_policy(name: str) -> None:
    fields = PRESETS[name].fields()
    key, _ = ApiKey.objects.issue("ci", **fields)
    assert set(fields) == {*POLICY_FIELDS, "expires_at"}
    assert policy_of(key).items() <= fields.items()
    assert key.is_standing


def test_a_key_does_not_share_its_lists_with_the_preset() -> None:
    PRESETS["chat"].fields()["scopes"].append("admin")
    assert "admin" not in PRESETS["chat"].fields()["scopes"]


def test_what_each_preset_leaves_out_is_refused() -> None:
    keys = {name: ApiKey(**preset.fields()) for name, preset in PRESETS.items()}
    with pytest.raises(InsufficientScope):
        policy.require_scope(keys["read-only"], "sessions:write")
    with pytest.raises(PolicyDenied):
        policy.check_engine(keys["chat"], "claude-code")
    with pytest.raises(PolicyDenied):
        policy.check_permission_mode(keys["agent"], "bypassPermissions")
    with pytest.raises(InsufficientScope):
        policy.require_scope(keys["agent"], "admin")
    policy.require_scope(keys["admin"], "sessions:write")
