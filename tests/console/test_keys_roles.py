"""Keys and usage for each role: who sees, who changes, who takes the file."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from console import roles
from keys_app import budgets
from keys_app.models import ApiKey

pytestmark = pytest.mark.django_db
SignedIn = Callable[..., Client]
OPERATES = (roles.OPERATOR, roles.ADMINISTRATOR)


@pytest.fixture
def key() -> ApiKey:
    made, _ = ApiKey.objects.issue("Alice", models=["claude-x-*"], rate_limit=7)
    budgets.record(made.pk, "messages", "m")
    return made


@pytest.mark.parametrize(
    ("page", "who"),
    [
        ("keys_app_apikey_changelist", roles.GROUPS),
        ("keys_app_apikey_change", roles.GROUPS),
        ("keys_app_apikey_history", roles.GROUPS),
        ("keys_app_apikey_add", OPERATES),
        ("keys_app_apikey_rotate", OPERATES),
        ("keys_app_apikey_extend", OPERATES),
        ("keys_app_apikey_revoke", OPERATES),
        ("keys_app_usagesum_changelist", roles.GROUPS),
        ("keys_app_usagesum_export", OPERATES),
    ],
)
def test_each_page_is_for_those_whose_role_includes_it(
    signed_in: SignedIn, key: ApiKey, role: str, page: str, who: tuple[str, ...]
) -> None:
    one = page.rpartition("_")[2] in ("change", "history", "rotate", "extend", "revoke")
    answer = signed_in(role).get(reverse(f"admin:{page}", args=[key.pk] if one else []))
    assert answer.status_code == (200 if role in who else 403)


def test_who_may_only_look_reads_the_policy_and_finds_no_button(
    signed_in: SignedIn, key: ApiKey
) -> None:
    url = reverse("admin:keys_app_apikey_change", args=[key.pk])
    html = signed_in("viewer").get(url).content.decode()
    assert "claude-x-*" in html
    assert "private workspaces only" in html
    for absent in ("Rotate", "Revoke", "Duplicate", "Export usage", 'name="_save"', "preset"):
        assert absent not in html


def test_bulk_actions_are_for_those_who_may(signed_in: SignedIn, key: ApiKey, role: str) -> None:
    client, url = signed_in(role), reverse("admin:keys_app_apikey_changelist")
    actions = ("revoke_selected", "extend_selected", "export_usage")
    html = client.get(url).content.decode()
    assert [f'value="{action}"' in html for action in actions] == [role in OPERATES] * 3
    for action in actions:
        sent = {"action": action, "_selected_action": [key.pk], "confirmed": "yes"}
        answer = client.post(url, sent)
        assert answer.get("Content-Disposition") is None or role in OPERATES
    key.refresh_from_db()
    assert (key.revoked_at is not None) == (role in OPERATES)


def test_the_form_asks_for_nothing_that_an_operator_may_not_see(signed_in: SignedIn) -> None:
    html = signed_in("operator").get(reverse("admin:keys_app_apikey_add")).content.decode()
    assert "autocomplete" not in html.partition("<form")[2].partition('id="id_owner"')[0]
    assert "/admin/auth/user/" not in html
    assert '<option value="' in html
