"""What goes wrong below /admin/ is a page for people."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from keys_app.models import ApiKey

pytestmark = pytest.mark.django_db


def told(answer: object) -> str:
    """The page, which has the menu of who is signed in."""
    page: str = answer.content.decode()  # type: ignore[attr-defined]
    assert 'aria-label="Console"' in page
    return page


def test_a_refusal_names_the_role_and_has_the_menu(signed_in: Callable[..., Client]) -> None:
    answer = signed_in("viewer").get(reverse("admin:console_auditentry_changelist"))
    assert answer.status_code == 403
    assert "Your role does not include this" in told(answer)


def test_a_superuser_is_not_told_about_roles(signed_in: Callable[..., Client]) -> None:
    root = signed_in(username="root", is_superuser=True)
    key = ApiKey.objects.create(name="Alice", secret_hash="a" * 64, source="environment")
    answer = root.get(reverse("admin:keys_app_apikey_revoke", args=[key.pk]))
    assert answer.status_code == 403
    assert "This cannot be done here" in told(answer)


def test_what_is_not_there_has_the_menu(signed_in: Callable[..., Client]) -> None:
    answer = signed_in("viewer").get("/admin/nothing/here/")
    assert answer.status_code == 404
    assert "There is no such page" in told(answer)


@pytest.mark.parametrize("page", ["console_sessions", "console_auditentry_changelist"])
@pytest.mark.parametrize("query", ["q=%00", "actor=a%00b", "verb=%00"])
def test_a_nul_in_the_query_means_nothing(
    page: str, query: str, signed_in: Callable[..., Client]
) -> None:
    root = signed_in(username="root", is_superuser=True)
    answer = root.get(f"{reverse(f'admin:{page}')}?{query}")
    assert answer.status_code == 200
    assert "\0" not in answer.content.decode()


def test_an_address_that_cannot_be_right_is_told(signed_in: Callable[..., Client]) -> None:
    root = signed_in(username="root", is_superuser=True)
    answer = root.get(reverse("admin:console_audit_csv"), {"nonsense": "1"})
    assert answer.status_code == 400
    assert "not understood" in told(answer)


def test_a_method_that_is_not_taken_is_told(signed_in: Callable[..., Client]) -> None:
    answer = signed_in("operator").get(reverse("admin:console_say", args=[uuid4()]))
    assert answer.status_code == 405
    assert "not for looking at" in told(answer)


def test_a_form_without_its_token_is_told(person: Callable[..., object]) -> None:
    person("viewer")
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "viewer"})
    assert answer.status_code == 403
    assert "too old" in answer.content.decode()


def test_our_own_fault_is_a_page_too(
    signed_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in("viewer")
    client.raise_request_exception = False
    monkeypatch.setattr("console.overview.snapshot.take", lambda: 1 / 0)
    answer = client.get("/admin/")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.content.decode()


def test_signing_out_is_a_page_of_the_console(signed_in: Callable[..., Client]) -> None:
    answer = signed_in("viewer").post("/admin/logout/")
    assert "You are signed out" in answer.content.decode()


@pytest.mark.parametrize(
    "address",
    [
        "console/auditentry/?verb=%00",
        "console/auditentry/?actor=%00",
        "console/auditentry/?q=%00",
        "console/auditentry/?at__gte=%00",
        "keys_app/apikey/?source=%00",
        "keys_app/apikey/?q=capi_%00",
        "keys_app/usagesum/?model=%00",
        "keys_app/usagesum/?engine=%00",
        "keys_app/usagesum/?key=%00",
        "keys_app/usagesum/?q=%00",
        "keys_app/usagesum/export/?model=%00",
        "console/auditentry/export/csv/?verb=%00",
        "auth/user/?q=%00",
        "auth/user/?groups__id__exact=%00",
        "sessions/?q=%00&engine=%00&model=%00&key=%00",
        "runs/?q=%00&status=%00&session=%00",
        "approvals/answered/?q=%00&status=%00",
        "?span=%00&by=%00",
    ],
)
def test_what_no_database_can_be_asked_for_is_no_failure(
    signed_in: Callable[..., Client], address: str
) -> None:
    root = signed_in(username="root", is_superuser=True)
    assert root.get(f"/admin/{address}").status_code in (200, 302, 400)
