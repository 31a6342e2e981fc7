"""Keys in the Django admin: shown once, masked after, explained and validated."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.keys.forms import ApiKeyForm
from keys_app import auth
from keys_app.models import ApiKey

pytestmark = pytest.mark.django_db

IP = "192.0.2.7"
LIST = "admin:keys_app_apikey_changelist"
FORM: dict[str, Any] = {
    "name": "ci", "owner": "", "expires_at_0": "", "expires_at_1": "",
    "scopes": ["sessions:read"], "permission_modes": ["default"], "engines": [], "models": "",
    "roots": "", "tools": "", "allowed_ips": "", "max_turns": "", "max_sessions": "",
    "max_runs": "", "rate_limit": "", "budget_day_usd": "", "budget_month_usd": "",
    "metadata": "{}",
}  # fmt: skip


@pytest.fixture
def operator(admin_client: Client) -> Client:
    return admin_client


def page(name: str, key: ApiKey) -> str:
    url: str = reverse(f"admin:keys_app_apikey_{name}", args=[key.pk])
    return url


def add(operator: Client, **changes: Any) -> Any:
    return operator.post(reverse("admin:keys_app_apikey_add"), {**FORM, **changes})


def test_afterwards_the_key_is_masked(operator: Client, alice: Any) -> None:
    for url in (reverse(LIST), page("change", alice.key)):
        html = operator.get(url).content.decode()
        assert f"{alice.key.prefix}_••••" in html
        assert alice.key.secret_hash not in html


def test_lists_are_written_one_a_line(operator: Client) -> None:
    add(
        operator, models=" claude-a-*\r\n\r\nclaude-b ", allowed_ips="192.0.2.0/24\n2001:db8::/32",
        roots="/srv/work", budget_day_usd="2.5", rate_limit="30",
    )  # fmt: skip
    key = ApiKey.objects.get()
    assert key.models == ["claude-a-*", "claude-b"]
    assert key.allowed_ips == ["192.0.2.0/24", "2001:db8::/32"]
    assert (key.roots, key.rate_limit, str(key.budget_day_usd)) == (["/srv/work"], 30, "2.5000")
    html = operator.get(page("change", key)).content.decode()
    assert "claude-a-*\nclaude-b</textarea>" in html


@pytest.mark.parametrize(
    ("field", "changes", "said"),
    [
        ("name", {"name": ""}, "required"),
        ("scopes", {"scopes": []}, "required"),
        ("allowed_ips", {"allowed_ips": "here"}, "not an address or range"),
        ("roots", {"roots": "relative"}, "not an absolute path"),
        ("rate_limit", {"rate_limit": "0"}, "greater than or equal to 1"),
        ("metadata", {"metadata": "[]"}, "JSON object"),
        ("budget_day_usd", {"budget_day_usd": "9", "budget_month_usd": "8"}, "whole month"),
        (
            "expires_at",
            {"expires_at_0": "2001-01-01", "expires_at_1": "00:00"},
            "in the past",
        ),
    ],
)
def test_a_wrong_limit_is_refused_beside_its_field(
    operator: Client, field: str, changes: dict[str, Any], said: str
) -> None:
    answer = add(operator, **changes)
    errors = answer.context["adminform"].form.errors
    assert set(errors) == {field}
    assert said in str(errors[field])
    assert not ApiKey.objects.exists()


def test_each_limit_is_explained_where_it_is_set(operator: Client) -> None:
    form = operator.get(reverse("admin:keys_app_apikey_add")).context["adminform"].form
    seen = {name: field for name, field in form.fields.items() if not field.widget.is_hidden}
    assert [name for name, field in seen.items() if not field.help_text] == []


def test_a_changed_policy_takes_effect_at_once(
    operator: Client, alice: Any, django_capture_on_commit_callbacks: Any
) -> None:
    auth.resolve(alice.text, IP)
    with django_capture_on_commit_callbacks(execute=True):
        operator.post(page("change", alice.key), {**FORM, "allowed_ips": "198.51.100.1"})
    assert auth.resolve(alice.text, "198.51.100.1").name == "ci"


def test_saving_a_policy_does_not_undo_a_revocation_meanwhile(
    operator: Client, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def revoked_between_reading_and_writing(form: ApiKeyForm) -> dict[str, Any]:
        ApiKey.objects.get().revoke()
        return form.cleaned_data

    monkeypatch.setattr(ApiKeyForm, "clean", revoked_between_reading_and_writing)
    operator.post(page("change", alice.key), FORM)
    row = ApiKey.objects.get()
    assert row.name == "ci"
    assert row.revoked_at is not None


def test_keys_of_the_environment_and_revoked_ones_are_read_only(
    operator: Client, alice: Any, configure: Any
) -> None:
    configure(auth={"api_keys": ("a-key-of-alice-16",)})
    environment = auth.resolve("a-key-of-alice-16", IP)
    alice.key.revoke()
    for key in (environment, alice.key):
        html = operator.get(page("change", key)).content.decode()
        assert 'name="_save"' not in html
        assert operator.post(page("change", key), FORM).status_code == 403
        for action in ("revoke", "rotate", "extend"):
            assert operator.post(page(action, key)).status_code == 403
    assert (
        "comes from the environment" in operator.get(page("change", environment)).content.decode()
    )
    assert ApiKey.objects.get(pk=environment.pk).revoked_at is None


def test_keys_cannot_be_deleted(operator: Client, alice: Any) -> None:
    assert operator.post(page("delete", alice.key), {"post": "yes"}).status_code == 403


def test_staff_who_may_only_look_change_nothing(client: Client, alice: Any) -> None:
    viewer = User.objects.create_user("bob", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client.force_login(viewer)
    assert client.get(page("change", alice.key)).status_code == 200
    for action in ("revoke", "rotate", "extend"):
        assert client.get(page(action, alice.key)).status_code == 403
        assert client.post(page(action, alice.key)).status_code == 403
    assert client.post(reverse("admin:keys_app_apikey_add"), FORM).status_code == 403


@pytest.mark.parametrize("action", ["revoke", "rotate", "extend", "shown"])
def test_strangers_are_sent_to_the_login(client: Client, alice: Any, action: str) -> None:
    answer = client.post(page(action, alice.key))
    assert answer.status_code == 302
    assert "login" in answer["Location"]


def test_a_form_of_another_site_changes_nothing(alice: Any, admin_user: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert strict.post(page("revoke", alice.key)).status_code == 403


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ("active", {"Alice", "Soon", "Idle"}),
        ("expiring", {"Soon"}),
        ("unused", {"Idle"}),
        ("expired", {"Late"}),
        ("revoked", {"Gone"}),
    ],
)
def test_the_list_is_filtered_by_state(
    operator: Client, alice: Any, issue: Any, state: str, names: set[str]
) -> None:
    now = timezone.now()
    issue("Soon", expires_at=now + timedelta(days=3))
    issue("Late", expires_at=now - timedelta(days=3))
    issue("Idle", created_at=now - timedelta(days=200))
    issue("Gone").key.revoke()
    found = operator.get(reverse(LIST), {"state": state}).context["cl"].queryset
    assert set(found.values_list("name", flat=True)) == names


@pytest.mark.parametrize("shape", ["{}", "{}_••••••••", " {} ", "Ali"])
def test_a_key_is_found_by_what_is_shown_of_it(operator: Client, alice: Any, shape: str) -> None:
    found = operator.get(reverse(LIST), {"q": shape.format(alice.key.prefix)})
    assert list(found.context["cl"].queryset) == [alice.key]


def test_the_list_takes_few_queries(
    operator: Client, issue: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        issue(f"Key {number}")
    with django_assert_max_num_queries(8):
        operator.get(reverse(LIST))


def test_a_name_cannot_inject_markup(operator: Client, issue: Any) -> None:
    key = issue("<script>alert(1)</script>").key
    for name in ("change", "revoke", "rotate", "extend", "shown"):
        assert "<script>alert" not in operator.get(page(name, key)).content.decode()
