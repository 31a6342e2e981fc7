"""`manage.py api_keys`: what it prints, once, and what it never prints."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone

from console.audit import COMMAND_LINE
from console.models import AuditEntry
from keys_app import auth, holdings
from keys_app.environment import sync_environment_keys
from keys_app.models import ApiKey

pytestmark = pytest.mark.django_db

IP = "192.0.2.7"


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("api_keys", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def one_session() -> Iterator[None]:
    def held(_: UUID) -> dict[str, int]:
        return {"active sessions": 1, "open streams": 0}

    holdings.register(held)
    yield
    holdings.unregister(held)


def test_create_prints_the_key_alone_on_stdout() -> None:
    out, err = run("create", "ci")
    assert auth.resolve(out.strip(), IP).name == "ci"
    assert out.strip() not in err
    assert "only showing" in err


def test_create_takes_every_field_of_the_policy() -> None:
    get_user_model().objects.create_user("alice")
    run(
        "create", "all", "--scope", "sessions:read", "--scope", "admin", "--engine", "messages",
        "--model", "claude-a-*", "--permission-mode", "plan", "--root", "/srv/a", "--tool", "Read",
        "--allowed-ip", "192.0.2.0/24", "--max-turns", "3", "--max-sessions", "4", "--max-runs",
        "5", "--rate-limit", "6", "--budget-day-usd", "7.50", "--budget-month-usd", "80",
        "--expires", "30d", "--metadata", '{"team": "a"}', "--owner", "alice",
        "--allow-slash-commands",
    )  # fmt: skip
    key = ApiKey.objects.get()
    assert (key.scopes, key.engines, key.models) == (
        ["sessions:read", "admin"], ["messages"], ["claude-a-*"],
    )  # fmt: skip
    assert (key.permission_modes, key.roots, key.tools) == (["plan"], ["/srv/a"], ["Read"])
    assert (key.max_turns, key.max_sessions, key.max_runs, key.rate_limit) == (3, 4, 5, 6)
    assert (str(key.budget_day_usd), str(key.budget_month_usd)) == ("7.5000", "80.0000")
    assert key.allowed_ips == ["192.0.2.0/24"]
    assert key.allow_slash_commands
    assert key.owner is not None
    assert key.metadata == {"team": "a"}
    assert key.expires_at is not None
    assert timedelta(days=29) < key.expires_at - timezone.now() <= timedelta(days=30)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scope", "fly"], "'fly' is not a scope"),
        (["--rate-limit", "0"], "rate_limit:"),
        (["--rate-limit", "x"], "invalid int value"),
        (["--expires", "soon"], "neither a duration nor"),
        (["--expires", "2001-01-01T00:00:00Z"], "in the past"),
        (["--budget-day-usd", "NaN"], "not an amount"),
        (["--metadata", "{"], "not JSON"),
        (["--owner", "nobody"], "no user named nobody"),
        (["--allowed-ip", "here"], "not an address or range"),
    ],
)
def test_create_refuses_wrong_values_in_a_sentence(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run("create", "x", *arguments)
    assert not ApiKey.objects.exists()


def test_json_holds_the_key_and_its_facts() -> None:
    facts = json.loads(run("create", "ci", "--json")[0])
    assert auth.resolve(facts["key"], IP).pk == UUID(facts["id"])
    assert facts["prefix"] in facts["key"]
    assert facts["policy"]["rateLimit"] is None


def test_list_shows_keys_without_secrets(alice: Any, issue: Any) -> None:
    issue("Bob").key.revoke()
    out, _ = run("list")
    assert alice.key.prefix in out
    assert "revoked" in out
    everything = out + run("list", "--json")[0]
    for secret in (alice.text, alice.key.secret_hash):
        assert secret not in everything
    assert [row["name"] for row in json.loads(run("list", "--active", "--json")[0])] == ["Alice"]


def test_list_says_how_to_make_the_first_key() -> None:
    assert "api_keys create" in run("list")[1]


@pytest.mark.usefixtures("one_session")
def test_revoke_says_what_it_cuts_off_before_and_after(alice: Any) -> None:
    before, _ = run("revoke", alice.key.prefix, "--dry-run")
    assert "would be revoked. This cuts its clients off from active sessions (1)." in before
    assert auth.resolve(alice.text, IP)
    after, _ = run("revoke", alice.text, "--json")
    assert json.loads(after)["cutsOff"] == {"active sessions": 1}
    assert not ApiKey.objects.standing().exists()
    assert "was revoked before" in run("revoke", str(alice.key.pk))[0]


def test_rotate_prints_the_new_key_and_keeps_the_old_for_the_overlap(alice: Any) -> None:
    out, err = run("rotate", alice.key.prefix, "--overlap", "24h")
    assert auth.resolve(out.strip(), IP) == auth.resolve(alice.text, IP)
    assert "works until" in err


def test_create_begins_with_a_preset_and_what_else_is_said_wins() -> None:
    run("create", "ci", "--preset", "chat", "--max-runs", "7")
    key = ApiKey.objects.get()
    assert (key.engines, key.permission_modes, key.max_runs) == (["messages"], [], 7)
    assert str(key.budget_day_usd) == "10.0000"
    assert key.expires_at is not None


def test_extend_lengthens_a_life_and_never_shortens_it(issue: Any) -> None:
    key = issue("ci", expires_at=timezone.now() - timedelta(days=1)).key
    assert "works until" in run("extend", key.prefix, "30d")[0]
    assert "works longer already" in run("extend", key.prefix, "7d")[0]
    assert ApiKey.objects.standing().filter(pk=key.pk).exists()
    assert json.loads(run("extend", key.prefix, "60d", "--json")[0])["extended"] is True


def test_extend_says_where_there_is_nothing_to_extend(alice: Any, issue: Any) -> None:
    assert "never expires" in run("extend", alice.key.prefix, "30d")[0]
    gone = issue("Gone", expires_at=timezone.now() + timedelta(days=1)).key
    gone.revoke()
    with pytest.raises(CommandError, match="is revoked"):
        run("extend", gone.prefix, "30d")


@pytest.mark.parametrize("verb", ["revoke", "rotate"])
@pytest.mark.parametrize("name", ["capi_nobody", "env_00000000", "x", "capi_"])
def test_an_unknown_key_is_refused_without_repeating_it(verb: str, name: str) -> None:
    with pytest.raises(CommandError, match="no such key") as refused:
        run(verb, name)
    assert str(refused.value).endswith("give its prefix (capi_…) or its id.")


@pytest.mark.parametrize("verb", ["revoke", "rotate"])
def test_keys_of_the_environment_are_changed_there(verb: str, configure: Any) -> None:
    configure(auth={"api_keys": ("a-key-of-alice-16",)})
    key = auth.resolve("a-key-of-alice-16", IP)
    with pytest.raises(CommandError, match="change it there"):
        run(verb, key.prefix)


def test_what_is_done_to_keys_is_in_the_audit_log() -> None:
    prefix = run("create", "ci", "--model", "claude-a-*", "--expires", "7d")[0][:17]
    run("rotate", prefix, "--overlap", "1h")
    for _ in range(2):  # what changed nothing the second time is written down once
        run("extend", prefix, "30d" if _ else "31d")
        run("revoke", prefix, "--dry-run")
    run("revoke", prefix)
    run("revoke", prefix)

    key = ApiKey.objects.get()
    written = list(AuditEntry.objects.order_by("id"))
    assert [entry.verb for entry in written] == [
        "key.created", "key.rotated", "key.extended", "key.revoked",
    ]  # fmt: skip
    assert {(entry.actor, entry.target_id) for entry in written} == {(COMMAND_LINE, str(key.pk))}
    assert written[0].details["models"] == ["claude-a-*"]
    assert written[2].details["expires_at"]["old"] < written[2].details["expires_at"]["new"]
    assert key.secret_hash not in str([entry.details for entry in written])


def test_a_key_that_is_gone_from_the_environment_is_not_active(configure: Any) -> None:
    configure(auth={"api_keys": ("a-key-of-alice-16",)})
    sync_environment_keys()
    assert "  active  " in run("list")[0]
    configure(auth={"api_keys": ()})
    assert "  gone  " in run("list")[0]
    assert run("list", "--active")[0] == ""
