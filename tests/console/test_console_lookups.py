"""What is in no list cannot be asked for in its address either."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse

from console.models import SecondFactor
from keys_app.models import ApiKey

pytestmark = pytest.mark.django_db
SignedIn = Callable[..., Client]


@pytest.mark.parametrize(
    ("page", "lookup"),
    [
        ("console_secondfactor", "secret__startswith"),
        ("console_secondfactor", "spare_codes__contains"),
        ("console_secondfactor", "user__password__startswith"),
        ("keys_app_apikey", "secret_hash__startswith"),
        ("keys_app_apikey", "previous_secret_hash__startswith"),
        ("keys_app_apikey", "owner__password__startswith"),
        ("auth_user", "password__startswith"),
        ("auth_user", "groups__user__password__startswith"),
        ("auth_group", "user__password__startswith"),
    ],
)
def test_no_secret_is_guessed_by_whether_its_row_is_listed(
    signed_in: SignedIn, page: str, lookup: str
) -> None:
    client = signed_in(superuser := "administrator", is_superuser=True)
    SecondFactor.objects.create(user=User.objects.get(username=superuser), secret="A" * 32)
    ApiKey.objects.issue("Alice")

    answer = client.get(reverse(f"admin:{page}_changelist"), {lookup: "A"})

    assert answer.status_code == 400


def test_what_has_no_filter_is_refused_in_every_list(person: Callable[..., User]) -> None:
    request = RequestFactory().get("/admin/")
    request.user = person("administrator", is_superuser=True)
    offered = {"at", "verb", "actor", "source", "is_active", "engine", "model", "key"}
    for model, shown in admin.site._registry.items():
        for field in model._meta.concrete_fields:
            if not field.primary_key and field.name not in offered:
                assert not shown.lookup_allowed(f"{field.name}__startswith", "a", request), field


@pytest.mark.parametrize(
    ("page", "moment"), [("console_auditentry", "1"), ("keys_app_usagesum", "0")]
)
def test_a_big_list_is_sorted_by_its_index_alone(
    signed_in: SignedIn, page: str, moment: str
) -> None:
    client = signed_in("administrator")
    url = reverse(f"admin:{page}_changelist")

    lists = [client.get(url, {"o": order}).context["cl"] for order in ("", "2", "-3.4", "8")]

    assert len({frozenset(shown.queryset.query.order_by) for shown in lists}) == 1
    assert client.get(url, {"o": moment}).context["cl"].queryset.query.order_by[0][0] != "-"


@pytest.mark.parametrize(
    ("page", "lookup"),
    [
        ("console_auditentry", {"verb": "key.revoked"}),
        ("console_auditentry", {"at__gte": "2026-01-01 00:00:00+00:00"}),
        ("console_auditentry", {"what": "keys", "actor": "alice"}),
        ("keys_app_apikey", {"state": "expiring", "source__exact": "issued"}),
        ("keys_app_usagesum", {"period": "today", "engine": "messages", "model": "x"}),
        ("auth_user", {"is_active__exact": "1", "groups__id__exact": "1"}),
    ],
)
def test_lists_are_narrowed_by_their_filters(
    signed_in: SignedIn, page: str, lookup: dict[str, str]
) -> None:
    client = signed_in("administrator", is_superuser=True)

    assert client.get(reverse(f"admin:{page}_changelist"), lookup).status_code == 200
