"""Who may do what: the groups, and what refuses."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from console import roles
from tests.console.conftest import role_group

pytestmark = pytest.mark.django_db

PAGES = {
    "admin:index": roles.GROUPS,
    "admin:console_charts": roles.GROUPS,
    "admin:console_service": roles.GROUPS,
    "admin:console_second_factor": roles.GROUPS,
    "admin:keys_app_apikey_changelist": roles.GROUPS,
    "admin:keys_app_apikey_add": (roles.OPERATOR, roles.ADMINISTRATOR),
    "admin:console_auditentry_changelist": (roles.ADMINISTRATOR,),
    "admin:console_audit_csv": (roles.ADMINISTRATOR,),
    "admin:console_audit_json": (roles.ADMINISTRATOR,),
    "admin:auth_user_changelist": (roles.ADMINISTRATOR,),
    "admin:auth_user_add": (roles.ADMINISTRATOR,),
    "admin:console_secondfactor_changelist": (roles.ADMINISTRATOR,),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_for_those_whose_role_includes_it(
    page: str, role: str, signed_in: Callable[..., Client]
) -> None:
    answer = signed_in(role).get(reverse(page))
    assert answer.status_code == (200 if role in PAGES[page] else 403)


@pytest.mark.parametrize("page", PAGES)
def test_nobody_sees_a_page_without_signing_in(page: str, client: Client) -> None:
    answer = client.get(reverse(page))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


def test_each_role_has_all_that_the_one_before_it_has() -> None:
    held = [
        set(Group.objects.get(name=name).permissions.values_list("codename", flat=True))
        for name in roles.GROUPS
    ]
    assert all(lower < higher for lower, higher in itertools.pairwise(held))


def test_every_permission_of_the_console_exists_once_and_has_a_name() -> None:
    for permission in (value for name, value in vars(roles).items() if name.isupper()):
        if isinstance(permission, str) and "." in permission:
            app, codename = permission.split(".")
            found = Permission.objects.get(content_type__app_label=app, codename=codename)
            assert found.name


def test_staff_without_a_role_are_told_so(signed_in: Callable[..., Client]) -> None:
    answer = signed_in().get(reverse("admin:index"))
    assert "no role" in answer.content.decode()
    assert "Active sessions" not in answer.content.decode()


def test_the_header_shows_only_what_one_may_open(signed_in: Callable[..., Client]) -> None:
    page = signed_in("viewer").get(reverse("admin:index")).content.decode()
    assert ">Keys<" in page
    assert ">Audit<" not in page


def test_an_administrator_cannot_take_over_a_superuser(
    signed_in: Callable[..., Client], person: Callable[..., User]
) -> None:
    root = person(username="root", is_superuser=True)
    mallory = signed_in("administrator")
    changed = mallory.post(reverse("admin:auth_user_change", args=[root.pk]), {"username": "mine"})
    password = mallory.post(
        reverse("admin:auth_user_password_change", args=[root.pk]),
        {"password1": "x-9-x-9-x-9", "password2": "x-9-x-9-x-9", "usable_password": "true"},
    )
    assert (changed.status_code, password.status_code) == (403, 403)


def test_an_administrator_cannot_make_a_superuser(
    signed_in: Callable[..., Client], person: Callable[..., User]
) -> None:
    bob = person("viewer")
    signed_in("administrator").post(
        reverse("admin:auth_user_change", args=[bob.pk]),
        {
            "username": "viewer",
            "is_active": "on",
            "is_staff": "on",
            "is_superuser": "on",
            "date_joined_0": "2026-11-22",
            "date_joined_1": "10:00:00",
        },
    )
    bob.refresh_from_db()
    assert not bob.is_superuser


@pytest.fixture
def everything(db: None) -> Group:
    """A group that a superuser made, above the administrators."""
    group = Group.objects.create(name="everything")
    group.permissions.set(Permission.objects.all())
    return group


def test_an_administrator_gives_no_role_that_exceeds_their_own(
    everything: Group, signed_in: Callable[..., Client], person: Callable[..., User]
) -> None:
    bob = person("viewer")
    mallory = signed_in("administrator")
    own = User.objects.get(username="administrator")
    for user in (bob, own):
        page = reverse("admin:auth_user_change", args=[user.pk])
        assert "everything" not in mallory.get(page).content.decode()
        fields = {"username": user.username, "is_active": "on", "groups": [everything.pk]}
        mallory.post(page, fields)
        assert everything not in user.groups.all()


def test_an_administrator_does_not_change_those_who_may_do_more(
    everything: Group, signed_in: Callable[..., Client], person: Callable[..., User]
) -> None:
    bob = person("viewer", is_active=False)
    bob.groups.add(everything)
    mallory = signed_in("administrator")
    for page in ("auth_user_change", "auth_user_password_change", "auth_user_delete"):
        url = reverse(f"admin:{page}", args=[bob.pk])
        assert mallory.post(url, {"username": "mine", "post": "yes"}).status_code == 403


def test_a_person_is_made_with_one_form_and_the_role_makes_them_staff(
    signed_in: Callable[..., Client], everything: Group
) -> None:
    admin = signed_in("administrator")
    add, password = reverse("admin:auth_user_add"), "correct horse battery"
    assert "<h1>New person</h1>" in admin.get(add).content.decode()
    fields = {"username": "bob", "password1": password, "password2": password}
    refused = admin.post(add, {**fields, "role": everything.pk})
    assert "valid choice" in refused.content.decode()
    admin.post(add, {**fields, "role": role_group("approver").pk})
    bob = User.objects.get(username="bob")
    assert bob.is_staff
    assert [group.name for group in bob.groups.all()] == ["approver"]


def test_who_loses_the_last_role_loses_the_console(
    signed_in: Callable[..., Client], person: Callable[..., User]
) -> None:
    bob = person("viewer")
    page = reverse("admin:auth_user_change", args=[bob.pk])
    signed_in("administrator").post(page, {"username": "viewer", "is_active": "on"})
    bob.refresh_from_db()
    assert not bob.is_staff


def test_only_superusers_give_rights_one_by_one(
    signed_in: Callable[..., Client], person: Callable[..., User]
) -> None:
    bob = person("viewer")
    page = reverse("admin:auth_user_change", args=[bob.pk])
    assert "user_permissions" not in signed_in("administrator").get(page).content.decode()
    root = signed_in(username="root", is_superuser=True)
    assert "user_permissions" in root.get(page).content.decode()
