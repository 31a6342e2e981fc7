"""Who may open and keep a live feed: asked again every two seconds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from claudeapi.core import errors
from console import roles
from console.live import staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(person: Callable[..., User]) -> User:
    return person("viewer")


@pytest.fixture
def cookie(alice: User, client: Client) -> str:
    client.force_login(alice)
    return client.cookies["claudeapi_session"].value


def test_a_sign_in_with_the_permission_is_admitted(alice: User, cookie: str) -> None:
    assert staff.admit(cookie, roles.VIEW_LIVE) == alice


def test_without_the_permission_it_is_refused(cookie: str) -> None:
    with pytest.raises(errors.InsufficientScope):
        staff.admit(cookie, roles.DECIDE_APPROVALS)


@pytest.mark.parametrize(
    "change",
    [{"is_active": False}, {"is_staff": False}, {"password": "changed elsewhere"}],
)
def test_what_takes_away_the_account_ends_the_feed(
    change: dict[str, object], alice: User, cookie: str
) -> None:
    User.objects.filter(pk=alice.pk).update(**change)
    with pytest.raises(errors.MissingApiKey):
        staff.admit(cookie, roles.VIEW_LIVE)


def test_leaving_the_group_ends_the_feed(alice: User, cookie: str) -> None:
    alice.groups.clear()
    with pytest.raises(errors.InsufficientScope):
        staff.admit(cookie, roles.VIEW_LIVE)


@pytest.mark.parametrize("cookie", ["", "x" * 32, "a;b", '"'])
def test_what_is_no_session_admits_nobody(cookie: str) -> None:
    scope = {"headers": [(b"cookie", f"claudeapi_session={cookie}".encode())]}
    with pytest.raises(errors.MissingApiKey):
        staff.admit(staff.cookie_of(scope), roles.VIEW_LIVE)
