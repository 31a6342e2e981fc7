"""What is done to keys in the console: shown once, rotated, extended, revoked; all written down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as SignIn
from django.core.cache import cache
from django.db.models.signals import pre_save
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from claudeapi.core.errors import InvalidApiKey
from console.keys import actions, changes
from console.models import AuditEntry
from keys_app import auth, holdings, tokens
from keys_app.models import ApiKey
from tests.keys.test_key_admin import FORM, IP, LIST, page

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(admin_client: Client) -> Client:
    return admin_client


@pytest.fixture
def one_session() -> Iterator[None]:
    def held(_: UUID) -> dict[str, int]:
        return {"active sessions": 1}

    holdings.register(held)
    yield
    holdings.unregister(held)


def add(operator: Client, **changes: Any) -> Any:
    return operator.post(reverse("admin:keys_app_apikey_add"), {**FORM, **changes})


def text_in(html: str) -> str:
    found: set[str] = {part for part in re.findall(r"capi_\w+", html) if tokens.parse(part)}
    assert len(found) == 1
    return found.pop()


def shown(operator: Client, answer: Any) -> str:
    """The page that an answer leads to."""
    assert answer.status_code == 302, answer.content.decode()
    html: str = operator.get(answer["Location"]).content.decode()
    return html


def rotate(operator: Client, key: ApiKey, **fields: Any) -> Any:
    form = operator.get(page("rotate", key)).context["form"]
    sent = {"secret": form["secret"].value(), "overlap_hours": "2"}
    return operator.post(page("rotate", key), {**sent, **fields})


def test_a_new_key_is_shown_once_by_a_page_that_no_browser_keeps(operator: Client) -> None:
    answer = add(operator)
    page_of_it = operator.get(answer["Location"])
    text = text_in(page_of_it.content.decode())
    assert "no-store" in page_of_it["Cache-Control"]
    assert f"curl -H 'x-api-key: {text}' http" in page_of_it.content.decode()
    assert auth.resolve(text, IP).name == "ci"
    again = operator.get(answer["Location"]).content.decode()
    assert text not in again
    assert "shown already" in again
    assert ApiKey.objects.count() == 1


def test_a_new_key_is_in_no_address_table_or_list(operator: Client) -> None:
    answer = add(operator)
    waiting = repr(vars(cache)) + str(list(SignIn.objects.values_list("session_data", flat=True)))
    text = text_in(shown(operator, answer))
    key = ApiKey.objects.get()
    for url in (reverse(LIST), page("change", key), page("history", key)):
        assert text not in operator.get(url).content.decode()
    records = str(list(LogEntry.objects.values())) + str(list(AuditEntry.objects.values()))
    for secret in (text, key.secret_hash):
        assert secret not in answer["Location"] + waiting + records


def test_a_new_key_is_shown_to_nobody_else(operator: Client) -> None:
    answer = add(operator)
    mallory = Client()
    mallory.force_login(User.objects.create_superuser("mallory"))
    assert "shown already" in shown(mallory, answer)
    assert text_in(shown(operator, answer))


def test_a_form_sent_twice_makes_one_key(operator: Client) -> None:
    new_id = str(uuid4())
    first = add(operator, new_id=new_id)
    second = add(operator, new_id=new_id)
    assert ApiKey.objects.get().pk == UUID(new_id)
    assert first["Location"] == second["Location"]
    assert auth.resolve(text_in(shown(operator, second)), IP)


def test_a_rotated_key_is_shown_once_and_the_old_one_overlaps(operator: Client, alice: Any) -> None:
    new = text_in(shown(operator, rotate(operator, alice.key)))
    assert auth.resolve(new, IP) == auth.resolve(alice.text, IP) == alice.key
    assert new not in operator.get(page("change", alice.key)).content.decode()
    row = ApiKey.objects.get()
    assert row.previous_valid_until is not None
    assert row.previous_valid_until - timezone.now() <= timedelta(hours=2)


def test_a_rotation_sent_twice_replaces_the_secret_once(operator: Client, alice: Any) -> None:
    secret = operator.get(page("rotate", alice.key)).context["form"]["secret"].value()
    first = rotate(operator, alice.key, secret=secret)
    second = rotate(operator, alice.key, secret=secret)
    assert first["Location"] == second["Location"]
    assert auth.resolve(text_in(shown(operator, second)), IP) == alice.key
    assert auth.resolve(alice.text, IP) == alice.key


def test_a_rotation_by_an_old_page_is_refused_and_changes_nothing(
    operator: Client, alice: Any
) -> None:
    secret = operator.get(page("rotate", alice.key)).context["form"]["secret"].value()
    elsewhere = alice.key.rotate(timedelta(hours=1))
    answer = rotate(operator, alice.key, secret=secret)
    assert "rotated since this page was opened" in answer.content.decode()
    assert auth.resolve(elsewhere, IP) == auth.resolve(alice.text, IP) == alice.key


@pytest.mark.parametrize("hours", ["-1", "x", "", "10000"])
def test_a_wrong_overlap_rotates_nothing(operator: Client, alice: Any, hours: str) -> None:
    assert rotate(operator, alice.key, overlap_hours=hours).status_code == 200
    assert auth.resolve(alice.text, IP)
    assert ApiKey.objects.get().previous_valid_until is None


def test_what_could_not_be_shown_is_not_made_or_rotated(
    operator: Client, alice: Any, settings: Any
) -> None:
    gone = {"BACKEND": "claudeapi.core.cache.SharedRedisCache", "LOCATION": "redis://127.0.0.1:1"}
    settings.CACHES = {"default": gone}
    assert "does not answer" in rotate(operator, alice.key).content.decode()
    assert add(operator)["Location"] == reverse("admin:keys_app_apikey_add")
    assert auth.resolve(alice.text, IP) == ApiKey.objects.get()
    assert not AuditEntry.objects.filter(verb__startswith="key.").exists()


@pytest.mark.usefixtures("one_session")
def test_revoking_says_what_it_cuts_off_before_it_does(
    operator: Client, alice: Any, django_capture_on_commit_callbacks: Any
) -> None:
    asked = operator.get(page("revoke", alice.key)).content.decode()
    assert "This cuts its clients off from active sessions (1)." in asked
    assert auth.resolve(alice.text, IP)
    with django_capture_on_commit_callbacks(execute=True):
        operator.post(page("revoke", alice.key))
    with pytest.raises(InvalidApiKey):
        auth.resolve(alice.text, IP)
    assert LogEntry.objects.get().get_change_message() == "Revoked."
    entry = AuditEntry.objects.get(verb="key.revoked")
    assert (entry.target_id, entry.details) == (
        str(alice.key.pk),
        {"cut_off": {"active sessions": 1}},
    )


def test_several_keys_are_revoked_after_one_question(
    operator: Client, alice: Any, issue: Any
) -> None:
    bob = issue("Bob").key
    chosen = {"action": "revoke_selected", "_selected_action": [alice.key.pk, bob.pk]}
    asked = operator.post(reverse(LIST), chosen)
    assert "Bob" in asked.content.decode()
    assert ApiKey.objects.standing().count() == 2
    operator.post(reverse(LIST), {**chosen, "confirmed": "yes"})
    assert ApiKey.objects.standing().count() == 0
    assert AuditEntry.objects.filter(verb="key.revoked").count() == 2


@pytest.mark.parametrize("verb", ["revoke", "extend"])
def test_more_keys_than_a_question_can_be_about_are_refused_in_a_sentence(
    operator: Client, alice: Any, issue: Any, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "AT_ONCE", 2)
    for name in ("Bob", "Carol"):
        issue(name)
    chosen = {"_selected_action": [alice.key.pk], "select_across": "1"}

    said = operator.post(reverse(LIST), {"action": f"{verb}_selected", **chosen}, follow=True)

    assert "These are 3 keys, and 2 can be changed at once" in said.content.decode()
    assert ApiKey.objects.standing().count() == 3


def test_a_key_is_extended_and_never_shortened(operator: Client, issue: Any) -> None:
    key = issue("ci", expires_at=timezone.now() - timedelta(days=1)).key
    operator.post(page("extend", key), {"days": "30"})
    operator.post(page("extend", key), {"days": "7"})
    key.refresh_from_db()
    assert timedelta(days=29) < key.expires_at - timezone.now() <= timedelta(days=30)
    change = AuditEntry.objects.get(verb="key.extended").details["expires_at"]
    assert change["old"] < change["new"]


def test_a_key_is_extended_to_the_end_of_a_day(operator: Client, issue: Any) -> None:
    key = issue("ci", expires_at=timezone.now() + timedelta(days=1)).key
    operator.post(page("extend", key), {"days": "7", "date": "2199-12-31"})
    key.refresh_from_db()
    assert key.expires_at.isoformat() == "2200-01-01T00:00:00+00:00"
    past = operator.post(page("extend", key), {"days": "7", "date": "2001-01-01"})
    assert "in the past" in past.content.decode()


def test_several_keys_are_extended_after_one_question(
    operator: Client, alice: Any, issue: Any
) -> None:
    soon = timezone.now() + timedelta(days=1)
    keys = [issue(name, expires_at=soon).key for name in ("Bob", "Carol")]
    keys[1].revoke()
    chosen = {
        "action": "extend_selected",
        "_selected_action": [alice.key.pk, *(k.pk for k in keys)],
    }
    assert "expires on" in operator.post(reverse(LIST), chosen).content.decode()
    said = operator.post(reverse(LIST), {**chosen, "confirmed": "yes", "days": "30"}, follow=True)
    keys[0].refresh_from_db()
    assert keys[0].expires_at > soon
    assert "never expires" in said.content.decode()
    assert "revoked or from the environment: 1." in said.content.decode()


def test_making_and_changing_are_written_down_with_old_and_new(
    operator: Client, alice: Any
) -> None:
    add(operator, rate_limit="30", metadata='{"team": "a"}')
    made = AuditEntry.objects.get(verb="key.created").details
    assert (made["name"], made["rate_limit"], made["metadata"]) == ("ci", 30, "1 entries")
    operator.post(page("change", alice.key), {**FORM, "name": "Alice", "budget_day_usd": "5"})
    changed = AuditEntry.objects.get(verb="key.changed").details
    assert changed["budget_day_usd"] == {"old": None, "new": "5.00"}
    assert changed["scopes"]["new"] == ["sessions:read"]
    assert "name" not in changed


def test_the_history_of_a_key_says_who_did_what(operator: Client, alice: Any) -> None:
    operator.post(page("change", alice.key), {**FORM, "name": "Alice", "rate_limit": "5"})
    html = operator.get(page("history", alice.key)).content.decode()
    assert "rate_limit: none → 5" in html
    assert "admin" in html
    assert operator.get(page("history", ApiKey())).status_code == 404


def test_a_rotation_is_written_down_without_the_secret(operator: Client, alice: Any) -> None:
    new = text_in(shown(operator, rotate(operator, alice.key)))
    entry = AuditEntry.objects.get(verb="key.rotated")
    assert set(entry.details) == {"previous_valid_until"}
    assert new not in str(vars(entry))


@pytest.mark.parametrize("act", ["revoke", "rotate", "extend", "change"])
def test_what_cannot_be_written_down_does_not_happen(
    operator: Client, issue: Any, act: str
) -> None:
    def full(**_: Any) -> None:
        raise OSError("the disk is full")

    key = issue("Alice", expires_at=timezone.now() + timedelta(days=1)).key
    before = ApiKey.objects.values().get()
    secret = changes.secret_version(key)
    pre_save.connect(full, sender=AuditEntry)
    sent = {**FORM, "days": "90", "overlap_hours": "2", "secret": secret}
    try:
        with pytest.raises(OSError, match="full"):
            operator.post(page(act, key), sent)
    finally:
        pre_save.disconnect(full, sender=AuditEntry)
    assert ApiKey.objects.values().get() == before
