"""The form of a key: presets, likenesses, owners, and two who change a key at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.keys import filling, states
from keys_app import auth
from keys_app.models import ApiKey
from keys_app.presets import POLICY_FIELDS, PRESETS
from tests.keys.test_key_admin import FORM, IP, page

pytestmark = pytest.mark.django_db
ADD = "admin:keys_app_apikey_add"


def sent(answer: Any) -> dict[str, Any]:
    """What a browser would send of the form it was given."""
    form = answer.context["adminform"].form
    fields: dict[str, Any] = {}
    for bound in form:
        value = bound.value()
        if bound.name == "expires_at":
            fields["expires_at_0"] = f"{value:%Y-%m-%d}" if value else ""
            fields["expires_at_1"] = f"{value:%H:%M:%S}" if value else ""
        elif value not in (None, False):
            fields[bound.name] = value
    return fields


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fills_in_the_form_without_any_script(admin_client: Client, name: str) -> None:
    answer = admin_client.get(reverse(ADD), {"preset": name})
    assert PRESETS[name].purpose.split("$")[0] in answer.content.decode()
    admin_client.post(reverse(ADD), {**sent(answer), "name": "ci"})
    key, wanted = ApiKey.objects.get(), PRESETS[name].fields()
    assert {field: getattr(key, field) for field in POLICY_FIELDS} == {
        field: wanted[field] for field in POLICY_FIELDS
    }
    assert key.expires_at is not None
    assert abs(key.expires_at - wanted["expires_at"]) < timedelta(minutes=1)


def test_a_preset_for_scripts_says_the_same(admin_client: Client) -> None:
    without = sent(admin_client.get(reverse(ADD), {"preset": "chat"}))
    scripted = filling.as_inputs()["chat"]
    said = {
        name: value
        for name, value in scripted.items()
        if value not in ("", [], False) and not name.startswith("expires_at")
    }
    assert {name: str(without[name]) for name in said} == {
        name: str(value) for name, value in said.items()
    }


def test_a_preset_narrows_a_key_that_there_is(admin_client: Client, alice: Any) -> None:
    answer = admin_client.get(page("change", alice.key), {"preset": "read-only"})
    assert ApiKey.objects.get().scopes != PRESETS["read-only"].fields()["scopes"]
    admin_client.post(page("change", alice.key), sent(answer))
    assert ApiKey.objects.get().scopes == ["sessions:read", "usage:read"]
    assert auth.resolve(alice.text, IP) == alice.key


@pytest.mark.parametrize("query", [{"preset": "x"}, {"like": "x"}, {"like": "0" * 32}])
def test_an_unknown_preset_or_key_fills_in_nothing(
    admin_client: Client, query: dict[str, str]
) -> None:
    answer = admin_client.get(reverse(ADD), query)
    assert answer.context["adminform"].form["scopes"].value() == ApiKey().scopes


def test_a_duplicate_has_the_policy_and_a_life_as_long(admin_client: Client, issue: Any) -> None:
    now = timezone.now()
    old = issue(
        "Alice",
        created_at=now - timedelta(days=50),
        expires_at=now - timedelta(days=40),
        models=["claude-x-*"],
        allowed_ips=["192.0.2.0/24"],
        budget_day_usd=5,
        metadata={"team": "a"},
    ).key
    old.revoke()
    admin_client.post(
        reverse(ADD), {**sent(admin_client.get(reverse(ADD), {"like": old.pk})), "name": "Bob"}
    )
    new = ApiKey.objects.get(name="Bob")
    assert (new.models, new.allowed_ips, new.budget_day_usd, new.metadata) == (
        ["claude-x-*"], ["192.0.2.0/24"], 5, {"team": "a"},
    )  # fmt: skip
    assert new.expires_at is not None
    assert timedelta(days=9) < new.expires_at - now <= timedelta(days=10, minutes=1)
    assert (new.public_id != old.public_id, new.revoked_at) == (True, None)


def test_whoever_makes_a_key_answers_for_it_unless_another_is_chosen(
    admin_client: Client, admin_user: User
) -> None:
    User.objects.create_user("stranger")
    gone = User.objects.create_user("gone", is_staff=True, is_active=False)
    form = admin_client.get(reverse(ADD)).context["adminform"].form
    assert form["owner"].value() == admin_user.pk
    assert list(form.fields["owner"].queryset) == [admin_user]
    refused = admin_client.post(reverse(ADD), {**FORM, "owner": gone.pk})
    assert "owner" in refused.context["adminform"].form.errors


def test_an_owner_who_has_left_can_stay(admin_client: Client, issue: Any) -> None:
    gone = User.objects.create_user("gone", is_active=False)
    key = issue("Alice", owner=gone).key
    answer = admin_client.get(page("change", key))
    assert admin_client.post(page("change", key), sent(answer)).status_code == 302
    assert ApiKey.objects.get().owner == gone


def test_of_two_who_change_a_key_at_once_the_second_is_told(
    admin_client: Client, alice: Any
) -> None:
    first = sent(admin_client.get(page("change", alice.key)))
    admin_client.post(page("change", alice.key), {**first, "rate_limit": "5"})
    second = admin_client.post(page("change", alice.key), {**first, "name": "Mine"})
    assert "changed by somebody else" in second.content.decode()
    key = ApiKey.objects.get()
    assert (key.name, key.rate_limit) == ("Alice", 5)


def test_an_engine_that_is_gone_stays_in_the_policy(admin_client: Client, issue: Any) -> None:
    key = issue("Alice", engines=["messages", "old-engine"]).key
    answer = admin_client.get(page("change", key))
    admin_client.post(page("change", key), {**sent(answer), "name": "Bob"})
    assert ApiKey.objects.get().engines == ["messages", "old-engine"]


def test_badges_say_how_a_key_stands(issue: Any, configure: Any) -> None:
    now = timezone.now()
    configure(auth={"api_keys": ("a-key-of-alice-16",)})
    environment = auth.resolve("a-key-of-alice-16", IP)
    gone = issue("Gone").key
    gone.revoke()
    late = issue("Late", expires_at=now - timedelta(days=1)).key
    idle = issue(
        "Idle",
        created_at=now - timedelta(days=100),
        expires_at=now + timedelta(days=1, minutes=1),
    ).key
    said = {
        key.name: [badge.text for badge in states.badges(key)]
        for key in (environment, gone, late, idle)
    }
    assert said == {
        "Environment key 1": ["active", "environment"],
        "Gone": ["revoked"],
        "Late": ["expired"],
        "Idle": ["active", "expires in 1 day", "never used"],
    }
    configure(auth={"api_keys": ()})
    assert [badge.text for badge in states.badges(environment)] == ["gone from the environment"]
    assert list(states.in_state(ApiKey.objects.all(), "gone")) == [environment]
    assert environment not in states.in_state(ApiKey.objects.all(), "active")


def test_keys_that_need_a_look_are_told_of_on_the_list_and_the_front_page(
    admin_client: Client, issue: Any
) -> None:
    now = timezone.now()
    issue("Soon", expires_at=now + timedelta(days=3))
    issue("Idle", created_at=now - timedelta(days=200))
    for name in ("admin:keys_app_apikey_changelist", "admin:index"):
        html = admin_client.get(reverse(name)).content.decode()
        assert "1 expires within 14 days" in html
        assert "1 has not been used for 90 days" in html
    ApiKey.objects.all().delete()
    html = admin_client.get(reverse("admin:index")).content.decode()
    assert "within 14 days" not in html
