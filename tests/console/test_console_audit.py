"""The audit log: everything that staff does, kept and exported."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from claudeapi.core.request_id import request_id_var
from console import audit, audit_export, audit_list
from console.models import AuditEntry
from keys_app.models import ApiKey
from tests.console.conftest import role_group
from tests.console.staging import PASSWORD

pytestmark = pytest.mark.django_db
LIST = "admin:console_auditentry_changelist"


def verbs() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("verb", flat=True))


def test_a_change_in_the_admin_is_written_down_with_who_where_and_what(
    signed_in: Callable[..., Client], person: Callable[..., User]
) -> None:
    bob = person("viewer")
    alice = signed_in("administrator")
    alice.post(
        reverse("admin:auth_user_change", args=[bob.pk]),
        {
            "username": "viewer",
            "first_name": "Bob",
            "is_active": "on",
            "is_staff": "on",
            "date_joined_0": "2026-11-22",
            "date_joined_1": "10:00:00",
        },
        REMOTE_ADDR="192.0.2.7",
    )
    entry = AuditEntry.objects.get(verb="user.changed")
    assert (entry.actor, entry.address, entry.target_id) == (
        "administrator",
        "192.0.2.7",
        str(bob.pk),
    )
    assert "first name" in audit.in_words(entry.details).lower()


def test_the_roles_that_were_given_and_taken_are_written_down(
    signed_in: Callable[..., Client], person: Callable[..., User]
) -> None:
    bob, root = person("viewer"), signed_in(username="root", is_superuser=True)
    page = reverse("admin:auth_user_change", args=[bob.pk])
    right = Permission.objects.get(codename="view_apikey")
    form = {"username": "viewer", "groups": [role_group("operator").pk]}
    root.post(page, {**form, "is_superuser": "on", "user_permissions": [right.pk]})

    details = AuditEntry.objects.get(verb="user.changed").details

    assert {name: told for name, told in details.items() if name != "message"} == {
        "is_active": {"old": True, "new": False},
        "is_superuser": {"old": False, "new": True},
        "groups": {"old": ["viewer"], "new": ["operator"]},
        "user_permissions": {"old": [], "new": ["keys_app.view_apikey"]},
    }


def test_what_a_new_person_may_is_written_down(signed_in: Callable[..., Client]) -> None:
    form = {"username": "bob", "password1": PASSWORD, "password2": PASSWORD}
    role = role_group("approver").pk
    signed_in("administrator").post(reverse("admin:auth_user_add"), {**form, "role": role})

    details = AuditEntry.objects.get(verb="user.added").details

    assert (details["groups"], details["is_staff"]) == (["approver"], True)
    assert "is_superuser" not in details


def test_what_a_group_came_to_include_is_written_down(signed_in: Callable[..., Client]) -> None:
    root, group = signed_in(username="root", is_superuser=True), role_group("viewer")
    right = Permission.objects.get(codename="view_apikey")
    page = reverse("admin:auth_group_change", args=[group.pk])
    root.post(page, {"name": "viewer", "permissions": [right.pk]})

    changed = AuditEntry.objects.get(verb="group.changed").details["permissions"]

    assert "console.view_sessions" in changed["old"]
    assert changed["new"] == ["keys_app.view_apikey"]


def test_details_are_told_in_words() -> None:
    changed = {"model": {"old": "", "new": ["a", "b"]}, "cut_off": {"active sessions": 1}}
    assert audit.in_words(changed) == "model: none → a, b; cut_off: active sessions 1"


def test_a_deletion_is_written_down_and_outlives_both_accounts(
    signed_in: Callable[..., Client], person: Callable[..., User]
) -> None:
    bob = person("viewer")
    alice = signed_in("administrator")
    alice.post(reverse("admin:auth_user_delete", args=[bob.pk]), {"post": "yes"})
    User.objects.all().delete()
    assert AuditEntry.objects.get(verb="user.deleted").target == "viewer"


def test_no_one_edits_or_deletes_an_entry_in_the_admin(signed_in: Callable[..., Client]) -> None:
    root = signed_in(username="root", is_superuser=True)
    entry = audit.record("Mallory", "test.done")
    change = reverse("admin:console_auditentry_change", args=[entry.pk])
    delete = reverse("admin:console_auditentry_delete", args=[entry.pk])
    assert root.post(change, {"verb": "nothing"}).status_code == 403
    assert root.post(delete, {"post": "yes"}).status_code == 403
    assert root.get(reverse("admin:console_auditentry_add")).status_code == 403
    listed = root.post(reverse(LIST), {"action": "delete_selected", "_selected_action": [entry.pk]})
    assert AuditEntry.objects.filter(pk=entry.pk, verb="test.done").exists()
    assert listed.status_code == 302


def test_an_entry_cannot_be_changed_by_code_either() -> None:
    entry = audit.record("Mallory", "test.done")
    entry.verb = "nothing"
    with pytest.raises(TypeError):
        entry.save()
    with pytest.raises(TypeError):
        AuditEntry.objects.update(verb="nothing")


def test_the_list_filters_and_searches(signed_in: Callable[..., Client]) -> None:
    audit.record("Alice", "key.revoked")
    audit.record("Bob", "session.ended")
    root = signed_in(username="root", is_superuser=True)
    page = root.get(reverse(LIST), {"verb": "key.revoked"}).content.decode()
    assert "Alice" in page.partition("result_list")[2].partition("</table>")[0]
    assert "Bob" not in page.partition("result_list")[2].partition("</table>")[0]
    assert root.get(reverse(LIST), {"q": "Bob"}).context["cl"].result_count == 1


def test_a_search_takes_a_whole_word_from_an_index_and_a_beginning_among_the_newest(
    signed_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_list, "SCANNED", 2)
    root = signed_in(username="root", is_superuser=True)
    key, _ = ApiKey.objects.issue("ci")
    token = request_id_var.set("req-1")
    for actor in ("Alice", "Alistair", "Bob"):
        audit.record(actor, "key.changed", key)
    request_id_var.reset(token)

    def found(text: str) -> list[str]:
        listed = root.get(reverse(LIST), {"q": text}).context["cl"].result_list
        return sorted(entry.actor for entry in listed)

    assert found("Alice") == ["Alice"]  # whole, and too old to be among the newest
    assert found("Ali") == ["Alistair"]
    assert found("ci (capi") == ["Alistair", "Bob"]
    assert found(str(key.pk)) == found("req-1") == ["Alice", "Alistair", "Bob"]
    assert found("") == [*found("req-1"), "root"]


def test_the_choices_are_fixed_and_name_staff_only(
    signed_in: Callable[..., Client], django_assert_max_num_queries: Callable[..., Any]
) -> None:
    audit.record("<script>Mallory", "signin.failed")
    root = signed_in(username="root", is_superuser=True)
    with django_assert_max_num_queries(12) as captured:
        page = root.get(reverse(LIST)).content.decode()
    choices = page.partition('id="changelist-filter"')[2]
    assert "root" in choices
    assert "Mallory" not in choices
    assert "DISTINCT" not in str(captured.captured_queries)


def test_a_kind_of_deed_is_filtered_for(signed_in: Callable[..., Client]) -> None:
    for verb in ("run.cancelled", "session.ended", "key.created"):
        audit.record("Alice", verb)
    root = signed_in(username="root", is_superuser=True)
    assert root.get(reverse(LIST), {"what": "sessions"}).context["cl"].result_count == 2


def test_every_verb_belongs_to_a_kind() -> None:
    source = "".join(path.read_text() for path in Path(audit.__file__).parent.rglob("*.py"))
    nouns = set(re.findall(r'"([a-z_]+)\.[a-z_]+"', "".join(source.split("audit.record(")[1:])))
    known = {noun for _, kinds in audit_list.KINDS.values() for noun in kinds}
    written = {noun for noun in nouns if re.search(rf'audit\.record\([^)]*"{noun}\.', source)}
    assert written
    assert written <= known


def test_a_target_leads_to_its_page(signed_in: Callable[..., Client]) -> None:
    root = signed_in(username="root", is_superuser=True)
    user = User.objects.get(username="root")
    audit.record(user, "user.changed", user)
    page = root.get(reverse(LIST)).content.decode()
    assert f'href="{reverse("admin:auth_user_change", args=[user.pk])}"' in page


def exported(client: Client, kind: str, **query: str) -> str:
    answer = client.get(reverse(f"admin:console_audit_{kind}"), query)
    return b"".join(async_to_sync(collected)(answer.streaming_content)).decode()


async def collected(pieces: Any) -> list[bytes]:
    return [piece async for piece in pieces]


@pytest.mark.django_db(transaction=True)
def test_an_export_in_many_pages_holds_everything_once(
    signed_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_export, "PAGE", 3)
    root = signed_in(username="root", is_superuser=True)
    for number in range(10):
        audit.record("Alice", "key.revoked", str(number))
    rows = json.loads(exported(root, "json", verb="key.revoked"))
    assert [row["target"] for row in rows] == [str(number) for number in range(9, -1, -1)]
    assert json.loads(exported(root, "json", verb="nothing")) == []


@pytest.mark.django_db(transaction=True)
def test_the_csv_export_is_what_the_filter_leaves_and_starts_no_formula(
    signed_in: Callable[..., Client],
) -> None:
    audit.record("=1+1", "key.revoked")
    audit.record("Bob", "session.ended")
    root = signed_in(username="root", is_superuser=True)
    rows = list(csv.DictReader(io.StringIO(exported(root, "csv", verb="key.revoked"))))
    assert [row["actor"] for row in rows] == ["'=1+1"]
    assert "audit.exported" in verbs()


@pytest.mark.django_db(transaction=True)
def test_the_json_export_holds_the_details(signed_in: Callable[..., Client]) -> None:
    audit.record("Alice", "key.revoked", reason="leaked")
    root = signed_in(username="root", is_superuser=True)
    [entry] = json.loads(exported(root, "json", q="Alice"))
    assert entry["details"] == {"reason": "leaked"}


def test_signing_in_and_out_is_written_down(client: Client, person: Callable[..., User]) -> None:
    person("viewer")
    client.post("/admin/login/", {"username": "viewer", "password": "wrong"})
    client.post("/admin/login/", {"username": "viewer", "password": PASSWORD})
    client.post("/admin/logout/")
    assert verbs() == ["signin.failed", "signin.done", "signin.ended"]
