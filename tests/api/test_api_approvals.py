"""Approvals over REST; the questions are rows written beside the server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from keys_app.models import ApiKey
from sessions_app.api import pages
from sessions_app.api.serializers import Decide, checked
from sessions_app.models import Approval, Run, Session
from tests.api.caller import Caller, ServerDatabase, ok, refused, wrong_fields

Ask = Callable[..., str]


@pytest.fixture
def ask(alice: Caller, database: ServerDatabase, session: str) -> Ask:
    """A question of a run; its path."""
    run = alice.say(session)["runId"]

    def make(**fields: Any) -> str:
        due = timezone.now() + timedelta(minutes=5)
        row = Approval(
            session_id=session.rpartition("/")[2], run_id=run,
            **{"tool_name": "Bash", "input": {"command": "ls"}, "expires_at": due, **fields},
        )  # fmt: skip
        with database.open() as alias:
            row.save(using=alias, force_insert=True)
        return f"{session}/approvals/{row.pk}"

    return make


def test_what_waits_is_listed_and_counted(alice: Caller, session: str, ask: Ask) -> None:
    waiting = ask()
    ask(status="denied")
    (shown,) = ok(alice.get(f"{session}/approvals"))["approvals"]
    assert {
        "approvalId", "runId", "toolName", "input", "reason", "suggestions", "expiresAt", "status",
    } <= set(shown)  # fmt: skip
    assert waiting.endswith(shown["approvalId"])
    assert len(ok(alice.get(f"{session}/approvals", status="all"))["approvals"]) == 2
    assert ok(alice.get(session))["pendingApprovals"] == 1


def test_what_is_large_comes_in_pages_and_all_else_at_once(
    alice: Caller, session: str, ask: Ask
) -> None:
    small = [ask() for _ in range(3)]
    body = ok(alice.get(f"{session}/approvals"))
    assert set(body) == {"approvals"}
    assert [a["approvalId"] for a in body["approvals"]] == [at.split("/")[-1] for at in small]

    large = [ask(**{name: {"file": "x" * 7 * 2**20}}) for name in ("input", "updated_input")]
    last = ask(input={"file": "x" * 7 * 2**20})
    first = ok(alice.get(f"{session}/approvals", status="all"))
    assert [a["approvalId"] for a in first["approvals"]] == [
        at.split("/")[-1] for at in (*small, *large)
    ]
    rest = ok(alice.get(f"{session}/approvals", status="all", cursor=first["nextCursor"]))
    assert set(rest) == {"approvals"}
    assert [a["approvalId"] for a in rest["approvals"]] == [last.split("/")[-1]]
    assert wrong_fields(alice.get(f"{session}/approvals", cursor="x")) == {"cursor"}


@pytest.mark.django_db
def test_pages_hold_every_approval_once_also_those_of_the_same_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pages, "PAGE_ROWS", 2)
    key, now = ApiKey.objects.create(name="Alice", secret_hash="x"), timezone.now()
    session = Session.objects.create(key=key, timeout_ms=1, expires_at=now)
    run = Run.objects.create(session=session, key=key, prompt=[])
    for _ in range(5):
        Approval.objects.create(session=session, run=run, created_at=now, expires_at=now)
    found, cursor = pages.oldest_first(session.approvals.all(), "created_at", ["input"], None)
    seen = [row.pk for row in found]
    while cursor:
        found, cursor = pages.oldest_first(session.approvals.all(), "created_at", ["input"], cursor)
        seen += [row.pk for row in found]
    assert seen == sorted(Approval.objects.values_list("pk", flat=True))
    assert len(seen) == 5


def test_an_answer_counts_once(alice: Caller, ask: Ask) -> None:
    path = ask()
    answer = {"decision": "allow", "scope": "once", "updatedInput": {"command": "pwd"}}
    shown = ok(alice.post(path, answer))
    assert (shown["status"], shown["scope"]) == ("allowed", "once")
    assert shown["updatedInput"] == {"command": "pwd"}
    refused(alice.post(path, {"decision": "deny"}), 409, "APPROVAL_RESOLVED")


RULE = [{"type": "addRules", "behavior": "allow", "rules": [{"toolName": "Bash"}]}]


def test_a_yes_for_the_session_is_one_for_what_was_asked(alice: Caller, ask: Ask) -> None:
    path, answer = ask(suggestions=RULE), {"decision": "allow", "scope": "session"}
    shown = ok(alice.post(path, {**answer, "updatedInput": {"command": "ls"}}))
    assert (shown["status"], shown["scope"]) == ("allowed", "session")
    other = ok(alice.post(ask(suggestions=RULE), {**answer, "updatedInput": {"command": "pwd"}}))
    assert (other["status"], other["scope"]) == ("allowed", "once")
    assert other["updatedInput"] == {"command": "pwd"}


def test_an_answer_to_a_question_is_no_other_input(alice: Caller, ask: Ask) -> None:
    path = ask(tool_name="AskUserQuestion", input={"questions": [{"question": "Which?"}]})
    answers = {"updatedInput": {"answers": {"Which?": "This."}}}
    shown = ok(alice.post(path, {"decision": "allow", "scope": "session", **answers}))
    assert (shown["status"], shown["scope"]) == ("allowed", "session")


def test_a_repeated_answer_with_its_key_is_given_again(alice: Caller, ask: Ask) -> None:
    path, once = ask(), {"Idempotency-Key": "a"}
    first = alice.post(path, {"decision": "deny", "message": "No."}, headers=once)
    again = alice.post(path, {"decision": "deny", "message": "No."}, headers=once)
    assert ok(first) == ok(again)
    assert again.headers["idempotency-replayed"] == "true"


def test_too_late_is_gone(alice: Caller, session: str, ask: Ask) -> None:
    for headers in ({}, {"Idempotency-Key": "late"}):
        path = ask(expires_at=timezone.now())
        answer = alice.post(path, {"decision": "allow"}, headers=headers)
        refused(answer, 410, "APPROVAL_EXPIRED")
        refused(alice.post(path, {"decision": "allow"}), 410, "APPROVAL_EXPIRED")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "decision"),
        ({"decision": "maybe"}, "decision"),
        ({"decision": True}, "decision"),
        ({"decision": "allow", "scope": "always"}, "scope"),
        ({"decision": "allow", "updatedInput": []}, "updatedInput"),
        ({"decision": "allow", "updatedInput": {}}, "updatedInput"),
        ({"decision": "deny", "message": 5}, "message"),
        ({"decision": "deny", "reason": "x"}, "reason"),
    ],
)
def test_a_wrong_answer_is_named(alice: Caller, ask: Ask, body: dict[str, Any], named: str) -> None:
    assert wrong_fields(alice.post(ask(), body)) == {named}


def test_another_input_is_taken_as_it_is_and_not_key_by_key() -> None:
    given = {f"key{n}": n for n in range(10)}
    assert checked(Decide, {"decision": "allow", "updatedInput": given})["updatedInput"] is given


@pytest.mark.parametrize("given", [{}, {"updatedInput": {}}, {"updatedInput": {"answers": {}}}])
def test_a_question_is_allowed_with_its_answers_only(
    alice: Caller, ask: Ask, given: dict[str, Any]
) -> None:
    path = ask(tool_name="AskUserQuestion", input={"questions": [{"question": "Which?"}]})
    assert wrong_fields(alice.post(path, {"decision": "allow", **given})) == {"updatedInput"}
    answers = {"updatedInput": {"answers": {"Which?": "This."}}}
    assert ok(alice.post(path, {"decision": "allow", **answers}))["status"] == "allowed"
