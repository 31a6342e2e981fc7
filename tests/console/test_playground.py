"""The playground acts in a key's name, and within what the key may do."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from claudeapi.conf import AuthOptions, UpstreamOptions
from claudeapi.core.lifecycle import state
from console.keys import states
from console.models import AuditEntry
from console.playground.snippets import snippets
from keys_app.environment import sync_environment_keys
from keys_app.models import ApiKey
from sessions_app import eventlog
from sessions_app.hub import Event
from sessions_app.models import Run, Session
from tests.console.talking import key_of, run_of, said, session_of

pytestmark = pytest.mark.django_db
SignedIn = Callable[..., Client]


def begin(client: Client, key: object = "new", **fields: str) -> str:
    given = {"engine": "messages", "model": "claude-haiku-4-5", "key": str(key), **fields}
    answer = client.post("/admin/playground/", given, follow=True)
    return answer.content.decode()


def test_a_throw_away_key_lasts_an_hour_and_is_shown_to_nobody(signed_in: SignedIn) -> None:
    page = begin(signed_in("operator"), prompt="Hello")

    key = ApiKey.objects.get(name__startswith="Playground of operator")
    assert key.expires_at is not None
    assert timedelta(minutes=58) < key.expires_at - timezone.now() <= timedelta(hours=1)
    assert "admin" not in key.scopes
    assert key.secret_hash not in page
    assert AuditEntry.objects.filter(verb="key.created", target_id=str(key.pk)).exists()
    assert Run.objects.get().key == key


def test_a_throw_away_key_is_none_that_an_operator_should_look_at(signed_in: SignedIn) -> None:
    client = signed_in("operator")
    begin(client)

    found = client.get("/admin/keys_app/apikey/?state=expiring").context["cl"].queryset

    assert not states.attention()
    assert not found
    assert "warn" not in {badge.tone for badge in states.badges(ApiKey.objects.get())}


def test_who_tries_again_within_the_hour_keeps_the_throw_away_key(signed_in: SignedIn) -> None:
    client = signed_in("operator")
    for _ in range(2):
        begin(client)
    begin(signed_in("administrator"))
    keys = ApiKey.objects.filter(name__startswith="Playground").order_by("created_at")
    assert keys.count() == 2
    assert AuditEntry.objects.filter(verb="key.created").count() == 2
    assert "Playground of" not in client.get("/admin/playground/").content.decode()

    keys.filter(owner__username="operator").update(expires_at=timezone.now() + timedelta(minutes=5))
    begin(client)

    assert keys.count() == 3


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"engines": ["claude-code"]}, "POLICY_DENIED"),
        ({"models": ["claude-opus-*"]}, "POLICY_DENIED"),
        ({"scopes": ["sessions:read"]}, "INSUFFICIENT_SCOPE"),
        ({"max_sessions": 1}, "MAX_SESSIONS_REACHED"),
        ({"revoked_at": timezone.now()}, "INVALID_API_KEY: This key has expired or was revoked"),
    ],
)
def test_a_keys_policy_holds_here_too(
    signed_in: SignedIn, policy: dict[str, object], told: str
) -> None:
    key = key_of("Alice")
    session_of(key)
    ApiKey.objects.filter(pk=key.pk).update(**policy)

    page = begin(signed_in("operator"), key.pk)

    assert told in page
    assert Session.objects.count() == 1


def test_a_first_message_that_is_refused_leaves_neither_session_nor_key(
    signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "draining", True)

    page = begin(signed_in("operator"), prompt="Hello")

    assert 'role="alert"' in page
    assert not Session.objects.exists()
    assert not ApiKey.objects.filter(name__startswith="Playground").exists()


def test_a_form_that_is_sent_twice_begins_once(signed_in: SignedIn) -> None:
    client = signed_in("operator")

    pages = [begin(client, prompt="Hello", once="a") for _ in range(2)]

    assert all("pg-composer" in page for page in pages)
    assert Session.objects.count() == Run.objects.count() == 1


def test_requests_count_against_the_keys_limit(signed_in: SignedIn) -> None:
    key = key_of("Alice")
    ApiKey.objects.filter(pk=key.pk).update(rate_limit=1)

    client = signed_in("operator")
    begin(client, key.pk)

    assert "More than 1 requests" in begin(client, key.pk)


def test_a_message_that_is_refused_is_told_as_a_client_is_told(signed_in: SignedIn) -> None:
    client = signed_in("operator")
    begin(client)
    session = Session.objects.get()
    session.close("ended")

    answer = client.post(
        f"/admin/playground/{session.pk}/say/",
        {"prompt": "Hello"},
        headers={"X-Requested-With": "fetch"},
    )

    assert answer.json()["error"]["code"] == "SESSION_ENDED"


def test_nobody_speaks_in_a_clients_own_session(signed_in: SignedIn) -> None:
    session = session_of(key_of("Alice"))
    client = signed_in("operator")

    assert client.get(f"/admin/playground/{session.pk}/").status_code == 404
    said = client.post(f"/admin/playground/{session.pk}/say/", {"prompt": "Hello"})
    assert said.status_code == 404
    assert not Run.objects.exists()


def test_a_page_that_asks_why_its_feed_was_refused_is_told(signed_in: SignedIn) -> None:
    client = signed_in("operator")
    begin(client)
    session = Session.objects.get()
    page = f"/admin/playground/{session.pk}/"

    assert client.head(page).status_code == 200
    assert signed_in("viewer").head(page).status_code == 403
    session.delete()
    assert client.head(page).status_code == 404


@pytest.mark.parametrize("role", ["viewer", "approver"])
def test_it_is_for_operators(signed_in: SignedIn, role: str) -> None:
    assert signed_in(role).post("/admin/playground/", {"key": "new"}).status_code == 403
    assert not ApiKey.objects.filter(name__startswith="Playground").exists()


def test_the_programs_say_what_was_said_first(signed_in: SignedIn) -> None:
    page = begin(signed_in("operator"), prompt="It's <me>")

    shown = html.unescape(page)
    assert "\"It'\\''s <me>\"" in shown
    assert shown.count('"It\'s <me>"') >= 2
    assert "<me>" not in page


def test_events_so_far_are_there_after_a_reload(signed_in: SignedIn) -> None:
    client = signed_in("operator")
    begin(client)
    session = Session.objects.get()
    run = run_of(session)
    data = b'{"message": {"type": "system", "subtype": "init"}}'
    eventlog.store(session.pk, [Event(1, "message", run.pk.hex, False, data)], [])
    said(run, 2, "assistant", [{"type": "text", "text": "Hi"}])

    page = client.get(f"/admin/playground/{session.pk}/").content.decode()

    assert '<span class="muted">system init</span>' in page


def test_the_programs_are_programs(tmp_path: Path) -> None:
    body = {"engine": "messages", "model": "m", "systemPrompt": 'It\'s "so"\n{x}'}
    shown = {one.name: one for one in snippets("http://localhost:3050/api/v1", body, "It's\u2028")}

    compile(shown["python"].text, "snippet", "exec")
    assert "It'\\''s" in shown["curl"].before
    assert all("CLAUDEAPI_KEY" in one.before for one in shown.values())


def test_a_key_that_is_gone_from_the_environment_is_not_offered(
    signed_in: SignedIn, settings: Any
) -> None:
    def configure(*keys: str) -> None:
        settings.OPTIONS = replace(settings.OPTIONS, auth=AuthOptions(api_keys=keys))

    configure("a-key-of-alice-16")
    [key] = sync_environment_keys()
    client = signed_in("operator")
    assert key.name in client.get("/admin/playground/").content.decode()

    configure()

    assert key.name not in client.get("/admin/playground/").content.decode()
    assert "INVALID_API_KEY" in begin(client, key.pk)


@pytest.mark.parametrize("kind", ["anthropic", "gateway"])
def test_the_first_page_of_a_server_that_is_live_speaks_of_no_simulator_that_answers_now(
    signed_in: SignedIn, settings: Any, kind: Any
) -> None:
    upstream = UpstreamOptions("https://gateway.example.com", "none", kind)
    settings.OPTIONS = replace(settings.OPTIONS, upstream=upstream)
    page = signed_in("viewer").get("/admin/first-steps/").content.decode()

    assert "where it says" not in page
    assert "Replies are real" in page


def test_the_first_page_says_what_answers(signed_in: SignedIn) -> None:
    page = signed_in("viewer").get("/admin/first-steps/").content.decode()

    assert "the simulator answers" in page
    assert "ANTHROPIC_API_KEY" in page
