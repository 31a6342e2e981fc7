"""Issuing, rotating, revoking: what may be given, and who wins when two do it at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from keys_app import tokens
from keys_app.models import ApiKey, KeyNotChangeableError

pytestmark = pytest.mark.django_db


def test_an_issued_key_stores_its_hash_and_not_its_text(alice: Any) -> None:
    row = ApiKey.objects.values().get(pk=alice.key.pk)
    assert row["secret_hash"] == tokens.digest(alice.text)
    assert alice.text.rpartition("_")[2][:43] not in str(row)
    assert alice.key.prefix == alice.text.rpartition("_")[0]


def test_a_new_key_has_every_scope_but_admin_and_asks_before_it_acts(alice: Any) -> None:
    assert alice.key.scopes == [
        "sessions:read", "sessions:write", "approvals:write", "usage:read",
    ]  # fmt: skip
    assert alice.key.permission_modes == ["default", "acceptEdits", "plan", "dontAsk"]
    assert not alice.key.allow_slash_commands


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scopes", ["sessions:fly"]),
        ("scopes", []),
        ("scopes", "admin"),
        ("permission_modes", ["yolo"]),
        ("engines", [""]),
        ("models", ["a", "a"]),
        ("models", [1]),
        ("models", ["a\0"]),
        ("tools", ["x" * 1025]),
        ("tools", [str(number) for number in range(201)]),
        ("roots", ["relative"]),
        ("roots", ["/srv/../etc"]),
        ("allowed_ips", ["192.0.2.1/24"]),
        ("allowed_ips", ["example.com"]),
        ("max_turns", 0),
        ("max_sessions", 0),
        ("max_runs", 0),
        ("rate_limit", 0),
        ("budget_day_usd", -1),
        ("metadata", []),
        ("engines", {}),
        ("allowed_ips", ""),
        ("metadata", {"a": float("nan")}),
        ("metadata", {"a": "\0"}),
        ("metadata", {"a": "\ud800"}),
        ("metadata", {"a": "x" * 20_000}),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        ApiKey.objects.issue("Mallory", **{field: value})
    assert set(refused.value.message_dict) == {field}
    assert not ApiKey.objects.exists()


def test_revoking_is_won_once(alice: Any) -> None:
    same = ApiKey.objects.get(pk=alice.key.pk)
    assert alice.key.revoke()
    assert not same.revoke()
    assert same.revoked_at == alice.key.revoked_at
    assert same.state == "revoked"


def test_a_revoked_key_is_not_rotated(alice: Any) -> None:
    stale = ApiKey.objects.get(pk=alice.key.pk)
    alice.key.revoke()
    with pytest.raises(KeyNotChangeableError):
        stale.rotate()


@pytest.mark.django_db(transaction=True)
def test_of_two_rotations_at_once_one_is_refused(alice: Any, in_parallel: Any) -> None:
    seen = ApiKey.objects.get(pk=alice.key.pk)

    def rotate() -> str:
        mine = ApiKey(pk=seen.pk, public_id=seen.public_id, secret_hash=seen.secret_hash)
        return mine.rotate(timedelta(hours=1))

    results = in_parallel(4, rotate)
    texts = [result for result in results if isinstance(result, str)]
    assert len(texts) == 1
    row = ApiKey.objects.get(pk=seen.pk)
    assert row.secret_hash == tokens.digest(texts[0])
    assert row.previous_secret_hash == tokens.digest(alice.text)
    assert [type(one) for one in results if one not in texts] == [KeyNotChangeableError] * 3


@pytest.mark.django_db(transaction=True)
def test_of_many_notes_of_use_at_once_one_is_written(alice: Any, in_parallel: Any) -> None:
    assert sum(in_parallel(6, lambda: alice.key.touch("192.0.2.7"))) == 1
